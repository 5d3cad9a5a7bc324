"""The SEV-SNP launch digest, computed from what is launched: firmware, vCPUs, kernel, initrd and command line.

Comes in: the firmware image (OVMF), number and signature of the vCPUs, hypervisor, optional kernel, initrd and command line as bytes.
Goes out: MEASUREMENT (48 bytes) as the report will hold it. A pure function; reference values are made of it before anything runs.
Sources: AMD 56860 revision 1.58 section 8.17 (PAGE_INFO, launch update), AMD APM volume 2 table B-4 (VMSA); edk2
OvmfPkg/ResetVector (GUID table, SEV metadata), QEMU and KVM (initial register state, kernel hashes table).
Not covered: SVSM, which starts below the firmware; ID blocks, which change no measurement.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_PAGE: Final = 4096
_FOUR_GIB: Final = 1 << 32
_VMSA_GPA: Final = 0xFFFFFFFFF000
_RESET: Final = 0xFFFFFFF0
_NORMAL, _VMSA, _ZERO, _UNMEASURED, _SECRETS, _CPUID = 1, 2, 3, 4, 5, 6
_SEC_MEM, _SECRETS_SECTION, _CPUID_SECTION, _SVSM_CAA, _KERNEL_HASHES = 1, 2, 3, 4, 0x10
_ENTRY: Final = struct.Struct("<H16s")
_FOOTER: Final = uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
_HASH_TABLE: Final = uuid.UUID("7255371f-3a3b-4b04-927b-1da6efa8d454").bytes_le
_RESET_BLOCK: Final = uuid.UUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e").bytes_le
_METADATA: Final = uuid.UUID("dc886566-984a-4798-a75e-5585a7bf67cc").bytes_le
_HASHES_HEADER: Final = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le
_HASHES: Final = (
    ("cmdline", uuid.UUID("97d02dd8-bd20-4c94-aa78-e7714d36ab2a").bytes_le),
    ("initrd", uuid.UUID("44baf731-3a2f-4bd7-9af1-41e29169781d").bytes_le),
    ("kernel", uuid.UUID("4de79437-abd2-427f-b835-d5b172d2045b").bytes_le),
)
MAX_FIRMWARE: Final = 64 * 1024 * 1024
MAX_VCPUS: Final = 4096


class LaunchError(ValueError):
    """The firmware image is not one that can be launched so; callers turn it into their own code."""


class Hypervisor(StrEnum):
    """Who sets the initial registers and places the pages."""

    QEMU = "qemu"
    EC2 = "ec2"
    GCE = "gce"


@dataclass(frozen=True, slots=True)
class _Registers:
    """Initial state in which hypervisors differ; the rest is in `_vmsa`."""

    cs: int
    ss: int
    tr: int
    g_pat: int
    rdx: int
    mxcsr: int
    fcw: int


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is booted directly, measured by hashes that the firmware checks."""

    image: bytes
    initrd: bytes = b""
    cmdline: str = ""


@dataclass(frozen=True, slots=True)
class Firmware:
    """A firmware image with what its GUID table says.

    Attributes:
        sections: guest physical address, size and type of each SEV metadata section.
    """

    data: bytes
    table: Mapping[bytes, bytes]
    sections: tuple[tuple[int, int, int], ...]

    def number(self, guid: bytes) -> int | None:
        """The first u32 of an entry of the GUID table, None if there is no such entry."""
        entry = self.table.get(guid)
        return None if entry is None or len(entry) < 4 else int.from_bytes(entry[:4], "little")


def vcpu_signature(family: int, model: int, stepping: int) -> int:
    """CPUID Fn0000_0001_EAX of a combined family, model and stepping; EPYC-Milan is 25, 1, 1."""
    low, high = (0xF, family - 0xF) if family > 0xF else (family, 0)
    return high << 20 | (model >> 4) << 16 | low << 8 | (model & 0xF) << 4 | stepping


