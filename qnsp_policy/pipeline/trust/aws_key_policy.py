"""Key policies of AWS KMS, computed: who may do what with one key, and what nobody may.

Comes in: the complete tuples that grants admit. Goes out: a policy document (plain JSON), one Allow statement a tuple.
Denials stand beside the Allows, so that an IAM policy, a grant of KMS or a later edit by another hand does not widen it:

1. no plaintext without attestation, for any principal;
2. no delegation: CreateGrant (for a service of AWS too), ReplicateKey, ReEncrypt (takes no Recipient), import of other material,
   rotation within one key (a rotation of ours is a new key behind the alias);
3. administration by the key administrator's role alone, who in turn can use nothing, cannot lock everybody out
   (BypassPolicyLockoutSafetyCheck) and cannot shorten the wait before a deletion.

What a policy cannot keep: whoever may act as the key administrator can replace it, and root of the account can have it replaced
by AWS support. `aws_organisation.py` holds the SCP and RCP that keep the administrator apart. KMS stores a role in an Allow by its unique id: a role that
was deleted and made again under the same name has no right any more, the key administrator's included.
Not checked by AWS KMS and therefore said in the trust model: leases, quotas, TCB floors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.trust.aws_attested import (
    ATTESTED_ACTIONS,
    IMAGE,
    PREFIX,
    AttestedTuple,
)
from qnsp_policy.pipeline.trust.codec import time_to_text

Json = dict[str, Any]

DELETION_DAYS = 30
"""How long a key waits before it is destroyed: the longest that KMS offers."""

MAX_POLICY_BYTES = 32 * 1024
"""Largest key policy that KMS takes (AWS KMS quotas)."""

CONTEXT = "qnsp:resource"
"""Encryption context that binds each ciphertext to the path of its resource."""

READ_ACTIONS = (
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetPublicKey",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
)
ADMIN_ACTIONS = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
)
NEVER_ACTIONS = (
    "kms:CreateGrant",
    "kms:DeleteImportedKeyMaterial",
    "kms:EnableKeyRotation",
    "kms:GetParametersForImport",
    "kms:ImportKeyMaterial",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:ReplicateKey",
    "kms:RotateKeyOnDemand",
    "kms:UpdatePrimaryRegion",
)


@dataclass(frozen=True, slots=True)
class Release:
    """One way in which a key may be used: a principal with one complete tuple, within dates.

    Attributes:
        principal: ARN of the fleet's role.
        attested: the tuple.
        not_before, not_after: from the grant; None where it gives none.
        actions: what it may do; each yields plaintext only for the Recipient.
    """

    principal: str
    attested: AttestedTuple
    not_before: datetime | None = None
    not_after: datetime | None = None
    actions: tuple[str, ...] = ("kms:Decrypt",)


def key_policy(
    *,
    resource: str,
    root: str,
    admin: str,
    releases: Sequence[Release],
    sealer: str | None = None,
) -> Json:
    """The policy of one symmetric key.

    Args:
        resource: `<tenant>/<type>/<tag>`, the encryption context of every ciphertext under this key.
        root: ARN of the account; it may read about the key, so that the account's auditors can.
        admin: ARN of the key administrator's role.
        releases: who may open, under what evidence; empty means nobody.
        sealer: ARN of the role that may encrypt under the key; it never sees plaintext of others.
    """
    statements: list[Json] = [
        _allow("AuditorsReadAboutTheKey", root, READ_ACTIONS),
        _allow("KeyAdministratorManages", admin, (*ADMIN_ACTIONS, *READ_ACTIONS)),
    ]
    if sealer is not None:
        sealing = ("kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext")
        statements.append(
            _allow("SealerEncrypts", sealer, sealing, {"StringEquals": {f"kms:EncryptionContext:{CONTEXT}": resource}})
        )
    statements += [_release(resource, one) for one in releases]
    kinds = sorted({one.attested.kind for one in releases})
    statements += [
        {
            "Sid": "NoPlaintextWithoutAttestation",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": list(ATTESTED_ACTIONS),
            "Resource": "*",
            # Keys of one Null block are joined by and: denied is what carries none of the registers that tuples name.
            "Condition": {"Null": dict.fromkeys(witnesses(kinds), "true")},
        },
        *_kept(admin),
    ]
    return {"Version": "2012-10-17", "Id": f"qnsp/{resource}", "Statement": statements}


def signing_policy(*, root: str, admin: str, signer: str) -> Json:
    """The policy of an ML-DSA key that signs plans and checkpoints; Sign takes no Recipient, so no attestation guards it."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow("AuditorsReadAboutTheKey", root, (*READ_ACTIONS, "kms:Verify")),
            _allow("KeyAdministratorManages", admin, (*ADMIN_ACTIONS, *READ_ACTIONS)),
            _allow("SignerSigns", signer, ("kms:Sign", "kms:GetPublicKey", "kms:DescribeKey")),
            *_kept(admin),
            _deny_but("SigningByTheSignerOnly", signer, ("kms:Sign",)),
        ],
    }


