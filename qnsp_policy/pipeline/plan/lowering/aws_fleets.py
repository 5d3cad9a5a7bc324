"""Units `enclave`, `broker` and `endpoint` on AWS: fleets of attesters behind load balancers that pass TCP through."""

from __future__ import annotations

import re
from dataclasses import replace

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model.kinds import (
    Artefact,
    Enclave,
    Endpoint,
    KeyBroker,
    KeyHierarchy,
    Platform,
    ReferenceValues,
)
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.plan.lowering.aws_keys import key_admin, kms_resources, unsealing_key
from qnsp_policy.pipeline.plan.lowering.aws_machines import machine
from qnsp_policy.pipeline.plan.lowering.aws_user_data import enclave_parent, measured_image
from qnsp_policy.pipeline.plan.lowering.brokers import broker_unit
from qnsp_policy.pipeline.plan.lowering.context import Json, Lowering, platform_shape
from qnsp_policy.pipeline.plan.lowering.enclaves import enclave_unit, endpoint_unit
from qnsp_policy.pipeline.plan.values import Reference, Unit
from qnsp_policy.pipeline.trust import reference
from qnsp_policy.pipeline.trust.aws_attested import attested
from qnsp_policy.pipeline.trust.aws_names import Names
from qnsp_policy.pipeline.trust.brokers import runs_in
from qnsp_policy.pipeline.trust.initdata import broker_url, brokers_of

_ADDRESS = re.compile(r"[0-9.]+|\[.*\]")
_AMI = re.compile(r"ami-[0-9a-f]{8,17}")
_PARENT_IMAGE = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
_NETWORK = (("vpc", "vpcId"), ("subnets", "subnetIds"), ("storagePrefixList", "storagePrefixListId"))
_FIRMWARE_ONLY = frozenset({"measurement", "hostData"})
ATTEST_SECONDS = 900
"""How long a new member may take to attest; then it is ended and the rollout goes back."""


def is_on_aws(context: Lowering, platform: Address) -> bool:
    """Whether something lands on AWS."""
    return context.workspace.find(platform, Platform).spec.type == "aws"


def broker_enclaves(context: Lowering) -> frozenset[Address]:
    """Enclaves that are a broker's place on AWS; their fleet is part of the broker's unit."""
    return frozenset(
        broker.spec.enclave
        for broker in context.workspace.of_kind(KeyBroker)
        if broker.spec.enclave is not None and is_on_aws(context, broker.spec.platform)
    )


def aws_enclave_unit(context: Lowering, enclave: Enclave) -> Unit:
    """The unit of one fleet.

    Raises:
        OperatorError: QNSP-PLN-230 to -239, AWS cannot do what is declared; at its line, with what would work.
    """
    local = enclave_unit(context, enclave)
    platform = context.workspace.find(enclave.spec.platform, Platform)
    endpoints = context.endpoints_of_enclave.get(enclave.address, ())
    ports = sorted({str(endpoint.spec.listen).rpartition(":")[2] for endpoint in endpoints if endpoint.spec.listen})
    _refuse_keys_without_measured_path(context, enclave)
    fleet = _fleet(context, enclave, enclave.name, [int(port) for port in ports])
    inputs = {name: value for name, value in local.inputs.items() if name not in {"processes", "brokers"}}
    keys = ["aws-keys/" + name for name in _hierarchies(context, enclave)]
    depends = sorted({*local.depends_on, *keys})
    return Unit(
        local.id,
        "aws-enclave",
        {**inputs, "fleet": fleet, "network": dict.fromkeys(name for name, _ in _NETWORK)},
        tuple(depends),
        _references(platform),
        local.places,
    )  # fmt: skip


