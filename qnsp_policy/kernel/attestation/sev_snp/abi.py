"""The SEV-SNP attestation report: 1184 bytes <-> fields.

Comes in: bytes of a report. Goes out: `Report`, nothing verified. All integers are little-endian.
Source: AMD SEV Secure Nested Paging Firmware ABI Specification (56860), revision 1.58, tables 9 (guest policy), 23 (report), 24
(platform info), 3 (TCB version); report versions 2 to 5.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import codes

REPORT_SIZE: Final = 0x4A0
"""Bytes of a report with its signature."""
SIGNED_SIZE: Final = 0x2A0
"""Bytes at its start that the signature covers."""
UNSIGNED_FROM: Final = 0x330
"""From here to the end nothing is signed; all zero in a report of AMD's firmware."""
VERSIONS: Final = frozenset({2, 3, 4, 5})
ECDSA_P384_SHA384: Final = 1

_HEAD = struct.Struct("<IIQ16s16sIIQQI4s64s48s32s48s48s32s32sQ")  # 0x000 .. 0x188
_TAIL = struct.Struct("<64sQ4s4sQQQ")  # 0x1A0 .. 0x208


class Line(StrEnum):
    """Product lines that have a root of their own; Siena and Bergamo are under Genoa's."""

    MILAN = "Milan"
    GENOA = "Genoa"
    TURIN = "Turin"


class SigningKey(IntEnum):
    """SIGNING_KEY, bits 4:2 of the flags at 0x048."""

    VCEK = 0
    VLEK = 1
    NONE = 7


@dataclass(frozen=True, slots=True)
class Tcb:
    """A TCB version by component; `fmc` is None but on Turin. Each is 0 to 255."""

    bootloader: int
    tee: int
    snp: int
    microcode: int
    fmc: int | None = None

    @classmethod
    def unpack(cls, value: int, line: Line) -> Tcb:
        """Reads the u64 of a report by the line's own map (ABI specification table 3)."""
        raw = value.to_bytes(8, "little")
        if line is Line.TURIN:
            return cls(fmc=raw[0], bootloader=raw[1], tee=raw[2], snp=raw[3], microcode=raw[7])
        return cls(bootloader=raw[0], tee=raw[1], snp=raw[6], microcode=raw[7])

    def pack(self, line: Line) -> int:
        """The u64 of a report."""
        if line is Line.TURIN:
            raw = bytes([self.fmc or 0, self.bootloader, self.tee, self.snp, 0, 0, 0, self.microcode])
        else:
            raw = bytes([self.bootloader, self.tee, 0, 0, 0, 0, self.snp, self.microcode])
        return int.from_bytes(raw, "little")

    def components(self) -> Mapping[str, int]:
        parts = {"bootloader": self.bootloader, "tee": self.tee, "snp": self.snp, "microcode": self.microcode}
        return parts if self.fmc is None else {"fmc": self.fmc, **parts}


@dataclass(frozen=True, slots=True)
class Report:
    """A parsed, unverified report; TCB versions as the u64 of the report, since their map depends on the line.

    Attributes:
        raw: the 1184 bytes.
        cpuid: family, model, stepping (None in version 2, which has no such fields).
    """

    raw: bytes
    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algo: int
    current_tcb: int
    platform_info: int
    flags: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: int
    cpuid: tuple[int, int, int] | None
    chip_id: bytes
    committed_tcb: int
    current_build: bytes
    committed_build: bytes
    launch_tcb: int
    launch_mitigations: int
    current_mitigations: int

    @property
    def signed(self) -> bytes:
        return self.raw[:SIGNED_SIZE]

    @property
    def signing_key(self) -> int:
        return self.flags >> 2 & 7

    @property
    def author_key_enabled(self) -> bool:
        return bool(self.flags & 1)

    @property
    def chip_key_masked(self) -> bool:
        return bool(self.flags & 2)

    @property
    def debug(self) -> bool:
        return bool(self.policy >> 19 & 1)


def parse(data: bytes) -> Report:
    """Reads a report; exactly 1184 bytes, versions 2 to 5, SIGNATURE_ALGO 1.

    Raises:
        EvidenceError: QNSP-ATT-SNP-001, -002 or -003.
    """
    if len(data) != REPORT_SIZE:
        raise EvidenceError(codes.LENGTH, subject="report", expected=f"{REPORT_SIZE} bytes", got=f"{len(data)} bytes")
    head = _HEAD.unpack_from(data)
    tail = _TAIL.unpack_from(data, 0x1A0)
    version, signature_algo = head[0], head[6]
    if version not in VERSIONS:
        raise EvidenceError(codes.VERSION, subject="VERSION", expected="2, 3, 4 or 5", got=str(version))
    if signature_algo != ECDSA_P384_SHA384:
        raise EvidenceError(codes.SIGNATURE_ALGO, subject="SIGNATURE_ALGO", expected="1", got=str(signature_algo))
    return Report(
        raw=bytes(data),
        version=version,
        guest_svn=head[1],
        policy=head[2],
        family_id=head[3],
        image_id=head[4],
        vmpl=head[5],
        signature_algo=signature_algo,
        current_tcb=head[7],
        platform_info=head[8],
        flags=head[9],
        report_data=head[11],
        measurement=head[12],
        host_data=head[13],
        id_key_digest=head[14],
        author_key_digest=head[15],
        report_id=head[16],
        report_id_ma=head[17],
        reported_tcb=head[18],
        cpuid=(data[0x188], data[0x189], data[0x18A]) if version >= 3 else None,
        chip_id=tail[0],
        committed_tcb=tail[1],
        current_build=tail[2],
        committed_build=tail[3],
        launch_tcb=tail[4],
        launch_mitigations=tail[5],
        current_mitigations=tail[6],
    )


def signature_numbers(report: Report) -> tuple[bytes, bytes]:
    """R and S, 72 bytes each, little-endian, zero-extended from 48 (ABI specification table 131)."""
    return report.raw[0x2A0:0x2E8], report.raw[0x2E8:0x330]


def line_of_cpuid(family: int, model: int) -> Line | None:
    """The line of a combined CPUID family and model, None if no line of ours has it."""
    if family == 0x19:
        if model <= 0x0F:
            return Line.MILAN
        if model <= 0x1F or 0xA0 <= model <= 0xAF:
            return Line.GENOA
    if family == 0x1A and model <= 0x1F:
        return Line.TURIN
    return None


def line_of_product(name: str) -> Line | None:
    """The line of a product name ("Milan-B0", "Genoa", "SEV-VLEK-Turin", "ARK-Milan"), None if it is not known."""
    for word in name.replace("_", "-").split("-"):
        match word.lower():
            case "milan":
                return Line.MILAN
            case "genoa" | "siena" | "bergamo":
                return Line.GENOA
            case "turin":
                return Line.TURIN
    return None


__all__ = [
    "ECDSA_P384_SHA384",
    "REPORT_SIZE",
    "SIGNED_SIZE",
    "UNSIGNED_FROM",
    "VERSIONS",
    "Line",
    "Report",
    "SigningKey",
    "Tcb",
    "line_of_cpuid",
    "line_of_product",
    "parse",
    "signature_numbers",
]
