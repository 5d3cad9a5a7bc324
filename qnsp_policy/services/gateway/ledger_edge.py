"""The gateway's own log in a folder; its keys live in this process only, and the evidence binds their public halves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.kernel.crypto.keys import PrivateKey
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import FileLedger


class FileAnswerLedger:
    """`AnswerLedger` over a log in a folder."""

    def __init__(self, folder: Path, origin: str, keys: tuple[PrivateKey, ...]) -> None:
        self._log = FileLedger(folder, origin, SoftwareSigner(origin, keys))

    def append(self, *, actor: str, subject: str, data: Mapping[str, Any], now: datetime) -> int:
        return self._log.append(LedgerRecord("receipt", now.replace(microsecond=0), actor, subject, data), now).index

    def prove(self, index: int) -> tuple[bytes, bytes]:
        return self._log.entry(index), self._log.prove(index).to_bytes()


__all__ = ["FileAnswerLedger"]
