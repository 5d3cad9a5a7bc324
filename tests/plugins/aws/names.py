"""What the stand-in has beside: the default security group of a network, and records of Route 53."""

from __future__ import annotations

from typing import Any

from tests.plugins.aws.kind import Json, Kind, retag, words
from tests.plugins.aws.network import _group_rules, _rules_seen


def _default_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    """Takes over the group that came with the network, as it is wanted; nothing is made."""
    wanted = [{"Name": "vpc-id", "Values": [inputs["vpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    found = aws("ec2").describe_security_groups(Filters=wanted)["SecurityGroups"][0]["GroupId"]
    _group_rules(aws("ec2"), found, inputs)
    return found, {}


def _default_read(aws: Any, found: str, state: Json) -> Json | None:
    group = aws("ec2").describe_security_groups(GroupIds=[found])["SecurityGroups"][0]
    return {
        "vpcId": group["VpcId"],
        "ingress": _rules_seen(group["IpPermissions"]),
        "egress": _rules_seen(group["IpPermissionsEgress"]),
        "tags": state.get("tags", {}),
    }


def _default_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    _group_rules(aws("ec2"), found, new)
    retag(aws, found, old, new)
    return {}


def _stays(aws: Any, found: str, state: Json) -> None:
    """It goes with its network."""
    del aws, found, state


def _record_change(aws: Any, inputs: Json, action: str) -> None:
    target = inputs["aliases"][0]
    alias = {
        "HostedZoneId": target["zoneId"],
        "DNSName": target["name"],
        "EvaluateTargetHealth": target["evaluateTargetHealth"],
    }
    record = {"Name": inputs["name"], "Type": inputs["type"], "AliasTarget": alias}
    aws("route53").change_resource_record_sets(
        HostedZoneId=inputs["zoneId"], ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    )


def _record_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    _record_change(aws, inputs, "UPSERT" if inputs.get("allowOverwrite") else "CREATE")
    return f"{inputs['zoneId']}_{inputs['name']}_{inputs['type']}", {"fqdn": inputs["name"]}


def _record_read(aws: Any, found: str, state: Json) -> Json | None:
    zone, name, kind = found.split("_", 2)[0], found.split("_", 2)[1], found.rsplit("_", 1)[1]
    for record in aws("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]:
        if record["Name"].rstrip(".") == name and record["Type"] == kind:
            target = record["AliasTarget"]
            return {
                "zoneId": zone,
                "name": name,
                "type": kind,
                "aliases": [
                    {"name": target["DNSName"].rstrip("."), "zoneId": target["HostedZoneId"],
                     "evaluateTargetHealth": target["EvaluateTargetHealth"]}
                ],
                "allowOverwrite": state.get("allowOverwrite", False),
            }  # fmt: skip
    return None


def _record_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del found, old
    _record_change(aws, new, "UPSERT")
    return {}


def _record_drop(aws: Any, found: str, state: Json) -> None:
    del found
    _record_change(aws, state, "DELETE")


KINDS: dict[str, Kind] = {
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": Kind(
        _default_make, _default_read, _stays, words("vpcId ingress egress tags"), _default_update, words("vpcId"),
    ),
    "aws:route53/record:Record": Kind(
        _record_make, _record_read, _record_drop, words("zoneId name type aliases allowOverwrite"), _record_update,
        words("zoneId name type"),
    ),
}  # fmt: skip

__all__ = ["KINDS"]
