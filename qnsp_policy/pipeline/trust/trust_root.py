"""TrustRootValue: who judges a change, as one plain value with one digest.

It holds the identities, thresholds and anchors of a TrustRoot document and the settings of the Project that decide how a
plan is judged (environment, fail-on level, approvals, plan lifetime). So a change of any of these is a change of one
digest, and needs the threshold of the value in force and of the value proposed. Format `qnsp.trust-root/v1`
(docs/formats/approvals.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.pipeline.trust.codec import members, time_from_text, time_to_text
from qnsp_policy.pipeline.trust.values import Json

FORMAT = "qnsp.trust-root/v1"

APPROVER_ROLES = frozenset({"operator", "tenant-owner", "security"})
"""Roles of which an identity needs one before its approval counts for anything."""


@dataclass(frozen=True, slots=True)
class SignerValue:
    """One way in which an identity signs: all its keys must sign, and it ends.

    Attributes:
        type: software, ssh, pkcs11 or kms.
        keys: public JWKs; a software signer has an ML-DSA key and an Ed25519 key.
        expires: the last moment at which it counts.
        issuer, subject: kept for signers by certificate, of which there are none yet: empty.
    """

    type: str
    keys: tuple[Mapping[str, str], ...]
    expires: datetime
    issuer: str = ""
    subject: str = ""

    def __post_init__(self) -> None:
        if self.type == "software":
            names = [key.algorithm for key in self.public_keys]
            if "Ed25519" not in names or not any(name.startswith("ML-DSA-") for name in names):
                raise ValueError("a software signer holds an ML-DSA key and an Ed25519 key, and both must sign")
        elif not self.keys:
            raise ValueError(f"a signer of type {self.type} without a key")

    def to_json(self) -> Json:
        return {
            "type": self.type,
            "keys": [dict(key) for key in self.keys],
            "expires": time_to_text(self.expires),
            "issuer": self.issuer,
            "subject": self.subject,
        }

    @classmethod
    def from_json(cls, value: object) -> SignerValue:
        found = members(value, {"type": str, "keys": list, "expires": str, "issuer": str, "subject": str}, "signer")
        if not all(isinstance(k, dict) and all(isinstance(v, str) for v in k.values()) for k in found["keys"]):
            raise ValueError("signer.keys holds something that is not a public JWK")
        keys = tuple(dict(key) for key in found["keys"])
        return cls(
            type=found["type"],
            keys=keys,
            expires=time_from_text(found["expires"]),
            issuer=found["issuer"],
            subject=found["subject"],
        )

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        return tuple(PublicKey.from_jwk(key) for key in self.keys)


@dataclass(frozen=True, slots=True)
class IdentityValue:
    """A person, team or CI job with its roles and signers."""

    name: str
    roles: frozenset[str]
    signers: tuple[SignerValue, ...]

    @property
    def may_approve(self) -> bool:
        return bool(self.roles & APPROVER_ROLES)

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "roles": sorted(self.roles),
            "signers": [signer.to_json() for signer in self.signers],
        }

    @classmethod
    def from_json(cls, value: object) -> IdentityValue:
        found = members(value, {"name": str, "roles": list, "signers": list}, "identity")
        signers = tuple(SignerValue.from_json(signer) for signer in found["signers"])
        return cls(found["name"], frozenset(str(role) for role in found["roles"]), signers)


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """So many approvals by identities that hold `role` (any approver role if "")."""

    count: int
    role: str = ""

    def to_json(self) -> Json:
        return {"count": self.count, "role": self.role}

    @classmethod
    def from_json(cls, value: object) -> ApprovalRule:
        found = members(value, {"count": int, "role": str}, "approval rule")
        if found["count"] < 0:
            raise ValueError("an approval rule with a negative count")
        return cls(found["count"], found["role"])


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """The Project's approvals: for any change, for a weakening, for a destruction, and by tier address."""

    default: ApprovalRule
    weaken: ApprovalRule
    destroy: ApprovalRule
    tiers: Mapping[str, ApprovalRule] = field(default_factory=dict)

    def to_json(self) -> Json:
        return {
            "default": self.default.to_json(),
            "weaken": self.weaken.to_json(),
            "destroy": self.destroy.to_json(),
            "tiers": {tier: rule.to_json() for tier, rule in sorted(self.tiers.items())},
        }

    @classmethod
    def from_json(cls, value: object) -> ApprovalRules:
        found = members(value, {"default": dict, "weaken": dict, "destroy": dict, "tiers": dict}, "approvals")
        tiers = {tier: ApprovalRule.from_json(rule) for tier, rule in found["tiers"].items()}
        default, weaken, destroy = (ApprovalRule.from_json(found[name]) for name in ("default", "weaken", "destroy"))
        return cls(default, weaken, destroy, tiers)


