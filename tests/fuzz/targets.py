"""What is fuzzed: each parser that reads bytes of strangers, and each verifier with one of its inputs replaced.

A target takes any bytes. An error of ours, or of a parser that documents it, is an answer; anything else is a finding. Seeds are the real
vectors; nothing else is kept.
"""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from cryptography.x509.ocsp import OCSPCertStatus

from qnsp_policy.errors import QnspError
from qnsp_policy.kernel.attestation import additional, der, encodings, event_log, registry, tpm, x509
from qnsp_policy.kernel.attestation.batch import Batch
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.collateral_times import window_of
from qnsp_policy.kernel.attestation.dcap import abi as dcap_abi
from qnsp_policy.kernel.attestation.dcap import documents
from qnsp_policy.kernel.attestation.dcap.codes import Tee
from qnsp_policy.kernel.attestation.inspection import inspect
from qnsp_policy.kernel.attestation.needs import needs_of
from qnsp_policy.kernel.attestation.nitro_enclave import abi as nitro_abi
from qnsp_policy.kernel.attestation.nitro_enclave import eif
from qnsp_policy.kernel.attestation.nras import verify as nras
from qnsp_policy.kernel.attestation.nvidia_gpu import abi as nvidia_abi
from qnsp_policy.kernel.attestation.nvidia_gpu import ocsp, rim
from qnsp_policy.kernel.attestation.sev_snp import abi as snp_abi
from qnsp_policy.kernel.attestation.sev_snp import hcl, table
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind
from qnsp_policy.kernel.crypto import cms
from qnsp_policy.kernel.images import cpio, oci
from qnsp_policy.kernel.images import eif as eif_writer
from qnsp_policy.kernel.images.tree import Entry, Tree, TreeError
from qnsp_policy.kernel.wire import nsm, tpm2
from qnsp_policy.simulator import nvidia

VECTORS: Final = Path(__file__).parents[1] / "vectors"
_ANSWERS: Final = (
    QnspError,
    x509.CertificateError,
    der.DerError,
    event_log.EventLogError,
    tpm.QuoteError,
    documents.DocumentFormError,
    eif.EifError,
    eif_writer.EifSignatureError,
    TreeError,
)
"""Errors that a parser may raise on bytes of a stranger."""


@dataclass(frozen=True)
class Target:
    """One thing to fuzz: what is run on the bytes, and where it starts from."""

    run: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]

    def __call__(self, data: bytes) -> None:
        try:
            self.run(data)
        except _ANSWERS:
            return


