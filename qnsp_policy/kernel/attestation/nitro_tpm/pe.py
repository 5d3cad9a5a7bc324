"""PE programs as firmware measures and verifies them: Authenticode digest, sections, certificates of their signatures.

Comes in: the bytes of a PE32 or PE32+ image. Goes out: digest, section contents, the DER of each attached signature. Nothing is
verified. Sources: Microsoft "PE Format" and "Windows Authenticode Portable Executable Signature Format".
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from qnsp_policy.kernel.attestation.sev_snp.launch import LaunchError

_PKCS7: Final = 2
_CERTIFICATE: Final = struct.Struct("<IHH")


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its name, and where its bytes lie in the file."""

    name: str
    offset: int
    size: int
    virtual_size: int


@dataclass(frozen=True, slots=True)
class Program:
    """A PE image, its parts found.

    Attributes:
        checksum, security: offsets of the two fields that no signature covers.
        headers: size of the headers.
        table_offset, table_size: of the attribute certificate table; 0 where there is none.
    """

    image: bytes
    checksum: int
    security: int
    headers: int
    table_offset: int
    table_size: int
    sections: tuple[Section, ...]

    def content(self, name: str) -> bytes | None:
        """The bytes of a section without its padding; None where there is no such section."""
        for section in self.sections:
            if section.name == name:
                return self.image[section.offset : section.offset + min(section.size, section.virtual_size)]
        return None


def parse(image: bytes) -> Program:
    """Finds the parts of an image.

    Raises:
        LaunchError: not a PE32 or PE32+ image, or not well formed.
    """
    try:
        start = struct.unpack_from("<I", image, 0x3C)[0]
        if image[:2] != b"MZ" or image[start : start + 4] != b"PE\0\0":
            raise LaunchError("not a PE image")
        count, optional_size = struct.unpack_from("<H12xH", image, start + 6)
        optional = start + 24
        magic = struct.unpack_from("<H", image, optional)[0]
        if magic not in (0x10B, 0x20B):
            raise LaunchError("not a PE32 or PE32+ image")
        security = optional + (96 if magic == 0x10B else 112) + 4 * 8
        headers = struct.unpack_from("<I", image, optional + 60)[0]
        table_offset, table_size = struct.unpack_from("<II", image, security)
        sections = []
        for index in range(count):
            name, virtual, _, size, offset = struct.unpack_from("<8sIIII", image, optional + optional_size + 40 * index)
            sections.append(Section(name.rstrip(b"\0").decode("ascii", "replace"), offset, size, virtual))
    except struct.error as error:
        raise LaunchError("a PE image that is cut short") from error
    if not security + 8 <= headers <= len(image):
        raise LaunchError("the headers of a PE image are not well formed")
    return Program(image, optional + 64, security, headers, table_offset, table_size, tuple(sections))


def authenticode(image: bytes) -> bytes:
    """The Authenticode digest (SHA-384) of a PE image: all of it but checksum, certificate directory entry and certificates.

    Raises:
        LaunchError: not a PE32 or PE32+ image, or sections that overlap or end outside of it.
    """
    program = parse(image)
    digest = hashlib.sha384(image[: program.checksum] + image[program.checksum + 4 : program.security])
    digest.update(image[program.security + 8 : program.headers])
    hashed = program.headers
    for section in sorted((one for one in program.sections if one.size), key=lambda one: one.offset):
        if section.offset < hashed or section.offset + section.size > len(image):
            raise LaunchError("the sections of a PE image overlap or end outside of it")
        digest.update(image[section.offset : section.offset + section.size])
        hashed = section.offset + section.size
    if program.table_size > len(image) - hashed:
        raise LaunchError("the certificates of a PE image lie outside of it")
    digest.update(image[hashed : len(image) - program.table_size])
    return digest.digest()


def signatures(program: Program) -> Iterator[bytes]:
    """The DER of each PKCS#7 signature in the attribute certificate table, in its order.

    Raises:
        LaunchError: the table is not well formed.
    """
    at, end = program.table_offset, program.table_offset + program.table_size
    if program.table_size == 0:
        return
    if end > len(program.image) or at < program.headers:
        raise LaunchError("the certificates of a PE image lie outside of it")
    while at + _CERTIFICATE.size <= end:
        length, _, kind = _CERTIFICATE.unpack_from(program.image, at)
        if not _CERTIFICATE.size < length <= end - at:
            raise LaunchError("the certificates of a PE image are not well formed")
        if kind == _PKCS7:
            yield program.image[at + _CERTIFICATE.size : at + length]
        at += length + (-length % 8)


__all__ = ["Program", "Section", "authenticode", "parse", "signatures"]
