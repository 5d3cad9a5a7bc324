"""What an earlier run made on AWS without hearing so: found by its name and this workspace's tag, to be taken on instead of made twice.

AWS refuses a second bucket, role, profile, log group, template, group, security group or flow log of one name; a second subnet or
endpoint costs money. A thing of our name without our tag is somebody's: it is told, never taken. Keys of KMS are never taken on: whoever
made one may hold its material. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.world.aws import located
from qnsp_policy.pipeline.world.aws_calls_edge import PARALLEL, Asker, Clients, absent
from qnsp_policy.pipeline.world.aws_edge import clients
from qnsp_policy.pipeline.world.aws_seen import UNREAD, Found
from qnsp_policy.pipeline.world.declared import Left, Resource
from qnsp_policy.pipeline.world.recorded import RecordedUnit

MARK = "qnsp:workspace"
TAKEN_ON = frozenset({
    "aws:s3/bucket:Bucket", "aws:iam/role:Role", "aws:iam/instanceProfile:InstanceProfile",
    "aws:cloudwatch/logGroup:LogGroup", "aws:ec2/launchTemplate:LaunchTemplate", "aws:autoscaling/group:Group",
    "aws:ec2/securityGroup:SecurityGroup", "aws:ec2/flowLog:FlowLog", "aws:ec2/subnet:Subnet",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
})  # fmt: skip


def left_behind(
    unit: RecordedUnit,
    resources: Sequence[Resource],
    held: Mapping[tuple[str, str], str],
    *,
    connect: Callable[[Mapping[str, Any]], Clients] = clients,
) -> Left:
    """What of a unit exists although its stack does not hold it.

    Args:
        unit: with its inputs resolved.
        resources: all that it declares.
        held: id of each one that its stack holds, by type and name.
        connect: the way out, replaceable by fakes.

    Raises:
        EngineError: QNSP-ENG-045, AWS did not say what is there.
    """
    wanted = [r for r in resources if (r.type, r.name) not in held and r.type in TAKEN_ON]
    if not wanted or "platform" not in unit.inputs:
        return Left()
    own = next((id_ for (kind, _), id_ in held.items() if kind == "aws:ec2/vpc:Vpc"), None)
    vpc = own or (unit.inputs.get("network") or {}).get("vpc")
    unit = replace(unit, outputs={**unit.outputs, "vpcId": vpc})
    try:
        aws = connect(unit.inputs["platform"])
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="left-on-aws") as pool:
            seen = Asker(aws, resources, frozenset([str(vpc)] if vpc else []), frozenset(), pool).seen()
        found = located(unit, resources, seen)
        ours, strangers = {}, []
        for resource in wanted:
            one = found.get(resource.name)
            if one is None:
                continue
            mark = (resource.inputs.get("tags") or {}) if isinstance(resource.inputs.get("tags"), Mapping) else {}
            if _marks(aws, resource, one).get(MARK) == (
                mark.get(MARK) or _listed(resource.inputs.get("tags")).get(MARK)
            ):
                ours[resource.type, resource.name] = str(one.outputs["id"])
            else:
                strangers.append((resource.type, resource.name, str(one.outputs["id"])))
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        raise EngineError(
            "QNSP-ENG-045",
            f"an earlier run may have left something of {unit.id} on AWS, which did not say: {error}",
            subject=unit.id,
            next_step="mend the cause and apply the same plan again",
        ) from error
    return Left(ours, tuple(strangers))


def _marks(aws: Clients, resource: Resource, found: Found) -> Mapping[str, str]:
    """Tags of what was found, asked for where lists do not tell them."""
    told = found.inputs.get("tags")
    name = found.outputs["id"]
    if told is not UNREAD:
        return told if isinstance(told, Mapping) else _listed(told)
    if resource.type == "aws:iam/instanceProfile:InstanceProfile":
        held = absent(lambda: aws("iam").list_instance_profile_tags(InstanceProfileName=name)["Tags"])
        return {tag["Key"]: tag["Value"] for tag in held or ()}
    return dict(absent(lambda: aws("logs").list_tags_log_group(logGroupName=name)["tags"]) or {})


def _listed(tags: Any) -> Mapping[str, str]:
    return {tag["key"]: tag["value"] for tag in tags or ()} if isinstance(tags, list) else {}


__all__ = ["MARK", "TAKEN_ON", "left_behind"]
