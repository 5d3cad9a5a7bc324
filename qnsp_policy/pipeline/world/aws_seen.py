"""What was read of one account and region, and how one resource of it is told. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.pipeline.world.observed import Concern

Json = Mapping[str, Any]
UNREAD = object()
"""Stands for a property that a list does not tell; it is neither equal nor different."""


class NotCheckedError(Exception):
    """A part that AWS did not tell; never read as "nothing differs"."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Answers by part; a part that was refused says why."""

    answers: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, part: str) -> Any:
        if part in self.refused:
            raise NotCheckedError(f"{part.partition(':')[0]} not checked ({self.refused[part]})")
        if part not in self.answers and self.refused:
            # Some parts are asked once another's answer is there.
            raise NotCheckedError(
                f"{part.partition(':')[0]} not asked for, since AWS did not tell {', '.join(sorted(self.refused))}"
            )
        return self.answers[part]


@dataclass(frozen=True, slots=True)
class Extra:
    """Something that no declared property covers.

    Attributes:
        by_hand: it stands beside what we made, so that no plan takes it away.
    """

    text: str
    concern: Concern = Concern.SECURITY
    expected: str = ""
    got: str = ""
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One resource as it is.

    Attributes:
        outputs: `id`, and what other resources link to.
        inputs: by the engine's names.
        extras: what stands beside its declared properties.
    """

    outputs: Json
    inputs: Json
    extras: tuple[Extra, ...] = ()


def same(wanted: Any, found: Any) -> bool:
    """Whether two values say the same: numbers as text, policies by content, lists in any order, nothing as absent."""
    if found is UNREAD:
        return True
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(same(wanted.get(name), found.get(name)) for name in {*wanted, *found})
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        left = list(found)
        for item in wanted:
            match = next((index for index, other in enumerate(left) if same(item, other)), None)
            if match is None:
                return False
            left.pop(match)
        return not left
    return bool(plain(wanted) == plain(found))


def plain(value: Any) -> str | None:
    """A value as the text that is compared."""
    if value is None or (not isinstance(value, bool) and value in ("", 0, (), [], {})):
        return None
    if isinstance(value, bool):
        return "true" if value else None
    if isinstance(value, str):
        if value == "false":
            return None
        return json.dumps(json.loads(value), sort_keys=True) if value.startswith("{") else value
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else str(value)
    return json.dumps(value, sort_keys=True, default=str)


def tags_of(found: Json, member: str = "Tags") -> dict[str, str]:
    """Tags as the engine holds them; AWS's own left out."""
    return {tag["Key"]: tag["Value"] for tag in found.get(member) or () if not tag["Key"].startswith("aws:")}


__all__ = ["UNREAD", "Extra", "Found", "Json", "NotCheckedError", "Seen", "plain", "same", "tags_of"]
