"""Composite evidence and the registry: binding digests as the protocol states them, kinds kept apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from qnsp_policy.kernel.attestation import composite, registry
from qnsp_policy.kernel.attestation.coco_sample.verify import INSECURE_ANCHOR
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import AssuranceClass, Evidence, EvidenceKind, VerifiedClaims
from qnsp_policy.kernel.attestation.x509 import load_certificate

JWK = {"kty": "EC", "crv": "P-256", "alg": "ECDH-ES+A256KW", "x": "AA", "y": "BB"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claims(kind: EvidenceKind, assurance: AssuranceClass = AssuranceClass.HARDWARE_TEE) -> VerifiedClaims:
    return VerifiedClaims(kind, assurance, {}, b"", (), NOW)


def test_primary_binding_covers_devices_nonce_and_key() -> None:
    """The CPU's report data is the digest of exactly additional evidence, nonce and key in canonical JSON, padded right."""
    text = '{"additional-evidence":"{}","nonce":"Tg==","tee-pubkey":{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"AA","y":"BB"}}'
    bound = composite.primary_report_data("Tg==", JWK, "{}", kind=EvidenceKind.SEV_SNP)
    assert bound == hashlib.sha384(text.encode()).digest() + bytes(16)
    for other in (
        composite.primary_report_data("Tw==", JWK, "{}", kind=EvidenceKind.SEV_SNP),
        composite.primary_report_data("Tg==", JWK, "", kind=EvidenceKind.SEV_SNP),
        composite.primary_report_data("Tg==", {**JWK, "kid": "x"}, "{}", kind=EvidenceKind.SEV_SNP),
    ):
        assert other != bound


def test_device_binding_fits_the_field() -> None:
    """A device's digest is over nonce and key, cut to the field of the device."""
    text = '{"nonce":"Tg==","tee-pubkey":{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"AA","y":"BB"}}'
    bound = composite.device_report_data("Tg==", JWK, kind=EvidenceKind.NVIDIA_GPU, hash_name="sha512")
    assert bound == hashlib.sha512(text.encode()).digest()[:32]


def test_key_without_canonical_form_is_refused() -> None:
    """A key that has no canonical JSON cannot be bound."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-CMP-007"):
        composite.primary_report_data("n", {"x": float("nan")}, "", kind=EvidenceKind.TDX)


def test_join_keeps_roles_and_assurance_apart() -> None:
    """Device in the CPU's place, CPU in a device's, too many, or simulated beside hardware: each by its own code."""
    cpu, gpu = claims(EvidenceKind.SEV_SNP), claims(EvidenceKind.NVIDIA_GPU)
    assert composite.join(cpu, (gpu, gpu)).devices == (gpu, gpu)
    for primary, devices, code in (
        (gpu, (), "002"),
        (cpu, (cpu,), "002"),
        (cpu, (gpu,) * 33, "005"),
        (cpu, (replace(gpu, assurance=AssuranceClass.SIMULATED),), "006"),
        (replace(cpu, assurance=AssuranceClass.SIMULATED), (gpu,), "006"),
        (cpu, (claims(EvidenceKind.COCO_SAMPLE, AssuranceClass.SIMULATED),), "002"),
    ):
        with pytest.raises(EvidenceError, match=f"QNSP-ATT-CMP-{code}"):
            composite.join(primary, devices)


def test_devices_are_verified_with_their_machine(vector: Callable[[str], bytes]) -> None:
    """A sample device beside a sample CPU joins to one simulated machine; beside real hardware it is refused; too many are refused."""
    anchors = [*registry.pinned_anchors(), INSECURE_ANCHOR]
    device = Evidence(EvidenceKind.COCO_SAMPLE, b'{"svn":"2","report_data":"","class":"gpu"}', {"class": b"gpu"})
    cpu = Evidence(EvidenceKind.COCO_SAMPLE, b'{"svn":"1","report_data":""}', devices=(device, device))
    joined = registry.verify_any(cpu, collateral=Collateral(), anchors=anchors, now=NOW)
    assert (joined.assurance, len(joined.devices)) == (AssuranceClass.SIMULATED, 2)
    with pytest.raises(EvidenceError, match="QNSP-ATT-CMP-005"):
        registry.verify_any(replace(cpu, devices=(device,) * 33), collateral=Collateral(), anchors=anchors, now=NOW)
    real = Evidence(
        EvidenceKind.SEV_SNP,
        vector("snp/ms_milan_attestation_report.bin"),
        {"vcek": vector("snp/ms_milan_vcek.pem"), "ask": vector("snp/ms_milan_ask.pem")},
        (device,),
    )
    with pytest.raises(EvidenceError, match="QNSP-ATT-CMP-006"):
        registry.verify_any(real, collateral=Collateral(), anchors=anchors, now=datetime(2026, 9, 1, tzinfo=UTC))


@pytest.mark.parametrize("kind", list(EvidenceKind))
def test_every_kind_refuses_empty_and_foreign_bytes(kind: EvidenceKind, vector: Callable[[str], bytes]) -> None:
    """No kind takes nothing, or another kind's evidence."""
    foreign = "tdx/phala_tdx_quote" if kind is EvidenceKind.SEV_SNP else "snp/ms_milan_attestation_report.bin"
    for data in (b"", vector(foreign), b"\x00" * 5000, b"{" * 100_000, b"\xff" * 70_000):
        with pytest.raises(EvidenceError) as caught:
            registry.verify_any(
                Evidence(kind, data), collateral=Collateral(), anchors=registry.pinned_anchors(), now=NOW
            )
        assert caught.value.step >= 1


def test_pinned_anchors_are_what_their_fingerprints_say() -> None:
    """Every pinned root has the fingerprint written beside it and is self-signed hardware, never simulated."""
    from qnsp_policy.kernel.attestation.dcap import anchors as intel
    from qnsp_policy.kernel.attestation.sev_snp import anchors as amd

    for anchor in amd.ANCHORS:
        assert hashlib.sha256(anchor.certificate).hexdigest() == amd.FINGERPRINTS[anchor.line]
        assert load_certificate(anchor.certificate).subject_cn == f"ARK-{anchor.line}"
    assert hashlib.sha256(intel.ANCHORS[0].certificate).hexdigest() == intel.FINGERPRINT
    assert all(anchor.assurance is not AssuranceClass.SIMULATED for anchor in registry.pinned_anchors())
