"""Workspace -> findings, by Rego rules in policies/.

Comes in: `Workspace`, an engine, a moment, verified signers. Goes out: `RulesReport`. The shipped rules are compiled
to wasm by the real OPA and evaluated in process; an OPA server can take the engine's place and answers alike.
"""

from qnsp_policy.pipeline.rules.findings import Finding, RulesReport, RuleTally, Severity

__all__ = ["Finding", "RuleTally", "RulesReport", "Severity"]
