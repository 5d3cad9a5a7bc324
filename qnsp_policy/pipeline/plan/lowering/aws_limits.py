"""What AWS takes of names, places and sizes, asked of documents before any credential is needed.

A platform whose own facts contradict each other, two things of a workspace that would have one name, and a policy longer than the service
stores are refused at their lines; AWS would refuse them in the middle of an apply. Sources (read 2026-11): Amazon VPC User Guide,
"VPC CIDR blocks" and "Endpoint policies" (20,480 characters); IAM User Guide, "IAM and AWS STS quotas" (10,240 characters of inline
policies a role, white space not counted); CloudTrail User Guide, "Quotas" (250 data resources a trail).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, KeyBroker, Platform
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.trust.aws_names import Names

Json = Mapping[str, Any]

MAX_INLINE = 10_240
MAX_ENDPOINT = 20_480
MAX_DATA_RESOURCES = 250
_WILD = re.compile(r"[*?$]")


def refuse_contradictions(workspace: Workspace, platform: Platform) -> None:
    """Refuse a platform that AWS could not have.

    Raises:
        OperatorError: QNSP-PLN-240, at the field.
    """
    spec = platform.spec
    assert isinstance(spec, AwsPlatform)
    for path, message, nearest in _contradictions(spec):
        raise OperatorError(
            "QNSP-PLN-240",
            f"{platform.address}: {message}",
            subject=str(platform.address),
            place=workspace.place(platform.address, "spec", *path),
            next_step=nearest,
        )


def _contradictions(spec: AwsPlatform) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    region, account = str(spec.region), str(spec.account)
    of_region = next(
        (name for start, name in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")) if region.startswith(start)), "aws"
    )
    if spec.partition != of_region:
        yield ("region",), f"{region} is in partition {of_region}, not {spec.partition}", f"say partition: {of_region}"
    for field, arn in (("role", spec.role), ("keyAdmin", spec.key_admin), ("boundary", spec.boundary)):
        if arn is None:
            continue
        _, partition, _, _, owner, _ = str(arn).split(":", 5)
        if partition != spec.partition:
            yield (
                (field,),
                f"{arn} is of partition {partition}, not {spec.partition}",
                f"write arn:{spec.partition}:...",
            )
        if owner not in {account, "aws"}:
            yield (
                (field,),
                f"{arn} is of account {owner}, and everything is made in {account}",
                "name a role of that account; whoever runs this program may be of another",
            )
    for index, zone in enumerate(spec.zones):
        if not re.fullmatch(rf"{region}[a-z]", str(zone)):
            yield (
                ("zones", index),
                f"{zone} is no availability zone of {region} (a local zone boots no UEFI image)",
                f"say {region}a",
            )
        elif zone in spec.zones[:index]:
            yield ("zones", index), f"{zone} is named twice", "name each zone once"
    if (spec.vpc is None) != (not spec.subnets):
        yield (
            ("vpc" if spec.vpc else "subnets",),
            "vpc and subnets are named together or not at all",
            "name both, or neither",
        )
    for field, value, shape in (
        ("vpc", spec.vpc, r"vpc-[0-9a-f]{8,17}"),
        *(("subnets", subnet, r"subnet-[0-9a-f]{8,17}") for subnet in spec.subnets),
    ):
        if value is not None and not re.fullmatch(shape, str(value)):
            yield (field,), f"{value} is no id of AWS", f"write {field.removesuffix('s')}-0123456789abcdef0"
    if spec.vpc is None:
        yield from _network(spec)


def _network(spec: AwsPlatform) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    try:
        block = ipaddress.IPv4Network(str(spec.cidr))
    except ValueError as error:
        yield ("cidr",), f"{spec.cidr} is no block of IPv4 addresses ({error})", "say cidr: 10.60.0.0/16"
        return
    wanted = len(spec.zones) or 2
    if not 16 <= block.prefixlen <= 20 or 2 ** (20 - block.prefixlen) < wanted:
        yield (
            ("cidr",),
            f"{block} does not hold a /20 for each of {wanted} zones (a network of AWS is a /16 at most)",
            "say cidr: 10.60.0.0/16",
        )


def refuse_shared_names(workspace: Workspace) -> None:
    """Refuse two things that would have one name within an account, or an account and region.

    Raises:
        OperatorError: QNSP-PLN-241, at the second.
    """
    held: dict[tuple[str, ...], Address] = {}
    for key, what, address in _names(workspace):
        if key in held and held[key] != address:
            raise OperatorError(
                "QNSP-PLN-241",
                f"{address} and {held[key]} would both have the {what} {key[-1]} in account {key[1]}",
                subject=str(address),
                place=workspace.place(address, "metadata", "name"),
                next_step="give one of them another name" if address.split("/")[0] != "Platform"
                else "put both on one platform, or in regions or accounts of their own",
            )  # fmt: skip
        held[key] = address


def _names(workspace: Workspace) -> Iterator[tuple[tuple[str, ...], str, Address]]:
    brokers = {broker.spec.enclave: broker.name for broker in workspace.of_kind(KeyBroker) if broker.spec.enclave}
    for platform in workspace.of_kind(Platform):
        if not isinstance(platform.spec, AwsPlatform):
            continue
        names = Names.of(workspace, platform)
        here = (names.account, names.region)
        yield ("bucket", *here, names.bucket("evidence")), "bucket", platform.address
        yield ("role", names.account, names.service_role("flow-logs")), "role", platform.address
        yield ("group", *here, names.doors("endpoints")), "security group", platform.address
        yield ("log", *here, names.log_group("flow")), "log group", platform.address
        for enclave in workspace.of_kind(Enclave):
            if enclave.spec.platform == platform.address:
                fleet = brokers.get(enclave.address, enclave.name)
                yield ("role", names.account, names.role_name(fleet)), "role", enclave.address
                yield ("group", *here, names.group(fleet)), "security group", enclave.address
                yield ("log", *here, names.log_group(fleet)), "log group", enclave.address


def refuse_wildcards(workspace: Workspace) -> None:
    """Refuse a location in S3 that would name more than one object in a policy.

    Raises:
        OperatorError: QNSP-PLN-243, at the location.
    """
    for artefact in workspace.of_kind(Artefact):
        sealed = artefact.spec.encryption
        for text, *path in (
            (str(artefact.spec.location), "location"),
            *([(str(sealed.wrapped_key), "encryption", "wrappedKey")] if sealed else []),
        ):
            if text.startswith("s3://") and _WILD.search(text):
                raise OperatorError(
                    "QNSP-PLN-243",
                    f"{text} holds a character that a policy of AWS reads as many: its fleet would be given more than it",
                    subject=str(artefact.address),
                    place=workspace.place(artefact.address, "spec", *path),
                    next_step="give the object a name without * ? $",
                )


def refuse_large_policies(
    roles: Sequence[Json], endpoints: Json, objects: Sequence[str], place: Callable[[], Place], subject: str
) -> None:
    """Refuse what would not fit into a policy of AWS.

    Raises:
        OperatorError: QNSP-PLN-242, with the size and the limit.
    """
    refuse = partial(_too_large, place, subject)
    for role in roles:
        refuse(f"the policy of role {role['name']}", len(jcs(role["policy"])), MAX_INLINE, "characters")
    for name, policy in endpoints.items():
        refuse(f"the policy of endpoint {name}", len(jcs(policy)), MAX_ENDPOINT, "characters")
    refuse("the trail's list of objects whose reads are recorded", len(objects), MAX_DATA_RESOURCES, "objects")


def _too_large(place: Callable[[], Place], subject: str, what: str, size: int, most: int, unit: str) -> None:
    if size > most:
        raise OperatorError(
            "QNSP-PLN-242",
            f"{what} would have {size} {unit}; AWS takes {most}",
            subject=subject,
            place=place(),
            next_step="divide its fleets and artefacts between platforms in regions or accounts of their own",
        )


__all__ = [
    "refuse_contradictions",
    "refuse_large_policies",
    "refuse_shared_names",
    "refuse_wildcards",
]
