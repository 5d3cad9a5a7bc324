"""Which IAM actions it takes to make, change and read each resource type on AWS that our programs use: values only.

What the provider of AWS calls for a type, as far as its documentation and its errors tell; asked of IAM by `plan --preflight`
and written down in docs/howto/aws.md for whoever makes the two roles. A type that is missing here is told, never passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEYS = ("aws:kms/key:Key", "aws:kms/alias:Alias")
"""Made by the key administrator's role; everything else by the engine's."""


def _ec2(*names: str) -> tuple[str, ...]:
    return tuple(f"ec2:{name}" for name in (*names, "CreateTags"))


def _s3(*names: str) -> tuple[str, ...]:
    return tuple(f"s3:{name}" for name in names)


ACTIONS: Mapping[str, tuple[str, ...]] = {
    "aws:ec2/vpc:Vpc": _ec2("CreateVpc", "ModifyVpcAttribute", "DescribeVpcs", "DescribeVpcAttribute"),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _ec2(
        "DescribeSecurityGroups", "RevokeSecurityGroupEgress", "RevokeSecurityGroupIngress"
    ),
    "aws:ec2/subnet:Subnet": _ec2("CreateSubnet", "ModifySubnetAttribute", "DescribeSubnets"),
    "aws:ec2/routeTable:RouteTable": _ec2("CreateRouteTable", "DescribeRouteTables"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": ("ec2:AssociateRouteTable", "ec2:DescribeRouteTables"),
    "aws:ec2/securityGroup:SecurityGroup": _ec2(
        "CreateSecurityGroup", "AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress",
        "RevokeSecurityGroupEgress", "DescribeSecurityGroups", "DescribeNetworkInterfaces",
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _ec2(
        "CreateVpcEndpoint", "ModifyVpcEndpoint", "DescribeVpcEndpoints", "DescribePrefixLists"
    ),
    "aws:ec2/flowLog:FlowLog": (*_ec2("CreateFlowLogs", "DescribeFlowLogs"), "iam:PassRole"),
    "aws:ec2/launchTemplate:LaunchTemplate": _ec2(
        "CreateLaunchTemplate", "CreateLaunchTemplateVersion", "ModifyLaunchTemplate", "DescribeLaunchTemplates",
        "DescribeLaunchTemplateVersions",
    ),
    "aws:autoscaling/group:Group": (
        "autoscaling:CreateAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup", "autoscaling:PutLifecycleHook",
        "autoscaling:StartInstanceRefresh", "autoscaling:CreateOrUpdateTags", "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeInstanceRefreshes", "autoscaling:DescribeLifecycleHooks",
        "autoscaling:DescribeScalingActivities", "ec2:RunInstances", "iam:PassRole",
    ),
    "aws:autoscaling/attachment:Attachment": (
        "autoscaling:AttachLoadBalancerTargetGroups", "autoscaling:DescribeAutoScalingGroups",
    ),
    "aws:cloudtrail/trail:Trail": (
        "cloudtrail:CreateTrail", "cloudtrail:UpdateTrail", "cloudtrail:StartLogging", "cloudtrail:PutEventSelectors",
        "cloudtrail:AddTags",
        "cloudtrail:DescribeTrails", "cloudtrail:GetTrailStatus", "cloudtrail:GetEventSelectors", "cloudtrail:ListTags",
    ),
    "aws:cloudwatch/logGroup:LogGroup": (
        "logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource", "logs:DescribeLogGroups",
        "logs:ListTagsForResource",
    ),
    "aws:iam/role:Role": (
        "iam:CreateRole", "iam:TagRole", "iam:UpdateRole", "iam:UpdateAssumeRolePolicy", "iam:GetRole", "iam:ListRolePolicies",
        "iam:ListAttachedRolePolicies",
    ),
    "aws:iam/rolePolicy:RolePolicy": ("iam:PutRolePolicy", "iam:GetRolePolicy"),
    "aws:iam/instanceProfile:InstanceProfile": (
        "iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile", "iam:TagInstanceProfile", "iam:GetInstanceProfile",
        "iam:PassRole",
    ),
    "aws:kms/key:Key": (
        "kms:CreateKey", "kms:TagResource", "kms:PutKeyPolicy", "kms:UpdateKeyDescription", "kms:DescribeKey", "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus", "kms:ListResourceTags",
    ),
    "aws:kms/alias:Alias": ("kms:CreateAlias", "kms:UpdateAlias", "kms:ListAliases"),
    "aws:lb/loadBalancer:LoadBalancer": (
        "elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:ModifyLoadBalancerAttributes",
        "elasticloadbalancing:AddTags", "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeLoadBalancerAttributes", "elasticloadbalancing:DescribeTags",
    ),
    "aws:lb/targetGroup:TargetGroup": (
        "elasticloadbalancing:CreateTargetGroup", "elasticloadbalancing:ModifyTargetGroup",
        "elasticloadbalancing:ModifyTargetGroupAttributes", "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetGroupAttributes",
    ),
    "aws:lb/listener:Listener": (
        "elasticloadbalancing:CreateListener", "elasticloadbalancing:ModifyListener",
        "elasticloadbalancing:DescribeListeners",
    ),
    "aws:route53/record:Record": (
        "route53:ChangeResourceRecordSets", "route53:GetChange", "route53:GetHostedZone", "route53:ListResourceRecordSets",
    ),
    "aws:s3/bucket:Bucket": _s3(
        "CreateBucket", "PutBucketTagging", "PutBucketObjectLockConfiguration", "ListBucket", "GetBucketTagging",
        "GetBucketObjectLockConfiguration",
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _s3(
        "PutBucketPublicAccessBlock", "GetBucketPublicAccessBlock"
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _s3(
        "PutEncryptionConfiguration", "GetEncryptionConfiguration"
    ),
    "aws:s3/bucketVersioning:BucketVersioning": _s3("PutBucketVersioning", "GetBucketVersioning"),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": _s3(
        "PutBucketObjectLockConfiguration", "GetBucketObjectLockConfiguration"
    ),
    "aws:s3/bucketPolicy:BucketPolicy": _s3("PutBucketPolicy", "GetBucketPolicy"),
}  # fmt: skip


def names_of(kind: str, inputs: Mapping[str, Any]) -> list[str]:
    """ARNs of what a unit holds of one type, ids that AWS draws left as `*`; empty where its actions know no resource of ours."""
    platform = inputs["platform"]
    partition, account, region = platform.get("partition", "aws"), platform["account"], platform["region"]
    foundation, fleet = inputs.get("foundation") or {}, inputs.get("fleet") or {}
    here = f"arn:{partition}:{{}}:{region}:{account}:"
    iam = f"arn:{partition}:iam::{account}:"
    path, roles = foundation.get("path", "/"), [str(role["name"]) for role in foundation.get("roles", ())]
    match kind.split(":")[1]:
        case "iam/role" | "iam/rolePolicy":
            return [f"{iam}role{path}{name}" for name in roles]
        case "iam/instanceProfile":
            return [f"{iam}instance-profile{path}{name}" for name in roles] + [
                f"{iam}role{path}{name}" for name in roles
            ]
        case "s3/bucket" | "s3/bucketPolicy" | "s3/bucketPublicAccessBlock" | "s3/bucketVersioning":
            buckets = [foundation[part]["bucket"] for part in ("evidence", "trail") if part in foundation]
            return [f"arn:{partition}:s3:::{name}" for name in buckets]
        case "s3/bucketServerSideEncryptionConfiguration" | "s3/bucketObjectLockConfiguration":
            buckets = [foundation[part]["bucket"] for part in ("evidence", "trail") if part in foundation]
            return [f"arn:{partition}:s3:::{name}" for name in buckets]
        case "cloudtrail/trail":
            return [str(foundation["trail"]["arn"])] if "trail" in foundation else []
        case "cloudwatch/logGroup":
            groups = [fleet.get("logGroup"), (foundation.get("flowLogs") or {}).get("group")]
            return [f"{here.format('logs')}log-group:{name}" for name in groups if name]
        case "autoscaling/group" | "autoscaling/attachment":
            group = fleet.get("group") or inputs.get("group")
            return [f"{here.format('autoscaling')}autoScalingGroup:*:autoScalingGroupName/{group}"] if group else []
        case "kms/alias":
            aliases = [alias for key in inputs.get("keys") or () for alias in key["aliases"]]
            return [f"{here.format('kms')}{alias}" for alias in aliases] + [f"{here.format('kms')}key/*"]
        case "kms/key":
            return [f"{here.format('kms')}key/*"]
        case "lb/loadBalancer" | "lb/listener":
            name = (inputs.get("balancer") or {}).get("name")
            return [f"{here.format('elasticloadbalancing')}loadbalancer/net/{name}/*"] if name else []
        case "lb/targetGroup":
            name = (inputs.get("balancer") or {}).get("name")
            return [f"{here.format('elasticloadbalancing')}targetgroup/{name}/*"] if name else []
    return []


def passed_roles(inputs: Mapping[str, Any]) -> list[str]:
    """ARNs of the roles that a unit hands to services of AWS."""
    foundation, fleet, platform = inputs.get("foundation") or {}, inputs.get("fleet") or {}, inputs["platform"]
    found = [str(fleet["roleArn"])] if "roleArn" in fleet else []
    if "name" in foundation:
        start = f"arn:{platform.get('partition', 'aws')}:iam::{platform['account']}:role{foundation['path']}"
        found += [f"{start}{role['name']}" for role in foundation["roles"]]
        found.append(f"{start}{foundation['name']}-flow-logs"[: len(start) + 64])
    return found


__all__ = ["ACTIONS", "KEYS", "names_of", "passed_roles"]
