"""The way of a document, one stage a package, in the order documents, model, rules, trust, world, plan, engine, assess, audit, review."""