def aws_broker_unit(context: Lowering, broker: KeyBroker) -> Unit:
    """The unit of one broker: its Nitro fleet, the key of its store, its load balancer, and what it is handed.

    Raises:
        OperatorError: QNSP-PLN-235, it has no Nitro enclave to run in; -244, its members would not share a store.
    """
    workspace = context.workspace
    place = workspace.place(broker.address, "spec", "enclave")
    enclave = workspace.find(broker.spec.enclave, Enclave) if broker.spec.enclave else None
    if enclave is None or enclave.spec.attester != "nitro-enclave":
        found = "names no enclave" if enclave is None else f"would run on {enclave.spec.attester}"
        raise OperatorError(
            "QNSP-PLN-235",
            f"{broker.address} {found}; on AWS a broker runs in a Nitro enclave: SEV-SNP measures the provider's firmware "
            "only, NitroTPM leaves its memory to the instance",
            subject=str(broker.address),
            place=place,
            next_step="declare an Enclave with attester: nitro-enclave and name it",
        )
    if enclave.spec.platform != broker.spec.platform:
        raise OperatorError(
            "QNSP-PLN-235",
            f"{broker.address} and its {enclave.address} are on different platforms",
            subject=str(broker.address),
            place=place,
            next_step="name one platform in both",
        )
    members = max(broker.spec.replicas, enclave.spec.size.members)
    if members > 1 and str(broker.spec.storage.url).startswith("sqlite:"):
        raise OperatorError(
            "QNSP-PLN-244",
            f"{broker.address} would have {members} members behind one name, each with a store of its own ({broker.spec.storage.url}): "
            "what one is handed the others do not hold",
            subject=str(broker.address),
            place=workspace.place(enclave.address, "spec", "size"),
            next_step="say members: 1, or name a database that all of them share in storage.url",
        )
    local = broker_unit(context, broker)
    platform = workspace.find(broker.spec.platform, Platform)
    port = int(str(broker.spec.listen).rpartition(":")[2])
    fleet = _fleet(context, enclave, broker.name, [port], members=members)
    inputs: Json = {name: value for name, value in local.inputs.items() if name in {"platform", "objects"}} | {
        "broker": {**local.inputs["broker"], "waitSeconds": ATTEST_SECONDS + 300},
        "runsIn": runs_in(workspace, enclave),
        "sharedStore": not str(broker.spec.storage.url).startswith("sqlite:"),
        "fleet": fleet,
        "balancer": _balancer(context, platform, f"broker-{broker.name}", str(broker.spec.listen)),
        "network": dict.fromkeys(name for name, _ in _NETWORK),
    }
    if broker.spec.unsealing.method == "attested-kms":
        inputs |= {
            "keyAdmin": key_admin(context, platform),
            "keys": [unsealing_key(context, broker, enclave, platform)],
        }
    return Unit(local.id, "aws-broker", inputs, local.depends_on, _references(platform), local.places)


def aws_endpoint_unit(context: Lowering, endpoint: Endpoint) -> Unit:
    """The unit of one endpoint: its configuration, a load balancer that passes TCP through, the wait for its answer."""
    local = endpoint_unit(context, endpoint)
    enclave = context.workspace.find(endpoint.spec.enclave, Enclave)
    platform = context.workspace.find(enclave.spec.platform, Platform)
    names = Names.of(context.workspace, platform)
    inputs = {
        **local.inputs,
        # A member boots, attests and is registered with the balancer before anybody answers.
        "endpoint": {**local.inputs["endpoint"], "readinessTimeoutSeconds": ATTEST_SECONDS + 300},
        "platform": platform_shape(platform),
        "group": names.group(enclave.name),
        "balancer": _balancer(context, platform, endpoint.name, str(endpoint.spec.listen)),
        "network": dict.fromkeys(name for name, _ in _NETWORK),
        "attester": enclave.spec.attester,
    }
    return replace(
        local,
        program="aws-endpoint",
        inputs=inputs,
        references=_references(platform),
        depends_on=tuple(sorted({*local.depends_on, f"platform/{platform.name}"})),
    )


def _references(platform: Platform) -> tuple[Reference, ...]:
    unit = f"platform/{platform.name}"
    return tuple(Reference(unit, output, f"/network/{name}") for name, output in _NETWORK)


def _balancer(context: Lowering, platform: Platform, name: str, listen: str) -> Json:
    names = Names.of(context.workspace, platform)
    host, _, port = listen.rpartition(":")
    assert isinstance(platform.spec, AwsPlatform)
    zone = platform.spec.dns_zone if not _ADDRESS.fullmatch(host) else None
    return {
        "name": names.balancer(name),
        "port": int(port),
        "internal": True,
        "protocol": "TCP",
        "host": host,
        "zone": str(zone) if zone else None,
    }


def _hierarchies(context: Lowering, enclave: Enclave) -> list[str]:
    tenants = {resource.split("/")[0] for resource in kms_resources(context, enclave)}
    return sorted(h.name for h in context.workspace.of_kind(KeyHierarchy) if h.spec.tenant.split("/")[-1] in tenants)


def _refuse_keys_without_measured_path(context: Lowering, enclave: Enclave) -> None:
    """SEV-SNP of EC2 measures the provider's firmware: what it covers beyond that must be shown by another register."""
    if enclave.spec.attester != "sev-snp":
        return
    granted = sorted({grant.resource for grant in context.grants_of_enclave.get(enclave.address, ())})
    if not granted:
        return
    workspace = context.workspace
    grant = context.grants_of_enclave[enclave.address][0]
    raise OperatorError(
        "QNSP-PLN-236",
        f"{', '.join(granted)} would be released to {enclave.address}, but SEV-SNP of EC2 measures the provider's firmware "
        "only: no path leads from its launch digest to the operating system",
        subject=str(enclave.address),
        place=grant.place if grant.place.file else workspace.place(enclave.address, "spec", "attester"),
        next_step="grant it to a Nitro enclave, or to a NitroTPM fleet with an attestable image",
    )


