"""What the supervisor must remember to take over its processes after its own death: bytes of the state file and back.

A process is in the file before anybody is told that it runs. A crash before that leaves a process that the marker in its
environment, not this file, leads back to: the next supervisor ends it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from qnsp_policy.kernel.processes_edge import ProcessIdentity
from qnsp_policy.kernel.wire.supervisor import ProcessSpec, SupervisorError

FORMAT = "qnsp.supervisor-state/v1"


@dataclass(frozen=True, slots=True)
class Entry:
    """One process that shall run, and the process that last did."""

    spec: ProcessSpec
    identity: ProcessIdentity | None
    restarts: int
    owner: str = ""


def dump(entries: list[Entry]) -> bytes:
    """The state file's bytes."""
    processes = [
        {
            "spec": entry.spec.to_json(),
            "identity": entry.identity.to_json() if entry.identity else None,
            "restarts": entry.restarts,
            "owner": entry.owner,
        }
        for entry in entries
    ]
    return json.dumps({"format": FORMAT, "processes": processes}, indent=1).encode() + b"\n"


def load(data: bytes) -> list[Entry]:
    """Read a state file.

    Raises:
        SupervisorError: QNSP-OPS-102, the file is torn or of another format.
    """
    try:
        value: Any = json.loads(data)
        if value["format"] != FORMAT:
            raise ValueError(value["format"])
        return [
            Entry(
                ProcessSpec.from_json(item["spec"]),
                None if item["identity"] is None else ProcessIdentity.from_json(item["identity"]),
                int(item["restarts"]),
                str(item.get("owner", "")),
            )
            for item in value["processes"]
        ]
    except (ValueError, KeyError, TypeError, SupervisorError) as error:
        raise SupervisorError("QNSP-OPS-102", "the supervisor's state file cannot be read") from error


def delay(spec: ProcessSpec, restarts: int) -> float | None:
    """Seconds to wait before start number `restarts` + 1 in a row, or None when it is one too many."""
    if restarts >= spec.restart_limit:
        return None
    return float(min(spec.backoff_max_seconds, spec.backoff_seconds * 2 ** min(restarts, 16)))


__all__ = ["FORMAT", "Entry", "delay", "dump", "load"]
