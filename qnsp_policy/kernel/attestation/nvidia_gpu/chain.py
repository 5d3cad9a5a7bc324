"""The device chain of an NVIDIA report: five certificates, leaf first, to a pinned root; and the firmware id of its leaf.

GPU and switch alike: FMC leaf, BROM, provisioner, identity, device identity CA. The leaf is issued by the device itself for the
firmware it runs, so its firmware id (FWID) must be the one that the report states. Hopper carries it as the last 48 bytes of
extension 2.23.133.5.4.1; Blackwell in fwids[0] of DiceTcbInfo, extension 2.23.133.5.4.1.1 (TCG DICE Attestation Architecture,
section 6.1.1), whose last 48 bytes are a second, zero one: the Hopper rule would fail there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.nvidia_gpu import codes
from qnsp_policy.kernel.attestation.nvidia_gpu.abi import Report
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.x509 import (
    Certificate,
    CertificateError,
    is_signed_by,
    load_certificate,
    unknown_critical,
)

LENGTH: Final = 5
_UEID: Final = "2.23.133.5.4.1"
_TCB_INFO: Final = "2.23.133.5.4.1.1"
_FWIDS: Final = 0xA6
_SIZE: Final = 48


@lru_cache(maxsize=1024)
def _linked(ders: tuple[bytes, ...]) -> tuple[Certificate, ...]:
    """The chain once links and CA flags hold; says nothing of time or of the root."""
    try:
        chain = tuple(load_certificate(data) for data in ders)
    except CertificateError as error:
        raise EvidenceError(codes.CERTIFICATE, str(error)) from error
    for child, issuer in itertools.pairwise(chain):
        if not is_signed_by(child, issuer):
            raise EvidenceError(codes.LINK, subject=child.subject_cn)
        if not issuer.is_ca or issuer.may_sign_certificates is False:
            raise EvidenceError(codes.CA, subject=issuer.subject_cn)
        below = chain.index(issuer) - 1
        if issuer.path_length is not None and issuer.path_length < below:
            raise EvidenceError(codes.CA, "the chain is longer than its path length", subject=issuer.subject_cn)
    if chain[0].is_ca:
        raise EvidenceError(codes.CA, "the leaf is a certification authority", subject=chain[0].subject_cn)
    for certificate in chain:
        if unknown := unknown_critical(certificate):
            raise EvidenceError(codes.CERTIFICATE, f"unknown critical extension {', '.join(sorted(unknown))}")
    return chain


def verify_chain(ders: Sequence[bytes], *, roots: Sequence[bytes], now: datetime) -> tuple[Certificate, ...]:
    """Step 3; the certificates, leaf first.

    Raises:
        EvidenceError: QNSP-ATT-NV-013 to -018.
    """
    if len(ders) != LENGTH:
        raise EvidenceError(codes.CHAIN_LENGTH, expected=str(LENGTH), got=str(len(ders)))
    if ders[-1] not in roots:
        raise EvidenceError(codes.ROOT)
    chain = _linked(tuple(ders))
    for certificate in chain:
        if not certificate.valid_at(now):
            raise EvidenceError(
                codes.VALIDITY,
                subject=certificate.subject_cn,
                expected=f"{certificate.not_before:%Y-%m-%dT%H:%M:%SZ} to {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
                got=f"{now:%Y-%m-%dT%H:%M:%SZ}",
            )
    return chain


def verify_signature(report: Report, leaf: Certificate) -> None:
    """Step 4: ECDSA P-384 with SHA-384, r || s big-endian, over request and response.

    Raises:
        EvidenceError: QNSP-ATT-NV-019.
    """
    try:
        key = leaf.key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            raise EvidenceError(codes.SIGNATURE, "the leaf key is not P-384")
        r, s = (int.from_bytes(part, "big") for part in (report.signature[:_SIZE], report.signature[_SIZE:]))
        key.verify(encode_dss_signature(r, s), report.signed, ec.ECDSA(hashes.SHA384()))
    except (InvalidSignature, CertificateError) as error:
        raise EvidenceError(codes.SIGNATURE) from error


def leaf_fwid(leaf: Certificate) -> bytes:
    """The firmware id (48 bytes) that the leaf was issued for.

    Raises:
        EvidenceError: QNSP-ATT-NV-022.
    """
    try:
        if (info := leaf.extensions.get(_TCB_INFO)) is not None:
            fields = [field for field in der.whole(info, der.SEQUENCE).children() if field.tag == _FWIDS]
            first = der.expect(fields[0].children()[0], der.SEQUENCE).children()
            value = der.expect(first[1], der.OCTET_STRING).content
        else:
            value = leaf.extensions[_UEID][-_SIZE:]
    except (KeyError, IndexError, der.DerError) as error:
        raise EvidenceError(codes.FWID_LEAF) from error
    if len(value) != _SIZE:
        raise EvidenceError(codes.FWID_LEAF, expected="48 bytes", got=f"{len(value)} bytes")
    return value


__all__ = ["LENGTH", "leaf_fwid", "verify_chain", "verify_signature"]
