"""Makes what is generated of the rule bundle, and says whether what is committed is what would be made now.

    python -m qnsp_policy.pipeline.rules.build_edge --opa PATH            writes
    python -m qnsp_policy.pipeline.rules.build_edge --opa PATH --check    compares, exit 1 on a difference

Comes in: policies/**/*.rego and the input's types. Goes out: policies/policy.wasm, policies/metadata.json,
policies/schema/input.json and docs/rules/**: the same bytes on every machine for the same sources and `opa`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.rules import metadata
from qnsp_policy.pipeline.rules.examples import read_examples
from qnsp_policy.pipeline.rules.pages import render_pages
from qnsp_policy.pipeline.rules.schema import input_schema, input_schema_bytes
from qnsp_policy.pipeline.rules.sources_edge import compile_modules, opa_version, read_modules, sha256_digest

PINNED_OPA = "1.22.0"


def generate(root: Path, opa: Path) -> dict[str, bytes]:
    """Every generated file of the bundle by path relative to the checkout.

    Args:
        root: the checkout.
        opa: the pinned compiler.

    Raises:
        EngineError: QNSP-RUL-040 (another opa than the pinned one), -041 (a population that the input does not have).
        OperatorError: QNSP-RUL-032, the compiler refuses the rules.
    """
    found = opa_version(opa)
    if found != PINNED_OPA:
        raise EngineError(
            "QNSP-RUL-040", "the rule bundle is built by the pinned opa only", expected=PINNED_OPA, got=found
        )
    schema = input_schema_bytes()
    modules = read_modules(root / "policies")
    wasm, rules = compile_modules(modules, opa, schema=schema)
    _require_populations(rules)
    pages = render_pages(rules, read_examples(_example_texts(root / "policies")))
    return {
        "policies/policy.wasm": wasm,
        "policies/metadata.json": metadata.dump(rules, opa=found, wasm_digest=sha256_digest(wasm)),
        "policies/schema/input.json": schema,
        **{f"docs/rules/{name}": text.encode() for name, text in pages.items()},
    }


def differences(root: Path, generated: Mapping[str, bytes]) -> tuple[str, ...]:
    """Paths whose committed bytes are not what was generated now, and pages that nothing generates any more."""
    changed = [
        path for path, data in generated.items() if not (root / path).is_file() or (root / path).read_bytes() != data
    ]
    stale = [
        page.relative_to(root).as_posix()
        for page in (root / "docs" / "rules").rglob("*.md")
        if page.relative_to(root).as_posix() not in generated
    ]
    return tuple(sorted(changed + stale))


def write(root: Path, generated: Mapping[str, bytes]) -> None:
    """Write the generated files; pages of rules that are gone are removed."""
    for path in differences(root, generated):
        target = root / path
        if path not in generated:
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(generated[path])


def _require_populations(rules: Sequence[metadata.RuleMetadata]) -> None:
    fields = input_schema()["properties"]
    known = {name for name, field in fields.items() if field.get("type") == "array"}
    known |= {f"kinds.{kind}" for kind in fields["kinds"]["properties"]}
    for rule in rules:
        if rule.population not in known:
            raise EngineError(
                "QNSP-RUL-041", f"rule {rule.id} names the population {rule.population!r}, which the input lacks"
            )


def _example_texts(policies: Path) -> dict[str, bytes]:
    return {
        path.parent.relative_to(policies).as_posix(): path.read_bytes()
        for path in sorted(policies.rglob("example.yaml"))
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry of `make rules`."""
    parser = argparse.ArgumentParser(prog="build_edge", description=__doc__)
    parser.add_argument("--opa", type=Path, default=Path(shutil.which("opa") or "opa"), help="the pinned opa")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[3], help="the checkout")
    parser.add_argument("--check", action="store_true", help="compare only")
    options = parser.parse_args(arguments)
    generated = generate(options.root, options.opa)
    stale = differences(options.root, generated)
    if options.check:
        for path in stale:
            sys.stdout.write(f"not current: {path} (run `make rules`)\n")
        return 1 if stale else 0
    write(options.root, generated)
    sys.stdout.write(f"{len(generated)} files, {len(stale)} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
