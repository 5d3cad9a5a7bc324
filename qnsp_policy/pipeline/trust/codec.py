"""Trust values as plain JSON and back: alternatives, guardrails, grants (docs/formats/release-policy.md).

`from_json` functions raise `ValueError` on anything but what `to_json` writes: these objects are covered by a digest
that an approved plan names, so tolerance would only hide a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from qnsp_policy.kernel.attestation.values import Alternative, ClaimValue, EvidenceKind
from qnsp_policy.pipeline.trust.values import EffectiveGrant, Guardrail, GuardrailKind, Json, Origin


def time_to_text(moment: datetime) -> str:
    """RFC 3339 in UTC with seconds; sub-seconds are cut, never rounded up."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_from_text(text: str) -> datetime:
    """The exact inverse of `time_to_text`; other spellings are refused."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def members(value: object, required: Mapping[str, type | tuple[type, ...]], what: str) -> dict[str, Any]:
    """`value` as an object that has exactly the `required` members, each of its type (bool is no int)."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")  # noqa: TRY004 - wrong data, not a wrong call
    if set(value) != set(required):
        different = ", ".join(sorted(set(value) ^ set(required)))
        raise ValueError(f"{what} lacks or has members that it should not: {different}")
    for name, kind in required.items():
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value[name], kinds) or (isinstance(value[name], bool) and bool not in kinds):
            raise ValueError(f"{what}.{name} has the wrong type")
    return value


_NONE = type(None)


def alternative_to_json(alternative: Alternative) -> Json:
    return {
        "name": alternative.name,
        "kind": alternative.kind.value,
        "equals": dict(alternative.equals),
        "floors": dict(alternative.floors),
        "devices": [alternative_to_json(device) for device in alternative.devices],
        "notAfter": time_to_text(alternative.not_after) if alternative.not_after else None,
    }


def alternative_from_json(value: object) -> Alternative:
    found = members(
        value,
        {"name": str, "kind": str, "equals": dict, "floors": dict, "devices": list, "notAfter": (str, _NONE)},
        "alternative",
    )
    equals: dict[str, ClaimValue] = {}
    for claim, wanted in found["equals"].items():
        if type(wanted) not in {str, int, bool}:
            raise ValueError(f"alternative.equals.{claim} has the wrong type")
        equals[claim] = wanted
    for claim, floor in found["floors"].items():
        if type(floor) is not int:
            raise ValueError(f"alternative.floors.{claim} is not an integer")
    return Alternative(
        name=found["name"],
        kind=EvidenceKind(found["kind"]),
        equals=equals,
        floors=dict(found["floors"]),
        devices=tuple(alternative_from_json(device) for device in found["devices"]),
        not_after=time_from_text(found["notAfter"]) if found["notAfter"] else None,
    )


def guardrail_to_json(guardrail: Guardrail) -> Json:
    return {
        "kind": guardrail.kind.value,
        "source": guardrail.source,
        "values": list(guardrail.values),
        "claim": guardrail.claim,
        "limit": guardrail.limit,
    }


def guardrail_from_json(value: object) -> Guardrail:
    found = members(
        value, {"kind": str, "source": str, "values": list, "claim": str, "limit": (int, _NONE)}, "guardrail"
    )
    if not all(isinstance(item, str) for item in found["values"]):
        raise ValueError("guardrail.values holds something that is not text")
    kind = GuardrailKind(found["kind"])
    if (kind in {GuardrailKind.MAX_LEASE, GuardrailKind.FLOOR}) != (found["limit"] is not None):
        raise ValueError("guardrail.limit belongs to max-lease and floor, and to nothing else")
    if (kind in {GuardrailKind.DENIED_CLAIM, GuardrailKind.FLOOR}) != bool(found["claim"]):
        raise ValueError("guardrail.claim belongs to denied-claim and floor, and to nothing else")
    return Guardrail(kind, found["source"], tuple(found["values"]), found["claim"], found["limit"])


def origin_to_json(origin: Origin) -> Json:
    return {"document": origin.document, "computedFrom": dict(origin.computed_from), "learnt": origin.learnt}


def origin_from_json(value: object) -> Origin:
    found = members(value, {"document": str, "computedFrom": dict, "learnt": bool}, "origin")
    if not all(isinstance(item, str) for item in found["computedFrom"].values()):
        raise ValueError("origin.computedFrom holds something that is not text")
    return Origin(found["document"], dict(found["computedFrom"]), found["learnt"])


def grant_to_json(grant: EffectiveGrant) -> Json:
    """One grant as it stands in a release policy; broker, tenant and resource stand once, in the policy."""
    return {
        "grant": grant.grant,
        "enclave": grant.enclave,
        "purpose": grant.purpose,
        "leaseSeconds": grant.lease_seconds,
        "notBefore": time_to_text(grant.not_before) if grant.not_before else None,
        "notAfter": time_to_text(grant.not_after) if grant.not_after else None,
        "implicit": grant.implicit,
        "alternatives": [alternative_to_json(a) for a in grant.alternatives],
        "guardrails": [guardrail_to_json(g) for g in grant.guardrails],
        "origins": {name: origin_to_json(origin) for name, origin in sorted(grant.origins.items())},
    }


def grant_from_json(value: object, *, broker: str, tenant: str, resource: str) -> EffectiveGrant:
    found = members(
        value,
        {
            "grant": str,
            "enclave": str,
            "purpose": str,
            "leaseSeconds": int,
            "notBefore": (str, _NONE),
            "notAfter": (str, _NONE),
            "implicit": bool,
            "alternatives": list,
            "guardrails": list,
            "origins": dict,
        },
        "grant",
    )
    return EffectiveGrant(
        grant=found["grant"],
        broker=broker,
        tenant=tenant,
        resource=resource,
        enclave=found["enclave"],
        purpose=found["purpose"],
        lease_seconds=found["leaseSeconds"],
        not_before=time_from_text(found["notBefore"]) if found["notBefore"] else None,
        not_after=time_from_text(found["notAfter"]) if found["notAfter"] else None,
        alternatives=tuple(alternative_from_json(a) for a in found["alternatives"]),
        guardrails=tuple(guardrail_from_json(g) for g in found["guardrails"]),
        implicit=found["implicit"],
        origins={name: origin_from_json(origin) for name, origin in found["origins"].items()},
    )


__all__ = [
    "alternative_from_json",
    "alternative_to_json",
    "grant_from_json",
    "grant_to_json",
    "guardrail_from_json",
    "guardrail_to_json",
    "members",
    "origin_from_json",
    "origin_to_json",
    "time_from_text",
    "time_to_text",
]
