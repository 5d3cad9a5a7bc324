"""How many pieces of evidence are verified a second, on one core, beside dcap-qvl in the same run; and a fleet over all cores.

`python -m tests.benchmarks.attestation_bench [FLEET] [SECONDS]`: evidence a second. A "cold" figure forgets every remembered certificate
before each piece, a "warm" one has seen its chain before (which is what a broker of a fleet does). The fleet is minted: machines of
every kind, each line with its own nonce, through the door of `attest verify --batch`; lines repeat beyond the minted ones.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dcap_qvl

from qnsp_policy.kernel.attestation import registry, x509
from qnsp_policy.kernel.attestation.batch_edge import judge_file
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.dcap import verify as dcap
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind
from qnsp_policy.simulator.fleet import mint_fleet

VECTORS = Path(__file__).parents[1] / "vectors"
SNP_NOW = datetime(2026, 9, 1, tzinfo=UTC)
DCAP_NOW = datetime(2025, 7, 1, tzinfo=UTC)
ENCLAVE_NOW = datetime(2021, 3, 17, 22, 1, 55, tzinfo=UTC)
NITRO_NOW = datetime(2026, 2, 3, 10, 12, 30, tzinfo=UTC)
NVIDIA_NOW = datetime(2024, 10, 1, tzinfo=UTC)
_MINTED = 4
"""Machines of each kind that the fleet's list repeats."""


def rate(work: Callable[[], object], seconds: float) -> float:
    """Runs a second, the best of three spans."""
    best = 0.0
    for _ in range(3):
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds / 3:
            work()
            count += 1
        best = max(best, count / (time.perf_counter() - started))
    return best


def forget() -> None:
    """Drops everything that is remembered by content."""
    for name in ("load_certificate", "load_crl", "_signed_by", "_crl_signed_by", "_key"):
        getattr(x509, name).cache_clear()
    dcap._by_certificate.cache_clear()


def read(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def _recorded() -> dict[str, Callable[[], object]]:
    """One verification of a recorded piece of each kind, whole: with all the collateral that there is for it."""
    anchors = registry.pinned_anchors()

    def verifier(
        kind: EvidenceKind, data: bytes, files: list[str], now: datetime, **endorsements: bytes
    ) -> Callable[[], object]:
        evidence = Evidence(kind, data, {name.replace("_", "-"): found for name, found in endorsements.items()})
        collateral = Collateral.from_files({path: read(path) for path in files})
        return lambda: registry.verify_any(evidence, collateral=collateral, anchors=anchors, now=now)

    tpm = json.loads(read("nitrotpm/vaportpm_test-nitro-fixture.json"))["attestation"]
    quote = next(iter(tpm["tpm"].values()))
    rims = ["nvtrust_Driver_RIM_test_no_gpu.swidtag", "nvtrust_1010_0200_882_96005E0001_test_no_gpu.swidtag"]
    return {
        "sev-snp: chain, CRL and report": verifier(
            EvidenceKind.SEV_SNP,
            read("snp/ms_milan_attestation_report.bin"),
            ["snp/ms_milan_ask.pem", "snp/kds_milan_20260819.crl.der"],
            SNP_NOW,
            vcek=read("snp/ms_milan_vcek.pem"),
        ),
        "tdx: quote with collateral": verifier(
            EvidenceKind.TDX, read("tdx/phala_tdx_quote"), ["tdx/phala_tdx_quote_collateral.json"], DCAP_NOW
        ),
        "sgx: quote with collateral": verifier(
            EvidenceKind.SGX, read("sgx/phala_sgx_quote"), ["sgx/phala_sgx_quote_collateral.json"], DCAP_NOW
        ),
        "nitro-enclave: document and chain": verifier(
            EvidenceKind.NITRO_ENCLAVE, read("nitro/anjuna_attestdoc_sample_prod_doc.bin"), [], ENCLAVE_NOW
        ),
        "nitro-tpm: document, chain and TPM quote": verifier(
            EvidenceKind.NITRO_TPM,
            bytes.fromhex(tpm["nitro"]["document"]),
            [],
            NITRO_NOW,
            tpm_quote=bytes.fromhex(quote["attest_data"]),
            tpm_quote_signature=bytes.fromhex(quote["signature"]),
        ),
        "nvidia-gpu: report, chain and both RIMs": verifier(
            EvidenceKind.NVIDIA_GPU,
            bytes.fromhex(read("nvidia/gonvtrust_attestationReport.txt").decode()),
            [f"nvidia/{name}" for name in rims],
            NVIDIA_NOW,
            device_chain=read("nvidia/gonvtrust_gpuAkCertChain.txt"),
        ),
    }


def _cold(work: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        forget()
        return work()

    return run


def measure(fleet: int, seconds: float = 0.9) -> dict[str, float]:
    """Every figure by name; `seconds` for each rate."""
    figures: dict[str, float] = {}
    recorded = _recorded()
    for name, work in recorded.items():
        figures[f"{name}, warm"] = rate(work, seconds)
        figures[f"{name}, cold"] = rate(_cold(work), seconds)
    quote = read("tdx/phala_tdx_quote")
    bundle = dcap_qvl.QuoteCollateralV3.from_json(read("tdx/phala_tdx_quote_collateral.json").decode())
    moment = int(DCAP_NOW.timestamp())
    # Peer and ours by turns, so that whatever else the machine does meets both.
    ours, peer = 0.0, 0.0
    for _ in range(3):
        peer = max(peer, rate(lambda: dcap_qvl.verify(quote, bundle, moment), seconds / 2))
        ours = max(ours, rate(recorded["tdx: quote with collateral"], seconds / 2))
    figures["dcap-qvl: tdx quote with collateral"] = peer
    figures["ratio of tdx, warm, to dcap-qvl"] = ours / peer
    minted = mint_fleet(SNP_NOW, _MINTED)
    count = max(1, fleet // len(minted.lines)) * len(minted.lines)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in minted.files.items():
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).write_bytes(data)
        listing = Path(folder) / "fleet.jsonl"
        listing.write_bytes(minted.listing * (count // len(minted.lines)))
        started = time.perf_counter()
        accepted = sum('"verdict": "accepted"' in answer for answer in judge_file(listing, SNP_NOW))
        taken = time.perf_counter() - started
    if accepted != count:
        raise RuntimeError(f"{count - accepted} of {count} good pieces of evidence were refused")
    kinds = len({line["kind"] for line in minted.lines})
    figures[f"fleet of {count}, {kinds} kinds mixed, all {os.cpu_count()} cores, as a batch"] = count / taken
    return figures


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    for name, figure in measure(int(given[0]) if given else 10_000, *given[1:2]).items():
        print(f"{name:64} {figure:12.1f}")  # noqa: T201  the benchmark's output
