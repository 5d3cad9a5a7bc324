"""Enclave image files (EIF) and the PCRs that they give, computed before anything runs.

Comes in: the bytes of an image of format version 2 to 4. Goes out: its sections, and PCR0, PCR1, PCR2 (and PCR8 of a signed image) as the
attestation document will hold them. All integers big-endian. Source: AWS, aws-nitro-enclaves-image-format, README (file layout, PCRs):
header of 548 bytes (magic ".eif", version, flags, default memory, default CPUs, reserved, count, 32 offsets, 32 sizes, unused, CRC-32
over everything but itself), then for each section type u16, flags u16, size u64 and its data. PCR = SHA-384(48 zero bytes || SHA-384 of
the parts in file order): PCR0 kernel, command line and all ramdisks; PCR1 kernel, command line and the first ramdisk; PCR2 the other
ramdisks; PCR8 the DER of the certificate that signed.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from qnsp_policy.kernel.attestation.x509 import CertificateError, split_pem

MAX_IMAGE: Final = 4 * 1024 * 1024 * 1024
HEADER_SIZE: Final = 548
_MAGIC: Final = b".eif"
_HEADER: Final = struct.Struct(">4sHHQQHH32Q32QII")
_SECTION: Final = struct.Struct(">HHQ")
_VERSIONS: Final = (2, 3, 4)
_KERNEL, _CMDLINE, _RAMDISK, _SIGNATURE, _METADATA = 1, 2, 3, 4, 5
_NAMES: Final = {
    _KERNEL: "kernel",
    _CMDLINE: "cmdline",
    _RAMDISK: "ramdisk",
    _SIGNATURE: "signature",
    _METADATA: "metadata",
}


class EifError(ValueError):
    """The image is not well formed; callers turn it into their own code."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section: kernel, cmdline, ramdisk, signature or metadata; offset of its data in the file."""

    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Image:
    """A parsed image.

    Attributes:
        version: of the format.
        default_memory: bytes; default_cpus: count; what the image asks for.
        sections: in file order.
    """

    version: int
    default_memory: int
    default_cpus: int
    sections: tuple[Section, ...]

    def of(self, name: str) -> tuple[bytes, ...]:
        """The data of all sections of a name."""
        return tuple(section.data for section in self.sections if section.name == name)


def is_image(data: bytes) -> bool:
    return data[:4] == _MAGIC


def parse(data: bytes) -> Image:
    """Reads an image; offsets and sizes must agree with the sections, and the CRC with everything.

    Raises:
        EifError: not well formed.
    """
    if len(data) < HEADER_SIZE or data[:4] != _MAGIC:
        raise EifError("no EIF header")
    fields = _HEADER.unpack_from(data)
    version, memory, cpus, count = fields[1], fields[3], fields[4], fields[6]
    offsets, sizes, crc = fields[7:39], fields[39:71], fields[72]
    if version not in _VERSIONS:
        raise EifError(f"format version {version}; 2 to 4 are read")
    if not 1 <= count <= len(offsets):
        raise EifError(f"{count} sections")
    if zlib.crc32(data[HEADER_SIZE:], zlib.crc32(data[: HEADER_SIZE - 4])) != crc:
        raise EifError("the CRC-32 is not that of the file")
    sections: list[Section] = []
    at = HEADER_SIZE
    for index in range(count):
        if offsets[index] != at or at + _SECTION.size > len(data):
            raise EifError(f"section {index} is not where the header says")
        kind, _, size = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        if size != sizes[index] or size > len(data) - at:
            raise EifError(f"section {index} has another size than the header says")
        if kind not in _NAMES:
            raise EifError(f"section {index} is of unknown type {kind}")
        sections.append(Section(_NAMES[kind], at, data[at : at + size]))
        at += size
    if at != len(data):
        raise EifError("bytes follow the last section")
    image = Image(version, memory, cpus, tuple(sections))
    if (
        len(image.of("kernel")) != 1
        or len(image.of("cmdline")) != 1
        or not image.of("ramdisk")
        or len(image.of("signature")) > 1
    ):
        raise EifError("an image has one kernel, one command line, ramdisks and at most one signature")
    return image


def _extended(*parts: bytes) -> bytes:
    digest = hashlib.sha384()
    for part in parts:
        digest.update(part)
    return hashlib.sha384(bytes(48) + digest.digest()).digest()


def _certificate(data: bytes) -> bytes:
    """DER of the certificate of a signature section: CBOR array of {signing_certificate: PEM, signature}."""

    def octets(value: Any) -> bytes:
        return bytes(value) if isinstance(value, (bytes, list)) else b""

    try:
        listed = cbor2.loads(data, max_depth=8)
        return split_pem(octets(listed[0]["signing_certificate"]))[0]
    except (cbor2.CBORError, CertificateError, LookupError, TypeError, ValueError) as error:
        raise EifError("the signature section holds no certificate") from error


def pcrs(image: Image) -> dict[int, bytes]:
    """PCR0, PCR1, PCR2, and PCR8 where the image is signed; 48 bytes each.

    Not covered: PCR3 (the role of the parent instance) and PCR4 (its id), which are not of the image.

    Raises:
        EifError: the signature section cannot be read.
    """
    kernel, cmdline = image.of("kernel")[0], image.of("cmdline")[0]
    first, *others = image.of("ramdisk")
    ordered = [section.data for section in image.sections if section.name in {"kernel", "cmdline", "ramdisk"}]
    found = {0: _extended(*ordered), 1: _extended(kernel, cmdline, first), 2: _extended(*others)}
    if signatures := image.of("signature"):
        found[8] = _extended(_certificate(signatures[0]))
    return found


__all__ = ["HEADER_SIZE", "EifError", "Image", "Section", "is_image", "parse", "pcrs"]
