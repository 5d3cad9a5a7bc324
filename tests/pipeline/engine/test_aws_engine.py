"""Units on AWS under the real Pulumi engine, against a moto server on loopback through a stand-in for the AWS plugin.

The stand-in (tests/plugins/aws) is not the real provider and moto is not AWS: what is proven here is our programs, the engine's way with
them, and that what arrives at an AWS-shaped API is what the plan holds.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.order import ApplyFailed, Status
from qnsp_policy.pipeline.engine.previews import PulumiPreviews
from qnsp_policy.pipeline.engine.programs import resources
from qnsp_policy.pipeline.engine.waves import resolve
from qnsp_policy.pipeline.plan.recoverability import losses, refuse_unnamed
from qnsp_policy.pipeline.plan.values import Action, Op, PreviewRequest, Unit
from qnsp_policy.pipeline.world.aws_edge import AwsReader
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.aws_examples import initialised, planned, units_of
from qnsp_policy.testing.engine_toys import ToyWorkspace
from tests.plugins.aws.double import Double
from tests.plugins.aws.stand_in import install

pytestmark = pytest.mark.engine

WANTED = ("platform/cloud", "aws-keys/clinic", "enclave/triage")
KEY = "clinic/data/records"


@pytest.fixture(scope="module")
def server() -> Iterator[Double]:
    """An AWS-shaped server on loopback."""
    with Double() as double:
        yield double


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Unit]:
    """The fleet, its platform and its keys of the example; broker and tenant need a broker that runs in an enclave."""
    found = units_of(planned(initialised(tmp_path_factory.mktemp("example"), "aws-nitro")))
    kept = {}
    for name in WANTED:
        unit = found[name]
        kept[name] = replace(unit, depends_on=tuple(d for d in unit.depends_on if d in WANTED))
    return kept


class Cloud:
    """A workspace with an engine, and a look at the cloud behind it."""

    def __init__(self, toy: ToyWorkspace, url: str) -> None:
        self.toy, self._url = toy, url

    def __call__(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._url,
            region_name="eu-west-1",
            aws_access_key_id=self._keys["AccessKeyId"],
            aws_secret_access_key=self._keys["SecretAccessKey"],
            aws_session_token=self._keys["SessionToken"],
        )

    @property
    def _keys(self) -> Mapping[str, str]:
        sts = boto3.client(
            "sts", endpoint_url=self._url, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        taken: Mapping[str, str] = sts.assume_role(
            RoleArn="arn:aws:iam::012345678901:role/qnsp-apply", RoleSessionName="test"
        )["Credentials"]
        return taken

    def key_id(self) -> str:
        aliases = {a["AliasName"]: a for a in self("kms").list_aliases()["Aliases"]}
        return str(aliases[f"alias/qnsp/aws-nitro/{KEY}"]["TargetKeyId"])

    def policy(self) -> Any:
        return json.loads(self("kms").get_key_policy(KeyId=self.key_id(), PolicyName="default")["Policy"])


@pytest.fixture
def cloud(tmp_path: Path, pulumi: Path, server: Double) -> Cloud:
    server.reset()
    plugins = install(tmp_path / "plugins")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PATH": f"{plugins}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-west-1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    return Cloud(ToyWorkspace.make(tmp_path / "toy", pulumi, environment=environment), server.url)


def _create_all(cloud: Cloud, units: Mapping[str, Unit]) -> Any:
    order = toys.order(cloud.toy, list(units.values()), [toys.create(unit) for unit in units.values()])
    return apply(order, settings=cloud.toy.settings)


def _preview(cloud: Cloud, unit: Unit) -> Any:
    state = records.read_state(cloud.toy.settings.backend)
    return PulumiPreviews(lambda: cloud.toy.settings).preview([PreviewRequest(unit, state.units[unit.id])])[unit.id]


def test_the_whole_life_of_a_platform_its_keys_and_a_fleet(cloud: Cloud, units: Mapping[str, Unit]) -> None:
    """Apply; nothing to do; a key policy edited by hand is seen and put back; update in place; destroy."""
    record = _create_all(cloud, units)
    assert {outcome.unit: outcome.status for outcome in record.units} == dict.fromkeys(WANTED, Status.APPLIED)

    # What arrived is what the plan holds.
    planned_key = next(key for key in units["aws-keys/clinic"].inputs["keys"] if key["resource"] == KEY)
    assert cloud.policy() == planned_key["policy"]
    data = cloud("ec2").describe_launch_template_versions(
        LaunchTemplateName="qnsp-aws-nitro-triage", Versions=["$Latest"]
    )
    template = data["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert template["EnclaveOptions"] == {"Enabled": True}
    assert template["MetadataOptions"]["HttpTokens"] == "required"
    hook = cloud("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName="qnsp-aws-nitro-triage")[
        "LifecycleHooks"
    ][0]
    assert hook["DefaultResult"] == "ABANDON"
    role = cloud("iam").get_role_policy(RoleName="qnsp-aws-nitro-triage", PolicyName="grants")["PolicyDocument"]
    wanted = next(
        r for r in units["platform/cloud"].inputs["foundation"]["roles"] if r["name"] == "qnsp-aws-nitro-triage"
    )
    assert role == wanted["policy"]
    assert cloud("cloudtrail").get_trail_status(Name="qnsp-aws-nitro-cloud")["IsLogging"]

    # A world that an apply made is clean to the reader; what edits look like to it is tried in tests/pipeline/world.
    seen = AwsReader(resources, connect=lambda _: cloud).observe(records.read_state(cloud.toy.settings.backend).units)
    assert [deviation.text for deviation in seen.deviations] == []
    assert seen.unknown == {}
    assert set(seen.read) == set(WANTED)

    # Nothing changed, nothing to do; network references are resolved.
    for unit in units.values():
        assert _preview(cloud, unit) == (), unit.id

    # A key policy edited by hand.
    open_policy = planned_key["policy"] | {
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}]
    }
    cloud("kms").put_key_policy(KeyId=cloud.key_id(), PolicyName="default", Policy=json.dumps(open_policy))
    steps = _preview(cloud, units["aws-keys/clinic"])
    assert [(step.op, step.step.type, step.properties) for step in steps] == [
        (Op.UPDATE, "aws:kms/key:Key", ("policy",))
    ]
    mend = Action("aws-keys/clinic", Op.UPDATE, steps=steps)
    apply(toys.order(cloud.toy, list(units.values()), [mend]), settings=cloud.toy.settings)
    assert cloud.policy() == planned_key["policy"]

    # A resource deleted behind our back is made again.
    cloud("logs").delete_log_group(logGroupName="/qnsp/aws-nitro/triage")
    steps = _preview(cloud, units["enclave/triage"])
    assert [(step.op, step.step.name) for step in steps] == [(Op.CREATE, "triage-log")]
    apply(
        toys.order(cloud.toy, list(units.values()), [Action("enclave/triage", Op.UPDATE, steps=steps)]),
        settings=cloud.toy.settings,
    )
    assert cloud("logs").describe_log_groups(logGroupNamePrefix="/qnsp/aws-nitro/triage")["logGroups"]

    # Another image: a new version of the template, in place.
    changed = json.loads(json.dumps(units["enclave/triage"].inputs))
    changed["fleet"]["userData"] += "# another\n"
    other = replace(units["enclave/triage"], inputs=changed)
    steps = _preview(cloud, other)
    assert (Op.UPDATE, "triage-template", ("userData",)) in [(s.op, s.step.name, s.properties) for s in steps]
    apply(
        toys.order(cloud.toy, [units["platform/cloud"], units["aws-keys/clinic"], other],
                   [Action(other.id, Op.UPDATE, steps=steps)]),
        settings=cloud.toy.settings,
    )  # fmt: skip
    group = cloud("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["qnsp-aws-nitro-triage"])
    assert group["AutoScalingGroups"][0]["LaunchTemplate"]["Version"] == "2"

    # Destroyed, dependents first; the key waits for its deletion.
    key = cloud.key_id()
    gone = [other, units["aws-keys/clinic"], units["platform/cloud"]]
    apply(toys.order(cloud.toy, [], [toys.delete(unit) for unit in gone]), settings=cloud.toy.settings)
    assert records.read_state(cloud.toy.settings.backend).units == {}
    assert cloud("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert not cloud("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]


def test_another_account_is_refused_before_anything_is_made(cloud: Cloud, units: Mapping[str, Unit]) -> None:
    """Credentials of the wrong account change nothing."""
    platform = units["platform/cloud"]
    foreign = replace(
        platform, inputs={**platform.inputs, "platform": {**platform.inputs["platform"], "account": "999999999999"}}
    )
    with pytest.raises(ApplyFailed) as caught:
        apply(toys.order(cloud.toy, [foreign], [toys.create(foreign)]), settings=cloud.toy.settings)
    assert "not among the allowed ones" in str([outcome.error for outcome in caught.value.record.units])
    mine = [vpc for vpc in cloud("ec2").describe_vpcs()["Vpcs"] if not vpc.get("IsDefault")]
    assert mine == []


def test_missing_credentials_are_said_and_nothing_is_half_done(cloud: Cloud, units: Mapping[str, Unit]) -> None:
    """boto3's own words reach the user; no unit claims to be applied."""
    bare = {name: value for name, value in cloud.toy.settings.environment.items() if not name.startswith("AWS_ACCESS")}
    bare |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    settings = replace(cloud.toy.settings, environment=bare)
    platform = units["platform/cloud"]
    with pytest.raises(ApplyFailed) as caught:
        apply(toys.order(cloud.toy, [platform], [toys.create(platform)]), settings=settings)
    assert "redentials" in str([outcome.error for outcome in caught.value.record.units])


