"""Problems of documents: one class, text that is safe to print, and the one rendering with snippet and caret."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Iterable, Sequence

from qnsp_policy.errors import DocumentError, Place

SHOWN_LIMIT = 120
"""Characters of a user's text that an error repeats."""

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def shown(text: object, limit: int = SHOWN_LIMIT) -> str:
    r"""Text of a document made safe for a terminal: control, bidi and zero-width characters as \x.. or \u...."""
    plain = text if isinstance(text, str) else repr(text)
    if len(plain) > limit:
        plain = plain[: limit - 1] + "…"
    return _UNSAFE.sub(_escaped, plain)


def _escaped(match: re.Match[str]) -> str:
    point = ord(match.group())
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


MANY = 400
"""Above so many candidates only those that share most of their beginning and end are compared closely."""


def _shared(word: str, candidate: str) -> int:
    shortest = min(len(word), len(candidate))
    start = next((n for n in range(shortest) if word[n] != candidate[n]), shortest)
    end = next((n for n in range(shortest - start) if word[-1 - n] != candidate[-1 - n]), shortest - start)
    return start + end - abs(len(word) - len(candidate))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that the author most likely meant, or None when nothing is near."""
    if len(word) > SHOWN_LIMIT:
        return None
    candidates = sorted(set(known))
    folded = {candidate.casefold(): candidate for candidate in reversed(candidates)}
    if word.casefold() in folded:
        return folded[word.casefold()]
    if len(candidates) > MANY:
        candidates = heapq.nlargest(MANY // 4, candidates, key=lambda candidate: _shared(word, candidate))
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """What to say next to somebody whose word is none of those known.

    Args:
        word: what was said.
        known: what could have been.
        otherwise: said where nothing is near; None lists what is known.
    """
    names = sorted(known)
    close = nearest(word, names)
    if close:
        return f"did you mean `{close}`?"
    return otherwise if otherwise is not None else f"one of: {', '.join(names)}" if names else "there is none here"


class Problem(DocumentError):  # noqa: N818 - the word of the domain: parse results hold problems
    """A problem of a document that can show its line.

    Attributes:
        snippet: the source line with carets, "" when the file has none to show.
        label: what stands behind the carets, such as "did you mean `x`?".
        address: `Kind/name` of the document it stands in, "" when that is not known.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        subject: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        place: Place | None = None,
        next_step: str | None = None,
        snippet: str = "",
        label: str = "",
        address: str = "",
    ) -> None:
        super().__init__(
            code,
            message,
            subject=subject or (address or None),
            expected=expected,
            got=got,
            place=place,
            next_step=next_step,
        )
        self.snippet = snippet
        self.label = label
        self.address = address

    def to_json(self) -> dict[str, object]:
        """The base's members, and `hint` where the caret has a label."""
        return super().to_json() | ({"hint": self.label} if self.label else {})


def draw(lines: Sequence[str], place: Place, label: str = "") -> str:
    """The source line of `place` with carets under it and a label behind them.

    Args:
        lines: the lines of the whole file.
        place: a place in that file; a line outside it draws nothing.
        label: what to say behind the carets.
    """
    if not 1 <= place.line <= len(lines):
        return ""
    line = lines[place.line - 1].rstrip("\r\n")
    start = min(place.column, len(line) + 1) - 1
    end = max(start + 1, min((place.end_column or place.column + 1) - 1, len(line)))
    cut = max(0, start - 60)
    before, marked, after = line[cut:start], line[start:end], line[end : end + 60]
    marked = marked[:80]
    left = ("…" if cut else "") + shown(before, 1000)
    middle = shown(marked, 1000)
    number = str(place.line)
    gutter = " " * len(number)
    carets = " " * len(left) + "^" * max(1, len(middle))
    tail = f" {label}" if label else ""
    return f"{gutter} |\n{number} | {left}{middle}{shown(after, 1000)}\n{gutter} | {carets}{tail}"


def render(problem: DocumentError) -> str:
    """One problem as a terminal shows it: code and message, place and address, snippet with caret, next step."""
    lines = [f"error[{problem.code}]: {problem.message}"]
    if problem.place is not None:
        address = getattr(problem, "address", "")
        lines.append(f"  --> {shown(str(problem.place), 400)}" + (f"   {address}" if address else ""))
    snippet = getattr(problem, "snippet", "")
    if snippet:
        lines.append(snippet)
    if problem.next_step:
        lines.append(f"   = {problem.next_step}")
    return "\n".join(lines)


__all__ = ["Problem", "draw", "nearest", "render", "shown"]
