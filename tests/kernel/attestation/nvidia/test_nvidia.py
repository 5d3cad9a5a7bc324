"""NVIDIA GPU and NVSwitch evidence: real reports, every bad input of the facts, minted Hopper, Blackwell and switches."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nvidia_gpu import abi, rim
from qnsp_policy.kernel.attestation.nvidia_gpu.anchors import ANCHORS
from qnsp_policy.kernel.attestation.nvidia_gpu.machine import Machine
from qnsp_policy.kernel.attestation.nvidia_gpu.machine import judge as judge_machine
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.registry import verify_any
from qnsp_policy.kernel.attestation.values import (
    Anchor,
    AssuranceClass,
    Evidence,
    EvidenceKind,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.simulator import nvidia

Read = Callable[[str], bytes]
GPU, SWITCH = EvidenceKind.NVIDIA_GPU, EvidenceKind.NVSWITCH
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NONCE = b"q" * 32
IN_RIM_TIME = datetime(2024, 6, 1, tzinfo=UTC)
DRIVER_RIM, VBIOS_RIM = "nvtrust_Driver_RIM_test_no_gpu.swidtag", "nvtrust_1010_0200_882_96005E0001_test_no_gpu.swidtag"
SWITCH_RIM = "nvat_switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml"


def stated(claims: VerifiedClaims) -> dict[str, Verdict]:
    return {statement.name: statement.verdict for statement in claims.statements}


def real(
    vector: Read, report: str, chain: str, rims: tuple[str, ...], now: datetime, kind: EvidenceKind = GPU
) -> VerifiedClaims:
    evidence = Evidence(kind, vector(f"nvidia/{report}"), {"device-chain": vector(f"nvidia/{chain}")})
    files = {name: vector(f"nvidia/{name}") for name in rims}
    return verify_any(evidence, collateral=Collateral.from_files(files), anchors=ANCHORS, now=now)


def real_code(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(EvidenceError) as caught:
        real(*args, **kwargs)
    return caught.value.code


def test_real_h100_matches_both_rims(vector: Read) -> None:
    """A real H100 report: chain to NVIDIA's root, and each measurement is one that driver and VBIOS RIM allow."""
    claims = real(
        vector, "gonvtrust_attestationReport.txt", "gonvtrust_gpuAkCertChain.txt", (DRIVER_RIM, VBIOS_RIM), IN_RIM_TIME
    )
    assert claims.assurance is AssuranceClass.HARDWARE_TEE
    assert (claims.claims["driverVersion"], claims.claims["vbiosVersion"]) == ("545.00", "96.00.5E.00.01")
    assert stated(claims)["measurements"] is Verdict.OK
    assert stated(claims)["firmware-id"] is stated(claims)["revocation"] is Verdict.NOT_CHECKED


def test_real_h100_firmware_id(vector: Read) -> None:
    """A report with a firmware id: it is the leaf's; without RIMs the measurements are said to be unchecked."""
    claims = real(vector, "nvtrust_hopperAttestationReport.txt", "nvtrust_hopperCertChain.txt", (), IN_RIM_TIME)
    assert stated(claims)["firmware-id"] is Verdict.OK
    assert stated(claims)["measurements"] is Verdict.NOT_CHECKED


