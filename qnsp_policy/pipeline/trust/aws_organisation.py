"""The SCP and the RCP that keep key administration and records apart; for the organisation's management account to put in force.

What an account cannot keep from its own administrators its organisation can: neither policy is applied by this program, and neither binds the
management account itself. A key of ours is known by its mark, the tag `qnsp:workspace`, and nobody takes the mark away, the key
administrator included: an alias would not do, since whoever administers a key moves its aliases. The engine's role may change the trail and where its
records lie, so nobody of the account changes who may take that role on either. Neither policy names images: a list of their registers would have to be
changed by the management account before every rollout, and holds some forty values.

Sources (read 2026-11): AWS Organizations User Guide, "RCP syntax" (Principal is "*", conditions of the service apply) and "Quotas" (a
policy has at most 5,120 characters); AWS KMS Developer Guide, "ABAC for AWS KMS" (a changed tag counts after up to five minutes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.trust.aws_attested import ATTESTED_ACTIONS, IMAGE
from qnsp_policy.pipeline.trust.aws_key_policy import witnesses

Json = dict[str, Any]

MARK = "qnsp:workspace"
"""Tag of everything that a workspace has on AWS; its value is the workspace's name."""
MAX_CHARACTERS = 5120
_HELD = (
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
)
"""What the key administrator alone does, whatever a key policy says."""
_NEVER = ("kms:CreateGrant", "kms:ImportKeyMaterial", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:ReplicateKey")
"""Ways around the tuple: a grant, a copy, a ciphertext carried over to another key."""
_ROLE = (
    "iam:AttachRolePolicy",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:*RolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
)
_TRAIL = (
    "cloudtrail:DeleteTrail",
    "cloudtrail:PutEventSelectors",
    "cloudtrail:StopLogging",
    "cloudtrail:UpdateTrail",
)
_BUCKETS = (
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
)
"""What would keep the trail from delivering, or new records from lasting."""
_LOGS = ("logs:DeleteLogGroup", "logs:DeleteLogStream", "logs:PutRetentionPolicy")


def organisation_policies(
    *,
    partition: str,
    admin: str,
    workspace: str,
    trail: str = "",
    buckets: Sequence[str] = (),
    logs: str = "",
    engine: str | None = None,
) -> Json:
    """Both policies.

    Args:
        partition: of AWS.
        admin: ARN of the key administrator's role.
        workspace: its name, the value of every key's mark.
        trail: ARN of the trail that records what is done to keys, "" for none.
        buckets: ARNs of the buckets of its records and of evidence.
        logs: ARN of the log groups, with a wildcard, "" for none.
        engine: ARN of the role that makes trail, buckets and logs and may change them.

    Raises:
        ValueError: one is longer than AWS Organizations takes.
    """
    service = [*_keys(f"arn:{partition}:kms:*:*:key/*", admin, workspace)]
    service.append(_deny("NobodyChangesTheTwoRoles", _ROLE, [admin, engine] if engine else admin))
    apart = {"ArnNotEquals": {"aws:PrincipalArn": engine}} if engine else {}
    if trail:
        service.append(_deny("NobodySilencesTheTrail", _TRAIL, trail, apart))
    if buckets:
        service.append(_deny("NobodyChangesTheirPlace", _BUCKETS, [*buckets], apart))
        # Not by the engine's role either: it deletes no records.
        objects = [f"{bucket}/*" for bucket in buckets]
        service.append(_deny("NobodyShortensTheRecords", ("s3:BypassGovernanceRetention",), objects))
    if logs:
        service.append(_deny("NobodyShortensTheLogs", _LOGS, logs, apart))
        flows = ("ec2:DeleteFlowLogs",)
        service.append(
            _deny("NobodyEndsTheFlowLogs", flows, f"arn:{partition}:ec2:*:*:vpc-flow-log/*", _ours(workspace) | apart)
        )
    ours = _ours(workspace)
    resource = [
        *_keys("*", admin, workspace),
        # A second hand on the key policy: with it the key administrator alone cannot open a key without evidence either ...
        _deny(
            "NoPlaintextWithoutAttestation",
            ATTESTED_ACTIONS,
            "*",
            ours | {"Null": dict.fromkeys(witnesses(()), "true")},
        ),
        # ... nor by an enclave in debug mode, all of whose registers are zeros.
        _deny(
            "NoPlaintextInDebugMode", ATTESTED_ACTIONS, "*", {"StringEquals": {**ours["StringEquals"], IMAGE: "0" * 96}}
        ),
    ]
    found = {
        "serviceControlPolicy": {"Version": "2012-10-17", "Statement": service},
        "resourceControlPolicy": {
            "Version": "2012-10-17",
            "Statement": [{**one, "Principal": "*"} for one in resource],
        },
    }
    for name, policy in found.items():
        if len(jcs(policy)) > MAX_CHARACTERS:
            raise ValueError(f"{name} has {len(jcs(policy))} characters; AWS Organizations takes {MAX_CHARACTERS}")
    return found


def _ours(workspace: str) -> Json:
    return {"StringEquals": {f"aws:ResourceTag/{MARK}": workspace}}


def _keys(resource: str, admin: str, workspace: str) -> list[Json]:
    """What both policies say of keys."""
    ours = _ours(workspace)
    other = {"StringNotEquals": {f"aws:RequestTag/{MARK}": workspace}}
    return [
        _deny("OnlyTheKeyAdministratorChangesAttestedKeys", _HELD, resource,
              ours | {"ArnNotEquals": {"aws:PrincipalArn": admin}}),
        _deny("NobodyDelegatesAttestedKeys", _NEVER, resource, ours),
        # Taking the tag away carries no value of it, and writing another one carries another: both differ from ours.
        _deny("NobodyTakesTheMarkAway", ("kms:TagResource", "kms:UntagResource"), resource,
              ours | other | {"ForAnyValue:StringEquals": {"aws:TagKeys": [MARK]}}),
    ]  # fmt: skip


def _deny(sid: str, actions: tuple[str, ...], resource: str | list[str], condition: Json | None = None) -> Json:
    found: Json = {"Sid": sid, "Effect": "Deny", "Action": list(actions), "Resource": resource}
    return found | ({"Condition": condition} if condition else {})


__all__ = ["MARK", "MAX_CHARACTERS", "organisation_policies"]
