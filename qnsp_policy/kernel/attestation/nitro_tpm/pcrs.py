"""PCR4, PCR7 and PCR12 of an instance that boots unified kernel images, computed before anything runs (SHA-384 bank).

Comes in: the boot programs (PE images) in the order in which they are started, and the Secure Boot variables. Goes out: PCR values.
Sources: TCG PC Client Platform Firmware Profile 1.06 sections 3.3.4.5 (PCR4: "Calling EFI Application from Boot Option", separator,
Authenticode digest of each program), 3.3.4.8 (PCR7: UEFI_VARIABLE_DATA of SecureBoot, PK, KEK, db, dbx, then separator); Microsoft
"Windows Authenticode Portable Executable Signature Format". PCR12 is zero as long as systemd-stub is given no command line, credential
or add-on from outside the image; with one it is not computed here. With Secure Boot on, PCR7 also holds the authority that a program
verified against, which is not computed here: it is refused.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from qnsp_policy.kernel.attestation.sev_snp.launch import LaunchError

ZERO: Final = bytes(48)
_CALLING: Final = b"Calling EFI Application from Boot Option"
_SEPARATOR: Final = bytes(4)
_GLOBAL: Final = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
_IMAGE_SECURITY: Final = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
VARIABLES: Final[Mapping[str, bytes]] = {
    "SecureBoot": _GLOBAL,
    "PK": _GLOBAL,
    "KEK": _GLOBAL,
    "db": _IMAGE_SECURITY,
    "dbx": _IMAGE_SECURITY,
}
"""Names of the variables in the order in which firmware measures them, with their vendor GUID."""


def _extend(value: bytes, digest: bytes) -> bytes:
    return hashlib.sha384(value + digest).digest()


def authenticode(image: bytes) -> bytes:
    """The Authenticode digest (SHA-384) of a PE image: all of it but checksum, certificate directory entry and certificates.

    Raises:
        LaunchError: not a PE32 or PE32+ image.
    """
    try:
        start = struct.unpack_from("<I", image, 0x3C)[0]
        if image[:2] != b"MZ" or image[start : start + 4] != b"PE\0\0":
            raise LaunchError("not a PE image")
        count, optional_size = (
            struct.unpack_from("<H", image, start + 6)[0],
            struct.unpack_from("<H", image, start + 20)[0],
        )
        optional = start + 24
        magic = struct.unpack_from("<H", image, optional)[0]
        if magic not in (0x10B, 0x20B):
            raise LaunchError("not a PE32 or PE32+ image")
        directories = optional + (96 if magic == 0x10B else 112)
        headers = struct.unpack_from("<I", image, optional + 60)[0]
        security = directories + 4 * 8
        _, table = struct.unpack_from("<II", image, security)
        sections = [
            struct.unpack_from("<II", image, optional + optional_size + 40 * index + 16) for index in range(count)
        ]
    except struct.error as error:
        raise LaunchError("a PE image that is cut short") from error
    checksum = optional + 64
    if not security + 8 <= headers <= len(image):
        raise LaunchError("the headers of a PE image are not well formed")
    digest = hashlib.sha384(image[:checksum] + image[checksum + 4 : security] + image[security + 8 : headers])
    hashed = headers
    for size, offset in sorted(((size, offset) for size, offset in sections if size), key=lambda one: one[1]):
        if offset < hashed or offset + size > len(image):
            raise LaunchError("the sections of a PE image overlap or end outside of it")
        digest.update(image[offset : offset + size])
        hashed = offset + size
    if table > len(image) - hashed:
        raise LaunchError("the certificates of a PE image lie outside of it")
    digest.update(image[hashed : len(image) - table])
    return digest.digest()


def pcr4(programs: Sequence[bytes]) -> bytes:
    """PCR4 after the boot programs were started, in this order."""
    if not programs:
        raise LaunchError("no boot program")
    value = _extend(_extend(ZERO, hashlib.sha384(_CALLING).digest()), hashlib.sha384(_SEPARATOR).digest())
    for program in programs:
        value = _extend(value, authenticode(program))
    return value


def pcr7(variables: Mapping[str, bytes] | None = None) -> bytes:
    """PCR7 with Secure Boot off; variables that are not given are empty (SecureBoot is one zero byte).

    Raises:
        LaunchError: Secure Boot is on, or a variable is none of those measured.
    """
    given = {"SecureBoot": b"\0", **(variables or {})}
    if given["SecureBoot"] != b"\0":
        raise LaunchError("with Secure Boot on PCR7 holds the authority of each program, which is not computed here")
    if unknown := given.keys() - VARIABLES.keys():
        raise LaunchError(f"no Secure Boot variable: {', '.join(sorted(unknown))}")
    value = ZERO
    for name, vendor in VARIABLES.items():
        data, text = given.get(name, b""), name.encode("utf-16-le")
        event = vendor + struct.pack("<QQ", len(name), len(data)) + text + data
        value = _extend(value, hashlib.sha384(event).digest())
    return _extend(value, hashlib.sha384(_SEPARATOR).digest())


__all__ = ["VARIABLES", "ZERO", "authenticode", "pcr4", "pcr7"]