def test_real_switch_matches_its_rim(vector: Read) -> None:
    """A real LS10 report matches all 31 measurements of its BIOS RIM."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    claims = real(vector, "nvat_switchAttestationReport.txt", "nvat_switchCertChain.txt", (SWITCH_RIM,), now, SWITCH)
    assert stated(claims)["measurements"] is Verdict.OK
    assert claims.claims["pdi"] == "203eb31ad9ed0008"


@pytest.mark.parametrize(
    ("report", "chain", "rims", "now", "code"),
    [
        ("gonvtrust_attestationReport.txt", "gonvtrust_gpuAkCertChain.txt", (DRIVER_RIM,), NOW, "044"),
        ("gonvtrust_attestationReport.txt", "gonvtrust_invalidCertChain.txt", (), IN_RIM_TIME, "013"),
        ("gonvtrust_attestationReport.txt", "nvtrust_hopperCertChain.txt", (), IN_RIM_TIME, "019"),
        (
            "nvat_sample_attestation_data_gpu_hopperAttestationReportInvalidSignature.txt",
            "nvat_sample_attestation_data_gpu_hopperCertChain.txt",
            (),
            IN_RIM_TIME,
            "019",
        ),
        (
            "nvtrust_hopperAttestationReport.txt",
            "nvtrust_hopperCertChain.txt",
            (DRIVER_RIM, VBIOS_RIM),
            IN_RIM_TIME,
            "047",
        ),
        ("nvat_switchAttestationReport.txt", "nvat_switchCertChain.txt", (), IN_RIM_TIME, "012"),
        (
            "gonvtrust_attestationReport.txt",
            "gonvtrust_gpuAkCertChain.txt",
            ("nvat_incorrect_signature_driver_rim.xml",),
            datetime(2025, 6, 1, tzinfo=UTC),
            "045",
        ),
    ],
)
def test_real_refusals(vector: Read, report: str, chain: str, rims: tuple[str, ...], now: datetime, code: str) -> None:
    """Expired RIM signer, missing BROM, another device's leaf, bad signature, other versions, a switch as GPU, bad RIM."""
    assert real_code(vector, report, chain, rims, now) == f"QNSP-ATT-NV-{code}"


def test_rim_signer_window_is_exact(vector: Read) -> None:
    """A RIM's verdict changes exactly at the ends of its signer's certificates."""
    args = (vector, "gonvtrust_attestationReport.txt", "gonvtrust_gpuAkCertChain.txt", (VBIOS_RIM,))
    end = datetime(2025, 6, 22, 9, 38, 54, tzinfo=UTC)
    real(*args, end)
    assert real_code(*args, end + SECOND) == "QNSP-ATT-NV-044"


class Bench:
    """One good minted device with its collateral, and the verdict on what is done to it."""

    def __init__(self, pki: nvidia.NvidiaPki, **options: Any) -> None:
        self.pki = pki
        self.device = nvidia.make_device(pki, **options)
        self.kind = SWITCH if 26 in self.device.opaque else GPU
        self.files = {**nvidia.rims_for(self.device), **nvidia.answers_for(self.device, NOW)}
        self.anchors = [
            Anchor("simulator", one.certificate, AssuranceClass.SIMULATED)
            for one in (pki.device_root, pki.rim_chain[0])
        ]

    def judge(
        self,
        report: bytes | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        chain: bytes | None = None,
        now: datetime = NOW,
        kind: EvidenceKind | None = None,
    ) -> VerifiedClaims:
        evidence = Evidence(
            kind or self.kind,
            self.device.report(NONCE) if report is None else report,
            {"device-chain": self.device.chain_pem if chain is None else chain},
        )
        collateral = Collateral.from_files(self.files if files is None else files)
        return verify_any(evidence, collateral=collateral, anchors=self.anchors, now=now)

    def code(self, *args: Any, **kwargs: Any) -> str:
        with pytest.raises(EvidenceError) as caught:
            self.judge(*args, **kwargs)
        return caught.value.code.removeprefix("QNSP-ATT-NV-")

    def signed(self, change: Callable[[bytes], bytes]) -> bytes:
        return nvidia.sign_report(self.device, change(nvidia.body(self.device, NONCE)))


@pytest.fixture(scope="module")
def pki() -> nvidia.NvidiaPki:
    return nvidia.mint_pki(NOW)


@pytest.fixture(scope="module")
def bench(pki: nvidia.NvidiaPki) -> Bench:
    return Bench(pki)