def _kept(admin: str) -> list[Json]:
    """What is denied of every key, whatever it is for."""
    return [
        _deny("NoDelegation", NEVER_ACTIONS),
        _deny_but("AdministrationByTheKeyAdministratorOnly", admin, ADMIN_ACTIONS),
        _deny("NobodyLocksEverybodyOut", ("kms:PutKeyPolicy",))
        | {"Condition": {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}}},
        _deny("NoHastyDeletion", ("kms:ScheduleKeyDeletion",))
        | {"Condition": {"NumericLessThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": str(DELETION_DAYS)}}},
    ]


def _allow(sid: str, principal: str, actions: Sequence[str], condition: Json | None = None) -> Json:
    found: Json = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": list(actions),
        "Resource": "*",
    }
    return found | ({"Condition": condition} if condition else {})


def _deny(sid: str, actions: Sequence[str]) -> Json:
    return {"Sid": sid, "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": list(actions), "Resource": "*"}


def _deny_but(sid: str, principal: str, actions: Sequence[str]) -> Json:
    return _deny(sid, actions) | {"Condition": {"ArnNotEquals": {"aws:PrincipalArn": principal}}}


def _release(resource: str, one: Release) -> Json:
    """One Allow for one complete tuple; dates of grant and values are conditions too."""
    dates: Json = {}
    ends = [moment for moment in (one.not_after, one.attested.not_after) if moment is not None]
    if ends:
        dates["DateLessThanEquals"] = {"aws:CurrentTime": time_to_text(min(ends))}
    if one.not_before is not None:
        dates["DateGreaterThanEquals"] = {"aws:CurrentTime": time_to_text(one.not_before)}
    condition = {
        "StringEquals": {f"kms:EncryptionContext:{CONTEXT}": resource},
        "StringEqualsIgnoreCase": dict(one.attested.conditions),
        **dates,
    }
    name = hashlib.sha256(jcs([one.principal, one.attested.name, list(one.actions), condition])).hexdigest()[:16]
    return _allow(f"Release{name}", one.principal, one.actions, condition)


def witnesses(kinds: Sequence[EvidenceKind]) -> list[str]:
    """Registers that every admitted document of these kinds carries; with no release at all, those of both kinds."""
    named = {EvidenceKind.NITRO_ENCLAVE: IMAGE, EvidenceKind.NITRO_TPM: f"{PREFIX}NitroTPMPCR12"}
    return [named[kind] for kind in kinds or sorted(named)]


def tuples_of(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The attestation conditions of each Allow statement of a policy, for readers of other people's policies."""
    found: list[Mapping[str, Any]] = []
    for statement in policy.get("Statement", []):
        if statement.get("Effect") == "Allow":
            merged = {
                name: value
                for block in statement.get("Condition", {}).values()
                for name, value in block.items()
                if name.startswith(PREFIX)
            }
            if merged:
                found.append(merged)
    return found


__all__ = [
    "ADMIN_ACTIONS",
    "CONTEXT",
    "DELETION_DAYS",
    "MAX_POLICY_BYTES",
    "NEVER_ACTIONS",
    "READ_ACTIONS",
    "Release",
    "key_policy",
    "signing_policy",
    "tuples_of",
    "witnesses",
]
