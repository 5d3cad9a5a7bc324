"""MRTD, computed from the TD's firmware image (TDVF) before anything runs.

Comes in: the firmware image. Goes out: MRTD, 48 bytes. A pure function. Sources: Intel TDX Virtual Firmware Design Guide (metadata:
descriptor "TDVF" version 1 found by GUID e47a6535-984a-4798-865e-4685a7bf8ec2 of the GUID table, sections of 32 bytes); Intel TDX Module
ABI 1.5 (TDH.MEM.PAGE.ADD extends 128 bytes "MEM.PAGE.ADD" and the GPA at 16; TDH.MR.EXTEND 128 bytes "MR.EXTEND" and the GPA at 16,
then 256 bytes of the page). The order in which a hypervisor adds and extends pages is part of the measurement: page by page (KVM since
Linux 6.16) or a section's pages first and their contents then (`two_pass`, earlier trees).
Not covered: RTMRs (use an event log), a TD HOB that is measured (no firmware in use marks it so; such an image is refused).
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from qnsp_policy.kernel.attestation.sev_snp.launch import LaunchError, read_firmware

_PAGE: Final = 4096
_CHUNK: Final = 256
_GUID: Final = bytes.fromhex("35657ae44a989847865e4685a7bf8ec2")
_DESCRIPTOR: Final = struct.Struct("<4sIII")
_SECTION: Final = struct.Struct("<IIQQII")
_EXTEND: Final = 1
_AUGMENTED: Final = 2
_MAX_SECTION: Final = 1 << 30
_PERMANENT: Final = 4


def _record(name: bytes, address: int) -> bytes:
    return name.ljust(16, b"\0") + struct.pack("<Q", address) + bytes(104)


def _sections(data: bytes) -> list[tuple[int, int, int, int, int, int]]:
    offset = read_firmware(data).number(_GUID)
    if offset is None:
        raise LaunchError("the firmware has no TDX metadata")
    at = len(data) - offset
    if not 0 <= at <= len(data) - _DESCRIPTOR.size:
        raise LaunchError("the TDX metadata lie outside the firmware")
    magic, _, version, count = _DESCRIPTOR.unpack_from(data, at)
    end = at + _DESCRIPTOR.size + _SECTION.size * count
    if magic != b"TDVF" or version != 1 or not 1 <= count <= 64 or end > len(data):
        raise LaunchError("the TDX metadata are not well formed")
    return [_SECTION.unpack_from(data, at + _DESCRIPTOR.size + _SECTION.size * index) for index in range(count)]


def mrtd(firmware: bytes, *, two_pass: bool = False) -> bytes:
    """MRTD of a TD that boots this firmware.

    Args:
        firmware: the image, whole pages.
        two_pass: whether the hypervisor adds all pages of a section before it extends their contents.

    Raises:
        LaunchError: the firmware is not one that a TD boots.
    """
    digest = hashlib.sha384()
    for offset, raw, address, size, kind, attributes in _sections(firmware):
        if attributes & _AUGMENTED or kind == _PERMANENT:
            continue
        if (
            address % _PAGE
            or size % _PAGE
            or not 0 < size <= _MAX_SECTION
            or raw > size
            or offset + raw > len(firmware)
        ):
            raise LaunchError("a section of the TDX metadata is not of whole pages, or outside the firmware")
        measured = bool(attributes & _EXTEND)
        if measured and raw == 0:
            raise LaunchError("a measured section without content: what the hypervisor writes there is not known here")
        contents = firmware[offset : offset + raw].ljust(size, b"\0") if measured else b""
        pages = range(0, size, _PAGE)
        for at in pages:
            digest.update(_record(b"MEM.PAGE.ADD", address + at))
            if measured and not two_pass:
                _extend(digest, contents, address, at)
        if measured and two_pass:
            for at in pages:
                _extend(digest, contents, address, at)
    return digest.digest()


def _extend(digest: hashlib._Hash, contents: bytes, address: int, page: int) -> None:
    for at in range(page, page + _PAGE, _CHUNK):
        digest.update(_record(b"MR.EXTEND", address + at) + contents[at : at + _CHUNK])


__all__ = ["mrtd"]
