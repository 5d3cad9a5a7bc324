"""The folder shaped like configfs-tsm (Linux Documentation/ABI/testing/configfs-tsm-report).

A guest makes `report/<name>`, writes 64 bytes to `inblob` and reads `outblob` and `auxblob`. A real configfs answers within the read;
plain files cannot, so the answer is complete once `generation` has risen: on real hardware that holds at once, so a guest that waits
for it works on both. `privlevel` may be written before `inblob`. A refusal stands in `error`, where the kernel returns EINVAL.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from qnsp_policy.simulator.machine import Machine

_MAX_ENTRIES: Final = 256
_log: Final = logging.getLogger(__name__)


def _put(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old bytes or the new ones, never a part."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


class TsmFolder:
    """Answers the entries of one folder; `poll` looks once and is called many times a second."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._reports = folder / "report"
        self._machine = machine
        self._seen: dict[str, tuple[int, int]] = {}
        self._generation: dict[str, int] = {}
        self._reports.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def asked(self) -> bool:
        """Whether a guest has an entry: it makes one, asks, and removes it."""
        return bool(self._generation)

    def poll(self) -> int:
        """Answers every entry whose `inblob` is new; returns how many were answered."""
        answered = 0
        try:
            names = [entry.name for entry in os.scandir(self._reports) if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return 0
        for name in names[:_MAX_ENTRIES]:
            try:
                answered += self._answer(name)
            except FileNotFoundError:  # the guest removed its entry meanwhile
                continue
        for gone in self._generation.keys() - set(names):
            del self._generation[gone]
            self._seen.pop(gone, None)
        return answered

    def _answer(self, name: str) -> int:
        entry = self._reports / name
        if name not in self._generation:
            self._generation[name] = 0
            _put(entry / "provider", f"{self._machine.provider}\n".encode())
            _put(entry / "generation", b"0\n")
        try:
            status = (entry / "inblob").stat()
        except FileNotFoundError:
            return 0
        state = (status.st_mtime_ns, status.st_ino)
        if status.st_size == 0 or self._seen.get(name) == state:
            return 0
        data = (entry / "inblob").read_bytes()
        level_file = entry / "privlevel"
        try:
            level = int(level_file.read_text(encoding="ascii")) if level_file.exists() else None
            report = self._machine.report(data, vmpl=level)
        except ValueError as error:
            if len(data) < 64:  # perhaps not all written yet: look again
                return 0
            self._seen[name] = state
            _put(entry / "error", f"EINVAL: {error}\n".encode())
            _log.warning("report refused: %s", error)
            return 0
        self._seen[name] = state
        self._generation[name] += 1
        (entry / "error").unlink(missing_ok=True)
        _put(entry / "outblob", report)
        if table := self._machine.table():
            _put(entry / "auxblob", table)
        _put(entry / "generation", f"{self._generation[name]}\n".encode())
        return 1


__all__ = ["TsmFolder"]
