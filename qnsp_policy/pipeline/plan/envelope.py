"""The plan file: sign, approve, verify (docs/formats/plan.md, approvals.md).

`verify_plan` is what apply asks; it does all that a broker does (`trust.authorisation`) and then holds the plan against
recorded state. What it returns is the only thing that the engine takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qnsp_policy.errors import PlanRefused
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.canonical import jcs, parse_object
from qnsp_policy.kernel.crypto.signer import Signer
from qnsp_policy.pipeline.plan.make import Plan, base_of, check_unblocked
from qnsp_policy.pipeline.plan.recoverability import losses
from qnsp_policy.pipeline.plan.values import Action, Op, PlannedStep, Reason, Unit
from qnsp_policy.pipeline.trust.authorisation import (
    APPROVAL_FORMAT,
    APPROVAL_TYPE,
    Authorisation,
    PlanFile,
    read_plan_file,
    verify_author,
    verify_authorisation,
)
from qnsp_policy.pipeline.trust.brokers import homes_of
from qnsp_policy.pipeline.trust.codec import time_to_text
from qnsp_policy.pipeline.trust.objects import voice_to_json, voices_of
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.pipeline.world.recorded import RecordedState, recorded_policies


@dataclass(frozen=True, slots=True)
class VerifiedPlan:
    """A plan that may be applied; only `verify_plan` makes one.

    Attributes:
        file: the plan file's bytes, which the engine stores and hands to brokers.
        authorisation: who wrote and approved it, and what brokers may take.
        units: what remains after the plan, by id, in the order of the waves.
        actions: what is done, by unit id.
    """

    file: bytes
    authorisation: Authorisation
    units: Mapping[str, Unit]
    actions: Mapping[str, Action]

    @property
    def digest(self) -> str:
        return self.authorisation.plan_digest

    @property
    def payload(self) -> Mapping[str, Any]:
        return self.authorisation.payload


def sign_plan(plan: Plan, signer: Signer) -> bytes:
    """The plan file, signed by its author; nothing checks here that the signer is the author's."""
    envelope = dsse.sign(dsse.PLAN_TYPE, jcs(plan.payload), signer)
    return PlanFile(envelope, (), plan.payload).to_bytes()


def approval_payload(file: PlanFile, approver: str, now: datetime) -> bytes:
    """What an approver signs: the digest of the plan and the rendered trust diff, word for word."""
    return jcs(
        {
            "format": APPROVAL_FORMAT,
            "plan": file.digest,
            "workspaceId": file.payload["workspace"]["id"],
            "approver": approver,
            "approvedAt": time_to_text(now),
            "trustDiff": file.payload["trust"]["rendered"],
        }
    )


def approve_plan(
    data: bytes, signer: Signer, *, approver: str, judge: TrustRootValue, workspace_id: str, now: datetime
) -> bytes:
    """Add an approval to a plan file, after verifying everything that an approver relies on.

    Args:
        data: the plan file.
        signer: of the approver; software keys or SSH.
        approver: identity name in the TrustRoot.
        judge: the TrustRoot in force.
        workspace_id: of the genesis record.
        now: the present moment, aware.

    Returns:
        The plan file with the approval; an earlier one by the same approver and the same keys is replaced.

    Raises:
        PlanRefused: the plan itself would be refused, QNSP-PLN-016 the approver wrote it, or QNSP-PLN-025 the TrustRoot
            (in force or proposed) does not know the signer as the approver's.
    """
    file = read_plan_file(data)
    checked = verify_author(file, judge=judge, workspace_id=workspace_id, now=now)
    if approver == file.payload["author"]:
        raise PlanRefused(
            "QNSP-PLN-016", f"{approver} wrote the plan and cannot approve it", next_step="ask another approver"
        )
    ids = {key.key_id for key in signer.public_keys}
    known = [
        {key.key_id for key in known_signer.public_keys}
        for root in (judge, checked.proposed)
        if approver in root.identities
        for known_signer in root.identities[approver].signers
    ]
    if not any(keys and keys <= ids for keys in known):
        raise PlanRefused(
            "QNSP-PLN-025",
            f"these keys are not a signer of {approver} in the TrustRoot",
            subject=approver,
            got=", ".join(sorted(ids)),
            next_step="sign with the keys that the TrustRoot names for this identity",
        )
    approval = dsse.sign(APPROVAL_TYPE, approval_payload(file, approver, now), signer)
    return add_approval(file, approval)


