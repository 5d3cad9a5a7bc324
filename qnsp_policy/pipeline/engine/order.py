"""What an apply is asked to do, and what it answers. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from qnsp_policy.errors import PartialApply
from qnsp_policy.pipeline.plan.envelope import VerifiedPlan
from qnsp_policy.pipeline.plan.values import Action, Op, Unit
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.pipeline.world.recorded import RecordedUnit

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ApplyOrder:
    """A verified plan as the engine needs it.

    Attributes:
        plan_digest: of the plan's payload.
        envelope: the signed and approved envelope, handed to brokers.
        units: desired units by id.
        actions: what happens to which unit; `no-op` and skipped ones may be left out.
        base_serial: serial of the state the plan was made on.
        base_digests: unit id -> deployment digest of that state.
        trust_root: the TrustRoot in force afterwards.
        documents_digest: of the documents planned.
        between: units of a rollout while fleets are replaced, by id; `units` holds what comes after.
        back: fleets as they were applied last, by id: what a fleet goes back to whose new members do not attest.
    """

    plan_digest: str
    envelope: bytes
    units: Mapping[str, Unit]
    actions: tuple[Action, ...]
    base_serial: int
    base_digests: Mapping[str, str] = field(default_factory=dict)
    trust_root: TrustRootValue | None = None
    documents_digest: str = ""
    between: Mapping[str, Unit] = field(default_factory=dict)
    back: Mapping[str, RecordedUnit] = field(default_factory=dict)


def between_of(payload: Mapping[str, Any]) -> dict[str, Unit]:
    """The units of a verified plan's rollout in between."""
    told = payload.get("rollout") or {"units": []}
    return {unit["id"]: Unit.from_json(unit) for unit in told["units"]}


def back_of(payload: Mapping[str, Any]) -> dict[str, RecordedUnit]:
    """The fleets of a verified plan's rollout as they were applied last."""
    told = payload.get("rollout") or {"fleets": {}}
    return {
        name: RecordedUnit(name, fleet["program"], fleet["digest"], fleet["inputs"], tuple(fleet["dependsOn"]))
        for name, fleet in told["fleets"].items()
    }


def order_of(plan: VerifiedPlan) -> ApplyOrder:
    """The engine's view of a verified plan."""
    payload = plan.payload
    proposed = payload["trust"]["trustRoot"]
    return ApplyOrder(
        plan_digest=plan.digest,
        envelope=plan.file,
        units=plan.units,
        actions=tuple(plan.actions.values()),
        base_serial=int(payload["base"]["serial"]),
        base_digests={unit: str(base["deploymentDigest"]) for unit, base in payload["base"]["units"].items()},
        trust_root=TrustRootValue.from_json(proposed["next"]) if proposed else None,
        documents_digest=str(payload["documentsDigest"]),
        between=between_of(payload),
        back=back_of(payload),
    )


class Status(StrEnum):
    """How a unit ended."""

    APPLIED = "applied"
    ALREADY = "already"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class UnitOutcome:
    """What became of one unit.

    Attributes:
        op: what was to be done.
        status: applied; already (by an earlier run of the same plan); failed; skipped, because something before it failed.
        seconds: how long it took.
        outputs: of the stack.
        error: why it failed or was skipped, "" otherwise.
    """

    unit: str
    op: Op
    status: Status
    seconds: float = 0.0
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    def to_json(self) -> Json:
        return {
            "unit": self.unit,
            "op": self.op.value,
            "status": self.status.value,
            "seconds": round(self.seconds, 3),
            "outputs": dict(self.outputs),
            "error": self.error,
        }

    @classmethod
    def from_json(cls, value: Json) -> UnitOutcome:
        """Read what `to_json` wrote."""
        return cls(
            value["unit"], Op(value["op"]), Status(value["status"]), value["seconds"], value["outputs"], value["error"]
        )


@dataclass(frozen=True, slots=True)
class ApplyRecord:
    """What an apply did.

    Attributes:
        serial: of the state it made.
        takeover: of whom the lease was taken over, "" if it was free.
    """

    serial: int
    plan_digest: str
    units: tuple[UnitOutcome, ...]
    started: datetime
    finished: datetime
    takeover: str = ""

    @property
    def failed(self) -> tuple[UnitOutcome, ...]:
        """Units that did not come to their end."""
        return tuple(unit for unit in self.units if unit.status in {Status.FAILED, Status.SKIPPED})

    def to_json(self) -> Json:
        return {
            "format": "qnsp.apply/v1",
            "serial": self.serial,
            "planDigest": self.plan_digest,
            "units": [unit.to_json() for unit in self.units],
            "started": _text(self.started),
            "finished": _text(self.finished),
            "takeover": self.takeover,
        }

    @classmethod
    def from_json(cls, value: Json) -> ApplyRecord:
        """Read what `to_json` wrote."""
        return cls(
            serial=value["serial"],
            plan_digest=value["planDigest"],
            units=tuple(UnitOutcome.from_json(unit) for unit in value["units"]),
            started=_time(value["started"]),
            finished=_time(value["finished"]),
            takeover=value["takeover"],
        )


class ApplyFailed(PartialApply):
    """Some units failed; `record` says which, and what stands."""

    def __init__(self, record: ApplyRecord) -> None:
        broken = [unit for unit in record.failed if unit.status is Status.FAILED]
        skipped = [unit.unit for unit in record.failed if unit.status is Status.SKIPPED]
        stand = [unit.unit for unit in record.units if unit.status in {Status.APPLIED, Status.ALREADY}]
        lines = [f"{unit.unit}: {unit.error}" for unit in broken]
        if skipped:
            lines.append(f"not started: {', '.join(skipped)}")
        lines.append(f"applied and recorded: {', '.join(stand) or 'nothing'}")
        super().__init__(
            "QNSP-APL-001",
            f"{len(broken)} of {len(record.units)} units failed\n  " + "\n  ".join(lines),
            next_step="mend the cause and run the same command again; it goes on from there",
        )
        self.record = record


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


__all__ = ["ApplyFailed", "ApplyOrder", "ApplyRecord", "Status", "UnitOutcome", "back_of", "between_of", "order_of"]
