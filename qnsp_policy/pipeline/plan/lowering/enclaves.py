"""Units `enclave` and `endpoint`: fleets of attesters, and what each endpoint is told once it has attested."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, Endpoint, KeyBroker, Platform, ReferenceValues, Tenant
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.plan.lowering.context import (
    RUN,
    Json,
    Lowering,
    broker_object,
    configuration,
    connection,
    platform_shape,
    process,
    ready,
    tls_mode,
)
from qnsp_policy.pipeline.plan.lowering.tenants import api_key, quotas
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.trust.codec import alternative_to_json
from qnsp_policy.pipeline.trust.grants import endpoint_resource, endpoint_tenant
from qnsp_policy.pipeline.trust.initdata import brokers_of, host_data, initdata, initdata_claim
from qnsp_policy.pipeline.trust.places import SELF, LazyPlaces
from qnsp_policy.pipeline.trust.reference import architecture_of

SIMULATED_TCB = {"bootloader": 4, "tee": 0, "snp": 22, "microcode": 213}
"""What the simulator reports as its TCB: current firmware of the Milan line, so that sensible floors are met."""

SIMULATED_VENDORS = ".qnsp/sim/pki"
"""Folder of a workspace in which the simulated vendors' certificates lie, and the collateral that fits their hardware."""

_PLAYED = frozenset({"sev-snp", "tdx"})
_PLAYED_GPUS = {"hopper": 1, "blackwell": 8}
"""How many GPUs of an architecture a member may have: several of Hopper's need switches, which are not played here."""

_WRAPPINGS = ("ML-KEM-768", "X-Wing", "ML-KEM-1024", "MLKEM1024-P384")
_SMT, _RESERVED_ONE, _MIGRATE, _DEBUG = 1 << 16, 1 << 17, 1 << 18, 1 << 19


def enclave_unit(context: Lowering, enclave: Enclave) -> Unit:
    """The unit of one fleet."""
    workspace, spec = context.workspace, enclave.spec
    platform = workspace.find(spec.platform, Platform)
    image = workspace.find(spec.image, Artefact)
    values = workspace.find(spec.reference_values, ReferenceValues)
    brokers = brokers_of(workspace, enclave)
    data = initdata(workspace, enclave.address)
    inputs: Json = {
        "platform": platform_shape(platform),
        "enclave": {
            "name": enclave.name,
            "address": str(enclave.address),
            "attester": spec.attester,
            "debug": spec.debug,
            "sharing": spec.sharing,
            "tenants": sorted(tenant.split("/")[-1] for tenant in spec.tenants),
            "members": spec.size.members,
            "vcpus": spec.size.vcpus,
            "memory": str(spec.size.memory),
            "gpus": spec.gpus.model_dump(mode="json", by_alias=True) if spec.gpus else None,
            "image": {"location": str(image.spec.location), "digest": str(image.spec.digest)},
            "initdataDigest": f"sha256:{host_data(data)}",
            "measurements": [dict(alternative.measurements) for alternative in values.spec.alternatives],
        },
        "brokers": [connection(broker) for broker in brokers],
        "processes": [],
    }
    if platform.spec.type == "local":
        _is_simulated(context, enclave)
        _initdata_is_expected(context, enclave, values, data)
        for number in range(spec.size.members):
            inputs["processes"] += _member(context, enclave, image, brokers, data, number)
    depends = [f"platform/{platform.name}", *(f"broker/{broker.name}" for broker in brokers)]
    depends += [f"tenant/{tenant.split('/')[-1]}" for tenant in spec.tenants]
    return Unit(
        f"enclave/{enclave.name}",
        "enclave",
        inputs,
        tuple(sorted(depends)),
        places=LazyPlaces(
            {
                SELF: context.place(enclave.address),
                "enclave.measurements": context.place(values.address, "spec", "alternatives"),
                "enclave.image": context.place(image.address),
                "enclave.members": context.place(enclave.address, "spec", "size"),
                "enclave.vcpus": context.place(enclave.address, "spec", "size"),
                "enclave.tenants": context.place(enclave.address, "spec", "tenants"),
            }
        ),
    )


def _is_simulated(context: Lowering, enclave: Enclave) -> None:
    """Members that the simulator cannot play are not started.

    Raises:
        OperatorError: QNSP-PLN-035.
    """
    gpus, said = enclave.spec.gpus, ""
    if enclave.spec.attester not in _PLAYED:
        said = f"attester {enclave.spec.attester}"
    elif gpus is not None and architecture_of(str(gpus.model)) not in _PLAYED_GPUS:
        said = f"GPU {gpus.model}"
    elif gpus is not None and gpus.count > _PLAYED_GPUS[architecture_of(str(gpus.model))]:
        said = f"{gpus.count} GPUs of model {gpus.model} in one member"
    elif gpus is not None and gpus.confidential_mode != "on":
        said = f"GPUs in mode {gpus.confidential_mode}"
    if said:
        raise OperatorError(
            "QNSP-PLN-035",
            f"the simulator plays no {said} ({enclave.address})",
            subject=str(enclave.address),
            expected="sev-snp or tdx, with one Hopper GPU or up to 8 Blackwell GPUs in mode on, or without",
            place=context.workspace.place(enclave.address, "spec", "gpus" if gpus is not None else "attester"),
        )


