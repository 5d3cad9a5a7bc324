"""One line an event: what a unit is, and in a few words what it says of itself once it is done."""

from __future__ import annotations

import pytest

from qnsp_policy.cli.progress import event_line
from qnsp_policy.pipeline.engine.events import Event, EventKind, where
from qnsp_policy.pipeline.review.style import plain

ENDPOINT = {"url": "https://127.0.0.1:8443", "keyId": "4be1" * 10, "assurance": "simulated (sev-snp)"}


def test_a_unit_that_is_done_says_where_it_answers() -> None:
    """Address, key and assurance stand behind the time; control characters of another's text do not get through."""
    event = Event(EventKind.UNIT_DONE, "endpoint/e", "create", text=where(ENDPOINT), wave=3, seconds=3.1)
    line = event_line(event, paint=plain)
    assert line.startswith("  wave 3  endpoint/e ")
    assert line.endswith("created     3.1 s  https://127.0.0.1:8443  key 4be14be14be1...  simulated (sev-snp)")
    assert "\x1b" not in event_line(Event(EventKind.UNIT_DONE, "e", "create", text="\x1b[2J"), paint=plain)


@pytest.mark.parametrize("outputs", [{}, {"members": [{"pid": 1}]}, {"url": None, "keyId": ""}])
def test_a_unit_with_nothing_to_say_ends_with_its_time(outputs: dict[str, object]) -> None:
    """Nothing, and no blank, follows the seconds."""
    assert event_line(Event(EventKind.UNIT_DONE, "u", "update", text=where(outputs)), paint=plain).endswith(" s")
