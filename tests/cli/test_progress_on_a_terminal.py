"""What a terminal is told while work lasts, and that nobody else is."""

from __future__ import annotations

import io

import pytest

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.progress import apply_story, patient
from qnsp_policy.pipeline.engine.events import Event, EventKind


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary terminal, whatever this run has."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


class Terminal(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self) -> bool:
        return True


def session(stream: io.StringIO) -> Session:
    """A line of which only standard error is looked at."""
    return Session(stderr=stream, stdout=io.StringIO())


def test_an_apply_tells_how_many_units_are_done_and_what_is_left() -> None:
    """Beside the names of the units at work."""
    watched = Terminal()
    with apply_story(session(watched)) as listen:
        listen(Event(EventKind.WAVE, wave=1, of=4))
        for unit in ("tenant/a", "tenant/b"):
            listen(Event(EventKind.UNIT_STARTED, unit))
        listen(Event(EventKind.UNIT_DONE, "tenant/a", op="create", left=5000))
    assert "1 of 4 units, about 83 min left, tenant/b" in watched.getvalue()


def test_where_nothing_is_known_no_time_is_told() -> None:
    """How many are done is known without."""
    watched = Terminal()
    with apply_story(session(watched)) as listen:
        listen(Event(EventKind.WAVE, wave=1, of=4))
        listen(Event(EventKind.UNIT_STARTED, "tenant/b"))
        listen(Event(EventKind.UNIT_DONE, "tenant/a", op="create"))
    assert "1 of 4 units, tenant/b" in watched.getvalue()
    assert " left" not in watched.getvalue()


def test_the_last_unit_leaves_nothing_to_estimate() -> None:
    """All of them done: no estimate stands."""
    watched = Terminal()
    with apply_story(session(watched)) as listen:
        listen(Event(EventKind.WAVE, wave=1, of=1))
        listen(Event(EventKind.UNIT_STARTED, "tenant/a"))
        listen(Event(EventKind.UNIT_DONE, "tenant/a", op="create"))
    assert " of 1 units" not in watched.getvalue()


@pytest.mark.parametrize(("stream", "told"), [(Terminal(), True), (io.StringIO(), False)])
def test_what_is_of_interest_only_while_it_lasts_is_told_to_a_terminal(stream: io.StringIO, told: bool) -> None:
    """A log of a pipeline holds none of it."""
    with patient(session(stream)) as tell:
        tell("reading the documents: 40%, about 8 s left")
    assert ("about 8 s left" in stream.getvalue()) is told


def test_a_terminal_that_is_told_nothing_sees_nothing() -> None:
    """Short work draws no spinner."""
    watched = Terminal()
    with patient(session(watched)):
        pass
    assert watched.getvalue() == ""
