"""Who called what, as CloudTrail tells it: the calls by which keys and roles are changed, and whose they were. Values only.

Comes in: events of LookupEvents. Goes out: for a thing of ours, the calls upon it after its unit was last applied. CloudTrail tells a call after up
to fifteen minutes and forgets it after ninety days, so nothing found is never read as nothing done; what it refuses is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qnsp_policy.pipeline.world.aws_seen import Json, Seen

SESSION = "qnsp-policy"
"""Name of the sessions in which the engine takes roles on."""
OF_KEYS = ("CreateGrant", "DeleteAlias", "DisableKey", "PutKeyPolicy", "ScheduleKeyDeletion", "UpdateAlias")
OF_ROLES = ("AttachRolePolicy", "DeleteRole", "DeleteRolePolicy", "PutRolePolicy", "UpdateAssumeRolePolicy")
WATCHED = {"kms": OF_KEYS, "iam": OF_ROLES}
"""By service, the calls that are asked for."""
GLOBAL_REGION = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}
"""Where calls of IAM are recorded, by partition."""
_TARGETS = ("keyId", "targetKeyId", "aliasName", "roleName")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was carried out.

    Attributes:
        name: of the operation.
        targets: what it was upon: id of a key, name of an alias or role.
        who: ARN of the caller, as CloudTrail writes it.
        issuer: ARN of the role behind a session, "" for another kind of caller.
        at: when.
    """

    name: str
    targets: frozenset[str]
    who: str
    issuer: str
    at: datetime

    def says(self) -> str:
        return f"{self.name} by {self.who} at {self.at:%Y-%m-%d %H:%M:%SZ}"


def calls(events: Iterable[Json]) -> list[Call]:
    """The calls that were carried out, oldest first; those that AWS refused changed nothing."""
    found = []
    for event in events:
        told: Mapping[str, Any] = json.loads(event.get("CloudTrailEvent") or "{}")
        if told.get("errorCode"):
            continue
        identity = told.get("userIdentity") or {}
        issuer = ((identity.get("sessionContext") or {}).get("sessionIssuer") or {}).get("arn", "")
        asked = told.get("requestParameters") or {}
        names = {str(asked[name]) for name in _TARGETS if asked.get(name)}
        names |= {str(one.get("ResourceName")) for one in event.get("Resources") or ()}
        who = identity.get("arn") or identity.get("invokedBy") or event.get("Username") or "somebody"
        targets = frozenset(name.rpartition(":key/")[2] if ":key/" in name else name for name in names)
        found.append(Call(str(event["EventName"]), targets, str(who), str(issuer), event["EventTime"]))
    return sorted(found, key=lambda one: one.at)


def upon(seen: Seen, service: str, target: str, since: datetime | None) -> Iterator[Call]:
    """Calls upon one thing after a moment.

    Raises:
        NotCheckedError: CloudTrail did not tell.
    """
    for call in seen[f"calls of {service}"]:
        if target in call.targets and (since is None or call.at > since):
            yield call


def is_ours(call: Call, roles: frozenset[str]) -> bool:
    """Whether the engine made it, in one of its roles."""
    return call.issuer in roles and call.who.endswith(f"/{SESSION}")


__all__ = ["GLOBAL_REGION", "SESSION", "WATCHED", "Call", "calls", "is_ours", "upon"]
