"""The provider's journal is ahead of the world, and its port answers its own user only."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pulumi_qnsp.journal_edge import Journal
from pulumi_qnsp.kinds import InitFailed, Json, NotOurs
from pulumi_qnsp.peers_edge import _read, owner_of
from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.world.journal import Made, fold


def test_the_journal_says_it_before_it_is_done(tmp_path: Path) -> None:
    """While a resource is made its begin is in the file already; its end follows."""
    path = tmp_path / "s.jsonl"
    seen: list[Made] = []

    def work() -> tuple[str, Json]:
        seen.extend(fold(path.read_bytes()))
        return "p", {"name": "p", "pid": 4}

    assert Journal(path).create("u::t::q::p", "p", {"name": "p"}, work)[0] == "p"
    assert [(item.id, item.state) for item in seen] == [("p", {"name": "p"})]
    assert [item.state for item in fold(path.read_bytes())] == [{"name": "p", "pid": 4}]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_not_ours_leaves_no_trace_and_what_failed_half_way_does(tmp_path: Path) -> None:
    """A refusal made nothing; a process that did not get ready is there."""
    path = tmp_path / "s.jsonl"

    def refused() -> tuple[str, Json]:
        raise NotOurs("QNSP-APL-016", "another's")

    def unready() -> tuple[str, Json]:
        raise InitFailed("QNSP-APL-011", "not ready", "q", {"pid": 5})

    with pytest.raises(NotOurs):
        Journal(path).create("a", "p", {}, refused)
    with pytest.raises(InitFailed):
        Journal(path).create("b", "q", {}, unready)
    assert [(item.urn, item.state) for item in fold(path.read_bytes())] == [("b", {"pid": 5})]


def test_nothing_is_done_that_cannot_be_written_down(tmp_path: Path) -> None:
    """No room for the line, no resource."""

    def never() -> tuple[str, Json]:
        raise AssertionError("it was made")

    with pytest.raises(OperatorError, match="QNSP-ENG-042"):
        Journal(tmp_path / "missing" / "s.jsonl").create("a", "p", {}, never)
    assert Journal(None).create("a", "p", {}, lambda: ("p", {})) == ("p", {})


def test_the_kernel_names_the_user_of_a_connection() -> None:
    """Ours while it stands, nobody's afterwards; by question and by table alike."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as caller:
            theirs = caller.getsockname()[1]
            assert owner_of(f"ipv4:127.0.0.1:{theirs}", port) == os.geteuid()
            assert _read(theirs, port) == os.geteuid()
            assert owner_of(f"ipv4:127.0.0.1:{theirs}", port + 1) is None
        assert owner_of(f"ipv4:127.0.0.1:{theirs}", port) is None
    for strange in ("ipv6:%5B::1%5D:5", "unix:/x", "ipv4:10.0.0.1:5", "ipv4:127.0.0.1:x", ""):
        assert owner_of(strange, 1) is None
