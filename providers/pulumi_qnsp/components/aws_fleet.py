"""Fleets of attesters on AWS, as values: launch template, auto-scaling group, the hook that waits for attestation.

A new member is in service only when it reported that it attested; one that does not is ended when the hook's time is over (ABANDON)
and the refresh goes back. The old members stay until then: at least 100 % of the fleet is healthy throughout.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pulumi_qnsp.components.children import Child, Json, Ref, ordered

Kind = Literal["nitro-enclave", "nitro-tpm", "sev-snp"]


@dataclass(frozen=True, slots=True)
class FleetArgs:
    """One fleet, and the network it stands in."""

    name: str
    kind: Kind
    group: str
    role: str
    image_id: str
    instance_type: str
    tenancy: str
    user_data: str
    members: int
    disk_gibibytes: int
    hook: str
    attest_seconds: int
    log_group: str
    log_retention_days: int
    ports: Sequence[int]
    broker_ports: Sequence[int]
    cidr: str
    tags: Mapping[str, str]
    vpc: str | None
    subnets: Sequence[str]
    storage_prefix_list: str | None

    @classmethod
    def of(cls, fleet: Mapping[str, Any], network: Mapping[str, Any]) -> FleetArgs:
        """Read the `fleet` and `network` members of a unit's inputs."""
        return cls(
            name=fleet["name"],
            kind=fleet["kind"],
            group=fleet["group"],
            role=fleet["role"],
            image_id=fleet["imageId"],
            instance_type=fleet["instanceType"],
            tenancy=fleet["tenancy"],
            user_data=fleet["userData"],
            members=fleet["members"],
            disk_gibibytes=fleet["diskGibibytes"],
            hook=fleet["hook"],
            attest_seconds=fleet["attestSeconds"],
            log_group=fleet["logGroup"],
            log_retention_days=fleet["logRetentionDays"],
            ports=fleet["ports"],
            broker_ports=fleet["brokerPorts"],
            cidr=fleet["cidr"],
            tags=fleet["tags"],
            vpc=network["vpc"],
            subnets=network["subnets"] or (),
            storage_prefix_list=network["storagePrefixList"],
        )


def fleet(args: FleetArgs, *, target_groups: Sequence[Any] = ()) -> tuple[Child, ...]:
    """Every resource of a fleet, in the order of its making."""
    return ordered(_fleet(args, target_groups))


def _rule(protocol: str, port: int, what: str, **where: Any) -> Json:
    return {"protocol": protocol, "from_port": port, "to_port": port, "description": what, **where}


def _fleet(args: FleetArgs, target_groups: Sequence[Any]) -> Iterator[Child]:
    tags = dict(args.tags)
    yield Child(
        "aws:cloudwatch/logGroup:LogGroup",
        f"{args.name}-log",
        {"name": args.log_group, "retention_in_days": args.log_retention_days, "tags": tags},
        ("name",),
    )
    out = [_rule("tcp", port, "brokers", cidr_blocks=[args.cidr]) for port in args.broker_ports]
    storage = (
        {"prefix_list_ids": [args.storage_prefix_list]} if args.storage_prefix_list else {"cidr_blocks": [args.cidr]}
    )
    yield Child(
        "aws:ec2/securityGroup:SecurityGroup",
        f"{args.name}-doors",
        {
            "name": args.group,
            "description": "What this fleet answers and asks; no SSH",
            "vpc_id": args.vpc,
            "ingress": [
                _rule("tcp", port, "TLS that ends in the attester", cidr_blocks=[args.cidr]) for port in args.ports
            ],
            "egress": [
                _rule("tcp", 443, "endpoints of AWS", cidr_blocks=[args.cidr]),
                _rule("tcp", 443, "artefacts in S3", **storage),
                *out,
            ],
            "tags": tags,
        },
        ("ingress",),
    )
    yield Child(
        "aws:ec2/launchTemplate:LaunchTemplate",
        f"{args.name}-template",
        {
            "name": args.group,
            "image_id": args.image_id,
            "instance_type": args.instance_type,
            "update_default_version": True,
            "user_data": base64.b64encode(args.user_data.encode()).decode(),
            "iam_instance_profile": {"name": args.role},
            "vpc_security_group_ids": [Ref(f"{args.name}-doors")],
            "metadata_options": {
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
                "instance_metadata_tags": "disabled",
            },
            "placement": {"tenancy": args.tenancy},
            "block_device_mappings": [
                {
                    "device_name": "/dev/xvda",
                    "ebs": {"encrypted": "true", "volume_size": args.disk_gibibytes, "volume_type": "gp3"},
                }
            ],
            "tag_specifications": [
                {"resource_type": "instance", "tags": tags},
                {"resource_type": "volume", "tags": tags},
            ],
            "tags": tags,
            **_hardware(args.kind),
        },
        (
            "image_id",
            "instance_type",
            "user_data",
            "iam_instance_profile",
            "metadata_options",
            "block_device_mappings",
            *_hardware(args.kind),
        ),
    )
    template = Ref(f"{args.name}-template")
    yield Child(
        "aws:autoscaling/group:Group",
        f"{args.name}-group",
        {
            "name": args.group,
            "min_size": args.members,
            # One more for the time of a rollout: the new member attests before an old one goes.
            "max_size": args.members + 1,
            "desired_capacity": args.members,
            "vpc_zone_identifiers": list(args.subnets),
            "launch_template": {"id": template, "version": Ref(f"{args.name}-template", "latest_version")},
            # An enclave that ended leaves its parent healthy to EC2: what answers at the port decides where there is one.
            "health_check_type": "ELB" if args.ports else "EC2",
            "health_check_grace_period": 60,
            "target_group_arns": list(target_groups) or None,
            "initial_lifecycle_hooks": [
                {
                    "name": args.hook,
                    "lifecycle_transition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                    "default_result": "ABANDON",
                    "heartbeat_timeout": args.attest_seconds,
                }
            ],
            "instance_refresh": {
                "strategy": "Rolling",
                "preferences": {
                    "min_healthy_percentage": 100,
                    "max_healthy_percentage": 200,
                    # AWS refuses to go back to an image that a parameter names.
                    "auto_rollback": not args.image_id.startswith("resolve:"),
                    "instance_warmup": "0",
                    "skip_matching": True,
                },
            },
            # A member attests once its endpoint's configuration is at the broker, the first of which comes after this: whoever
            # applies waits for the members (`pipeline/engine/members.py`).
            "wait_for_capacity_timeout": "0",
            "tags": [{"key": key, "value": value, "propagate_at_launch": True} for key, value in sorted(tags.items())],
        },
        ("min_size", "max_size", "initial_lifecycle_hooks"),
        # Endpoints attach their target groups themselves.
        ignore=() if target_groups else ("targetGroupArns",),
    )


def _hardware(kind: Kind) -> Json:
    """What makes an instance the attester it is; NitroTPM is an attribute of its image."""
    match kind:
        case "nitro-enclave":
            return {"enclave_options": {"enabled": True}}
        case "sev-snp":
            return {"cpu_options": {"amd_sev_snp": "enabled"}}
        case "nitro-tpm":
            return {}


__all__ = ["FleetArgs", "Kind", "fleet"]
