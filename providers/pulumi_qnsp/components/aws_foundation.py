"""Foundation on AWS, as values: network without ingress, endpoints, flow logs, trail, locked records, one role a fleet."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_qnsp.components.children import Child, Json, Ref, ordered


@dataclass(frozen=True, slots=True)
class FoundationArgs:
    """What a foundation is made of; every member stands in the unit's inputs (docs/formats/units.md)."""

    name: str
    network: Mapping[str, Any]
    evidence: Mapping[str, Any]
    trail: Mapping[str, Any]
    flow_logs: Mapping[str, Any]
    path: str
    account: str
    region: str
    partition: str
    boundary: str | None
    roles: Sequence[Mapping[str, Any]]
    tags: Mapping[str, str]

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> FoundationArgs:
        """Read the `foundation` member of a unit's inputs."""
        return cls(
            value["name"],
            value["network"],
            value["evidence"],
            value["trail"],
            value["flowLogs"],
            value["path"],
            value["account"],
            value["region"],
            value["partition"],
            value["boundary"],
            value["roles"],
            value["tags"],
        )


def text(policy: Mapping[str, Any]) -> str:
    """A policy document as the one text that is compared everywhere."""
    return json.dumps(policy, sort_keys=True, separators=(",", ":"))


def foundation(args: FoundationArgs) -> tuple[Child, ...]:
    """Every resource of a foundation, in the order of its making."""
    return ordered([*_network(args), *_records(args), *_roles(args)])


def _network(args: FoundationArgs) -> Iterator[Child]:
    net, tags = args.network, dict(args.tags)
    vpc: Any = net["vpc"]
    subnets: list[Any] = list(net["subnets"])
    if vpc is None:
        yield Child(
            "aws:ec2/vpc:Vpc",
            "network",
            {"cidr_block": net["cidr"], "enable_dns_support": True, "enable_dns_hostnames": True, "tags": tags},
            ("cidr_block",),
        )
        vpc = Ref("network")
        # The group that AWS makes with every network admits its own members; emptied, nothing stands in it by accident.
        yield Child(
            "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
            "default-doors",
            {"vpc_id": vpc, "ingress": [], "egress": [], "tags": tags},
            ("ingress", "egress"),
        )
        yield Child("aws:ec2/routeTable:RouteTable", "routes", {"vpc_id": vpc, "routes": [], "tags": tags}, ("routes",))
        blocks = list(ipaddress.ip_network(net["cidr"]).subnets(new_prefix=20))
        for zone, block in zip(net["zones"], blocks, strict=False):
            name = f"subnet-{zone}"
            yield Child(
                "aws:ec2/subnet:Subnet",
                name,
                {
                    "vpc_id": vpc,
                    "availability_zone": zone,
                    "cidr_block": str(block),
                    "map_public_ip_on_launch": False,
                    "tags": tags,
                },
                ("availability_zone", "cidr_block", "map_public_ip_on_launch"),
            )
            yield Child(
                "aws:ec2/routeTableAssociation:RouteTableAssociation",
                f"{name}-routes",
                {"subnet_id": Ref(name), "route_table_id": Ref("routes")},
            )
            subnets.append(Ref(name))
        yield Child(
            "aws:ec2/vpcEndpoint:VpcEndpoint",
            "endpoint-s3",
            {
                "vpc_id": vpc,
                "service_name": net["storage"]["service"],
                "vpc_endpoint_type": "Gateway",
                "route_table_ids": [Ref("routes")],
                "policy": text(net["storage"]["policy"]),
                "tags": tags,
            },
            ("service_name", "vpc_endpoint_type", "policy"),
        )
        yield Child(
            "aws:ec2/securityGroup:SecurityGroup",
            "endpoints",
            {
                "name": f"{args.name}-endpoints",
                "description": "TLS to the endpoints of AWS from within the network",
                "vpc_id": vpc,
                "ingress": [
                    {"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_blocks": [net["cidr"]],
                     "description": "TLS from the network"}
                ],
                "egress": [],
                "tags": tags,
            },
            ("ingress", "egress"),
        )  # fmt: skip
        for endpoint in net["endpoints"]:
            yield Child(
                "aws:ec2/vpcEndpoint:VpcEndpoint",
                f"endpoint-{endpoint['name']}",
                {
                    "vpc_id": vpc,
                    "service_name": endpoint["service"],
                    "vpc_endpoint_type": "Interface",
                    "private_dns_enabled": True,
                    "subnet_ids": list(subnets),
                    "security_group_ids": [Ref("endpoints")],
                    "policy": text(endpoint["policy"]),
                    "tags": tags,
                },
                ("service_name", "vpc_endpoint_type", "private_dns_enabled", "policy"),
            )
    yield from _flow_logs(args, vpc)


