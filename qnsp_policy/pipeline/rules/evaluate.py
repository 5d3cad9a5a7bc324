"""The stage itself: a Workspace, an engine and a moment in; findings out.

Comes in: `Workspace`, a `RulesEngine`, `now`, and who signed which document (verified earlier). Goes out: a
`RulesReport`. Steps: 1 make the input, 2 let the engine decide, 3 demand a complete answer of each rule, 4 turn each
failure into a finding with its place and words, 5 apply waivers, 6 say which waivers silenced nothing.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from qnsp_policy.pipeline.model import Address, Workspace
from qnsp_policy.pipeline.model.signers import VerifiedSigner
from qnsp_policy.pipeline.rules import answers, waivers
from qnsp_policy.pipeline.rules.alike import Folded, folded
from qnsp_policy.pipeline.rules.engine import RulesEngine, bundle_digest
from qnsp_policy.pipeline.rules.findings import Finding, RulesReport, RuleTally, Severity, fingerprint
from qnsp_policy.pipeline.rules.inputs import RulesInput
from qnsp_policy.pipeline.rules.metadata import RuleMetadata, fill
from qnsp_policy.pipeline.rules.normalise import BuiltInput, build_input

UNUSED_WAIVER = RuleMetadata(
    id="waivers/unused",
    title="Waiver that silences nothing",
    description="A waiver whose finding is gone is left over: it would silence the fault silently if it came back.",
    severity=Severity.LOW,
    population="waivers",
    message="No rule refuses what this waiver is about.",
    remediation="Remove the waiver.",
    controls=("ISO 27001 A.5.36",),
)
"""The one rule that is not Rego: it needs the answers of all others."""


def evaluate(
    workspace: Workspace,
    *,
    engine: RulesEngine,
    now: datetime,
    signers: Mapping[Address, tuple[VerifiedSigner, ...]] | None = None,
) -> RulesReport:
    """Judge a workspace by all loaded rules.

    Args:
        workspace: what to judge.
        engine: the embedded engine or a client of an OPA server; its rule sets are what is judged by.
        now: the moment to judge at, aware, UTC.
        signers: who signed which document, as verified against the TrustRoot; nothing else counts as signed.

    Raises:
        EngineError: the engine failed, or some rule did not answer for every member of its population.
    """
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    with _collector_paused():
        return _evaluate(workspace, engine, now, signers or {})


def _evaluate(
    workspace: Workspace, engine: RulesEngine, now: datetime, signers: Mapping[Address, tuple[VerifiedSigner, ...]]
) -> RulesReport:
    rules = tuple(rule for rule_set in engine.rule_sets for rule in rule_set.rules)
    built = build_input(
        workspace,
        now=now,
        signers=signers,
        rules={rule.id for rule in rules} | {UNUSED_WAIVER.id},
        whole_documents=any(rule_set.reads_documents for rule_set in engine.rule_sets),
    )
    answered = decide(built.document, engine)
    findings = [finding for answer in answered for finding in _findings(answer, built, workspace)]
    standing = [address for address, _ in built.places["waivers"]]
    listed = list(zip(standing, built.document["waivers"], strict=True))
    marked, unused = waivers.apply(findings, listed, built.document["now"])
    leftover = [_unused(Address(address), workspace) for address in unused]
    return RulesReport(
        findings=tuple(sorted((*marked, *leftover), key=_order)),
        rules_evaluated=len(rules) + 1,
        documents=len(workspace.documents),
        engine=engine.name,
        engine_version=engine.version,
        bundle_digest=bundle_digest(engine.rule_sets),
        tallies={
            a.rule.id: RuleTally(a.population, a.population - len({f.index for f in a.failures})) for a in answered
        },
        unused_waivers=unused,
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """An input is many small objects and no cycles: the collector would walk them and the workspace for nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def decide(document: RulesInput, engine: RulesEngine) -> tuple[answers.Answer, ...]:
    """Steps 2 and 3: the engine's decision about an input, complete or an error."""
    rules = tuple(rule for rule_set in engine.rule_sets for rule in rule_set.rules)
    asked = folded(document) if all(rule_set.one_by_one for rule_set in engine.rule_sets) else Folded(document, {})
    encoded = json.dumps(asked.document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return asked.answered(answers.read(engine.decide(encoded), asked.document, rules))


def _findings(answer: answers.Answer, built: BuiltInput, workspace: Workspace) -> Iterable[Finding]:
    places = built.places[answer.rule.population]
    for failure in answer.failures:
        address, base = places[failure.index]
        arguments = {"address": address, **failure.arguments}
        yield _finding(answer.rule, address, full_path(base, failure.path), arguments, workspace)


def full_path(base: Sequence[str | int], path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where a failure stands: a path that begins at `spec` or `metadata` is whole, any other goes on from its member."""
    return path if path[:1] in (("spec",), ("metadata",)) else (*base, *path)


def _finding(
    rule: RuleMetadata,
    address: Address,
    path: tuple[str | int, ...],
    arguments: Mapping[str, Any],
    workspace: Workspace,
) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        address=address,
        path=path,
        place=workspace.place(address, *path),
        message=fill(rule.message, arguments, rule=rule.id),
        remediation=fill(rule.remediation, arguments, rule=rule.id),
        controls=rule.controls,
        fingerprint=fingerprint(rule.id, address, path),
    )


def _unused(address: Address, workspace: Workspace) -> Finding:
    return _finding(UNUSED_WAIVER, address, ("spec",), {"address": address}, workspace)


def _order(finding: Finding) -> tuple[Any, ...]:
    return (finding.severity.rank, finding.place, finding.rule, finding.address, finding.fingerprint, finding.message)


__all__ = ["UNUSED_WAIVER", "decide", "evaluate", "full_path"]
