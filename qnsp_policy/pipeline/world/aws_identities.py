"""How roles and keys of AWS are told: one function a resource type, over what was read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from qnsp_policy.pipeline.world.aws_seen import UNREAD, Extra, Found, Json, Seen, tags_of
from qnsp_policy.pipeline.world.observed import Concern


def role(wanted: Json, seen: Seen, known: Json) -> Found | None:
    """A role; policies beside those we put in are told by `inline_policy` of its own, attached ones here."""
    found = seen["roles"].get(wanted["name"])
    if found is None:
        return None
    declared = known.get("inline", {}).get(wanted["name"], ())
    more = sorted(p["PolicyName"] for p in found.get("RolePolicyList") or () if p["PolicyName"] not in declared)
    extras = [
        Extra(f"it was given the inline policy {name}, which no plan holds", got=name, by_hand=True) for name in more
    ]
    extras += [
        Extra(f"the managed policy {one['PolicyArn']} was attached to it", got=one["PolicyArn"], by_hand=True)
        for one in found.get("AttachedManagedPolicies") or ()
    ]
    inputs = {
        "name": found["RoleName"],
        "path": found["Path"],
        "assumeRolePolicy": _text(found["AssumeRolePolicyDocument"]),
        "permissionsBoundary": (found.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"),
        "maxSessionDuration": seen["role sessions"].get(wanted["name"], UNREAD),
        "tags": tags_of(found),
    }
    return Found({"id": found["RoleName"], "name": found["RoleName"], "arn": found["Arn"]}, inputs, tuple(extras))


def inline_policy(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    held = seen["roles"].get(wanted["role"]) or {}
    for one in held.get("RolePolicyList") or ():
        if one["PolicyName"] == wanted["name"]:
            return Found({}, {"role": wanted["role"], "name": wanted["name"], "policy": _text(one["PolicyDocument"])})
    return None


def instance_profile(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    found = seen["instance profiles"].get(wanted["name"])
    if found is None:
        return None
    roles = [one["RoleName"] for one in found["Roles"]]
    inputs = {
        "name": found["InstanceProfileName"],
        "path": found["Path"],
        "role": next(iter(roles), ""),
        "tags": UNREAD,
    }
    return Found({"id": found["InstanceProfileName"], "arn": found["Arn"]}, inputs)


def _text(policy: Any) -> str:
    return policy if isinstance(policy, str) else json.dumps(policy, sort_keys=True)


def key(wanted: Json, seen: Seen, known: Json) -> Found | None:
    """A key of KMS: the one that was applied where that is recorded, else the one that its lasting alias names."""
    if known.get("key") is None:
        return None
    found = seen[f"keys:{known['key']}"]
    if found is None:
        return None
    tags = {tag["TagKey"]: tag["TagValue"] for tag in found["tags"]}
    inputs = {
        "description": found["Description"],
        "customerMasterKeySpec": found["KeySpec"],
        "keyUsage": found["KeyUsage"],
        "multiRegion": found.get("MultiRegion", False),
        "policy": found["policy"],
        "enableKeyRotation": found["rotation"],
        "deletionWindowInDays": UNREAD,
        "bypassPolicyLockoutSafetyCheck": UNREAD,
        "tags": tags,
    }
    del wanted
    return Found({"id": found["KeyId"], "keyId": found["KeyId"], "arn": found["Arn"]}, inputs, tuple(_around(found)))


def _around(found: Json) -> Iterator[Extra]:
    """What a key's policy does not show."""
    for grant in found["grants"]:
        operations = ", ".join(grant.get("Operations") or ())
        text = f"a grant of KMS lets {grant.get('GranteePrincipal', 'somebody')} {operations}, which goes around its policy"
        yield Extra(text, got=str(grant.get("GrantId", "")), by_hand=True)
    match found["KeyState"]:
        case "PendingDeletion":
            when = f" on {found['DeletionDate']:%Y-%m-%d}" if found.get("DeletionDate") else ""
            yield Extra(
                f"it will be deleted{when}, and all that it seals is lost, unless that is cancelled",
                got="PendingDeletion",
            )
        case "Enabled":
            pass
        case state:
            yield Extra(f"it is {state}: nothing that it seals can be opened", Concern.AVAILABILITY, "Enabled", state)
    if found.get("Origin", "AWS_KMS") != "AWS_KMS":
        yield Extra(
            f"its material came from outside ({found['Origin']}), so somebody else may hold it", got=found["Origin"]
        )


def alias(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    if wanted["name"] not in seen["aliases"]:
        return None
    target = seen["aliases"][wanted["name"]]
    return Found({"id": wanted["name"]}, {"name": wanted["name"], "targetKeyId": target})


__all__ = ["alias", "inline_policy", "instance_profile", "key", "role"]
