"""Launch templates, auto-scaling groups, load balancers. Groups wait for their members as the real provider does."""

from __future__ import annotations

import os
import time
from typing import Any

from tests.plugins.aws.kind import Json, Kind, pairs, retag, tagged, tags_of, words

PATIENCE = "STAND_IN_PATIENCE"
"""Seconds that stand for a group's `waitForCapacityTimeout`; tests need not wait half an hour."""


def _data(inputs: Json) -> Json:
    meta = inputs["metadataOptions"]
    data: Json = {
        "ImageId": inputs["imageId"],
        "InstanceType": inputs["instanceType"],
        "UserData": inputs["userData"],
        "IamInstanceProfile": {"Name": inputs["iamInstanceProfile"]["name"]},
        "SecurityGroupIds": inputs["vpcSecurityGroupIds"],
        "MetadataOptions": {
            "HttpEndpoint": meta["httpEndpoint"],
            "HttpTokens": meta["httpTokens"],
            "HttpPutResponseHopLimit": int(meta["httpPutResponseHopLimit"] or 0),
            "InstanceMetadataTags": meta.get("instanceMetadataTags", "disabled"),
        },
    }
    if inputs.get("placement"):
        placed = {"tenancy": "Tenancy", "hostResourceGroupArn": "HostResourceGroupArn", "hostId": "HostId"}
        data["Placement"] = {placed[name]: value for name, value in inputs["placement"].items()}
    if inputs.get("blockDeviceMappings"):
        data["BlockDeviceMappings"] = [
            {
                "DeviceName": one["deviceName"],
                "Ebs": {
                    "Encrypted": str(one["ebs"]["encrypted"]).lower() == "true",
                    "VolumeSize": int(one["ebs"]["volumeSize"] or 0),
                    "VolumeType": one["ebs"]["volumeType"],
                },
            }
            for one in inputs["blockDeviceMappings"]
        ]
    if inputs.get("tagSpecifications"):
        data["TagSpecifications"] = [
            {"ResourceType": one["resourceType"], "Tags": pairs(one)} for one in inputs["tagSpecifications"]
        ]
    if inputs.get("enclaveOptions"):
        data["EnclaveOptions"] = {"Enabled": inputs["enclaveOptions"]["enabled"]}
    if inputs.get("cpuOptions"):
        data["CpuOptions"] = {"AmdSevSnp": inputs["cpuOptions"]["amdSevSnp"]}
    if inputs.get("keyName"):
        data["KeyName"] = inputs["keyName"]
    return data


def _data_seen(data: Json) -> Json:
    meta, profile = data.get("MetadataOptions") or {}, data.get("IamInstanceProfile") or {}
    seen: Json = {
        "imageId": data.get("ImageId"),
        "instanceType": data.get("InstanceType"),
        "userData": data.get("UserData"),
        "iamInstanceProfile": {"name": profile.get("Name")},
        "vpcSecurityGroupIds": data.get("SecurityGroupIds", []),
        "metadataOptions": {
            "httpEndpoint": meta.get("HttpEndpoint"),
            "httpTokens": meta.get("HttpTokens"),
            "httpPutResponseHopLimit": meta.get("HttpPutResponseHopLimit"),
            "instanceMetadataTags": meta.get("InstanceMetadataTags", "disabled"),
        },
        "keyName": data.get("KeyName", ""),
    }
    if data.get("Placement"):
        seen["placement"] = {"tenancy": data["Placement"].get("Tenancy", "default")}
    if data.get("BlockDeviceMappings"):
        seen["blockDeviceMappings"] = [
            {
                "deviceName": one["DeviceName"],
                "ebs": {
                    "encrypted": str(one["Ebs"].get("Encrypted", False)).lower(),
                    "volumeSize": one["Ebs"].get("VolumeSize"),
                    "volumeType": one["Ebs"].get("VolumeType"),
                },
            }
            for one in data["BlockDeviceMappings"]
        ]
    # moto mixes in the tags of the template itself.
    seen["tagSpecifications"] = [
        {"resourceType": one["ResourceType"], "tags": tags_of(one)}
        for one in data.get("TagSpecifications", [])
        if one["ResourceType"] != "launch-template"
    ]
    seen["enclaveOptions"] = {"enabled": True} if (data.get("EnclaveOptions") or {}).get("Enabled") else None
    snp = (data.get("CpuOptions") or {}).get("AmdSevSnp")
    seen["cpuOptions"] = {"amdSevSnp": snp} if snp else None
    return seen


