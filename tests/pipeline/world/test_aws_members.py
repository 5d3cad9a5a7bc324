"""Whether the members of a fleet attested, as AWS says it. Answers are hand-made, in the shape of the Auto Scaling API reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.world.aws_members_edge import await_members

INPUTS = {"platform": {"region": "eu-west-1"}, "fleet": {"group": "qnsp-a", "members": 2, "attestSeconds": 900}}


def refresh(status: str, reason: str = "") -> dict[str, Any]:
    return {"InstanceRefreshes": [{"Status": status, "StatusReason": reason, "PercentageComplete": 50}]}


def members(*states: str, version: str = "2") -> dict[str, Any]:
    instances = [
        {"LifecycleState": state, "HealthStatus": "Healthy", "LaunchTemplate": {"Version": version}} for state in states
    ]
    return {"AutoScalingGroups": [{"Instances": instances, "LaunchTemplate": {"Version": "2"}}]}


class Scaling:
    """Answers in turn; the last one again and again."""

    def __init__(self, refreshes: Sequence[Any], groups: Sequence[Any], activities: Sequence[Any] = ()) -> None:
        self.refreshes, self.groups, self.asked = list(refreshes), list(groups), 0
        self.activities = list(activities)

    def __call__(self, service: str) -> Scaling:
        assert service == "autoscaling"
        return self

    def _next(self, answers: list[Any]) -> Any:
        self.asked += 1
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def describe_instance_refreshes(self, **_: Any) -> Mapping[str, Any]:
        return dict(self._next(self.refreshes))

    def describe_auto_scaling_groups(self, **_: Any) -> Mapping[str, Any]:
        return dict(self._next(self.groups))

    def describe_scaling_activities(self, **asked: Any) -> Mapping[str, Any]:
        """Those that there are once the group was asked for."""
        asked_for = [one for one in self.activities if self.asked >= one.get("from", 0)]
        return {"Activities": asked_for[: asked["MaxRecords"]]}


def wait(
    refreshes: Sequence[Any],
    groups: Sequence[Any],
    interrupted: Event | None = None,
    activities: Sequence[Any] = (),
) -> Scaling:
    scaling = Scaling(refreshes, groups, activities)
    await_members(INPUTS, interrupted or Event(), connect=lambda _: scaling, pause=0.001)
    return scaling


IN_SERVICE = members("InService", "InService")


def test_the_wait_ends_when_all_members_of_the_new_template_are_in_service() -> None:
    """Not while the refresh runs, not while one member waits, not while one is of the template before."""
    scaling = wait(
        [refresh("InProgress"), refresh("Successful")],
        [members("InService", "Pending:Wait"), members("InService", "InService", version="1"), IN_SERVICE],
    )
    assert scaling.asked == 7
    wait([{"InstanceRefreshes": []}], [IN_SERVICE])


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "RollbackSuccessful", "RollbackFailed"])
def test_a_refresh_that_aws_ended_otherwise_is_a_member_that_did_not_attest(status: str) -> None:
    """Told with AWS's reason."""
    with pytest.raises(EngineError) as caught:
        wait([refresh(status, "a lifecycle action was abandoned")], [IN_SERVICE])
    assert caught.value.code == "QNSP-APL-016"
    assert status in caught.value.message
    assert "abandoned" in caught.value.message


THROTTLED = ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "DescribeInstanceRefreshes")


def test_a_few_answers_that_fail_are_borne_and_many_are_not_taken_for_a_yes() -> None:
    """Throttling and a network that blinks; then it is not known, and said so."""
    wait([THROTTLED, THROTTLED, refresh("Successful")], [IN_SERVICE])
    for error in (THROTTLED, EndpointConnectionError(endpoint_url="https://autoscaling")):
        with pytest.raises(EngineError) as caught:
            wait([error], [IN_SERVICE])
        assert caught.value.code == "QNSP-APL-017"


def test_members_that_never_come_and_an_interruption_end_the_wait() -> None:
    """After the time that members have to attest; at once when interrupted."""
    nobody: list[dict[str, Any]] = [{"AutoScalingGroups": []}]
    for groups in ([members("InService")], nobody):
        with pytest.raises(EngineError) as caught:
            wait([refresh("Successful")], groups)
        assert caught.value.code == "QNSP-APL-017"
    interrupted = Event()
    interrupted.set()
    with pytest.raises(EngineError):
        wait([refresh("InProgress")], [IN_SERVICE], interrupted)