@pytest.mark.parametrize("options", [{}, {"blackwell": True}, {"switch": True}], ids=["hopper", "blackwell", "ls10"])
def test_minted_devices_verify_whole(pki: nvidia.NvidiaPki, options: dict[str, bool]) -> None:
    """With every collateral nothing stays unchecked but what a switch does not state; simulated is never ok."""
    claims = Bench(pki, **options).judge()
    verdicts = stated(claims)
    assert verdicts.pop("freshness") is Verdict.NOT_CHECKED
    if options.get("switch"):
        assert verdicts.pop("firmware-id") is Verdict.NOT_CHECKED
    assert set(verdicts.values()) == {Verdict.SIMULATED}
    assert claims.assurance is AssuranceClass.SIMULATED
    assert claims.report_data == NONCE


def cut(size: int) -> Callable[[bytes], bytes]:
    return lambda good: good[:-size]


def put(at: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda good: good[:at] + value + good[at + len(value) :]


FIRST_BLOCK = 37 + 8
BAD_FRAMES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "SPDM 1.0": (put(37, b"\x10"), "002"),
    "SPDM 1.2": (put(37, b"\x12"), "002"),
    "request SPDM 1.2": (put(0, b"\x12"), "002"),
    "request without signature": (put(2, b"\x00"), "003"),
    "code not 0x60": (put(38, b"\x61"), "004"),
    "one block fewer stated": (put(41, bytes([63])), "005"),
    "index given twice": (put(FIRST_BLOCK, b"\x02"), "007"),
    "index zero": (put(FIRST_BLOCK, b"\x00"), "007"),
    "specification 2": (put(FIRST_BLOCK + 1, b"\x02"), "006"),
    "size mismatch": (put(FIRST_BLOCK + 2, b"\x32"), "006"),
    "record overrun": (put(42, b"\xff\xff\x0f"), "001"),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frames(bench: Bench, name: str) -> None:
    """One mutation of a good frame under a good signature, one code."""
    change, code = BAD_FRAMES[name]
    assert bench.code(bench.signed(change)) == code


def test_signature_lengths(bench: Bench) -> None:
    """95 or 97 bytes of signature are refused, as is an empty report."""
    good = bench.device.report(NONCE)
    assert bench.code(good[:-1]) == "008"
    assert bench.code(good + b"\0") == "008"
    assert bench.code(b"") == "001"
    assert bench.code(b"\x11" * 200_000) == "001"


def test_opaque_data(bench: Bench) -> None:
    """Overrun and duplicate fields are refused; an unknown field is carried along without harm."""
    device = bench.device
    raw = nvidia.body(device, NONCE)
    field = b"\x03\x00\x07\x00" + device.opaque[3]
    start = raw.rindex(field)
    assert bench.code(nvidia.sign_report(device, put(start + 2, b"\xff\xff")(raw))) == "009"
    assert bench.code(nvidia.sign_report(device, put(start, b"\x06\x00")(raw))) == "010"
    bench.judge(device.report(NONCE, opaque={**device.opaque, 999: b"new"}))
    assert bench.code(device.report(NONCE, opaque={**device.opaque, 11: b"\x01"})) == "011"
    assert bench.code(device.report(NONCE, opaque={**device.opaque, 3: b"\xff\xfe"})) == "011"


def test_device_kinds_are_exclusive(pki: nvidia.NvidiaPki, bench: Bench) -> None:
    """A GPU's report at the switch's entry and the reverse are refused."""
    assert bench.code(kind=SWITCH) == "012"
    assert Bench(pki, switch=True).code(kind=GPU) == "012"


def test_device_chain(pki: nvidia.NvidiaPki, bench: Bench) -> None:
    """Four certificates, another order, another device's leaf, a self-made root: each its code."""
    blocks = [nvidia.pem(authority.certificate) for authority in bench.device.chain]
    other = nvidia.make_device(pki)
    foreign = nvidia.make_device(nvidia.mint_pki(NOW))
    assert bench.code(chain=b"".join(blocks[:4])) == "013"
    assert bench.code(chain=b"".join([blocks[1], blocks[0], *blocks[2:]])) == "016"
    assert bench.code(chain=b"".join([nvidia.pem(other.chain[0].certificate), *blocks[1:]])) == "016"
    assert bench.code(chain=other.chain_pem) == "019"
    assert bench.code(chain=foreign.chain_pem) == "015"
    assert (
        bench.code(chain=b"".join([*blocks[:4], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]))
        == "015"
    )
    assert bench.code(now=NOW - timedelta(days=11)) == "018"
    with pytest.raises(EvidenceError) as caught:
        verify_any(Evidence(GPU, bench.device.report(NONCE)), collateral=Collateral(), anchors=bench.anchors, now=NOW)
    assert caught.value.code == "QNSP-ATT-NV-023"


@pytest.mark.parametrize("blackwell", [False, True], ids=["hopper", "blackwell"])
def test_firmware_id(pki: nvidia.NvidiaPki, blackwell: bool) -> None:
    """Another or a zero firmware id is refused; an absent one is said to be unchecked."""
    bench = Bench(pki, blackwell=blackwell)
    opaque = dict(bench.device.opaque)
    assert bench.code(bench.device.report(NONCE, opaque={**opaque, 20: b"\1" * 48})) == "020"
    assert bench.code(bench.device.report(NONCE, opaque={**opaque, 20: bytes(48)})) == "021"
    del opaque[20]
    assert stated(bench.judge(bench.device.report(NONCE, opaque=opaque)))["firmware-id"] is Verdict.NOT_CHECKED


def test_request_nonce_is_not_the_responders(bench: Bench) -> None:
    """What a verifier asked with is the request's nonce; the device's own proves no freshness."""
    report = abi.parse(bench.device.report(NONCE))
    assert bench.judge().report_data == NONCE != report.responder_nonce


def rim_of(bench: Bench, **changes: Any) -> bytes:
    values = {index - 1: [value] for index, value in bench.device.measurements.items() if index > 12}
    options: dict[str, Any] = {"version": "580.10"} | changes
    return nvidia.sign_rim(bench.pki.rim_chain, nvidia.rim_tree(values, **options))


def edited(pattern: bytes, text: bytes) -> Callable[[bytes], bytes]:
    def change(good: bytes) -> bytes:
        found, count = re.subn(pattern, text, good, count=1, flags=re.DOTALL)
        assert count == 1
        return found

    return change


BAD_RIMS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "not XML": (lambda _: b"<SoftwareIdentity", "040"),
    "a DTD": (lambda good: b'<!DOCTYPE x [<!ENTITY e "v">]>' + good, "040"),
    "a comment": (edited(rb"<swid:Payload>", b"<swid:Payload><!-- c -->"), "040"),
    "a processing instruction": (edited(rb"<swid:Payload>", b"<swid:Payload><?p i?>"), "040"),
    "an xml attribute": (edited(rb"<swid:Payload>", b'<swid:Payload xml:id="p">'), "040"),
    "another root element": (lambda good: b"<x>" + good + b"</x>", "040"),
    "no signature": (edited(rb"<ds:Signature .*</ds:Signature>", b""), "041"),
    "two signatures": (edited(rb"(<ds:Signature .*</ds:Signature>)", rb"\1\1"), "041"),
    "a wrapped signature": (edited(rb"(<ds:Signature .*</ds:Signature>)", rb"<swid:Meta>\1</swid:Meta>"), "041"),
    "an external reference": (edited(rb'URI=""', b'URI="file:///etc/passwd"'), "042"),
    "a fragment reference": (edited(rb'URI=""', b'URI="#part"'), "042"),
    "SHA-1": (edited(rb"xmldsig-more#sha384", b"sha1"), "042"),
    "another transform": (edited(rb"xmldsig#enveloped-signature", b"xmldsig#base64"), "042"),
    "a third transform": (edited(rb"</ds:Transforms>", b'<ds:Transform Algorithm="x"/></ds:Transforms>'), "042"),
    "RSA": (edited(rb"ecdsa-sha384", b"rsa-sha384"), "042"),
    "a changed digest value": (edited(rb"<ds:DigestValue>....", b"<ds:DigestValue>AAAA"), "045"),
    "a changed signature": (edited(rb"<ds:SignatureValue>....", b"<ds:SignatureValue>AAAA"), "045"),
    "a changed measurement": (edited(rb'Hash0="[1-9a-f]', b'Hash0="0'), "046"),
    "an entry switched off": (edited(rb'active="True"', b'active="False"'), "046"),
    "another version": (edited(rb'colloquialVersion="580.10"', b'colloquialVersion="580.11"'), "046"),
    "one certificate fewer": (
        edited(rb"<ds:X509Certificate>[^<]*</ds:X509Certificate></ds:X509Data>", b"</ds:X509Data>"),
        "043",
    ),
}


