"""`apply`: verify the plan, drive the engine, write the ledger."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.events import Listener
from qnsp_policy.pipeline.engine.order import ApplyFailed, ApplyOrder, ApplyRecord
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.engine.toolchain import require
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.kinds import KeyBroker
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.envelope import VerifiedPlan, verify_plan
from qnsp_policy.workflows.keys import KEYS, list_keys
from qnsp_policy.workflows.plan import read_plan
from qnsp_policy.workflows.runtime import open_backend, open_ledger, recorded_state


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


def engine_settings(root: Path, workspace: Workspace, *, operator: str | None, parallel: int = 4) -> EngineSettings:
    """The engine of this workspace; the pinned pulumi is built if it is not there.

    Raises:
        OperatorError: no Go, or no keys of an operator that a broker knows.
    """
    return EngineSettings(
        workspace=root.resolve(),
        backend=open_backend(root.resolve(), workspace),
        pulumi=require("pulumi", environment=os.environ).path,
        passphrase_file=(root / ".qnsp/passphrase").resolve(),
        environment=dict(os.environ),
        operator_key=operator_key(root, workspace, operator),
        parallel=parallel,
    )


def operator_key(root: Path, workspace: Workspace, operator: str | None) -> Path | None:
    """The key file whose key the brokers admit for administration."""
    from qnsp_policy.kernel.crypto.keys import PublicKey

    admitted = {
        PublicKey.from_jwk(key).key_id for broker in workspace.of_kind(KeyBroker) for key in broker.spec.identity.admin
    }
    for entry in list_keys(root):
        named = operator in {None, entry.name, entry.name.partition("@")[0]}
        if named and admitted & set(entry.key_ids):
            return (root / entry.file).resolve()
    if operator is not None:
        raise OperatorError(
            "QNSP-KEY-013",
            f"{operator} has no key here that a broker admits",
            subject=operator,
            next_step=f"see spec.identity.admin of the KeyBroker and {KEYS.as_posix()}",
        )
    return None


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
    settings = engine_settings(root, workspace, operator=options.operator, parallel=options.parallel)
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
    return (f'Try:  qnsp-policy call {endpoints[0].name} --input "chest pain"',)


__all__ = ["Applied", "ApplyOptions", "apply_plan", "engine_settings", "operator_key"]