def test_how_members_stand_is_told_when_it_changes_and_now_and_then() -> None:
    """What is waited for, since when, and how long at most."""
    told: list[str] = []
    groups = [*[members("InService", "Pending:Wait")] * 8, IN_SERVICE]
    scaling = Scaling([refresh("InProgress"), refresh("Successful")], groups)
    await_members(INPUTS, Event(), told.append, connect=lambda _: scaling, pause=0.001)
    assert told[0].endswith("min: its refresh is InProgress (50 %)")
    assert told[1].endswith("1 of 2 members attested (states: InService, Pending:Wait)")
    assert len(told) == 3


UNSUPPORTED = {
    "ActivityId": "refused",
    "StatusCode": "Failed",
    "StatusMessage": "Your requested instance type (p5.48xlarge) is not supported in your requested Availability Zone (eu-west-1a).",
}


def test_a_region_that_lacks_the_type_ends_the_wait() -> None:
    """Every start is refused and nothing runs: told at once, in AWS's words, instead of at the end of a long wait."""
    nothing = {"AutoScalingGroups": [{"Instances": [], "LaunchTemplate": {"Version": "1"}}]}
    with pytest.raises(EngineError, match=r"p5\.48xlarge") as caught:
        wait([{"InstanceRefreshes": []}], [nothing], activities=[UNSUPPORTED] * 4)
    assert caught.value.code == "QNSP-APL-018"
    assert "--preflight" in str(caught.value.next_step)


@pytest.mark.parametrize("failed", [1, 3])
def test_starts_that_fail_beside_members_are_told_and_waited_out(failed: int) -> None:
    """Capacity comes and goes: one refusal, or some beside a member that runs, end nothing."""
    group = members("InService", "Pending") if failed > 1 else members()
    done = [UNSUPPORTED] * failed + [{"ActivityId": "fine", "StatusCode": "Successful"}]
    wait([{"InstanceRefreshes": []}], [group, IN_SERVICE], activities=done)
    with pytest.raises(EngineError, match="AWS says: Your requested") as caught:
        wait([{"InstanceRefreshes": []}], [group], activities=done)
    assert caught.value.code == "QNSP-APL-017"


def abandoned(how: str, since: int) -> dict[str, Any]:
    """An activity as the Auto Scaling User Guide shows it; there since so many questions."""
    text = f"Instance failed to complete user's Lifecycle Action: Lifecycle Action with token 1 was abandoned: {how}"
    return {"ActivityId": how, "StatusCode": "Cancelled", "StatusMessage": text, "from": since}


OVER, ITSELF = "Heartbeat Timeout", "Lifecycle Action Completed with ABANDON Result"
NEVER: list[dict[str, Any]] = [{"InstanceRefreshes": []}]


@pytest.mark.parametrize(("how", "since"), [(ITSELF, 1), (OVER, 2 * 60)])
def test_the_first_member_of_a_new_fleet_that_aws_ended_ends_the_wait(how: str, since: int) -> None:
    """AWS starts member after member: with the first it is known, in AWS's words."""
    with pytest.raises(EngineError, match=how) as caught:
        wait(NEVER, [members("Pending:Wait", "Terminating:Wait")], activities=[abandoned(how, since)])
    assert caught.value.code == "QNSP-APL-016"


@pytest.mark.parametrize(
    ("how", "since", "states"),
    [
        # Before this wait: of a run that was interrupted, or of values that were mended since.
        (ITSELF, 0, ["Pending:Wait"]),
        # Its time was over before its endpoint had been begun for long.
        (OVER, 4, ["Pending:Wait"]),
        # One that attested shows that the values are right: AWS starts the other one anew.
        (ITSELF, 1, ["InService", "Pending:Wait"]),
    ],
)
def test_what_says_nothing_of_the_values_is_waited_out(how: str, since: int, states: list[str]) -> None:
    """The next member attests, and the wait ends well."""
    wait(NEVER, [*[members(*states)] * 9, IN_SERVICE], activities=[abandoned(how, since)])


def test_a_fleet_that_goes_back_may_have_been_brought_back_by_aws() -> None:
    """Waited for until that is over; a going back that fails is told."""
    for status in ("RollbackSuccessful", "RollbackFailed"):
        scaling = Scaling([refresh("RollbackInProgress"), refresh(status, "no capacity")], [IN_SERVICE])
        told: list[str] = []
        expected = pytest.raises(EngineError, match=status) if status == "RollbackFailed" else nullcontext()
        with expected:
            await_members(INPUTS, Event(), told.append, connect=lambda _, s=scaling: s, pause=0.001, back=True)  # type: ignore[misc]
        assert told[0].endswith("its refresh is RollbackInProgress (50 %)")
