"""How launch templates, groups and load balancers of AWS are told: one function a resource type, over what was read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qnsp_policy.pipeline.world.aws_seen import UNREAD, Extra, Found, Json, Seen, same, tags_of
from qnsp_policy.pipeline.world.observed import Concern

_ATTRIBUTES = {
    "enableCrossZoneLoadBalancing": "load_balancing.cross_zone.enabled",
    "enableDeletionProtection": "deletion_protection.enabled",
}


def template_data(data: Json) -> dict[str, Any]:
    """What a version of a launch template starts, by the engine's names."""
    meta, profile = data.get("MetadataOptions") or {}, data.get("IamInstanceProfile") or {}
    seen: dict[str, Any] = {
        "imageId": data.get("ImageId"),
        "instanceType": data.get("InstanceType"),
        "userData": data.get("UserData"),
        "iamInstanceProfile": {"name": profile.get("Name") or str(profile.get("Arn", "")).rpartition("/")[2]},
        "vpcSecurityGroupIds": data.get("SecurityGroupIds") or [],
        "metadataOptions": {
            "httpEndpoint": meta.get("HttpEndpoint"),
            "httpTokens": meta.get("HttpTokens"),
            "httpPutResponseHopLimit": meta.get("HttpPutResponseHopLimit"),
            "instanceMetadataTags": meta.get("InstanceMetadataTags") or "disabled",
        },
        "keyName": data.get("KeyName"),
        "placement": {"tenancy": (data.get("Placement") or {}).get("Tenancy") or "default"},
        "tagSpecifications": UNREAD,
        "updateDefaultVersion": UNREAD,
    }
    if host := (data.get("Placement") or {}).get("HostResourceGroupArn"):
        seen["placement"]["hostResourceGroupArn"] = host
    seen["blockDeviceMappings"] = [
        {
            "deviceName": one["DeviceName"],
            "ebs": {
                "encrypted": one["Ebs"].get("Encrypted", False),
                "volumeSize": one["Ebs"].get("VolumeSize"),
                "volumeType": one["Ebs"].get("VolumeType"),
            },
        }
        for one in data.get("BlockDeviceMappings") or ()
    ]
    seen["enclaveOptions"] = {"enabled": (data.get("EnclaveOptions") or {}).get("Enabled", False)}
    seen["cpuOptions"] = {"amdSevSnp": (data.get("CpuOptions") or {}).get("AmdSevSnp")}
    return seen


def launch_template(wanted: Json, seen: Seen, known: Json) -> Found | None:
    """The version that its group starts; versions beside it are told too."""
    found = seen["launch templates"].get(wanted["name"])
    if found is None:
        return None
    versions: dict[str, Json] = found["versions"]
    latest, default, started = str(found["latest"]), str(found["default"]), known.get("started", {}).get(wanted["name"])
    chosen = started if started in versions else latest
    extras = []
    if latest != chosen and _differs(wanted, versions[latest]):
        extras.append(Extra(f"its version {latest}, which no plan holds, starts something else", got=latest))
    if default != latest:
        extras.append(Extra(f"its default version is {default}, its latest {latest}", expected=latest, got=default))
    data = versions.get(chosen, {})
    if data.get("KeyName") and not wanted.get("keyName"):
        extras.append(
            Extra(f"who holds the key pair {data['KeyName']} may log in to what it starts", got=data["KeyName"])
        )
    inputs = {"name": wanted["name"], **template_data(data), "tags": tags_of(found["template"])}
    outputs = {"id": found["template"]["LaunchTemplateId"], "latestVersion": UNREAD if started is None else started}
    return Found(outputs, inputs, tuple(extras))


def _differs(wanted: Json, data: Json) -> bool:
    told = template_data(data)
    return any(not same(value, told[name]) for name, value in wanted.items() if name in told and not _linked(value))


def _linked(value: Any) -> bool:
    return value is UNREAD or (isinstance(value, list | tuple) and any(item is UNREAD for item in value))


