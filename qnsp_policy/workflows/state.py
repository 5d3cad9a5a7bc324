"""`state`, `lock`, `refresh`: what was applied, and who is at work."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest, timestamp
from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.pipeline.documents.problems import did_you_mean
from qnsp_policy.pipeline.engine import lease, records
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.world.backend import Backend
from qnsp_policy.pipeline.world.local_edge import LocalReader
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedUnit
from qnsp_policy.workflows.journal import last_known, restored
from qnsp_policy.workflows.runtime import engine_settings, open_backend, open_ledger, recorded_state

EXPORT_FORMAT = "qnsp.state-export/v1"


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
        raise OperatorError(
            "QNSP-OPS-065",
            f"{unit_id} is not applied",
            subject=unit_id,
            next_step=did_you_mean(unit_id, recorded.units, "see `qnsp-policy state list`"),
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


def state_export(root: Path, path: Path, *, now: datetime) -> dict[str, Any]:
    """Write the whole state, Pulumi's own included, into one file: a backup, or the way to another backend.

    Taken under the lease, so that it is of one moment. Secrets in it stay encrypted; the passphrase is not in it.

    Raises:
        LockHeld: somebody is at work.
    """
    backend = open_backend(root, load(root))
    with lease.Lease.acquire(backend, purpose="state export"):
        recorded = records.read_state(backend)
        genesis, _ = recorded.judge()
        files = {name: data for name, data in backend.files().items() if not _passing(name)}
    body = {name: base64.b64encode(data).decode() for name, data in sorted(files.items())}
    document = {
        "format": EXPORT_FORMAT,
        "workspaceId": genesis.workspace_id,
        "serial": recorded.serial,
        "exportedAt": timestamp(now),
        "digest": sha256_digest(jcs(body)),
        "files": body,
    }
    write_whole(path, json.dumps(document, indent=1).encode())
    return {name: value for name, value in document.items() if name != "files"} | {
        "file": str(path),
        "entries": len(files),
        "units": len(recorded.units),
    }


def state_import(root: Path, path: Path, *, force: bool, now: datetime) -> dict[str, Any]:
    """Put an exported state into this workspace's backend.

    Raises:
        LockHeld: somebody is at work.
        OperatorError: QNSP-OPS-074, the file is no whole export; QNSP-OPS-075, the backend holds another workspace; or,
            without `force`, it or the ledger knows a newer state, which brokers have seen already.
    """
    try:
        document = json.loads(path.read_bytes())
        files = {str(name): base64.b64decode(text, validate=True) for name, text in document["files"].items()}
        whole = document["format"] == EXPORT_FORMAT and document["digest"] == sha256_digest(jcs(document["files"]))
        workspace_id, serial = str(document["workspaceId"]), int(document["serial"])
    except (ValueError, KeyError, TypeError, AttributeError):
        whole, files, workspace_id, serial = False, {}, "", 0
    if not whole or any(name.startswith("/") or ".." in name.split("/") for name in files):
        raise OperatorError(
            "QNSP-OPS-074",
            f"{path} is no whole export of a state",
            subject=str(path),
            expected=EXPORT_FORMAT,
            next_step="take another backup; `qnsp-policy state export FILE` makes them",
        )
    workspace = load(root)
    backend = open_backend(root, workspace)
    with lease.Lease.acquire(backend, purpose="state import"):
        ledger = open_ledger(root, workspace)
        present = _present(backend, path, force=force)
        held = max(records.read_serial(backend), last_known(ledger))
        other = present is not None and present.workspace_id != workspace_id
        if other or (held > serial and not force):
            raise OperatorError(
                "QNSP-OPS-075",
                "this backend holds the state of another workspace"
                if other
                else "this backend or the ledger knows a newer state",
                subject=str(path),
                expected=present.workspace_id if other and present else f"serial {held} or later",
                got=workspace_id if other else f"serial {serial}",
                next_step="name another backend in qnsp.yaml"
                if other
                else "go back with --force only when the newer state is lost; what was applied since shows as drift",
            )
        # Killed anywhere from here to the last write, it is a state that nothing reads, and is imported again.
        records.begin_import(backend)
        for key in set(backend.list("units/")) - {name.removeprefix("qnsp/") for name in files}:
            backend.delete(key)
        last = f"qnsp/{records.RUN}"
        backend.put_files({name: data for name, data in files.items() if name != last})
        restored(ledger, serial, workspace_id, now=now)
        if last in files:
            backend.put_files({last: files[last]})
        else:
            backend.delete(records.RUN)
    return {"file": str(path), "workspaceId": workspace_id, "serial": serial, "entries": len(files)}


def _present(backend: Backend, path: Path, *, force: bool) -> Genesis | None:
    """Whose state is there; a torn record is nobody's, where the line insists."""
    try:
        return records.read_genesis(backend)
    except EngineError as error:
        if force:
            return None
        raise OperatorError(
            "QNSP-OPS-075",
            "whose state this backend holds cannot be told: genesis.json is torn or of another version",
            subject=str(path),
            next_step="see that the backend is this workspace's, then import with --force",
        ) from error