def _template_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("ec2").create_launch_template(
        LaunchTemplateName=inputs["name"], LaunchTemplateData=_data(inputs),
        TagSpecifications=tagged("launch-template", inputs),
    )  # fmt: skip
    found = made["LaunchTemplate"]["LaunchTemplateId"]
    arn = aws.arn("ec2", f"launch-template/{found}")
    return found, {"latestVersion": 1, "defaultVersion": 1, "arn": arn}


def _template_read(aws: Any, found: str, state: Json) -> Json | None:
    held = aws("ec2").describe_launch_templates(LaunchTemplateIds=[found])["LaunchTemplates"]
    if not held:
        return None
    template = held[0]
    versions = aws("ec2").describe_launch_template_versions(LaunchTemplateId=found, Versions=["$Latest"])
    return {
        "name": template["LaunchTemplateName"],
        **_data_seen(versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]),
        "updateDefaultVersion": state.get("updateDefaultVersion", True),
        "tags": tags_of(template),
        "latestVersion": template["LatestVersionNumber"],
        "defaultVersion": template["DefaultVersionNumber"],
        "arn": aws.arn("ec2", f"launch-template/{found}"),
    }


def _template_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    retag(aws, found, old, new)
    if _data(new) == _data({**new, **{name: old[name] for name in new if name in old}}):
        return {"latestVersion": old.get("latestVersion"), "defaultVersion": old.get("defaultVersion")}
    made = aws("ec2").create_launch_template_version(LaunchTemplateId=found, LaunchTemplateData=_data(new))
    number = made["LaunchTemplateVersion"]["VersionNumber"]
    if new.get("updateDefaultVersion"):
        aws("ec2").modify_launch_template(LaunchTemplateId=found, DefaultVersion=str(number))
    return {"latestVersion": number, "defaultVersion": number}


def _template_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("ec2").delete_launch_template(LaunchTemplateId=found)


# groups


def _version(inputs: Json) -> str:
    told = inputs["launchTemplate"]["version"]
    return told if str(told).startswith("$") else str(int(float(told)))


def _shape(inputs: Json) -> Json:
    shape: Json = {
        "AutoScalingGroupName": inputs["name"],
        "MinSize": int(inputs["minSize"]),
        "MaxSize": int(inputs["maxSize"]),
        "VPCZoneIdentifier": ",".join(inputs["vpcZoneIdentifiers"]),
        "LaunchTemplate": {"LaunchTemplateId": inputs["launchTemplate"]["id"], "Version": _version(inputs)},
        "HealthCheckType": inputs.get("healthCheckType", "EC2"),
        "HealthCheckGracePeriod": int(inputs.get("healthCheckGracePeriod", 300)),
    }
    if inputs.get("desiredCapacity") is not None:
        shape["DesiredCapacity"] = int(inputs["desiredCapacity"])
    return shape


def _group_tags(inputs: Json) -> list[Json]:
    return [
        {"ResourceId": inputs["name"], "ResourceType": "auto-scaling-group", "Key": tag["key"], "Value": tag["value"],
         "PropagateAtLaunch": tag["propagateAtLaunch"]}
        for tag in inputs.get("tags") or []
    ]  # fmt: skip


def _hook(inputs: Json, hook: Json) -> Json:
    return {
        "LifecycleHookName": hook["name"],
        "LifecycleTransition": hook["lifecycleTransition"],
        "DefaultResult": hook["defaultResult"],
        "HeartbeatTimeout": int(hook["heartbeatTimeout"]),
    }


def _group_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    scaling = aws("autoscaling")
    scaling.create_auto_scaling_group(
        **_shape(inputs), TargetGroupARNs=inputs.get("targetGroupArns") or [], Tags=_group_tags(inputs),
        LifecycleHookSpecificationList=[_hook(inputs, hook) for hook in inputs.get("initialLifecycleHooks") or []],
    )  # fmt: skip
    for hook in inputs.get("initialLifecycleHooks") or []:
        # moto forgets hooks that come with a creation.
        scaling.put_lifecycle_hook(AutoScalingGroupName=inputs["name"], **_hook(inputs, hook))
    _wait(scaling, inputs)
    return inputs["name"], {"arn": _group(scaling, inputs["name"])["AutoScalingGroupARN"]}


