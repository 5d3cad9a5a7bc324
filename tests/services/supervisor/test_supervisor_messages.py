"""Messages and state of the supervisor as values."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.kernel.wire.supervisor import (
    ProcessReport,
    ProcessSpec,
    Readiness,
    Request,
    Restart,
    State,
    SupervisorError,
    parse_answer,
)
from qnsp_policy.services.supervisor.state import Entry, delay, dump, load

SPEC = ProcessSpec("broker-main", ("/bin/true", "x"), "/tmp", {"A": "b"}, Restart.ALWAYS, Readiness(file="/tmp/x"))


def test_who_it_runs_for_and_which_are_asked_about_cross_the_wire() -> None:
    """Owner and names arrive; a request without them, and a report of an earlier version, read as nobody's and all."""
    request = Request("ensure", process=SPEC, owner="urn:a", wait_seconds=1.0)
    assert Request.from_line(request.to_line()) == request
    assert Request.from_line(Request("list", names=("a", "b")).to_line()).names == ("a", "b")
    assert Request.from_line(b'{"op":"list"}\n').names == ()
    report = ProcessReport("a", State.READY, "sha256:0", owner="urn:a")
    assert ProcessReport.from_json(report.to_json()) == report
    old = report.to_json()
    del old["owner"]
    assert ProcessReport.from_json(old).owner == ""
    for bad in (b'{"op":"list","names":"a"}\n', b'{"op":"list","names":[1]}\n'):
        with pytest.raises(SupervisorError, match="QNSP-OPS-101"):
            Request.from_line(bad)


def test_what_is_written_is_read_back() -> None:
    """Specifications, requests, reports and state survive the wire."""
    assert ProcessSpec.from_json(SPEC.to_json()) == SPEC
    request = Request("ensure", process=SPEC, wait_seconds=2.0)
    assert Request.from_line(request.to_line()) == request
    report = ProcessReport("a", State.READY, SPEC.digest(), 3, 1, -9, "why", "/log")
    assert ProcessReport.from_json(report.to_json()) == report
    assert load(dump([Entry(SPEC, None, 2)])) == [Entry(SPEC, None, 2)]


@pytest.mark.parametrize(
    ("member", "value", "text"),
    [
        ("name", "Broker", "process.name"),
        ("name", "../x", "process.name"),
        ("argv", [], "process.argv"),
        ("argv", ["a\0b"], "process.argv"),
        ("argv", [1], "process.argv"),
        ("cwd", "relative", "process.cwd"),
        ("env", {"A=B": "c"}, "process.env"),
        ("env", {"A": 1}, "process.env.A"),
        ("restart", "sometimes", "process.restart"),
        ("readiness", {"http": None, "file": None}, "exactly one"),
        ("readiness", {"http": "ftp://x"}, "readiness.http"),
        ("readiness", {"file": "/x", "timeoutSeconds": True}, "timeoutSeconds"),
        ("restartLimit", -1, "restartLimit"),
        ("surprise", 1, "surprise"),
    ],
)
def test_a_bad_specification_names_its_member(member: str, value: object, text: str) -> None:
    """One mutation of a good specification, one error that names it."""
    with pytest.raises(SupervisorError, match=text) as error:
        ProcessSpec.from_json({**SPEC.to_json(), member: value})
    assert error.value.code == "QNSP-OPS-101"


@given(st.binary(max_size=200))
def test_any_line_is_a_request_or_our_error(line: bytes) -> None:
    """A parser raises only our errors on any bytes."""
    for parser in (Request.from_line, parse_answer, load):
        with contextlib.suppress(SupervisorError):
            parser(line)


def test_backoff_doubles_to_its_maximum_and_ends() -> None:
    """0.25, 0.5, 1 ... 15 s, and None after the limit."""
    assert [delay(SPEC, n) for n in (0, 1, 2, 7, 8)] == [0.25, 0.5, 1.0, 15.0, None]


def test_the_digest_sees_every_member() -> None:
    """Two specifications with the same digest are the same."""
    assert SPEC.digest() != ProcessSpec.from_json({**SPEC.to_json(), "configDigest": "x"}).digest()
    assert SPEC.digest() == ProcessSpec.from_json(SPEC.to_json()).digest()