def _passing(name: str) -> bool:
    """What belongs to a run and not to the state: our lease, Pulumi's locks and backups."""
    return name == f"qnsp/{lease.KEY}" or "/locks/" in f"/{name}" or "/backups/" in f"/{name}"


def lock_list(root: Path, *, now: datetime) -> list[dict[str, Any]]:
    """Who holds the workspace; empty where nobody does."""
    found = lease.read(open_backend(root, load(root)))
    if found is None or found[0].owner is None:
        return []
    record = found[0]
    expired = record.expires is not None and record.expires < now
    gone = lease.is_abandoned(record, now)
    return [
        {
            "holder": f"{record.user}@{record.host}, process {record.owner.pid if record.owner else 0}",
            "purpose": record.purpose,
            "since": timestamp(record.acquired) if record.acquired else None,
            "until": timestamp(record.expires) if record.expires else None,
            "state": "expired" if expired else "abandoned" if gone else "held",
            "token": record.token,
        }
    ]


def lock_release(root: Path, *, force: bool, now: datetime) -> dict[str, Any]:
    """Free a lease that somebody left behind; told to the ledger.

    Raises:
        LockHeld: its owner is at work and `force` was not given.
    """
    workspace = load(root)

    def noted(record: lease.LeaseRecord) -> None:
        # First the record, then the deed: a release that is killed in between is done, and recorded, again.
        open_ledger(root, workspace).note(
            "takeover", actor="lock release", subject="lease", data=_released(record, force=force), now=now
        )

    before = lease.release_by_force(open_backend(root, workspace), force=force, before=noted)
    if before.owner is None:
        return {"released": False, "text": "nobody holds it"}
    data = _released(before, force=force)
    return {"released": True, "text": f"released; it was held by {before.describe()}", **data}


def _released(record: lease.LeaseRecord, *, force: bool) -> dict[str, Any]:
    return {"holder": record.describe(), "token": record.token, "forced": force}


def must_answer(root: Path, units: Mapping[str, RecordedUnit]) -> None:
    """What a silent supervisor runs is unknown, not gone: forgotten by a refresh, it would outlive a destroy.

    Raises:
        OperatorError: QNSP-OPS-141, the supervisor of these units does not answer.
    """
    if not any("supervisor" in unit.inputs for unit in units.values()):
        return
    try:
        LocalReader(root.resolve()).reports()
    except OSError as error:
        raise OperatorError(
            "QNSP-OPS-141",
            "the supervisor does not answer, so nothing that it runs can be read back",
            next_step="bring it back by what is declared: qnsp-policy plan --save mend.plan, then approve and apply mend.plan",
        ) from error


def refresh(root: Path, *, now: datetime, events: Listener) -> dict[str, Any]:
    """Write what the world says into the recorded state; the ledger says so.

    Raises:
        LockHeld: somebody else holds the lease.
        OperatorError: QNSP-OPS-141, the supervisor does not answer.
    """
    from qnsp_policy.pipeline.engine.refresh import refresh as read_back
    from qnsp_policy.workflows.estimate import Estimate

    workspace = load(root)
    units = recorded_state(root, workspace).units
    must_answer(root, units)
    settings = engine_settings(root, workspace, progress=lambda text: events(Event(EventKind.MESSAGE, text=text)))
    work = dict.fromkeys(units, "refresh")
    done = read_back(settings, events=Estimate(work, (), parallel=settings.parallel, events=events))
    changed = [unit.unit for unit in done if unit.result == "changed"]
    open_ledger(root, workspace).note("refresh", actor="refresh", subject="state", data={"changed": changed}, now=now)
    return {
        "formatVersion": "1.0",
        "units": [unit.to_json() for unit in done],
        "changed": changed,
        "failed": [unit.unit for unit in done if unit.result == "failed"],
    }


def import_resource(root: Path, unit: str, name: str, id_: str, *, now: datetime, events: Listener) -> dict[str, Any]:
    """Put a resource that exists into a unit's stack; the ledger says so.

    Raises:
        LockHeld: somebody else holds the lease.
        OperatorError: there is no such unit, resource or id.
    """
    from qnsp_policy.pipeline.engine.importing import import_resource as put_in

    workspace = load(root)
    settings = engine_settings(root, workspace, progress=lambda text: events(Event(EventKind.MESSAGE, text=text)))
    kind = put_in(settings, unit, name, id_, events=events)
    data = {"resource": name, "type": kind, "id": id_}
    open_ledger(root, workspace).note("import", actor="import", subject=unit, data=data, now=now)
    return {"formatVersion": "1.0", "unit": unit, **data}


__all__ = [
    "EXPORT_FORMAT",
    "import_resource",
    "lock_list",
    "lock_release",
    "must_answer",
    "refresh",
    "state_export",
    "state_import",
    "state_list",
    "state_show",
]
