"""What was applied on AWS, held against what was read: values only.

Comes in: recorded units and one `Seen` an account and region, made by the bulk reader. Goes out: deviations. What decides about
trust is compared whole (key policies, role policies, launch templates, trail, public access); the rest by its presence.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.pipeline.world.observed import Concern, Deviation

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SeenKey:
    """One KMS key behind an alias."""

    policy: Json
    state: str
    grants: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What one account and region hold of ours; a name that is absent was not found."""

    keys: Mapping[str, SeenKey] = field(default_factory=dict)
    role_policies: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    attached: Mapping[str, Sequence[str]] = field(default_factory=dict)
    templates: Mapping[str, Json] = field(default_factory=dict)
    groups: Mapping[str, Json] = field(default_factory=dict)
    public_access: Mapping[str, bool] = field(default_factory=dict)
    logging: Mapping[str, bool] = field(default_factory=dict)


def compare(unit: str, inputs: Json, seen: Seen) -> Iterator[Deviation]:
    """Every difference of one unit."""
    for key in inputs.get("keys", ()):
        yield from _key(unit, key, seen)
    if "foundation" in inputs:
        yield from _foundation(unit, inputs["foundation"], seen)
    if "fleet" in inputs:
        yield from _fleet(unit, inputs["fleet"], seen)


def _key(unit: str, key: Json, seen: Seen) -> Iterator[Deviation]:
    for alias in key["aliases"]:
        found = seen.keys.get(alias)
        if found is None:
            yield Deviation(unit, alias, Concern.AVAILABILITY, f"{alias} names no key", "a key", "absent")
            continue
        if found.policy != key["policy"]:
            text = f"the policy of {alias} is not what was applied: {_difference(key['policy'], found.policy)}"
            yield Deviation(unit, alias, Concern.SECURITY, text, "as applied", "edited")
        if found.grants:
            text = f"{alias} carries {found.grants} grants of KMS, which go around its policy"
            yield Deviation(unit, alias, Concern.SECURITY, text, "0", str(found.grants))
        if found.state != "Enabled":
            yield Deviation(
                unit, alias, Concern.AVAILABILITY, f"the key of {alias} is {found.state}", "Enabled", found.state
            )


def _difference(applied: Json, found: Json) -> str:
    """Statements by name: added, gone, changed."""

    def by_name(policy: Json) -> dict[str, Any]:
        return {s.get("Sid", f"statement {n}"): s for n, s in enumerate(policy.get("Statement", ()))}

    old, new = by_name(applied), by_name(found)
    parts = [f"{name} added" for name in sorted(set(new) - set(old))]
    parts += [f"{name} gone" for name in sorted(set(old) - set(new))]
    parts += [f"{name} changed" for name in sorted(set(old) & set(new)) if old[name] != new[name]]
    return ", ".join(parts) or "outside its statements"


def _foundation(unit: str, foundation: Json, seen: Seen) -> Iterator[Deviation]:
    for role in foundation["roles"]:
        name = role["name"]
        held = seen.role_policies.get(name)
        if held is None:
            yield Deviation(unit, name, Concern.AVAILABILITY, f"role {name} is gone", "a role", "absent")
            continue
        if held.get("grants") != role["policy"]:
            text = f"the policy of role {name} is not what was applied"
            yield Deviation(unit, name, Concern.SECURITY, text, "as applied", "edited")
        extra = sorted({*(set(held) - {"grants"}), *seen.attached.get(name, ())})
        if extra:
            text = f"role {name} was given more: {', '.join(extra)}"
            yield Deviation(unit, name, Concern.SECURITY, text, "grants", ", ".join(extra))
    for purpose in ("evidence", "trail"):
        bucket = foundation[purpose]["bucket"]
        if bucket not in seen.public_access:
            yield Deviation(unit, bucket, Concern.AVAILABILITY, f"bucket {bucket} is gone", "a bucket", "absent")
        elif not seen.public_access[bucket]:
            text = f"bucket {bucket} no longer refuses public access"
            yield Deviation(unit, bucket, Concern.SECURITY, text, "refused", "admitted")
    trail = foundation["trail"]["name"]
    if not seen.logging.get(trail, False):
        text = f"trail {trail} does not record" if trail in seen.logging else f"trail {trail} is gone"
        yield Deviation(unit, trail, Concern.SECURITY, text, "recording", "silent")


def _fleet(unit: str, fleet: Json, seen: Seen) -> Iterator[Deviation]:
    group, template = fleet["group"], seen.templates.get(fleet["group"])
    if template is None:
        yield Deviation(unit, group, Concern.AVAILABILITY, f"launch template {group} is gone", "a template", "absent")
    else:
        wanted: dict[str, Any] = {
            "ImageId": fleet["imageId"],
            "InstanceType": fleet["instanceType"],
            "UserData": base64.b64encode(fleet["userData"].encode()).decode(),
        }
        changed = [name for name, value in wanted.items() if template.get(name) != value]
        if fleet["kind"] == "nitro-enclave" and not template.get("EnclaveOptions", {}).get("Enabled"):
            changed.append("EnclaveOptions")
        if fleet["kind"] == "sev-snp" and template.get("CpuOptions", {}).get("AmdSevSnp") != "enabled":
            changed.append("CpuOptions")
        if template.get("MetadataOptions", {}).get("HttpTokens") != "required":
            changed.append("MetadataOptions")
        if template.get("KeyName"):
            changed.append("KeyName")
        if changed:
            text = f"launch template {group} starts something else than was applied: {', '.join(changed)}"
            yield Deviation(unit, group, Concern.SECURITY, text, "as applied", ", ".join(changed))
    if group not in seen.groups:
        yield Deviation(unit, group, Concern.AVAILABILITY, f"auto-scaling group {group} is gone", "a group", "absent")


__all__ = ["Seen", "SeenKey", "compare"]