@pytest.mark.parametrize("name", BAD_RIMS)
def test_bad_rims(bench: Bench, name: str) -> None:
    """One mutation of a good RIM, one code; nothing of it is read before its signature and digest hold."""
    change, code = BAD_RIMS[name]
    good = rim_of(bench)
    bench.judge(files={"driver.xml": good})
    bad = change(good)
    assert bad != good
    if b"SoftwareIdentity" not in bad[:2048]:
        pytest.fail("not recognised as a RIM")
    assert bench.code(files={"driver.xml": bad}) == code


def test_rim_signers(bench: Bench) -> None:
    """A debug root, an expired signer, a signer that is a certification authority: refused."""
    stranger = nvidia.mint_pki(NOW)
    tree = nvidia.rim_tree({}, version="580.10")
    assert bench.code(files={"driver.xml": nvidia.sign_rim(stranger.rim_chain, tree)}) == "043"
    assert bench.code(files={"driver.xml": rim_of(bench)}, now=NOW + timedelta(days=721)) == "044"
    by_authority = nvidia.sign_rim(bench.pki.rim_chain[:3], nvidia.rim_tree({}, version="580.10"))
    assert bench.code(files={"driver.xml": by_authority}) == "043"


def test_rim_choice(bench: Bench) -> None:
    """Another driver's RIM, another board's VBIOS RIM, one relabelled, one without a board in its name."""
    assert bench.code(files={"driver.xml": rim_of(bench, version="570.00")}) == "047"
    vbios = next(data for name, data in bench.files.items() if "VBIOS" in name)
    assert bench.code(files={"NV_GPU_VBIOS_1010_0200_882_9600740001.xml": vbios}) == "048"
    unnamed = bench.judge(files={"driver.xml": rim_of(bench), "vbios.xml": vbios})
    assert stated(unnamed)["measurements"] is Verdict.NOT_CHECKED
    only_driver = bench.judge(files={"driver.xml": rim_of(bench)})
    assert stated(only_driver)["measurements"] is Verdict.NOT_CHECKED


