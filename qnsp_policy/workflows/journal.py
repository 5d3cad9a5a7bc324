"""What the ledger says of every apply: how it ended, also of one that was killed before it could say so.

An apply is recorded under its lease, after its state. One that was killed in between, or at work, is recorded by the next
command that holds the lease.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError, QnspError
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.ledger.store_edge import AppendedRecord
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.lease import Lease
from qnsp_policy.pipeline.engine.order import ApplyRecord, Status
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.trust.authorisation import read_plan_file
from qnsp_policy.pipeline.world.backend import Backend
from qnsp_policy.workflows.runtime import WorkspaceLedger, open_backend, open_ledger

_KINDS = frozenset({"apply", "destroy", "restore"})
_NAMED = 400
"""Units that a record names one by one; an entry of the ledger holds 64 KiB."""


@dataclass(slots=True)
class Journal:
    """Writes the records of one apply.

    Attributes:
        kind: apply or destroy.
        operator: whose keys spoke to the broker.
        noted: what was appended last.
    """

    ledger: WorkspaceLedger
    backend: Backend
    kind: str
    operator: str
    now: datetime
    noted: AppendedRecord | None = field(default=None, init=False)

    def begun(self) -> None:
        """Called under the lease: record what a killed run could not."""
        catch_up(self.ledger, self.backend, now=self.now)

    def ended(self, record: ApplyRecord) -> None:
        """Called under the lease: record how this run ended."""
        when = max(self.now, record.finished.replace(microsecond=0))
        self.noted = self.ledger.note(
            self.kind, actor=self.operator, subject=record.plan_digest, data=summary(record), now=when
        )


def catch_up(ledger: WorkspaceLedger, backend: Backend, *, now: datetime) -> AppendedRecord | None:
    """Record the last run if it is not; only for whoever holds the lease.

    Returns:
        The record, None if there was nothing to add.

    Raises:
        OperatorError: QNSP-OPS-076, the state is older than what the ledger says was applied.
    """
    run = records.read_run(backend)
    last = last_known(ledger)
    if last > run.serial:
        raise OperatorError(
            "QNSP-OPS-076",
            f"the state went back: it says that apply {run.serial} was the last, the ledger knows apply {last}",
            expected=f"serial {last}",
            got=f"serial {run.serial}",
            next_step="put back the newer state; only where it is lost: `qnsp-policy state import BACKUP --force`, which the "
            "ledger records, then plan again",
        )
    if last == run.serial:
        ledger.log.tidy()
        return None
    record = records.read_apply(backend, run.serial)
    data = summary(record) if record is not None else {"serial": run.serial, "interrupted": True}
    kind = _kind(backend, run.plan_digest)
    return ledger.note(kind, actor="recovery", subject=run.plan_digest, data={**data, "late": True}, now=now)


def settle(root: Path, workspace: Workspace, *, now: datetime, lock_timeout: float = 0.0) -> AppendedRecord | None:
    """Take the lease and record the last run if it is not; a destroy that left nothing but its end to say has come to it.

    Raises:
        LockHeld: somebody is at work.
    """
    backend = open_backend(root, workspace)
    if records.read_run(backend).serial == 0:
        return None
    with Lease.acquire(backend, purpose="record of the last run", wait_seconds=lock_timeout):
        noted = catch_up(open_ledger(root, workspace), backend, now=now)
        run = records.read_run(backend)
        ended = run.status == records.APPLIED or backend.list("units/")
        if not ended and _kind(backend, run.plan_digest) == "destroy":
            records.write_run(backend, replace(run, status=records.APPLIED))
        return noted


def summary(record: ApplyRecord) -> dict[str, Any]:
    """A record's data: units by name, or their number and digest where they are too many for an entry."""
    units = [{"unit": unit.unit, "op": unit.op.value, "status": unit.status.value} for unit in record.units]
    data: dict[str, Any] = {"serial": record.serial, "units": units, "takeover": record.takeover}
    if len(units) > _NAMED:
        failed = [item for item in units if item["status"] in {Status.FAILED.value, Status.SKIPPED.value}]
        data["units"] = failed[:_NAMED]
        data["counts"] = dict(sorted(Counter(f"{item['op']} {item['status']}" for item in units).items()))
        data["unitsDigest"] = sha256_digest(jcs(units))
    return data


def restored(ledger: WorkspaceLedger, serial: int, workspace_id: str, *, now: datetime) -> AppendedRecord:
    """Record that a backup took the state's place; from here on its serial is the last."""
    return ledger.note("restore", actor="state import", subject=workspace_id, data={"serial": serial}, now=now)


def last_known(ledger: WorkspaceLedger) -> int:
    """The serial of the last run or restore that the ledger knows, 0 if there was none."""
    log = ledger.log
    for start in reversed(range(0, log.size, 256)):
        for _, record in reversed(list(log.records(start, start + 256))):
            if record.type in _KINDS and "serial" in record.data:
                return int(record.data["serial"])
    return 0


def _kind(backend: Backend, plan_digest: str) -> str:
    found = backend.get(records.plan_key(plan_digest))
    try:
        payload = read_plan_file(found[0]).payload if found is not None else {}
        return "destroy" if payload.get("options", {}).get("destroy") else "apply"
    except QnspError:
        return "apply"


__all__ = ["Journal", "catch_up", "last_known", "restored", "settle", "summary"]