def group(wanted: Json, seen: Seen, known: Json) -> Found | None:
    """A group of members, who they are, and the hook that keeps those out that did not attest."""
    del known
    found = seen["groups"].get(wanted["name"])
    if found is None:
        return None
    started = found.get("LaunchTemplate") or {}
    hooks = [
        {
            "name": one["LifecycleHookName"],
            "lifecycleTransition": one["LifecycleTransition"],
            "defaultResult": one["DefaultResult"],
            "heartbeatTimeout": one["HeartbeatTimeout"],
        }
        for one in seen[f"hooks:{wanted['name']}"]
    ]
    inputs: dict[str, Any] = {
        "name": found["AutoScalingGroupName"],
        "minSize": found["MinSize"],
        "maxSize": found["MaxSize"],
        "desiredCapacity": found["DesiredCapacity"],
        "vpcZoneIdentifiers": [zone for zone in (found.get("VPCZoneIdentifier") or "").split(",") if zone],
        "launchTemplate": {"id": started.get("LaunchTemplateId"), "version": UNREAD},
        "healthCheckType": found["HealthCheckType"],
        "healthCheckGracePeriod": found["HealthCheckGracePeriod"],
        "targetGroupArns": found.get("TargetGroupARNs") or [],
        "initialLifecycleHooks": hooks,
        "tags": [
            {"key": tag["Key"], "value": tag["Value"], "propagateAtLaunch": tag["PropagateAtLaunch"]}
            for tag in found.get("Tags") or ()
            if not tag["Key"].startswith("aws:")
        ],
        "instanceRefresh": UNREAD,
        "waitForCapacityTimeout": UNREAD,
    }
    extras = (*_members(wanted, found, seen), *_running(found, seen))
    return Found({"id": found["AutoScalingGroupName"]}, inputs, extras)


def _running(found: Json, seen: Seen) -> Iterator[Extra]:
    """What somebody changed of members that run: each is held against the version of the template that started it."""
    machines = {one["InstanceId"]: one for one in seen["instances"]}
    templates = {one["template"]["LaunchTemplateId"]: one["versions"] for one in seen["launch templates"].values()}
    for member in found.get("Instances") or ():
        name, machine = member["InstanceId"], machines.get(member["InstanceId"])
        by = member.get("LaunchTemplate") or {}
        data = templates.get(str(by.get("LaunchTemplateId")), {}).get(str(by.get("Version")))
        if machine is None:
            continue
        if machine.get("PublicIpAddress"):
            yield Extra(
                f"member {name} has the public address {machine['PublicIpAddress']}", got=machine["PublicIpAddress"]
            )
        if data is None:
            continue
        wanted, meta = template_data(data), machine.get("MetadataOptions") or {}
        groups = sorted(group["GroupId"] for group in machine.get("SecurityGroups") or ())
        if groups != sorted(wanted["vpcSecurityGroupIds"]):
            yield Extra(
                f"member {name} stands behind {', '.join(groups) or 'no group'}, not behind its fleet's",
                got=", ".join(groups),
            )
        profile = str((machine.get("IamInstanceProfile") or {}).get("Arn", "")).rpartition("/")[2]
        if profile and profile != wanted["iamInstanceProfile"]["name"]:
            yield Extra(f"member {name} was given the role of profile {profile}", got=profile)
        if machine.get("KeyName") and not wanted["keyName"]:
            yield Extra(
                f"who holds the key pair {machine['KeyName']} may log in to member {name}", got=machine["KeyName"]
            )
        for asked, told in (("httpTokens", "HttpTokens"), ("httpPutResponseHopLimit", "HttpPutResponseHopLimit"),
                            ("httpEndpoint", "HttpEndpoint")):  # fmt: skip
            if told in meta and not same(wanted["metadataOptions"][asked], meta[told]):
                text = f"metadata of member {name}: {asked} is {meta[told]}, started with {wanted['metadataOptions'][asked]}"
                yield Extra(text, expected=str(wanted["metadataOptions"][asked]), got=str(meta[told]))


def _members(wanted: Json, found: Json, seen: Seen) -> Iterator[Extra]:
    members, started = found.get("Instances") or (), found.get("LaunchTemplate") or {}
    for member in members:
        one = member.get("LaunchTemplate") or {}
        if one.get("LaunchTemplateId") != started.get("LaunchTemplateId"):
            yield Extra(
                f"member {member['InstanceId']} was not started from its template",
                got=str(one.get("LaunchTemplateName")),
            )
        elif str(started.get("Version")).isdigit() and str(one.get("Version")) != str(started.get("Version")):
            text = f"member {member['InstanceId']} runs version {one.get('Version')} of its template, not {started.get('Version')}"
            yield Extra(text, Concern.AVAILABILITY, str(started.get("Version")), str(one.get("Version")))
    serving = [m for m in members if m["LifecycleState"] == "InService" and m["HealthStatus"] == "Healthy"]
    if len(serving) < int(wanted["minSize"]):
        states = ", ".join(sorted({f"{m['LifecycleState']}/{m['HealthStatus']}" for m in members})) or "no members"
        text = f"{len(serving)} of {wanted['minSize']} members are in service ({states})"
        yield Extra(text, Concern.AVAILABILITY, str(wanted["minSize"]), str(len(serving)))
        for refresh in seen[f"refreshes:{wanted['name']}"][:1]:
            if refresh["Status"] in {"Failed", "RollbackSuccessful", "RollbackFailed", "Cancelled"}:
                yield Extra(
                    f"its last rollout ended {refresh['Status']}: {refresh.get('StatusReason', '')}",
                    Concern.AVAILABILITY,
                )
    stopped = sorted(process["ProcessName"] for process in found.get("SuspendedProcesses") or ())
    if stopped:
        yield Extra(f"it stands still: {', '.join(stopped)} suspended", Concern.AVAILABILITY, got=", ".join(stopped))


