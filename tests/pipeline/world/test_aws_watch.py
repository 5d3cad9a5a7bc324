"""Who changed keys and roles, as CloudTrail tells it; and what somebody changed of members that run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qnsp_policy.pipeline.engine.programs import resources
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.world.aws_edge import AwsReader
from qnsp_policy.pipeline.world.aws_trail import SESSION, Call, calls, is_ours
from qnsp_policy.pipeline.world.observed import Concern
from qnsp_policy.testing.aws_examples import initialised, planned, units_of
from tests.plugins.aws.double import Double, Fault
from tests.plugins.aws.session import Aws
from tests.plugins.aws.world import made_units

MALLORY = "arn:aws:iam::012345678901:role/people/mallory"
KEY, STORE = "clinic/data/records@1", "broker/main/store@1"


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> list[Unit]:
    every = units_of(planned(initialised(tmp_path_factory.mktemp("example"), "aws-nitro"))).values()
    return [unit for unit in every if unit.program.startswith("aws-")]


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", made.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        made.reset()
        yield made


def test_who_did_it_is_told_also_of_what_was_undone_again(double: Double, units: list[Unit]) -> None:
    """By another role, behind our back: the edit, the caller and the moment; a policy that was widened and put back leaves its calls."""
    platform = units[0].inputs["platform"]
    ours = Aws({"region": platform["region"], "assumeRoles": [{"roleArn": platform["role"]}]})
    recorded, made = made_units(units, lambda _: ours)
    mallory = Aws({"region": platform["region"], "assumeRoles": [{"roleArn": MALLORY, "sessionName": "evening"}]})
    key, store = made["aws-keys/clinic"][KEY], made["broker/main"][STORE]
    group = made["enclave/triage"]["triage-group"].inputs["name"]
    described = ours("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
    member = described[0]["Instances"][0]["InstanceId"]
    other = ours("ec2").create_security_group(
        GroupName="other", Description="other", VpcId=recorded["platform/cloud"].outputs["vpcId"]
    )["GroupId"]
    before = AwsReader(resources).observe(recorded)
    assert [d.text for d in before.deviations] == []
    assert before.unknown == {}

    open_to_all = {"Sid": "Mine", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
    wide = json.dumps({"Version": "2012-10-17", "Statement": [open_to_all]})
    mallory("kms").put_key_policy(KeyId=key.id, PolicyName="default", Policy=wide)
    mallory("kms").put_key_policy(KeyId=store.id, PolicyName="default", Policy=wide)
    mallory("kms").put_key_policy(KeyId=store.id, PolicyName="default", Policy=store.inputs["policy"])
    mallory("iam").put_role_policy(RoleName="qnsp-aws-nitro-triage", PolicyName="more", PolicyDocument=wide)
    mallory("iam").update_role(RoleName="qnsp-aws-nitro-main", MaxSessionDuration=43200)
    ec2 = mallory("ec2")
    ec2.modify_instance_metadata_options(InstanceId=member, HttpTokens="optional", HttpPutResponseHopLimit=3)
    ec2.modify_instance_attribute(InstanceId=member, Groups=[other])
    ec2.associate_iam_instance_profile(InstanceId=member, IamInstanceProfile={"Name": "qnsp-aws-nitro-main"})
    ec2.run_instances(
        ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, SubnetId=made["platform/cloud"]["subnet-eu-west-1a"].id
    )
    found = AwsReader(resources).observe(recorded).deviations
    security = [(d.unit, d.text) for d in found if d.concern is Concern.SECURITY]
    who = "arn:aws:sts::012345678901:assumed-role/mallory/evening"
    for unit, *words in (
        ("aws-keys/clinic", "Mine added", f"PutKeyPolicy by {who} at 2"),
        ("broker/main", f"key {STORE}: PutKeyPolicy by {who} at 2", "it is as it was applied again"),
        ("platform/cloud", "inline policy more", f"PutRolePolicy by {who} at 2"),
        ("platform/cloud", "role qnsp-aws-nitro-main: maxSessionDuration is 43200"),
        ("platform/cloud", "which no fleet of ours started"),
        ("enclave/triage", f"metadata of member {member}: httpTokens is optional"),
        ("enclave/triage", f"metadata of member {member}: httpPutResponseHopLimit is 3"),
        ("enclave/triage", f"member {member} stands behind {other}"),
        ("enclave/triage", f"member {member} was given the role of profile qnsp-aws-nitro-main"),
    ):
        assert [text for name, text in security if name == unit and all(word in text for word in words)], (unit, words)

    # After another apply nothing that was undone before is told again.
    later = {name: replace(unit, applied_at=datetime.now(UTC) + timedelta(hours=1)) for name, unit in recorded.items()}
    again = AwsReader(resources).observe(later).deviations
    assert not [d.text for d in again if "as it was applied again" in d.text]
    assert all("names no call upon it" in d.text for d in again if "Mine added" in d.text)

    double.faults.append(Fault("cloudtrail:LookupEvents", "AccessDeniedException"))
    silent = AwsReader(resources).observe(recorded)
    assert "calls of kms not checked (AccessDeniedException" in silent.unknown["broker/main"]
    assert any("Mine added" in d.text and "who did it is not known: calls of kms" in d.text for d in silent.deviations)


def _event(name: str, at: datetime, **told: Any) -> dict[str, Any]:
    return {"EventName": name, "EventTime": at, "Resources": [], "CloudTrailEvent": json.dumps(told)}


def test_calls_are_read_from_events_and_refused_ones_are_none() -> None:
    """Oldest first; the key by its id, however it was named; what AWS refused changed nothing."""
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    arn = "arn:aws:kms:eu-west-1:012345678901:key/1234"
    role = {"sessionIssuer": {"arn": MALLORY}}
    found = calls([
        _event("PutKeyPolicy", noon + timedelta(hours=1), userIdentity={"arn": "arn:aws:sts::1:assumed-role/m/s", "sessionContext": role},
               requestParameters={"keyId": arn}),
        _event("DisableKey", noon, userIdentity={"invokedBy": "some.amazonaws.com"}, requestParameters={"keyId": "1234"}),
        _event("CreateGrant", noon, errorCode="AccessDenied", requestParameters={"keyId": arn}),
        {"EventName": "DeleteAlias", "EventTime": noon, "Username": "root"},
    ])  # fmt: skip
    assert [(one.name, sorted(one.targets), one.who) for one in found] == [
        ("DisableKey", ["1234"], "some.amazonaws.com"),
        ("DeleteAlias", [], "root"),
        ("PutKeyPolicy", ["1234"], "arn:aws:sts::1:assumed-role/m/s"),
    ]
    assert found[-1].says() == "PutKeyPolicy by arn:aws:sts::1:assumed-role/m/s at 2026-11-21 13:00:00Z"


@pytest.mark.parametrize(
    ("session", "issuer", "ours"),
    [(SESSION, MALLORY, True), ("console", MALLORY, False), (SESSION, "arn:aws:iam::012345678901:role/else", False)],
)
def test_the_engine_is_known_by_role_and_session(session: str, issuer: str, ours: bool) -> None:
    """Neither alone."""
    call = Call("PutKeyPolicy", frozenset(), f"arn:aws:sts::1:assumed-role/x/{session}", issuer, datetime.now(UTC))
    assert is_ours(call, frozenset({MALLORY})) is ours
