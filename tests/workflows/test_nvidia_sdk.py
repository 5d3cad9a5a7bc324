"""The real nv-attestation-sdk, in its own environment, against recorded and minted evidence: both verifiers say the same.

Skipped where the package cannot be had; `qnsp-policy tools install nvidia-sdk` puts it into the user's cache once.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qnsp_policy.cli.main import main
from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.batch import Batch
from qnsp_policy.kernel.attestation.batch_edge import DiskFiles
from qnsp_policy.kernel.attestation.second_opinion import hold_against
from qnsp_policy.simulator import nvidia
from qnsp_policy.workflows.attest_opinion import second_opinions
from qnsp_policy.workflows.tools import install_sdk

VECTORS = Path(__file__).parents[1] / "vectors/nvidia"
NOW = datetime(2027, 3, 9, 8, 0, 0, tzinfo=UTC)
NONCE = bytes(range(32))

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("sdk")]


@pytest.fixture(scope="module")
def sdk() -> None:
    """The SDK as locked, installed if need be."""
    try:
        install_sdk(os.environ, progress=lambda _: None)
    except OperatorError as error:
        pytest.skip(f"nv-attestation-sdk cannot be had here: {error.message}")


MACHINES = ("hopper", "blackwell", "switch")


@pytest.mark.parametrize(
    ("machine", "change"),
    [
        (machine, change)
        for machine in MACHINES
        for change in ("", "nonce", "signature", "measurement", "fwid", "rim")
        if (machine, change) != ("switch", "fwid")  # LS10 states none
    ],
)
def test_both_verifiers_agree_on_minted_devices(tmp_path: Path, machine: str, change: str) -> None:
    """A good device is accepted by both; each named mutation is refused by both, at the same step."""
    pki = nvidia.mint_pki(NOW)
    device = nvidia.make_device(pki, blackwell=machine == "blackwell", switch=machine == "switch")
    opaque = {**device.opaque, 20: bytes(47) + b"\1"} if change == "fwid" else None
    measurements = {**device.measurements, 5: bytes(48)} if change == "measurement" else None
    report = device.report(NONCE, opaque=opaque, measurements=measurements)
    report = report[:-1] + bytes([report[-1] ^ 1]) if change == "signature" else report
    files = {"report": report, "chain.pem": device.chain_pem}
    files |= {
        f"{name}.pem": nvidia.pem(one.certificate) for name, one in (("d", pki.device_root), ("r", pki.rim_chain[0]))
    }
    for name, data in nvidia.rims_for(device).items():
        files[name] = data.replace(b'size="48"', b'size="49"', 1) if change == "rim" else data
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    request = {
        "evidence": "report",
        "endorsements": {"device-chain": "chain.pem"},
        "collateral": [name for name in files if name.endswith(".xml")],
        "anchors": ["d.pem", "r.pem"],
        "nonce": ("ff" * 32) if change == "nonce" else NONCE.hex(),
    }
    batch = Batch(DiskFiles(tmp_path), NOW)
    answer = batch.answer(request)
    opinions = second_opinions("nvidia-sdk", batch.material(request), nonce=str(request["nonce"]))
    found = hold_against(answer, opinions)
    assert opinions[0].failure == ""
    assert found["verdict"] == answer["verdict"] == ("refused" if change else "accepted"), found
    assert found["secondOpinions"][0]["findings"] == []
    step = {"measurement": "measurements", "fwid": "firmware-id", "nonce": "freshness"}.get(change, change)
    refused = {one.step for one in opinions[0].steps if one.verdict == "refused"}
    assert refused == ({step} if step else set())


def test_recorded_h100(capsys: pytest.CaptureFixture[str]) -> None:
    """The recorded H100 with both RIMs at a time when they held, at the command line."""
    rims = ("nvtrust_Driver_RIM_test_no_gpu.swidtag", "nvtrust_1010_0200_882_96005E0001_test_no_gpu.swidtag")
    line = ["attest", "verify", str(VECTORS / "gonvtrust_attestationReport.txt"), "--second-opinion", "nvidia-sdk"]
    line += ["--endorsement", f"device-chain={VECTORS / 'gonvtrust_gpuAkCertChain.txt'}", "--format", "json"]
    for name in rims:
        line += ["--collateral", str(VECTORS / name)]
    capsys.readouterr()
    assert main([*line, "--now", "2024-10-01T00:00:00Z"]) == 0
    (opinion,) = json.loads(capsys.readouterr().out)["secondOpinions"]
    judged = {one["step"]: one["verdict"] for one in opinion["steps"]}
    assert judged["measurements"] == judged["rim"] == judged["signature"] == judged["chain"] == "ok"
    assert judged["revocation"] == "not judged"
    assert main([*line, "--now", "2026-01-01T00:00:00Z"]) == 7
    late = json.loads(capsys.readouterr().out)
    assert late["stepName"] == "rim"
    assert {one["verdict"] for one in late["secondOpinions"][0]["steps"] if one["step"] == "rim"} == {"refused"}


def test_recorded_switch(capsys: pytest.CaptureFixture[str]) -> None:
    """The recorded LS10 with its BIOS RIM: the SDK's other verifier says the same."""
    line = ["attest", "verify", str(VECTORS / "nvat_switchAttestationReport.txt"), "--format", "json"]
    line += ["--endorsement", f"device-chain={VECTORS / 'nvat_switchCertChain.txt'}", "--second-opinion", "nvidia-sdk"]
    line += ["--collateral", str(VECTORS / "nvat_switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml")]
    capsys.readouterr()
    assert main([*line, "--now", "2026-10-01T00:00:00Z"]) == 0
    (opinion,) = json.loads(capsys.readouterr().out)["secondOpinions"]
    judged = {one["step"]: one["verdict"] for one in opinion["steps"]}
    assert judged["measurements"] == judged["rim"] == judged["signature"] == judged["chain"] == "ok"