def _wait(scaling: Any, inputs: Json) -> None:
    """Until as many members are in service as the program wants."""
    if str(inputs.get("waitForCapacityTimeout", "")).rstrip("ms") == "0":
        return
    wanted, until = int(inputs.get("desiredCapacity") or inputs["minSize"]), float(os.environ.get(PATIENCE, "2"))
    deadline = time.monotonic() + until
    while True:
        members = (_group(scaling, inputs["name"]) or {}).get("Instances", [])
        ready = [one for one in members if one["LifecycleState"] == "InService" and one["HealthStatus"] == "Healthy"]
        if len(ready) >= wanted:
            return
        if time.monotonic() > deadline:
            states = ", ".join(sorted(one["LifecycleState"] for one in members)) or "no members"
            raise ValueError(
                f"waiting for Auto Scaling Group ({inputs['name']}) capacity satisfied: timeout while waiting: "
                f"have {len(ready)} of {wanted} in service ({states}); scaling activity: the lifecycle action of "
                f"{', '.join(hook['name'] for hook in inputs.get('initialLifecycleHooks') or [])} was abandoned"
            )
        time.sleep(0.1)


def _group(scaling: Any, name: str) -> Json:
    held = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return dict(held[0]) if held else {}


def _group_read(aws: Any, found: str, state: Json) -> Json | None:
    scaling = aws("autoscaling")
    group = _group(scaling, found)
    if not group:
        return None
    return {
        "name": found,
        "minSize": group["MinSize"],
        "maxSize": group["MaxSize"],
        "desiredCapacity": group["DesiredCapacity"],
        "vpcZoneIdentifiers": [zone for zone in group.get("VPCZoneIdentifier", "").split(",") if zone],
        "launchTemplate": {
            "id": group["LaunchTemplate"]["LaunchTemplateId"],
            "version": group["LaunchTemplate"]["Version"],
        },
        "healthCheckType": group["HealthCheckType"],
        "healthCheckGracePeriod": group["HealthCheckGracePeriod"],
        "targetGroupArns": group.get("TargetGroupARNs", []),
        "tags": [
            {"key": tag["Key"], "value": tag["Value"], "propagateAtLaunch": tag["PropagateAtLaunch"]}
            for tag in group.get("Tags", [])
        ],
        # The real provider reads no hooks: those of a creation are inputs and nothing else.
        **{
            name: state[name]
            for name in ("initialLifecycleHooks", "instanceRefresh", "waitForCapacityTimeout")
            if name in state
        },
        "arn": group["AutoScalingGroupARN"],
    }  # fmt: skip


def _group_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    scaling = aws("autoscaling")
    scaling.update_auto_scaling_group(**_shape(new))
    if new.get("tags"):
        scaling.create_or_update_tags(Tags=_group_tags(new))
    before, after = set(old.get("targetGroupArns") or []), set(new.get("targetGroupArns") or [])
    if after - before:
        scaling.attach_load_balancer_target_groups(AutoScalingGroupName=found, TargetGroupARNs=sorted(after - before))
    moved = old["launchTemplate"]["id"] != new["launchTemplate"]["id"] or _version(old) != _version(new)
    if moved and new.get("instanceRefresh"):
        told = new["instanceRefresh"].get("preferences", {})
        # Begun and not waited for, as the real provider does.
        scaling.start_instance_refresh(
            AutoScalingGroupName=found,
            Strategy=new["instanceRefresh"]["strategy"],
            Preferences={
                "MinHealthyPercentage": int(told.get("minHealthyPercentage", 90)),
                "AutoRollback": bool(told.get("autoRollback")),
                "SkipMatching": bool(told.get("skipMatching")),
            },
        )
    return {}


def _group_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=found, ForceDelete=True)


def _attach(aws: Any, inputs: Json) -> tuple[str, Json]:
    name, arn = inputs["autoscalingGroupName"], inputs["lbTargetGroupArn"]
    if not _group(aws("autoscaling"), name):
        raise ValueError(f"there is no Auto Scaling Group {name}")
    aws("autoscaling").attach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=[arn])
    return f"{name}-{arn}", {}


