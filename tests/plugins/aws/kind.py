"""What a resource type of the stand-in is: how it is made, read, changed and deleted, and what its arguments are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
GONE = frozenset({
    "NoSuchEntity", "NotFoundException", "ResourceNotFoundException", "NoSuchBucket", "TrailNotFoundException",
    "InvalidVpcID.NotFound", "InvalidSubnetID.NotFound", "InvalidGroup.NotFound", "InvalidLaunchTemplateId.NotFound",
    "InvalidRouteTableID.NotFound", "InvalidVpcEndpointId.NotFound", "LoadBalancerNotFound", "TargetGroupNotFound",
    "ListenerNotFound", "NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration", "NoSuchHostedZone",
    "ServerSideEncryptionConfigurationNotFoundError", "ObjectLockConfigurationNotFoundError",
    "InvalidAssociationID.NotFound", "InvalidLaunchTemplateName.NotFoundException",
})  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One resource type.

    Attributes:
        create: answers the id and what AWS computed.
        read: what AWS holds, by the engine's names; None when it is gone. State is empty when a resource is imported.
        delete: ends it.
        update: changes it in place and answers what AWS computed; None when every change replaces it.
        arguments: those that are carried out; any other is refused, never dropped.
        replace: arguments whose change makes a new one.
        defaults: what the real provider takes for arguments that are not given, and mends.
    """

    create: Callable[[Any, Json], tuple[str, Json]]
    read: Callable[[Any, str, Json], Json | None]
    delete: Callable[[Any, str, Json], None]
    arguments: frozenset[str]
    update: Callable[[Any, str, Json, Json], Json] | None = None
    replace: frozenset[str] = field(default=frozenset())
    defaults: Mapping[str, Any] = field(default_factory=dict)


def words(text: str) -> frozenset[str]:
    """Names from one line."""
    return frozenset(text.split())


def pairs(inputs: Mapping[str, Any]) -> list[Json]:
    """Tags as most services take them."""
    return [{"Key": key, "Value": value} for key, value in (inputs.get("tags") or {}).items()]


def tagged(kind: str, inputs: Mapping[str, Any]) -> list[Json]:
    """Tags as EC2 takes them at a creation."""
    tags = pairs(inputs)
    return [{"ResourceType": kind, "Tags": tags}] if tags else []


def tags_of(found: Mapping[str, Any], member: str = "Tags") -> dict[str, str]:
    """Tags as the engine holds them; AWS's own left out."""
    return {tag["Key"]: tag["Value"] for tag in found.get(member) or [] if not tag["Key"].startswith("aws:")}


def retag(aws: Any, found: str, old: Json, new: Json) -> None:
    """Tags of EC2, changed to the new ones."""
    before, after = old.get("tags") or {}, new.get("tags") or {}
    if gone := [{"Key": key} for key in before if key not in after]:
        aws("ec2").delete_tags(Resources=[found], Tags=gone)
    if before != after and after:
        aws("ec2").create_tags(Resources=[found], Tags=pairs(new))


def same(wanted: Any, found: Any) -> bool:
    """Whether two values say the same: numbers as text, policies by content, lists in any order, nothing as absent."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(same(wanted.get(name), found.get(name)) for name in {*wanted, *found})
    if isinstance(wanted, list) and isinstance(found, list):
        left = list(found)
        for item in wanted:
            match = next((index for index, other in enumerate(left) if same(item, other)), None)
            if match is None:
                return False
            left.pop(match)
        return not left
    return bool(wanted == found or _text(wanted) == _text(found))


def _text(value: Any) -> Any:
    if value is None or value in ("", [], {}):
        return None
    if isinstance(value, str) and value.startswith("{"):
        return json.dumps(json.loads(value), sort_keys=True)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float | str) else json.dumps(value, sort_keys=True)


def settled(state: Mapping[str, Any], seen: Mapping[str, Any]) -> Json:
    """What was seen, in the state's own words where it says the same."""
    return {name: state[name] if name in state and same(state[name], value) else value for name, value in seen.items()}
