"""The calls behind a `Seen`: lists where AWS has lists, one call a thing where it has none; nothing here could write.

A call that AWS refuses makes its part unread, never empty. Parts that need another's answer are asked once that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from qnsp_policy.pipeline.world.aws_seen import Seen
from qnsp_policy.pipeline.world.aws_trail import WATCHED, Call, calls
from qnsp_policy.pipeline.world.declared import Link, Resource

Clients = Callable[[str], Any]
PARALLEL = 16
_MANY = 100
"""How many names or values one call takes."""
_ABSENT = frozenset({
    "NoSuchBucket", "NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration", "NoSuchTagSet", "NotFoundException",
    "ObjectLockConfigurationNotFoundError", "ServerSideEncryptionConfigurationNotFoundError", "TrailNotFoundException",
    "NoSuchHostedZone", "NoSuchEntity",
})  # fmt: skip


@dataclass(slots=True)
class Asker:
    """Asks one account and region for what a set of resources needs.

    Args:
        aws: clients.
        resources: those of all units there.
        networks: ids of their networks.
        keys: ids of keys that are recorded, aliases' targets beside.
        pool: where calls are made.
        beyond: clients of the region where calls of IAM are recorded; None asks for no calls.
        since: calls before it are not asked for; None asks for all that CloudTrail has.
    """

    aws: Clients
    resources: Sequence[Resource]
    networks: frozenset[str]
    keys: frozenset[str]
    pool: ThreadPoolExecutor
    beyond: Clients | None = None
    since: datetime | None = None
    answers: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    _waiting: set[Future[None]] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def seen(self) -> Seen:
        """Ask for everything; returns when the last answer is there."""
        for service in ("kms", "iam", "ec2", "autoscaling", "s3", "cloudtrail", "logs", "elbv2", "route53"):
            # Clients are made one after another: making them is not thread-safe.
            self.aws(service)
        if self.beyond is not None:
            self.beyond("cloudtrail")
            self._calls()
        self._network()
        self._identities()
        self._records()
        self._fleets()
        while True:
            with self._lock:
                waiting = set(self._waiting)
            if all(future.done() for future in waiting):
                break
            wait(waiting)
        for future in self._waiting:
            future.result()
        return Seen(self.answers, self.refused)

    # machinery

    def ask(self, part: str, call: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        """Fill one part; `then` is told the answer and may ask on."""

        def work() -> None:
            try:
                answer = call()
            except ClientError as error:
                told = error.response["Error"]
                self.refused[part] = f"{told['Code']}: {told.get('Message', '')}"[:300]
                return
            except (BotoCoreError, ResponseParserError) as error:
                # What cannot be parsed was said by somebody else: a proxy, or a server that lacks the call.
                self.refused[part] = f"{type(error).__name__}: {error}"[:300]
                return
            self.answers[part] = answer
            then(answer)

        with self._lock:
            self._waiting.add(self.pool.submit(work))

    def pages(self, service: str, operation: str, member: str, **asked: Any) -> list[Any]:
        """Every page of a list."""
        return [
            item
            for page in self.aws(service).get_paginator(operation).paginate(**asked)
            for item in page.get(member) or ()
        ]

    def named(self, kind: str, member: str) -> list[str]:
        """Names that resources of a type declare."""
        return sorted(
            {str(r.inputs[member]) for r in self.resources if r.type == kind and not isinstance(r.inputs[member], Link)}
        )

    @staticmethod
    def _each(ask: Callable[..., None], arguments: Iterable[tuple[str, ...]]) -> None:
        for one in arguments:
            ask(*one)

    # parts

    def _network(self) -> None:
        networks = sorted(self.networks)

        def within(operation: str, member: str, name: str = "vpc-id") -> Callable[[], Any]:
            return lambda: [
                item
                for some in chunks(networks)
                for item in self.pages("ec2", operation, member, Filters=[{"Name": name, "Values": some}])
            ]

        def own() -> dict[str, Any]:
            ec2 = self.aws("ec2")
            found = {}
            for vpc in within("describe_vpcs", "Vpcs")():
                told = dict(vpc)
                for name, member in (
                    ("enableDnsSupport", "EnableDnsSupport"),
                    ("enableDnsHostnames", "EnableDnsHostnames"),
                ):
                    told[name] = ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=name)[member]["Value"]
                found[vpc["VpcId"]] = told
            return found

        def machines() -> list[Any]:
            every = (one for held in within("describe_instances", "Reservations")() for one in held["Instances"])
            return [one for one in every if one["State"]["Name"] not in {"shutting-down", "terminated"}]

        self.ask("networks", own)
        self.ask("instances", machines)
        self.ask("subnets", within("describe_subnets", "Subnets"))
        self.ask("route tables", within("describe_route_tables", "RouteTables"))
        self.ask("security groups", within("describe_security_groups", "SecurityGroups"))
        self.ask("endpoints", within("describe_vpc_endpoints", "VpcEndpoints"))
        self.ask("flow logs", within("describe_flow_logs", "FlowLogs", "resource-id"))
        self.ask("internet gateways", within("describe_internet_gateways", "InternetGateways", "attachment.vpc-id"))
        self.ask("NAT gateways", within("describe_nat_gateways", "NatGateways"))
        self.ask("VPN gateways", lambda: self.aws("ec2").describe_vpn_gateways().get("VpnGateways", []))
        self.ask("peerings", lambda: self.pages("ec2", "describe_vpc_peering_connections", "VpcPeeringConnections"))

    def _calls(self) -> None:
        """Who changed keys and roles."""
        kinds = {"aws:kms/key:Key": ("kms", self.aws), "aws:iam/role:Role": ("iam", self.beyond or self.aws)}
        held = {resource.type for resource in self.resources}
        for kind, (service, aws) in kinds.items():
            if kind in held:
                self.ask(f"calls of {service}", partial(self._looked_up, aws("cloudtrail"), service))

    def _looked_up(self, trail: Any, service: str) -> list[Call]:
        found: list[Any] = []
        window = {} if self.since is None else {"StartTime": self.since}
        for name in WATCHED[service]:
            wanted = [{"AttributeKey": "EventName", "AttributeValue": name}]
            pages = trail.get_paginator("lookup_events").paginate(LookupAttributes=wanted, **window)
            found += [event for page in pages for event in page.get("Events") or ()]
        return calls(found)

    def _identities(self) -> None:
        roles = set(self.named("aws:iam/role:Role", "name"))
        role_paths = sorted({str(r.inputs.get("path") or "/") for r in self.resources if r.type == "aws:iam/role:Role"})
        profiles = set(self.named("aws:iam/instanceProfile:InstanceProfile", "name"))
        paths = self.named("aws:iam/instanceProfile:InstanceProfile", "path")
        aliases = set(self.named("aws:kms/alias:Alias", "name"))
        if roles:
            self.ask("roles", lambda: {
                one["RoleName"]: one
                for one in self.pages("iam", "get_account_authorization_details", "RoleDetailList", Filter=["Role"])
                if one["RoleName"] in roles
            })  # fmt: skip
            self.ask("role sessions", lambda: {
                one["RoleName"]: one["MaxSessionDuration"]
                for path in role_paths
                for one in self.pages("iam", "list_roles", "Roles", PathPrefix=path)
                if one["RoleName"] in roles
            })  # fmt: skip
        if profiles:
            self.ask("instance profiles", lambda: {
                one["InstanceProfileName"]: one
                for path in paths
                for one in self.pages("iam", "list_instance_profiles", "InstanceProfiles", PathPrefix=path)
                if one["InstanceProfileName"] in profiles
            })  # fmt: skip
        if aliases:
            self.ask("aliases", lambda: {
                one["AliasName"]: one.get("TargetKeyId")
                for one in self.pages("kms", "list_aliases", "Aliases")
                if one["AliasName"] in aliases
            }, self._keys)  # fmt: skip

    def _keys(self, aliases: Mapping[str, str]) -> None:
        keys = sorted({*self.keys, *(target for target in aliases.values() if target)})

        def one(key: str) -> Any:
            kms = self.aws("kms")
            told = absent(lambda: dict(kms.describe_key(KeyId=key)["KeyMetadata"]))
            if told is None:
                return None
            told["policy"] = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
            told["grants"] = self.pages("kms", "list_grants", "Grants", KeyId=key)
            told["tags"] = self.pages("kms", "list_resource_tags", "Tags", KeyId=key)
            rotates = told["KeySpec"] == "SYMMETRIC_DEFAULT" and told["KeyState"] != "PendingDeletion"
            told["rotation"] = rotates and kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
            return told

        def asked(key: str) -> Callable[[], Any]:
            return lambda: one(key)

        for key in keys:
            self.ask(f"keys:{key}", asked(key))

    def _records(self) -> None:
        buckets = self.named("aws:s3/bucket:Bucket", "bucket")
        trails = self.named("aws:cloudtrail/trail:Trail", "name")
        groups = set(self.named("aws:cloudwatch/logGroup:LogGroup", "name"))
        if buckets:
            self.ask(
                "buckets",
                lambda: sorted(set(buckets) & {one["Name"] for one in self.pages("s3", "list_buckets", "Buckets")}),
                lambda found: self._each(self._bucket, [(name,) for name in found]),
            )
        if trails:
            self.ask(
                "trails",
                lambda: {
                    one["Name"]: one
                    for one in self.aws("cloudtrail").describe_trails()["trailList"]
                    if one["Name"] in trails
                },
                lambda found: self._each(self._trail, [(name, one["TrailARN"]) for name, one in found.items()]),
            )
        if groups:
            prefixes = sorted({"/".join(name.split("/")[:3]) + "/" for name in groups})
            self.ask("log groups", lambda: {
                one["logGroupName"]: one
                for prefix in prefixes
                for one in self.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix)
                if one["logGroupName"] in groups
            })  # fmt: skip

    def _bucket(self, name: str) -> None:
        s3 = self.aws("s3")
        calls: dict[str, Callable[[], Any]] = {
            "public access blocks": lambda: s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"],
            "bucket policies": lambda: s3.get_bucket_policy(Bucket=name)["Policy"],
            "versioning": lambda: s3.get_bucket_versioning(Bucket=name).get("Status", ""),
            "object locks": lambda: s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"],
            "bucket encryption": lambda: s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"],
            "bucket tags": lambda: s3.get_bucket_tagging(Bucket=name),
            "bucket ACLs": lambda: s3.get_bucket_acl(Bucket=name),
        }

        def asked(call: Callable[[], Any]) -> Callable[[], Any]:
            return lambda: absent(call)

        for part, call in calls.items():
            self.ask(f"{part}:{name}", asked(call))

    def _trail(self, name: str, arn: str) -> None:
        trail = self.aws("cloudtrail")
        self.ask(f"trail status:{name}", lambda: trail.get_trail_status(Name=arn))
        self.ask(f"event selectors:{name}", lambda: trail.get_event_selectors(TrailName=arn))

    def _fleets(self) -> None:
        templates = set(self.named("aws:ec2/launchTemplate:LaunchTemplate", "name"))
        groups = self.named("aws:autoscaling/group:Group", "name")
        attached = self.named("aws:autoscaling/attachment:Attachment", "autoscalingGroupName")
        balancers = set(self.named("aws:lb/loadBalancer:LoadBalancer", "name"))
        targets = set(self.named("aws:lb/targetGroup:TargetGroup", "name"))
        if templates:
            self.ask("launch templates", lambda: self._templates(templates))
        if groups or attached:
            self.ask("groups", lambda: self._groups(sorted({*groups, *attached})))
            for name in groups:
                self._group(name)
        if balancers:
            self.ask(
                "load balancers",
                lambda: self._ours("describe_load_balancers", "LoadBalancer", balancers),
                lambda found: self._each(self._balancer, [(one["LoadBalancerArn"],) for one in found.values()]),
            )
        if targets:
            self.ask(
                "target groups",
                lambda: self._ours("describe_target_groups", "TargetGroup", targets),
                lambda found: self._each(self._target_group, [(one["TargetGroupArn"],) for one in found.values()]),
            )
        for zone in self.named("aws:route53/record:Record", "zoneId"):
            self.ask(
                f"names:{zone}",
                lambda zone=zone: self.pages(  # type: ignore[misc]
                    "route53", "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone
                ),
            )

    def _ours(self, operation: str, what: str, names: set[str]) -> Mapping[str, Any]:
        """Of everything of a kind that Elastic Load Balancing lists, those with our names, by name."""
        listed = self.pages("elbv2", operation, f"{what}s")
        return {one[f"{what}Name"]: one for one in listed if one[f"{what}Name"] in names}

    def _templates(self, names: set[str]) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        large = {"PageSize": 200}
        for some in chunks(sorted(names)):
            filters = [{"Name": "launch-template-name", "Values": some}]
            for one in self.pages(
                "ec2", "describe_launch_templates", "LaunchTemplates", Filters=filters, PaginationConfig=large
            ):
                found[one["LaunchTemplateName"]] = {
                    "template": one,
                    "latest": one["LatestVersionNumber"],
                    "default": one["DefaultVersionNumber"],
                    "versions": {},
                }

        def keep(versions: Iterable[Any]) -> None:
            for one in versions:
                if one["LaunchTemplateName"] in found:
                    found[one["LaunchTemplateName"]]["versions"][str(one["VersionNumber"])] = one["LaunchTemplateData"]

        # Latest and default version of every template of the account at once.
        asked = {"Versions": ["$Latest", "$Default"], "PaginationConfig": large}
        keep(self.pages("ec2", "describe_launch_template_versions", "LaunchTemplateVersions", **asked))
        for name, one in found.items():
            if str(one["latest"]) not in one["versions"]:
                keep(
                    self.pages(
                        "ec2", "describe_launch_template_versions", "LaunchTemplateVersions", LaunchTemplateName=name
                    )
                )
        return found

    def _groups(self, names: list[str]) -> Mapping[str, Any]:
        return {
            one["AutoScalingGroupName"]: one
            for some in chunks(names, 50)
            for one in self.pages(
                "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", AutoScalingGroupNames=some
            )
        }

    def _group(self, name: str) -> None:
        scaling = self.aws("autoscaling")

        def hooks() -> Any:
            try:
                return scaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
            except ClientError as error:
                # What AWS says of a group that is gone, which is told as such.
                if error.response["Error"]["Code"] == "ValidationError":
                    return []
                raise

        self.ask(f"hooks:{name}", hooks)

    def _target_group(self, arn: str) -> None:
        elb = self.aws("elbv2")
        self.ask(
            f"target group attributes:{arn}",
            lambda: elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"],
        )

    def _balancer(self, arn: str) -> None:
        elb = self.aws("elbv2")
        self.ask(
            f"listeners:{arn}", lambda: self.pages("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn)
        )
        self.ask(
            f"load balancer attributes:{arn}",
            lambda: elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"],
        )


def chunks(names: Sequence[str], size: int = _MANY) -> Iterable[list[str]]:
    """Names in portions of one call."""
    return [list(names[start : start + size]) for start in range(0, len(names), size)]


def absent(call: Callable[[], Any]) -> Any:
    """What a call answers; None where AWS says that there is no such thing, any other error as it is."""
    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise


__all__ = ["PARALLEL", "Asker", "Clients", "absent", "chunks"]
