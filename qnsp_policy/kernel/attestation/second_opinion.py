"""What another verifier says of the same evidence, held against what ours says; a disagreement is a finding.

Comes in: an answer of ours (docs/formats/attest-batch.md) and the other's steps. Goes out: the answer with the opinion and its findings.
Neither verifier overrules the other towards the laxer verdict: evidence that ours accepts and the other refuses is refused, evidence that
ours refuses stays so, and an opinion that was asked for and cannot be had is a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qnsp_policy.kernel.attestation.refusal import Code, collect
from qnsp_policy.kernel.attestation.values import Statement, Verdict

STRICTER: Final = Code(
    "QNSP-ATT-OPI-001", 8, "second-opinion", "another verifier refuses a step that this one did not refuse"
)
LAXER: Final = Code(
    "QNSP-ATT-OPI-002", 8, "second-opinion", "another verifier passes the very step at which this one refuses"
)
ABSENT: Final = Code("QNSP-ATT-OPI-003", 8, "second-opinion", "the second opinion that was asked for could not be had")
CODES: Final = collect({code.code: code for code in (STRICTER, LAXER, ABSENT)})
"""All of them, by code."""

OK, REFUSED, NOT_JUDGED = "ok", "refused", "not judged"
_VERDICTS: Final = frozenset({OK, REFUSED, NOT_JUDGED})
_MAX_STEPS: Final = 64


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the other verifier, under our name of the step where both have it."""

    step: str
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """What another verifier said of one piece of evidence.

    Attributes:
        by: its name and version.
        subject: "evidence", or "device 0" and so on.
        steps: what it judged, in its order; empty where it gave none.
        failure: "" or why there is none: it hung, said nonsense, is not there.
        note: what a reader must know of it (its end of support).
    """

    by: str
    subject: str
    steps: tuple[Step, ...] = ()
    failure: str = ""
    note: str = ""


def steps_of(value: object) -> tuple[Step, ...] | None:
    """Steps from the JSON of another verifier; None where it is not of that form, or judges nothing at all."""
    if not isinstance(value, list) or not 0 < len(value) <= _MAX_STEPS:
        return None
    found: list[Step] = []
    for one in value:
        if not isinstance(one, dict) or one.get("verdict") not in _VERDICTS:
            return None
        step, detail = one.get("step"), one.get("detail", "")
        if not isinstance(step, str) or not isinstance(detail, str) or len(step) > 40:
            return None
        found.append(Step(step, one["verdict"], detail[:400]))
    return tuple(found) if any(one.verdict != NOT_JUDGED for one in found) else None


def hold_against(answer: Mapping[str, Any], opinions: Sequence[Opinion]) -> dict[str, Any]:
    """The answer with `secondOpinions`; refused where an opinion is stricter or missing."""
    shown: list[dict[str, Any]] = []
    first: tuple[Code, str] | None = None
    accepted = answer["verdict"] == "accepted"
    for opinion in opinions:
        findings = _findings(answer, opinion, accepted=accepted)
        if accepted and first is None and findings:
            first = findings[0]
        shown.append(
            {
                "by": opinion.by,
                "subject": opinion.subject,
                "verdict": _word(opinion),
                **({"failure": opinion.failure} if opinion.failure else {}),
                **({"note": opinion.note} if opinion.note else {}),
                "steps": [{"step": one.step, "verdict": one.verdict, "detail": one.detail} for one in opinion.steps],
                "findings": [{"code": code.code, "detail": detail} for code, detail in findings],
            }
        )
    found = {**answer, "secondOpinions": shown}
    if "statements" in answer and opinions:
        said = statement(shown)
        found["results"] = {**answer["results"], said.name: said.verdict.value}
        found["statements"] = [
            *answer["statements"],
            {"name": said.name, "verdict": said.verdict.value, "detail": said.detail}
            | ({"code": said.code} if said.code else {}),
        ]
    if first is not None:
        code, detail = first
        found |= {
            "verdict": "refused",
            "code": code.code,
            "step": code.step,
            "stepName": code.step_name,
            "detail": f"{code.meaning}: {detail}",
        }
    return found


def statement(shown: Sequence[Mapping[str, Any]]) -> Statement:
    """One statement for all opinions as `hold_against` shows them."""
    findings = [finding for one in shown for finding in one["findings"]]
    if findings:
        return Statement("second-opinion", Verdict.REFUSED, findings[0]["detail"], findings[0]["code"])
    who = ", ".join(dict.fromkeys(one["by"] for one in shown))
    return Statement("second-opinion", Verdict.OK, f"{who} judges no step otherwise")


def _word(opinion: Opinion) -> str:
    if not opinion.steps:
        return "none"
    return "refused" if any(one.verdict == REFUSED for one in opinion.steps) else "accepted as far as judged"


def _findings(answer: Mapping[str, Any], opinion: Opinion, *, accepted: bool) -> list[tuple[Code, str]]:
    if not opinion.steps:
        return [(ABSENT, f"{opinion.by}, {opinion.subject}: {opinion.failure or 'it judged nothing'}")]
    if accepted:
        return [
            (STRICTER, f"{opinion.by}, {opinion.subject}, {one.step}: {one.detail}")
            for one in opinion.steps
            if one.verdict == REFUSED
        ]
    at = [one for one in opinion.steps if one.step == answer["stepName"]]
    if at and all(one.verdict == OK for one in at):
        return [(LAXER, f"{opinion.by}, {opinion.subject}, {at[0].step}: {answer['code']} here")]
    return []


__all__ = ["ABSENT", "CODES", "LAXER", "STRICTER", "Opinion", "Step", "hold_against", "statement", "steps_of"]
