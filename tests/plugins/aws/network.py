"""VPC and what stands in it."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from tests.plugins.aws.kind import Json, Kind, retag, tagged, tags_of, words


def _vpc_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    ec2 = aws("ec2")
    found = ec2.create_vpc(CidrBlock=inputs["cidrBlock"], TagSpecifications=tagged("vpc", inputs))["Vpc"]["VpcId"]
    _vpc_dns(ec2, found, inputs)
    return found, {"arn": aws.arn("ec2", f"vpc/{found}")}


def _vpc_dns(ec2: Any, found: str, inputs: Json) -> None:
    ec2.modify_vpc_attribute(VpcId=found, EnableDnsSupport={"Value": bool(inputs.get("enableDnsSupport", True))})
    ec2.modify_vpc_attribute(VpcId=found, EnableDnsHostnames={"Value": bool(inputs.get("enableDnsHostnames"))})


def _vpc_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    ec2 = aws("ec2")
    vpc = ec2.describe_vpcs(VpcIds=[found])["Vpcs"][0]
    return {
        "cidrBlock": vpc["CidrBlock"],
        "enableDnsSupport": ec2.describe_vpc_attribute(VpcId=found, Attribute="enableDnsSupport")["EnableDnsSupport"]["Value"],
        "enableDnsHostnames": ec2.describe_vpc_attribute(VpcId=found, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"],
        "tags": tags_of(vpc),
        "arn": aws.arn("ec2", f"vpc/{found}"),
    }  # fmt: skip


def _vpc_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    _vpc_dns(aws("ec2"), found, new)
    retag(aws, found, old, new)
    return {}


def _subnet_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("ec2").create_subnet(
        VpcId=inputs["vpcId"], CidrBlock=inputs["cidrBlock"], AvailabilityZone=inputs["availabilityZone"],
        TagSpecifications=tagged("subnet", inputs),
    )["Subnet"]  # fmt: skip
    _subnet_public(aws, made["SubnetId"], inputs)
    return made["SubnetId"], {"arn": aws.arn("ec2", f"subnet/{made['SubnetId']}")}


def _subnet_public(aws: Any, found: str, inputs: Json) -> None:
    aws("ec2").modify_subnet_attribute(
        SubnetId=found, MapPublicIpOnLaunch={"Value": bool(inputs.get("mapPublicIpOnLaunch"))}
    )


def _subnet_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    subnet = aws("ec2").describe_subnets(SubnetIds=[found])["Subnets"][0]
    return {
        "vpcId": subnet["VpcId"],
        "cidrBlock": subnet["CidrBlock"],
        "availabilityZone": subnet["AvailabilityZone"],
        "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
        "tags": tags_of(subnet),
    }


def _subnet_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    _subnet_public(aws, found, new)
    retag(aws, found, old, new)
    return {}


def _table_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    if inputs.get("routes"):
        raise ValueError("the stand-in makes route tables without routes only: our networks have no way out")
    made = aws("ec2").create_route_table(VpcId=inputs["vpcId"], TagSpecifications=tagged("route-table", inputs))
    return made["RouteTable"]["RouteTableId"], {}


def _table_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    table = aws("ec2").describe_route_tables(RouteTableIds=[found])["RouteTables"][0]
    # As the real provider: neither the local route nor what gateway endpoints put in.
    routes = [
        {"cidrBlock": route.get("DestinationCidrBlock", ""), "gatewayId": route.get("GatewayId", "")}
        for route in table["Routes"]
        if route.get("GatewayId") != "local" and not str(route.get("GatewayId")).startswith("vpce-")
    ]
    return {"vpcId": table["VpcId"], "routes": routes, "tags": tags_of(table)}


def _table_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    for route in old.get("routes") or []:
        aws("ec2").delete_route(RouteTableId=found, DestinationCidrBlock=route["cidrBlock"])
    retag(aws, found, old, new)
    return {}


def _association_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    for page in aws("ec2").get_paginator("describe_route_tables").paginate():
        for table in page["RouteTables"]:
            for one in table["Associations"]:
                if one["RouteTableAssociationId"] == found:
                    return {"subnetId": one.get("SubnetId", ""), "routeTableId": table["RouteTableId"]}
    return None


def _rules(rules: list[Json]) -> list[Json]:
    found = []
    for rule in rules:
        entry: Json = {"IpProtocol": rule["protocol"], "FromPort": int(rule["fromPort"]), "ToPort": int(rule["toPort"])}
        told = {"Description": rule["description"]} if rule.get("description") else {}
        if rule.get("cidrBlocks"):
            entry["IpRanges"] = [{"CidrIp": block, **told} for block in rule["cidrBlocks"]]
        if rule.get("prefixListIds"):
            entry["PrefixListIds"] = [{"PrefixListId": one, **told} for one in rule["prefixListIds"]]
        if rule.get("securityGroups"):
            entry["UserIdGroupPairs"] = [{"GroupId": one, **told} for one in rule["securityGroups"]]
        found.append(entry)
    return found


def _rules_seen(permissions: list[Json]) -> list[Json]:
    """One rule a protocol, ports and description, as the real provider groups them."""
    grouped: dict[tuple[Any, ...], Json] = {}
    for one in permissions:
        for member, name, part in (("IpRanges", "cidrBlocks", "CidrIp"), ("Ipv6Ranges", "ipv6CidrBlocks", "CidrIpv6"),
                                   ("PrefixListIds", "prefixListIds", "PrefixListId"),
                                   ("UserIdGroupPairs", "securityGroups", "GroupId")):  # fmt: skip
            for item in one.get(member) or []:
                told = item.get("Description", "")
                key = (one["IpProtocol"], one.get("FromPort", 0), one.get("ToPort", 0), told)
                rule = grouped.setdefault(
                    key, {"protocol": key[0], "fromPort": key[1], "toPort": key[2], "description": told}
                )
                rule.setdefault(name, []).append(item[part])
    return list(grouped.values())


def _group_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    ec2 = aws("ec2")
    found = ec2.create_security_group(
        GroupName=inputs["name"], Description=inputs["description"], VpcId=inputs["vpcId"],
        TagSpecifications=tagged("security-group", inputs),
    )["GroupId"]  # fmt: skip
    _group_rules(ec2, found, inputs)
    return found, {"arn": aws.arn("ec2", f"security-group/{found}")}


def _group_rules(ec2: Any, found: str, new: Json) -> None:
    group = ec2.describe_security_groups(GroupIds=[found])["SecurityGroups"][0]
    if group["IpPermissions"]:
        ec2.revoke_security_group_ingress(GroupId=found, IpPermissions=group["IpPermissions"])
    if group["IpPermissionsEgress"]:
        ec2.revoke_security_group_egress(GroupId=found, IpPermissions=group["IpPermissionsEgress"])
    if new.get("ingress"):
        ec2.authorize_security_group_ingress(GroupId=found, IpPermissions=_rules(new["ingress"]))
    if new.get("egress"):
        ec2.authorize_security_group_egress(GroupId=found, IpPermissions=_rules(new["egress"]))


def _remembered(rules: list[Json], told: list[Json] | None) -> list[Json]:
    """moto forgets what is said about prefix lists: taken from the state."""
    for rule in rules:
        for other in told or []:
            if rule.get("prefixListIds") and rule["prefixListIds"] == other.get("prefixListIds"):
                rule["description"] = rule["description"] or other.get("description", "")
    return rules


def _group_read(aws: Any, found: str, state: Json) -> Json | None:
    group = aws("ec2").describe_security_groups(GroupIds=[found])["SecurityGroups"][0]
    return {
        "name": group["GroupName"],
        "description": group["Description"],
        "vpcId": group["VpcId"],
        "ingress": _rules_seen(group["IpPermissions"]),
        "egress": _remembered(_rules_seen(group["IpPermissionsEgress"]), state.get("egress")),
        "tags": tags_of(group),
    }


def _group_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    _group_rules(aws("ec2"), found, new)
    retag(aws, found, old, new)
    return {}


_ENDPOINT = (("routeTableIds", "RouteTableIds"), ("subnetIds", "SubnetIds"), ("securityGroupIds", "SecurityGroupIds"),
             ("privateDnsEnabled", "PrivateDnsEnabled"), ("policy", "PolicyDocument"))  # fmt: skip


def _prefix_list(aws: Any, service: str) -> str:
    """The prefix list of S3 in this region; moto names some, else one is made up."""
    for one in aws("ec2").describe_managed_prefix_lists()["PrefixLists"]:
        if one["PrefixListName"] == service:
            return str(one["PrefixListId"])
    return "pl-6da54004"


def _endpoint_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    shape: Json = {member: inputs[name] for name, member in _ENDPOINT if inputs.get(name)}
    made = aws("ec2").create_vpc_endpoint(
        VpcId=inputs["vpcId"], ServiceName=inputs["serviceName"], VpcEndpointType=inputs["vpcEndpointType"],
        TagSpecifications=tagged("vpc-endpoint", inputs), **shape,
    )["VpcEndpoint"]  # fmt: skip
    gateway = inputs["vpcEndpointType"] == "Gateway"
    return made["VpcEndpointId"], {"prefixListId": _prefix_list(aws, inputs["serviceName"]) if gateway else ""}


def _endpoint_read(aws: Any, found: str, state: Json) -> Json | None:
    answer = aws("ec2").describe_vpc_endpoints(VpcEndpointIds=[found])["VpcEndpoints"]
    if not answer or answer[0]["State"].lower() in {"deleted", "deleting"}:
        return None
    endpoint = answer[0]
    seen = {
        "vpcId": endpoint["VpcId"],
        "serviceName": endpoint["ServiceName"],
        "vpcEndpointType": endpoint["VpcEndpointType"],
        "routeTableIds": endpoint.get("RouteTableIds", []),
        "subnetIds": endpoint.get("SubnetIds", []),
        "securityGroupIds": [group["GroupId"] for group in endpoint.get("Groups", [])] or state.get("securityGroupIds"),
        "privateDnsEnabled": endpoint.get("PrivateDnsEnabled"),
        "tags": tags_of(endpoint),
    }
    if "policy" in state or not state:
        seen["policy"] = endpoint.get("PolicyDocument") or ""
    return seen


def _endpoint_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    if new.get("policy"):
        aws("ec2").modify_vpc_endpoint(VpcEndpointId=found, PolicyDocument=new["policy"])
    elif old.get("policy"):
        aws("ec2").modify_vpc_endpoint(VpcEndpointId=found, ResetPolicy=True)
    for name, add, remove in (("routeTableIds", "AddRouteTableIds", "RemoveRouteTableIds"),
                              ("subnetIds", "AddSubnetIds", "RemoveSubnetIds")):  # fmt: skip
        before, after = set(old.get(name) or []), set(new.get(name) or [])
        change = {key: sorted(value) for key, value in ((add, after - before), (remove, before - after)) if value}
        if change:
            aws("ec2").modify_vpc_endpoint(VpcEndpointId=found, **change)
    retag(aws, found, old, new)
    return {}


def _endpoint_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("ec2").delete_vpc_endpoints(VpcEndpointIds=[found])


def _flow_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("ec2").create_flow_logs(
        ResourceIds=[inputs["vpcId"]], ResourceType="VPC", TrafficType=inputs["trafficType"],
        LogDestinationType=inputs["logDestinationType"], LogGroupName=inputs["logDestination"].rsplit(":", 1)[-1],
        DeliverLogsPermissionArn=inputs["iamRoleArn"], TagSpecifications=tagged("vpc-flow-log", inputs),
    )  # fmt: skip
    if made.get("Unsuccessful"):
        raise ValueError(json.dumps(made["Unsuccessful"]))
    return made["FlowLogIds"][0], {}


def _flow_read(aws: Any, found: str, state: Json) -> Json | None:
    answer = aws("ec2").describe_flow_logs(FlowLogIds=[found])["FlowLogs"]
    if not answer:
        return None
    log = answer[0]
    return {
        "vpcId": log["ResourceId"],
        "trafficType": log["TrafficType"],
        "logDestinationType": log["LogDestinationType"],
        "iamRoleArn": log.get("DeliverLogsPermissionArn", ""),
        "logDestination": state.get("logDestination")
        if str(state.get("logDestination", "")).endswith(f":{log.get('LogGroupName')}")
        else aws.arn("logs", f"log-group:{log.get('LogGroupName')}"),
        "tags": tags_of(log),
    }


def _tags_only(aws: Any, found: str, old: Json, new: Json) -> Json:
    retag(aws, found, old, new)
    return {}


def _associate(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("ec2").associate_route_table(SubnetId=inputs["subnetId"], RouteTableId=inputs["routeTableId"])
    return str(made["AssociationId"]), {}


def _drop(call: str, member: str, *, many: bool = False) -> Any:
    def drop(aws: Any, found: str, state: Json) -> None:
        del state
        getattr(aws("ec2"), call)(**{member: [found] if many else found})

    return drop


def _default_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    """Takes on the group that came with the network, as the real provider does."""
    held = aws("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [inputs["vpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    found = held[0]["GroupId"]
    _group_rules(aws("ec2"), found, inputs)
    retag(aws, found, {}, inputs)
    return found, {"arn": aws.arn("ec2", f"security-group/{found}")}


def _default_drop(aws: Any, found: str, state: Json) -> None:
    """It goes with its network."""
    del aws, found, state


def _group_drop(aws: Any, found: str, state: Json) -> None:
    del state
    try:
        aws("ec2").delete_security_group(GroupId=found)
    except ClientError as error:
        if error.response["Error"]["Code"] != "DependencyViolation":
            raise
        raise ValueError(f"security group {found} is still in use") from error


KINDS: dict[str, Kind] = {
    "aws:ec2/vpc:Vpc": Kind(
        _vpc_make, _vpc_read, _drop("delete_vpc", "VpcId"),
        words("cidrBlock enableDnsSupport enableDnsHostnames tags"), _vpc_update, words("cidrBlock"),
    ),
    "aws:ec2/subnet:Subnet": Kind(
        _subnet_make, _subnet_read, _drop("delete_subnet", "SubnetId"),
        words("vpcId cidrBlock availabilityZone mapPublicIpOnLaunch tags"), _subnet_update,
        words("vpcId cidrBlock availabilityZone"),
    ),
    "aws:ec2/routeTable:RouteTable": Kind(
        _table_make, _table_read, _drop("delete_route_table", "RouteTableId"), words("vpcId routes tags"),
        _table_update, words("vpcId"),
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Kind(
        _associate, _association_read, _drop("disassociate_route_table", "AssociationId"),
        words("subnetId routeTableId"), None, words("subnetId routeTableId"),
    ),
    "aws:ec2/securityGroup:SecurityGroup": Kind(
        _group_make, _group_read, _group_drop, words("name description vpcId ingress egress tags"), _group_update,
        words("name vpcId description"),
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": Kind(
        _default_make,
        _group_read,
        _default_drop,
        words("vpcId ingress egress tags"),
        _group_update,
        words("vpcId"),
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Kind(
        _endpoint_make, _endpoint_read, _endpoint_drop,
        words("vpcId serviceName vpcEndpointType routeTableIds subnetIds securityGroupIds privateDnsEnabled policy tags"),
        _endpoint_update, words("vpcId serviceName vpcEndpointType"),
    ),
    "aws:ec2/flowLog:FlowLog": Kind(
        _flow_make, _flow_read, _drop("delete_flow_logs", "FlowLogIds", many=True),
        words("vpcId trafficType logDestinationType logDestination iamRoleArn tags"), _tags_only,
        words("vpcId trafficType logDestinationType logDestination iamRoleArn"),
    ),
}  # fmt: skip

__all__ = ["KINDS"]