def _fleet(context: Lowering, enclave: Enclave, name: str, ports: list[int], members: int | None = None) -> Json:
    workspace, spec = context.workspace, enclave.spec
    platform = workspace.find(spec.platform, Platform)
    assert isinstance(platform.spec, AwsPlatform)
    names = Names.of(workspace, platform)
    chosen = machine(enclave, workspace.place(enclave.address, "spec", *_size_path(enclave)))
    image = workspace.find(spec.image, Artefact)
    location = str(image.spec.location)
    place = workspace.place(image.address, "spec", "location")
    if spec.debug:
        raise OperatorError(
            "QNSP-PLN-237",
            f"{enclave.address} is in debug mode: its registers are all zeros and its console is open to the parent",
            subject=str(enclave.address),
            place=workspace.place(enclave.address, "spec", "debug"),
            next_step="take `debug: true` out",
        )
    if spec.attester == "nitro-enclave":
        if not location.startswith("s3://"):
            raise OperatorError(
                "QNSP-PLN-238",
                f"the image of a Nitro enclave is an EIF in S3, not {location}: the parents have no other way out",
                subject=str(image.address),
                place=place,
                next_step="say location: s3://<bucket>/<name>.eif",
            )
        cidr = str(platform.spec.cidr)
        data = enclave_parent(
            location=location,
            digest=str(image.spec.digest),
            vcpus=spec.size.vcpus,
            mebibytes=-(-spec.size.memory.bytes // 2**20),
            ports=ports,
            broker=_broker_of(context, enclave),
            region=names.region,
            suffix=names.service_suffix,
            group=names.group(name),
            hook=_hook(name),
            log=names.log_group(name),
        )
        image_id = str(platform.spec.parent_image or _PARENT_IMAGE)
    else:
        if not _AMI.fullmatch(location):
            raise OperatorError(
                "QNSP-PLN-238",
                f"the image of a {spec.attester} fleet is an AMI, not {location}",
                subject=str(image.address),
                place=place,
                next_step="register the image (boot mode uefi, TPM support v2.0) and say location: ami-...",
            )
        values = workspace.find(spec.reference_values, ReferenceValues)
        if spec.attester == "nitro-tpm":
            _check_tpm_values(context, enclave, values)
        data, image_id, cidr = measured_image(names.group(name), _hook(name)), location, str(platform.spec.cidr)
    ours = {"qnsp:workspace": workspace.project.name, "qnsp:fleet": name}
    return {
        "name": name,
        "kind": spec.attester,
        "group": names.group(name),
        "role": names.role_name(name),
        "roleArn": names.role(name),
        "imageId": image_id,
        "instanceType": chosen.type,
        "chosen": chosen.why,
        "tenancy": "host" if platform.spec.dedicated_hosts else "default",
        "userData": data,
        "members": members if members is not None else spec.size.members,
        "diskGibibytes": spec.size.disk.bytes // 2**30 if spec.size.disk else 30,
        "hook": _hook(name),
        "attestSeconds": ATTEST_SECONDS,
        "logGroup": names.log_group(name),
        "logRetentionDays": 400,
        "ports": ports,
        "brokerPorts": sorted({int(str(b.spec.listen).rpartition(":")[2]) for b in workspace.of_kind(KeyBroker)}),
        "cidr": cidr,
        "tags": ours | {str(k): str(v) for k, v in sorted(platform.spec.tags.items())},
    }


def _broker_of(context: Lowering, enclave: Enclave) -> tuple[str, int] | None:
    """Where the broker of an enclave is reached; a broker's own enclave asks none."""
    brokers = brokers_of(context.workspace, enclave)
    if not brokers or any(broker.spec.enclave == enclave.address for broker in brokers):
        return None
    host, _, port = broker_url(brokers[0]).partition("://")[2].rpartition(":")
    return host, int(port)


def _size_path(enclave: Enclave) -> tuple[str, ...]:
    if enclave.spec.size.instance_type:
        return ("size", "instanceType")
    return ("gpus",) if enclave.spec.gpus else ("attester",)


def _hook(name: str) -> str:
    return f"attested-{name}"


def _check_tpm_values(context: Lowering, enclave: Enclave, values: ReferenceValues) -> None:
    """Every NitroTPM fleet names what a statement of KMS would need, whether or not a key is in KMS today."""
    for index, alternative in enumerate(reference.alternatives(values, enclave, floors={}, graces=())):
        place = context.workspace.place(
            values.address, "spec", "alternatives", min(index, len(values.spec.alternatives) - 1)
        )
        attested(alternative, boot=enclave.spec.launch.boot, place=place)


__all__ = ["aws_broker_unit", "aws_enclave_unit", "aws_endpoint_unit", "broker_enclaves", "is_on_aws"]
