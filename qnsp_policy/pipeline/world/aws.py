"""What was applied on AWS, held against what was read: values only.

Comes in: recorded units, what their programs declare, and one `Seen` an account and region. Goes out: deviations, and what was not
checked. Every declared input is compared, one by one; what no input covers (grants of KMS, policies beside ours, ways into a network,
members of a group) is told by the function of its type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.pipeline.world import aws_fleets, aws_identities, aws_network, aws_records
from qnsp_policy.pipeline.world.aws_policies import policy_changes
from qnsp_policy.pipeline.world.aws_seen import UNREAD, Extra, Found, Json, NotCheckedError, Seen, plain, same
from qnsp_policy.pipeline.world.aws_trail import is_ours, upon
from qnsp_policy.pipeline.world.declared import Link, Resource
from qnsp_policy.pipeline.world.observed import Concern, Deviation
from qnsp_policy.pipeline.world.recorded import RecordedUnit

Look = Callable[[Json, Seen, Json], Found | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one resource type is read.

    Attributes:
        look: finds it.
        noun: what it is called.
        name: the input that names it; "" takes the resource's own name.
        gone: what its absence touches.
        cosmetic, availability: inputs whose change touches nothing, or only whether it runs; all others touch trust.
    """

    look: Look
    noun: str
    name: str = ""
    gone: Concern = Concern.AVAILABILITY
    cosmetic: frozenset[str] = frozenset({"tags", "description"})
    availability: frozenset[str] = field(default=frozenset())


_S = Concern.SECURITY
KINDS: Mapping[str, Kind] = {
    "aws:ec2/vpc:Vpc": Kind(aws_network.vpc, "network", availability=frozenset({"enableDnsSupport", "enableDnsHostnames"})),
    "aws:ec2/subnet:Subnet": Kind(aws_network.subnet, "subnet"),
    "aws:ec2/routeTable:RouteTable": Kind(aws_network.route_table, "route table"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Kind(aws_network.association, "routes of a subnet", gone=_S),
    "aws:ec2/securityGroup:SecurityGroup": Kind(aws_network.security_group, "security group", "name"),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": Kind(aws_network.security_group, "default security group"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Kind(
        aws_network.endpoint, "endpoint", "serviceName",
        availability=frozenset({"routeTableIds", "subnetIds", "privateDnsEnabled"}),
    ),
    "aws:ec2/flowLog:FlowLog": Kind(aws_network.flow_log, "flow log", gone=_S),
    "aws:ec2/launchTemplate:LaunchTemplate": Kind(aws_fleets.launch_template, "launch template", "name"),
    "aws:iam/role:Role": Kind(aws_identities.role, "role", "name"),
    "aws:iam/rolePolicy:RolePolicy": Kind(aws_identities.inline_policy, "policy of a role", "role"),
    "aws:iam/instanceProfile:InstanceProfile": Kind(aws_identities.instance_profile, "instance profile", "name"),
    "aws:kms/key:Key": Kind(aws_identities.key, "key"),
    "aws:kms/alias:Alias": Kind(aws_identities.alias, "alias", "name"),
    "aws:s3/bucket:Bucket": Kind(aws_records.bucket, "bucket", "bucket", gone=_S),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": Kind(
        aws_records.public_access, "refusal of public access of bucket", "bucket", gone=_S
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": Kind(
        aws_records.encryption, "encryption of bucket", "bucket", gone=_S
    ),
    "aws:s3/bucketVersioning:BucketVersioning": Kind(aws_records.versioning, "versioning of bucket", "bucket", gone=_S),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": Kind(
        aws_records.object_lock, "retention of bucket", "bucket", gone=_S
    ),
    "aws:s3/bucketPolicy:BucketPolicy": Kind(aws_records.bucket_policy, "policy of bucket", "bucket", gone=_S),
    "aws:cloudtrail/trail:Trail": Kind(aws_records.trail, "trail", "name", gone=_S),
    "aws:cloudwatch/logGroup:LogGroup": Kind(aws_records.log_group, "log group", "name", gone=_S),
    "aws:autoscaling/group:Group": Kind(
        aws_fleets.group, "group", "name",
        availability=frozenset({"minSize", "maxSize", "desiredCapacity", "healthCheckType", "healthCheckGracePeriod",
                                "targetGroupArns"}),
    ),
    "aws:autoscaling/attachment:Attachment": Kind(aws_fleets.attachment, "attachment of group", "autoscalingGroupName"),
    "aws:lb/loadBalancer:LoadBalancer": Kind(
        aws_fleets.load_balancer, "load balancer", "name",
        availability=frozenset({"subnets", "enableCrossZoneLoadBalancing", "enableDeletionProtection"}),
    ),
    "aws:lb/targetGroup:TargetGroup": Kind(
        aws_fleets.target_group, "target group", "name", availability=frozenset({"healthCheck", "stickiness"})
    ),
    "aws:lb/listener:Listener": Kind(aws_fleets.listener, "listener"),
    "aws:route53/record:Record": Kind(aws_fleets.name_record, "name", "name"),
}  # fmt: skip