def test_measurements(bench: Bench) -> None:
    """One bit off, a missing block, an index active twice, an alternative, an inactive entry, the NVDEC exception."""
    device = bench.device
    changed = dict(device.measurements)
    changed[20] = bytes([changed[20][0] ^ 1]) + changed[20][1:]
    assert bench.code(device.report(NONCE, measurements=changed)) == "051"
    assert (
        bench.code(device.report(NONCE, measurements={k: v for k, v in device.measurements.items() if k != 64}))
        == "052"
    )
    swapped = dict(device.measurements)
    swapped[30], swapped[31] = swapped[31], swapped[30]
    assert bench.code(device.report(NONCE, measurements=swapped)) == "051"
    bench.judge(
        device.report(NONCE, measurements={**device.measurements, 30: bytes(48)})
    )  # the RIM's other alternative
    both = dict(bench.files)
    name = next(name for name in both if "VBIOS" in name)
    values = {index - 1: [value] for index, value in device.measurements.items()}
    both[name] = nvidia.sign_rim(bench.pki.rim_chain, nvidia.rim_tree(values, version="96.00.74.00.01"))
    assert bench.code(files=both) == "050"
    without = {**device.measurements, 36: b"\7" * 48}
    assert bench.code(device.report(NONCE, measurements=without)) == "051"
    bench.judge(device.report(NONCE, measurements=without, opaque={**device.opaque, 11: b"\x55"}))


