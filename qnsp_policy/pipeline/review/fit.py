"""Long lines broken at spaces for a terminal, so that it does not break them inside a word.

Nothing is cut or hyphenated: a digest or a path longer than the line stays whole, so it can still be copied.
"""

from __future__ import annotations

import re

_PAINT = re.compile(r"\x1b\[[0-9;]*m")
_LABEL = re.compile(r"^(\S+(?: \S+)? {2,})\S")
_LABEL_MOST = 16


def fit(text: str, width: int) -> str:
    """The same words with no line longer than `width` where a space allows it; what goes on is indented."""
    return "\n".join(_fit_line(line, width) for line in text.split("\n"))


def _fit_line(line: str, width: int) -> str:
    if len(line) <= width or len(_PAINT.sub("", line)) <= width:
        return line
    pad = " " * _hang(_PAINT.sub("", line))
    done: list[str] = []
    current, used = "", 0
    for piece in re.findall(r" *[^ ]+", line):
        size = len(_PAINT.sub("", piece))
        if used and used + size > width:
            done.append(current)
            word = piece.lstrip(" ")
            current, used = pad + word, len(pad) + len(_PAINT.sub("", word))
        else:
            current, used = current + piece, used + size
    return "\n".join([*done, current])


def _hang(line: str) -> int:
    label = _LABEL.match(line)
    if label and len(label[1]) <= _LABEL_MOST:
        return len(label[1])
    return len(line) - len(line.lstrip(" ")) + 4


__all__ = ["fit"]
