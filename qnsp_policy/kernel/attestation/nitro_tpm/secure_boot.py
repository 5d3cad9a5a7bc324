"""Which entry of db lets a signed program start: what PCR7 holds of each program with Secure Boot on.

Comes in: the db variable and the program. Goes out: the EFI_SIGNATURE_DATA of the entry (owner, then certificate), as firmware measures it.
Sources: UEFI 2.10 section 32.4.1 (EFI_SIGNATURE_LIST); TCG PC Client Platform Firmware Profile 1.06 section 3.3.4.8 step 6 (the entry
"that was used to validate the UEFI image"); edk2 DxeImageVerificationLib, which tries entries in the order of db.
Not judged: whether the signature holds, and dbx; a program that firmware refuses measures nothing, so its values admit nobody.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from qnsp_policy.kernel.attestation.nitro_tpm import pe
from qnsp_policy.kernel.attestation.sev_snp.launch import LaunchError

_X509: Final = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
_HEAD: Final = struct.Struct("<16sIII")
_OWNER: Final = 16
_MAX_ENTRIES: Final = 1024


def entries(database: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and EFI_SIGNATURE_DATA of each entry of a signature database, in its order.

    Raises:
        LaunchError: not a sequence of signature lists.
    """
    at = counted = 0
    while at < len(database):
        if at + _HEAD.size > len(database):
            raise LaunchError("a signature list that is cut short")
        kind, whole, header, size = _HEAD.unpack_from(database, at)
        body = whole - _HEAD.size - header
        if size <= _OWNER or body < 0 or body % size or at + whole > len(database):
            raise LaunchError("a signature list whose sizes do not add up")
        for start in range(at + _HEAD.size + header, at + whole, size):
            counted += 1
            if counted > _MAX_ENTRIES:
                raise LaunchError(f"more than {_MAX_ENTRIES} entries in a signature database")
            yield kind, database[start : start + size]
        at += whole


def authority(database: bytes, image: bytes) -> bytes:
    """The EFI_SIGNATURE_DATA of the first certificate of db that the program's signer leads to.

    Raises:
        LaunchError: the program is not signed, or nothing in db leads to its signer (as where a shim verifies it, not firmware).
    """
    trusted = [data for kind, data in entries(database) if kind == _X509]
    for signature in pe.signatures(pe.parse(image)):
        try:
            found = pkcs7.load_der_pkcs7_certificates(signature)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise LaunchError("a signature of a program that cannot be read") from error
        for data in trusted:
            if _leads_to(found, data[_OWNER:]):
                return data
    raise LaunchError("no certificate of db leads to the signer of a program: it is not firmware that lets it start")


def _leads_to(found: Sequence[x509.Certificate], der: bytes) -> bool:
    """Whether one of the certificates of a signature is the trusted one, or was issued by it."""
    if any(certificate.public_bytes(Encoding.DER) == der for certificate in found):
        return True
    try:
        trusted = x509.load_der_x509_certificate(der)
    except ValueError:
        return False
    return any(_issued_by(certificate, trusted) for certificate in found)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


__all__ = ["authority", "entries"]
