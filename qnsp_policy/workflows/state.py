"""`state`, `lock`, `refresh`: what was applied, and who is at work."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.canonical import timestamp
from qnsp_policy.pipeline.engine import lease
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.workflows.runtime import engine_settings, open_backend, open_ledger, recorded_state


def state_list(root: Path) -> dict[str, Any]:
    """Every unit that is applied, and the TrustRoot in force."""
    recorded = recorded_state(root, load(root))
    genesis, judge = recorded.judge()
    return {
        "formatVersion": "1.0",
        "workspaceId": genesis.workspace_id,
        "serial": recorded.serial,
        "trustRootDigest": judge.digest,
        "units": [
            {
                "id": unit.id,
                "program": unit.program,
                "digest": unit.digest,
                "planDigest": unit.plan_digest,
                "appliedAt": timestamp(unit.applied_at) if unit.applied_at else None,
            }
            for unit in recorded.units.values()
        ],
    }


def state_show(root: Path, unit_id: str) -> dict[str, Any]:
    """One unit as recorded.

    Raises:
        OperatorError: there is none of that id; names the nearest.
    """
    recorded = recorded_state(root, load(root))
    unit = recorded.units.get(unit_id)
    if unit is None:
        close = get_close_matches(unit_id, recorded.units, n=1)
        raise OperatorError(
            "QNSP-OPS-065",
            f"{unit_id} is not applied",
            subject=unit_id,
            next_step=f"did you mean `{close[0]}`?" if close else "see `qnsp-policy state list`",
        )
    return {
        "id": unit.id,
        "program": unit.program,
        "digest": unit.digest,
        "dependsOn": list(unit.depends_on),
        "inputs": dict(unit.inputs),
        "outputs": dict(unit.outputs),
        "deploymentDigest": unit.deployment_digest,
        "planDigest": unit.plan_digest,
        "appliedAt": timestamp(unit.applied_at) if unit.applied_at else None,
    }


def lock_list(root: Path, *, now: datetime) -> list[dict[str, Any]]:
    """Who holds the workspace; empty where nobody does."""
    found = lease.read(open_backend(root, load(root)))
    if found is None or found[0].owner is None:
        return []
    record = found[0]
    expired = record.expires is not None and record.expires < now
    return [
        {
            "holder": f"{record.user}@{record.host}, process {record.owner.pid if record.owner else 0}",
            "purpose": record.purpose,
            "since": timestamp(record.acquired) if record.acquired else None,
            "until": timestamp(record.expires) if record.expires else None,
            "state": "expired" if expired else "held",
            "token": record.token,
        }
    ]


def lock_release(root: Path, *, force: bool, now: datetime) -> dict[str, Any]:
    """Free a lease that somebody left behind; told to the ledger.

    Raises:
        LockHeld: its owner is at work and `force` was not given.
    """
    workspace = load(root)
    before = lease.release_by_force(open_backend(root, workspace), force=force)
    if before.owner is None:
        return {"released": False, "text": "nobody holds it"}
    data = {"holder": before.describe(), "token": before.token, "forced": force}
    open_ledger(root, workspace).note("takeover", actor="lock release", subject="lease", data=data, now=now)
    return {"released": True, "text": f"released; it was held by {before.describe()}", **data}


def refresh(root: Path, *, now: datetime, events: Listener) -> dict[str, Any]:
    """Write what the world says into the recorded state; the ledger says so.

    Raises:
        LockHeld: somebody else holds the lease.
    """
    from qnsp_policy.pipeline.engine.refresh import refresh as read_back

    workspace = load(root)
    settings = engine_settings(
        root, workspace, progress=lambda text: events(Event(EventKind.MESSAGE, text=text))
    )
    done = read_back(settings, events=events)
    changed = [unit.unit for unit in done if unit.result == "changed"]
    open_ledger(root, workspace).note("refresh", actor="refresh", subject="state", data={"changed": changed}, now=now)
    return {
        "formatVersion": "1.0",
        "units": [unit.to_json() for unit in done],
        "changed": changed,
        "failed": [unit.unit for unit in done if unit.result == "failed"],
    }


__all__ = ["lock_list", "lock_release", "refresh", "state_list", "state_show"]
