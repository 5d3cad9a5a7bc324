"""`apply`: verify the plan, drive the engine, write the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener
from qnsp_policy.pipeline.engine.order import ApplyFailed, ApplyOrder, ApplyRecord
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.envelope import VerifiedPlan, verify_plan
from qnsp_policy.workflows.runtime import engine_settings, open_ledger, read_plan, recorded_state


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """What the line asks of an apply."""

    operator: str | None = None
    parallel: int = 4
    lock_timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did.

    Attributes:
        record: of the engine.
        plan: what was applied.
        entry: index of its record in the workspace's ledger.
        checkpoint: root hash of the ledger's checkpoint, hex.
        hints: what to do next.
    """

    record: ApplyRecord
    plan: VerifiedPlan
    entry: int
    checkpoint: str
    hints: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return 6 if self.record.failed else 0

    def lines(self) -> list[str]:
        found = [f"Recorded as entry {self.entry} of the ledger (checkpoint {self.checkpoint[:8]}...)."]
        return [*found, *self.hints]

    def to_json(self) -> dict[str, Any]:
        return {
            "formatVersion": "1.0",
            **self.record.to_json(),
            "ledger": {"entry": self.entry, "checkpoint": self.checkpoint},
            "exitCode": self.exit_code,
        }


def apply_plan(root: Path, path: Path, options: ApplyOptions, *, now: datetime, events: Listener) -> Applied:
    """Verify and apply a plan file.

    Raises:
        PlanRefused: unsigned, under-approved, stale, expired, foreign, or not what the world allows any more.
        LockHeld: somebody else holds the lease.
        PartialApply: some units failed; what was done is recorded, also in the ledger.
    """
    data = read_plan(path)
    workspace = load(root)
    recorded = recorded_state(root, workspace)
    plan = verify_plan(data, recorded, now=now)
    settings = engine_settings(
        root,
        workspace,
        operator=options.operator,
        parallel=options.parallel,
        progress=lambda text: events(Event(EventKind.MESSAGE, text=text)),
    )
    payload = plan.payload
    order = ApplyOrder(
        plan_digest=plan.digest,
        envelope=plan.file,
        units=plan.units,
        actions=tuple(plan.actions.values()),
        base_serial=payload["base"]["serial"],
        base_digests={unit: base["deploymentDigest"] for unit, base in payload["base"]["units"].items()},
        trust_root=plan.authorisation.trust_root_next,
        documents_digest=payload["documentsDigest"],
    )
    ledger = open_ledger(root, workspace)
    kind = "destroy" if payload["options"]["destroy"] else "apply"
    operator = settings.operator_key.stem if settings.operator_key else ""
    try:
        record = apply(order, settings=settings, events=events, lock_timeout=options.lock_timeout)
    except ApplyFailed as failed:
        noted = ledger.note(
            kind, actor=operator, subject=plan.digest, data=_summary(failed.record), now=_end(failed.record, now)
        )
        failed.next_step = f"{failed.next_step}: qnsp-policy apply {path} (entry {noted.index} of the ledger)"
        raise
    except KeyboardInterrupt:
        ledger.note(kind, actor=operator, subject=plan.digest, data={"interrupted": True}, now=now)
        raise
    noted = ledger.note(kind, actor=operator, subject=plan.digest, data=_summary(record), now=_end(record, now))
    return Applied(record, plan, noted.index, noted.checkpoint.root.hex(), _hints(workspace, kind))


def _end(record: ApplyRecord, now: datetime) -> datetime:
    return max(now, record.finished.replace(microsecond=0))


def _summary(record: ApplyRecord) -> dict[str, Any]:
    units = [{"unit": unit.unit, "op": unit.op.value, "status": unit.status.value} for unit in record.units]
    return {"serial": record.serial, "units": units, "takeover": record.takeover}


def _hints(workspace: Workspace, kind: str) -> tuple[str, ...]:
    from qnsp_policy.pipeline.model.kinds import Endpoint

    endpoints = workspace.of_kind(Endpoint)
    if kind == "destroy" or not endpoints:
        return ()
    simulated = any(anchor.simulated for anchor in workspace.trust_root.spec.anchors)
    allow = " --allow-simulated" if simulated else ""
    return (f'Try:  qnsp-policy call {endpoints[0].name} --input "chest pain"{allow}',)


__all__ = ["Applied", "ApplyOptions", "apply_plan"]
