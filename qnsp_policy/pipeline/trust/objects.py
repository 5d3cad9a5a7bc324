"""What the inputs of units hand to brokers: the objects, and the release policies among them.

Shared by plan (which writes units), by recorded state (which holds applied ones) and by the broker's own check of a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.pipeline.trust.approvals import TenantVoice
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy


def unit_objects(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(broker address, "<kind>/<name>", object entry) for everything the inputs of one unit hand to brokers."""
    holders: list[Mapping[str, Any]] = [holder for holder in inputs.get("brokers", ()) if "objects" in holder]
    if "broker" in inputs and "objects" in inputs:
        holders.append(inputs)
    for holder in holders:
        for entry in holder["objects"]:
            yield holder["broker"]["address"], f"{entry['kind']}/{entry['name']}", entry


def policies_of(units: Iterable[Mapping[str, Any]]) -> Mapping[tuple[str, str], ReleasePolicy]:
    """The release policies in the inputs of `units`, by (broker, resource), sorted."""
    found: dict[tuple[str, str], ReleasePolicy] = {}
    for inputs in units:
        for broker, _, entry in unit_objects(inputs):
            if entry["kind"] == "release-policy":
                found[broker, entry["name"]] = ReleasePolicy.from_json(entry["object"])
    return dict(sorted(found.items()))


def voices_of(units: Iterable[Mapping[str, Any]]) -> Mapping[str, TenantVoice]:
    """Who speaks for each tenant, from the inputs of tenant units, by address."""
    found = {}
    for inputs in units:
        if "tenant" in inputs and "brokers" in inputs:
            voice = voice_from_json(inputs["tenant"])
            found[voice.tenant] = voice
    return dict(sorted(found.items()))


def voice_to_json(voice: TenantVoice) -> dict[str, Any]:
    """A voice as it stands in the `tenant` member of a tenant unit's inputs."""
    return {
        "address": voice.tenant,
        "owners": list(voice.owners),
        "tier": voice.tier,
        "approverRoles": list(voice.approver_roles),
        "approverSigners": list(voice.approver_signers),
    }


def voice_from_json(value: Mapping[str, Any]) -> TenantVoice:
    """Read what `voice_to_json` wrote; other members are left to others."""
    return TenantVoice(
        tenant=value["address"],
        owners=tuple(value["owners"]),
        tier=value["tier"],
        approver_roles=tuple(value["approverRoles"]),
        approver_signers=tuple(value["approverSigners"]),
    )


def authorised_objects(units: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """By broker address, `<kind>/<name>` to digest: what a plan with these unit inputs lets each broker take.

    Raises:
        ValueError: an entry's digest is not the one of its object, or one broker gets two objects of the same name.
    """
    found: dict[str, dict[str, str]] = {}
    for inputs in units:
        for broker, name, entry in unit_objects(inputs):
            if sha256_digest(jcs(entry["object"])) != entry["digest"]:
                raise ValueError(f"the digest of {name} is not that of the object")
            if name in found.setdefault(broker, {}):
                raise ValueError(f"{broker} is given {name} twice")
            found[broker][name] = entry["digest"]
    return {broker: dict(sorted(objects.items())) for broker, objects in sorted(found.items())}


def unit_digest(program: str, inputs: Any, depends_on: Iterable[str], references: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of the RFC 8785 form of what a unit is, positions left out (docs/formats/units.md)."""
    unit = {"program": program, "inputs": inputs, "dependsOn": list(depends_on), "references": list(references)}
    return sha256_digest(jcs(unit))


__all__ = [
    "authorised_objects",
    "policies_of",
    "unit_digest",
    "unit_objects",
    "voice_from_json",
    "voice_to_json",
    "voices_of",
]