def _flow_logs(args: FoundationArgs, vpc: Any) -> Iterator[Child]:
    tags, logs = dict(args.tags), args.flow_logs
    yield Child(
        "aws:cloudwatch/logGroup:LogGroup",
        "flow-logs",
        {"name": logs["group"], "retention_in_days": logs["retentionDays"], "tags": tags},
        ("name", "retention_in_days"),
    )
    ours = f"arn:{args.partition}:ec2:{args.region}:{args.account}:vpc-flow-log/*"
    trust = _service(
        "vpc-flow-logs.amazonaws.com",
        {"StringEquals": {"aws:SourceAccount": args.account}, "ArnLike": {"aws:SourceArn": ours}},
    )
    yield Child(
        "aws:iam/role:Role",
        "flow-logs-role",
        {
            "name": f"{args.name}-flow-logs"[:64],
            "path": args.path,
            "assume_role_policy": text(trust),
            "permissions_boundary": args.boundary,
            "tags": tags,
        },
        ("assume_role_policy", "permissions_boundary"),
    )
    write = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                "Resource": [f"arn:{args.partition}:logs:{args.region}:{args.account}:log-group:{logs['group']}:*"],
            }
        ],
    }
    yield Child(
        "aws:iam/rolePolicy:RolePolicy",
        "flow-logs-policy",
        {"name": "write", "role": Ref("flow-logs-role", "name"), "policy": text(write)},
        ("policy",),
    )
    yield Child(
        "aws:ec2/flowLog:FlowLog",
        "flow-log",
        {
            "vpc_id": vpc,
            "traffic_type": "ALL",
            "log_destination_type": "cloud-watch-logs",
            "log_destination": Ref("flow-logs", "arn"),
            "iam_role_arn": Ref("flow-logs-role", "arn"),
            "tags": tags,
        },
        ("traffic_type",),
    )


def _service(service: str, condition: Json) -> Json:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", "Condition": condition}
        ],
    }


def _bucket(args: FoundationArgs, name: str, bucket: str, *, lock: Json | None) -> Iterator[Child]:
    yield Child(
        "aws:s3/bucket:Bucket",
        name,
        {"bucket": bucket, "object_lock_enabled": lock is not None, "tags": dict(args.tags)},
        ("bucket", "object_lock_enabled"),
        protect=True,
    )
    where = Ref(name)
    yield Child(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        f"{name}-public-access",
        {
            "bucket": where,
            "block_public_acls": True,
            "block_public_policy": True,
            "ignore_public_acls": True,
            "restrict_public_buckets": True,
        },
        ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"),
    )
    yield Child(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        f"{name}-encryption",
        {"bucket": where, "rules": [{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}]},
        ("rules",),
    )
    yield Child(
        "aws:s3/bucketVersioning:BucketVersioning",
        f"{name}-versioning",
        {"bucket": where, "versioning_configuration": {"status": "Enabled"}},
        ("versioning_configuration",),
    )
    if lock is not None:
        yield Child(
            "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration",
            f"{name}-lock",
            {
                "bucket": where,
                "rule": {"default_retention": {"mode": lock["lock"], "days": lock["retentionDays"]}},
            },
            ("rule",),
            after=(f"{name}-versioning",),
        )


