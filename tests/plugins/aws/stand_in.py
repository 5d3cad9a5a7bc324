"""A stand-in for the plugin `pulumi-resource-aws`, for tests only: the real one cannot be had from a package registry.

Serves the resource types that our programs use, by boto3, against whatever AWS_ENDPOINT_URL names (a moto server on loopback).
Like the real one it marks nested inputs with `__defaults`, refuses another account than the one allowed, takes on roles, reads
before it compares, and returns what AWS computed. It is not the real provider: what passes here was never held against AWS.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import grpc
import grpc.aio
import pulumi.provider.experimental.provider as api
from botocore.exceptions import BotoCoreError, ClientError
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from pulumi_qnsp.values import UNKNOWN, plain_map, wrap, wrap_map

VERSION = "7.51.1"
Json = dict[str, Any]
GONE = {
    "NoSuchEntity", "NotFoundException", "ResourceNotFoundException", "NoSuchBucket", "TrailNotFoundException",
    "InvalidVpcID.NotFound", "InvalidSubnetID.NotFound", "InvalidGroup.NotFound", "InvalidLaunchTemplateId.NotFound",
    "InvalidRouteTableID.NotFound", "InvalidVpcEndpointId.NotFound", "LoadBalancerNotFound", "TargetGroupNotFound",
    "ListenerNotFound", "NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration", "AlarmNotFound",
}  # fmt: skip


@dataclass
class Kind:
    """One resource type."""

    create: Callable[[Any, Json], tuple[str, Json]]
    read: Callable[[Any, str, Json], Json | None]
    delete: Callable[[Any, str, Json], None]
    update: Callable[[Any, str, Json, Json], Json] | None = None
    replace: frozenset[str] = field(default=frozenset())


def _tags(inputs: Json) -> list[Json]:
    return [{"Key": key, "Value": value} for key, value in (inputs.get("tags") or {}).items()]


def _ec2_tags(kind: str, inputs: Json) -> list[Json]:
    tags = _tags(inputs)
    return [{"ResourceType": kind, "Tags": tags}] if tags else []


def _same_json(one: str, other: Any) -> bool:
    return bool(json.loads(one) == (json.loads(other) if isinstance(other, str) else other))


def _policy(state: Json, found: Any) -> Json:
    """The policy that was found, in our own text where it says the same."""
    if _same_json(state["policy"], found):
        return {}
    return {"policy": found if isinstance(found, str) else json.dumps(found, sort_keys=True)}


# network


def _simple(
    service: str, create: str, describe: str, key: str, ids: str, delete: str, one: str, shape: Callable[[Json], Json]
) -> Kind:
    """A type of EC2 whose create, describe and delete all look alike."""

    def make(aws: Any, inputs: Json) -> tuple[str, Json]:
        answer = getattr(aws(service), create)(**shape(inputs))
        body = answer[key]
        found = str(body[one])
        return found, {"arn": f"arn:aws:ec2:{aws.region}:{aws.account}:{key.lower()}/{found}"}

    def look(aws: Any, found: str, state: Json) -> Json | None:
        del state
        answer = getattr(aws(service), describe)(**{ids: [found]})
        return {} if answer[f"{key}s"] else None

    def drop(aws: Any, found: str, state: Json) -> None:
        del state
        getattr(aws(service), delete)(**{one: found})

    return Kind(make, look, drop)


def _vpc(inputs: Json) -> Json:
    return {"CidrBlock": inputs["cidrBlock"], "TagSpecifications": _ec2_tags("vpc", inputs)}


def _subnet(inputs: Json) -> Json:
    return {
        "VpcId": inputs["vpcId"],
        "CidrBlock": inputs["cidrBlock"],
        "AvailabilityZone": inputs["availabilityZone"],
        "TagSpecifications": _ec2_tags("subnet", inputs),
    }


def _rules(rules: list[Json]) -> list[Json]:
    found = []
    for rule in rules:
        entry: Json = {"IpProtocol": rule["protocol"], "FromPort": int(rule["fromPort"]), "ToPort": int(rule["toPort"])}
        if rule.get("cidrBlocks"):
            entry["IpRanges"] = [
                {"CidrIp": block, "Description": rule.get("description", "")} for block in rule["cidrBlocks"]
            ]
        if rule.get("prefixListIds"):
            entry["PrefixListIds"] = [{"PrefixListId": one} for one in rule["prefixListIds"]]
        found.append(entry)
    return found


def _group_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    ec2 = aws("ec2")
    found = ec2.create_security_group(
        GroupName=inputs["name"], Description=inputs["description"], VpcId=inputs["vpcId"],
        TagSpecifications=_ec2_tags("security-group", inputs),
    )["GroupId"]  # fmt: skip
    _group_rules(ec2, found, {"egress": None, "ingress": []}, inputs)
    return found, {"arn": f"arn:aws:ec2:{aws.region}:{aws.account}:security-group/{found}"}


def _group_rules(ec2: Any, found: str, old: Json, new: Json) -> None:
    group = ec2.describe_security_groups(GroupIds=[found])["SecurityGroups"][0]
    del old
    if group["IpPermissions"]:
        ec2.revoke_security_group_ingress(GroupId=found, IpPermissions=group["IpPermissions"])
    if group["IpPermissionsEgress"]:
        ec2.revoke_security_group_egress(GroupId=found, IpPermissions=group["IpPermissionsEgress"])
    if new.get("ingress"):
        ec2.authorize_security_group_ingress(GroupId=found, IpPermissions=_rules(new["ingress"]))
    if new.get("egress"):
        ec2.authorize_security_group_egress(GroupId=found, IpPermissions=_rules(new["egress"]))


def _group_read(aws: Any, found: str, state: Json) -> Json | None:
    group = aws("ec2").describe_security_groups(GroupIds=[found])["SecurityGroups"][0]
    ports = sorted((p.get("FromPort"), sorted(r["CidrIp"] for r in p["IpRanges"])) for p in group["IpPermissions"])
    wanted = sorted((int(r["fromPort"]), sorted(r.get("cidrBlocks", []))) for r in state["ingress"])
    if ports == wanted:
        return {}
    return {
        "ingress": [
            {"protocol": p["IpProtocol"], "fromPort": p.get("FromPort", 0), "toPort": p.get("ToPort", 0),
             "cidrBlocks": [r["CidrIp"] for r in p["IpRanges"]]}
            for p in group["IpPermissions"]
        ]
    }  # fmt: skip


def _group_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    _group_rules(aws("ec2"), found, old, new)
    return {}


def _template_data(inputs: Json) -> Json:
    data: Json = {
        "ImageId": inputs["imageId"],
        "InstanceType": inputs["instanceType"],
        "UserData": inputs["userData"],
        "IamInstanceProfile": {"Name": inputs["iamInstanceProfile"]["name"]},
        "SecurityGroupIds": inputs["vpcSecurityGroupIds"],
        "MetadataOptions": {
            "HttpEndpoint": inputs["metadataOptions"]["httpEndpoint"],
            "HttpTokens": inputs["metadataOptions"]["httpTokens"],
            "HttpPutResponseHopLimit": int(inputs["metadataOptions"]["httpPutResponseHopLimit"]),
        },
    }
    if inputs.get("enclaveOptions"):
        data["EnclaveOptions"] = {"Enabled": inputs["enclaveOptions"]["enabled"]}
    if inputs.get("cpuOptions"):
        data["CpuOptions"] = {"AmdSevSnp": inputs["cpuOptions"]["amdSevSnp"]}
    return data


def _template_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("ec2").create_launch_template(
        LaunchTemplateName=inputs["name"], LaunchTemplateData=_template_data(inputs)
    )
    found = made["LaunchTemplate"]["LaunchTemplateId"]
    return found, {"latestVersion": 1, "arn": f"arn:aws:ec2:{aws.region}:{aws.account}:launch-template/{found}"}


def _template_read(aws: Any, found: str, state: Json) -> Json | None:
    versions = aws("ec2").describe_launch_template_versions(LaunchTemplateId=found, Versions=["$Latest"])
    latest = versions["LaunchTemplateVersions"][0]
    data, seen = latest["LaunchTemplateData"], {"latestVersion": latest["VersionNumber"]}
    for name, member in (("imageId", "ImageId"), ("instanceType", "InstanceType"), ("userData", "UserData")):
        if data.get(member) != state[name]:
            seen[name] = data.get(member)
    if state.get("enclaveOptions") and not data.get("EnclaveOptions", {}).get("Enabled"):
        seen["enclaveOptions"] = {"enabled": False}
    if state["metadataOptions"]["httpTokens"] != data.get("MetadataOptions", {}).get("HttpTokens"):
        seen["metadataOptions"] = {
            **state["metadataOptions"],
            "httpTokens": data.get("MetadataOptions", {}).get("HttpTokens"),
        }
    return seen


def _template_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del old
    made = aws("ec2").create_launch_template_version(LaunchTemplateId=found, LaunchTemplateData=_template_data(new))
    number = made["LaunchTemplateVersion"]["VersionNumber"]
    aws("ec2").modify_launch_template(LaunchTemplateId=found, DefaultVersion=str(number))
    return {"latestVersion": number}


def _endpoint_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    shape: Json = {
        "VpcId": inputs["vpcId"],
        "ServiceName": inputs["serviceName"],
        "VpcEndpointType": inputs["vpcEndpointType"],
    }
    for name, member in (
        ("routeTableIds", "RouteTableIds"),
        ("subnetIds", "SubnetIds"),
        ("securityGroupIds", "SecurityGroupIds"),
    ):
        if inputs.get(name):
            shape[member] = inputs[name]
    found = aws("ec2").create_vpc_endpoint(**shape)["VpcEndpoint"]["VpcEndpointId"]
    return found, {"prefixListId": "pl-6da54004" if inputs["vpcEndpointType"] == "Gateway" else ""}


# identities


def _role_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("iam").create_role(
        RoleName=inputs["name"],
        Path=inputs["path"],
        AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
        Tags=_tags(inputs),
    )["Role"]
    return inputs["name"], {"arn": made["Arn"]}


def _role_policy_read(aws: Any, found: str, state: Json) -> Json | None:
    role, _, name = found.partition(":")
    return _policy(state, aws("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])


def _role_policy_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    aws("iam").put_role_policy(RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"])
    return f"{inputs['role']}:{inputs['name']}", {}


def _profile_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("iam").create_instance_profile(InstanceProfileName=inputs["name"], Path=inputs["path"])
    aws("iam").add_role_to_instance_profile(InstanceProfileName=inputs["name"], RoleName=inputs["role"])
    return inputs["name"], {"arn": made["InstanceProfile"]["Arn"]}


def _profile_drop(aws: Any, found: str, state: Json) -> None:
    aws("iam").remove_role_from_instance_profile(InstanceProfileName=found, RoleName=state["role"])
    aws("iam").delete_instance_profile(InstanceProfileName=found)


# keys


def _key_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("kms").create_key(
        Description=inputs["description"], KeySpec=inputs["customerMasterKeySpec"], KeyUsage=inputs["keyUsage"],
        Policy=inputs["policy"], Tags=[{"TagKey": k, "TagValue": v} for k, v in inputs["tags"].items()],
    )["KeyMetadata"]  # fmt: skip
    return made["KeyId"], {"arn": made["Arn"], "keyId": made["KeyId"]}


def _key_read(aws: Any, found: str, state: Json) -> Json | None:
    if aws("kms").describe_key(KeyId=found)["KeyMetadata"]["KeyState"] == "PendingDeletion":
        return None
    return _policy(state, aws("kms").get_key_policy(KeyId=found, PolicyName="default")["Policy"])


def _key_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del old
    aws("kms").put_key_policy(KeyId=found, PolicyName="default", Policy=new["policy"])
    return {}


def _key_drop(aws: Any, found: str, state: Json) -> None:
    aws("kms").schedule_key_deletion(KeyId=found, PendingWindowInDays=int(state["deletionWindowInDays"]))


def _alias_read(aws: Any, found: str, state: Json) -> Json | None:
    held = {a["AliasName"]: a.get("TargetKeyId") for a in aws("kms").list_aliases()["Aliases"]}
    if found not in held:
        return None
    return {} if held[found] == state["targetKeyId"] else {"targetKeyId": held[found]}


def _alias_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    aws("kms").create_alias(AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
    return inputs["name"], {}


def _alias_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del old
    aws("kms").update_alias(AliasName=found, TargetKeyId=new["targetKeyId"])
    return {}


# records


def _bucket_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    shape: Json = {"Bucket": inputs["bucket"], "ObjectLockEnabledForBucket": bool(inputs.get("objectLockEnabled"))}
    if aws.region != "us-east-1":
        shape["CreateBucketConfiguration"] = {"LocationConstraint": aws.region}
    aws("s3").create_bucket(**shape)
    return inputs["bucket"], {"arn": f"arn:aws:s3:::{inputs['bucket']}"}


def _bucket_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    names = [bucket["Name"] for bucket in aws("s3").list_buckets()["Buckets"]]
    return {} if found in names else None


_BLOCKS = (("blockPublicAcls", "BlockPublicAcls"), ("blockPublicPolicy", "BlockPublicPolicy"),
           ("ignorePublicAcls", "IgnorePublicAcls"), ("restrictPublicBuckets", "RestrictPublicBuckets"))  # fmt: skip


def _block_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    wanted = {member: inputs[name] for name, member in _BLOCKS}
    aws("s3").put_public_access_block(Bucket=inputs["bucket"], PublicAccessBlockConfiguration=wanted)
    return inputs["bucket"], {}


def _block_read(aws: Any, found: str, state: Json) -> Json | None:
    held = aws("s3").get_public_access_block(Bucket=found)["PublicAccessBlockConfiguration"]
    return {name: held[member] for name, member in _BLOCKS if held[member] != state[name]}


def _encryption_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": {
                "SSEAlgorithm": rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"]
            }
        }
        for rule in inputs["rules"]
    ]
    aws("s3").put_bucket_encryption(Bucket=inputs["bucket"], ServerSideEncryptionConfiguration={"Rules": rules})
    return inputs["bucket"], {}


def _versioning_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    status = inputs["versioningConfiguration"]["status"]
    aws("s3").put_bucket_versioning(Bucket=inputs["bucket"], VersioningConfiguration={"Status": status})
    return inputs["bucket"], {}


def _lock_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    kept = inputs["rule"]["defaultRetention"]
    rule = {"DefaultRetention": {"Mode": kept["mode"], "Days": int(kept["days"])}}
    aws("s3").put_object_lock_configuration(
        Bucket=inputs["bucket"], ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    return inputs["bucket"], {}


def _bucket_policy_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    aws("s3").put_bucket_policy(Bucket=inputs["bucket"], Policy=inputs["policy"])
    return inputs["bucket"], {}


def _trail_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("cloudtrail").create_trail(
        Name=inputs["name"], S3BucketName=inputs["s3BucketName"], IsMultiRegionTrail=inputs["isMultiRegionTrail"],
        IncludeGlobalServiceEvents=True, EnableLogFileValidation=inputs["enableLogFileValidation"],
    )  # fmt: skip
    aws("cloudtrail").start_logging(Name=inputs["name"])
    return inputs["name"], {"arn": made["TrailARN"]}


def _trail_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    return {} if aws("cloudtrail").get_trail_status(Name=found)["IsLogging"] else {"enableLogging": False}


def _trail_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del old
    getattr(aws("cloudtrail"), "start_logging" if new["enableLogging"] else "stop_logging")(Name=found)
    return {}


def _log_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    aws("logs").create_log_group(logGroupName=inputs["name"])
    aws("logs").put_retention_policy(logGroupName=inputs["name"], retentionInDays=int(inputs["retentionInDays"]))
    return inputs["name"], {"arn": f"arn:aws:logs:{aws.region}:{aws.account}:log-group:{inputs['name']}"}


def _log_read(aws: Any, found: str, state: Json) -> Json | None:
    held = [
        g for g in aws("logs").describe_log_groups(logGroupNamePrefix=found)["logGroups"] if g["logGroupName"] == found
    ]
    if not held:
        return None
    days = held[0].get("retentionInDays")
    return {} if days == state["retentionInDays"] else {"retentionInDays": days}


def _log_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del old
    aws("logs").put_retention_policy(logGroupName=found, retentionInDays=int(new["retentionInDays"]))
    return {}


def _flow_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("ec2").create_flow_logs(
        ResourceIds=[inputs["vpcId"]], ResourceType="VPC", TrafficType=inputs["trafficType"],
        LogDestinationType="cloud-watch-logs", LogGroupName=inputs["logDestination"].rsplit(":", 1)[-1],
        DeliverLogsPermissionArn=inputs["iamRoleArn"],
    )  # fmt: skip
    return made["FlowLogIds"][0], {}


# fleets


def _fleet_shape(inputs: Json) -> Json:
    return {
        "AutoScalingGroupName": inputs["name"],
        "MinSize": int(inputs["minSize"]),
        "MaxSize": int(inputs["maxSize"]),
        "VPCZoneIdentifier": ",".join(inputs["vpcZoneIdentifiers"]),
        "LaunchTemplate": {
            "LaunchTemplateId": inputs["launchTemplate"]["id"],
            "Version": str(int(float(inputs["launchTemplate"]["version"]))),
        },
    }


def _fleet_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    # No instances: moto drops what makes them attesters, so an instance of it would prove nothing.
    aws("autoscaling").create_auto_scaling_group(
        **_fleet_shape(inputs) | {"MinSize": 0}, DesiredCapacity=0, TargetGroupARNs=inputs.get("targetGroupArns") or []
    )
    for hook in inputs["initialLifecycleHooks"]:
        aws("autoscaling").put_lifecycle_hook(
            AutoScalingGroupName=inputs["name"], LifecycleHookName=hook["name"], LifecycleTransition=hook["lifecycleTransition"],
            DefaultResult=hook["defaultResult"], HeartbeatTimeout=int(hook["heartbeatTimeout"]),
        )  # fmt: skip
    arn = aws("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[inputs["name"]])
    return inputs["name"], {"arn": arn["AutoScalingGroups"][0]["AutoScalingGroupARN"]}


def _fleet_read(aws: Any, found: str, state: Json) -> Json | None:
    held = aws("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[found])["AutoScalingGroups"]
    if not held:
        return None
    return {} if held[0]["MaxSize"] == int(state["maxSize"]) else {"maxSize": held[0]["MaxSize"]}


def _fleet_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del found, old
    aws("autoscaling").update_auto_scaling_group(**_fleet_shape(new) | {"MinSize": 0})
    return {}


def _fleet_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=found, ForceDelete=True)


def _balancer_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("elbv2").create_load_balancer(
        Name=inputs["name"], Subnets=inputs["subnets"], Scheme="internal", Type=inputs["loadBalancerType"]
    )["LoadBalancers"][0]
    return made["LoadBalancerArn"], {"arn": made["LoadBalancerArn"], "dnsName": made["DNSName"]}


def _targets_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("elbv2").create_target_group(
        Name=inputs["name"],
        Protocol=inputs["protocol"],
        Port=int(inputs["port"]),
        VpcId=inputs["vpcId"],
        TargetType="instance",
    )["TargetGroups"][0]
    return made["TargetGroupArn"], {"arn": made["TargetGroupArn"]}


def _listener_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("elbv2").create_listener(
        LoadBalancerArn=inputs["loadBalancerArn"], Protocol=inputs["protocol"], Port=int(inputs["port"]),
        DefaultActions=[{"Type": "forward", "TargetGroupArn": a["targetGroupArn"]} for a in inputs["defaultActions"]],
    )["Listeners"][0]  # fmt: skip
    return made["ListenerArn"], {"arn": made["ListenerArn"]}


def _there(service: str, call: str, member: str, answer: str) -> Callable[[Any, str, Json], Json | None]:
    def look(aws: Any, found: str, state: Json) -> Json | None:
        del state
        return {} if getattr(aws(service), call)(**{member: [found]})[answer] else None

    return look


def _call(service: str, call: str, member: str, *, many: bool = False) -> Callable[[Any, str, Json], None]:
    def drop(aws: Any, found: str, state: Json) -> None:
        del state
        getattr(aws(service), call)(**{member: [found] if many else found})

    return drop


def _put(function: Callable[[Any, Json], tuple[str, Json]]) -> Callable[[Any, str, Json, Json], Json]:
    """An update of what is put, not made."""

    def again(aws: Any, found: str, old: Json, new: Json) -> Json:
        del found, old
        return function(aws, new)[1]

    return again


def _always(aws: Any, found: str, state: Json) -> Json | None:
    return _bucket_read(aws, found, state)


def _nothing(aws: Any, found: str, state: Json) -> None:
    """Goes with its bucket."""
    del aws, found, state


KINDS: dict[str, Kind] = {
    "aws:ec2/vpc:Vpc": _simple("ec2", "create_vpc", "describe_vpcs", "Vpc", "VpcIds", "delete_vpc", "VpcId", _vpc),
    "aws:ec2/subnet:Subnet": _simple("ec2", "create_subnet", "describe_subnets", "Subnet", "SubnetIds", "delete_subnet", "SubnetId", _subnet),
    "aws:ec2/routeTable:RouteTable": _simple("ec2", "create_route_table", "describe_route_tables", "RouteTable", "RouteTableIds", "delete_route_table", "RouteTableId", lambda i: {"VpcId": i["vpcId"]}),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Kind(
        lambda aws, i: (aws("ec2").associate_route_table(SubnetId=i["subnetId"], RouteTableId=i["routeTableId"])["AssociationId"], {}),
        lambda aws, found, state: {},
        lambda aws, found, state: aws("ec2").disassociate_route_table(AssociationId=found),
    ),
    "aws:ec2/securityGroup:SecurityGroup": Kind(_group_make, _group_read, _call("ec2", "delete_security_group", "GroupId"), _group_update, frozenset({"name", "vpcId", "description"})),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Kind(_endpoint_make, _there("ec2", "describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints"), _call("ec2", "delete_vpc_endpoints", "VpcEndpointIds", many=True)),
    "aws:ec2/flowLog:FlowLog": Kind(_flow_make, _there("ec2", "describe_flow_logs", "FlowLogIds", "FlowLogs"), _call("ec2", "delete_flow_logs", "FlowLogIds", many=True)),
    "aws:ec2/launchTemplate:LaunchTemplate": Kind(_template_make, _template_read, _call("ec2", "delete_launch_template", "LaunchTemplateId"), _template_update, frozenset({"name"})),
    "aws:iam/role:Role": Kind(_role_make, lambda aws, found, state: {} if aws("iam").get_role(RoleName=found) else None, _call("iam", "delete_role", "RoleName")),
    "aws:iam/rolePolicy:RolePolicy": Kind(_role_policy_put, _role_policy_read, lambda aws, found, state: aws("iam").delete_role_policy(RoleName=state["role"], PolicyName=state["name"]), _put(_role_policy_put)),
    "aws:iam/instanceProfile:InstanceProfile": Kind(_profile_make, lambda aws, found, state: {} if aws("iam").get_instance_profile(InstanceProfileName=found) else None, _profile_drop),
    "aws:kms/key:Key": Kind(_key_make, _key_read, _key_drop, _key_update, frozenset({"customerMasterKeySpec", "keyUsage"})),
    "aws:kms/alias:Alias": Kind(_alias_make, _alias_read, _call("kms", "delete_alias", "AliasName"), _alias_update, frozenset({"name"})),
    "aws:s3/bucket:Bucket": Kind(_bucket_make, _bucket_read, _call("s3", "delete_bucket", "Bucket")),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": Kind(_block_put, _block_read, _nothing, _put(_block_put)),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": Kind(_encryption_put, _always, _nothing, _put(_encryption_put)),
    "aws:s3/bucketVersioning:BucketVersioning": Kind(_versioning_put, _always, _nothing, _put(_versioning_put)),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": Kind(_lock_put, _always, _nothing, _put(_lock_put)),
    "aws:s3/bucketPolicy:BucketPolicy": Kind(_bucket_policy_put, lambda aws, found, state: _policy(state, aws("s3").get_bucket_policy(Bucket=found)["Policy"]), _call("s3", "delete_bucket_policy", "Bucket"), _put(_bucket_policy_put)),
    "aws:cloudtrail/trail:Trail": Kind(_trail_make, _trail_read, _call("cloudtrail", "delete_trail", "Name"), _trail_update),
    "aws:cloudwatch/logGroup:LogGroup": Kind(_log_make, _log_read, _call("logs", "delete_log_group", "logGroupName"), _log_update, frozenset({"name"})),
    "aws:autoscaling/group:Group": Kind(_fleet_make, _fleet_read, _fleet_drop, _fleet_update, frozenset({"name"})),
    "aws:lb/loadBalancer:LoadBalancer": Kind(_balancer_make, _there("elbv2", "describe_load_balancers", "LoadBalancerArns", "LoadBalancers"), _call("elbv2", "delete_load_balancer", "LoadBalancerArn")),
    "aws:lb/targetGroup:TargetGroup": Kind(_targets_make, _there("elbv2", "describe_target_groups", "TargetGroupArns", "TargetGroups"), _call("elbv2", "delete_target_group", "TargetGroupArn")),
    "aws:lb/listener:Listener": Kind(_listener_make, _there("elbv2", "describe_listeners", "ListenerArns", "Listeners"), _call("elbv2", "delete_listener", "ListenerArn")),
}  # fmt: skip


class Aws:
    """Clients of one provider, made when they are needed."""

    def __init__(self, args: Json) -> None:
        self.region = args.get("region") or "eu-west-1"
        session = boto3.Session(region_name=self.region)
        roles = _decoded(args.get("assumeRoles")) or []
        self.account = session.client("sts").get_caller_identity()["Account"]
        for role in roles:
            taken = session.client("sts").assume_role(RoleArn=role["roleArn"], RoleSessionName="stand-in")[
                "Credentials"
            ]
            session = boto3.Session(taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"], self.region)
            self.account = role["roleArn"].split(":")[4]
        allowed = _decoded(args.get("allowedAccountIds")) or [self.account]
        if self.account not in allowed:
            raise ValueError(f"AWS account {self.account} is not among the allowed ones: {', '.join(allowed)}")
        self._session, self._clients = session, dict[str, Any]()

    def __call__(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service)
        return self._clients[service]


def _decoded(value: Any) -> Any:
    """Members of a provider's configuration travel as JSON text."""
    return json.loads(value) if isinstance(value, str) else value