def add_approval(file: PlanFile, approval: dsse.Envelope) -> bytes:
    """The plan file with one more approval envelope, which anybody verifies who acts on it.

    For signers that are not at hand as a `Signer`: somebody signs `approval_payload` elsewhere (`ssh-keygen -Y sign`).
    """
    ids = {entry.key_id for entry in approval.signatures}
    kept = tuple(old for old in file.approvals if {entry.key_id for entry in old.signatures} != ids)
    return PlanFile(file.envelope, (*kept, approval), file.payload).to_bytes()


def verify_plan(data: bytes, recorded: RecordedState, *, now: datetime) -> VerifiedPlan:
    """Everything that must hold before a plan is applied.

    Raises:
        OperatorError: QNSP-PLN-001, no genesis record.
        PlanRefused: each cause with its own code.
    """
    genesis, judge = recorded.judge()
    authorisation = verify_authorisation(data, pinned_trust_root=judge, workspace_id=genesis.workspace_id, now=now)
    # What changed since then is this very plan's own doing; the engine holds each unit against the plan again.
    if authorisation.plan_digest != recorded.unfinished:
        check_fresh(authorisation.payload, recorded, judge)
    check_unblocked(authorisation.payload, judge)
    units = {unit["id"]: Unit.from_json(unit) for unit in authorisation.payload["units"]}
    actions = {action["unit"]: _action(action) for action in authorisation.payload["actions"]}
    return VerifiedPlan(data, authorisation, units, actions)


def check_fresh(payload: Mapping[str, Any], recorded: RecordedState, judge: TrustRootValue) -> None:
    """Refuse a plan that was made against another state than the recorded one.

    Raises:
        PlanRefused: QNSP-PLN-013 something was applied since, QNSP-PLN-014 a unit is not as it was, QNSP-PLN-018 what the
            plan says of the base is not what is recorded.
    """
    base, current = payload["base"], base_of(recorded, judge)
    if base["serial"] != current["serial"]:
        raise PlanRefused(
            "QNSP-PLN-013",
            "something was applied since this plan was made",
            expected=f"serial {current['serial']}",
            got=f"serial {base['serial']}",
            next_step="plan again",
        )
    if base != current:
        changed = sorted(
            unit
            for unit in {*base["units"], *current["units"]}
            if base["units"].get(unit) != current["units"].get(unit)
        )
        raise PlanRefused(
            "QNSP-PLN-014",
            "the recorded state is not the one this plan was made against",
            subject=", ".join(changed) or "documents of the last apply",
            next_step="plan again",
        )
    trust = payload["trust"]
    inputs = [unit.inputs for unit in recorded.units.values()]
    lost = losses(inputs, [unit["inputs"] for unit in payload["units"]], named=())
    for what, said, known in (
        (
            "the applied release policies",
            trust["base"],
            [p.to_json() for p in recorded_policies(recorded.units).values()],
        ),
        ("the tenants' owners", trust["tenantsBefore"], [voice_to_json(v) for v in voices_of(inputs).values()]),
        (
            "who may become a broker",
            trust.get("brokersBefore", _untold(inputs)),
            [h.to_json() for h in homes_of(inputs)],
        ),
        ("what is lost", sorted(x["subject"] for x in payload["recoverability"]), sorted(x.subject for x in lost)),
    ):
        if said != known:
            raise PlanRefused(
                "QNSP-PLN-018",
                f"the plan says something else of {what} than what is recorded",
                next_step="do not apply it; plan again and find out who wrote this one",
            )


def _untold(inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What a plan of format 1.0, which says nothing of brokers, was right to leave out: those that nobody measures."""
    return [home.to_json() for home in homes_of(inputs) if home.unmeasured]


def _action(value: Mapping[str, Any]) -> Action:
    """One member of a verified plan's `actions`; reasons keep their text, differences stay in the payload."""
    return Action(
        unit=value["unit"],
        op=Op(value["op"]),
        reasons=tuple(Reason(reason["text"]) for reason in value["reasons"]),
        steps=tuple(PlannedStep.from_json(step) for step in value["steps"]),
        skipped=bool(value["skipped"]),
    )


def changes_anything(payload: Mapping[str, Any]) -> bool:
    """Whether applying a plan of this payload would do anything."""
    return payload["trust"]["trustRoot"] is not None or any(action["op"] != "no-op" for action in payload["actions"])


def payload_of(data: bytes) -> Mapping[str, Any]:
    """The payload of a plan file, unverified, for `show`; whoever acts on it verifies it first."""
    return parse_object(read_plan_file(data).envelope.payload, max_bytes=64 * 1024 * 1024)


__all__ = [
    "VerifiedPlan",
    "add_approval",
    "approval_payload",
    "approve_plan",
    "check_fresh",
    "payload_of",
    "sign_plan",
    "verify_plan",
]