def _initdata_is_expected(context: Lowering, enclave: Enclave, values: ReferenceValues, data: bytes) -> None:
    """Members that can only be denied are not started.

    Raises:
        OperatorError: QNSP-PLN-034, no tuple names the initdata that the members will be given.
    """
    claim, digest = initdata_claim(enclave.spec.attester, data)
    named = [str(alternative.measurements.get(claim, digest)) for alternative in values.spec.alternatives]
    if digest not in named:
        raise OperatorError(
            "QNSP-PLN-034",
            f"members of {enclave.address} will report other initdata than any tuple of {values.address} names, "
            "so every key would be denied them",
            subject=str(enclave.address),
            expected=f"{claim}: {digest}",
            got=", ".join(named),
            place=context.workspace.place(values.address, "spec", "alternatives", 0, "measurements", claim),
            next_step=f"write the expected {claim} there and let the builders sign it: `qnsp-policy sign`",
        )


def _member(
    context: Lowering, enclave: Enclave, image: Artefact, brokers: tuple[KeyBroker, ...], data: bytes, number: int
) -> list[Json]:
    """The simulator of one member, then its guest agent."""
    member, spec = f"{enclave.name}-{number}", enclave.spec
    if not brokers:
        raise OperatorError(
            "QNSP-PLN-029",
            f"no key broker serves a tenant of {enclave.address}, so its members could never obtain a key",
            subject=str(enclave.address),
            place=context.workspace.place(enclave.address, "spec", "tenants"),
            next_step="add the tenant to a KeyBroker, or remove the enclave",
        )
    values = context.workspace.find(spec.reference_values, ReferenceValues)
    computed = values.spec.computed_from
    cmdline = str(spec.launch.cmdline or (computed.cmdline if computed and computed.cmdline else ""))
    folder = f".qnsp/sim/{member}"
    initdata_path = f"{RUN}/cfg/enclave-{member}.initdata.toml"
    simulator: Json = {
        "dir": folder,
        "image": str(image.spec.location),
        # Another image at the same place is another member: it starts anew, and an image that is not this one is not started.
        "imageDigest": str(image.spec.digest),
        "vcpus": spec.size.vcpus,
        "cmdline": cmdline,
        "initdata": initdata_path,
        "pki": SIMULATED_VENDORS,
    }
    if spec.attester == "sev-snp":
        policy = guest_policy(enclave)
        simulator |= {"product": simulated_line(values), "tcb": dict(SIMULATED_TCB), "guestPolicy": policy}
    else:
        simulator["attester"] = spec.attester
    if spec.gpus is not None:
        simulator |= {"gpus": spec.gpus.count, "gpuArchitecture": architecture_of(str(spec.gpus.model))}
    broker = connection(brokers[0])
    guest: Json = {
        "name": member,
        "broker": {"url": broker["url"], "tls": broker["tls"], "token": broker["token"]},
        "tsm": folder,
        "initdata": initdata_path,
        "image": str(image.spec.location),
        "imageDigest": str(image.spec.digest),
        "endpoints": [
            {"name": endpoint.name, "resource": endpoint_resource(context.workspace, endpoint)}
            for endpoint in context.endpoints_of_enclave.get(enclave.address, ())
        ],
        "workdir": f"{RUN}/guest/{member}",
        "artefacts": ".",
    }
    if spec.gpus is not None:
        guest["devices"] = {"collector": "simulator"}
    if (wrapping := tee_key(context.workspace, spec.tenants)) != _WRAPPINGS[0]:
        guest["teeKey"] = wrapping
    measured: Json = {"path": initdata_path, "mode": "0600", "text": data.decode()}
    names = (f"enclave-{member}-simulator", f"enclave-{member}-guest")
    return [
        process(
            names[0],
            "qnsp_policy.simulator",
            [configuration(names[0], simulator), measured],
            readiness=ready(file=f"{folder}/simulator.sock"),
        ),
        process(names[1], "qnsp_policy.services.guest", [configuration(names[1], guest)], readiness=None),
    ]


def simulated_line(values: ReferenceValues) -> str:
    """The AMD line that members of simulated hardware are of."""
    return next((str(one.product_line) for one in values.spec.alternatives if one.product_line), "Milan")


def tee_key(workspace: Workspace, tenants: Iterable[Address]) -> str:
    """What a guest asks releases to be wrapped by: the protocol's own, but where a tenant's tier does not admit it."""
    tiers = [workspace.tier_of(tenant) for tenant in tenants]
    return next((name for name in _WRAPPINGS if all(name in tier.kem.allowed for tier in tiers)), _WRAPPINGS[0])


def guest_policy(enclave: Enclave) -> int:
    """The SNP guest policy (AMD SEV-SNP firmware ABI 1.55, table 9): bit 17 must be one; debug and migration off."""
    flags = enclave.spec.launch.guest_policy
    policy = _RESERVED_ONE
    policy |= _SMT if flags.get("smt", True) else 0
    policy |= _MIGRATE if flags.get("migrate", False) else 0
    policy |= _DEBUG if enclave.spec.debug or flags.get("debug", False) else 0
    return policy


