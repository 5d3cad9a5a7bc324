"""What a guest writes down of an endpoint: the broker's no, a start that fails, and nothing where it cannot write."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.wire.guest_status import MAX_BYTES, GuestState, GuestStatus
from qnsp_policy.services.guest.agent import Agent
from qnsp_policy.services.guest.configuration import read_configuration
from qnsp_policy.services.guest.rcar import BrokerSession, Denied


class FakeSession:
    """Answers every fetch with the same error, and stops the agent after some."""

    def __init__(self, error: Exception, stopping: threading.Event, after: int) -> None:
        self.error, self.stopping, self.left = error, stopping, after

    def fetch(self, _resource: str) -> None:
        self.left -= 1
        if self.left <= 0:
            self.stopping.set()
        raise self.error


def status_after(error: Exception, tmp_path: Path, tries: int = 1) -> GuestStatus | None:
    """What lies in the agent's folder after so many tries that end so."""
    stopping = threading.Event()
    configuration = {
        "name": "clinic-0",
        "broker": {"url": "http://127.0.0.1:1", "tls": {"mode": "insecure-plaintext"}},
        "endpoints": [{"name": "e", "resource": "clinic/endpoint/e"}],
        "workdir": str(tmp_path / "work"),
    }

    def no_report(_data: bytes) -> Any:
        raise AssertionError("nothing is attested here")

    Agent(
        read_configuration(json.dumps(configuration).encode()),
        broker=cast("BrokerSession", FakeSession(error, stopping, tries)),
        get_report=no_report,
        stopping=stopping,
    ).run()
    path = tmp_path / "work/status/e.json"
    return GuestStatus.from_bytes(path.read_bytes()) if path.exists() else None


def test_a_denial_is_written_down(tmp_path: Path) -> None:
    """With code, decision and how often; the try is as old as its question."""
    before = datetime.now(UTC)
    said = status_after(Denied(403, "QNSP-REL-003", "denied x", "5f2a"), tmp_path, tries=2)
    assert said is not None
    assert (said.state, said.times, said.code) == (GuestState.DENIED, 2, "QNSP-REL-003")
    assert (said.text, said.decision) == ("denied x", "5f2a")
    assert before <= said.asked <= datetime.now(UTC)


def test_a_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """No denial, so nobody stops waiting because of it."""
    said = status_after(OperatorError("QNSP-GST-007", "the broker cannot be reached"), tmp_path)
    assert said is not None
    assert (said.state, said.code, said.decision) == (GuestState.WAITING, "QNSP-GST-007", "")


def test_a_status_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """A file where the folder should be: the agent goes on."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work/status").write_text("in the way")
    assert status_after(Denied(404, "QNSP-REL-004", "denied x", ""), tmp_path, tries=2) is None


GOOD = json.loads(GuestStatus("e", GuestState.FAILED, datetime(2026, 11, 21, tzinfo=UTC), 2).to_bytes())
BAD = {
    "another format": GOOD | {"format": "qnsp.guest-status/v2"},
    "another state": GOOD | {"state": "happy"},
    "never tried": GOOD | {"times": 0},
    "a number for a text": GOOD | {"text": 1},
    "no time zone": GOOD | {"asked": "2026-11-21T10:00:00"},
    "no object": [],
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_status_is_refused(name: str) -> None:
    """Each is a ValueError, which its reader passes over."""
    with pytest.raises(ValueError, match=r".+"):
        GuestStatus.from_bytes(json.dumps(BAD[name]).encode())


def test_a_status_that_is_nested_too_deeply_is_refused() -> None:
    """Depth is a ValueError like any other fault: whoever writes there cannot fell the reader."""
    with pytest.raises(ValueError, match="nested too deeply"):
        GuestStatus.from_bytes(b"[" * MAX_BYTES)


def test_a_status_is_small() -> None:
    """Long texts are cut when written, a longer file is not read."""
    said = GuestStatus("e", GuestState.FAILED, datetime(2026, 11, 21, tzinfo=UTC), 1, text="x" * 100_000)
    assert len(GuestStatus.from_bytes(said.to_bytes()).text) == 2000
    with pytest.raises(ValueError, match="at most"):
        GuestStatus.from_bytes(b" " * (MAX_BYTES + 1))
