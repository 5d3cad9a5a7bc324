"""`call` beside an endpoint that is not there."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.testing.aws_examples import initialised
from qnsp_policy.testing.listening import answering
from qnsp_policy.workflows.call import call


def test_an_endpoint_that_hangs_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a balancer without members does: a plain word and what to look at, no traceback."""
    root = initialised(tmp_path, "aws-nitro")
    with socket.create_server(("127.0.0.1", 0)) as listener, answering(listener, lambda stream: stream.recv(1)):
        monkeypatch.setenv("QNSP_REACH", f"triage.clinic.example:8443=127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(OperatorError, match="does not answer") as told:
            call(root, "triage", ["x"], key=None, save=None, allow_simulated=True, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert told.value.code == "QNSP-OPS-067"
    assert "was the plan applied" in str(told.value.next_step)