def endpoint_unit(context: Lowering, endpoint: Endpoint) -> Unit:
    """The unit of one endpoint."""
    workspace, spec, address = context.workspace, endpoint.spec, endpoint.address
    resource, tenant = endpoint_resource(workspace, endpoint), endpoint_tenant(workspace, endpoint)
    value = endpoint_object(context, endpoint, tenant)
    brokers = [broker for broker in workspace.of_kind(KeyBroker) if (str(broker.address), resource) in context.policies]
    scheme = "http" if spec.tls.mode == "insecure-plaintext" else "https"
    enclave = spec.enclave.split("/")[-1]
    configured = broker_object("endpoint", resource, value)
    # Who answers is a matter of identity; floors, dates and devices are judged where keys are released.
    shown = {
        alternative.name: replace(alternative, floors={}, not_after=None, devices=())
        for broker in brokers
        for grant in context.policies[str(broker.address), resource].grants
        for alternative in grant.alternatives
    }
    inputs: Json = {
        "endpoint": {
            "name": endpoint.name,
            "address": str(address),
            "tenant": tenant.split("/")[-1],
            "enclave": enclave,
            "url": f"{scheme}://{value['listen']}",
            "tls": {"mode": tls_mode(spec.tls.mode)},
            "readinessTimeoutSeconds": 120,
            "expected": {
                "tenant": tenant.split("/")[-1],
                "configurationDigest": configured["digest"],
                "anchors": [dict(anchor) for anchor in context.proposed.anchors],
                "alternatives": [alternative_to_json(shown[name]) for name in sorted(shown)],
            },
        },
        "brokers": [{"broker": connection(broker), "objects": [configured]} for broker in brokers],
    }
    depends = [f"enclave/{enclave}", *(f"broker/{broker.name}" for broker in brokers)]
    depends += [f"tenant/{name.split('/')[-1]}" for name in {tenant, *spec.tenants}]
    return Unit(
        f"endpoint/{endpoint.name}",
        "endpoint",
        inputs,
        tuple(sorted(depends)),
        places=LazyPlaces({SELF: context.place(address), "brokers": context.place(address, "spec")}),
    )


def endpoint_object(context: Lowering, endpoint: Endpoint, tenant: Address) -> Json:
    """Format `qnsp.endpoint/v1`: what the attested guest is told.

    Raises:
        OperatorError: QNSP-PLN-030, the document leaves out what a running endpoint needs.
    """
    workspace, spec, address = context.workspace, endpoint.spec, endpoint.address
    model = workspace.find(spec.model, Artefact)
    encryption = model.spec.encryption
    for field, value in (("upstream", spec.upstream), ("listen", spec.listen), ("model.encryption", encryption)):
        if value is None:
            raise OperatorError(
                "QNSP-PLN-030",
                f"{address} does not say `{field}`, without which it cannot run",
                subject=str(address),
                place=workspace.place(address, "spec", field.split(".")[0]),
                next_step=f"say `{field}`",
            )
    tier = workspace.tier_of(tenant)
    return {
        "format": "qnsp.endpoint/v1",
        "name": endpoint.name,
        "tenant": tenant.split("/")[-1],
        "listen": str(spec.listen),
        "tls": {"mode": tls_mode(spec.tls.mode), "groups": [str(g) for g in spec.tls.groups or tier.tls_groups]},
        "upstream": {
            "command": [str(word) for word in spec.upstream.command] if spec.upstream else [],
            "environment": [str(word) for word in spec.upstream.environment] if spec.upstream else [],
        },
        "api": {"openai": list(spec.api.openai)},
        "model": {
            "resource": str(encryption.key) if encryption else "",
            "name": model.name,
            "location": str(model.spec.location),
            "digest": str(model.spec.digest),
            "plaintextDigest": str(model.spec.plaintext_digest or ""),
        },
        "responseSignature": {"algorithm": str(spec.response_signature.algorithm or tier.signature.default)},
        "requestAuthentication": spec.request_authentication,
        "receipts": spec.receipts,
        "streaming": spec.streaming,
        "quotas": quotas(spec.quotas),
        "maxRequest": spec.max_request.bytes,
        "timeoutSeconds": spec.timeout.seconds,
        "tenants": [_caller(workspace.find(name, Tenant), endpoint.name) for name in sorted(spec.tenants)],
        "ledger": {"origin": f"{workspace.project.spec.ledger.origin}/gateway/{endpoint.name}"},
    }


def _caller(tenant: Tenant, endpoint: str) -> Json:
    keys = [key for key in tenant.spec.api_keys if not key.scopes or endpoint in key.scopes]
    return {
        "name": tenant.name,
        "quotas": quotas(tenant.spec.quotas),
        "apiKeys": [api_key(key) for key in keys],
    }


__all__ = [
    "SIMULATED_TCB",
    "SIMULATED_VENDORS",
    "enclave_unit",
    "endpoint_object",
    "endpoint_unit",
    "guest_policy",
    "simulated_line",
]
