"""What must hold inside of one document and no single field can say: thresholds that can be met, names given once."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import PydanticCustomError


def reachable(threshold: int, among: int, whom: str) -> None:
    """Refuse a threshold that more people must meet than there are.

    Raises:
        PydanticCustomError: QNSP-DOC-041.
    """
    if threshold > among:
        raise PydanticCustomError(
            "QNSP-DOC-041",
            "threshold {threshold} cannot be met by {among} {whom}",
            {"threshold": threshold, "among": among, "whom": whom},
        )


def distinct(names: Iterable[object], what: str) -> None:
    """Refuse a name, key or algorithm that is listed twice.

    Raises:
        PydanticCustomError: QNSP-DOC-042.
    """
    seen: set[object] = set()
    for name in names:
        if name in seen:
            raise PydanticCustomError(
                "QNSP-DOC-042", "the {what} {name} is listed twice", {"what": what, "name": str(name)}
            )
        seen.add(name)


def needs(condition: bool, what: str, because: str) -> None:
    """Refuse a choice that lacks what it depends on.

    Raises:
        PydanticCustomError: QNSP-DOC-043.
    """
    if not condition:
        raise PydanticCustomError(
            "QNSP-DOC-043", "`{what}` is needed because {because}", {"what": what, "because": because}
        )


__all__ = ["distinct", "needs", "reachable"]