@cache
def vector(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def _files(*names: str) -> Callable[[], list[bytes]]:
    return lambda: [vector(name) for name in names]


def _hex(name: str) -> bytes:
    return bytes.fromhex(vector(name).decode("ascii"))


def _certificates() -> list[bytes]:
    names = (
        "snp/ms_milan_vcek.pem",
        "snp/ms_milan_ark.pem",
        "tdx/gtg_trusted_root.pem",
        "nvidia/nvtrust_hopperCertChain.txt",
    )
    return [encoded for name in names for encoded in x509.split_pem(vector(name))] + [vector("snp/trustee_test-vlek.der")]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A good verification; a fuzzer replaces one of its parts at a time (first byte: which)."""

    kind: EvidenceKind
    evidence: Callable[[], bytes]
    now: datetime
    endorsements: Mapping[str, str] = field(default_factory=dict)
    collateral: Sequence[str] = ()

    def parts(self) -> list[bytes]:
        return [self.evidence(), *map(vector, self.endorsements.values()), *map(vector, self.collateral)]

    def judge(self, parts: Sequence[bytes]) -> None:
        endorsements = dict(zip(self.endorsements, parts[1:], strict=False))
        files = dict(zip(self.collateral, parts[1 + len(endorsements) :], strict=True))
        evidence = Evidence(self.kind, parts[0], endorsements)
        for work in (
            lambda: registry.verify_any(
                evidence,
                collateral=Collateral.from_files(files),
                anchors=registry.pinned_anchors(),
                now=self.now,
            ),
            lambda: needs_of(evidence),
        ):
            try:
                work()
            except QnspError:
                continue

    def run(self, data: bytes) -> None:
        parts = self.parts()
        which = data[0] % len(parts) if data else 0
        self.judge([data[1:] if index == which else part for index, part in enumerate(parts)])

    def seeds(self) -> list[bytes]:
        return [bytes([index]) + part for index, part in enumerate(self.parts())]


_NOW: Final = datetime(2026, 9, 1, tzinfo=UTC)
_MID_2025: Final = datetime(2025, 7, 1, tzinfo=UTC)
CASES: Final[Mapping[str, Case]] = {
    "verify-sev-snp": Case(EvidenceKind.SEV_SNP, lambda: vector("snp/ms_milan_attestation_report.bin"), _NOW, {"vcek": "snp/ms_milan_vcek.pem", "ask": "snp/ms_milan_ask.pem"}, ["snp/kds_milan_20260819.crl.der"]),
    "verify-azure": Case(EvidenceKind.SEV_SNP, lambda: vector("snp/trustee_azsnp_hcl-report.bin"), _NOW, {"chain": "snp/trustee_azsnp_vcek.pem"}),
    "verify-tdx": Case(EvidenceKind.TDX, lambda: vector("tdx/phala_tdx_quote"), _MID_2025, {}, ["tdx/phala_tdx_quote_collateral.json"]),
    "verify-sgx": Case(EvidenceKind.SGX, lambda: vector("sgx/phala_sgx_quote"), _MID_2025, {}, ["sgx/phala_sgx_quote_collateral.json"]),
    "verify-nitro": Case(EvidenceKind.NITRO_ENCLAVE, lambda: vector("nitro/anjuna_attestdoc_sample_prod_doc.bin"), datetime(2021, 3, 17, 22, 2, tzinfo=UTC)),
    "verify-nvidia": Case(EvidenceKind.NVIDIA_GPU, lambda: _hex("nvidia/gonvtrust_attestationReport.txt"), datetime(2025, 1, 1, tzinfo=UTC), {"device-chain": "nvidia/gonvtrust_gpuAkCertChain.txt"}, ["nvidia/nvtrust_Driver_RIM_test_no_gpu.swidtag", "nvidia/nvtrust_1010_0200_882_96005E0001_test_no_gpu.swidtag"]),
    "verify-nras": Case(EvidenceKind.NRAS, lambda: vector("nras/nvat_sample_attestation_data_hopperClaimsv3_detached_eat.json"), _NOW),
}  # fmt: skip


def _nitro_tpm() -> list[bytes]:
    fixture = json.loads(vector("nitrotpm/vaportpm_test-nitro-fixture.json"))
    return [bytes.fromhex(fixture["attestation"]["nitro"]["document"])]


def _quotes() -> list[bytes]:
    fixture = json.loads(vector("nitrotpm/vaportpm_test-nitro-fixture.json"))
    return [bytes.fromhex(one["attest_data"]) for one in fixture["attestation"]["tpm"].values()]


def _event_logs() -> list[bytes]:
    head = b"Spec ID Event03\0" + bytes(4) + b"\0\2\0\2" + (1).to_bytes(4, "little") + b"\x0c\0\x30\0" + b"\0"
    first = (1).to_bytes(4, "little") + (3).to_bytes(4, "little") + bytes(20) + len(head).to_bytes(4, "little") + head
    event = b"".join(number.to_bytes(4, "little") for number in (2, 13, 1)) + b"\x0c\0" + b"\x5a" * 48
    event += (4).to_bytes(4, "little") + b"data"
    return [first + event * 3, first + event + b"\xff" * 64]


def _tables() -> list[bytes]:
    vcek, ask = (x509.split_pem(vector(f"snp/ms_milan_{name}.pem"))[0] for name in ("vcek", "ask"))
    return [table.build({"vcek": vcek, "ask": ask}), bytes(24)]


@cache
def _device() -> nvidia.Device:
    return nvidia.make_device(nvidia.mint_pki(_NOW))


@cache
def _ocsp_answers() -> tuple[bytes, ...]:
    """No vector holds one: answers of a minted vendor, good and revoked, one with a nonce."""
    child, issuer = _device().chain[1:3]
    revoked = nvidia.ocsp_answer(child, issuer, _NOW, status=OCSPCertStatus.REVOKED)
    return nvidia.ocsp_answer(child, issuer, _NOW, nonce=b"n" * 16), revoked


def _answered(data: bytes) -> None:
    """An answer is read and held against the chain of the minted device."""
    answer = ocsp.parse(data)
    chain = [x509.load_certificate(one.certificate) for one in _device().chain]
    ocsp.is_about_any(answer, [chain])
    for child, issuer in itertools.pairwise(chain):
        ocsp.check(child, issuer, (answer,), now=_NOW, nonce=b"n" * 16)


def _texts() -> list[bytes]:
    report = vector("snp/ms_milan_attestation_report.bin")
    return [
        report.hex().encode(),
        base64.b64encode(report),
        json.dumps({"kind": "sev-snp", "evidence": list(report[:64])}).encode(),
        vector("nitrotpm/vaportpm_test-nitro-fixture.json"),
    ]


def _additional() -> list[bytes]:
    entry = {"arch": "HOPPER", "uuid": "u", "evidence": "EQ==", "certificate": "MIIB"}
    return [
        json.dumps({"nvidia": {"device_evidence_list": [entry, {**entry, "arch": "LS10"}]}}).encode(),
        json.dumps({"sampledevice": json.dumps({"svn": "1", "report_data": ""})}).encode(),
    ]


class _NoFiles:
    """Every name leads to the same report, every folder is empty."""

    def read(self, name: str) -> bytes:
        if name == "missing":
            raise FileNotFoundError(2, "no such file")
        return vector("snp/ms_milan_attestation_report.bin")

    def folder(self, name: str) -> Mapping[str, bytes]:
        return {}

    def is_folder(self, name: str) -> bool:
        return name == "folder"


def _batch_lines() -> list[bytes]:
    good = {"id": 1, "kind": "auto", "evidence": "e", "endorsements": {"vcek": "v"}, "collateral": "folder", "now": "2026-09-01T00:00:00Z"}  # fmt: skip
    more = {
        **good,
        "alternatives": [{"name": "a", "equals": {"vmpl": 0}, "floors": {"guestSvn": 1}, "devices": [], "notAfter": None}],
        "requireChecked": ["*"],
        "machine": {"gpus": 1, "switches": 0, "mode": "spt"},
        "binding": {"nonce": "n", "teePubkey": {"kty": "EC"}, "additionalEvidence": "e"},
        "anchors": ["e", {"certificate": "e", "vendor": "amd", "line": "Milan", "assurance": "simulated"}],
    }  # fmt: skip
    return [json.dumps(one).encode() for one in (good, more)]


def _line(data: bytes) -> None:
    """A line is always answered, and never with the code that stands for a failure of ours."""
    answer = Batch(_NoFiles(), _NOW).judge_line(data)
    if answer["code"] == "QNSP-ATT-BAT-005":
        raise AssertionError(answer["detail"])


def _inspected(data: bytes) -> None:
    for kind in (None, *EvidenceKind):
        try:
            inspect(data, kind)
        except QnspError:
            continue


def _evidence() -> list[bytes]:
    return [case.evidence() for case in CASES.values()] + _nitro_tpm() + [b'{"svn":"1","report_data":""}']


def _image(data: bytes) -> None:
    """An image whose CRC is put right, so that what follows it is reached."""
    whole = data[:544] + zlib.crc32(data[548:], zlib.crc32(data[:544])).to_bytes(4, "big") + data[548:]
    image = eif.parse(whole)
    eif.pcrs(image)
    eif_writer.verify_signature(image)


def _tpm_answer(data: bytes) -> None:
    for command in (tpm2.get_nv_handles(), tpm2.nv_read(tpm2.NV_FIRST, b"", 8, 0)):
        parameters = tpm2.parameters(command, data)
        (tpm2.sized if command.has_sessions else tpm2.capability)(command, parameters)


def _json_hex(name: str, *members: str) -> Callable[[], list[bytes]]:
    return lambda: [bytes.fromhex(json.loads(vector(name))[member]) for member in members]


def _archive() -> list[bytes]:
    tree = Tree()
    tree.add("bin/app", Entry("file", b"app", executable=True))
    tree.add("l", Entry("link", b"bin"))
    return [cpio.write(tree)]


TARGETS: Final[Mapping[str, Target]] = {
    "snp-report": Target(snp_abi.parse, _files("snp/ms_milan_attestation_report.bin", "snp/trustee_test-report.bin")),
    "snp-table": Target(table.parse, _tables),
    "azure-hcl": Target(hcl.parse, _files("snp/trustee_azsnp_hcl-report.bin")),
    "tpm-quote": Target(tpm.parse_quote, _quotes),
    "tdx-quote": Target(lambda data: dcap_abi.parse(data, Tee.TDX), _files("tdx/phala_tdx_quote", "tdx/trustee_tdx_quote_5.dat")),
    "sgx-quote": Target(lambda data: dcap_abi.parse(data, Tee.SGX), _files("sgx/phala_sgx_quote", "sgx/oasis_quote_v3_ecdsa_p256_eppid.bin")),
    "pcs-json": Target(lambda data: documents.read(Collateral((), (), {"file.json": data})), _files("tdx/phala_tdx_quote_collateral.json", "tdx/oasis_qe_identity_v2_tdx.json", "sgx/oasis_tcb_info_v3_fmspc_00606A000000.json")),
    "event-log": Target(lambda data: event_log.replay(event_log.parse(data)), _event_logs),
    "certificate": Target(x509.load_certificate, _certificates),
    "crl": Target(x509.load_crl, _files("snp/kds_milan_20260819.crl.der")),
    "pem": Target(lambda data: (x509.only_pem(data), x509.split_pem(data)), _files("snp/ms_milan_vcek.pem", "nvidia/nvtrust_hopperCertChain.txt")),
    "ocsp": Target(_answered, _ocsp_answers),
    "rim": Target(rim.identify_rim, _files("nvidia/nvtrust_Driver_RIM_test_no_gpu.swidtag", "nvidia/nvat_incorrect_signature_driver_rim.xml")),
    "spdm": Target(nvidia_abi.parse, lambda: [_hex("nvidia/gonvtrust_attestationReport.txt"), vector("nvidia/nvat_switchAttestationReport.txt")]),
    "nitro-enclave": Target(lambda data: nitro_abi.parse(data, EvidenceKind.NITRO_ENCLAVE), _files("nitro/anjuna_attestdoc_sample_prod_doc.bin", "nitro/base_sample_attestation.bin")),
    "nitro-tpm": Target(lambda data: nitro_abi.parse(data, EvidenceKind.NITRO_TPM), _nitro_tpm),
    "nras": Target(nras.read_unverified, _files("nras/nvat_sample_attestation_data_hopperClaimsv3_detached_eat.json")),
    "additional": Target(lambda data: additional.devices_of(data.decode("utf-8", "replace")), _additional),
    "encodings": Target(lambda data: [encodings.decode(data, kind) for kind in (None, EvidenceKind.TDX)], _texts),
    "collateral": Target(lambda data: [(Collateral.from_files({name: data}), window_of(name, data)) for name in ("a.pem", "a.crl", "a.json", "a.ocsp", "a")], lambda: [*_certificates(), vector("tdx/phala_tdx_quote_collateral.json"), vector("nvidia/nvtrust_Driver_RIM_test_no_gpu.swidtag")]),
    "eif": Target(_image, _json_hex("eif/aws_builder.json", "plain", "signed")),
    "cms": Target(cms.parse, _json_hex("cms/aws_kms_ciphertext_for_recipient.json", "envelope")),
    "cpio": Target(cpio.read, _archive),
    "oci": Target(oci.manifests, lambda: [bytes(1024)]),
    "nsm": Target(lambda data: (nsm.read_attestation(data, buffer=True), nsm.read_request(data)), lambda: [nsm.answer("Attestation", {"document": b"d" * 40}), nsm.error("InternalError"), nsm.attestation_request(user_data=b"u")]),
    "tpm-answer": Target(_tpm_answer, lambda: [bytes.fromhex("80010000001700000000000000000100000001018000ff"), bytes.fromhex("8002000000180000000000000004000261620000010000")]),
    "inspect": Target(_inspected, _evidence),
    "batch-line": Target(_line, _batch_lines),
    **{name: Target(case.run, case.seeds) for name, case in CASES.items()},
}  # fmt: skip

__all__ = ["CASES", "TARGETS", "VECTORS", "Case", "Target", "vector"]
