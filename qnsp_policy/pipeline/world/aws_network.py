"""How networks of AWS are told: one function a resource type, over what was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qnsp_policy.pipeline.world.aws_seen import UNREAD, Extra, Found, Json, Seen, tags_of
from qnsp_policy.pipeline.world.observed import Concern


def vpc(wanted: Json, seen: Seen, known: Json) -> Found | None:
    """The network itself, and every way into it that we did not make."""
    del wanted
    found = seen["networks"].get(known.get("vpcId"))
    if found is None:
        return None
    own = found["VpcId"]
    return Found(
        {"id": own},
        {
            "cidrBlock": found["CidrBlock"],
            "enableDnsSupport": found["enableDnsSupport"],
            "enableDnsHostnames": found["enableDnsHostnames"],
            "tags": tags_of(found),
        },
        tuple(_ways(own, seen)),
    )


def _ways(own: str, seen: Seen) -> Iterator[Extra]:
    for gateway in seen["internet gateways"]:
        if any(attached["VpcId"] == own for attached in gateway["Attachments"]):
            yield Extra(f"internet gateway {gateway['InternetGatewayId']} is attached to it", by_hand=True)
    for gateway in seen["NAT gateways"]:
        if gateway["VpcId"] == own and gateway["State"] not in {"deleted", "deleting", "failed"}:
            yield Extra(f"NAT gateway {gateway['NatGatewayId']} stands in it", by_hand=True)
    for gateway in seen["VPN gateways"]:
        if any(one["VpcId"] == own and one["State"] == "attached" for one in gateway.get("VpcAttachments", ())):
            yield Extra(f"VPN gateway {gateway['VpnGatewayId']} is attached to it", by_hand=True)
    for peering in seen["peerings"]:
        sides = {peering["RequesterVpcInfo"]["VpcId"], peering["AccepterVpcInfo"].get("VpcId")}
        if own in sides and peering["Status"]["Code"] in {"active", "pending-acceptance", "provisioning"}:
            other = ", ".join(sorted(str(side) for side in sides - {own}))
            yield Extra(f"peering {peering['VpcPeeringConnectionId']} with {other} reaches into it", by_hand=True)


def foreign_machines(own: str, seen: Seen) -> Iterator[Extra]:
    """Machines in our network that no fleet of ours started: they reach what fleets reach."""
    groups = seen.answers.get("groups") or {}
    for machine in seen["instances"]:
        if machine.get("VpcId") == own:
            started = {tag["Key"]: tag["Value"] for tag in machine.get("Tags") or ()}.get("aws:autoscaling:groupName")
            if started is None or (groups and started not in groups):
                yield Extra(
                    f"instance {machine['InstanceId']} stands in it, which no fleet of ours started", by_hand=True
                )


def foreign_endpoints(services: set[str], own: str, seen: Seen) -> Iterator[Extra]:
    """Endpoints in our network that no plan holds: ways out."""
    for endpoint in seen["endpoints"]:
        if endpoint["VpcId"] == own and endpoint["ServiceName"] not in services and _alive(endpoint):
            yield Extra(
                f"endpoint {endpoint['VpcEndpointId']} to {endpoint['ServiceName']} is a way out that no plan holds",
                by_hand=True,
            )


def _alive(endpoint: Json) -> bool:
    return str(endpoint["State"]).lower() not in {"deleted", "deleting"}


def subnet(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    for found in seen["subnets"]:
        if found["VpcId"] == wanted["vpcId"] and found["CidrBlock"] == wanted["cidrBlock"]:
            public = Extra(f"{found['SubnetId']} gives new instances public addresses", expected="no", got="yes")
            return Found(
                {"id": found["SubnetId"]},
                {
                    "vpcId": found["VpcId"],
                    "cidrBlock": found["CidrBlock"],
                    "availabilityZone": found["AvailabilityZone"],
                    "mapPublicIpOnLaunch": UNREAD,
                    "tags": tags_of(found),
                },
                (public,) if found["MapPublicIpOnLaunch"] else (),
            )
    return None


def route_table(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    tables = [t for t in seen["route tables"] if t["VpcId"] == wanted["vpcId"] and not _is_main(t)]
    ours = [t for t in tables if tags_of(t).items() >= (wanted.get("tags") or {}).items()]
    used = [t for t in tables if t["Associations"]]
    found = next(iter(ours or used or tables), None)
    if found is None:
        return None
    routes = [
        f"{_destination(route)} through {_target(route)}"
        for route in found["Routes"]
        if route.get("GatewayId") != "local" and not str(route.get("GatewayId")).startswith("vpce-")
    ]
    extras = tuple(Extra(f"a route leads out of the network: {route}", got=route) for route in routes)
    return Found(
        {"id": found["RouteTableId"]},
        {"vpcId": found["VpcId"], "routes": UNREAD, "tags": tags_of(found)},
        extras,
    )


def _is_main(table: Json) -> bool:
    return any(one.get("Main") for one in table["Associations"])


def _destination(route: Json) -> str:
    return str(
        route.get("DestinationCidrBlock")
        or route.get("DestinationIpv6CidrBlock")
        or route.get("DestinationPrefixListId")
    )


def _target(route: Json) -> str:
    targets = ("GatewayId", "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId", "NetworkInterfaceId", "InstanceId",
               "EgressOnlyInternetGatewayId", "CarrierGatewayId", "LocalGatewayId", "CoreNetworkArn")  # fmt: skip
    return str(next((route[name] for name in targets if route.get(name)), "something unknown"))


def association(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    for table in seen["route tables"]:
        for one in table["Associations"]:
            if one.get("SubnetId") == wanted["subnetId"]:
                inputs = {"subnetId": wanted["subnetId"], "routeTableId": table["RouteTableId"]}
                return Found({"id": one["RouteTableAssociationId"]}, inputs)
    return None


def rule_texts(permissions: Any) -> set[str]:
    """Rules of a security group as sentences, one a source; what is said about them left out."""
    found = set()
    for one in permissions:
        first, last = one.get("FromPort", 0), one.get("ToPort", 0)
        ports = "every port" if one["IpProtocol"] == "-1" else f"{first}" if first == last else f"{first}-{last}"
        for member, part in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"), ("PrefixListIds", "PrefixListId"),
                             ("UserIdGroupPairs", "GroupId")):  # fmt: skip
            protocol = "any protocol" if one["IpProtocol"] == "-1" else one["IpProtocol"]
            found |= {f"{protocol} {ports} {item[part]}" for item in one.get(member) or ()}
    return found


def _declared(rules: Any) -> set[str]:
    shapes = [
        {
            "IpProtocol": rule["protocol"],
            "FromPort": int(rule["fromPort"]),
            "ToPort": int(rule["toPort"]),
            "IpRanges": [{"CidrIp": block} for block in rule.get("cidrBlocks") or ()],
            "PrefixListIds": [{"PrefixListId": one} for one in rule.get("prefixListIds") or ()],
            "UserIdGroupPairs": [{"GroupId": one} for one in rule.get("securityGroups") or ()],
        }
        for rule in rules or ()
    ]
    return rule_texts(shapes)


def security_group(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    name = wanted.get("name", "default")
    for found in seen["security groups"]:
        if found["VpcId"] == wanted["vpcId"] and found["GroupName"] == name:
            extras = []
            for member, told, verb in (
                ("ingress", "IpPermissions", "admits"),
                ("egress", "IpPermissionsEgress", "reaches"),
            ):
                have, want = rule_texts(found[told]), _declared(wanted.get(member))
                extras += [Extra(f"it {verb} {rule}, which no plan holds", got=rule) for rule in sorted(have - want)]
                extras += [
                    Extra(f"it no longer {verb} {rule}", Concern.AVAILABILITY, expected=rule)
                    for rule in sorted(want - have)
                ]
            inputs = {
                "name": found["GroupName"],
                "vpcId": found["VpcId"],
                "description": found["Description"],
                "ingress": UNREAD,
                "egress": UNREAD,
                "tags": tags_of(found),
            }
            return Found({"id": found["GroupId"]}, inputs, tuple(extras))
    return None


def endpoint(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    for found in seen["endpoints"]:
        if found["VpcId"] == wanted["vpcId"] and found["ServiceName"] == wanted["serviceName"] and _alive(found):
            inputs = {
                "vpcId": found["VpcId"],
                "serviceName": found["ServiceName"],
                "vpcEndpointType": found["VpcEndpointType"],
                "routeTableIds": found.get("RouteTableIds") or [],
                "subnetIds": found.get("SubnetIds") or [],
                # AWS answers groups by id; a server that does not is not taken for one without groups.
                "securityGroupIds": [group["GroupId"] for group in found.get("Groups") or ()] or UNREAD,
                "privateDnsEnabled": found.get("PrivateDnsEnabled"),
                "policy": (found.get("PolicyDocument") or "") if wanted.get("policy") else UNREAD,
                "tags": tags_of(found),
            }
            # Prefix lists are the region's: links to them are not compared.
            return Found({"id": found["VpcEndpointId"], "prefixListId": UNREAD}, inputs)
    return None


def flow_log(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    for found in seen["flow logs"]:
        if found["ResourceId"] == wanted["vpcId"] and str(wanted["logDestination"]).rstrip(":*").endswith(
            str(found.get("LogGroupName") or str(found.get("LogDestination", "")).rpartition(":")[2])
        ):
            inputs: Mapping[str, Any] = {
                "vpcId": found["ResourceId"],
                "trafficType": found["TrafficType"],
                "logDestinationType": found["LogDestinationType"],
                "logDestination": UNREAD,
                "iamRoleArn": found.get("DeliverLogsPermissionArn"),
                "tags": tags_of(found),
            }
            return Found({"id": found["FlowLogId"]}, inputs)
    return None


__all__ = [
    "association",
    "endpoint",
    "flow_log",
    "foreign_endpoints",
    "foreign_machines",
    "route_table",
    "rule_texts",
    "security_group",
    "subnet",
    "vpc",
]
