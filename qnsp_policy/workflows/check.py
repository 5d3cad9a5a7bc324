"""`check`: documents against rules; with a base, what is new; with a baseline, what is known."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.signatures import document_signatures
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.lowering.refusals import refusals
from qnsp_policy.pipeline.rules.evaluate import evaluate
from qnsp_policy.pipeline.rules.findings import Finding, RulesReport, Severity, fingerprint
from qnsp_policy.pipeline.rules.wasm_edge import compile_ahead
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.workflows.progress import Progress, by_fraction, nobody
from qnsp_policy.workflows.revisions import load_side
from qnsp_policy.workflows.rules import rules_engine
from qnsp_policy.workflows.trust import diff_of_documents

WEAKEN = "weaken"
PLAN = "plan/"
"""What the planner's refusals are named by among findings: `plan/QNSP-PLN-231`."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` found.

    Attributes:
        report: of the head.
        fail_on: the severity that blocks.
        blocking: findings that block; known ones of a base or baseline do not.
        new: fingerprints that the base lacks; None without a base or baseline.
        resolved: fingerprints that only the base has.
        trust_diff: against the base, as JSON; None without a base.
        weakened: whether `--fail-on weaken` is hit.
        broken_signatures: envelopes that do not verify, in words.
    """

    report: RulesReport
    fail_on: Severity
    blocking: tuple[Finding, ...] | bool
    new: frozenset[str] | None = None
    resolved: tuple[str, ...] = ()
    trust_diff: dict[str, Any] | None = None
    weakened: bool = False
    broken_signatures: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"brokenSignatures": list(self.broken_signatures)}
        if self.new is not None:
            found |= {"new": sorted(self.new), "resolved": list(self.resolved)}
        if self.trust_diff is not None:
            found |= {"trustDiff": self.trust_diff, "weakened": self.weakened}
        return found

    def notes(self) -> list[str]:
        """Lines below the findings."""
        notes = [f"signature: {text}" for text in self.broken_signatures]
        if self.new is not None:
            notes.append(f"{len(self.new)} new, {len(self.resolved)} resolved against the base")
        if self.weakened:
            notes.append("trust is WEAKENED against the base: see `qnsp-policy trust diff`")
        return notes


def check(
    root: Path,
    *,
    now: datetime,
    engine: str = "wasm",
    opa_url: str | None = None,
    base: str | None = None,
    baseline: Path | None = None,
    fail_on: str | None = None,
    progress: Progress = nobody,
) -> Checked:
    """Judge the workspace by its rules.

    Raises:
        DocumentErrors: the documents do not build.
        EngineError: a rule or engine failed; never read as a pass.
        OperatorError: a flag is wrong.
    """
    if engine == "wasm" and opa_url is None:
        compile_ahead()
    began = time.monotonic()
    workspace = load(root, by_fraction(progress, "reading the documents"))
    level = severity_of(fail_on, workspace)
    if fail_on == WEAKEN and base is None:
        raise OperatorError(
            "QNSP-OPS-052", "--fail-on weaken needs something to compare with", next_step="give --base REF"
        )
    if time.monotonic() - began > 1:
        progress(f"judging {len(workspace.documents)} documents by the rules")
    report, broken = judge(root, workspace, now=now, engine=engine, opa_url=opa_url)
    report = with_refusals(report, workspace, refusals_of(workspace))
    blocking = report.blocking(level)
    if base is None and baseline is None:
        return Checked(report, level, blocking, broken_signatures=broken)
    known: set[str] = set()
    diff: dict[str, Any] | None = None
    if baseline is not None:
        known |= read_baseline(baseline)
    if base is not None:
        side = load_side(root, base)
        before, _ = judge(root, side, now=now, engine=engine, opa_url=opa_url)
        before = with_refusals(before, side, refusals_of(side))
        known |= {finding.fingerprint for finding in before.findings if finding.waived_by is None}
        diff = diff_of_documents(side, workspace).to_json()
    found = {finding.fingerprint for finding in report.findings if finding.waived_by is None}
    weakened = fail_on == WEAKEN and diff is not None and any(change["weakens"] for change in diff["changes"])
    fresh = tuple(finding for finding in blocking if finding.fingerprint not in known)
    return Checked(
        report,
        level,
        fresh or weakened,
        frozenset(found - known),
        tuple(sorted(known - found)),
        diff,
        weakened,
        broken,
    )


def judge(
    root: Path, workspace: Workspace, *, now: datetime, engine: str = "wasm", opa_url: str | None = None
) -> tuple[RulesReport, tuple[str, ...]]:
    """The rules' report, and what is wrong with signatures."""
    signatures = document_signatures(workspace, workspace.trust_root, now)
    with rules_engine(root, workspace, name=engine, opa_url=opa_url) as started:
        report = evaluate(workspace, engine=started, now=now, signers=signatures.signers)
    return report, tuple(f"{problem.place}: {problem.message}" for problem in signatures.problems)


def refusals_of(workspace: Workspace) -> tuple[OperatorError, ...]:
    """What the planner would refuse of these documents."""
    return refusals(workspace, effective_grants(workspace))


def with_refusals(report: RulesReport, workspace: Workspace, refused: Sequence[OperatorError]) -> RulesReport:
    """The report with the planner's refusals of the same documents, so that a pull request learns them too.

    Such a finding is critical and no waiver silences it: nothing makes the plan go through. Where a rule says something of the same
    line and nobody waived it, the rule's finding is enough.
    """
    if not refused:
        return report
    told = {(f.place.file, f.place.line) for f in report.findings if f.waived_by is None}
    found = []
    for error in refused:
        place = error.place or workspace.place(workspace.project.address)
        if (place.file, place.line) not in told:
            rule, address = f"{PLAN}{error.code}", error.subject or str(workspace.project.address)
            found.append(
                Finding(
                    rule,
                    Severity.CRITICAL,
                    address,
                    (),
                    place,
                    f"No plan of this can be made: {error.message}.",
                    f"{error.next_step}." if error.next_step else "",
                    fingerprint=fingerprint(rule, address, ()),
                )
            )
    return replace(report, findings=(*found, *report.findings))


def severity_of(fail_on: str | None, workspace: Workspace) -> Severity:
    """The severity that blocks: of the line, else of the Project.

    Raises:
        OperatorError: it is none.
    """
    level = workspace.project.spec.fail_on if fail_on in {None, WEAKEN} else str(fail_on)
    try:
        return Severity(level)
    except ValueError:
        raise OperatorError(
            "QNSP-OPS-053",
            f"--fail-on {level!r} is no severity",
            expected=", ".join([*Severity, WEAKEN]),
            next_step="use one of those",
        ) from None


def read_baseline(path: Path) -> set[str]:
    """The fingerprints of an earlier `check --format json`; a baseline may only shrink.

    Raises:
        OperatorError: it is not such a file.
    """
    try:
        value = json.loads(path.read_bytes())
        return {str(finding["fingerprint"]) for finding in value["findings"]}
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            "QNSP-OPS-054",
            f"{path} is no baseline",
            subject=str(path),
            next_step="make one with `qnsp-policy check --out json=baseline.json`",
        ) from error


__all__ = [
    "PLAN",
    "WEAKEN",
    "Checked",
    "check",
    "judge",
    "read_baseline",
    "refusals_of",
    "severity_of",
    "with_refusals",
]