def read_firmware(data: bytes) -> Firmware:
    """Reads the GUID table at the end of an OVMF image and its SEV metadata.

    Raises:
        LaunchError: not whole pages, no table, or a table or metadata that are not well formed.
    """
    if not data or len(data) % _PAGE or len(data) > MAX_FIRMWARE:
        raise LaunchError(f"firmware of {len(data)} bytes is not of whole pages up to {MAX_FIRMWARE}")
    end = len(data) - 32 - _ENTRY.size
    size, guid = _ENTRY.unpack_from(data, end)
    if guid != _FOOTER or not _ENTRY.size <= size <= end:
        raise LaunchError("no GUID table at the end of the firmware")
    table: dict[bytes, bytes] = {}
    at, start = end, end - (size - _ENTRY.size)
    while at - start >= _ENTRY.size:
        length, guid = _ENTRY.unpack_from(data, at - _ENTRY.size)
        if not _ENTRY.size <= length <= at - start:
            raise LaunchError("an entry of the GUID table is not well formed")
        table[guid] = data[at - length : at - _ENTRY.size]
        at -= length
    firmware = Firmware(data, table, ())
    offset = firmware.number(_METADATA)
    if offset is None:
        return firmware
    position = len(data) - offset
    if not 0 <= position <= len(data) - 16:
        raise LaunchError("the SEV metadata lie outside the firmware")
    magic, _, version, count = struct.unpack_from("<4sIII", data, position)
    if magic != b"ASEV" or version != 1 or not 0 <= count <= 64 or position + 16 + 12 * count > len(data):
        raise LaunchError("the SEV metadata are not well formed")
    sections = tuple(struct.unpack_from("<III", data, position + 16 + 12 * index) for index in range(count))
    if any(size % _PAGE or size > MAX_FIRMWARE for _, size, _ in sections):
        raise LaunchError("a section of the SEV metadata is not of whole pages")
    return Firmware(data, table, sections)


class _Digest:
    """The launch digest as it grows: SHA-384 over PAGE_INFO, which holds the digest before it."""

    def __init__(self) -> None:
        self.value = bytes(48)

    def add(self, kind: int, gpa: int, contents: bytes) -> None:
        self.value = hashlib.sha384(self.value + contents + struct.pack("<HBBIQ", 0x70, kind, 0, 0, gpa)).digest()

    def pages(self, gpa: int, data: bytes) -> None:
        for at in range(0, len(data), _PAGE):
            self.add(_NORMAL, gpa + at, hashlib.sha384(data[at : at + _PAGE]).digest())

    def empty(self, kind: int, gpa: int, size: int) -> None:
        for at in range(0, size, _PAGE):
            self.add(kind, gpa + at, bytes(48))


def kernel_hashes(kernel: Kernel) -> bytes:
    """The table of hashes that QEMU places for the firmware to check, padded to 16 bytes."""
    digests = {
        "cmdline": hashlib.sha256(kernel.cmdline.encode() + b"\0").digest(),
        "initrd": hashlib.sha256(kernel.initrd).digest(),
        "kernel": hashlib.sha256(kernel.image).digest(),
    }
    entries = b"".join(guid + struct.pack("<H", 50) + digests[name] for name, guid in _HASHES)
    whole = _HASHES_HEADER + struct.pack("<H", 18 + len(entries)) + entries
    return whole + bytes(-len(whole) % 16)


def _sections(digest: _Digest, firmware: Firmware, hypervisor: Hypervisor, kernel: Kernel | None) -> None:
    late: list[int] = []
    hashed = False
    for gpa, size, kind in firmware.sections:
        if kind == _SEC_MEM:
            digest.empty(_UNMEASURED if hypervisor is Hypervisor.GCE else _ZERO, gpa, size)
        elif kind == _SECRETS_SECTION:
            digest.empty(_SECRETS, gpa, _PAGE)
        elif kind == _CPUID_SECTION:
            if hypervisor is Hypervisor.EC2:
                late.append(gpa)
            else:
                digest.empty(_CPUID, gpa, _PAGE)
        elif kind == _SVSM_CAA or (kind == _KERNEL_HASHES and kernel is None):
            digest.empty(_ZERO, gpa, size)
        elif kind == _KERNEL_HASHES and kernel is not None:
            address = firmware.number(_HASH_TABLE)
            if not address:
                raise LaunchError("the firmware has no place for kernel hashes")
            table = kernel_hashes(kernel)
            offset = address % _PAGE
            if size != _PAGE or offset + len(table) > _PAGE:
                raise LaunchError("the section of kernel hashes is not one page")
            digest.pages(gpa, bytes(offset) + table + bytes(_PAGE - offset - len(table)))
            hashed = True
        else:
            raise LaunchError(f"SEV metadata section of unknown type {kind}")
    for gpa in late:
        digest.empty(_CPUID, gpa, _PAGE)
    if kernel is not None and not hashed:
        raise LaunchError("a kernel is given but the firmware measures none")