def _attached(aws: Any, found: str, state: Json) -> Json | None:
    del found
    group = _group(aws("autoscaling"), state["autoscalingGroupName"])
    if state["lbTargetGroupArn"] not in group.get("TargetGroupARNs", []):
        return None
    return {name: state[name] for name in ("autoscalingGroupName", "lbTargetGroupArn")}


def _detach(aws: Any, found: str, state: Json) -> None:
    del found
    if _group(aws("autoscaling"), state["autoscalingGroupName"]):
        aws("autoscaling").detach_load_balancer_target_groups(
            AutoScalingGroupName=state["autoscalingGroupName"], TargetGroupARNs=[state["lbTargetGroupArn"]]
        )


# load balancers

_CROSS = "load_balancing.cross_zone.enabled"


def _balancer_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("elbv2").create_load_balancer(
        Name=inputs["name"], Subnets=inputs["subnets"], Scheme="internal" if inputs.get("internal") else "internet-facing",
        Type=inputs["loadBalancerType"], **({"Tags": pairs(inputs)} if pairs(inputs) else {}),
        **({"SecurityGroups": inputs["securityGroups"]} if inputs.get("securityGroups") else {}),
    )["LoadBalancers"][0]  # fmt: skip
    _balancer_attributes(aws, made["LoadBalancerArn"], inputs)
    return made["LoadBalancerArn"], {
        "arn": made["LoadBalancerArn"], "dnsName": made["DNSName"], "zoneId": made["CanonicalHostedZoneId"],
    }  # fmt: skip


def _balancer_attributes(aws: Any, arn: str, inputs: Json) -> None:
    wanted = {
        _CROSS: str(bool(inputs.get("enableCrossZoneLoadBalancing"))).lower(),
        "deletion_protection.enabled": str(bool(inputs.get("enableDeletionProtection"))).lower(),
    }
    aws("elbv2").modify_load_balancer_attributes(
        LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value} for key, value in wanted.items()]
    )


def _balancer_read(aws: Any, found: str, state: Json) -> Json | None:
    balancer = aws("elbv2").describe_load_balancers(LoadBalancerArns=[found])["LoadBalancers"][0]
    told = aws("elbv2").describe_load_balancer_attributes(LoadBalancerArn=found)["Attributes"]
    attributes = {one["Key"]: one["Value"] for one in told}
    return {
        "name": balancer["LoadBalancerName"],
        "internal": balancer["Scheme"] == "internal",
        "loadBalancerType": balancer["Type"],
        "subnets": [zone["SubnetId"] for zone in balancer["AvailabilityZones"]],
        "securityGroups": balancer.get("SecurityGroups", []) if state.get("securityGroups") else [],
        "enableCrossZoneLoadBalancing": attributes.get(_CROSS) == "true",
        "enableDeletionProtection": attributes.get("deletion_protection.enabled") == "true",
        "tags": _elb_tags(aws, found),
        "arn": found,
        "dnsName": balancer["DNSName"],
        "zoneId": balancer["CanonicalHostedZoneId"],
    }


def _elb_tags(aws: Any, found: str) -> dict[str, str]:
    told = aws("elbv2").describe_tags(ResourceArns=[found])["TagDescriptions"]
    return tags_of(told[0]) if told else {}


def _elb_retag(aws: Any, found: str, old: Json, new: Json) -> None:
    if gone := [key for key in old.get("tags") or {} if key not in (new.get("tags") or {})]:
        aws("elbv2").remove_tags(ResourceArns=[found], TagKeys=gone)
    if pairs(new):
        aws("elbv2").add_tags(ResourceArns=[found], Tags=pairs(new))


def _balancer_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    if sorted(old.get("subnets") or []) != sorted(new["subnets"]):
        aws("elbv2").set_subnets(LoadBalancerArn=found, Subnets=new["subnets"])
    _balancer_attributes(aws, found, new)
    _elb_retag(aws, found, old, new)
    return {}


def _balancer_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("elbv2").delete_load_balancer(LoadBalancerArn=found)


