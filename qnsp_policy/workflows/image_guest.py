"""`image guest ENCLAVE`: what the guest in an image must be told, from the documents; it is measured with the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model import Address, Workspace
from qnsp_policy.pipeline.model.kinds import Enclave, Endpoint, KeyBroker, KeyHierarchy, Platform
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.lowering.aws_user_data import CREDENTIALS_PORT, KMS_PORT
from qnsp_policy.pipeline.plan.lowering.context import connection
from qnsp_policy.pipeline.plan.lowering.enclaves import tee_key
from qnsp_policy.pipeline.trust.aws_names import Names
from qnsp_policy.pipeline.trust.grants import effective_grants, endpoint_resource
from qnsp_policy.pipeline.trust.initdata import brokers_of

Json = dict[str, Any]
_ATTESTERS = {"nitro-enclave": "nsm", "nitro-tpm": "nitro-tpm"}
_ARTEFACTS = "/srv"


def guest_configuration(root: Path, name: str) -> Json:
    """The configuration (docs/formats/guest.md) of an enclave's members.

    Raises:
        OperatorError: `QNSP-OPS-137`: not a Nitro enclave or NitroTPM fleet with a broker, or a broker's own place.
    """
    workspace = load(root)
    address = Address(name if name.startswith("Enclave/") else f"Enclave/{name}")
    enclave = workspace.find(address, Enclave)
    spec = enclave.spec
    if spec.attester not in _ATTESTERS:
        raise _refuse(workspace, enclave, f"is {spec.attester}: its guest is told by `apply`")
    if any(broker.spec.enclave == address for broker in workspace.of_kind(KeyBroker)):
        raise _refuse(workspace, enclave, "is a broker's own place: see docs/howto/build-an-enclave-image.md")
    brokers = brokers_of(workspace, enclave)
    if not brokers:
        raise _refuse(workspace, enclave, "has no broker: none serves one of its tenants")
    endpoints = [one for one in workspace.of_kind(Endpoint) if one.spec.enclave == address]
    reached = connection(brokers[0])
    value: Json = {
        "name": enclave.name,
        "attester": _ATTESTERS[spec.attester],
        "workdir": "/run/qnsp",
        "artefacts": _ARTEFACTS,
        "broker": {"url": reached["url"], "tls": reached["tls"]},
        "endpoints": [{"name": one.name, "resource": endpoint_resource(workspace, one)} for one in endpoints],
    }
    if (wrapping := tee_key(workspace, spec.tenants)) != "ML-KEM-768":
        value["teeKey"] = wrapping
    inside = spec.attester == "nitro-enclave"
    if inside:
        value |= _inside(value["broker"], [str(one.spec.listen).rpartition(":")[2] for one in endpoints])
    if keys := _kms_keys(workspace, enclave):
        names = Names.of(workspace, workspace.find(spec.platform, Platform))
        host = f"kms.{names.region}.{names.service_suffix}"
        value["kms"] = {
            "endpoint": host,
            "via": f"vsock://parent:{KMS_PORT}" if inside else f"tcp://{host}:443",
            "credentials": f"vsock://parent:{CREDENTIALS_PORT}" if inside else "metadata-service",
            "allowClassical": True,  # by `custody: kms` of the documents, which the rules hold against the tier
            "keys": [
                {"resource": one, "keyId": names.alias(one), "wrappedKey": f"{_ARTEFACTS}/{one}.wrapped"}
                for one in keys
            ],
        }
    return value


def _refuse(workspace: Workspace, enclave: Enclave, why: str) -> OperatorError:
    return OperatorError(
        "QNSP-OPS-137",
        f"{enclave.address} {why}",
        subject=str(enclave.address),
        place=workspace.place(enclave.address, "spec", "attester"),
    )


def _inside(broker: Json, ports: list[str]) -> Json:
    """An enclave has no network: bridges to its broker and from outside to its gateways."""
    scheme, _, rest = broker["url"].partition("://")
    far = int(rest.rpartition(":")[2])
    near = next(port for port in range(far, 65536) if str(port) not in ports)
    broker["url"] = f"{scheme}://127.0.0.1:{near}"
    bridges = [{"arrives": f"tcp://127.0.0.1:{near}", "leaves": f"vsock://parent:{far}"}]
    bridges += [{"arrives": f"vsock://any:{port}", "leaves": f"tcp://127.0.0.1:{port}"} for port in sorted(set(ports))]
    return {"bind": "127.0.0.1", "bridges": bridges}


def _kms_keys(workspace: Workspace, enclave: Enclave) -> list[str]:
    """Resources granted to this enclave whose key KMS keeps."""
    kept = set()
    for hierarchy in workspace.of_kind(KeyHierarchy):
        tenant = hierarchy.spec.tenant.split("/")[-1]
        for key in hierarchy.spec.keys:
            if (key.custody or hierarchy.spec.wrapping_root.custody) == "kms":
                kept.add(f"{tenant}/{key.name}")
    granted = {grant.resource for grant in effective_grants(workspace) if grant.enclave == enclave.address}
    return sorted(kept & granted)


__all__ = ["guest_configuration"]
