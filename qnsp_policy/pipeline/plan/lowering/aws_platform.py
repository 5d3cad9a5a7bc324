"""Unit `platform/<name>` on AWS: network without ingress, records that nobody shortens, one role a fleet."""

from __future__ import annotations

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, KeyBroker, Platform, Tenant
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform
from qnsp_policy.pipeline.plan.lowering.aws_keys import kms_resources, sealed_objects
from qnsp_policy.pipeline.plan.lowering.aws_limits import (
    refuse_contradictions,
    refuse_large_policies,
    refuse_shared_names,
    refuse_wildcards,
)
from qnsp_policy.pipeline.plan.lowering.context import Json, Lowering, platform_shape
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.trust.aws_key_policy import CONTEXT
from qnsp_policy.pipeline.trust.aws_names import Names
from qnsp_policy.pipeline.trust.aws_organisation import MARK, organisation_policies
from qnsp_policy.pipeline.trust.aws_releases import STORE_ACTIONS
from qnsp_policy.pipeline.trust.places import SELF, LazyPlaces
from qnsp_policy.pipeline.trust.rollout import IMAGES, OWN_IMAGE

ENDPOINTS = ("autoscaling", "ecr.api", "ecr.dkr", "kms", "logs", "sts")
"""Interface endpoints: instances reach AWS through these and nothing else; S3 has a gateway."""
MINIMUM_RETENTION_DAYS = 180