def _health(inputs: Json) -> Json:
    check = inputs.get("healthCheck") or {}
    names = {"protocol": "HealthCheckProtocol", "port": "HealthCheckPort", "path": "HealthCheckPath"}
    return {member: str(check[name]) for name, member in names.items() if check.get(name)}


def _targets_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("elbv2").create_target_group(
        Name=inputs["name"], Protocol=inputs["protocol"], Port=int(inputs["port"]), VpcId=inputs["vpcId"],
        TargetType=inputs.get("targetType", "instance"), **_health(inputs),
        **({"Tags": pairs(inputs)} if pairs(inputs) else {}),
    )["TargetGroups"][0]  # fmt: skip
    _target_attributes(aws, made["TargetGroupArn"], inputs)
    return made["TargetGroupArn"], {"arn": made["TargetGroupArn"]}


def _target_attributes(aws: Any, arn: str, inputs: Json) -> None:
    told = inputs.get("stickiness") or {"enabled": False}
    wanted = {"stickiness.enabled": str(bool(told["enabled"])).lower()}
    if told.get("type"):
        wanted["stickiness.type"] = told["type"]
    attributes = [{"Key": key, "Value": value} for key, value in wanted.items()]
    aws("elbv2").modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes)


def _stickiness(aws: Any, arn: str) -> Json:
    held = aws("elbv2").describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    told = {one["Key"]: one["Value"] for one in held}
    return {"type": told.get("stickiness.type", ""), "enabled": told.get("stickiness.enabled") == "true"}


def _targets_read(aws: Any, found: str, state: Json) -> Json | None:
    group = aws("elbv2").describe_target_groups(TargetGroupArns=[found])["TargetGroups"][0]
    names = {"protocol": "HealthCheckProtocol", "port": "HealthCheckPort", "path": "HealthCheckPath"}
    asked = state.get("healthCheck") or {"protocol": ""}
    return {
        "name": group["TargetGroupName"],
        "port": group["Port"],
        "protocol": group["Protocol"],
        "vpcId": group["VpcId"],
        "targetType": group["TargetType"],
        "healthCheck": {name: group.get(names[name]) for name in asked if name in names},
        **({"stickiness": _stickiness(aws, found)} if state.get("stickiness") else {}),
        "tags": _elb_tags(aws, found),
        "arn": found,
    }


def _targets_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    aws("elbv2").modify_target_group(TargetGroupArn=found, **_health(new))
    _target_attributes(aws, found, new)
    _elb_retag(aws, found, old, new)
    return {}


def _targets_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("elbv2").delete_target_group(TargetGroupArn=found)


def _actions(inputs: Json) -> list[Json]:
    return [{"Type": one["type"], "TargetGroupArn": one["targetGroupArn"]} for one in inputs["defaultActions"]]


def _listener_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("elbv2").create_listener(
        LoadBalancerArn=inputs["loadBalancerArn"], Protocol=inputs["protocol"], Port=int(inputs["port"]),
        DefaultActions=_actions(inputs), **({"Tags": pairs(inputs)} if pairs(inputs) else {}),
    )["Listeners"][0]  # fmt: skip
    return made["ListenerArn"], {"arn": made["ListenerArn"]}


def _listener_read(aws: Any, found: str, state: Json) -> Json | None:
    listener = aws("elbv2").describe_listeners(ListenerArns=[found])["Listeners"][0]
    actions = []
    for one in listener["DefaultActions"]:
        groups = (one.get("ForwardConfig") or {}).get("TargetGroups") or [{}]
        actions.append(
            {"type": one["Type"], "targetGroupArn": one.get("TargetGroupArn") or groups[0].get("TargetGroupArn")}
        )
    return {
        "loadBalancerArn": listener["LoadBalancerArn"],
        "port": listener["Port"],
        "protocol": listener["Protocol"],
        "defaultActions": actions,
        "tags": _elb_tags(aws, found) if state.get("tags") else {},
        "arn": found,
    }


def _listener_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del old
    aws("elbv2").modify_listener(
        ListenerArn=found, Port=int(new["port"]), Protocol=new["protocol"], DefaultActions=_actions(new)
    )
    return {}


def _listener_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("elbv2").delete_listener(ListenerArn=found)


