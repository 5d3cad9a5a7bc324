"""The broker's own log in its folder, as the `BrokerLedger` that the service records into."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.kernel.crypto.keyfile_edge import KeyFile, read_key_file, write_key_file
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import FileLedger
from qnsp_policy.services.broker.state import StateVersion

LOG_ALGORITHMS = ("Ed25519", "ML-DSA-44")
_BUNDLE = 256


def open_log_keys(path: Path, name: str) -> KeyFile:
    """The log's keys, made at the first start: Ed25519 for today's witnesses, ML-DSA-44 as C2SP cosignatures have it."""
    if path.exists():
        return read_key_file(path)
    return write_key_file(path, name, tuple(generate(algorithm) for algorithm in LOG_ALGORITHMS))


class FileBrokerLedger:
    """`BrokerLedger` over a log in a folder."""

    def __init__(self, folder: Path, origin: str, keys: KeyFile) -> None:
        self._log = FileLedger(folder, origin, SoftwareSigner(keys.name, keys.keys))
        self._state = self._newest_state()

    def record(self, kind: str, *, actor: str, subject: str, data: Mapping[str, Any], now: datetime) -> int:
        appended = self._log.append(LedgerRecord(kind, now.replace(microsecond=0), actor, subject, data), now)
        if kind == "broker-state":
            self._state = StateVersion(int(data["version"]), str(data["digest"]))
        return appended.index

    def last_state(self) -> StateVersion | None:
        return self._state

    def checkpoint(self) -> str:
        head = self._log.checkpoint()
        return head.note.decode() if head else ""

    def _newest_state(self) -> StateVersion | None:
        """From the end backwards, a bundle at a time."""
        for stop in range(self._log.size, 0, -_BUNDLE):
            newest: StateVersion | None = None
            for _, record in self._log.records(max(0, stop - _BUNDLE), stop):
                if record.type == "broker-state":
                    newest = StateVersion(int(record.data["version"]), str(record.data["digest"]))
            if newest is not None:
                return newest
        return None


__all__ = ["FileBrokerLedger", "open_log_keys"]
