"""From the protocol's words for evidence to ours, and the binding of verified claims to the handshake.

Comes in: `tee`, `primary_evidence`, initdata of an `attest`. Goes out: `Evidence` for `kernel.attestation`, or a refusal. The shapes that
are taken stand in docs/formats/broker.md; a TEE without a verifier here is refused, never skipped.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.additional import devices_of
from qnsp_policy.kernel.attestation.composite import fit as fit_field
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind, VerifiedClaims
from qnsp_policy.kernel.wire.coco_snp import evidence_from_json
from qnsp_policy.kernel.wire.kbs import AttestRequest, InitData, fit, runtime_digest

_ONE_MEMBER = {
    "tdx": (EvidenceKind.TDX, "quote"),
    "nitro-enclave": (EvidenceKind.NITRO_ENCLAVE, "document"),
    "nitro-tpm": (EvidenceKind.NITRO_TPM, "document"),
}
"""TEEs whose evidence is the base64 text of one member."""
_INITDATA_HASHES = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
_INITDATA_CLAIM = {EvidenceKind.SEV_SNP: "hostData", EvidenceKind.TDX: "mrConfigId"}


def evidence_of(tee: str, request: AttestRequest) -> Evidence:
    """The evidence of one `attest` in the shape of `kernel.attestation`: that of the CPU with that of its devices.

    Raises:
        PeerError: `QNSP-KBS-110`: no verifier takes this TEE, or its evidence has another shape; `QNSP-ATT-CMP-001`, `-005` or `-009`:
            the additional evidence is of no known device, of too many, or not of its form.
    """
    return replace(_primary(tee, request), devices=devices_of(request.additional_evidence))


def _primary(tee: str, request: AttestRequest) -> Evidence:
    if tee == "snp":
        report, certificates = evidence_from_json(request.primary_evidence)
        return Evidence(EvidenceKind.SEV_SNP, report, certificates)
    if tee in _ONE_MEMBER:
        kind, member = _ONE_MEMBER[tee]
        value = request.primary_evidence.get(member) if isinstance(request.primary_evidence, Mapping) else None
        try:
            return Evidence(kind, base64.b64decode(value or "", validate=True))
        except (binascii.Error, TypeError, ValueError):
            raise PeerError("QNSP-KBS-110", f"{tee} evidence: {member} is not base64", subject=member) from None
    if tee == "sample":
        return Evidence(EvidenceKind.COCO_SAMPLE, _compact(request.primary_evidence))
    raise PeerError("QNSP-KBS-110", f"no verifier for tee {tee!r} in this broker")


def check_binding(claims: VerifiedClaims, request: AttestRequest, hash_algorithm: str) -> None:
    """The evidence must carry the digest of this handshake's nonce, TEE key and device evidence, each device that of nonce and key.

    Raises:
        PeerError: `QNSP-KBS-111`: it was made for another nonce or another key, or a device's was.
    """
    digest = runtime_digest(request.nonce, request.tee_pubkey, request.additional_evidence, hash_algorithm)
    # The kind says how long the field is, never the evidence: a shorter one would bind nothing.
    if not hmac.compare_digest(fit_field(digest, claims.kind), claims.report_data):
        raise PeerError("QNSP-KBS-111", "the evidence does not bind this nonce and key", subject="reportData")
    own = runtime_digest(request.nonce, request.tee_pubkey, None, hash_algorithm)
    for number, device in enumerate(claims.devices):
        if not hmac.compare_digest(fit_field(own, device.kind), device.report_data):
            raise PeerError(
                "QNSP-KBS-111", "a device's evidence does not bind this nonce and key", subject=f"device {number}"
            )


def check_initdata(claims: VerifiedClaims, init_data: InitData | None) -> None:
    """Initdata that was sent along must be what the hardware carries; initdata that was not sent is not needed.

    Raises:
        PeerError: `QNSP-KBS-112`: malformed, or another digest.
    """
    if init_data is None:
        return
    claim = _INITDATA_CLAIM.get(claims.kind)
    if init_data.format != "toml" or claim is None:
        raise PeerError(
            "QNSP-KBS-112", "initdata is taken as toml, from attesters that can carry its digest", subject="init-data"
        )
    try:
        algorithm = tomllib.loads(init_data.body).get("algorithm")
    except tomllib.TOMLDecodeError:
        raise PeerError("QNSP-KBS-112", "initdata is not TOML", subject="init-data") from None
    if algorithm not in _INITDATA_HASHES:
        raise PeerError("QNSP-KBS-112", "initdata names no known hash", subject="algorithm")
    carried = bytes.fromhex(str(claims.claims.get(claim, "")))
    if not carried or not hmac.compare_digest(
        fit(_INITDATA_HASHES[algorithm](init_data.body.encode()).digest(), len(carried)), carried
    ):
        raise PeerError("QNSP-KBS-112", "the hardware carries the digest of other initdata", subject=claim)


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


__all__ = ["check_binding", "check_initdata", "evidence_of"]
