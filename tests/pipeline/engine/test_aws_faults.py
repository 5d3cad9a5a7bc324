"""Faults of AWS under the real engine: each leaves what was done recorded, says what happened in AWS's own word, and is gone on from.

One fleet in a network that is there already: log group, security group, launch template, group. The server is a test double (moto).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import LockHeld, OperatorError, PlanRefused
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.events import Event
from qnsp_policy.pipeline.engine.importing import import_resource
from qnsp_policy.pipeline.engine.order import ApplyFailed, ApplyOrder, Status
from qnsp_policy.pipeline.engine.previews import PulumiPreviews
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.plan.values import Action, Op, PreviewRequest, Unit
from qnsp_policy.pipeline.world.aws_left_edge import left_behind
from qnsp_policy.pipeline.world.aws_members_edge import await_members
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.aws_examples import initialised, planned, units_of
from qnsp_policy.testing.engine_toys import ToyWorkspace
from tests.plugins.aws.double import Double, Fault
from tests.plugins.aws.session import Aws
from tests.plugins.aws.stand_in import DIES_AT, READS_AS, install

pytestmark = pytest.mark.engine

GROUP, LOG = "qnsp-aws-nitro-triage", "/qnsp/aws-nitro/triage"


@pytest.fixture(scope="module")
def planned_fleet(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    return units_of(planned(initialised(tmp_path_factory.mktemp("example"), "aws-nitro")))["enclave/triage"]


@pytest.fixture(scope="module")
def server() -> Iterator[Double]:
    with Double() as double, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", double.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield double


class Cloud:
    """A workspace, a fleet to apply, and the server behind it."""

    def __init__(self, toy: ToyWorkspace, server: Double, fleet: Unit) -> None:
        platform = fleet.inputs["platform"]
        self.toy, self.server, self.events = toy, server, list[Event]()
        self.aws = Aws({"region": platform["region"], "assumeRoles": [{"roleArn": platform["role"]}]})
        ec2 = self.aws("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.60.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.60.0.0/20", AvailabilityZone="eu-west-1a")["Subnet"][
            "SubnetId"
        ]
        network = {"vpc": vpc, "subnets": [subnet], "storagePrefixList": "pl-6da54004"}
        self.fleet = Unit(fleet.id, fleet.program, {**fleet.inputs, "network": network}, ())

    def __call__(self, service: str) -> Any:
        return self.aws(service)

    @property
    def settings(self) -> EngineSettings:
        members = partial(await_members, pause=0.05)
        return replace(self.toy.settings, left=left_behind, settled=members)

    def order(self, unit: Unit | None = None) -> ApplyOrder:
        one = unit or self.fleet
        return toys.order(self.toy, [one], [toys.create(one)])

    def apply(self, order: ApplyOrder, **environment: str) -> Any:
        settings = replace(self.settings, environment={**self.settings.environment, **environment})
        return apply(order, settings=settings, events=self.events.append)

    def fails(self, order: ApplyOrder, **environment: str) -> str:
        with pytest.raises(ApplyFailed) as caught:
            self.apply(order, **environment)
        return "; ".join(unit.error for unit in caught.value.record.units if unit.status is Status.FAILED)

    @property
    def told(self) -> str:
        return "\n".join(event.text for event in self.events)

    def groups(self) -> list[Mapping[str, Any]]:
        return list(self("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"])


@pytest.fixture
def cloud(tmp_path: Path, pulumi: Path, server: Double, planned_fleet: Unit) -> Cloud:
    server.reset()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PATH": f"{install(tmp_path / 'plugins')}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    return Cloud(ToyWorkspace.make(tmp_path / "toy", pulumi, environment=environment), server, planned_fleet)


def _whole(record: Any) -> bool:
    return all(unit.status in {Status.APPLIED, Status.ALREADY} for unit in record.units)


def test_throttling_is_waited_out(cloud: Cloud) -> None:
    """Refused a few times each in AWS's own words: nothing is lost but time."""
    cloud.server.faults += [
        Fault("ec2:*", "RequestLimitExceeded", times=3, status=503),
        Fault("logs:CreateLogGroup", "ThrottlingException", times=2),
    ]
    assert _whole(cloud.apply(cloud.order()))
    assert all(fault.befell > 1 for fault in cloud.server.faults)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("ec2:CreateLaunchTemplate", "ExpiredToken"), "ExpiredToken"),
        (Fault("autoscaling:CreateAutoScalingGroup", "LimitExceeded"), "LimitExceeded"),
    ],
    ids=["expired-in-the-middle", "quota"],
)
def test_what_aws_refuses_in_the_middle_is_said_and_gone_on_from(cloud: Cloud, fault: Fault, says: str) -> None:
    """What was made stays recorded; the same plan, applied once the cause is mended, makes the rest and nothing twice."""
    cloud.server.faults.append(fault)
    order = cloud.order()
    assert says in cloud.fails(order)
    assert records.read_state(cloud.toy.settings.backend).units[cloud.fleet.id].digest == ""
    assert cloud.groups() == []
    cloud.server.faults.clear()
    assert _whole(cloud.apply(order))
    assert len(cloud.groups()) == 1


