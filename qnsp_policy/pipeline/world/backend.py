"""The port to the place where state lives: a small key-value store with conditional writes.

Keys are `/`-separated names under one workspace's root. An etag names one exact content; a write is conditional on the
etag that was read, so that two writers can never both succeed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from qnsp_policy.errors import OperatorError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
MAX_KEY: Final = 512


class _Absent:
    """The condition "there is nothing under this key"."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


class Conflict(OperatorError):  # noqa: N818 - as HTTP names it
    """A conditional write met another content than it was made for (QNSP-LCK-010)."""

    def __init__(self, key: str) -> None:
        super().__init__(
            "QNSP-LCK-010",
            f"{key} was changed by somebody else in the meantime",
            subject=key,
            next_step="plan again; `qnsp-policy lock list` says who is at work",
        )


class Backend(Protocol):
    """Where state lives."""

    @property
    def url(self) -> str:
        """The URL that Pulumi is given for its own state."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """The content and its etag, or None."""

    def put(self, key: str, data: bytes, *, if_match: str | _Absent | None = None) -> str:
        """Write whole or not at all, durable on return.

        Args:
            key: where.
            data: what.
            if_match: the etag the present content must have, ABSENT if there must be none, None for no condition.

        Returns:
            The new etag.

        Raises:
            Conflict: the condition does not hold; nothing was written.
            OperatorError: QNSP-ENG-0xx, the store cannot be written (full, read-only, away).
        """

    def list(self, prefix: str) -> Iterable[str]:
        """The keys that begin with `prefix`, sorted."""

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Remove; nothing happens if there is nothing.

        Raises:
            Conflict: the content is another.
        """

    def drop_files(self, folder: str) -> None:
        """Remove what lies in a folder of the root, Pulumi's own included; nothing happens if there is nothing."""

    def drop_scratch(self) -> None:
        """Remove what killed runs of the engine left half-written; only for the holder of the lease, while no engine is at work."""


class Portable(Backend, Protocol):
    """A backend whose whole content, Pulumi's own included, can be taken out and put into another."""

    def files(self) -> Mapping[str, bytes]:
        """Everything, by name relative to the root."""

    def put_files(self, files: Mapping[str, bytes]) -> None:
        """Write what `files` gave."""


def check_key(key: str) -> str:
    """Refuse a key that could leave the store's root."""
    if len(key) > MAX_KEY or not _KEY.fullmatch(key):
        raise ValueError(f"not a key of a backend: {key!r}")
    return key


Absent = _Absent

__all__ = ["ABSENT", "MAX_KEY", "Absent", "Backend", "Conflict", "Portable", "check_key"]