def test_a_plugin_that_dies_in_the_middle_is_gone_on_from(cloud: Cloud, units: Mapping[str, Unit]) -> None:
    """Killed between a key and its alias: the unit failed and is recorded so; the same order again finishes it, one key."""
    keys = units["aws-keys/clinic"]
    # One key: a second that was on its way at the same moment is what `left_behind` is for (test_aws_faults.py).
    one = [key for key in keys.inputs["keys"] if key["resource"] == KEY]
    chosen = [units["platform/cloud"], replace(keys, inputs={**keys.inputs, "keys": one})]
    order = toys.order(cloud.toy, chosen, [toys.create(unit) for unit in chosen])
    dying = {**cloud.toy.settings.environment, "STAND_IN_DIES_AT": "::alias/"}
    with pytest.raises(ApplyFailed):
        apply(order, settings=replace(cloud.toy.settings, environment=dying))
    record = apply(order, settings=cloud.toy.settings)
    assert {outcome.unit: outcome.status for outcome in record.units}["aws-keys/clinic"] is Status.APPLIED
    assert cloud.key_id()
    assert len(cloud("kms").list_keys()["Keys"]) == 1


def test_destroying_a_kms_key_must_be_asked_for_by_name(units: Mapping[str, Unit]) -> None:
    """Nobody holds a copy of what KMS keeps."""
    found = losses([units["aws-keys/clinic"].inputs], [], named=())
    assert {loss.subject for loss in found} == {KEY, "clinic/signing-root"}
    for named in ((), (KEY,)):
        with pytest.raises(OperatorError) as caught:
            refuse_unnamed(found, named)
        assert caught.value.code == "QNSP-PLN-022"
    refuse_unnamed(found, (KEY, "clinic/signing-root"))


def test_references_are_resolved_from_what_the_platform_gave(cloud: Cloud, units: Mapping[str, Unit]) -> None:
    """Network, subnets and the S3 prefix list of the fleet are those of its platform."""
    _create_all(cloud, {"platform/cloud": units["platform/cloud"]})
    state = records.read_state(cloud.toy.settings.backend)
    network = resolve(units["enclave/triage"], state.units).inputs["network"]
    assert network["vpc"].startswith("vpc-")
    assert len(network["subnets"]) == 2
    assert network["storagePrefixList"].startswith("pl-")