def test_what_was_made_without_an_answer_is_taken_on(cloud: Cloud) -> None:
    """The answer of a creation is lost and its repetition refused; the next apply takes on what is there instead of being refused for ever."""
    cloud.server.faults.append(Fault("logs:CreateLogGroup", times=1))
    order = cloud.order()
    assert "ResourceAlreadyExistsException" in cloud.fails(order)
    cloud.server.faults.clear()
    assert _whole(cloud.apply(order))
    assert f"taken on: triage-log ({LOG})" in cloud.told
    held = cloud("logs").describe_log_groups()["logGroups"]
    assert [(one["logGroupName"], one["retentionInDays"]) for one in held] == [(LOG, 400)]


def test_a_plugin_that_dies_between_making_and_saying_so_makes_nothing_twice(cloud: Cloud) -> None:
    """Killed after the template was made and before the engine heard of it."""
    order = cloud.order()
    cloud.fails(order, **{DIES_AT: "after:triage-template"})
    assert _whole(cloud.apply(order))
    assert len(cloud("ec2").describe_launch_templates()["LaunchTemplates"]) == 1
    assert len(cloud.groups()) == 1


def test_what_bears_our_name_and_not_our_mark_is_told_and_not_taken(cloud: Cloud) -> None:
    """Somebody's log group stays his; the message holds the command for whoever knows better, and that command works."""
    cloud("logs").create_log_group(logGroupName=LOG)
    order = cloud.order()
    cloud.fails(order)
    cloud.fails(order)
    assert f"qnsp-policy import enclave/triage triage-log {LOG}" in cloud.told
    for name, id_, code in (("triage-logg", LOG, "QNSP-ENG-047"), ("triage-log", "/other", "QNSP-ENG-049")):
        with pytest.raises(OperatorError) as caught:
            import_resource(cloud.settings, cloud.fleet.id, name, id_)
        assert caught.value.code == code
    assert import_resource(cloud.settings, cloud.fleet.id, "triage-log", LOG) == "aws:cloudwatch/logGroup:LogGroup"
    with pytest.raises(OperatorError, match="QNSP-ENG-048"):
        import_resource(cloud.settings, cloud.fleet.id, "triage-log", LOG)
    assert _whole(cloud.apply(order))
    assert cloud("logs").describe_log_groups()["logGroups"][0]["retentionInDays"] == 400


def test_a_member_that_never_attests_is_told_and_the_fleet_is_no_success(cloud: Cloud) -> None:
    """The group stands, its members wait in their hook; the unit is failed, and goes on once they attest."""
    cloud.server.never_attests.add(GROUP)
    quick = {**cloud.fleet.inputs, "fleet": {**cloud.fleet.inputs["fleet"], "attestSeconds": 1}}
    order = cloud.order(replace(cloud.fleet, inputs=quick))
    said = cloud.fails(order)
    assert "members" in said
    assert "Pending:Wait" in said
    assert {one["LifecycleState"] for one in cloud.groups()[0]["Instances"]} == {"Pending:Wait"}


