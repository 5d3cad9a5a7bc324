"""How much a text shows: nobody reads ten thousand findings, and a terminal that gets them shows only the last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

SHOWN = 200
"""Errors, or findings, that a text shows; its JSON twin has all."""

_KINDS = 5


def not_shown(codes: Iterable[str]) -> str:
    """One line about those that are left out: how many of which code, and where all of them stand; "" for none."""
    found = Counter(codes)
    if not found:
        return ""
    kinds = [f"{number} {code}" for code, number in found.most_common(_KINDS)]
    more = ", ..." if len(found) > _KINDS else ""
    return f"{found.total()} more are not shown ({', '.join(kinds)}{more}); `--format json` has all."


__all__ = ["SHOWN", "not_shown"]
