"""Recorded state in the backend: genesis, the last run, each applied unit, the plans that were applied.

genesis.json                 who judges the first plan; written once
run.json                     serial, what the last apply was and whether it came to its end, the TrustRoot in force
units/<program>/<name>.json  one unit as it was last applied (docs/formats/state.md)
plans/<sha256>.dsse.json     envelopes of applied plans, by the digest of their payload
applies/<serial>.json        what each apply did
lease.json                   see lease.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.pipeline.engine.order import ApplyRecord
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.pipeline.world.backend import ABSENT, Backend, Conflict
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedState, RecordedUnit

GENESIS = "genesis.json"
RUN = "run.json"
UNIT_FORMAT = "qnsp.unit-state/v1"
RUN_FORMAT = "qnsp.run-state/v1"
APPLIED, PARTIAL, RUNNING, IMPORTING = "applied", "partial", "running", "importing"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunState:
    """The last apply.

    Attributes:
        status: running (it was killed), partial or applied; importing while a backup takes its place.
    """

    serial: int = 0
    status: str = APPLIED
    plan_digest: str = ""
    documents_digest: str = ""
    trust_root: TrustRootValue | None = None

    def to_json(self) -> Json:
        return {
            "format": RUN_FORMAT,
            "serial": self.serial,
            "status": self.status,
            "planDigest": self.plan_digest,
            "documentsDigest": self.documents_digest,
            "trustRoot": self.trust_root.to_json() if self.trust_root else None,
        }


def write_genesis(backend: Backend, genesis: Genesis) -> None:
    """Write the genesis record of a workspace.

    Raises:
        OperatorError: QNSP-ENG-040, this backend has another one already.
    """
    data = _dump(genesis.to_json())
    try:
        backend.put(GENESIS, data, if_match=ABSENT)
    except Conflict as error:
        present = read_genesis(backend)
        if present is not None and present.to_json() == genesis.to_json():
            return
        raise OperatorError(
            "QNSP-ENG-040",
            "this backend holds the genesis record of another workspace or of another TrustRoot",
            next_step="use another backend, or `init --adopt` with the TrustRoot digest that you hold",
        ) from error


def read_genesis(backend: Backend) -> Genesis | None:
    """The genesis record, or None.

    Raises:
        EngineError: QNSP-ENG-041, it cannot be read.
    """
    found = backend.get(GENESIS)
    return None if found is None else _parse(GENESIS, found[0], Genesis.from_json)


def read_run(backend: Backend) -> RunState:
    """What the last apply was; serial 0 if there was none.

    Raises:
        OperatorError: QNSP-ENG-053, a backup that was to take its place is there by half.
    """
    run = _read_run(backend)
    if run.status == IMPORTING:
        raise OperatorError(
            "QNSP-ENG-053",
            "a `state import` into this backend was interrupted: what is there is of two states",
            next_step="run the same `qnsp-policy state import BACKUP` again; it begins anew",
        )
    return run


def begin_import(backend: Backend) -> None:
    """From here on, until a whole record of a run is written, this state is not to be read."""
    write_run(backend, RunState(read_serial(backend), IMPORTING))


def read_serial(backend: Backend) -> int:
    """The serial of whatever is there: also of half a backup; 0 of a torn record."""
    found = backend.get(RUN)
    try:
        json.loads(found[0] if found is not None else b"")
    except ValueError:
        return 0
    return _read_run(backend).serial


def _read_run(backend: Backend) -> RunState:
    found = backend.get(RUN)
    return RunState() if found is None else _parse(RUN, found[0], _run)


def write_run(backend: Backend, run: RunState) -> None:
    backend.put(RUN, _dump(run.to_json()))


def apply_key(serial: int) -> str:
    return f"applies/{serial}.json"


def read_apply(backend: Backend, serial: int) -> ApplyRecord | None:
    """What an apply recorded of itself; None if it was killed before."""
    key = apply_key(serial)
    found = backend.get(key)
    return None if found is None else _parse(key, found[0], ApplyRecord.from_json)


def write_apply(backend: Backend, record: ApplyRecord) -> None:
    backend.put(apply_key(record.serial), _dump(record.to_json()))


def read_state(backend: Backend) -> RecordedState:
    """Everything that plan needs of what was applied; takes no lock and starts nothing."""
    run = read_run(backend)
    units = {}
    for key in backend.list("units/"):
        found = backend.get(key)
        if found is not None:
            unit = _parse(key, found[0], _unit)
            units[unit.id] = unit
    return RecordedState(
        genesis=read_genesis(backend),
        serial=run.serial,
        trust_root=run.trust_root,
        units=dict(sorted(units.items())),
        documents_digest=run.documents_digest,
        unfinished="" if run.status == APPLIED else run.plan_digest,
    )


def read_unit(backend: Backend, unit_id: str) -> RecordedUnit | None:
    """One unit as recorded, or None."""
    key = unit_key(unit_id)
    found = backend.get(key)
    return None if found is None else _parse(key, found[0], _unit)


def write_unit(backend: Backend, unit: RecordedUnit) -> None:
    """Record a unit; durable on return."""
    value = {
        "format": UNIT_FORMAT,
        "id": unit.id,
        "program": unit.program,
        "digest": unit.digest,
        "inputs": unit.inputs,
        "dependsOn": list(unit.depends_on),
        "outputs": unit.outputs,
        "deploymentDigest": unit.deployment_digest,
        "planDigest": unit.plan_digest,
        "appliedAt": _text(unit.applied_at),
    }
    backend.put(unit_key(unit.id), _dump(value))


def delete_unit(backend: Backend, unit_id: str) -> None:
    backend.delete(unit_key(unit_id))


def unit_key(unit_id: str) -> str:
    return f"units/{unit_id}.json"


def plan_key(plan_digest: str) -> str:
    return f"plans/{plan_digest.removeprefix('sha256:')}.dsse.json"


def as_far_as(desired: Any, recorded: Any, held: Mapping[str, str]) -> Any:
    """A unit's inputs as far as an interrupted apply came: broker objects that were not handed over are left out.

    Args:
        desired: the unit's inputs.
        recorded: its inputs before, None for a new unit.
        held: resource name (`<broker>/<kind>/<name>`) -> digest, as the stack's state holds them.
    """
    before = dict(_objects(recorded)) if recorded is not None else {}
    return _filtered(desired, before, held)


def _filtered(value: Any, before: Mapping[str, Any], held: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        filtered = {name: _filtered(member, before, held) for name, member in value.items()}
        connection = value.get("broker")
        if isinstance(connection, dict) and isinstance(value.get("objects"), list):
            kept = {
                name: item
                for name, item in [*before.items(), *_objects(value)]
                if name.startswith(f"{connection.get('name')}/") and held.get(name) == item.get("digest")
            }
            filtered["objects"] = [kept[name] for name in sorted(kept)]
        return filtered
    if isinstance(value, list):
        return [_filtered(member, before, held) for member in value]
    return value


def _objects(value: Any) -> Sequence[tuple[str, Any]]:
    if isinstance(value, dict):
        connection, listed = value.get("broker"), value.get("objects")
        found = [pair for member in value.values() for pair in _objects(member)]
        if isinstance(connection, dict) and isinstance(listed, list):
            found += [(f"{connection.get('name')}/{item['kind']}/{item['name']}", item) for item in listed]
        return found
    if isinstance(value, list):
        return [pair for member in value for pair in _objects(member)]
    return []


def _unit(value: Any) -> RecordedUnit:
    if value["format"] != UNIT_FORMAT:
        raise ValueError(value["format"])
    return RecordedUnit(
        id=str(value["id"]),
        program=str(value["program"]),
        digest=str(value["digest"]),
        inputs=dict(value["inputs"]),
        depends_on=tuple(value["dependsOn"]),
        outputs=dict(value["outputs"]),
        deployment_digest=str(value["deploymentDigest"]),
        plan_digest=str(value["planDigest"]),
        applied_at=_time(value["appliedAt"]),
    )


def _run(value: Any) -> RunState:
    if value["format"] != RUN_FORMAT or value["status"] not in {APPLIED, PARTIAL, RUNNING, IMPORTING}:
        raise ValueError(value["format"])
    return RunState(
        serial=int(value["serial"]),
        status=str(value["status"]),
        plan_digest=str(value["planDigest"]),
        documents_digest=str(value["documentsDigest"]),
        trust_root=None if value["trustRoot"] is None else TrustRootValue.from_json(value["trustRoot"]),
    )


def _parse(key: str, data: bytes, reader: Any) -> Any:
    try:
        return reader(json.loads(data))
    except (ValueError, KeyError, TypeError, OperatorError) as error:
        raise EngineError(
            "QNSP-ENG-041",
            f"recorded state {key} cannot be read: it is torn, or of a version this program does not know",
            subject=key,
            next_step="restore the backend from its backup; nothing is planned or applied on state that cannot be read",
        ) from error


def _dump(value: Json) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


__all__ = [
    "APPLIED",
    "IMPORTING",
    "PARTIAL",
    "RUNNING",
    "RunState",
    "apply_key",
    "as_far_as",
    "begin_import",
    "delete_unit",
    "plan_key",
    "read_apply",
    "read_genesis",
    "read_run",
    "read_serial",
    "read_state",
    "read_unit",
    "unit_key",
    "write_apply",
    "write_genesis",
    "write_run",
    "write_unit",
]
