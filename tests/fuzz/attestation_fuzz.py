"""Damages real evidence and collateral of every kind at random for a bounded time; anything but a refusal of ours is a finding.

`python tests/fuzz/attestation_fuzz.py [SECONDS] [SEED]`: prints the input of each finding (seed, file, edits) and ends with 1 if there is
one. Any verifier, parser or inspector that raises something else, or that takes longer than a second, is a finding.
"""

from __future__ import annotations

import random
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from qnsp_policy.errors import QnspError
from qnsp_policy.kernel.attestation import registry
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.collateral_times import window_of
from qnsp_policy.kernel.attestation.encodings import decode
from qnsp_policy.kernel.attestation.inspection import inspect
from qnsp_policy.kernel.attestation.needs import needs_of
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind

VECTORS = Path(__file__).parents[1] / "vectors"
SLOW_SECONDS = 1.0
_SEEDS: Final[tuple[tuple[EvidenceKind, str, Mapping[str, str], Sequence[str]], ...]] = (  # kind, evidence, endorsements, collateral
    (EvidenceKind.SEV_SNP, "snp/ms_milan_attestation_report.bin", {"vcek": "snp/ms_milan_vcek.pem", "ask": "snp/ms_milan_ask.pem"}, ["snp/kds_milan_20260819.crl.der"]),
    (EvidenceKind.SEV_SNP, "snp/trustee_azsnp_hcl-report.bin", {"chain": "snp/trustee_azsnp_vcek.pem"}, []),
    (EvidenceKind.TDX, "tdx/phala_tdx_quote", {}, ["tdx/phala_tdx_quote_collateral.json"]),
    (EvidenceKind.SGX, "sgx/phala_sgx_quote", {}, ["sgx/phala_sgx_quote_collateral.json"]),
    (EvidenceKind.NITRO_ENCLAVE, "nitro/anjuna_attestdoc_sample_prod_doc.bin", {}, []),
    (EvidenceKind.NVIDIA_GPU, "nvidia/gonvtrust_attestationReport.txt", {"device-chain": "nvidia/gonvtrust_gpuAkCertChain.txt"}, ["nvidia/nvtrust_Driver_RIM_test_no_gpu.swidtag", "nvidia/nvtrust_1010_0200_882_96005E0001_test_no_gpu.swidtag"]),
    (EvidenceKind.NRAS, "nras/nvat_sample_attestation_data_hopperClaimsv3_detached_eat.json", {}, []),
)  # fmt: skip
_TIMES: Final[Mapping[EvidenceKind, datetime]] = {
    EvidenceKind.TDX: datetime(2025, 7, 1, tzinfo=UTC),
    EvidenceKind.SGX: datetime(2025, 7, 1, tzinfo=UTC),
    EvidenceKind.NVIDIA_GPU: datetime(2025, 1, 1, tzinfo=UTC),
    EvidenceKind.NITRO_ENCLAVE: datetime(2021, 3, 17, 22, 2, tzinfo=UTC),
}
_NOW = datetime(2026, 9, 1, tzinfo=UTC)


def damaged(data: bytes, dice: random.Random) -> bytes:
    """One to four edits: bytes changed, cut, doubled, moved, lengths blown up."""
    for _ in range(dice.randint(1, 4)):
        at, size = dice.randrange(len(data) + 1), dice.randint(1, 48)
        match dice.randrange(6):
            case 0:
                data = data[:at] + dice.randbytes(dice.randint(1, 4)) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + size :]
            case 2:
                data = data[: at + size] + data[at:]
            case 3:
                other = dice.randrange(len(data) + 1)
                data = data[:at] + data[other : other + size] + data[at + size :]
            case 4:
                data = (
                    data[:at]
                    + dice.choice([b"\xff\xff\xff\xff", b"\x30\x84\xff", b"\x9f", b"\xbf", b"[[", b'{"a":', b"\0" * 8])
                    + data[at:]
                )
            case _:
                data = data[:at]
        data = data or b"\0"
    return data


def _load(kind: EvidenceKind, name: str) -> bytes:
    data = (VECTORS / name).read_bytes()
    return bytes.fromhex(data.decode("ascii")) if kind is EvidenceKind.NVIDIA_GPU else data


def try_once(dice: random.Random) -> str:
    """Damages one file of one seed and judges the whole; returns what was found, "" if nothing."""
    kind, name, along, beside = dice.choice([seed for seed in _SEEDS if (VECTORS / seed[1]).exists()])
    evidence = _load(kind, name)
    endorsements: Mapping[str, bytes] = {key: (VECTORS / path).read_bytes() for key, path in along.items()}
    files: Mapping[str, bytes] = {path: (VECTORS / path).read_bytes() for path in beside}
    target = dice.randrange(1 + len(endorsements) + len(files))
    if target == 0:
        evidence = damaged(evidence, dice)
    elif target <= len(endorsements):
        key = list(endorsements)[target - 1]
        endorsements = {**endorsements, key: damaged(endorsements[key], dice)}
    else:
        key = list(files)[target - 1 - len(endorsements)]
        files = {**files, key: damaged(files[key], dice)}
    now = _TIMES.get(kind, _NOW)
    started = time.perf_counter()
    for work in (
        lambda: registry.verify_any(
            Evidence(kind, evidence, endorsements),
            collateral=Collateral.from_files(files),
            anchors=registry.pinned_anchors(),
            now=now,
        ),
        lambda: inspect(evidence, kind),
        lambda: decode(evidence),
        lambda: [window_of(name, data) for name, data in files.items()],
        lambda: needs_of(Evidence(kind, evidence, endorsements)),
    ):
        try:
            work()
        except QnspError:
            continue
        except Exception:  # noqa: BLE001  this is what the search is for
            return f"{name}, part {target}: {traceback.format_exc()}"
    seconds = time.perf_counter() - started
    return f"{name}, part {target}: {seconds:.1f} s" if seconds > SLOW_SECONDS else ""


def main(seconds: float, seed: int) -> int:
    """Searches until the time is over; 1 if anything was found."""
    tries, findings, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        found = try_once(random.Random(seed + tries))
        if found:
            findings += 1
            sys.stderr.write(f"seed {seed + tries}: {found}\n")
        tries += 1
    sys.stdout.write(f"{tries} tries from seed {seed}, {findings} findings\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60, int(sys.argv[2]) if len(sys.argv) > 2 else 1))