def _marked(value: Any, *, top: bool = True) -> Any:
    """Inputs as the real provider hands them on: every object carries `__defaults`."""
    if isinstance(value, dict):
        return {name: member if name == "tags" else _marked(member, top=False) for name, member in value.items()} | {
            "__defaults": []
        }
    return [_marked(item, top=False) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items() if name != "__defaults"}
    return [_plain(item) for item in value] if isinstance(value, list) else value


class StandIn(api.Provider):
    """Pulumi's calls onto the kinds."""

    version = VERSION

    def __init__(self) -> None:
        self._args: Json = {}
        self._aws: Aws | None = None

    async def get_schema(self, request: api.GetSchemaRequest) -> api.GetSchemaResponse:
        del request
        resources = {token: {"isComponent": False} for token in KINDS}
        return api.GetSchemaResponse(json.dumps({"name": "aws", "version": VERSION, "resources": resources}))

    async def check_config(self, request: api.CheckRequest) -> api.CheckResponse:
        return api.CheckResponse(request.new_inputs)

    async def diff_config(self, request: api.DiffRequest) -> api.DiffResponse:
        del request
        return api.DiffResponse(changes=False)

    async def configure(self, request: api.ConfigureRequest) -> api.ConfigureResponse:
        self._args = plain_map(request.args)
        return api.ConfigureResponse()

    async def check(self, request: api.CheckRequest) -> api.CheckResponse:
        if _type_of(request.urn) not in KINDS:
            raise ValueError(f"the stand-in has no {_type_of(request.urn)}")
        marked = _marked(plain_map(request.new_inputs))
        return api.CheckResponse({name: _wrapped(value) for name, value in marked.items()})

    async def diff(self, request: api.DiffRequest) -> api.DiffResponse:
        kind = KINDS[_type_of(request.urn)]
        old, new = _plain(plain_map(request.old_state)), _plain(plain_map(request.new_inputs))
        changed = sorted(name for name in new if old.get(name) != new[name] and name not in request.ignore_changes)
        changed += sorted(name for name in set(old.get("__inputs", [])) - set(new))
        replaced = [name for name in changed if kind.update is None or name in kind.replace]
        detailed = {
            name: api.PropertyDiff(api.PropertyDiffKind.UPDATE_REPLACE if name in replaced else api.PropertyDiffKind.UPDATE, input_diff=True)
            for name in changed
        }  # fmt: skip
        return api.DiffResponse(
            bool(changed), replaced, delete_before_replace=bool(replaced), diffs=changed, detailed_diff=detailed
        )

    async def create(self, request: api.CreateRequest) -> api.CreateResponse:
        if request.preview:
            return api.CreateResponse("", request.properties)
        inputs = _plain(plain_map(request.properties))
        found, more = await self._run(KINDS[_type_of(request.urn)].create, inputs)
        return api.CreateResponse(found, wrap_map({**inputs, **more, "__inputs": sorted(inputs)}))

    async def read(self, request: api.ReadRequest) -> api.ReadResponse:
        state = plain_map(request.properties)
        try:
            seen = await self._run(KINDS[_type_of(request.urn)].read, request.resource_id, _plain(state))
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            seen = None
        if seen is None:
            return api.ReadResponse("", {}, {})
        inputs = plain_map(request.inputs)
        inputs |= {name: value for name, value in seen.items() if name in inputs}
        return api.ReadResponse(request.resource_id, wrap_map({**state, **seen}), wrap_map(inputs))

    async def update(self, request: api.UpdateRequest) -> api.UpdateResponse:
        if request.preview:
            return api.UpdateResponse(request.news)
        old, new = _plain(plain_map(request.olds)), _plain(plain_map(request.news))
        update = KINDS[_type_of(request.urn)].update
        assert update is not None
        more = await self._run(update, request.resource_id, old, new)
        kept = {name: value for name, value in old.items() if name not in old.get("__inputs", [])}
        return api.UpdateResponse(wrap_map({**kept, **new, **more, "__inputs": sorted(new)}))

    async def delete(self, request: api.DeleteRequest) -> None:
        try:
            await self._run(
                KINDS[_type_of(request.urn)].delete, request.resource_id, _plain(plain_map(request.properties))
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise

    async def _run(self, function: Any, *arguments: Any) -> Any:
        def work() -> Any:
            if self._aws is None:
                self._aws = Aws(self._args)
            return function(self._aws, *arguments)

        return await asyncio.get_running_loop().run_in_executor(None, partial(work))


def _wrapped(value: Any) -> PropertyValue:
    """A property value, with what is not known before other resources exist kept so."""
    if value == UNKNOWN:
        return PropertyValue(Computed())
    if isinstance(value, Mapping):
        return PropertyValue({name: _wrapped(member) for name, member in value.items()})
    if isinstance(value, list):
        return PropertyValue([_wrapped(item) for item in value])
    return wrap(value)


def _type_of(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", maxsplit=1)[-1]


class Servicer(ProviderServicer):
    """Pulumi's servicer with AWS's own words in errors."""

    async def _said(self, call: Any, request: Any, context: Any) -> Any:
        try:
            return await call(request, context)
        except (ClientError, BotoCoreError, ValueError, KeyError, TypeError) as error:
            await context.abort(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        if os.environ.get("STAND_IN_DIES_AT", "\0") in request.urn:
            os._exit(7)
        return await self._said(super().Create, request, context)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Update, request, context)

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Delete, request, context)

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Read, request, context)

    async def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Diff, request, context)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Check, request, context)


async def _serve(engine: str) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(8))
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(
        Servicer([], VERSION, StandIn(), engine_address=engine), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


def install(folder: Path, python: str) -> Path:
    """Put an executable `pulumi-resource-aws` into a folder; the folder goes onto PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    plugin = folder / "pulumi-resource-aws"
    plugin.write_text(f'#!/bin/sh\nexec "{python}" "{Path(__file__).resolve()}" "$@"\n', encoding="utf-8")
    plugin.chmod(0o755)
    return folder


if __name__ == "__main__":
    asyncio.run(_serve(next((argument for argument in sys.argv[1:] if ":" in argument), "")))
