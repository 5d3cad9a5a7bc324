"""Driver and VBIOS versions as numbers that order as the versions do, so that a policy can set a floor."""

from __future__ import annotations

_PARTS = 5
_LIMIT = 1024


def version_number(text: str) -> int:
    """A dotted version as one integer: five parts of ten bits, hex where there are five, as VBIOS writes it.

    `96.00.7A.00.02` and `550.54.15` both fit; a part that is not a number of that base, or a sixth part, is refused.

    Raises:
        ValueError: not such a version.
    """
    parts = text.split(".")
    if len(parts) > _PARTS or not all(part.isascii() and part.isalnum() for part in parts):
        raise ValueError(f"{text!r} is no version of at most five parts")
    base = 16 if len(parts) == _PARTS else 10
    numbers = [int(part, base) for part in parts] + [0] * (_PARTS - len(parts))
    if any(not 0 <= number < _LIMIT for number in numbers):
        raise ValueError(f"{text!r} has a part beyond 1023")
    return sum(number << (10 * (4 - index)) for index, number in enumerate(numbers))


__all__ = ["version_number"]
