"""Random damage to bytes, for searches without coverage guidance."""

from __future__ import annotations

import random
from typing import Final

_WORDS: Final = (b"\xff\xff\xff\xff", b"\x30\x84\xff", b"\x9f", b"\xbf", b"[[", b'{"a":', b"\0" * 8)


def damaged(data: bytes, dice: random.Random) -> bytes:
    """One to four edits: bytes changed, cut, doubled, moved, lengths blown up."""
    for _ in range(dice.randint(1, 4)):
        at, size = dice.randrange(len(data) + 1), dice.randint(1, 48)
        match dice.randrange(6):
            case 0:
                data = data[:at] + dice.randbytes(dice.randint(1, 4)) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + size :]
            case 2:
                data = data[: at + size] + data[at:]
            case 3:
                other = dice.randrange(len(data) + 1)
                data = data[:at] + data[other : other + size] + data[at + size :]
            case 4:
                data = data[:at] + dice.choice(_WORDS) + data[at:]
            case _:
                data = data[:at]
        data = data or b"\0"
    return data


__all__ = ["damaged"]
