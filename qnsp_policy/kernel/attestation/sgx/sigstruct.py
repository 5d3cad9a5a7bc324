"""MRENCLAVE and MRSIGNER from the SIGSTRUCT that an enclave's builder signed.

Comes in: a SIGSTRUCT, or a signed enclave that holds one. Goes out: what the processor will report of that enclave, if the builder's
signature holds. MRENCLAVE itself is not computed here: it is what the builder measured and signed, and EINIT refuses an enclave that
measures otherwise. Source: Intel SDM volume 3D, table 37-19 (SIGSTRUCT, 1808 bytes, little-endian).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SIZE: Final = 1808
_HEADER: Final = bytes.fromhex("06000000e10000000000010000000000")
_HEADER2: Final = bytes.fromhex("01010000600000006000000001000000")
_EXPONENT: Final = 3
_MODULUS: Final = 384
_DEBUG: Final = 0x02


class SigstructError(ValueError):
    """No SIGSTRUCT, or one whose signature does not hold."""


@dataclass(frozen=True, slots=True)
class Sigstruct:
    """What the builder signed.

    Attributes:
        enclave_hash: MRENCLAVE, 32 bytes; signer: MRSIGNER, 32 bytes.
        date: of the build, as written (YYYYMMDD).
        debug, debug_checked: the DEBUG attribute, and whether the mask holds an enclave to it.
    """

    enclave_hash: bytes
    signer: bytes
    product_id: int
    svn: int
    date: str
    debug: bool
    debug_checked: bool


def locate(data: bytes) -> bytes:
    """The one SIGSTRUCT of a file.

    Raises:
        SigstructError: none, or several.
    """
    found: list[int] = []
    at = data.find(_HEADER)
    while at >= 0:
        if data[at + 24 : at + 40] == _HEADER2 and at + SIZE <= len(data):
            found.append(at)
        at = data.find(_HEADER, at + 1)
    if len(found) != 1:
        raise SigstructError(f"{len(found)} SIGSTRUCTs in it; one is wanted")
    return data[found[0] : found[0] + SIZE]


def parse(data: bytes) -> Sigstruct:
    """Reads a SIGSTRUCT, or that of a signed enclave, and verifies its signature.

    Raises:
        SigstructError: none or several in the file, another exponent, or a signature that does not hold.
    """
    raw = locate(data)
    modulus = int.from_bytes(raw[128:512], "little")
    if struct.unpack_from("<I", raw, 512)[0] != _EXPONENT:
        raise SigstructError("the exponent of the SIGSTRUCT's key is not 3")
    if modulus.bit_length() != 8 * _MODULUS:
        raise SigstructError("the key of the SIGSTRUCT has not 3072 bits")
    try:
        key = rsa.RSAPublicNumbers(_EXPONENT, modulus).public_key()
        signed = raw[:128] + raw[900:1028]
        key.verify(raw[516:900][::-1], signed, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as error:
        raise SigstructError("the builder's signature over the SIGSTRUCT does not hold") from error
    product_id, svn = struct.unpack_from("<HH", raw, 1024)
    return Sigstruct(
        enclave_hash=raw[960:992],
        signer=hashlib.sha256(raw[128:512]).digest(),
        product_id=product_id,
        svn=svn,
        date=f"{struct.unpack_from('<I', raw, 20)[0]:08x}",
        debug=bool(raw[928] & _DEBUG),
        debug_checked=bool(raw[944] & _DEBUG),
    )


__all__ = ["SIZE", "Sigstruct", "SigstructError", "locate", "parse"]
