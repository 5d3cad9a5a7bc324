"""Every recorded piece of evidence with what it needs to be judged, as parts that a test may change one at a time.

Certificates are taken out of their PEM, reports out of their hex: what is changed is what is judged, not its wrapping.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from qnsp_policy.kernel.attestation import registry
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind, VerifiedClaims
from qnsp_policy.kernel.attestation.x509 import split_pem

_VECTORS: Final = Path(__file__).parents[2] / "vectors"
EVIDENCE: Final = "evidence"


@cache
def read(name: str) -> bytes:
    return (_VECTORS / name).read_bytes()


def _der(name: str, index: int = 0) -> bytes:
    return split_pem(read(name))[index]


@cache
def _tpm(*path: str) -> bytes:
    value: Any = json.loads(read("nitrotpm/vaportpm_test-nitro-fixture.json"))["attestation"]
    for name in path:
        value = value[name]
    return bytes.fromhex(value)


def _hex(name: str) -> bytes:
    return bytes.fromhex(read(name).decode("ascii"))


@dataclass(frozen=True)
class Recorded:
    """One good verification of recorded material.

    Attributes:
        kind, now: of the evidence, and a time at which it is good.
        evidence, endorsements, collateral: bytes by part; collateral that is only a companion is in `beside` and not changed.
    """

    kind: EvidenceKind
    now: datetime
    evidence: bytes
    endorsements: Mapping[str, bytes] = field(default_factory=dict)
    collateral: Mapping[str, bytes] = field(default_factory=dict)
    beside: Mapping[str, bytes] = field(default_factory=dict)

    def parts(self) -> dict[str, bytes]:
        return {EVIDENCE: self.evidence, **self.endorsements, **self.collateral}

    def judge(self, changed: str = "", data: bytes = b"", now: datetime | None = None) -> VerifiedClaims | None:
        """Claims with one part changed; None where it was refused by an error of ours."""
        endorsements = {name: data if name == changed else part for name, part in self.endorsements.items()}
        collateral = {name: data if name == changed else part for name, part in self.collateral.items()}
        try:
            return registry.verify_any(
                Evidence(self.kind, data if changed == EVIDENCE else self.evidence, endorsements),
                collateral=Collateral.from_files({**self.beside, **collateral}),
                anchors=registry.pinned_anchors(),
                now=now or self.now,
            )
        except EvidenceError:
            return None


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


_SNP, _TDX, _SGX = EvidenceKind.SEV_SNP, EvidenceKind.TDX, EvidenceKind.SGX
_ENCLAVE, _TPM, _GPU = EvidenceKind.NITRO_ENCLAVE, EvidenceKind.NITRO_TPM, EvidenceKind.NVIDIA_GPU
_OASIS = "sgx/oasis_tcb_info_v3_fmspc_00606A000000_certs.pem"
_BOARD = "NV_GPU_VBIOS_1010_0200_882_96005E0001.swidtag"


RECORDED: Final[Mapping[str, Callable[[], Recorded]]] = {
    "milan-v3": lambda: Recorded(_SNP, _at("2026-09-01"), read("snp/ms_milan_attestation_report.bin"), {"vcek": _der("snp/ms_milan_vcek.pem"), "ask": _der("snp/ms_milan_ask.pem"), "ark": _der("snp/ms_milan_ark.pem"), "crl": read("snp/kds_milan_20260819.crl.der")}),
    "genoa-v3": lambda: Recorded(_SNP, _at("2026-09-01"), read("snp/ms_genoa_attestation_report.bin"), {"vcek": _der("snp/ms_genoa_vcek.pem"), "ask": _der("snp/ms_genoa_ask.pem")}),
    "milan-v2": lambda: Recorded(_SNP, _at("2026-09-01"), read("snp/trustee_test-report.bin"), {"vcek": read("snp/trustee_test-vcek.der")}, {}, {"ask.pem": read("snp/ms_milan_ask.pem")}),
    "milan-debug": lambda: Recorded(_SNP, _at("2026-09-01"), read("snp/gsg_attestation.bin"), {"vcek": read("snp/gsg_vcek.testcer")}, {}, {"ask.pem": read("snp/ms_milan_ask.pem")}),
    "milan-vlek": lambda: Recorded(_SNP, _at("2025-06-01"), read("snp/trustee_test-vlek-report.bin"), {"vlek": read("snp/trustee_test-vlek.der"), "asvk": _der("snp/gsg_ask_ark_milan_vlek.pem")}),
    "azure": lambda: Recorded(_SNP, _at("2026-09-01"), read("snp/trustee_azsnp_hcl-report.bin"), {"vcek": _der("snp/trustee_azsnp_vcek.pem"), "ask": _der("snp/trustee_azsnp_vcek.pem", 1)}),
    "tdx-phala": lambda: Recorded(_TDX, _at("2025-07-01"), read("tdx/phala_tdx_quote"), {}, {"bundle.json": read("tdx/phala_tdx_quote_collateral.json")}),
    "tdx-oasis": lambda: Recorded(_TDX, datetime.fromtimestamp(1725263032, UTC), read("tdx/oasis_quote_v4_tdx_ecdsa_p256.bin"), {}, {"tcb.json": read("tdx/oasis_tcb_info_v3_tdx_fmspc_C0806F000000.json"), "qe.json": read("tdx/oasis_qe_identity_v2_tdx2.json"), "signing.pem": read(_OASIS)}),
    "tdx-tail": lambda: Recorded(_TDX, _at("2024-09-21"), read("tdx/oasis_quote_v4_tdx_ecdsa_p256_trailing.bin")),
    "tdx-out-of-date": lambda: Recorded(_TDX, _at("2023-07-01"), read("tdx/oasis_quote_v4_tdx_ecdsa_p256_out_of_date.bin")),
    "tdx-debug": lambda: Recorded(_TDX, _at("2023-07-01"), read("tdx/trustee_tdx_quote_4.dat")),
    "tdx-v5": lambda: Recorded(_TDX, _at("2025-07-01"), read("tdx/trustee_tdx_quote_5.dat")),
    "sgx-phala": lambda: Recorded(_SGX, _at("2025-07-01"), read("sgx/phala_sgx_quote"), {}, {"bundle.json": read("sgx/phala_sgx_quote_collateral.json")}),
    "sgx-oasis": lambda: Recorded(_SGX, datetime.fromtimestamp(1671497404, UTC), read("sgx/oasis_quote_v3_ecdsa_p256_pck_chain.bin"), {}, {"tcb.json": read("sgx/oasis_tcb_info_v3_fmspc_00606A000000.json"), "qe.json": read("sgx/oasis_qe_identity_v2.json")}, {"signing.pem": read(_OASIS)}),
    "nitro-anjuna": lambda: Recorded(_ENCLAVE, _at("2021-03-17T22:01:55"), read("nitro/anjuna_attestdoc_sample_prod_doc.bin")),
    "nitro-key": lambda: Recorded(_ENCLAVE, _at("2021-03-24T16:10:41"), read("nitro/anjuna_attestdoc_sample_prod_doc_with_publickey.bin")),
    "nitro-base": lambda: Recorded(_ENCLAVE, _at("2024-02-26T07:02:01"), read("nitro/base_sample_attestation.bin")),
    "nitro-debug": lambda: Recorded(_ENCLAVE, _at("2022-10-12T13:50:06"), read("nitro/evervault_beta_debug-mode-attestation-doc-bytes")),
    "nitro-tpm": lambda: Recorded(_TPM, _at("2026-02-03T10:12:02"), _tpm("nitro", "document"), {"tpm-quote": _tpm("tpm", "ecc_p256", "attest_data"), "tpm-quote-signature": _tpm("tpm", "ecc_p256", "signature")}),
    "hopper-545": lambda: Recorded(_GPU, _at("2025-01-01"), _hex("nvidia/gonvtrust_attestationReport.txt"), {"device-chain": read("nvidia/gonvtrust_gpuAkCertChain.txt")}, {"driver.swidtag": read("nvidia/nvtrust_Driver_RIM_test_no_gpu.swidtag"), _BOARD: read("nvidia/nvtrust_1010_0200_882_96005E0001_test_no_gpu.swidtag")}),
    "hopper-550": lambda: Recorded(_GPU, _at("2025-01-01"), _hex("nvidia/nvtrust_hopperAttestationReport.txt"), {"device-chain": read("nvidia/nvtrust_hopperCertChain.txt")}),
    "ls10": lambda: Recorded(EvidenceKind.NVSWITCH, _at("2026-09-01"), _hex("nvidia/nvat_switchAttestationReport.txt"), {"device-chain": read("nvidia/nvat_switchCertChain.txt")}, {"bios.xml": read("nvidia/nvat_switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml")}),
}  # fmt: skip
"""What the index of the vectors calls valid, at a time at which it is; each is verified again by the tests that use it."""

__all__ = ["EVIDENCE", "RECORDED", "Recorded", "read"]