def aws_platform_unit(context: Lowering, platform: Platform) -> Unit:
    """The foundation of one AWS platform."""
    workspace, spec = context.workspace, platform.spec
    assert isinstance(spec, AwsPlatform)
    refuse_contradictions(workspace, platform)
    refuse_wildcards(workspace)
    names = Names.of(workspace, platform)
    days = max(
        [MINIMUM_RETENTION_DAYS]
        + [t.spec.audit_retention.seconds // 86400 for t in workspace.of_kind(Tenant) if t.spec.audit_retention]
    )
    production = workspace.project.spec.environment == "production"
    name = names.foundation
    fleets = _fleets(context, platform)
    roles = [_role(context, names, *fleet, ours=spec.vpc is None) for fleet in fleets]
    refuse_shared_names(workspace)
    endpoints = endpoint_policies(names, roles)
    objects = sorted(
        {f"arn:{names.partition}:s3:::{names.bucket('evidence')}/"}
        | {_object(names, location) for _, enclave, _ in fleets for location in sealed_objects(context, enclave)}
    )
    refuse_large_policies(roles, endpoints, objects, context.place(platform.address), str(platform.address))
    inputs: Json = {
        "platform": platform_shape(platform),
        "foundation": {
            "name": name,
            "network": {
                "vpc": str(spec.vpc) if spec.vpc else None,
                "subnets": [str(subnet) for subnet in spec.subnets],
                "cidr": str(spec.cidr),
                "zones": [str(zone) for zone in spec.zones] or [f"{spec.region}a", f"{spec.region}b"],
                "endpoints": [
                    {"name": service, "service": _service_name(names, service), "policy": endpoints[service]}
                    for service in ENDPOINTS
                ],
                "storage": {"service": _service_name(names, "s3"), "policy": endpoints["s3"]},
            },
            "evidence": {
                "bucket": names.bucket("evidence"),
                # GOVERNANCE can be shortened by whoever holds s3:BypassGovernanceRetention; COMPLIANCE by nobody.
                "lock": "COMPLIANCE" if production else "GOVERNANCE",
                "retentionDays": days,
            },
            "trail": {
                "name": name,
                "bucket": names.bucket("trail"),
                "arn": names.arn("cloudtrail", f"trail/{name}"),
                "objects": objects,
            },
            "flowLogs": {"group": names.log_group("flow"), "retentionDays": _log_days(days)},
            "path": names.path,
            "account": names.account,
            "partition": names.partition,
            "region": names.region,
            "boundary": str(spec.boundary) if spec.boundary else None,
            "roles": roles,
            "organisationPolicies": organisation_policies(
                partition=names.partition,
                admin=str(spec.key_admin),
                workspace=names.workspace,
                trail=names.arn("cloudtrail", f"trail/{name}"),
                buckets=[f"arn:{names.partition}:s3:::{names.bucket(purpose)}" for purpose in ("evidence", "trail")],
                logs=names.arn("logs", f"log-group:{names.log_group('*')}"),
                engine=str(spec.role) if spec.role else None,
            )
            if spec.key_admin
            else {},
            "tags": {
                MARK: workspace.project.name,
                **{str(k): str(v) for k, v in sorted(spec.tags.items())},
            },
        },
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


def _fleets(context: Lowering, platform: Platform) -> list[tuple[str, Enclave, KeyBroker | None]]:
    """(name of the fleet, its enclave, the broker that runs in it) of everything on this platform."""
    workspace = context.workspace
    brokers = {broker.spec.enclave: broker for broker in workspace.of_kind(KeyBroker) if broker.spec.enclave}
    found = [
        ((brokers.get(enclave.address) or enclave).name, enclave, brokers.get(enclave.address))
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


def _role(
    context: Lowering, names: Names, fleet: str, enclave: Enclave, broker: KeyBroker | None, *, ours: bool
) -> Json:
    """The role of a fleet's instances: what its grants need and nothing beside.

    Two resources hold a wildcard: `key/*`, since a key's id is not known before it is made (its alias is, and is a condition),
    and the id within an auto-scaling group's ARN (its name is known). The trust policy names EC2 alone: an instance profile is
    handed out within its own account only, by whoever holds iam:PassRole, so there is no deputy to confuse. Where the network
    is `ours`, every call goes through our endpoints, and credentials are held to that network.
    """
    statements: list[Json] = []
    image = str(context.workspace.find(enclave.spec.image, Artefact).spec.location)
    if image.startswith("s3://"):
        # Its parent fetches it. What is sealed travels in the image: nothing of ours reads it from where it lies.
        statements.append(_allow(OWN_IMAGE, ["s3:GetObject"], [_object(names, image)]))
    if broker is None:
        resources, actions = kms_resources(context, enclave), ["kms:Decrypt"]
    else:
        unsealed = broker.spec.unsealing.method == "attested-kms"
        resources, actions = [f"broker/{broker.name}/store"] if unsealed else [], list(STORE_ACTIONS)
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
    if ours:
        statements.append(_FROM_THE_NETWORK)
    return {
        "name": names.role_name(fleet),
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


_FROM_THE_NETWORK: Json = {
    # Credentials that leave the instance are worth nothing (IAM User Guide, aws:Ec2InstanceSourceVpc). The key that may be absent
    # stands on the left: a call past our endpoints has no aws:SourceVpc, and a negated test of an absent key holds. As a variable on
    # the right it could not be resolved there, which AWS says may void the statement.
    "Sid": "FromItsOwnNetworkOnly",
    "Effect": "Deny",
    "Action": ["*"],
    "Resource": ["*"],
    "Condition": {
        "StringNotEquals": {"aws:SourceVpc": "${aws:Ec2InstanceSourceVpc}"},
        "Null": {"ec2:SourceInstanceARN": "false"},
        "BoolIfExists": {"aws:ViaAWSService": "false"},
    },
}


def _allow(sid: str, actions: list[str], resources: list[str], condition: Json | None = None) -> Json:
    found: Json = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return found | ({"Condition": condition} if condition else {})


def _object(names: Names, location: str) -> str:
    return f"arn:{names.partition}:s3:::{location.removeprefix('s3://')}"


def _objects_read(role: Json) -> list[str]:
    return [
        arn
        for statement in role["policy"]["Statement"]
        if "s3:GetObject" in statement["Action"]
        for arn in statement["Resource"]
    ]


def _service_name(names: Names, service: str) -> str:
    chinese = names.partition == "aws-cn" and service in {"autoscaling", "ecr.api", "ecr.dkr", "sts"}
    return f"{'cn.' if chinese else ''}com.amazonaws.{names.region}.{service}"


_THROUGH: dict[str, list[str]] = {
    "autoscaling": ["autoscaling:CompleteLifecycleAction"],
    "ecr.api": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetAuthorizationToken",
                "ecr:GetDownloadUrlForLayer"],
    "ecr.dkr": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    "kms": ["kms:Decrypt"],
    "logs": ["logs:CreateLogStream", "logs:PutLogEvents"],
    "sts": ["sts:GetCallerIdentity"],
}  # fmt: skip


def endpoint_policies(names: Names, roles: list[Json]) -> dict[str, Json]:
    """What may pass through each endpoint: what fleets ask for, by principals of this account, to resources of this account.

    S3 is held to the images that the roles read; beside them only packages of Amazon Linux (fetched without credentials)
    and layers of ECR (buckets of AWS), both read-only.
    """
    ours = {"aws:PrincipalAccount": names.account, "aws:ResourceAccount": names.account}
    found = {
        service: _through([{"Sid": "OfThisAccountOnly", "Action": actions, "Resource": "*",
                            "Condition": {"StringEquals": ours}}])
        for service, actions in _THROUGH.items()
    }  # fmt: skip
    bucket = f"arn:{names.partition}:s3:::"
    objects = sorted({arn for role in roles for arn in _objects_read(role)})
    mine = {"StringEquals": {"aws:PrincipalAccount": names.account}}
    found["s3"] = _through(
        [
            *([{"Sid": IMAGES, "Action": ["s3:GetObject"], "Resource": objects, "Condition": mine}]
              if objects else []),
            {"Sid": "PackagesOfAmazonLinux", "Action": ["s3:GetObject"],
             "Resource": [f"{bucket}al2023-repos-{names.region}-de612dc2/*"]},
            {"Sid": "LayersOfEcr", "Action": ["s3:GetObject"],
             "Resource": [f"{bucket}prod-{names.region}-starport-layer-bucket/*"]},
        ]
    )  # fmt: skip
    return found


def _through(statements: list[Json]) -> Json:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", **statement} for statement in statements],
    }


__all__ = ["ENDPOINTS", "aws_platform_unit", "endpoint_policies"]
