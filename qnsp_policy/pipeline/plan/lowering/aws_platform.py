"""Unit `platform/<name>` on AWS: network without ingress, records that nobody shortens, one role a fleet."""

from __future__ import annotations

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model.kinds import Enclave, KeyBroker, Platform, Tenant
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform
from qnsp_policy.pipeline.plan.lowering.aws_key_policy import CONTEXT, organisation_policies
from qnsp_policy.pipeline.plan.lowering.aws_keys import kms_resources, sealed_objects
from qnsp_policy.pipeline.plan.lowering.aws_names import Names
from qnsp_policy.pipeline.plan.lowering.aws_trust import foundation_statement
from qnsp_policy.pipeline.plan.lowering.context import Json, Lowering, platform_shape
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.trust.places import SELF, LazyPlaces

ENDPOINTS = ("autoscaling", "ecr.api", "ecr.dkr", "kms", "logs", "sts")
"""Interface endpoints: instances reach AWS through these and nothing else; S3 has a gateway."""
MINIMUM_RETENTION_DAYS = 180


def aws_platform_unit(context: Lowering, platform: Platform) -> Unit:
    """The foundation of one AWS platform."""
    workspace, spec = context.workspace, platform.spec
    assert isinstance(spec, AwsPlatform)
    names = Names.of(workspace, platform)
    days = max(
        [MINIMUM_RETENTION_DAYS]
        + [t.spec.audit_retention.seconds // 86400 for t in workspace.of_kind(Tenant) if t.spec.audit_retention]
    )
    production = workspace.project.spec.environment == "production"
    inputs: Json = {
        "platform": platform_shape(platform),
        "foundation": {
            "name": f"qnsp-{workspace.project.name}-{platform.name}",
            "network": {
                "vpc": str(spec.vpc) if spec.vpc else None,
                "subnets": [str(subnet) for subnet in spec.subnets],
                "cidr": str(spec.cidr),
                "zones": [str(zone) for zone in spec.zones] or [f"{spec.region}a", f"{spec.region}b"],
                "endpoints": [f"com.amazonaws.{spec.region}.{name}" for name in ENDPOINTS],
                "storage": f"com.amazonaws.{spec.region}.s3",
            },
            "evidence": {
                "bucket": names.bucket("evidence"),
                # GOVERNANCE can be shortened by whoever holds s3:BypassGovernanceRetention; COMPLIANCE by nobody.
                "lock": "COMPLIANCE" if production else "GOVERNANCE",
                "retentionDays": days,
            },
            "trail": {
                "name": f"qnsp-{workspace.project.name}-{platform.name}",
                "bucket": names.bucket("trail"),
                "arn": names.arn("cloudtrail", f"trail/qnsp-{workspace.project.name}-{platform.name}"),
            },
            "flowLogs": {"group": names.log_group("flow"), "retentionDays": _log_days(days)},
            "path": names.path,
            "account": names.account,
            "partition": names.partition,
            "roles": [_role(context, names, *pair) for pair in _fleets(context, platform)],
            "organisationPolicies": organisation_policies(
                partition=names.partition, admin=str(spec.key_admin), prefix=names.aliases
            )
            if spec.key_admin
            else {},
            "tags": {
                "qnsp:workspace": workspace.project.name,
                **{str(k): str(v) for k, v in sorted(spec.tags.items())},
            },
        },
        "trustModel": foundation_statement(),
    }
    return Unit(
        f"platform/{platform.name}",
        "aws-platform",
        inputs,
        (),
        places=LazyPlaces(
            {SELF: context.place(platform.address), "foundation": context.place(platform.address, "spec")}
        ),
    )


def _log_days(days: int) -> int:
    """CloudWatch takes certain numbers of days only."""
    known = (180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
    return next((number for number in known if number >= days), known[-1])


def _fleets(context: Lowering, platform: Platform) -> list[tuple[str, Enclave, str | None]]:
    """(name of the fleet, its enclave, the broker that runs in it) of everything on this platform."""
    workspace = context.workspace
    brokers = {broker.spec.enclave: broker.name for broker in workspace.of_kind(KeyBroker) if broker.spec.enclave}
    found = [
        (brokers.get(enclave.address, enclave.name), enclave, brokers.get(enclave.address))
        for enclave in workspace.of_kind(Enclave)
        if enclave.spec.platform == platform.address
    ]
    seen: dict[str, Enclave] = {}
    for name, enclave, _ in found:
        if name in seen:
            raise OperatorError(
                "QNSP-PLN-239",
                f"the fleets of {enclave.address} and {seen[name].address} would both be named {name}, and share a role",
                subject=str(enclave.address),
                place=workspace.place(enclave.address, "metadata", "name"),
                next_step="a broker's fleet has the broker's name: give the other enclave another",
            )
        seen[name] = enclave
    return found


def _role(context: Lowering, names: Names, fleet: str, enclave: Enclave, broker: str | None) -> Json:
    """The role of a fleet's instances: what its grants need and nothing beside."""
    statements: list[Json] = []
    objects = [
        f"arn:{names.partition}:s3:::{location.removeprefix('s3://')}" for location in sealed_objects(context, enclave)
    ]
    if objects:
        statements.append(_allow("ReadsItsOwnImageAndArtefacts", ["s3:GetObject"], objects))
    resources = [f"broker/{broker}/store"] if broker else kms_resources(context, enclave)
    actions = ["kms:Decrypt", "kms:GenerateDataKey"] if broker else ["kms:Decrypt"]
    if resources:
        statements.append(
            _allow(
                "AsksForItsOwnKeys",
                actions,
                [names.arn("kms", "key/*")],
                {
                    "ForAnyValue:StringLike": {
                        "kms:ResourceAliases": [names.alias(f"{resource}/v*") for resource in resources]
                    },
                    "StringEquals": {f"kms:EncryptionContext:{CONTEXT}": resources},
                },
            )
        )
    group = names.log_group(fleet)
    statements += [
        _allow(
            "WritesItsOwnLog",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [names.arn("logs", f"log-group:{group}:*")],
        ),
        _allow(
            "SaysThatItAttested",
            ["autoscaling:CompleteLifecycleAction"],
            [names.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{names.group(fleet)}")],
        ),
    ]
    return {
        "name": fleet,
        "enclave": str(enclave.address),
        "trust": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": f"ec2.{names.service_suffix}"},
                    "Action": "sts:AssumeRole",
                }
            ],
        },
        "policy": {"Version": "2012-10-17", "Statement": statements},
    }


def _allow(sid: str, actions: list[str], resources: list[str], condition: Json | None = None) -> Json:
    found: Json = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return found | ({"Condition": condition} if condition else {})


__all__ = ["ENDPOINTS", "aws_platform_unit"]
