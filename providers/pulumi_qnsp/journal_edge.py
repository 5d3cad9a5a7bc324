"""A provider's journal: what it is about to do is on the disk before it does it (`qnsp_policy.pipeline.world.journal`)."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pulumi_qnsp.kinds import InitFailed, Json, NotOurs
from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.files_edge import sync_folder
from qnsp_policy.pipeline.world.journal import begin_line, end_line, refused_line


class Journal:
    """Appends to one stack's journal.

    Args:
        path: the file, or None where the engine saves after every step itself.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._named = False

    def create(
        self, urn: str, resource_id: str, inputs: Json, work: Callable[[], tuple[str, Json]]
    ) -> tuple[str, Json]:
        """Make a resource between its two lines.

        Raises:
            OperatorError: QNSP-ENG-042, the journal cannot be written; nothing was made.
        """
        self._append(begin_line("create", urn, resource_id, inputs), durable=True)
        try:
            made, state = work()
        except InitFailed as error:
            self._note(end_line(urn, error.resource_id, _beyond(inputs, error.outputs)))
            raise
        except NotOurs:
            self._note(refused_line(urn))
            raise
        self._note(end_line(urn, made, _beyond(inputs, state)))
        return made, state

    def update(self, urn: str, resource_id: str, inputs: Json, work: Callable[[], Json]) -> Json:
        """Change a resource between its two lines.

        Raises:
            OperatorError: QNSP-ENG-042, the journal cannot be written; nothing was changed.
        """
        self._append(begin_line("update", urn, resource_id, inputs), durable=True)
        state = work()
        self._note(end_line(urn, resource_id, _beyond(inputs, state)))
        return state

    def _append(self, line: bytes, *, durable: bool = False) -> None:
        if self._path is None:
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                with self._lock:
                    if os.write(descriptor, line) != len(line):
                        raise OSError("not written whole")
                if durable:  # beside the lock: the kernel takes what waits into one write
                    os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            if durable and not self._named:
                sync_folder(self._path.parent)
                self._named = True
        except OSError as error:
            raise OperatorError(
                "QNSP-ENG-042",
                f"the journal {self._path} cannot be written: {error.strerror or error}",
                next_step="make room and run the same command again",
            ) from error

    def _note(self, line: bytes) -> None:
        # Begun without an end counts as made, so a missing end costs a read and nothing else.
        with contextlib.suppress(OperatorError):
            self._append(line)


def _beyond(inputs: Mapping[str, Any], state: Mapping[str, Any]) -> Json:
    return {name: value for name, value in state.items() if name not in inputs or inputs[name] != value}


__all__ = ["Journal"]
