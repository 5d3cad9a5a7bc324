"""The device chain of an NVIDIA report: five certificates, leaf first, to a pinned root; and the firmware id of its leaf.

GPU and switch alike: FMC leaf, BROM, provisioner, identity, device identity CA. The leaf is issued by the device itself for the
firmware it runs, so its firmware id (FWID) must be the one that the report states. Hopper carries it as the last 48 bytes of
extension 2.23.133.5.4.1; Blackwell in fwids[0] of DiceTcbInfo, extension 2.23.133.5.4.1.1 (TCG DICE Attestation Architecture,
section 6.1.1), whose last 48 bytes are a second, zero one: the Hopper rule would fail there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.chains import ChainError, Fault, check_links, check_window, p384_key
from qnsp_policy.kernel.attestation.nvidia_gpu import codes
from qnsp_policy.kernel.attestation.nvidia_gpu.abi import Report
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.x509 import Certificate, CertificateError, load_certificate

LENGTH: Final = 5
_FAULTS: Final = {
    Fault.LINK: codes.LINK,
    Fault.CA: codes.CA,
    Fault.PATH_LENGTH: codes.CA,
    Fault.CRITICAL: codes.CERTIFICATE,
    Fault.LEAF: codes.CA,
}
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
    try:
        check_links(chain, known_critical=(_UEID, _TCB_INFO))
    except ChainError as error:
        raise EvidenceError(_FAULTS[error.fault], error.detail, subject=error.subject) from error
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
    try:
        check_window(chain, now)
    except ChainError as error:
        raise EvidenceError(codes.VALIDITY, subject=error.subject, expected=error.expected, got=error.got) from error
    return chain


def verify_signature(report: Report, leaf: Certificate) -> None:
    """Step 4: ECDSA P-384 with SHA-384, r || s big-endian, over request and response.

    Raises:
        EvidenceError: QNSP-ATT-NV-019.
    """
    try:
        key = p384_key(leaf)
        r, s = (int.from_bytes(part, "big") for part in (report.signature[:_SIZE], report.signature[_SIZE:]))
        key.verify(encode_dss_signature(r, s), report.signed, ec.ECDSA(hashes.SHA384()))
    except ChainError as error:
        raise EvidenceError(codes.SIGNATURE, error.detail) from error
    except InvalidSignature as error:
        raise EvidenceError(codes.SIGNATURE) from error


def _first_fwid(info: bytes) -> bytes:
    fields = [field for field in der.whole(info, der.SEQUENCE).children() if field.tag == _FWIDS]
    first = der.expect(fields[0].children()[0], der.SEQUENCE).children()
    return der.expect(first[1], der.OCTET_STRING).content


def leaf_fwid(leaf: Certificate) -> bytes:
    """The firmware id (48 bytes) that the leaf was issued for.

    Raises:
        EvidenceError: QNSP-ATT-NV-022.
    """
    info, older = leaf.extensions.get(_TCB_INFO), leaf.extensions.get(_UEID)
    try:
        value = _first_fwid(info) if info is not None else (older or b"")[-_SIZE:]
    except (IndexError, der.DerError) as error:
        raise EvidenceError(codes.FWID_LEAF) from error
    if len(value) != _SIZE:
        raise EvidenceError(codes.FWID_LEAF, expected="48 bytes", got=f"{len(value)} bytes")
    return value


__all__ = ["LENGTH", "leaf_fwid", "verify_chain", "verify_signature"]
