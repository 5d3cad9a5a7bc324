"""Long work says how far it is and how long it will take, once a second at most, and short work says nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qnsp_policy.pipeline.model import build
from qnsp_policy.testing.generator import generated_files
from qnsp_policy.workflows.progress import by_fraction, left


def told(moments: Iterator[float], fractions: list[float]) -> list[str]:
    """What is said of work that is so far at those moments; the first moment is its beginning."""
    said: list[str] = []
    say = by_fraction(said.append, "reading", lambda: next(moments))
    for fraction in fractions:
        say(fraction)
    return said


def test_short_work_is_not_told() -> None:
    """Within a second nobody waits for words."""
    assert told(iter([0.0, 0.3, 0.6, 0.9]), [0.3, 0.6, 0.9]) == []


def test_long_work_is_told_once_a_second() -> None:
    """The part that is done, and what is left at this pace."""
    assert told(iter([0.0, 0.5, 2.0, 2.5, 4.0, 8.0]), [0.1, 0.2, 0.25, 0.5, 1.0]) == [
        "reading: 20%, about 8 s left",
        "reading: 50%, about 4 s left",
    ]


@pytest.mark.parametrize(
    ("fraction", "seconds", "words"),
    [
        (0.5, 0.1, "about 1 s left"),
        (0.5, 99, "about 99 s left"),
        (0.5, 100, "about 2 min left"),
        (0.01, 60, "about 99 min left"),
    ],
)
def test_an_estimate_is_in_words(fraction: float, seconds: float, words: str) -> None:
    """Seconds below a hundred, minutes above; never nothing while something is left."""
    assert left(fraction, seconds) == words


def test_reading_tells_parts_that_only_grow() -> None:
    """From the first file to the last document, never more than the whole."""
    heard: list[float] = []
    build(generated_files(48), told=heard.append)
    assert heard == sorted(heard)
    assert 0 < heard[0] < heard[-1] <= 1
