"""PCR4, PCR7 and PCR12 of an instance that boots unified kernel images, computed before anything runs (SHA-384 bank).

Comes in: the boot programs (PE images) in the order in which they are started, the Secure Boot variables, and the command line from
outside the image. Goes out: PCR values. Sources: TCG PC Client Platform Firmware Profile 1.06 sections 3.3.4.5 (PCR4: "Calling EFI
Application from Boot Option", separator, Authenticode digest of each program) and 3.3.4.8 (PCR7: UEFI_VARIABLE_DATA of SecureBoot, PK,
KEK, db, dbx, separator, then each authority once); EC2 user guide, "How UEFI Secure Boot works" (on where PK is set).

A systemd stub starts the kernel within its image by firmware's LoadImage, which measures it into PCR4 too: always before version 252,
from 252 with Secure Boot off, from 258 never (systemd pull requests 24777 and 37372). It measures a command line that comes from outside
the image into PCR12: the text in UTF-16, NUL included, white space at its ends and control characters taken out first; with Secure Boot
on a stub that carries its own takes none.
"""

from __future__ import annotations

import hashlib
import re
import struct
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from qnsp_policy.kernel.attestation.nitro_tpm import pe
from qnsp_policy.kernel.attestation.nitro_tpm.pe import authenticode
from qnsp_policy.kernel.attestation.nitro_tpm.secure_boot import authority
from qnsp_policy.kernel.attestation.sev_snp.launch import LaunchError

ZERO: Final = bytes(48)
_CALLING: Final = b"Calling EFI Application from Boot Option"
_SEPARATOR: Final = bytes(4)
_GLOBAL: Final = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
_IMAGE_SECURITY: Final = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
_STUB: Final = re.compile(rb"#### LoaderInfo: systemd-stub (\d{1,4})[^#]* ####\0*\Z")
_STUB_BYPASSES, _STUB_STARTS_ITSELF = 252, 258
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


def secure_boot(variables: Mapping[str, bytes]) -> bool:
    """Whether Secure Boot is on: where PK is set.

    Raises:
        LaunchError: SecureBoot is given and says otherwise, or a variable is none of those measured.
    """
    if unknown := variables.keys() - VARIABLES.keys():
        raise LaunchError(f"no Secure Boot variable: {', '.join(sorted(unknown))}")
    on = bool(variables.get("PK"))
    if variables.get("SecureBoot", bytes([on])) != bytes([on]):
        raise LaunchError("Secure Boot is on exactly where PK is set: SecureBoot says otherwise")
    return on


def _stub_version(program: pe.Program) -> int:
    match = _STUB.search(program.content(".sdmagic") or b"")
    if match is None:
        raise LaunchError("a unified kernel image whose stub does not name itself: PCR4 depends on its version")
    return int(match[1])


def pcr4(programs: Sequence[bytes], variables: Mapping[str, bytes] | None = None) -> bytes:
    """PCR4 after the boot programs were started, in this order, with the kernels that stubs start by firmware.

    Raises:
        LaunchError: a program is no PE image, or a unified kernel image of a stub that does not name itself.
    """
    if not programs:
        raise LaunchError("no boot program")
    on = secure_boot(variables or {})
    value = _extend(_extend(ZERO, hashlib.sha384(_CALLING).digest()), hashlib.sha384(_SEPARATOR).digest())
    for image in programs:
        value = _extend(value, authenticode(image))
        program = pe.parse(image)
        kernel = program.content(".linux")
        if kernel is not None:
            version = _stub_version(program)
            if version < _STUB_BYPASSES or (version < _STUB_STARTS_ITSELF and not on):
                value = _extend(value, authenticode(kernel))
    return value


def _variable(name: str, data: bytes) -> bytes:
    """The digest of UEFI_VARIABLE_DATA."""
    text = name.encode("utf-16-le")
    return hashlib.sha384(VARIABLES[name] + struct.pack("<QQ", len(name), len(data)) + text + data).digest()


def pcr7(variables: Mapping[str, bytes] | None = None, programs: Sequence[bytes] = ()) -> bytes:
    """PCR7; variables that are not given are empty, SecureBoot follows from PK.

    Args:
        variables: contents of PK, KEK, db and dbx as firmware holds them (signature lists).
        programs: the boot programs, whose authorities count with Secure Boot on.

    Raises:
        LaunchError: a variable is none of those measured, or nothing in db leads to the signer of a program.
    """
    given = dict(variables or {})
    on = secure_boot(given)
    given["SecureBoot"] = bytes([on])
    value = ZERO
    for name in VARIABLES:
        value = _extend(value, _variable(name, given.get(name, b"")))
    value = _extend(value, hashlib.sha384(_SEPARATOR).digest())
    if on:
        for data in dict.fromkeys(authority(given.get("db", b""), image) for image in programs):
            value = _extend(value, _variable("db", data))
    return value


def pcr12(programs: Sequence[bytes], cmdline: str | None, *, secure: bool) -> bytes:
    """PCR12: zero without a command line from outside the image, else that line.

    Raises:
        LaunchError: more than one program starts with it, the program is no systemd stub, or the stub takes no such line.
    """
    if cmdline is None:
        return ZERO
    if len(programs) != 1:
        raise LaunchError("with a command line from outside, PCR12 is computed for one boot program, the stub itself")
    program = pe.parse(programs[0])
    _stub_version(program)
    if secure and program.content(".cmdline"):
        raise LaunchError("with Secure Boot on a stub that carries a command line takes none from outside")
    clean = "".join(character if " " < character != "\x7f" else " " for character in cmdline).strip(" ")
    if not clean:
        return ZERO
    return _extend(ZERO, hashlib.sha384((clean + "\0").encode("utf-16-le")).digest())


__all__ = ["VARIABLES", "ZERO", "authenticode", "pcr4", "pcr7", "pcr12", "secure_boot"]
