"""An evaluator of AWS policies for tests: allow, deny, and why; the servers that tests run against enforce none.

Implements what the AWS IAM User Guide says of evaluation within one account ("Policy evaluation logic"): an explicit deny wins,
then any allow of the key policy that names the principal itself, then, where the key policy names the account, an allow of
the principal's own policies; else denied. Condition operators: those that our policies use; another one is an error.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One call.

    Attributes:
        principal: ARN of the role (or of root, `arn:aws:iam::<account>:root`).
        action: `kms:Decrypt`.
        context: condition keys that the request carries; a key that is absent is absent.
        resource: ARN, or `*`.
    """

    principal: str
    action: str
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    resource: str = "*"


def allowed(request: Request, resource_policy: Json | None, identity_policies: Sequence[Json] = ()) -> bool:
    """Whether the call goes through."""
    own = [statement for policy in identity_policies for statement in policy["Statement"]]
    theirs = list(resource_policy["Statement"]) if resource_policy else []
    hits = [s for s in own if _matches(s, request, principal=False)]
    direct = [s for s in theirs if _names(s, request.principal) and _matches(s, request, principal=True)]
    if any(s["Effect"] == "Deny" for s in (*hits, *direct)):
        return False
    if any(s["Effect"] == "Allow" for s in direct):
        return True
    account = _root(request.principal)
    delegated = resource_policy is None or any(
        s["Effect"] == "Allow" and _names(s, account) and _matches(s, request, principal=True) for s in theirs
    )
    return delegated and any(s["Effect"] == "Allow" for s in hits)


def _root(principal: str) -> str:
    parts = principal.split(":")
    return ":".join([*parts[:5], "root"])


def _names(statement: Json, principal: str) -> bool:
    named = statement["Principal"]
    values = named if isinstance(named, str) else named.get("AWS", [])
    listed = [values] if isinstance(values, str) else values
    return "*" in listed or principal in listed


def _matches(statement: Json, request: Request, *, principal: bool) -> bool:
    del principal
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    if not any(fnmatch.fnmatchcase(request.action.lower(), action.lower()) for action in actions):
        return False
    resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    if not any(fnmatch.fnmatchcase(request.resource, resource) or request.resource == "*" for resource in resources):
        return False
    context = {"aws:PrincipalArn": request.principal, **request.context}
    return all(
        _condition(operator, name, _filled(wanted, context), context.get(name))
        for operator, block in statement.get("Condition", {}).items()
        for name, wanted in block.items()
    )


def _filled(wanted: str | Sequence[str], context: Mapping[str, Any]) -> list[str]:
    """Policy variables replaced; one that the request does not carry matches nothing."""
    listed = [wanted] if isinstance(wanted, str) else list(wanted)
    found = []
    for value in listed:
        name = value.removeprefix("${").removesuffix("}")
        found.append(str(context.get(name, "\0")) if value.startswith("${") else value)
    return found


def _condition(operator: str, name: str, wanted: str | Sequence[str], got: str | Sequence[str] | None) -> bool:
    listed = [wanted] if isinstance(wanted, str) else list(wanted)
    if operator.endswith("IfExists"):
        return got is None or _condition(operator.removesuffix("IfExists"), name, listed, got)
    if operator == "Null":
        return (got is None) is (listed == ["true"])
    if operator.startswith("ForAnyValue:"):
        values = [] if got is None else [got] if isinstance(got, str) else list(got)
        return any(_condition(operator.removeprefix("ForAnyValue:"), "", listed, value) for value in values)
    negated = operator in {"ArnNotEquals", "StringNotEquals"}
    if got is None:
        return negated
    if not isinstance(got, str):
        raise TypeError(f"{operator} of several values needs a set operator")
    match operator:
        case "StringEquals" | "ArnEquals":
            return got in listed
        case "StringNotEquals" | "ArnNotEquals":
            return got not in listed
        case "StringEqualsIgnoreCase":
            return got.lower() in {value.lower() for value in listed}
        case "StringLike" | "ArnLike":
            return any(fnmatch.fnmatchcase(got, value) for value in listed)
        case "DateLessThanEquals":
            return all(_time(got) <= _time(value) for value in listed)
        case "DateGreaterThanEquals":
            return all(_time(got) >= _time(value) for value in listed)
        case "NumericLessThan":
            return all(float(got) < float(value) for value in listed)
        case "Bool":
            return got.lower() in {value.lower() for value in listed}
    raise ValueError(f"no condition operator {operator}")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


__all__ = ["Request", "allowed"]
