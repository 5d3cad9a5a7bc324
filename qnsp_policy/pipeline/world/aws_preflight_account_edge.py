"""What is asked of an account before anything is made: whether IAM lets its roles, and whether its quotas leave room. Read-only.

IAM simulates for any resource first, then, for what that leaves open, for the very names that the plan holds: a role limited to
ours is no less good than one that may do everything. A policy's condition on something that only a real call carries stays open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from qnsp_policy.pipeline.world.aws_calls_edge import Clients
from qnsp_policy.pipeline.world.aws_permissions import ACTIONS, names_of, passed_roles
from qnsp_policy.pipeline.world.aws_preflight_fleets_edge import Answer

Json = Mapping[str, Any]
_VPCS = ("vpc", "L-F678F1CE")
_TRAILS = 5
"""Trails a region; AWS lets nobody raise it (CloudTrail User Guide, "Quotas")."""


def simulated(aws: Clients, arn: str, types: set[str], inputs: Json) -> Answer:
    """Whether one role may do what a plan does to resources of these types."""
    unlisted = sorted(types - set(ACTIONS))
    if unlisted:
        return None, f"which actions {', '.join(unlisted)} takes is not known here"
    wanted = sorted({action for kind in types for action in ACTIONS[kind]})
    decided = _decided(aws, arn, wanted, ["*"])
    denied = [action for action in wanted if decided.get(action) == "explicitDeny"]
    if denied:
        return False, f"{arn} is denied {', '.join(denied)}"
    left = {action for action in wanted if decided.get(action) != "allowed"}
    refused, open_ = set[str](), set(left)
    for kind in sorted(types):
        for action in sorted(open_ & set(ACTIONS[kind])):
            service = action.partition(":")[0]
            names = [name for name in names_of(kind, inputs) if name.split(":")[2] == service]
            names = passed_roles(inputs) if action == "iam:PassRole" else names
            if names:
                verdict = _decided(aws, arn, [action], names)[action]
                open_ -= {action} if verdict != "open" else set()
                refused |= {action} if verdict.endswith("Deny") else set()
    if refused:
        return False, f"{arn} is not allowed, on what this plan names: {', '.join(sorted(refused))}"
    if open_:
        return (
            None,
            f"{arn} is not allowed for every resource, and which ours are is not known before: {', '.join(sorted(open_))}",
        )
    among = "for any resource" if not left else f"{len(left)} of them for ours only"
    return True, (
        f"{arn} is allowed the {len(wanted)} actions that this takes, {among} (limits of the organisation are not simulated)"
    )


def _decided(aws: Clients, arn: str, actions: list[str], resources: list[str]) -> dict[str, str]:
    """By action `allowed`, `implicitDeny`, `explicitDeny`, or `open` where a condition could not be judged; for all resources at once."""
    found: dict[str, str] = {}
    for start in range(0, len(actions), 50):
        answer = aws("iam").simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=actions[start : start + 50], ResourceArns=resources
        )
        for one in answer["EvaluationResults"]:
            each = [one, *(one.get("ResourceSpecificResults") or ())]
            said = {str(told.get("EvalDecision") or told.get("EvalResourceDecision")) for told in each}
            verdict = next((word for word in ("explicitDeny", "implicitDeny") if word in said), "allowed")
            if verdict == "implicitDeny" and any(told.get("MissingContextValues") for told in each):
                verdict = "open"
            found[one["EvalActionName"]] = verdict
    return found


def account_quotas(aws: Clients, steps: Iterable[Json]) -> Iterator[tuple[str, Callable[[], Answer]]]:
    """Whether there is room for what a plan makes anew in one account and region, beside vCPUs."""
    new = Counter(str(step["type"]) for step in steps if step["op"] == "create")
    for kind, name, ask in (
        ("aws:iam/role:Role", "roles", _roles),
        ("aws:iam/instanceProfile:InstanceProfile", "instance profiles", _profiles),
        ("aws:autoscaling/group:Group", "groups", _groups),
        ("aws:lb/loadBalancer:LoadBalancer", "load balancers", _balancers),
        ("aws:lb/targetGroup:TargetGroup", "target groups", _targets),
        ("aws:ec2/vpc:Vpc", "networks", _networks),
        ("aws:cloudtrail/trail:Trail", "trails", _trails),
    ):
        count = new[kind]
        if count:
            yield name, lambda ask=ask, name=name, count=count: _fits(name, count, *ask(aws))  # type: ignore[misc]


def _fits(name: str, count: int, used: int, most: int) -> Answer:
    return used + count <= most, f"{most} {name}, {used} in use, {count} more needed"


def _summary(aws: Clients) -> Json:
    told: Json = aws("iam").get_account_summary()["SummaryMap"]
    return told


def _roles(aws: Clients) -> tuple[int, int]:
    told = _summary(aws)
    return int(told["Roles"]), int(told["RolesQuota"])


def _profiles(aws: Clients) -> tuple[int, int]:
    told = _summary(aws)
    return int(told["InstanceProfiles"]), int(told["InstanceProfilesQuota"])


def _groups(aws: Clients) -> tuple[int, int]:
    told = aws("autoscaling").describe_account_limits()
    return int(told["NumberOfAutoScalingGroups"]), int(told["MaxNumberOfAutoScalingGroups"])


def _of_balancers(aws: Clients, name: str) -> int:
    pages = aws("elbv2").get_paginator("describe_account_limits").paginate()
    return next(int(one["Max"]) for page in pages for one in page["Limits"] if one["Name"] == name)


def _balancers(aws: Clients) -> tuple[int, int]:
    pages = aws("elbv2").get_paginator("describe_load_balancers").paginate()
    used = sum(one["Type"] == "network" for page in pages for one in page["LoadBalancers"])
    return used, _of_balancers(aws, "network-load-balancers")


def _targets(aws: Clients) -> tuple[int, int]:
    pages = aws("elbv2").get_paginator("describe_target_groups").paginate()
    return sum(len(page["TargetGroups"]) for page in pages), _of_balancers(aws, "target-groups")


def _networks(aws: Clients) -> tuple[int, int]:
    pages = aws("ec2").get_paginator("describe_vpcs").paginate()
    used = sum(len(page["Vpcs"]) for page in pages)
    service, code = _VPCS
    told = aws("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)
    return used, int(told["Quota"]["Value"])


def _trails(aws: Clients) -> tuple[int, int]:
    return len(aws("cloudtrail").describe_trails()["trailList"]), _TRAILS


__all__ = ["account_quotas", "simulated"]
