"""`attest simulated-values`: what the members of a simulated enclave will measure, for its ReferenceValues document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qnsp_policy.errors import DocumentError
from qnsp_policy.pipeline.model import Address
from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, Platform, ReferenceValues
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.initdata import initdata
from qnsp_policy.simulator import host_data, measure


def simulated_values(root: Path, name: str) -> dict[str, Any]:
    """Measurement and hostData of a simulated enclave's members, from its image, size, command line and initdata.

    Raises:
        DocumentError: QNSP-OPS-070, the platform is not simulated; real hardware is computed from its launch inputs.
    """
    workspace = load(root)
    enclave = workspace.find(Address(name if "/" in name else f"Enclave/{name}"), Enclave)
    platform = workspace.find(enclave.spec.platform, Platform).spec
    if not getattr(platform, "simulated", False):
        raise DocumentError(
            "QNSP-OPS-070",
            f"{enclave.address} does not run on simulated hardware",
            subject=enclave.address,
            place=workspace.place(enclave.address, "spec", "platform"),
            next_step="qnsp-policy attest reference-values FROM, with the launch inputs of the real machine",
        )
    values = workspace.find(enclave.spec.reference_values, ReferenceValues).spec
    cmdline = str(values.computed_from.cmdline or "") if values.computed_from else ""
    image = (root / str(workspace.find(enclave.spec.image, Artefact).spec.location)).read_bytes()
    return {
        "enclave": enclave.address,
        "referenceValues": enclave.spec.reference_values,
        "measurements": {
            "measurement": measure(image, int(enclave.spec.size.vcpus), cmdline).hex(),
            "hostData": host_data(initdata(workspace, enclave.address)).hex(),
        },
    }


__all__ = ["simulated_values"]
