"""A record of the ledger: what happened, when, who did it, about what.

Comes in: plain values without secrets. Goes out: RFC 8785 bytes of at most 65535 bytes, and back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.canonical import jcs, parse_object, parse_timestamp, timestamp
from qnsp_policy.kernel.ledger.tiles import MAX_ENTRY

FORMAT: Final = "qnsp.record/v1"
_TYPE = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """One record.

    Attributes:
        type: "genesis", "plan", "approval", "apply", "release", "denial", "destroy", "receipt", "checkpoint" ...
        time: when it happened, aware, whole seconds.
        actor: who did it: an identity, or the name of a service.
        subject: what it is about: an address, a resource path, a digest.
        data: JSON without secrets; digests of what does not fit.
    """

    type: str
    time: datetime
    actor: str
    subject: str
    data: Mapping[str, Any]

    def __post_init__(self) -> None:
        if _TYPE.match(self.type) is None:
            raise ValueError(f"a record type is a lower-case word, not {self.type[:60]!r}")
        if self.time.tzinfo is None:
            raise ValueError("a time without a zone means nothing")

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "format": FORMAT,
            "type": self.type,
            "time": timestamp(self.time),
            "actor": self.actor,
            "subject": self.subject,
            "data": dict(self.data),
        }

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes: the entry of the log.

        Raises:
            OperatorError: QNSP-LDG-012, more than 65535 bytes.
        """
        data = jcs(self.to_json())
        if len(data) > MAX_ENTRY:
            raise OperatorError(
                "QNSP-LDG-012",
                f"a {self.type} record of {len(data)} bytes; an entry holds at most {MAX_ENTRY}",
                subject=self.subject,
                next_step="Log a digest and keep the bytes elsewhere.",
            )
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> LedgerRecord:
        """Reads an entry.

        Raises:
            PeerError: QNSP-LDG-008.
        """
        try:
            value = parse_object(data, max_bytes=MAX_ENTRY)
            if set(value) != {"format", "type", "time", "actor", "subject", "data"} or value["format"] != FORMAT:
                raise _malformed(f"not an object of format {FORMAT}")
            texts = value["type"], value["actor"], value["subject"]
            if not all(isinstance(text, str) for text in texts) or not isinstance(value["data"], dict):
                raise _malformed("a member has another type")
            record = cls(value["type"], parse_timestamp(value["time"]), value["actor"], value["subject"], value["data"])
        except ValueError as error:
            if isinstance(error, PeerError):
                raise _malformed(error.message) from None
            raise _malformed("type or time") from None
        if record.to_bytes() != data:
            raise _malformed("not in canonical form")
        return record


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-LDG-008", f"malformed ledger record: {message}")


__all__ = ["FORMAT", "LedgerRecord"]
