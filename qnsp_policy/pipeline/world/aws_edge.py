"""The bulk reader of AWS: lists and describes, and holds nothing that could write. boto3 is imported when it is used.

One `Seen` for each account and region, services side by side; a call that fails makes every unit that needed it unknown, never
unchanged. Retries are botocore's standard mode, so throttling slows a read down and does not falsify it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from qnsp_policy.pipeline.world.aws import Seen, SeenKey, compare
from qnsp_policy.pipeline.world.observed import Deviation, Observation
from qnsp_policy.pipeline.world.recorded import RecordedUnit

Clients = Callable[[str], Any]
_PARALLEL = 16


def is_on_aws(unit: RecordedUnit) -> bool:
    """Whether this reader reads it."""
    return unit.program.startswith("aws-")


def clients(platform: Mapping[str, Any]) -> Clients:
    """Clients of one region with the credentials of the environment; each read-only by what is called on it."""
    import boto3

    session = boto3.Session(region_name=str(platform["region"]))
    config = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10, read_timeout=30)
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.client(service, config=config)
        return made[service]

    return client


@dataclass(frozen=True, slots=True)
class AwsReader:
    """Reads units on AWS; `connect` is the way out, replaceable by fakes."""

    connect: Callable[[Mapping[str, Any]], Clients] = field(default=clients)

    def observe(self, units: Mapping[str, RecordedUnit]) -> Observation:
        """Look at everything these units made; units that are not on AWS are left out."""
        ours = {name: unit for name, unit in units.items() if is_on_aws(unit)}
        places: dict[tuple[str, str], list[RecordedUnit]] = {}
        for unit in ours.values():
            platform = unit.inputs["platform"]
            places.setdefault((platform["account"], platform["region"]), []).append(unit)
        found: list[Deviation] = []
        unknown: dict[str, str] = {}
        read: list[str] = []
        for (account, _), there in places.items():
            try:
                seen = self._look(account, there)
            except (BotoCoreError, ClientError, _WrongAccountError) as error:
                unknown |= {unit.id: f"{type(error).__name__}: {error}" for unit in there}
                continue
            for unit in there:
                found += list(compare(unit.id, unit.inputs, seen))
                read.append(unit.id)
        return Observation(tuple(found), unknown, tuple(read))

    def _look(self, account: str, units: Iterable[RecordedUnit]) -> Seen:
        aws = self.connect(next(iter(units)).inputs["platform"])
        held = aws("sts").get_caller_identity()["Account"]
        if held != account:
            raise _WrongAccountError(f"the credentials are of account {held}, these units of {account}")
        inputs = [unit.inputs for unit in units]
        foundations = [value["foundation"] for value in inputs if "foundation" in value]
        fleets = {value["fleet"]["group"] for value in inputs if "fleet" in value}
        aliases = {alias for value in inputs for key in value.get("keys", ()) for alias in key["aliases"]}
        roles = {role["name"] for foundation in foundations for role in foundation["roles"]}
        buckets = {foundation[purpose]["bucket"] for foundation in foundations for purpose in ("evidence", "trail")}
        trails = {foundation["trail"]["name"] for foundation in foundations}
        for service in ("kms", "iam", "ec2", "autoscaling", "s3", "cloudtrail"):
            aws(service)
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="read-aws") as pool:
            keys = pool.submit(_keys, aws, aliases, pool)
            policies = {name: pool.submit(_role, aws, name) for name in sorted(roles)}
            templates = {name: pool.submit(_template, aws, name) for name in sorted(fleets)}
            groups = pool.submit(_groups, aws, fleets)
            public = {name: pool.submit(_public, aws, name) for name in sorted(buckets)}
            logging = {name: pool.submit(_trail, aws, name) for name in sorted(trails)}
            answered = {name: future.result() for name, future in policies.items()}
            return Seen(
                keys={alias: future.result() for alias, future in keys.result().items()},
                role_policies={name: value[0] for name, value in answered.items() if value is not None},
                attached={name: value[1] for name, value in answered.items() if value is not None},
                templates=_known(templates),
                groups=groups.result(),
                public_access=_known(public),
                logging=_known(logging),
            )


class _WrongAccountError(Exception):
    pass


def _known(asked: Mapping[str, Future[Any]]) -> Mapping[str, Any]:
    """Answers by name, what does not exist left out."""
    answers = {name: future.result() for name, future in asked.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}


_ABSENT = frozenset(
    {
        "NoSuchEntity",
        "NotFoundException",
        "NoSuchBucket",
        "TrailNotFoundException",
        "InvalidLaunchTemplateName.NotFoundException",
    }
)


def _or_absent(call: Callable[[], Any]) -> Any:
    """What a call answers; None where AWS says that there is no such thing, any other error as it is."""
    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise


def _keys(aws: Clients, aliases: set[str], pool: ThreadPoolExecutor) -> Mapping[str, Any]:
    named: dict[str, str] = {}
    for page in aws("kms").get_paginator("list_aliases").paginate():
        named |= {
            a["AliasName"]: a["TargetKeyId"]
            for a in page["Aliases"]
            if a["AliasName"] in aliases and "TargetKeyId" in a
        }
    return {alias: pool.submit(_one_key, aws, key) for alias, key in sorted(named.items())}


def _one_key(aws: Clients, key: str) -> SeenKey:
    kms = aws("kms")
    grants = sum(len(page["Grants"]) for page in kms.get_paginator("list_grants").paginate(KeyId=key))
    state = kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    return SeenKey(json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]), state, grants)


def _role(aws: Clients, name: str) -> tuple[Mapping[str, Any], tuple[str, ...]] | None:
    iam = aws("iam")
    if _or_absent(lambda: iam.get_role(RoleName=name)) is None:
        return None
    policies = {
        policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    }
    attached = tuple(p["PolicyName"] for p in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"])
    return policies, attached


def _template(aws: Clients, name: str) -> Any:
    answer = _or_absent(
        lambda: aws("ec2").describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Latest"])
    )
    return answer["LaunchTemplateVersions"][0]["LaunchTemplateData"] if answer else None


def _groups(aws: Clients, names: set[str]) -> Mapping[str, Any]:
    pages = aws("autoscaling").get_paginator("describe_auto_scaling_groups").paginate()
    return {
        g["AutoScalingGroupName"]: g
        for page in pages
        for g in page["AutoScalingGroups"]
        if g["AutoScalingGroupName"] in names
    }


def _public(aws: Clients, bucket: str) -> bool | None:
    try:
        held = aws("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchPublicAccessBlockConfiguration":
            return False
        if code == "NoSuchBucket":
            return None
        raise
    return all(held.values())


def _trail(aws: Clients, name: str) -> bool | None:
    answer = _or_absent(lambda: aws("cloudtrail").get_trail_status(Name=name))
    return None if answer is None else bool(answer["IsLogging"])


__all__ = ["AwsReader", "clients", "is_on_aws"]
