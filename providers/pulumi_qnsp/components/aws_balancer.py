"""A load balancer on AWS that passes TCP through, as values: TLS ends in the attester behind it, never here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_qnsp.components.children import Child, Ref, ordered


@dataclass(frozen=True, slots=True)
class BalancerArgs:
    """One port of one fleet; with a zone, the name under which it is reached."""

    name: str
    port: int
    host: str
    zone: str | None
    vpc: str | None
    subnets: Sequence[str]

    @classmethod
    def of(cls, balancer: Mapping[str, Any], network: Mapping[str, Any]) -> BalancerArgs:
        """Read the `balancer` and `network` members of a unit's inputs."""
        return cls(
            balancer["name"],
            balancer["port"],
            balancer["host"],
            balancer["zone"],
            network["vpc"],
            network["subnets"] or (),
        )


def balancer(args: BalancerArgs) -> tuple[Child, ...]:
    """Load balancer, target group, listener; where a zone is kept, the record of its name."""
    name = Child(
        "aws:route53/record:Record",
        "name",
        {
            "zone_id": args.zone,
            "name": args.host,
            "type": "A",
            "aliases": [
                {
                    "name": Ref("balancer", "dns_name"),
                    "zone_id": Ref("balancer", "zone_id"),
                    "evaluate_target_health": False,
                }
            ],
            # A name that somebody else points elsewhere is told, never taken.
            "allow_overwrite": False,
        },
        ("zone_id", "name", "type"),
    )
    return ordered(
        [
            Child(
                "aws:lb/loadBalancer:LoadBalancer",
                "balancer",
                {
                    "name": args.name,
                    "internal": True,
                    "load_balancer_type": "network",
                    "subnets": list(args.subnets),
                    "enable_cross_zone_load_balancing": True,
                },
                ("internal", "load_balancer_type"),
            ),
            Child(
                "aws:lb/targetGroup:TargetGroup",
                "targets",
                {
                    "name": args.name,
                    "port": args.port,
                    "protocol": "TCP",
                    "target_type": "instance",
                    "vpc_id": args.vpc,
                    "health_check": {"protocol": "TCP"},
                    # Each member has keys of its own: a client stays with the one whose evidence it verified.
                    "stickiness": {"type": "source_ip", "enabled": True},
                },
                ("port", "protocol"),
            ),
            Child(
                "aws:lb/listener:Listener",
                "listener",
                {
                    "load_balancer_arn": Ref("balancer", "arn"),
                    "port": args.port,
                    "protocol": "TCP",
                    "default_actions": [{"type": "forward", "target_group_arn": Ref("targets", "arn")}],
                },
                ("port", "protocol"),
            ),
            *([name] if args.zone else []),
        ]
    )


__all__ = ["BalancerArgs", "balancer"]