def test_ocsp(bench: Bench) -> None:
    """Revoked, on hold, unknown, stale, about another certificate, by a stranger, without the nonce: each its code."""
    good = bench.files
    _, brom, provisioner, identity, _ = bench.device.chain

    def refused(answer: bytes, **kwargs: Any) -> str:
        return bench.code(files={**good, "0.ocsp": answer}, **kwargs)

    def answer(**options: Any) -> bytes:
        return nvidia.ocsp_answer(brom, provisioner, NOW, **options)

    revoked = ocsp.OCSPCertStatus.REVOKED
    assert refused(answer(status=revoked, reason=x509.ReasonFlags.key_compromise)) == "030"
    assert refused(answer(status=revoked)) == "030"
    assert refused(answer(status=revoked, reason=x509.ReasonFlags.certificate_hold)) == "031"
    assert refused(answer(status=ocsp.OCSPCertStatus.UNKNOWN)) == "032"
    bench.judge(now=NOW + timedelta(days=7))
    assert bench.code(now=NOW + timedelta(days=7) + SECOND) == "033"
    assert bench.code(now=NOW - timedelta(hours=1) - SECOND) == "033"
    other = nvidia.make_device(bench.pki)
    assert refused(nvidia.ocsp_answer(other.chain[1], other.chain[2], NOW)) == "034"
    assert refused(answer(signer=identity)) == "035"
    assert refused(answer()[:-1]) == "036"
    assert refused(b"noise") == "036"
    assert bench.code(files={**good, "ocsp-nonce.hex": b"aa" * 16}) == "037"
    without = {name: data for name, data in good.items() if not name.endswith(".ocsp")}
    assert stated(bench.judge(files=without))["revocation"] is Verdict.NOT_CHECKED
    partly = {name: data for name, data in good.items() if name != "0.ocsp"}
    assert stated(bench.judge(files=partly))["revocation"] is Verdict.NOT_CHECKED


def test_ocsp_delegation(bench: Bench) -> None:
    """A responder that the issuer certified for OCSP signing may answer; one without that usage, or of another issuer, not."""
    _, brom, provisioner, identity, _ = bench.device.chain
    for by, authorised, accepted in ((provisioner, True, True), (provisioner, False, False), (identity, True, False)):
        helper = nvidia.responder(by, NOW, authorised=authorised)
        answer = nvidia.ocsp_answer(brom, provisioner, NOW, signer=helper, certificates=[helper])
        if accepted:
            bench.judge(files={**bench.files, "0.ocsp": answer})
        else:
            assert bench.code(files={**bench.files, "0.ocsp": answer}) == "035"


def test_ocsp_nonce_is_matched(bench: Bench) -> None:
    """Answers that carry the nonce they were asked for are taken."""
    pairs = zip(bench.device.chain[1:4], bench.device.chain[2:5], strict=True)
    answers = {
        f"{i}.ocsp": nvidia.ocsp_answer(child, issuer, NOW, nonce=b"n" * 16) for i, (child, issuer) in enumerate(pairs)
    }
    claims = bench.judge(files={**answers, "ocsp-nonce.hex": (b"n" * 16).hex().encode()})
    assert stated(claims)["revocation"] is Verdict.SIMULATED