def test_a_replacement_is_made_once_the_old_one_is_gone(cloud: Cloud) -> None:
    """What AWS cannot change in place: another description of the security group replaces it and nothing else."""
    cloud.apply(cloud.order())
    before = cloud("ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": [GROUP]}])[
        "SecurityGroups"
    ]
    changed = {**cloud.fleet.inputs, "fleet": {**cloud.fleet.inputs["fleet"], "logGroup": "/qnsp/aws-nitro/other"}}
    unit = replace(cloud.fleet, inputs=changed)
    recorded = records.read_state(cloud.toy.settings.backend).units[unit.id]
    steps = PulumiPreviews(lambda: cloud.settings).preview([PreviewRequest(unit, recorded)])[unit.id]
    assert [(step.op, step.step.name) for step in steps] == [(Op.REPLACE, "triage-log")]
    cloud.apply(toys.order(cloud.toy, [unit], [Action(unit.id, Op.UPDATE, steps=steps)]))
    assert [one["logGroupName"] for one in cloud("logs").describe_log_groups()["logGroups"]] == [
        "/qnsp/aws-nitro/other"
    ]
    after = cloud("ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": [GROUP]}])["SecurityGroups"]
    assert [one["GroupId"] for one in after] == [one["GroupId"] for one in before]


def test_a_plugin_that_lies_about_a_read_or_answers_late_changes_nothing(cloud: Cloud) -> None:
    """What it says is gone or other than it was would be steps that the plan does not hold: refused; late truth is waited for."""
    cloud.apply(cloud.order())
    changed = {**cloud.fleet.inputs, "fleet": {**cloud.fleet.inputs["fleet"], "logGroup": "/qnsp/aws-nitro/other"}}
    unit = replace(cloud.fleet, inputs=changed)
    recorded = records.read_state(cloud.toy.settings.backend).units[unit.id]
    steps = PulumiPreviews(lambda: cloud.settings).preview([PreviewRequest(unit, recorded)])[unit.id]
    order = toys.order(cloud.toy, [unit], [Action(unit.id, Op.UPDATE, steps=steps)])
    for lie, said in (("gone", "create of aws:ec2/launchTemplate:LaunchTemplate"), ("other", "update of aws:ec2/")):
        with pytest.raises(PlanRefused, match="QNSP-PLN-102") as caught:
            cloud.apply(order, **{READS_AS: f"{lie}:triage-template"})
        assert said in caught.value.message
        assert [one["logGroupName"] for one in cloud("logs").describe_log_groups()["logGroups"]] == [LOG]
        assert len(cloud("ec2").describe_launch_templates()["LaunchTemplates"]) == 1
    assert _whole(cloud.apply(order, **{READS_AS: "late:triage-template"}))
    assert [one["logGroupName"] for one in cloud("logs").describe_log_groups()["logGroups"]] == [
        "/qnsp/aws-nitro/other"
    ]


def test_an_interrupted_destroy_goes_on(cloud: Cloud) -> None:
    """AWS refuses a deletion in the middle; the same order again ends what is left."""
    cloud.apply(cloud.order())
    end = toys.order(cloud.toy, [], [toys.delete(cloud.fleet)])
    cloud.server.faults.append(Fault("logs:DeleteLogGroup", "OperationAbortedException"))
    assert "OperationAbortedException" in cloud.fails(end)
    assert records.read_state(cloud.toy.settings.backend).units[cloud.fleet.id].digest == ""
    cloud.server.faults.clear()
    assert _whole(cloud.apply(end))
    assert cloud.groups() == []
    assert cloud("logs").describe_log_groups()["logGroups"] == []
    assert records.read_state(cloud.toy.settings.backend).units == {}


def test_of_two_operators_at_once_one_works(cloud: Cloud) -> None:
    """The other is told who holds the lease; one fleet is made."""
    order = cloud.order()
    begun, refused = threading.Event(), threading.Event()

    def at_work(_: Event) -> None:
        begun.set()
        refused.wait(240)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(apply, order, settings=cloud.settings, events=at_work)
        try:
            assert begun.wait(240)
            with pytest.raises(LockHeld):
                cloud.apply(order)
        finally:
            refused.set()
        assert _whole(first.result())
    assert len(cloud.groups()) == 1


def test_a_fleet_is_made_anew_when_that_is_asked_for(cloud: Cloud) -> None:
    """`--replace` names each resource where it stands, under its component; the component itself is nothing to replace."""
    cloud.apply(cloud.order())

    def templates() -> list[str]:
        return [one["LaunchTemplateId"] for one in cloud("ec2").describe_launch_templates()["LaunchTemplates"]]

    before = templates()
    assert _whole(cloud.apply(toys.order(cloud.toy, [cloud.fleet], [Action(cloud.fleet.id, Op.REPLACE)])))
    assert len(templates()) == 1
    assert templates() != before
    assert [group["AutoScalingGroupName"] for group in cloud.groups()] == [GROUP]
