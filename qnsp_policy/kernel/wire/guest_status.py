"""What a guest says of one of its endpoints while nobody can ask the endpoint itself: a small file in its working folder.

Diagnosis only, written by whoever may write there: a reader may stop waiting because of it and quote it, and must never
take anything for served, attested or released because of it. Format `qnsp.guest-status/v1` (docs/formats/units.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

FORMAT: Final = "qnsp.guest-status/v1"
MAX_BYTES: Final = 16 * 1024
_TEXT: Final = 2000


class GuestState(StrEnum):
    """How far an endpoint is: it waits for something, the broker said no, it was released but does not start, it serves."""

    WAITING = "waiting"
    DENIED = "denied"
    FAILED = "failed"
    SERVING = "serving"


@dataclass(frozen=True, slots=True)
class GuestStatus:
    """One endpoint at one guest.

    Attributes:
        endpoint: its name.
        state: what the latest try came to.
        asked: when that try began, aware: what it was told is not older than that.
        times: how many tries in a row came to this state.
        code: of the refusal or error, "" where there is none.
        text: what was said, without secrets.
        decision: id under which the broker's ledger explains a denial, "" otherwise.
    """

    endpoint: str
    state: GuestState
    asked: datetime
    times: int = 1
    code: str = ""
    text: str = ""
    decision: str = ""

    def to_bytes(self) -> bytes:
        """The file."""
        members = {
            "format": FORMAT,
            "endpoint": self.endpoint,
            "state": self.state.value,
            "asked": self.asked.isoformat(),
            "times": self.times,
            "code": self.code,
            "text": self.text[:_TEXT],
            "decision": self.decision,
        }
        return json.dumps(members, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> GuestStatus:
        """Read a file.

        Raises:
            ValueError: it is none of this format.
        """
        if len(data) > MAX_BYTES:
            raise ValueError(f"a guest's status has at most {MAX_BYTES} bytes")
        try:
            value: Any = json.loads(data)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        texts = {name: value.get(name) for name in ("endpoint", "code", "text", "decision", "asked")}
        times = value.get("times")
        if not all(isinstance(text, str) for text in texts.values()) or not isinstance(times, int) or times < 1:
            raise ValueError("a member of a guest's status is missing or of another type")
        asked = datetime.fromisoformat(str(texts.pop("asked")))
        if asked.tzinfo is None:
            raise ValueError("`asked` has no time zone")
        return cls(
            state=GuestState(str(value.get("state"))), asked=asked, times=times, **{k: str(v) for k, v in texts.items()}
        )


__all__ = ["FORMAT", "MAX_BYTES", "GuestState", "GuestStatus"]
