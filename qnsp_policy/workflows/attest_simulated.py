"""`attest simulated-values`: what the members of a simulated enclave will measure, and the roots under which they will prove it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import DocumentError, OperatorError
from qnsp_policy.pipeline.model import Address
from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, Platform, ReferenceValues
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.lowering.enclaves import SIMULATED_VENDORS, simulated_line
from qnsp_policy.pipeline.trust.initdata import initdata, initdata_claim
from qnsp_policy.simulator import make_pki, measure
from qnsp_policy.simulator.kept import intel, nvidia_of

_MEASURED = {"sev-snp": "measurement", "tdx": "mrTd"}


def simulated_values(root: Path, name: str, *, now: datetime) -> dict[str, Any]:
    """The measurements of a simulated enclave's members, from its image, size, command line and initdata, and their anchors.

    The simulated vendors are made if they are not there yet.

    Raises:
        DocumentError: QNSP-OPS-070, the simulator does not play these members; real hardware is computed from its launch inputs.
        OperatorError: QNSP-OPS-046, the vendors' folder cannot be used.
    """
    workspace = load(root)
    enclave = workspace.find(Address(name if "/" in name else f"Enclave/{name}"), Enclave)
    platform = workspace.find(enclave.spec.platform, Platform).spec
    if platform.type != "local" or enclave.spec.attester not in _MEASURED:
        raise DocumentError(
            "QNSP-OPS-070",
            f"{enclave.address} does not run on simulated hardware",
            subject=enclave.address,
            place=workspace.place(enclave.address, "spec", "platform"),
            next_step="qnsp-policy attest reference-values FROM, with the launch inputs of the real machine",
        )
    values = workspace.find(enclave.spec.reference_values, ReferenceValues)
    computed = values.spec.computed_from
    cmdline = str(enclave.spec.launch.cmdline or (computed.cmdline if computed and computed.cmdline else ""))
    image = (root / str(workspace.find(enclave.spec.image, Artefact).spec.location)).read_bytes()
    claim, digest = initdata_claim(enclave.spec.attester, initdata(workspace, enclave.address))
    measured = measure(image, int(enclave.spec.size.vcpus), cmdline).hex()
    try:
        anchors = vendor_anchors(
            root / SIMULATED_VENDORS,
            enclave.spec.attester,
            line=simulated_line(values),
            gpus=enclave.spec.gpus is not None,
            now=now,
        )
    except (OSError, ValueError) as error:
        raise OperatorError("QNSP-OPS-046", f"the simulated vendors cannot be used: {error}") from error
    return {
        "enclave": enclave.address,
        "referenceValues": enclave.spec.reference_values,
        "measurements": {_MEASURED[enclave.spec.attester]: measured, claim: digest},
        "anchors": anchors,
    }


def vendor_anchors(vendors: Path, attester: str, *, line: str, gpus: bool, now: datetime) -> list[dict[str, Any]]:
    """Roots in the form of a TrustRoot's `anchors`: of the processor's vendor, and of the GPUs' where there are some.

    Args:
        vendors: the folder that holds the simulated vendors, or will.
        attester: sev-snp or tdx.
        line: the AMD line.
        gpus: whether NVIDIA is wanted too.
        now: the moment of making.

    Raises:
        ValueError: the folder holds another line's vendor.
    """
    found: list[tuple[str, str, Path]] = []
    if attester == "tdx":
        intel(vendors / "intel", now)
        found.append(("intel", "", vendors / "intel/root.pem"))
    else:
        made = make_pki(vendors, product=line, now=now)
        found.append(("amd", made.line, vendors / "ark.pem"))
    if gpus:
        nvidia_of(vendors / "nvidia", now)
        found += [
            ("nvidia", "", vendors / "nvidia/device_root.pem"),
            ("nvidia-rim", "", vendors / "nvidia/rim0.pem"),
        ]
    (vendors / "collateral").mkdir(exist_ok=True)  # a broker that names it may ask before the first member has started
    return [
        {
            "vendor": vendor,
            **({"line": line} if line else {}),
            "simulated": True,
            "certificate": path.read_text(encoding="ascii"),
        }
        for vendor, line, path in found
    ]


__all__ = ["simulated_values", "vendor_anchors"]