@dataclass(frozen=True, slots=True)
class TrustRootValue:
    """Who judges a change and by which rules.

    Attributes:
        name: of the TrustRoot document.
        version: rises with every change.
        environment: production or development.
        fail_on: severity from which a finding blocks a plan.
        plan_lifetime_seconds: the longest a plan may wait for its apply.
        identities: by name.
        threshold: approvals beside the author that a change of this value itself needs; at least one.
        role_thresholds: approvals of a role that any change needs.
        approvals: of the Project.
        anchors: vendor anchors as the document declares them (JSON), empty when only the pinned roots count.
    """

    name: str
    version: int
    environment: str
    fail_on: str
    plan_lifetime_seconds: int
    identities: Mapping[str, IdentityValue]
    threshold: int
    role_thresholds: Mapping[str, int]
    approvals: ApprovalRules
    anchors: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.threshold < 1:
            raise ValueError("a TrustRoot needs at least one approval to change")
        owners: dict[str, str] = {}
        for identity in self.identities.values():
            for key in (key for signer in identity.signers for key in signer.public_keys):
                if owners.setdefault(key.key_id, identity.name) != identity.name:
                    raise ValueError(f"one key belongs to {owners[key.key_id]} and to {identity.name}")

    def to_json(self) -> Json:
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "environment": self.environment,
            "failOn": self.fail_on,
            "planLifetimeSeconds": self.plan_lifetime_seconds,
            "identities": [self.identities[name].to_json() for name in sorted(self.identities)],
            "thresholds": {"trustRoot": self.threshold, "roles": dict(sorted(self.role_thresholds.items()))},
            "approvals": self.approvals.to_json(),
            "anchors": [dict(anchor) for anchor in self.anchors],
        }

    @classmethod
    def from_json(cls, value: object) -> TrustRootValue:
        """Read what `to_json` wrote; raises `ValueError` on anything else."""
        found = members(
            value,
            {
                "format": str,
                "name": str,
                "version": int,
                "environment": str,
                "failOn": str,
                "planLifetimeSeconds": int,
                "identities": list,
                "thresholds": dict,
                "approvals": dict,
                "anchors": list,
            },
            "trust root",
        )
        if found["format"] != FORMAT:
            raise ValueError(f"trust root of format {found['format']!r}, this version reads {FORMAT!r}")
        thresholds = members(found["thresholds"], {"trustRoot": int, "roles": dict}, "thresholds")
        identities = [IdentityValue.from_json(identity) for identity in found["identities"]]
        if len({identity.name for identity in identities}) != len(identities):
            raise ValueError("two identities of a trust root have the same name")
        return cls(
            name=found["name"],
            version=found["version"],
            environment=found["environment"],
            fail_on=found["failOn"],
            plan_lifetime_seconds=found["planLifetimeSeconds"],
            identities={identity.name: identity for identity in identities},
            threshold=thresholds["trustRoot"],
            role_thresholds={str(role): int(count) for role, count in thresholds["roles"].items()},
            approvals=ApprovalRules.from_json(found["approvals"]),
            anchors=tuple(dict(anchor) for anchor in found["anchors"]),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the RFC 8785 form: what is pinned outside the repository."""
        return sha256_digest(jcs(self.to_json()))


__all__ = [
    "APPROVER_ROLES",
    "FORMAT",
    "ApprovalRule",
    "ApprovalRules",
    "IdentityValue",
    "SignerValue",
    "TrustRootValue",
]