def _registers(hypervisor: Hypervisor, eip: int, signature: int) -> _Registers:
    usual = 0x7040600070406
    if hypervisor is Hypervisor.EC2:
        return _Registers(0x9A if eip == _RESET else 0x9B, 0x92, 0x83, usual, 0x600, 0, 0)
    if hypervisor is Hypervisor.GCE:
        return _Registers(0x9B, 0x93, 0x8B, 0x00070106, 0x600, 0, 0)
    return _Registers(0x9B, 0x93, 0x8B, usual, signature, 0x1F80, 0x37F)


def _vmsa(eip: int, features: int, registers: _Registers) -> bytes:
    page = bytearray(_PAGE)
    segments = (  # selector, attributes, base; ES CS SS DS FS GS GDTR LDTR IDTR TR
        (0, 0x93, 0),
        (0xF000, registers.cs, eip & 0xFFFF0000),
        (0, registers.ss, 0),
        *(((0, 0x93, 0),) * 3),
        (0, 0, 0),
        (0, 0x82, 0),
        (0, 0, 0),
        (0, registers.tr, 0),
    )
    for index, (selector, attributes, base) in enumerate(segments):
        struct.pack_into("<HHIQ", page, 16 * index, selector, attributes, 0xFFFF, base)
    for offset, value in (
        (0x0D0, 0x1000),  # EFER: SVME
        (0x148, 0x40),  # CR4: MCE
        (0x158, 0x10),  # CR0: ET
        (0x160, 0x400),  # DR7
        (0x168, 0xFFFF0FF0),  # DR6
        (0x170, 0x2),  # RFLAGS
        (0x178, eip & 0xFFFF),  # RIP
        (0x268, registers.g_pat),
        (0x310, registers.rdx),
        (0x3B0, features),  # SEV_FEATURES
        (0x3E8, 0x1),  # XCR0
    ):
        struct.pack_into("<Q", page, offset, value)
    struct.pack_into("<I", page, 0x408, registers.mxcsr)
    struct.pack_into("<H", page, 0x410, registers.fcw)
    return bytes(page)


def _vcpus(firmware: Firmware, hypervisor: Hypervisor, count: int, signature: int, features: int) -> Iterator[bytes]:
    yield _vmsa(_RESET, features, _registers(hypervisor, _RESET, signature))
    if count == 1:
        return
    eip = firmware.number(_RESET_BLOCK)
    if eip is None:
        raise LaunchError("the firmware has no SEV-ES reset block, which further vCPUs start at")
    other = _vmsa(eip, features, _registers(hypervisor, eip, signature))
    for _ in range(count - 1):
        yield other


def launch_digest(
    firmware: bytes,
    *,
    vcpus: int,
    signature: int,
    hypervisor: Hypervisor = Hypervisor.QEMU,
    features: int = 0x1,
    kernel: Kernel | None = None,
) -> bytes:
    """MEASUREMENT of a guest, 48 bytes.

    Args:
        firmware: the OVMF image.
        vcpus: number of vCPUs, 1 to 4096.
        signature: of the vCPU model (`vcpu_signature`); only QEMU lets it reach the measurement.
        hypervisor: who launches.
        features: SEV_FEATURES of the guest; bit 0 SNP active, 0x21 with debug swap.
        kernel: booted directly, if it is.

    Raises:
        LaunchError: the firmware cannot be launched so.
    """
    if not 1 <= vcpus <= MAX_VCPUS:
        raise LaunchError(f"{vcpus} vCPUs; 1 to {MAX_VCPUS} can be measured")
    parsed = read_firmware(firmware)
    digest = _Digest()
    digest.pages(_FOUR_GIB - len(firmware), firmware)
    _sections(digest, parsed, hypervisor, kernel)
    for page in _vcpus(parsed, hypervisor, vcpus, signature, features):
        digest.add(_VMSA, _VMSA_GPA, hashlib.sha384(page).digest())
    return digest.value


__all__ = [
    "MAX_FIRMWARE",
    "MAX_VCPUS",
    "Firmware",
    "Hypervisor",
    "Kernel",
    "LaunchError",
    "kernel_hashes",
    "launch_digest",
    "read_firmware",
    "vcpu_signature",
]
