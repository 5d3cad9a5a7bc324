"""Drift made with boto3 behind our back: each edit is named, with what it touches; a world that nobody touched shows nothing.

The world is made by the stand-in's own kinds on a test double of AWS (moto), without an engine: what is tried here is the reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from qnsp_policy.pipeline.engine.programs import resources
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.world.aws import KINDS
from qnsp_policy.pipeline.world.aws_edge import AwsReader
from qnsp_policy.pipeline.world.observed import Concern, Deviation
from qnsp_policy.pipeline.world.recorded import RecordedUnit
from qnsp_policy.testing.aws_examples import initialised, planned, units_of
from tests.plugins.aws import stand_in
from tests.plugins.aws.double import HTML, Double, Fault
from tests.plugins.aws.session import Aws
from tests.plugins.aws.world import Made, made_units

ROOT = "arn:aws:iam::012345678901:root"
EVERYTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
ANYBODY = {"Sid": "Mine", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
S, A, C = Concern.SECURITY, Concern.AVAILABILITY, Concern.COSMETIC


@dataclass
class World:
    """Units that stand, and a hand that edits behind our back."""

    double: Double
    aws: Aws
    recorded: dict[str, RecordedUnit]
    made: dict[str, dict[str, Made]]

    def __call__(self, service: str) -> Any:
        return self.aws(service)

    def id(self, name: str) -> str:
        """Of a resource."""
        return next(unit[name].id for unit in self.made.values() if name in unit)

    def inputs(self, name: str) -> Mapping[str, Any]:
        return next(unit[name].inputs for unit in self.made.values() if name in unit)

    def look(self, units: Mapping[str, RecordedUnit] | None = None) -> Any:
        return AwsReader(resources).observe(units or self.recorded)


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> list[Unit]:
    every = units_of(planned(initialised(tmp_path_factory.mktemp("example"), "aws-nitro"))).values()
    return [unit for unit in every if unit.program.startswith("aws-")]


@pytest.fixture(scope="module")
def server() -> Iterator[Double]:
    with Double() as double, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", double.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield double


@pytest.fixture
def world(server: Double, units: list[Unit]) -> World:
    server.reset()
    platform = units[0].inputs["platform"]
    aws = Aws({"region": platform["region"], "assumeRoles": [{"roleArn": platform["role"]}]})
    recorded, made = made_units(units, lambda _: aws)
    return World(server, aws, recorded, made)


KEY = "clinic/data/records@1"
STORE = "broker/main/store@1"
Edit = Callable[[World], object]


def _key_policy(world: World) -> None:
    policy = json.loads(world.inputs(KEY)["policy"])
    policy["Statement"] = [s for s in policy["Statement"] if s["Effect"] == "Allow"] + [ANYBODY]
    world("kms").put_key_policy(KeyId=world.id(KEY), PolicyName="default", Policy=json.dumps(policy))


def _other_key(world: World) -> None:
    other = world("kms").create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": [ANYBODY]}))["KeyMetadata"]
    alias = next(
        iter(sorted(key for key in world.made["broker/main"] if key.startswith("alias/") and not key.endswith("v1")))
    )
    world("kms").update_alias(AliasName=alias, TargetKeyId=other["KeyId"])


def _trust(world: World) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"}
    world("iam").update_assume_role_policy(
        RoleName="qnsp-aws-nitro-triage", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )


def _role_policy(world: World) -> None:
    policy = json.loads(world.inputs("role-qnsp-aws-nitro-main-policy")["policy"])
    policy["Statement"].append({"Sid": "More", "Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    world("iam").put_role_policy(RoleName="qnsp-aws-nitro-main", PolicyName="grants", PolicyDocument=json.dumps(policy))


def _gateway(world: World) -> None:
    made = world("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    world("ec2").attach_internet_gateway(InternetGatewayId=made, VpcId=world.id("network"))
    world("ec2").create_route(RouteTableId=world.id("routes"), DestinationCidrBlock="0.0.0.0/0", GatewayId=made)


def _peering(world: World) -> None:
    other = world("ec2").create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    world("ec2").create_vpc_peering_connection(VpcId=world.id("network"), PeerVpcId=other)


def _template(world: World, **change: Any) -> None:
    name = world.inputs("triage-template")["name"]
    held = world("ec2").describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Latest"])
    data = held["LaunchTemplateVersions"][0]["LaunchTemplateData"] | change
    made = world("ec2").create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)
    number = str(made["LaunchTemplateVersion"]["VersionNumber"])
    group = world.inputs("triage-group")["name"]
    world("ec2").modify_launch_template(LaunchTemplateName=name, DefaultVersion=number)
    world("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=group, LaunchTemplate={"LaunchTemplateName": name, "Version": number}
    )


def _unattested(world: World) -> None:
    group, hook = world.inputs("triage-group")["name"], world.inputs("triage-group")["initialLifecycleHooks"][0]["name"]
    world("autoscaling").delete_lifecycle_hook(AutoScalingGroupName=group, LifecycleHookName=hook)


def _listener(world: World) -> None:
    targets = [{"Type": "forward", "TargetGroupArn": world.id("targets")}]
    arn = world.made["endpoint/triage"]["balancer"].id
    world("elbv2").create_listener(LoadBalancerArn=arn, Protocol="TCP", Port=22, DefaultActions=targets)


def _bucket(world: World) -> str:
    return str(world.inputs("evidence")["bucket"])


EDITS: list[tuple[str, Concern, str, Edit]] = [
    ("aws-keys/clinic", S, "Mine added: anybody may kms:* without any condition and without attestation", _key_policy),
    ("aws-keys/clinic", S, "to anybody any more", lambda w: None),
    ("aws-keys/clinic", S, "a grant of KMS lets arn:aws:iam::012345678901:role/other Decrypt, which goes around",
     lambda w: w("kms").create_grant(KeyId=w.id(KEY), GranteePrincipal="arn:aws:iam::012345678901:role/other", Operations=["Decrypt"])),
    ("aws-keys/clinic", S, "enableKeyRotation is true", lambda w: w("kms").enable_key_rotation(KeyId=w.id(KEY))),
    ("aws-keys/clinic", C, "description is mine", lambda w: w("kms").update_key_description(KeyId=w.id(KEY), Description="mine")),
    ("aws-keys/clinic", A, "it is Disabled: nothing that it seals can be opened", lambda w: w("kms").disable_key(KeyId=w.id(KEY))),
    ("broker/main", S, "targetKeyId is", _other_key),
    ("platform/cloud", S, "assumeRolePolicy|role qnsp-aws-nitro-triage is not what was applied", _trust),
    ("platform/cloud", S, "More added: it may s3:* without any condition", _role_policy),
    ("platform/cloud", S, "role qnsp-aws-nitro-triage: it was given the inline policy more", lambda w: w("iam").put_role_policy(
        RoleName="qnsp-aws-nitro-triage", PolicyName="more", PolicyDocument=EVERYTHING)),
    ("platform/cloud", S, "policy/everything was attached to it", lambda w: w("iam").attach_role_policy(
        RoleName="qnsp-aws-nitro-triage", PolicyArn=w("iam").create_policy(PolicyName="everything", PolicyDocument=EVERYTHING)["Policy"]["Arn"])),
    ("platform/cloud", C, "role qnsp-aws-nitro-main: tags is", lambda w: w("iam").tag_role(RoleName="qnsp-aws-nitro-main", Tags=[{"Key": "owner", "Value": "me"}])),
    ("platform/cloud", S, "instance profile qnsp-aws-nitro-main: role is qnsp-aws-nitro-triage", lambda w: (
        w("iam").remove_role_from_instance_profile(InstanceProfileName="qnsp-aws-nitro-main", RoleName="qnsp-aws-nitro-main"),
        w("iam").add_role_to_instance_profile(InstanceProfileName="qnsp-aws-nitro-main", RoleName="qnsp-aws-nitro-triage"))),
    ("platform/cloud", S, "is attached to it", _gateway),
    ("platform/cloud", S, "a route leads out of the network: 0.0.0.0/0 through igw-", lambda w: None),
    ("platform/cloud", S, "peering pcx-", _peering),
    ("platform/cloud", S, "gives new instances public addresses", lambda w: w("ec2").modify_subnet_attribute(
        SubnetId=w.id("subnet-eu-west-1a"), MapPublicIpOnLaunch={"Value": True})),
    ("platform/cloud", S, "routeTableId is rtb-", lambda w: w("ec2").replace_route_table_association(
        AssociationId=w.id("subnet-eu-west-1b-routes"),
        RouteTableId=w("ec2").create_route_table(VpcId=w.id("network"))["RouteTable"]["RouteTableId"])),
    ("platform/cloud", A, "enableDnsHostnames is false", lambda w: w("ec2").modify_vpc_attribute(
        VpcId=w.id("network"), EnableDnsHostnames={"Value": False})),
    ("platform/cloud", C, "network: tags is|network network: tags is", lambda w: w("ec2").create_tags(
        Resources=[w.id("network")], Tags=[{"Key": "owner", "Value": "me"}])),
    ("platform/cloud", S, "it admits tcp 22 0.0.0.0/0, which no plan holds", lambda w: w("ec2").authorize_security_group_ingress(
        GroupId=w.id("endpoints"), IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])),
    ("enclave/triage", S, "it reaches any protocol every port 0.0.0.0/0", lambda w: w("ec2").authorize_security_group_egress(
        GroupId=w.id("triage-doors"), IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])),
    ("enclave/triage", A, "it no longer admits tcp 8443", lambda w: w("ec2").revoke_security_group_ingress(
        GroupId=w.id("triage-doors"), IpPermissions=w("ec2").describe_security_groups(GroupIds=[w.id("triage-doors")])["SecurityGroups"][0]["IpPermissions"])),
    ("platform/cloud", S, "endpoint com.amazonaws.eu-west-1.kms is not what was applied: ", lambda w: w("ec2").modify_vpc_endpoint(
        VpcEndpointId=w.id("endpoint-kms"), PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "All", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}))),
    ("platform/cloud", S, "to com.amazonaws.eu-west-1.ssm is a way out that no plan holds", lambda w: w("ec2").create_vpc_endpoint(
        VpcId=w.id("network"), ServiceName="com.amazonaws.eu-west-1.ssm", VpcEndpointType="Interface", SubnetIds=[w.id("subnet-eu-west-1a")])),
    ("platform/cloud", S, "flow log flow-log is gone", lambda w: w("ec2").delete_flow_logs(FlowLogIds=[w.id("flow-log")])),
    ("platform/cloud", S, "refusal of public access of bucket qnsp-aws-nitro-012345678901-eu-west-1-evidence: blockPublicPolicy is false",
     lambda w: w("s3").put_public_access_block(Bucket=_bucket(w), PublicAccessBlockConfiguration={
         "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": False, "RestrictPublicBuckets": True})),
    ("platform/cloud", S, "policy of bucket qnsp-aws-nitro-012345678901-eu-west-1-evidence is gone", lambda w: w("s3").delete_bucket_policy(Bucket=_bucket(w))),
    ("platform/cloud", S, "retention of bucket qnsp-aws-nitro-012345678901-eu-west-1-evidence: rule is", lambda w: w("s3").put_object_lock_configuration(
        Bucket=_bucket(w), ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}})),
    ("platform/cloud", S, "its access list says: AllUsers may READ", lambda w: w("s3").put_bucket_acl(
        Bucket=w.inputs("trail-records")["bucket"], ACL="public-read")),
    ("platform/cloud", S, "encryption of bucket qnsp-aws-nitro-012345678901-eu-west-1-trail is gone", lambda w: w("s3").delete_bucket_encryption(
        Bucket=w.inputs("trail-records")["bucket"])),
    ("platform/cloud", C, "bucket qnsp-aws-nitro-012345678901-eu-west-1-evidence: tags is", lambda w: w("s3").put_bucket_tagging(
        Bucket=_bucket(w), Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})),
    ("platform/cloud", S, "trail qnsp-aws-nitro-cloud does not record", lambda w: w("cloudtrail").stop_logging(Name="qnsp-aws-nitro-cloud")),
    ("platform/cloud", S, "enableLogFileValidation is false", lambda w: w("cloudtrail").update_trail(Name="qnsp-aws-nitro-cloud", EnableLogFileValidation=False)),
    ("platform/cloud", S, "isMultiRegionTrail is false", lambda w: w("cloudtrail").update_trail(Name="qnsp-aws-nitro-cloud", IsMultiRegionTrail=False)),
    ("platform/cloud", S, "eventSelectors is", lambda w: w("cloudtrail").put_event_selectors(
        TrailName="qnsp-aws-nitro-cloud", EventSelectors=[{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True,
                                                           "ExcludeManagementEventSources": ["kms.amazonaws.com"]}])),
    ("enclave/triage", S, "log group /qnsp/aws-nitro/triage: retentionInDays is 1", lambda w: w("logs").put_retention_policy(
        logGroupName="/qnsp/aws-nitro/triage", retentionInDays=1)),
    ("enclave/triage", S, "imageId is ami-0bad", lambda w: _template(w, ImageId="ami-0bad", EnclaveOptions={"Enabled": False}, KeyName="mine")),
    ("enclave/triage", S, "enclaveOptions is", lambda w: None),
    ("enclave/triage", S, "who holds the key pair mine may log in", lambda w: None),
    ("enclave/triage", S, "members come into service without having attested", _unattested),
    ("enclave/triage", A, "desiredCapacity is 1", lambda w: w("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName="qnsp-aws-nitro-triage", MinSize=1, DesiredCapacity=1)),
    ("enclave/triage", A, "1 of 2 members are in service", lambda w: None),
    ("enclave/triage", A, "minSize is 1", lambda w: None),
    ("endpoint/triage", S, "it listens on port 22 (TCP), which no plan holds", _listener),
    ("endpoint/triage", A, "target group qnsp-aws-nitro-triage: stickiness is", lambda w: w("elbv2").modify_target_group_attributes(
        TargetGroupArn=w.made["endpoint/triage"]["targets"].id,
        Attributes=[{"Key": "stickiness.enabled", "Value": "false"}])),
    ("endpoint/triage", A, "attachment of group qnsp-aws-nitro-triage is gone", lambda w: w("autoscaling").detach_load_balancer_target_groups(
        AutoScalingGroupName="qnsp-aws-nitro-triage", TargetGroupARNs=[w.made["endpoint/triage"]["targets"].id])),
    ("broker/main", S, "it listens on port 9000 (TCP), which no plan holds", lambda w: w("elbv2").modify_listener(
        ListenerArn=w.made["broker/main"]["listener"].id, Protocol="TCP", Port=9000)),
    ("broker/main", A, "listener listener is gone", lambda w: None),
    ("broker/main", A, "enableCrossZoneLoadBalancing is false", lambda w: w("elbv2").modify_load_balancer_attributes(
        LoadBalancerArn=w.made["broker/main"]["balancer"].id, Attributes=[{"Key": "load_balancing.cross_zone.enabled", "Value": "false"}])),
]  # fmt: skip


def _named(found: list[Deviation], unit: str, concern: Concern, text: str) -> list[Deviation]:
    words = text.split("|")
    return [d for d in found if d.unit == unit and d.concern is concern and any(word in d.text for word in words)]


def test_nothing_is_told_of_a_world_that_nobody_touched_and_every_edit_is_named(world: World) -> None:
    """Nearly fifty edits at once: each stands in the answer, and nothing stands there that nobody did."""
    clean = world.look()
    assert [d.text for d in clean.deviations] == []
    assert clean.unknown == {}
    assert set(clean.read) == set(world.recorded)
    for _, _, _, edit in EDITS:
        edit(world)
    found = list(world.look().deviations)
    missing = [(unit, concern, text) for unit, concern, text, _ in EDITS if not _named(found, unit, concern, text)]
    assert missing == []
    strange = [d.text for d in found if not any(d in _named(found, u, c, t) for u, c, t, _ in EDITS)]
    assert strange == []
    assert len(found) >= 45


GONE: list[tuple[str, Concern, str, Edit]] = [
    ("aws-keys/clinic", S, "and all that it seals is lost, unless that is cancelled", lambda w: w("kms").schedule_key_deletion(
        KeyId=w.id(KEY), PendingWindowInDays=7)),
    ("broker/main", A, "alias alias/qnsp/aws-nitro/broker/main/store is gone", lambda w: w("kms").delete_alias(
        AliasName="alias/qnsp/aws-nitro/broker/main/store")),
    ("platform/cloud", S, "trail qnsp-aws-nitro-cloud is gone", lambda w: w("cloudtrail").delete_trail(Name="qnsp-aws-nitro-cloud")),
    ("platform/cloud", S, "bucket qnsp-aws-nitro-012345678901-eu-west-1-evidence is gone", lambda w: w("s3").delete_bucket(Bucket=_bucket(w))),
    ("platform/cloud", A, "policy of a role qnsp-aws-nitro-triage is gone|policy of a role", lambda w: w("iam").delete_role_policy(RoleName="qnsp-aws-nitro-triage", PolicyName="grants")),
    ("platform/cloud", A, "endpoint com.amazonaws.eu-west-1.sts is gone", lambda w: w("ec2").delete_vpc_endpoints(VpcEndpointIds=[w.id("endpoint-sts")])),
    ("enclave/triage", S, "log group /qnsp/aws-nitro/triage is gone", lambda w: w("logs").delete_log_group(logGroupName="/qnsp/aws-nitro/triage")),
    ("enclave/triage", A, "group qnsp-aws-nitro-triage is gone", lambda w: w("autoscaling").delete_auto_scaling_group(
        AutoScalingGroupName="qnsp-aws-nitro-triage", ForceDelete=True)),
    ("enclave/triage", A, "launch template qnsp-aws-nitro-triage is gone", lambda w: w("ec2").delete_launch_template(
        LaunchTemplateName="qnsp-aws-nitro-triage")),
    ("broker/main", A, "listener listener is gone", lambda w: w("elbv2").delete_listener(ListenerArn=w.made["broker/main"]["listener"].id)),
    ("endpoint/triage", A, "load balancer qnsp-aws-nitro-triage is gone", lambda w: w("elbv2").delete_load_balancer(
        LoadBalancerArn=w.made["endpoint/triage"]["balancer"].id)),
]  # fmt: skip


def test_what_was_deleted_is_named_and_what_leaned_on_it_is_told_once(world: World) -> None:
    """A thing that is gone is told as gone; nothing is said of the links to it."""
    for _, _, _, edit in GONE:
        edit(world)
    found = list(world.look().deviations)
    assert [(u, c, t) for u, c, t, _ in GONE if not _named(found, u, c, t)] == []
    assert not [d.text for d in found if "UNREAD" in d.text or "object object" in d.text]


@pytest.mark.parametrize(
    ("call", "unit", "says"),
    [
        ("ec2:DescribeFlowLogs", "platform/cloud", "flow logs not checked (UnauthorizedOperation"),
        ("iam:GetAccountAuthorizationDetails", "platform/cloud", "roles not checked"),
        ("kms:GetKeyPolicy", "aws-keys/clinic", "keys not checked"),
        ("autoscaling:DescribeLifecycleHooks", "enclave/triage", "hooks not checked"),
        ("s3:GetBucketPolicy", "platform/cloud", "bucket policies not checked"),
    ],
)
def test_what_may_not_be_read_is_never_clean(world: World, call: str, unit: str, says: str) -> None:
    """One call refused: its units are unknown with the reason; the others are read, and drift beside it is still told."""
    world("cloudtrail").stop_logging(Name="qnsp-aws-nitro-cloud")
    code = "UnauthorizedOperation" if call.startswith("ec2") else "AccessDenied"
    world.double.faults.append(Fault(call, code, status=403))
    seen = world.look()
    assert says in seen.unknown[unit]
    assert unit not in seen.read
    assert set(seen.read) | set(seen.unknown) == set(world.recorded)
    assert any("does not record" in d.text for d in seen.deviations)


def test_what_is_asked_for_after_a_refused_part_is_not_clean_either(world: World) -> None:
    """Keys that are recorded are asked for beside those that aliases name: without aliases none is."""
    unit = world.recorded["aws-keys/clinic"]
    keys = {KEY: f"arn:aws:kms:eu-west-1:012345678901:key/{world.id(KEY)}"}
    world.double.faults.append(Fault("kms:ListAliases", "AccessDenied", status=403))
    seen = world.look({**world.recorded, unit.id: replace(unit, outputs={**unit.outputs, "keys": keys})})
    assert "keys not asked for, since AWS did not tell aliases" in seen.unknown[unit.id]


def test_throttling_slows_a_read_down_and_does_not_falsify_it(world: World) -> None:
    """Refused twice each by AWS's own word for it: read whole all the same. For ever: not checked, by that word."""
    world.double.faults += [
        Fault("kms:*", "ThrottlingException", times=2),
        Fault("ec2:*", "RequestLimitExceeded", times=2, status=503),
    ]
    calm = world.look()
    assert calm.deviations == ()
    assert calm.unknown == {}
    assert all(fault.befell >= 2 for fault in world.double.faults)


