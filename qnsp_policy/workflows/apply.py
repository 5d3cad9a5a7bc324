"""`apply`: verify the plan, drive the engine, write the ledger."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import PlanRefused, QnspError
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
from qnsp_policy.kernel.ledger.store_edge import AppendedRecord
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener
from qnsp_policy.pipeline.engine.order import ApplyFailed, ApplyOrder, ApplyRecord, back_of, between_of
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.envelope import verify_plan
from qnsp_policy.pipeline.plan.values import Op
from qnsp_policy.pipeline.review.ledger_text import denial_lines
from qnsp_policy.pipeline.trust.authorisation import read_plan_file
from qnsp_policy.workflows.estimate import Estimate
from qnsp_policy.workflows.journal import Journal, settle
from qnsp_policy.workflows.ledger import denials_since
from qnsp_policy.workflows.runtime import asked_elsewhere, engine_settings, open_backend, open_ledger, read_plan

_LOOKED_AT = 3
"""Earlier applies that are asked how long their units took."""


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
        entry: index of its record in the workspace's ledger.
        checkpoint: root hash of the ledger's checkpoint, hex.
        hints: what to do next.
    """

    record: ApplyRecord
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
    backend = open_backend(root, workspace)
    run = records.read_run(backend)
    if run.status == records.APPLIED and run.serial and read_plan_file(data).digest == run.plan_digest:
        return _finished(root, workspace, run.serial, lock_timeout=options.lock_timeout, now=now)
    recorded = records.read_state(backend)
    plan = verify_plan(data, recorded, now=now)
    settings = engine_settings(
        root,
        workspace,
        operator=options.operator,
        parallel=options.parallel,
        progress=lambda text: events(Event(EventKind.MESSAGE, text=text)),
    )
    if told := asked_elsewhere(workspace):
        events(Event(EventKind.MESSAGE, text=told))
    payload = plan.payload
    todo = {
        action.unit: action.op.value
        for action in plan.actions.values()
        if action.op is not Op.NO_OP and not action.skipped
    }
    earlier = [
        record for serial in range(run.serial, 0, -1)[:_LOOKED_AT] if (record := records.read_apply(backend, serial))
    ]
    order = ApplyOrder(
        plan_digest=plan.digest,
        envelope=plan.file,
        units=plan.units,
        actions=tuple(plan.actions.values()),
        base_serial=payload["base"]["serial"],
        base_digests={unit: base["deploymentDigest"] for unit, base in payload["base"]["units"].items()},
        trust_root=plan.authorisation.trust_root_next,
        documents_digest=payload["documentsDigest"],
        between=between_of(payload),
        back=back_of(payload),
    )
    kind = "destroy" if payload["options"]["destroy"] else "apply"
    operator = read_key_file(settings.operator_key).name if settings.operator_key else ""
    journal = Journal(open_ledger(root, workspace), backend, kind, operator, now)
    try:
        record = apply(
            order,
            settings=settings,
            events=Estimate(todo, earlier, parallel=options.parallel, events=events),
            lock_timeout=options.lock_timeout,
            begun=journal.begun,
            ended=journal.ended,
        )
    except ApplyFailed as failed:
        failed.message += "".join(f"\n  {line}" for line in _denied(root, workspace, now))
        entry = f" (entry {journal.noted.index} of the ledger)" if journal.noted else ""
        failed.next_step = (
            f"{failed.next_step}: {shlex.join(['qnsp-policy', *_where(root), 'apply', str(path)])}{entry}"
        )
        raise
    return _applied(record, journal.noted, _hints(workspace, kind))


def _finished(root: Path, workspace: Workspace, serial: int, *, lock_timeout: float, now: datetime) -> Applied:
    """The end of an apply that was killed after its last change and before its record; refused if nothing was left."""
    noted = settle(root, workspace, now=now, lock_timeout=lock_timeout)
    record = records.read_apply(open_backend(root, workspace), serial)
    if noted is None or record is None:
        raise PlanRefused(
            "QNSP-PLN-101",
            f"this very plan was applied already, as apply {serial}",
            got=f"serial {serial}",
            next_step="nothing is left to do; plan again for another change",
        )
    return _applied(record, noted, ())


def _applied(record: ApplyRecord, noted: AppendedRecord | None, hints: tuple[str, ...]) -> Applied:
    if noted is None:
        raise RuntimeError("an apply that ended well is recorded")
    return Applied(record, noted.index, noted.checkpoint.root.hex(), hints)


def _where(root: Path) -> list[str]:
    return [] if root == Path() else ["-C", str(root)]


def _denied(root: Path, workspace: Workspace, began: datetime) -> list[str]:
    """What the brokers refused meanwhile, with claim, value and demand: often the cause, and never on the wire."""
    lines: list[str] = []
    try:
        found = denials_since(root, workspace, began)
    except (QnspError, OSError):  # a ledger that cannot be read is told by `ledger verify`; here another failure is
        return []
    for denial in found:
        lines.append(f"denied {denial['subject']}: {denial['data'].get('code', '')}")
        lines += denial_lines(denial["data"])
    return lines


def _hints(workspace: Workspace, kind: str) -> tuple[str, ...]:
    from qnsp_policy.pipeline.model.kinds import Endpoint

    endpoints = workspace.of_kind(Endpoint)
    if kind == "destroy" or not endpoints:
        return ()
    simulated = any(anchor.simulated for anchor in workspace.trust_root.spec.anchors)
    allow = " --allow-simulated" if simulated else ""
    return (f'Try:  qnsp-policy call {endpoints[0].name} --input "chest pain"{allow}',)


__all__ = ["Applied", "ApplyOptions", "apply_plan"]
