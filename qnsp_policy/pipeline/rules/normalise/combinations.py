"""Combinations that the catalog excludes, held against each enclave.

Comes in: `Context`. Goes out: one member for each enclave and each excluded combination of its platform, with the
conditions that the enclave does not meet; a combination of which all conditions are met is what the platform cannot do.
A condition names a field by its dotted path: `enclave.`, `platform.` or bare for a field of the enclave's spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qnsp_policy.pipeline.model.kinds import Enclave, Platform
from qnsp_policy.pipeline.rules.inputs import CombinationMember
from qnsp_policy.pipeline.rules.normalise.context import Context


def combinations(context: Context) -> list[CombinationMember]:
    """Every (enclave, excluded combination) pair."""
    members: list[CombinationMember] = []
    platforms: dict[str, Mapping[str, Any]] = {}
    for enclave in context.workspace.of_kind(Enclave):
        platform = context.workspace.find(enclave.spec.platform, Platform)
        capability = context.capability(platform.spec.type)
        if capability is None or not capability.refused:
            continue
        if platform.address not in platforms:
            platforms[platform.address] = platform.to_json()["spec"]
        spec = enclave.to_json()["spec"]
        for refused in capability.refused:
            unmet = sorted(
                name
                for name, pattern in refused.when.items()
                if not matches(_value(name, spec, platforms[platform.address]), pattern)
            )
            members.append(
                {
                    "address": enclave.address,
                    "path": ["spec", *_path(next(iter(refused.when)))],
                    "combination": str(refused.id),
                    "unmet": unmet,
                    "reason": str(refused.reason),
                    "nearest": str(refused.nearest),
                }
            )
    return members


def matches(value: Any, pattern: str) -> bool:
    """Whether a field's value meets a condition.

    `*` any value that is said, `!x` anything but x (also nothing), `>n` a greater number, `a|b` one of, `x*` a prefix.
    """
    if pattern.startswith("!"):
        return not matches(value, pattern[1:])
    if value is None or value == []:
        return False
    if isinstance(value, list):
        return any(matches(item, pattern) for item in value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if pattern.startswith(">"):
        return not isinstance(value, bool) and isinstance(value, int | float) and value > float(pattern[1:])
    return any(text == one or (one.endswith("*") and text.startswith(one[:-1])) for one in pattern.split("|"))


def _value(name: str, enclave: Mapping[str, Any], platform: Mapping[str, Any]) -> Any:
    scope, _, rest = name.partition(".")
    if scope == "platform":
        return _walk(platform, rest)
    return _walk(enclave, rest if scope == "enclave" else name)


def _walk(value: Any, path: str) -> Any:
    for step in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _path(name: str) -> list[str]:
    scope, _, rest = name.partition(".")
    if scope == "platform":
        return ["platform"]
    return (rest if scope == "enclave" else name).split(".")


__all__ = ["combinations", "matches"]
