"""How many pieces of evidence are verified a second, on one core, beside dcap-qvl in the same run; and a fleet over all cores.

`python tests/benchmarks/attestation_bench.py [FLEET]`: evidence a second; a "cold" figure forgets every remembered certificate before
each piece, a "warm" one has seen its chain before (which is what a broker of a fleet does).
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

VECTORS = Path(__file__).parents[1] / "vectors"
SNP_NOW = datetime(2026, 9, 1, tzinfo=UTC)
DCAP_NOW = datetime(2025, 7, 1, tzinfo=UTC)


def rate(work: Callable[[], object], seconds: float = 1.5) -> float:
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


def measure(fleet: int) -> dict[str, float]:
    """Every figure by name."""
    anchors = registry.pinned_anchors()

    def read(name: str) -> bytes:
        return (VECTORS / name).read_bytes()

    def verifier(
        kind: EvidenceKind, name: str, files: list[str], now: datetime, **endorsements: str
    ) -> Callable[[], object]:
        evidence = Evidence(kind, read(name), {key: read(path) for key, path in endorsements.items()})
        collateral = Collateral.from_files({path: read(path) for path in files})
        return lambda: registry.verify_any(evidence, collateral=collateral, anchors=anchors, now=now)

    def cold(work: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            forget()
            return work()

        return run

    milan = ["snp/ms_milan_ask.pem", "snp/kds_milan_20260819.crl.der"]
    snp = verifier(
        EvidenceKind.SEV_SNP, "snp/ms_milan_attestation_report.bin", milan, SNP_NOW, vcek="snp/ms_milan_vcek.pem"
    )
    tdx = verifier(EvidenceKind.TDX, "tdx/phala_tdx_quote", ["tdx/phala_tdx_quote_collateral.json"], DCAP_NOW)
    sgx = verifier(EvidenceKind.SGX, "sgx/phala_sgx_quote", ["sgx/phala_sgx_quote_collateral.json"], DCAP_NOW)
    quote = read("tdx/phala_tdx_quote")
    bundle = dcap_qvl.QuoteCollateralV3.from_json(read("tdx/phala_tdx_quote_collateral.json").decode())
    peer = rate(lambda: dcap_qvl.verify(quote, bundle, int(DCAP_NOW.timestamp())))
    warm = rate(tdx)
    figures = {
        "sev-snp, chain, CRL and report, warm": rate(snp),
        "sev-snp, chain, CRL and report, cold": rate(cold(snp)),
        "tdx with collateral, warm": warm,
        "tdx with collateral, cold": rate(cold(tdx)),
        "sgx with collateral, warm": rate(sgx),
        "dcap-qvl (tdx with collateral)": peer,
        "ratio of tdx, warm, to dcap-qvl": warm / peer,
    }
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            {
                "kind": "sev-snp",
                "evidence": str(VECTORS / "snp/ms_milan_attestation_report.bin"),
                "endorsements": {"vcek": str(VECTORS / "snp/ms_milan_vcek.pem")},
                "collateral": [str(VECTORS / name) for name in milan],
                "now": SNP_NOW.isoformat(),
            },
            {
                "kind": "tdx",
                "evidence": str(VECTORS / "tdx/phala_tdx_quote"),
                "collateral": [str(VECTORS / "tdx/phala_tdx_quote_collateral.json")],
                "now": DCAP_NOW.isoformat(),
            },
        ]
        listing = Path(folder) / "fleet.jsonl"
        listing.write_text("".join(json.dumps(lines[index % 2]) + "\n" for index in range(fleet)), encoding="utf-8")
        started = time.perf_counter()
        accepted = sum('"verdict": "accepted"' in answer for answer in judge_file(listing, SNP_NOW))
        seconds = time.perf_counter() - started
    if accepted != fleet:
        raise RuntimeError(f"{fleet - accepted} of {fleet} good pieces of evidence were refused")
    figures[f"fleet of {fleet} mixed, all {os.cpu_count()} cores, as a batch"] = fleet / seconds
    return figures


if __name__ == "__main__":
    for name, figure in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000).items():
        print(f"{name:60} {figure:12.1f}")  # noqa: T201  the benchmark's output
