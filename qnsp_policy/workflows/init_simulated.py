"""`init --template simulated-gpu`: machines with GPUs, simulated: their vendors, a sealed sample, and what each will measure."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.ports_edge import free_ports
from qnsp_policy.pipeline.engine.toolchain import cache_root
from qnsp_policy.pipeline.model.kinds import Enclave
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.lowering.enclaves import SIMULATED_VENDORS
from qnsp_policy.workflows.archives import write_tar
from qnsp_policy.workflows.attest_simulated import simulated_values, vendor_anchors
from qnsp_policy.workflows.sealing import digest_of, seal_sample
from qnsp_policy.workflows.template import fill_documents

SIMULATED_TEMPLATE = "simulated-gpu"
_ZEROS = {"mrTd": 48, "mrConfigId": 48, "measurement": 48, "hostData": 32}
_SAMPLE = "a sample in the place of scans; seal your own: qnsp-policy artefact seal\n"


def simulated_documents(source: Path, directory: Path, values: dict[str, Any], now: datetime) -> None:
    """Writes the documents, filled with keys and dates (`values`), the vendors' roots, and the members' measurements."""
    (port,) = free_ports(1, note=cache_root(os.environ) / "last-port")
    anchors = [
        anchor
        for attester in ("sev-snp", "tdx")
        for anchor in vendor_anchors(directory / SIMULATED_VENDORS, attester, line="Milan", gpus=True, now=now)
    ]
    values = values | {f"anchor.{anchor['vendor']}": anchor["certificate"] for anchor in anchors}
    values |= {"broker.listen": f"127.0.0.1:{port}", **_artefacts(directory, values)}
    names = ("td-gpus", "snp-gpu", "td")
    unknown = {f"{name}.{claim}": "00" * size for name in names for claim, size in _ZEROS.items()}
    fill_documents(source, directory, values | unknown)
    for enclave in load(directory).of_kind(Enclave):
        measured = simulated_values(directory, enclave.name, now=now)["measurements"]
        values |= {f"{enclave.name}.{claim}": value for claim, value in measured.items()}
    fill_documents(source, directory, values)


def _artefacts(directory: Path, values: dict[str, Any]) -> dict[str, str]:
    folder = directory / "artefacts"
    with (folder / "guest.tar").open("wb") as sink:
        write_tar(sink, {"README": b"what members of this workspace run: nothing but the guest agent\n"})
    sample = seal_sample(
        _SAMPLE,
        directory,
        "scans",
        broker=PublicKey.from_jwk(values["broker.unwrap"]),
        resource="clinic/data/scans",
        tier="CryptoTier/hip5-tier-2",
    )
    return {"guest.digest": digest_of(folder / "guest.tar"), **sample}


__all__ = ["SIMULATED_TEMPLATE", "simulated_documents"]
