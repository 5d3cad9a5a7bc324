"""The bulk reader of AWS: lists and describes, and holds nothing that could write. boto3 is imported when it is used.

One `Seen` for each account and region, services side by side; a call that fails makes every unit that needed it unknown, never
unchanged. Retries are botocore's standard mode, so throttling slows a read down and does not falsify it. Where AWS is asked, and by
whom, is the environment's: profile, credentials, AWS_ENDPOINT_URL. Credentials of another account take on the platform's role, as
`apply` does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from qnsp_policy.pipeline.world.aws import compare
from qnsp_policy.pipeline.world.aws_calls_edge import PARALLEL, Asker, Clients
from qnsp_policy.pipeline.world.aws_seen import Seen
from qnsp_policy.pipeline.world.aws_trail import GLOBAL_REGION
from qnsp_policy.pipeline.world.declared import Declares, Link, Resource
from qnsp_policy.pipeline.world.observed import Deviation, Observation
from qnsp_policy.pipeline.world.recorded import RecordedUnit

ATTEMPTS = 8


def is_on_aws(unit: RecordedUnit) -> bool:
    """Whether this reader reads it."""
    return unit.program.startswith("aws-")


@cache
def _descriptions() -> Any:
    return botocore.loaders.create_loader(botocore.session.get_session().get_config_variable("data_path"))


def _core() -> Any:
    """A session whose descriptions of services are those of every other: each would look through hundreds of folders for them."""
    core = botocore.session.get_session()
    core.register_component("data_loader", _descriptions())
    return core


def clients(platform: Mapping[str, Any]) -> Clients:
    """Clients of one region with the credentials of the environment; each read-only by what is called on it.

    Raises:
        ClientError, BotoCoreError: there are no credentials, or they may not take on the platform's role.
    """
    import boto3

    region = str(platform["region"])
    session = boto3.Session(region_name=region, botocore_session=_core())
    config = Config(
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        connect_timeout=10,
        read_timeout=30,
        max_pool_connections=PARALLEL,
    )
    sts = session.client("sts", config=config)
    if platform.get("role") and sts.get_caller_identity()["Account"] != platform["account"]:
        taken = sts.assume_role(RoleArn=str(platform["role"]), RoleSessionName="qnsp-policy")["Credentials"]
        session = boto3.Session(taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"], region, _core())
    made: dict[str, Any] = {}
    alone = threading.Lock()

    def client(service: str) -> Any:
        # Readers ask from many threads, and a session makes one client at a time only.
        with alone:
            if service not in made:
                made[service] = session.client(service, config=config)
            return made[service]

    return client


@dataclass(frozen=True, slots=True)
class AwsReader:
    """Reads units on AWS.

    Attributes:
        declares: what a unit's program makes.
        connect: the way out, replaceable by fakes.
    """

    declares: Declares
    connect: Callable[[Mapping[str, Any]], Clients] = field(default=clients)

    def observe(self, units: Mapping[str, RecordedUnit]) -> Observation:
        """Look at everything these units made; units that are not on AWS are left out."""
        places: dict[tuple[str, str], list[RecordedUnit]] = {}
        for unit in units.values():
            if is_on_aws(unit):
                platform = unit.inputs["platform"]
                places.setdefault((platform["account"], platform["region"]), []).append(unit)
        found: list[Deviation] = []
        unknown: dict[str, str] = {}
        read: list[str] = []
        for (account, _), there in places.items():
            declared = {unit.id: self.declares(unit) for unit in there}
            try:
                seen = self._look(account, there, declared)
            except (BotoCoreError, ClientError, ResponseParserError, _WrongAccountError) as error:
                unknown |= {unit.id: f"{type(error).__name__}: {error}" for unit in there}
                continue
            for unit in there:
                deviations, unchecked = compare(unit, declared[unit.id], seen)
                found += deviations
                if unchecked:
                    unknown[unit.id] = "; ".join(unchecked)
                else:
                    read.append(unit.id)
        return Observation(tuple(found), unknown, tuple(read))

    def _look(self, account: str, units: Sequence[RecordedUnit], declared: Mapping[str, Sequence[Resource]]) -> Seen:
        aws = self.connect(units[0].inputs["platform"])
        held = aws("sts").get_caller_identity()["Account"]
        if held != account:
            raise _WrongAccountError(f"the credentials are of account {held}, these units of {account}")
        networks = {unit.outputs.get("vpcId") or (unit.inputs.get("network") or {}).get("vpc") for unit in units}
        keys = {str(arn).rpartition("/")[2] for unit in units for arn in (unit.outputs.get("keys") or {}).values()}
        resources = [resource for some in declared.values() for resource in some]
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="read-aws") as pool:
            asker = Asker(
                aws, resources, frozenset(str(n) for n in networks if n), frozenset(keys), pool,
                beyond=self._beyond(units[0].inputs["platform"], aws), since=_since(units),
            )  # fmt: skip
            asker.answers["declared ports"] = _ports(declared.values())
            return _with_rollouts(aws, asker.seen(), resources)

    def _beyond(self, platform: Mapping[str, Any], aws: Clients) -> Clients:
        """Clients of the region where calls of IAM are recorded."""
        region = GLOBAL_REGION[platform.get("partition", "aws")]
        return aws if region == platform["region"] else self.connect({**platform, "region": region})


def _since(units: Sequence[RecordedUnit]) -> datetime | None:
    """When the first of these units was last applied; None where one does not say."""
    moments = [unit.applied_at for unit in units]
    return None if None in moments else min(moment for moment in moments if moment is not None)


def _ports(declared: Iterable[Sequence[Resource]]) -> Mapping[str, set[int]]:
    """Ports that plans hold, by the name of their load balancer."""
    found: dict[str, set[int]] = {}
    for unit in declared:
        names = {one.name: one.inputs["name"] for one in unit if one.type == "aws:lb/loadBalancer:LoadBalancer"}
        for one in unit:
            if one.type == "aws:lb/listener:Listener" and isinstance(one.inputs["loadBalancerArn"], Link):
                found.setdefault(names[one.inputs["loadBalancerArn"].name], set()).add(int(one.inputs["port"]))
    return found


def _with_rollouts(aws: Clients, seen: Seen, resources: Sequence[Resource]) -> Seen:
    """How the last rollout ended, asked only of groups that lack members; it explains, and is no fact of its own."""
    if "groups" in seen.refused or "groups" not in seen.answers:
        return seen
    told: dict[str, Any] = {}
    for resource in resources:
        if resource.type != "aws:autoscaling/group:Group":
            continue
        name = resource.inputs["name"]
        members = (seen.answers["groups"].get(name) or {}).get("Instances") or ()
        serving = [m for m in members if m["LifecycleState"] == "InService" and m["HealthStatus"] == "Healthy"]
        told[f"refreshes:{name}"] = []
        if name in seen.answers["groups"] and len(serving) < int(resource.inputs["minSize"]):
            try:
                answer = aws("autoscaling").describe_instance_refreshes(AutoScalingGroupName=name, MaxRecords=1)
                told[f"refreshes:{name}"] = answer["InstanceRefreshes"]
            except (ClientError, BotoCoreError, ResponseParserError):
                continue
    return replace(seen, answers={**seen.answers, **told})


class _WrongAccountError(Exception):
    pass


__all__ = ["AwsReader", "Clients", "clients", "is_on_aws"]
