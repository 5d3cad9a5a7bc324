"""The policies of the organisation, tried by whoever would step around them: the key administrator above all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from qnsp_policy.pipeline.trust.aws_attested import ATTESTED_ACTIONS, IMAGE, PREFIX
from qnsp_policy.pipeline.trust.aws_organisation import MARK, MAX_CHARACTERS, organisation_policies
from qnsp_policy.testing.iam_evaluator import Request, allowed

ACCOUNT = "arn:aws:iam::012345678901"
ADMIN, APPLY, FLEET, OTHER = (
    f"{ACCOUNT}:role/{name}" for name in ("key-admin", "qnsp-apply", "qnsp/prod/clinic", "other")
)
ROOT, TRAIL = f"{ACCOUNT}:root", "arn:aws:cloudtrail:eu-west-1:012345678901:trail/qnsp"
KEY = "arn:aws:kms:eu-west-1:012345678901:key/1"
OURS: dict[str, Any] = {f"aws:ResourceTag/{MARK}": "prod"}
EVIDENCE = {IMAGE: "a0" * 48}
WORDS = ("serviceControlPolicy", "resourceControlPolicy")
BUCKET, LOGS = "arn:aws:s3:::qnsp-prod-trail", "arn:aws:logs:eu-west-1:012345678901:log-group:/qnsp/prod/"
MADE = organisation_policies(
    partition="aws", admin=ADMIN, workspace="prod", engine=APPLY, trail=TRAIL, buckets=[BUCKET], logs=f"{LOGS}*"
)


def passes(word: str, principal: str, action: str, *contexts: Mapping[str, Any], resource: str = KEY) -> bool:
    """Whether one of the two lets a call through that everything else allows."""
    everything = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    held = {"Statement": [*({**one, "Principal": "*"} for one in MADE[word]["Statement"]), everything]}
    return allowed(
        Request(principal, action, {name: value for one in contexts for name, value in one.items()}, resource), held
    )


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "action", ["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:UpdateAlias", "kms:DeleteAlias"]
)
def test_the_key_administrator_alone_changes_attested_keys(word: str, action: str) -> None:
    """Root and the engine's own role cannot, whatever a key policy says; other keys of the account are nobody's business."""
    assert passes(word, ADMIN, action, OURS)
    for principal in (ROOT, APPLY, FLEET, OTHER):
        assert not passes(word, principal, action, OURS)
        assert passes(word, principal, action)
        assert passes(word, principal, action, {f"aws:ResourceTag/{MARK}": "another"})


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "action", ["kms:CreateGrant", "kms:ReplicateKey", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:ImportKeyMaterial"]
)
def test_nobody_goes_around_the_tuple(word: str, action: str) -> None:
    """A grant, a copy, a ciphertext carried to another key: not the administrator either, who could write a policy for it."""
    for principal in (ROOT, ADMIN, APPLY, FLEET):
        assert not passes(word, principal, action, OURS, EVIDENCE)
        assert passes(word, principal, action)


@pytest.mark.parametrize("word", WORDS)
def test_nobody_takes_the_mark_away_by_which_keys_are_known(word: str) -> None:
    """Else the administrator would, and every other statement would look elsewhere; aliases move, and mark nothing."""
    for principal in (ADMIN, ROOT):
        assert not passes(word, principal, "kms:UntagResource", OURS, {"aws:TagKeys": [MARK]})
        assert not passes(word, principal, "kms:UntagResource", OURS, {"aws:TagKeys": ["owner", MARK]})
        assert not passes(
            word, principal, "kms:TagResource", OURS, {"aws:TagKeys": [MARK], f"aws:RequestTag/{MARK}": "x"}
        )
    again = {"aws:TagKeys": [MARK, "owner"], f"aws:RequestTag/{MARK}": "prod", "aws:RequestTag/owner": "x"}
    assert passes(word, ADMIN, "kms:TagResource", OURS, again)
    assert passes(word, ADMIN, "kms:UntagResource", OURS, {"aws:TagKeys": ["owner"]})
    # A new key has no mark yet, and gets it.
    assert passes(word, ADMIN, "kms:TagResource", again)


@pytest.mark.parametrize("action", ATTESTED_ACTIONS)
def test_no_plaintext_without_evidence_whatever_a_key_policy_says(action: str) -> None:
    """Nor by an enclave in debug mode, which anybody of the account can start."""
    word = "resourceControlPolicy"
    for principal in (ADMIN, ROOT, FLEET):
        assert not passes(word, principal, action, OURS)
        assert not passes(word, principal, action, OURS, {IMAGE: "0" * 96})
        assert passes(word, principal, action)
    assert passes(word, FLEET, action, OURS, EVIDENCE)
    assert passes(word, FLEET, action, OURS, {f"{PREFIX}NitroTPMPCR4": "aa" * 48, f"{PREFIX}NitroTPMPCR12": "0" * 96})


def test_neither_role_nor_trail_is_changed_from_within() -> None:
    """Both roles by nobody of the account, themselves included; the trail by the role that makes it alone, so nobody makes himself that role."""
    word = "serviceControlPolicy"
    for action in (
        "iam:UpdateAssumeRolePolicy",
        "iam:PutRolePolicy",
        "iam:DeleteRole",
        "iam:DeleteRolePermissionsBoundary",
    ):
        for principal in (ADMIN, ROOT, APPLY):
            assert not passes(word, principal, action, resource=ADMIN)
            assert not passes(word, principal, action, resource=APPLY)
            assert passes(word, principal, action, resource=OTHER)
    assert not passes(word, ADMIN, "cloudtrail:StopLogging", resource=TRAIL)
    assert passes(word, APPLY, "cloudtrail:UpdateTrail", resource=TRAIL)


RECORDS = [
    ("s3:DeleteBucketPolicy", BUCKET, {}, True),
    ("s3:PutBucketPolicy", BUCKET, {}, True),
    ("s3:PutEncryptionConfiguration", BUCKET, {}, True),
    ("s3:PutBucketObjectLockConfiguration", BUCKET, {}, True),
    ("s3:BypassGovernanceRetention", f"{BUCKET}/AWSLogs/1", {}, False),
    ("logs:DeleteLogGroup", f"{LOGS}flow:*", {}, True),
    ("logs:PutRetentionPolicy", f"{LOGS}flow", {}, True),
    ("ec2:DeleteFlowLogs", "arn:aws:ec2:eu-west-1:012345678901:vpc-flow-log/fl-1", OURS, True),
]


@pytest.mark.parametrize(("action", "resource", "context", "engine"), RECORDS)
def test_records_are_not_cut_off_or_shortened_beside_the_trail(
    action: str, resource: str, context: Mapping[str, Any], engine: bool
) -> None:
    """A bucket that refuses the trail silences it too; only the role that makes them changes them, and nobody passes their lock by."""
    word = "serviceControlPolicy"
    for principal in (ADMIN, ROOT, FLEET, OTHER):
        assert not passes(word, principal, action, context, resource=resource)
    assert passes(word, APPLY, action, context, resource=resource) is engine
    others = {"s3": "arn:aws:s3:::another/x", "logs": "arn:aws:logs:eu-west-1:012345678901:log-group:/other"}
    assert passes(word, OTHER, action, resource=others.get(action.split(":", maxsplit=1)[0], resource))


def test_both_fit_and_are_of_the_form_that_organizations_take() -> None:
    """At most 5,120 characters; a resource control policy names everybody and denies only."""
    for word in WORDS:
        assert len(json.dumps(MADE[word], separators=(",", ":"))) <= MAX_CHARACTERS
        assert {one["Effect"] for one in MADE[word]["Statement"]} == {"Deny"}
    assert all(one["Principal"] == "*" for one in MADE["resourceControlPolicy"]["Statement"])
    assert all("Principal" not in one for one in MADE["serviceControlPolicy"]["Statement"])
    kms = [action for one in MADE["resourceControlPolicy"]["Statement"] for action in one["Action"]]
    assert all(action.startswith("kms:") for action in kms)
    longest = "arn:aws-us-gov:iam::012345678901:role/" + "x" * 218
    made = organisation_policies(
        partition="aws-us-gov",
        admin=longest,
        workspace="w" * 63,
        engine=longest,
        trail=TRAIL + "t" * 128,
        buckets=[f"arn:aws-us-gov:s3:::{'b' * 63}"] * 2,
        logs=f"arn:aws-us-gov:logs:us-gov-west-1:012345678901:log-group:/qnsp/{'w' * 63}/*",
    )
    assert all(len(json.dumps(made[word], separators=(",", ":"))) <= MAX_CHARACTERS for word in WORDS)
