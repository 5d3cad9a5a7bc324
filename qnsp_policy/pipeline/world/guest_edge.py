"""What the guests of this machine wrote down of an endpoint (`kernel/wire/guest_status.py`): quoted, never believed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qnsp_policy.kernel.wire.guest_status import MAX_BYTES, GuestStatus

GUESTS = ".qnsp/run/guest"
"""Where guests of the local platform have their working folders (docs/formats/units.md, "enclave")."""


def read_guests(workspace: Path, endpoint: str) -> list[GuestStatus]:
    """Newest try first; what cannot be read says nothing."""
    found = []
    for path in (workspace / GUESTS).glob(f"*/status/{endpoint}.json"):
        with suppress(OSError, ValueError), path.open("rb") as file:
            found.append(GuestStatus.from_bytes(file.read(MAX_BYTES + 1)))
    return sorted((status for status in found if status.endpoint == endpoint), key=lambda s: s.asked, reverse=True)


__all__ = ["GUESTS", "read_guests"]
