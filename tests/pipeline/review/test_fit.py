"""Long lines are broken at spaces, never inside a word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.pipeline.review.fit import fit

_LINES = st.text(alphabet=st.sampled_from("ab \x1b[0m\n"), max_size=200)


def test_a_labelled_line_goes_on_under_its_text() -> None:
    """What goes on stands under the first word after the label."""
    assert fit("ok           signature over status and model", 32).split("\n") == [
        "ok           signature over",
        "             status and model",
    ]


def test_an_indented_line_goes_on_deeper() -> None:
    """A line without a label goes on four columns deeper than it began."""
    assert fit("  under sev-snp, measurement e1a6...", 20).split("\n") == [
        "  under sev-snp,",
        "      measurement",
        "      e1a6...",
    ]


def test_a_long_word_stays_whole() -> None:
    """A digest longer than the line can still be copied."""
    digest = "sha256:" + "a" * 64
    assert digest in fit(f"TrustRoot {digest} is new", 40).replace("\n", " ").split()


def test_paint_takes_no_room() -> None:
    """Escape sequences do not count."""
    line = "\x1b[1;31mhigh\x1b[0m   a b"
    assert fit(line, 10) == line


@given(_LINES, st.integers(min_value=1, max_value=60))
def test_no_word_is_lost(text: str, width: int) -> None:
    """Whatever the text, the words are the same, in the same order."""
    assert fit(text, width).split() == text.split()