def attachment(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    held = seen["groups"].get(wanted["autoscalingGroupName"]) or {}
    arn = wanted["lbTargetGroupArn"]
    return Found({}, dict(wanted)) if arn is UNREAD or arn in (held.get("TargetGroupARNs") or ()) else None


def load_balancer(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    found = seen["load balancers"].get(wanted["name"])
    if found is None:
        return None
    arn = found["LoadBalancerArn"]
    told = {one["Key"]: one["Value"] for one in seen[f"load balancer attributes:{arn}"]}
    inputs = {
        "name": found["LoadBalancerName"],
        "internal": found["Scheme"] == "internal",
        "loadBalancerType": found["Type"],
        "subnets": [zone["SubnetId"] for zone in found["AvailabilityZones"]],
        "securityGroups": (found.get("SecurityGroups") or []) if wanted.get("securityGroups") else UNREAD,
        **{name: told.get(attribute) == "true" for name, attribute in _ATTRIBUTES.items()},
        "tags": UNREAD,
    }
    outputs = {"id": arn, "arn": arn, "dnsName": found["DNSName"], "zoneId": found.get("CanonicalHostedZoneId")}
    ports = {str(port) for port in seen["declared ports"].get(wanted["name"], ())}
    more = [one for one in seen[f"listeners:{arn}"] if str(one["Port"]) not in ports]
    extras = [
        Extra(
            f"it listens on port {one['Port']} ({one['Protocol']}), which no plan holds",
            got=str(one["Port"]),
            by_hand=True,
        )
        for one in more
    ]
    return Found(outputs, inputs, tuple(extras))


def target_group(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    found = seen["target groups"].get(wanted["name"])
    if found is None:
        return None
    arn = found["TargetGroupArn"]
    checks = {"protocol": "HealthCheckProtocol", "port": "HealthCheckPort", "path": "HealthCheckPath"}
    asked = wanted.get("healthCheck") or {}
    told = {one["Key"]: one["Value"] for one in seen[f"target group attributes:{arn}"]}
    inputs = {
        "name": found["TargetGroupName"],
        "port": found["Port"],
        "protocol": found["Protocol"],
        "vpcId": found["VpcId"],
        "targetType": found["TargetType"],
        "healthCheck": {name: found.get(checks[name]) for name in asked if name in checks},
        "stickiness": {"type": told.get("stickiness.type", ""), "enabled": told.get("stickiness.enabled") == "true"},
        "tags": UNREAD,
    }
    return Found({"id": arn, "arn": arn}, inputs)


def listener(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    if wanted["loadBalancerArn"] is UNREAD:
        return None
    for one in seen[f"listeners:{wanted['loadBalancerArn']}"]:
        if str(one["Port"]) == str(int(wanted["port"])):
            actions = []
            for action in one["DefaultActions"]:
                groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or [{}]
                target = action.get("TargetGroupArn") or groups[0].get("TargetGroupArn")
                actions.append({"type": action["Type"], "targetGroupArn": target})
            inputs = {
                "loadBalancerArn": one["LoadBalancerArn"],
                "port": one["Port"],
                "protocol": one["Protocol"],
                "defaultActions": actions,
                "tags": UNREAD,
            }
            return Found({"id": one["ListenerArn"], "arn": one["ListenerArn"]}, inputs)
    return None


def name_record(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    for one in seen[f"names:{wanted['zoneId']}"]:
        if one["Name"].rstrip(".") == str(wanted["name"]).rstrip(".") and one["Type"] == wanted["type"]:
            alias = one.get("AliasTarget") or {}
            told = {
                # AWS answers in lower case, some answers with `dualstack.` in front.
                "name": str(alias.get("DNSName", "")).rstrip(".").removeprefix("dualstack.").lower(),
                "zoneId": alias.get("HostedZoneId"),
                "evaluateTargetHealth": alias.get("EvaluateTargetHealth", False),
            }
            inputs = {
                "zoneId": wanted["zoneId"],
                "name": wanted["name"],
                "type": one["Type"],
                "aliases": [told] if alias else [],
                "records": [value["Value"] for value in one.get("ResourceRecords") or ()],
                "allowOverwrite": UNREAD,
            }
            return Found({}, inputs)
    return None


__all__ = [
    "attachment",
    "group",
    "launch_template",
    "listener",
    "load_balancer",
    "name_record",
    "target_group",
    "template_data",
]
