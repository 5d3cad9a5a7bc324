"""Verification of Nitro attestation documents, offline, as AWS describes it and stricter.

1. shape, tag, lengths, deterministic CBOR    2. ES384 in the protected header, unprotected header empty
3. schema, exactly one PCR map                4. the bundle begins with a pinned root
5. chain: each signed by the one before, CA flags, path lengths, a P-384 leaf that is no CA
6. ES384 over Sig_structure                   7. every certificate valid at the document's own time, and at `now`

The caller still owes 8 (nonce, user_data, public_key) and 9 (PCR policy): both are claims, judged by `appraise`.
Not checked: revocation; no CRL is published for this PKI, leaf certificates live three hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from qnsp_policy.kernel.attestation import appraisal_codes
from qnsp_policy.kernel.attestation.chains import ChainError, Fault, check_links, check_window, p384_key
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nitro_enclave import codes
from qnsp_policy.kernel.attestation.nitro_enclave.abi import PCR_SIZE, Document, parse
from qnsp_policy.kernel.attestation.refusal import Code, EvidenceError
from qnsp_policy.kernel.attestation.values import (
    Anchor,
    AssuranceClass,
    ClaimValue,
    Evidence,
    EvidenceKind,
    Statement,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.kernel.attestation.vendors import anchors_of
from qnsp_policy.kernel.attestation.x509 import Certificate, CertificateError, load_certificate

_COVERAGE: Final = {
    EvidenceKind.NITRO_ENCLAVE: "PCR0 covers the whole image, PCR1 kernel and first ramdisk, PCR2 the application; memory is isolated by the provider",
    EvidenceKind.NITRO_TPM: "PCR4 and PCR7 cover the boot programs and Secure Boot, PCR12 the command line; what runs later is in no PCR of itself",
}
_FAULTS: Final = {
    Fault.LINK: codes.LINK,
    Fault.CA: codes.CA,
    Fault.PATH_LENGTH: codes.PATH_LENGTH,
    Fault.CRITICAL: codes.CRITICAL,
    Fault.LEAF: codes.LEAF_CA,
    Fault.LEAF_KEY: codes.LEAF_KEY,
}
_DEBUG_PCRS: Final = (0, 1, 2)
_ASSURANCE: Final = {
    EvidenceKind.NITRO_ENCLAVE: AssuranceClass.PROVIDER_ISOLATION,
    EvidenceKind.NITRO_TPM: AssuranceClass.MEASURED_BOOT,
}


def _load(data: bytes, subject: str) -> Certificate:
    try:
        return load_certificate(data)
    except CertificateError as error:
        raise EvidenceError(codes.CERTIFICATE, str(error), subject=subject) from error


def _chain(document: Document, anchors: Sequence[Anchor]) -> tuple[Anchor, tuple[Certificate, ...]]:
    """Steps 4 and 5; the chain from the root to the leaf."""
    anchor = next((one for one in anchors_of("aws", anchors) if one.certificate == document.bundle[0]), None)
    if anchor is None:
        raise EvidenceError(codes.ROOT)
    ders = (*document.bundle, document.certificate)
    return anchor, _linked(ders)


@lru_cache(maxsize=1024)
def _linked(ders: tuple[bytes, ...]) -> tuple[Certificate, ...]:
    """The certificates, once signatures, CA flags and path lengths hold; says nothing of time."""
    chain = tuple(_load(data, f"cabundle[{index}]") for index, data in enumerate(ders[:-1]))
    chain = (*chain, _load(ders[-1], "leaf"))
    try:
        check_links(chain[::-1])
        p384_key(chain[-1])
    except ChainError as error:
        raise _refused(_FAULTS[error.fault], error) from error
    return chain


def _refused(code: Code, error: ChainError) -> EvidenceError:
    return EvidenceError(
        code, error.detail, subject=error.subject, expected=error.expected or None, got=error.got or None
    )


def _signature(document: Document, leaf: Certificate) -> None:
    key = leaf.key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signed = cbor2.dumps(["Signature1", document.protected, b"", document.payload])
    r, s = (int.from_bytes(document.signature[start : start + PCR_SIZE], "big") for start in (0, PCR_SIZE))
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature as error:
        raise EvidenceError(codes.SIGNATURE) from error


def _windows(chain: Sequence[Certificate], document: Document, now: datetime) -> None:
    for code, moment in ((codes.WINDOW_DOCUMENT, document.timestamp), (codes.WINDOW_NOW, now)):
        try:
            check_window(reversed(chain), moment)
        except ChainError as error:
            raise _refused(code, error) from error


def verify_document(
    data: bytes, kind: EvidenceKind, *, anchors: Sequence[Anchor], now: datetime
) -> tuple[Document, VerifiedClaims]:
    """Steps 1 to 7 for either kind.

    Args:
        data: the COSE_Sign1 document, 1 to 32,768 bytes.
        kind: nitro-enclave or nitro-tpm; the other kind's document is refused.
        anchors: trusted roots; those of vendor "aws" count.
        now: the moment of judgement, aware, UTC.

    Raises:
        EvidenceError: the first failing step, codes QNSP-ATT-NIT-001 to -029.
    """
    document = parse(data, kind)
    anchor, chain = _chain(document, anchors)
    _signature(document, chain[-1])
    _windows(chain, document, now)
    simulated = anchor.assurance is AssuranceClass.SIMULATED
    good = Verdict.SIMULATED if simulated else Verdict.OK
    claims: dict[str, ClaimValue] = {f"pcr{index}": value.hex() for index, value in sorted(document.pcrs.items())}
    claims |= {
        "moduleId": document.module_id,
        "timestamp": int(document.timestamp.timestamp() * 1000),
        "debug": kind is EvidenceKind.NITRO_ENCLAVE and not all(any(document.pcrs[index]) for index in _DEBUG_PCRS),
    }
    for name, value in (
        ("publicKey", document.public_key),
        ("userData", document.user_data),
        ("nonce", document.nonce),
    ):
        if value is not None:
            claims[name] = value.hex()
    made = f"{document.timestamp:%Y-%m-%dT%H:%M:%SZ}"
    return document, VerifiedClaims(
        kind=kind,
        assurance=AssuranceClass.SIMULATED if simulated else _ASSURANCE[kind],
        claims=claims,
        report_data=document.user_data or b"",
        statements=(
            Statement("signature", good, "ES384 by the leaf of the document"),
            Statement(
                "chain",
                good,
                f"{len(chain)} certificates to {anchor.line or anchor.vendor}; valid when made ({made}) and now",
            ),
            Statement(
                "revocation", Verdict.NOT_CHECKED, "no revocation list is published for this PKI; the leaf lives hours"
            ),
            Statement("freshness", Verdict.NOT_CHECKED, f"made at {made}; nonce or timestamp must be compared"),
            Statement("debug", Verdict.REFUSED, "PCR0, PCR1 or PCR2 is zero: debug mode", appraisal_codes.DEBUG.code)
            if claims["debug"]
            else Statement("debug", good, "PCR0 to PCR2 are measured")
            if kind is EvidenceKind.NITRO_ENCLAVE
            else Statement("debug", Verdict.CLAIMED, "an instance has no debug mode that its PCRs would show"),
            Statement("measurements", Verdict.CLAIMED, _COVERAGE[kind]),
        ),
        not_after=min(certificate.not_after for certificate in chain),
    )


def verify(
    evidence: Evidence,
    *,
    collateral: Collateral,  # noqa: ARG001  every verifier's form; the document brings its whole chain
    anchors: Sequence[Anchor],
    now: datetime,
) -> VerifiedClaims:
    """Verifies a Nitro enclave's attestation document; it brings its whole chain, so collateral is not used.

    Claims: `pcr0`..`pcr15` (and any further), `moduleId`, `timestamp` (ms), `debug` (one of PCR0-2 is zero), `publicKey`,
    `userData`, `nonce` (hex, absent where the attester gave none). `report_data` is user_data.
    """
    _, claims = verify_document(evidence.data, EvidenceKind.NITRO_ENCLAVE, anchors=anchors, now=now)
    return claims


__all__ = ["verify", "verify_document"]
