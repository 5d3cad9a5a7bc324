"""Verification of NitroTPM evidence: the attestation document (steps 1 to 9 of nitro_enclave) and step 10, the TPM quote.

The document's public_key is the TPM's attestation key, a raw uncompressed P-256 point. The quote is optional: without it the
binding is `not checked`, and a policy may demand it. With it: ECDSA-SHA256 by that key, extraData equal to the document's nonce,
exactly the SHA-384 bank with PCR 0 to 23, and the SHA-256 digest of the document's PCRs in order.
Assurance is measured boot: memory is not encrypted against the provider, and no hardware TEE is claimed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from qnsp_policy.kernel.attestation import tpm
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nitro_enclave.abi import Document
from qnsp_policy.kernel.attestation.nitro_enclave.verify import verify_document
from qnsp_policy.kernel.attestation.nitro_tpm import codes
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import (
    Anchor,
    AssuranceClass,
    Evidence,
    EvidenceKind,
    Statement,
    Verdict,
    VerifiedClaims,
)

QUOTE: Final = "tpm-quote"
"""Name of the endorsement that holds the TPMS_ATTEST bytes."""
QUOTE_SIGNATURE: Final = "tpm-quote-signature"
"""Name of the endorsement that holds its ECDSA-SHA256 signature, DER or TPMT_SIGNATURE."""
_PCRS: Final = tuple(range(24))


def _quote(document: Document, quoted: bytes, signature: bytes) -> None:
    """Step 10."""
    point = document.public_key
    if point is None or len(point) != 65 or point[0] != 4:
        raise EvidenceError(codes.KEY, got="none" if point is None else f"{len(point)} bytes")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise EvidenceError(codes.KEY, "not a point of the curve") from error
    try:
        quote = tpm.parse_quote(quoted)
    except tpm.QuoteError as error:
        raise EvidenceError(codes.ATTEST, str(error)) from error
    try:
        signed = tpm.is_signed_by_ecdsa(quoted, tpm.ecdsa_signature(signature), key)
    except tpm.QuoteError as error:
        raise EvidenceError(codes.SIGNATURE, str(error)) from error
    if not signed:
        raise EvidenceError(codes.SIGNATURE)
    if document.nonce is None or quote.extra_data != document.nonce:
        raise EvidenceError(codes.NONCE)
    if quote.selections != ((tpm.SHA384, _PCRS),):
        raise EvidenceError(codes.SELECTION)
    digest = hashlib.sha256(b"".join(document.pcrs[index] for index in _PCRS)).digest()
    if quote.pcr_digest != digest:
        raise EvidenceError(codes.PCR_DIGEST, expected=digest.hex(), got=quote.pcr_digest.hex())


def verify(
    evidence: Evidence,
    *,
    collateral: Collateral,  # noqa: ARG001  every verifier's form; the document brings its whole chain
    anchors: Sequence[Anchor],
    now: datetime,
) -> VerifiedClaims:
    """Verifies a NitroTPM attestation document and, where it came along, the TPM quote.

    Endorsements `tpm-quote` (TPMS_ATTEST) and `tpm-quote-signature` (DER or TPMT_SIGNATURE) travel with the evidence or not at all.

    Raises:
        EvidenceError: QNSP-ATT-NIT-* of the document, QNSP-ATT-NTPM-* of the quote.
    """
    document, claims = verify_document(evidence.data, EvidenceKind.NITRO_TPM, anchors=anchors, now=now)
    quoted, signature = evidence.endorsements.get(QUOTE), evidence.endorsements.get(QUOTE_SIGNATURE)
    if (quoted is None) != (signature is None):
        raise EvidenceError(codes.INCOMPLETE)
    if quoted is None or signature is None:
        binding = Statement("binding", Verdict.NOT_CHECKED, "no TPM quote came with the document")
    else:
        _quote(document, quoted, signature)
        simulated = claims.assurance is AssuranceClass.SIMULATED
        binding = Statement(
            "binding",
            Verdict.SIMULATED if simulated else Verdict.OK,
            "TPM quote over PCR 0-23 with the document's nonce",
        )
    return replace(claims, statements=(*claims.statements, binding))


__all__ = ["QUOTE", "QUOTE_SIGNATURE", "verify"]