def compare(unit: RecordedUnit, resources: Sequence[Resource], seen: Seen) -> tuple[list[Deviation], list[str]]:
    """Every difference of one unit, and every part of it that was not checked."""
    run = _Comparison(unit, seen, _known(unit, resources, seen))
    for resource in resources:
        kind = KINDS.get(resource.type)
        if kind is None:
            run.unchecked.append(f"{resource.type} {resource.name} not checked (this reader does not know the type)")
            continue
        try:
            run.one(resource, kind)
        except NotCheckedError as error:
            run.unchecked.append(str(error))
            run.held[resource.name] = {}
    try:
        run.strangers(resources)
    except NotCheckedError as error:
        run.unchecked.append(str(error))
    return run.found, list(dict.fromkeys(run.unchecked))


def located(unit: RecordedUnit, resources: Sequence[Resource], seen: Seen) -> Mapping[str, Found]:
    """Those resources of a unit that are there, by name; what was not read, or leans on what is not there, is not told."""
    run = _Comparison(unit, seen, _known(unit, resources, seen))
    found: dict[str, Found] = {}
    for resource in resources:
        kind = KINDS.get(resource.type)
        try:
            one = None if kind is None else run.find(resource, kind)
        except NotCheckedError:
            one = None
        run.held[resource.name] = one.outputs if one is not None else {}
        if one is not None:
            found[resource.name] = one
    return found


def _known(unit: RecordedUnit, resources: Sequence[Resource], seen: Seen) -> dict[str, Any]:
    """What is recorded of a unit, or follows from its resources together."""
    inline: dict[str, list[str]] = {}
    for resource in resources:
        if resource.type == "aws:iam/rolePolicy:RolePolicy":
            role = resource.inputs["role"]
            owner = next((r for r in resources if isinstance(role, Link) and r.name == role.name), None)
            inline.setdefault(owner.inputs["name"] if owner else str(role), []).append(resource.inputs["name"])
    groups = {} if "groups" in seen.refused else seen.answers.get("groups", {})
    started = {name: str((group.get("LaunchTemplate") or {}).get("Version")) for name, group in groups.items()}
    vpc = unit.outputs.get("vpcId") or (unit.inputs.get("network") or {}).get("vpc")
    return {"vpcId": vpc, "inline": inline, "started": started, "keys": unit.outputs.get("keys") or {}}