def _tls_only(arn: str) -> list[Json]:
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return [
        {"Sid": "TlsOnly", **denied, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Sid": "TlsOfTodayOnly", **denied, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
    ]


def _records(args: FoundationArgs) -> Iterator[Child]:
    yield from _bucket(args, "evidence", args.evidence["bucket"], lock=dict(args.evidence))
    evidence = f"arn:{args.partition}:s3:::{args.evidence['bucket']}"
    yield Child(
        "aws:s3/bucketPolicy:BucketPolicy",
        "evidence-policy",
        {"bucket": Ref("evidence"), "policy": text({"Version": "2012-10-17", "Statement": _tls_only(evidence)})},
        ("policy",),
    )
    yield from _bucket(args, "trail-records", args.trail["bucket"], lock=dict(args.evidence))
    arn = f"arn:{args.partition}:s3:::{args.trail['bucket']}"
    from_trail = {"StringEquals": {"aws:SourceArn": args.trail["arn"]}}
    deliver: Json = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TrailAsksForTheBucket",
                "Effect": "Allow",
                "Principal": {"Service": "cloudtrail.amazonaws.com"},
                "Action": "s3:GetBucketAcl",
                "Resource": arn,
                "Condition": from_trail,
            },
            {
                "Sid": "TrailDelivers",
                "Effect": "Allow",
                "Principal": {"Service": "cloudtrail.amazonaws.com"},
                "Action": "s3:PutObject",
                "Resource": f"{arn}/AWSLogs/{args.account}/*",
                "Condition": {
                    "StringEquals": {**from_trail["StringEquals"], "s3:x-amz-acl": "bucket-owner-full-control"}
                },
            },
            *_tls_only(arn),
        ],
    }
    yield Child(
        "aws:s3/bucketPolicy:BucketPolicy",
        "trail-records-policy",
        {"bucket": Ref("trail-records"), "policy": text(deliver)},
        ("policy",),
    )
    yield Child(
        "aws:cloudtrail/trail:Trail",
        "trail",
        {
            "name": args.trail["name"],
            "s3_bucket_name": Ref("trail-records"),
            "enable_logging": True,
            "enable_log_file_validation": True,
            "include_global_service_events": True,
            "is_multi_region_trail": True,
            # Management events hold every call to KMS; reads of images, sealed artefacts and evidence are data events.
            "event_selectors": [
                {
                    "read_write_type": "All",
                    "include_management_events": True,
                    "data_resources": [{"type": "AWS::S3::Object", "values": list(args.trail["objects"])}],
                }
            ],
            "tags": dict(args.tags),
        },
        (
            "name",
            "enable_logging",
            "enable_log_file_validation",
            "is_multi_region_trail",
            "event_selectors",
        ),
        after=("trail-records-policy",),
    )


def _roles(args: FoundationArgs) -> Iterator[Child]:
    for role in args.roles:
        name = role["name"]
        yield Child(
            "aws:iam/role:Role",
            f"role-{name}",
            {
                "name": name,
                "path": args.path,
                "assume_role_policy": text(role["trust"]),
                "max_session_duration": 3600,
                "permissions_boundary": args.boundary,
                "tags": dict(args.tags),
            },
            ("name", "path", "assume_role_policy", "permissions_boundary"),
        )
        yield Child(
            "aws:iam/rolePolicy:RolePolicy",
            f"role-{name}-policy",
            {"name": "grants", "role": Ref(f"role-{name}", "name"), "policy": text(role["policy"])},
            ("policy",),
        )
        yield Child(
            "aws:iam/instanceProfile:InstanceProfile",
            f"profile-{name}",
            {"name": name, "path": args.path, "role": Ref(f"role-{name}", "name"), "tags": dict(args.tags)},
            ("name",),
        )


__all__ = ["FoundationArgs", "foundation", "text"]
