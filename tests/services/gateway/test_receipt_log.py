"""The log of receipts: what it still gives after many answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from qnsp_policy.kernel.crypto.canonical import sha256_digest
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.services.gateway.answers import Exchange, ReceiptLog
from qnsp_policy.services.gateway.callers import Caller

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class CountingLedger:
    """A double of the gateway's log: it counts."""

    size = 0

    def append(self, *, actor: str, subject: str, data: Mapping[str, Any], now: datetime) -> int:
        del actor, subject, data, now
        self.size += 1
        return self.size - 1

    def prove(self, index: int) -> tuple[bytes, bytes]:
        return b"entry %d" % index, b"proof"


def test_the_newest_receipts_are_given_and_the_rest_is_in_the_log() -> None:
    """A gateway that answers for years holds a bounded number of ids."""
    ledger, digest = CountingLedger(), sha256_digest(b"")
    receipts = ReceiptLog(
        ledger, endpoint="e", model="m", key=generate("Ed25519"), model_digest=digest, evidence_digest=digest, shown=3
    )
    caller = Caller("clinic", "app", "key", nonce="nonce")
    exchange = Exchange.begin("POST", "/v1/embeddings", {"host": "e"}, bytes(32), caller, NOW)
    given = [receipts.record(exchange, 200, bytes(32), NOW) for _ in range(5)]
    found = [receipts.prove(one) for one in given]
    assert [None if one is None else one["entry"] for one in found] == [None, None, "entry 2", "entry 3", "entry 4"]
    assert ledger.size == 5