class Node:
    """A whole PPCIE node: eight Hopper GPUs and four switches whose neighbours agree."""

    def __init__(self, pki: nvidia.NvidiaPki) -> None:
        anchors = [Anchor("simulator", pki.device_root.certificate, AssuranceClass.SIMULATED)]
        switch_ids = [bytes([index]) * 7 + b"\1" for index in range(1, 5)]
        gpu_ids = b"".join(bytes([0x40 + index]) * 8 for index in range(8))
        neighbours = b"".join(one[::-1] for one in switch_ids) * 4

        def claims(extra: dict[int, bytes], *, switch: bool) -> VerifiedClaims:
            device = nvidia.make_device(pki, switch=switch, extra=extra)
            evidence = Evidence(SWITCH if switch else GPU, device.report(NONCE), {"device-chain": device.chain_pem})
            return verify_any(evidence, collateral=Collateral(), anchors=anchors, now=NOW)

        self.gpus = [claims({21: b"\xaa", 22: neighbours}, switch=False) for _ in range(8)]
        self.switches = [claims({22: one, 26: gpu_ids + b"\xff" * 64}, switch=True) for one in switch_ids]


@pytest.fixture(scope="module")
def node(pki: nvidia.NvidiaPki) -> Node:
    return Node(pki)


def set_code(gpus: list[VerifiedClaims], switches: list[VerifiedClaims], declared: Machine, **kwargs: bool) -> str:
    with pytest.raises(EvidenceError) as caught:
        judge_machine(gpus, switches, declared, **kwargs)
    return caught.value.code.removeprefix("QNSP-ATT-NV-")


def with_claim(claims: VerifiedClaims, **changes: str) -> VerifiedClaims:
    return replace(claims, claims={**claims.claims, **changes})


def test_whole_node(node: Node) -> None:
    """Count, repetition, architecture, mode, DEVTOOLS, nonce and topology of a node, each its code; 7 of 8 is not enough."""
    declared = Machine(gpus=8, switches=4, mode="ppcie")
    gpus, switches = node.gpus, node.switches
    judge_machine(gpus, switches, declared)
    assert set_code(gpus[:7], switches, declared) == "060"
    assert set_code(gpus, switches[:3], declared) == "060"
    assert set_code([*gpus[:7], gpus[0]], switches, declared) == "062"
    assert set_code([*gpus[:7], with_claim(gpus[7], architecture="GB100")], switches, declared) == "061"
    assert set_code([*gpus[:7], with_claim(gpus[7], mode="spt")], switches, declared) == "063"
    assert set_code(gpus, switches, replace(declared, mode="mpt")) == "063"
    assert set_code(gpus, switches, declared, devtools=True) == "064"
    assert set_code([*gpus[:7], replace(gpus[7], report_data=b"o" * 32)], switches, declared) == "066"
    assert set_code([*gpus[:7], with_claim(gpus[7], switchPdis="00" * 7 + "09")], switches, declared) == "065"
    assert (
        set_code(gpus, [*switches[:3], with_claim(switches[3], pdi=str(switches[0].claims["pdi"]))], declared) == "065"
    )
    assert set_code(gpus, [*switches[:3], with_claim(switches[3], gpuPdis="aa" * 8)], declared) == "065"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """Whatever the bytes: report, chain, RIM and OCSP readers refuse with their own error."""
    evidence = Evidence(GPU, data, {"device-chain": data})
    files = {"rim.xml": b"<SoftwareIdentity " + data, "a.ocsp": data}
    with contextlib.suppress(EvidenceError):
        verify_any(evidence, collateral=Collateral.from_files(files), anchors=ANCHORS, now=NOW)
    with contextlib.suppress(EvidenceError):
        rim.verify_rim(data, roots=[], now=NOW)
    with contextlib.suppress(EvidenceError):
        abi.parse(b"\x11\xe0\x01\xff" + bytes(33) + data)