@dataclass(slots=True)
class _Comparison:
    unit: RecordedUnit
    seen: Seen
    known: dict[str, Any]
    held: dict[str, Json] = field(default_factory=dict)
    found: list[Deviation] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    subject: tuple[str, str] | None = None
    """Whom calls are asked about: service of AWS, and id or name."""

    def find(self, resource: Resource, kind: Kind) -> Found | None:
        """The resource as it is; None also for what stands on something that is not there."""
        if self._leans(resource):
            return None
        wanted = {name: self._linked(value) for name, value in resource.inputs.items()}
        known = self.known | ({"key": self._key(resource)} if resource.type == "aws:kms/key:Key" else {})
        return kind.look(wanted, self.seen, known)

    def _leans(self, resource: Resource) -> bool:
        return any(isinstance(value, Link) and not self.held.get(value.name) for value in resource.inputs.values())

    def one(self, resource: Resource, kind: Kind) -> None:
        if self._leans(resource):
            # What it stands on is gone or was not checked, which was told.
            self.held[resource.name] = {}
            return
        wanted = {name: self._linked(value) for name, value in resource.inputs.items()}
        label = f"{kind.noun} {wanted.get(kind.name) or resource.name}"
        found = self.find(resource, kind)
        self.subject, told = self._subject(resource, wanted), len(self.found)
        if found is None:
            self.held[resource.name] = {}
            self._tell(label, kind.gone, f"{label} is gone", "there", "absent")
            return
        self.held[resource.name] = found.outputs
        for name, value in wanted.items():
            if name in resource.ignore or name not in found.inputs or self._is_unknown(value):
                continue
            if not same(value, found.inputs[name]):
                self._differs(label, kind, name, value, found.inputs[name])
        for extra in found.extras:
            self._extra(label, extra)
        if resource.type == "aws:kms/key:Key" and len(self.found) == told:
            self._watch(label)

    def strangers(self, resources: Sequence[Resource]) -> None:
        """What stands in a network of ours that no plan holds."""
        self.subject = None
        if any(resource.type == "aws:ec2/vpc:Vpc" for resource in resources) and self.known["vpcId"]:
            services = {
                str(resource.inputs["serviceName"])
                for resource in resources
                if resource.type == "aws:ec2/vpcEndpoint:VpcEndpoint"
            }
            for extra in (
                *aws_network.foreign_endpoints(services, self.known["vpcId"], self.seen),
                *aws_network.foreign_machines(self.known["vpcId"], self.seen),
            ):
                self._extra("network", extra)

    def _key(self, resource: Resource) -> str | None:
        """Id of the key that was applied: recorded, else named by the alias that no rotation moves."""
        arn = self.known["keys"].get(resource.name)
        if arn:
            return str(arn).rpartition("/")[2]
        aliases = self.seen["aliases"]
        names = self._aliases(resource.name)
        return next((aliases[name] for name in names if name in aliases), None)

    def _aliases(self, key: str) -> list[str]:
        for held in self.unit.inputs.get("keys") or ():
            if held["name"] == key:
                return sorted(held["aliases"], key=len, reverse=True)
        return []

    def _linked(self, value: Any) -> Any:
        if isinstance(value, Link):
            return self.held.get(value.name, {}).get(value.output, UNREAD)
        if isinstance(value, Mapping):
            return {name: self._linked(member) for name, member in value.items()}
        return [self._linked(item) for item in value] if isinstance(value, list | tuple) else value

    def _is_unknown(self, value: Any) -> bool:
        """Whether it leans on something that is gone, which is told once."""
        if isinstance(value, Mapping):
            return any(self._is_unknown(member) for name, member in value.items() if name != "version")
        if isinstance(value, list):
            return any(self._is_unknown(item) for item in value)
        return value is UNREAD

    def _differs(self, label: str, kind: Kind, name: str, wanted: Any, got: Any) -> None:
        concern = (
            Concern.COSMETIC if name in kind.cosmetic
            else Concern.AVAILABILITY if name in kind.availability
            else Concern.SECURITY
        )  # fmt: skip
        if "olicy" in name and isinstance(wanted, str) and wanted.startswith("{"):
            text = f"{label} is not what was applied: {policy_changes(wanted, got)}"
            self._tell(label, concern, text, "as applied", "edited")
            return
        if name == "initialLifecycleHooks":
            text = (
                f"{label}: members come into service without having attested, for its hook was changed or taken away; "
                "no apply puts it back (the engine reads no hooks): do it by hand, or with `plan --replace`"
            )
            self._tell(label, concern, text, _short(wanted), _short(got))
            return
        if name == "enableLogging":
            self._tell(label, concern, f"{label} does not record", "recording", "silent")
            return
        text = f"{label}: {name} is {_short(got)}, applied was {_short(wanted)}"
        self._tell(label, concern, text, _short(wanted), _short(got))

    def _extra(self, label: str, extra: Extra) -> None:
        text = f"{label}: {extra.text}" + ("; no apply takes it away" if extra.by_hand else "")
        self._tell(label, extra.concern, text, extra.expected, extra.got)

    def _tell(self, label: str, concern: Concern, text: str, expected: str, got: str) -> None:
        if self.subject is not None and concern is not Concern.COSMETIC:
            text += self._by(*self.subject)
        self.found.append(Deviation(self.unit.id, label, concern, text, expected, got))

    def _subject(self, resource: Resource, wanted: Json) -> tuple[str, str] | None:
        match resource.type:
            case "aws:kms/key:Key":
                key = self._key(resource)
                return ("kms", key) if key else None
            case "aws:kms/alias:Alias":
                return "kms", str(wanted["name"])
            case "aws:iam/role:Role":
                return "iam", str(wanted["name"])
            case "aws:iam/rolePolicy:RolePolicy":
                return "iam", str(wanted["role"])
        return None

    def _by(self, service: str, target: str) -> str:
        """Who did it, as far as CloudTrail tells; "" where it was not asked."""
        part = f"calls of {service}"
        if part not in self.seen.answers and part not in self.seen.refused:
            return ""
        try:
            done = list(upon(self.seen, service, target, self.unit.applied_at))
        except NotCheckedError as error:
            return f"; who did it is not known: {error}"
        if not done:
            return "; CloudTrail names no call upon it (it tells one after up to 15 minutes, and for 90 days)"
        return "; " + ", ".join(dict.fromkeys(call.says() for call in done[-3:]))

    def _watch(self, label: str) -> None:
        """A key that is as it was applied, and yet somebody else changed it since: it may have been open for a while."""
        if self.subject is None or "calls of kms" not in {*self.seen.answers, *self.seen.refused}:
            return
        platform = self.unit.inputs["platform"]
        engine = frozenset(str(role) for role in (platform.get("role"), self.unit.inputs.get("keyAdmin")) if role)
        try:
            done = [one for one in upon(self.seen, *self.subject, self.unit.applied_at) if not is_ours(one, engine)]
        except NotCheckedError as error:
            self.unchecked.append(str(error))
            return
        self.subject = None
        for call in done:
            text = f"{label}: {call.says()}, after its last apply; it is as it was applied again"
            self._tell(label, Concern.SECURITY, text, "nobody", call.who)


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else plain(value)
    return "nothing" if text is None else text if len(text) <= 120 else f"{text[:117]}..."


__all__ = ["KINDS", "Kind", "compare", "located"]