def test_a_page_of_a_proxy_is_no_answer(world: World) -> None:
    """What cannot be parsed is not checked, and nothing of ours falls over it."""
    world.double.faults.append(Fault("ec2:DescribeSecurityGroups", HTML))
    seen = world.look()
    assert "security groups not checked (ResponseParserError" in seen.unknown["platform/cloud"]
    assert seen.deviations == ()


def test_credentials_that_expired_are_said_for_every_unit(world: World) -> None:
    """Nothing is clean, nothing is drift."""
    world.double.faults.append(Fault("*", "ExpiredToken", status=403))
    seen = world.look()
    assert seen.deviations == ()
    assert set(seen.unknown) == set(world.recorded)
    assert all("ExpiredToken" in why for why in seen.unknown.values())


def test_another_account_is_not_read(world: World, units: list[Unit]) -> None:
    """Credentials of another account take on the platform's role; without one they are told."""
    mine = {**units[0].inputs["platform"], "role": None}
    foreign = {name: replace(unit, inputs={**unit.inputs, "platform": mine}) for name, unit in world.recorded.items()}
    seen = world.look(foreign)
    assert set(seen.unknown) == set(world.recorded)
    assert "of account 123456789012" in seen.unknown["platform/cloud"]


def test_the_reader_knows_every_type_that_programs_make() -> None:
    """A type that only the stand-in knows would be told as not checked in every run."""
    assert set(KINDS) == set(stand_in.KINDS)