def _record(inputs: Json, action: str) -> Json:
    shape: Json = {"Name": inputs["name"], "Type": inputs["type"]}
    if inputs.get("aliases"):
        one = inputs["aliases"][0]
        shape["AliasTarget"] = {
            "HostedZoneId": one["zoneId"],
            "DNSName": one["name"],
            "EvaluateTargetHealth": bool(one["evaluateTargetHealth"]),
        }
    else:
        shape |= {"TTL": int(inputs["ttl"]), "ResourceRecords": [{"Value": value} for value in inputs["records"]]}
    return {"Changes": [{"Action": action, "ResourceRecordSet": shape}]}


def _record_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    action = "UPSERT" if inputs.get("allowOverwrite") else "CREATE"
    aws("route53").change_resource_record_sets(HostedZoneId=inputs["zoneId"], ChangeBatch=_record(inputs, action))
    return f"{inputs['zoneId']}_{inputs['name']}_{inputs['type']}", {"fqdn": inputs["name"]}


def _record_read(aws: Any, found: str, state: Json) -> Json | None:
    zone, name, kind = found.split("_")
    for page in aws("route53").get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone):
        for one in page["ResourceRecordSets"]:
            if one["Name"].rstrip(".") == name.rstrip(".") and one["Type"] == kind:
                alias = one.get("AliasTarget")
                return {
                    "zoneId": zone,
                    "name": name,
                    "type": kind,
                    "aliases": [
                        {
                            "name": alias["DNSName"].rstrip("."),
                            "zoneId": alias["HostedZoneId"],
                            "evaluateTargetHealth": alias["EvaluateTargetHealth"],
                        }
                    ]
                    if alias
                    else [],
                    "records": [value["Value"] for value in one.get("ResourceRecords") or []],
                    "allowOverwrite": state.get("allowOverwrite", False),
                }
    return None


def _record_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del found, old
    aws("route53").change_resource_record_sets(HostedZoneId=new["zoneId"], ChangeBatch=_record(new, "UPSERT"))
    return {}


def _record_drop(aws: Any, found: str, state: Json) -> None:
    del found
    aws("route53").change_resource_record_sets(HostedZoneId=state["zoneId"], ChangeBatch=_record(state, "DELETE"))


KINDS: dict[str, Kind] = {
    "aws:route53/record:Record": Kind(
        _record_make,
        _record_read,
        _record_drop,
        words("zoneId name type aliases records ttl allowOverwrite"),
        _record_update,
        words("zoneId name type"),
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": Kind(
        _template_make, _template_read, _template_drop,
        words("name imageId instanceType userData iamInstanceProfile vpcSecurityGroupIds metadataOptions placement "
              "blockDeviceMappings tagSpecifications enclaveOptions cpuOptions keyName updateDefaultVersion tags"),
        _template_update, words("name"),
    ),
    "aws:autoscaling/group:Group": Kind(
        _group_make, _group_read, _group_drop,
        words("name minSize maxSize desiredCapacity vpcZoneIdentifiers launchTemplate healthCheckType "
              "healthCheckGracePeriod targetGroupArns initialLifecycleHooks instanceRefresh waitForCapacityTimeout tags"),
        _group_update, words("name initialLifecycleHooks"),
    ),
    "aws:autoscaling/attachment:Attachment": Kind(
        _attach, _attached, _detach, words("autoscalingGroupName lbTargetGroupArn"), None,
        words("autoscalingGroupName lbTargetGroupArn"),
    ),
    "aws:lb/loadBalancer:LoadBalancer": Kind(
        _balancer_make, _balancer_read, _balancer_drop,
        words("name internal loadBalancerType subnets securityGroups enableCrossZoneLoadBalancing "
              "enableDeletionProtection tags"),
        _balancer_update, words("name internal loadBalancerType"),
    ),
    "aws:lb/targetGroup:TargetGroup": Kind(
        _targets_make, _targets_read, _targets_drop, words("name port protocol vpcId targetType healthCheck stickiness tags"),
        _targets_update, words("name port protocol vpcId targetType"),
    ),
    "aws:lb/listener:Listener": Kind(
        _listener_make, _listener_read, _listener_drop,
        words("loadBalancerArn port protocol defaultActions tags"), _listener_update, words("loadBalancerArn"),
    ),
}  # fmt: skip

__all__ = ["KINDS", "PATIENCE"]
