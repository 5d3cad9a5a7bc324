"""Two policy documents against each other, in words about who may now do what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]
_ATTESTED = "kms:RecipientAttestation"


def policy_changes(applied: Any, found: Any) -> str:
    """What the found policy says that the applied one does not, and what it no longer says; "" when they are the same."""
    old, new = _by_name(_parsed(applied)), _by_name(_parsed(found))
    parts = [f"{name} added: {says(new[name])}" for name in sorted(set(new) - set(old))]
    parts += [f"{name} gone: {_gone(old[name])}" for name in sorted(set(old) - set(new))]
    for name in sorted(set(old) & set(new)):
        if old[name] != new[name]:
            members = [m for m in sorted({*old[name], *new[name]}) if old[name].get(m) != new[name].get(m)]
            parts.append(f"{name} changed in {', '.join(members)}: {says(new[name])}")
    if not parts and _parsed(applied) != _parsed(found):
        return "changed outside its statements"
    return "; ".join(parts)


def _parsed(value: Any) -> Json:
    if isinstance(value, str):
        value = json.loads(value) if value else {}
    return value if isinstance(value, Mapping) else {}


def _by_name(policy: Json) -> dict[str, Json]:
    statements = policy.get("Statement", ())
    every = [statements] if isinstance(statements, Mapping) else statements
    return {str(one.get("Sid", f"statement {number}")): one for number, one in enumerate(every, start=1)}


def says(statement: Json) -> str:
    """One statement as a sentence."""
    who, may = _who(statement), "may" if statement.get("Effect") == "Allow" else "may not"
    what = ", ".join(_many(statement.get("Action"))) or f"everything but {', '.join(_many(statement.get('NotAction')))}"
    tests = sorted({key for test in (statement.get("Condition") or {}).values() for key in test})
    where = f" if {', '.join(tests)}" if tests else " without any condition"
    if (
        may == "may"
        and what
        and any(action.startswith("kms:") or action == "*" for action in _many(statement.get("Action")))
    ):
        where += "" if any(key.startswith(_ATTESTED) for key in tests) else " and without attestation"
    return f"{who} {may} {what}{where}"


def _gone(statement: Json) -> str:
    if statement.get("Effect") == "Deny":
        return f"nothing denies {', '.join(_many(statement.get('Action')))} to {_who(statement)} any more"
    return f"{_who(statement)} lost {', '.join(_many(statement.get('Action')))}"


def _who(statement: Json) -> str:
    told = statement.get("Principal", statement.get("NotPrincipal"))
    if told is None:
        return "it"
    names = _many(told) if not isinstance(told, Mapping) else [name for value in told.values() for name in _many(value)]
    who = "anybody" if "*" in names else ", ".join(names)
    return f"anybody but {who}" if "NotPrincipal" in statement else who


def _many(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else [str(item) for item in value]


__all__ = ["policy_changes", "says"]
