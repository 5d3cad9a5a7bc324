"""Composite evidence: one machine, a CPU TEE whose report data binds the evidence of its devices and the TEE's key.

Comes in: nonce, public key of the TEE, device evidence as sent. Goes out: the report data that device and CPU evidence must carry, and
the check of a whole machine. The digest is over RFC 8785 JSON, zero-padded right (or cut) to the field of the TEE.
Source: CoCo KBS attestation protocol 0.4.0, "runtime data" and "additional evidence" (digest SHA-384 unless the challenge selected one).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from qnsp_policy.kernel.attestation import appraisal_codes as codes
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import AssuranceClass, EvidenceKind, Statement, Verdict, VerifiedClaims
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, jcs

HashName = Literal["sha256", "sha384", "sha512"]
FIELD_SIZES: Final[Mapping[EvidenceKind, int]] = {
    EvidenceKind.SEV_SNP: 64,
    EvidenceKind.TDX: 64,
    EvidenceKind.SGX: 64,
    EvidenceKind.NVIDIA_GPU: 32,
    EvidenceKind.NVSWITCH: 32,
}
"""Bytes of report data or nonce by kind; kinds that are not listed carry the digest as it is."""
DEVICE_KINDS: Final = frozenset({EvidenceKind.NVIDIA_GPU, EvidenceKind.NVSWITCH, EvidenceKind.NRAS})
MAX_DEVICES: Final = 32


def _digest(value: Mapping[str, Any], hash_name: HashName) -> bytes:
    try:
        return hashlib.new(hash_name, jcs(dict(value))).digest()
    except CanonicalJsonError as error:
        raise EvidenceError(codes.BINDING_VALUE, error.message) from error


def fit(digest: bytes, kind: EvidenceKind) -> bytes:
    """The digest as the field of a kind carries it: padded right with zeros, or cut."""
    size = FIELD_SIZES.get(kind, len(digest))
    return digest[:size] + bytes(max(0, size - len(digest)))


def device_report_data(
    nonce: str, tee_pubkey: Mapping[str, Any], *, kind: EvidenceKind, hash_name: HashName = "sha384"
) -> bytes:
    """What device evidence must bind: H(JCS({"nonce", "tee-pubkey"})), fitted to the kind's field."""
    return fit(_digest({"nonce": nonce, "tee-pubkey": tee_pubkey}, hash_name), kind)


def primary_report_data(
    nonce: str,
    tee_pubkey: Mapping[str, Any],
    additional_evidence: str,
    *,
    kind: EvidenceKind,
    hash_name: HashName = "sha384",
) -> bytes:
    """What CPU evidence must bind: H(JCS({"additional-evidence", "nonce", "tee-pubkey"})), fitted to the kind's field.

    Args:
        nonce: the challenge, as the text that was sent.
        tee_pubkey: the JWK as sent: exactly its members.
        additional_evidence: the text as sent, "" where there are no devices.
        kind: of the CPU evidence.
        hash_name: the algorithm of the session.
    """
    value = {"additional-evidence": additional_evidence, "nonce": nonce, "tee-pubkey": tee_pubkey}
    return fit(_digest(value, hash_name), kind)


def join(primary: VerifiedClaims, devices: tuple[VerifiedClaims, ...]) -> VerifiedClaims:
    """One result for a machine, from claims verified each for itself; ends when the first of them ends.

    The caller compares each one's report data (`primary_report_data`, `device_report_data`): this joins what is bound.

    Raises:
        EvidenceError: QNSP-ATT-CMP-002, -005 or -006.
    """
    if len(devices) > MAX_DEVICES:
        raise EvidenceError(codes.TOO_MANY_DEVICES, expected=f"{MAX_DEVICES} at most", got=str(len(devices)))
    if primary.kind in DEVICE_KINDS:
        raise EvidenceError(codes.DEVICE_KIND, subject=primary.kind.value)
    simulated = primary.assurance is AssuranceClass.SIMULATED
    for device in devices:
        is_sample_device = device.kind is EvidenceKind.COCO_SAMPLE and device.claims.get("class", "cpu") != "cpu"
        if device.kind not in DEVICE_KINDS and not is_sample_device:
            raise EvidenceError(codes.DEVICE_KIND, subject=device.kind.value)
        if (device.assurance is AssuranceClass.SIMULATED) != simulated:
            raise EvidenceError(codes.MIXED_ASSURANCE, subject=device.kind.value)
    return VerifiedClaims(
        kind=primary.kind,
        assurance=primary.assurance,
        claims=primary.claims,
        report_data=primary.report_data,
        statements=primary.statements,
        not_after=min(member.not_after for member in (primary, *devices)),
        devices=devices,
    )


def join_devices(first: VerifiedClaims, others: tuple[VerifiedClaims, ...]) -> VerifiedClaims:
    """One result for devices without CPU evidence, the first of them as its subject; nothing binds them to a machine, and it says so.

    Raises:
        EvidenceError: QNSP-ATT-CMP-002, -005 or -006.
    """
    if len(others) >= MAX_DEVICES:
        raise EvidenceError(codes.TOO_MANY_DEVICES, expected=f"{MAX_DEVICES} at most", got=str(len(others) + 1))
    for member in (first, *others):
        if member.kind not in DEVICE_KINDS:
            raise EvidenceError(codes.DEVICE_KIND, subject=member.kind.value)
        if (member.assurance is AssuranceClass.SIMULATED) != (first.assurance is AssuranceClass.SIMULATED):
            raise EvidenceError(codes.MIXED_ASSURANCE, subject=member.kind.value)
    unbound = Statement("binding", Verdict.NOT_CHECKED, "no CPU evidence binds these devices to one machine")
    return replace(
        first,
        statements=(*first.statements, unbound),
        not_after=min(member.not_after for member in (first, *others)),
        devices=others,
    )


__all__ = [
    "DEVICE_KINDS",
    "FIELD_SIZES",
    "MAX_DEVICES",
    "HashName",
    "device_report_data",
    "fit",
    "join",
    "join_devices",
    "primary_report_data",
]
