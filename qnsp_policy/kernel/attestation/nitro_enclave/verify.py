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
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nitro_enclave import codes
from qnsp_policy.kernel.attestation.nitro_enclave.abi import PCR_SIZE, Document, parse
from qnsp_policy.kernel.attestation.refusal import EvidenceError
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
from qnsp_policy.kernel.attestation.x509 import (
    Certificate,
    CertificateError,
    is_signed_by,
    load_certificate,
    unknown_critical,
)

_COVERAGE: Final = {
    EvidenceKind.NITRO_ENCLAVE: "PCR0 covers the whole image, PCR1 kernel and first ramdisk, PCR2 the application; memory is isolated by the provider",
    EvidenceKind.NITRO_TPM: "PCR4 and PCR7 cover the boot programs and Secure Boot, PCR12 the command line; what runs later is in no PCR of itself",
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
    names = ["root", *(f"cabundle[{index}]" for index in range(1, len(ders) - 1)), "leaf"]
    chain = tuple(_load(data, name) for data, name in zip(ders, names, strict=True))
    for index, (child, issuer) in enumerate(zip(chain[1:], chain, strict=False), start=1):
        if not is_signed_by(child, issuer):
            raise EvidenceError(codes.LINK, subject=names[index])
        if not issuer.is_ca or issuer.may_sign_certificates is False:
            raise EvidenceError(codes.CA, subject=names[index - 1])
        following = len(chain) - 2 - (index - 1)  # CA certificates that stand between this issuer and the leaf
        if issuer.path_length is not None and issuer.path_length < following:
            raise EvidenceError(
                codes.PATH_LENGTH,
                subject=names[index - 1],
                expected=f"at most {issuer.path_length}",
                got=str(following),
            )
    for certificate, name in zip(chain, names, strict=True):
        if unknown := unknown_critical(certificate):
            raise EvidenceError(codes.CRITICAL, ", ".join(sorted(unknown)), subject=name)
    leaf = chain[-1]
    if leaf.is_ca:
        raise EvidenceError(codes.LEAF_CA)
    try:
        key = leaf.key()
    except CertificateError as error:
        raise EvidenceError(codes.LEAF_KEY, str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceError(codes.LEAF_KEY)
    return chain


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
        for certificate in reversed(chain):
            # A document's time is in milliseconds, a certificate's in seconds: the whole last second belongs to it.
            if not certificate.valid_at(moment.replace(microsecond=0)):
                raise EvidenceError(
                    code,
                    subject=certificate.subject_cn,
                    expected=f"{certificate.not_before:%Y-%m-%dT%H:%M:%SZ} to {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
                    got=f"{moment:%Y-%m-%dT%H:%M:%SZ}",
                )


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
        "debug": kind is EvidenceKind.NITRO_ENCLAVE and not any(any(document.pcrs[index]) for index in _DEBUG_PCRS),
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
            Statement("debug", Verdict.REFUSED, "PCR0 to PCR2 are zero: debug mode", appraisal_codes.DEBUG.code)
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

    Claims: `pcr0`..`pcr15` (and any further), `moduleId`, `timestamp` (ms), `debug` (PCR0-2 all zero), `publicKey`,
    `userData`, `nonce` (hex, absent where the attester gave none). `report_data` is user_data.
    """
    _, claims = verify_document(evidence.data, EvidenceKind.NITRO_ENCLAVE, anchors=anchors, now=now)
    return claims


__all__ = ["verify", "verify_document"]
