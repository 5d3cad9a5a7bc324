"""SPDM 1.1 measurements of NVIDIA devices (DSP0274, GET_MEASUREMENTS and MEASUREMENTS), bytes to values.

Comes in: the 37-byte request followed by the response, raw or as hex text. Goes out: `Report`, unverified. All integers are
little-endian; a block is index u8, specification u8 (1, DMTF), size u16 (51), type u8, size u16 (48), 48-byte value. The opaque
data is a run of (type u16, length u16, value). Some types mean different things on a GPU and on a switch: 22 to 25 are the switch's
identity there and the GPU's NVLink neighbours here; 26 and 27 exist on switches only, 32 to 36 on GPUs only. A device states its own
identifier (PDI) most significant byte first and its neighbours' least significant byte first; type 26 begins with eight of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qnsp_policy.kernel.attestation.nvidia_gpu import codes
from qnsp_policy.kernel.attestation.refusal import EvidenceError

REQUEST_SIZE: Final = 37
SIGNATURE_SIZE: Final = 96
MAX_REPORT: Final = 64 * 1024
_SPDM_1_1: Final = 0x11
_VALUE: Final = 48
_BLOCK: Final = 7 + _VALUE
_HEX: Final = re.compile(rb"\s*(?:0[xX])?((?:[0-9a-fA-F]{2})+)\s*\Z")

DRIVER_VERSION: Final = 3
VBIOS_VERSION: Final = 6
NVDEC0: Final = 11
BOARD: Final = 14
CHIP_SKU: Final = 15
PROJECT: Final = 17
PROJECT_SKU: Final = 18
FWID: Final = 20
PPCIE: Final = 21
PDI: Final = 22
SWITCH_GPU_PDIS: Final = 26
CHIP: Final = 35
FEATURE: Final = 36
_PDI_SIZE: Final = 8
DISABLED: Final = 0x55
ENABLED: Final = 0xAA


@dataclass(frozen=True, slots=True)
class Report:
    """A parsed, unverified report.

    Attributes:
        nonce: 32 bytes of the request, what a verifier asked with.
        responder_nonce: 32 bytes of the device's own.
        measurements: 48-byte values by block index (1 to 64 on a GPU, 1 to 31 on LS10).
        opaque: raw values by type.
        signed: the bytes under the signature: request and response without its last 96 bytes.
        signature: r || s, big-endian, 96 bytes.
    """

    nonce: bytes
    responder_nonce: bytes
    measurements: Mapping[int, bytes]
    opaque: Mapping[int, bytes]
    signed: bytes
    signature: bytes

    def text(self, kind: int) -> str:
        """A NUL-padded ASCII field, "" where the device gave none."""
        value = self.opaque.get(kind)
        if value is None:
            return ""
        text = value.rstrip(b"\0")
        if not text.isascii() or not text.decode("ascii").isprintable():
            raise EvidenceError(
                codes.OPAQUE_FIELD, subject=f"opaque type {kind}", expected="printable ASCII", got=text[:16].hex()
            )
        return text.decode("ascii")

    def flag(self, kind: int) -> bool | None:
        """A field of one byte, 0x55 disabled or 0xAA enabled; None where the device gave none."""
        value = self.opaque.get(kind)
        if value is None:
            return None
        if value not in (bytes([DISABLED]), bytes([ENABLED])):
            raise EvidenceError(
                codes.OPAQUE_FIELD, subject=f"opaque type {kind}", expected="0x55 or 0xaa", got=value[:8].hex()
            )
        return value[0] == ENABLED

    def pdis(self, kind: int, limit: int = 64) -> frozenset[str]:
        """The per-device identifiers (8 bytes each, at most the first `limit`) of a field, without the zero ones."""
        value = self.opaque.get(kind, b"")
        if len(value) % _PDI_SIZE:
            raise EvidenceError(
                codes.OPAQUE_FIELD,
                subject=f"opaque type {kind}",
                expected="a multiple of 8 bytes",
                got=f"{len(value)} bytes",
            )
        end = min(len(value), limit * _PDI_SIZE)
        parts = (value[start : start + _PDI_SIZE] for start in range(0, end, _PDI_SIZE))
        return frozenset(part.hex() for part in parts if any(part))

    def vbios_version(self) -> str:
        """VBIOS (GPU: little-endian word and a byte) or BIOS (switch: ASCII) version, e.g. `96.00.7A.00.02`, "" if absent."""
        value = self.opaque.get(VBIOS_VERSION)
        if value is None:
            return ""
        if len(value) == _PDI_SIZE and not value.rstrip(b"\0").decode("latin-1").replace(".", "").isalnum():
            return f"{value[3]:02X}.{value[2]:02X}.{value[1]:02X}.{value[0]:02X}.{value[4]:02X}"
        return self.text(VBIOS_VERSION).upper()


def _take(data: bytes, start: int, size: int) -> bytes:
    if start + size > len(data):
        raise EvidenceError(codes.SIZE, expected=f"at least {start + size} bytes", got=f"{len(data)} bytes")
    return data[start : start + size]


def _blocks(record: bytes, count: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(record):
        if at + _BLOCK > len(record):
            raise EvidenceError(codes.BLOCKS, "the record ends inside a block")
        index, specification = record[at], record[at + 1]
        size, inner = (
            int.from_bytes(record[at + 2 : at + 4], "little"),
            int.from_bytes(record[at + 5 : at + 7], "little"),
        )
        if specification != 1 or size != _BLOCK - 4 or inner != _VALUE:
            raise EvidenceError(
                codes.BLOCK,
                subject=f"block {index}",
                expected="specification 1, sizes 51 and 48",
                got=f"{specification}, {size} and {inner}",
            )
        if index == 0 or index in found:
            raise EvidenceError(codes.BLOCK_INDEX, subject=f"block {index}")
        found[index] = record[at + 7 : at + _BLOCK]
        at += _BLOCK
    if len(found) != count:
        raise EvidenceError(codes.BLOCKS, expected=f"{count} blocks", got=str(len(found)))
    return found


def _opaque(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        kind, size = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 4], "little")
        if at + 4 + size > len(data):
            raise EvidenceError(codes.OPAQUE, subject=f"opaque type {kind}")
        if kind in found:
            raise EvidenceError(codes.OPAQUE_TWICE, subject=f"opaque type {kind}")
        found[kind] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def parse(data: bytes) -> Report:
    """Reads request and response.

    Args:
        data: raw bytes, or the same as hex text (the form of NVIDIA's report files); at most 65,536 bytes when raw.

    Raises:
        EvidenceError: QNSP-ATT-NV-001 to -011, the first failing step.
    """
    if len(data) > 2 * MAX_REPORT + 64:
        raise EvidenceError(codes.SIZE, got=f"{len(data)} bytes")
    if data[:1] != bytes([_SPDM_1_1]) and (text := _HEX.match(data)):
        data = bytes.fromhex(text[1].decode("ascii"))
    if not data or len(data) > MAX_REPORT:
        raise EvidenceError(codes.SIZE, got=f"{len(data)} bytes")
    request = _take(data, 0, REQUEST_SIZE)
    if request[0] != _SPDM_1_1:
        raise EvidenceError(codes.VERSION, expected="0x11", got=f"0x{request[0]:02x}")
    if request[1] != 0xE0 or not request[2] & 1 or request[3] != 0xFF:
        raise EvidenceError(codes.REQUEST, expected="e001ff", got=request[1:4].hex())
    head = _take(data, REQUEST_SIZE, 8)
    if head[0] != _SPDM_1_1:
        raise EvidenceError(codes.VERSION, expected="0x11", got=f"0x{head[0]:02x}")
    if head[1] != 0x60:
        raise EvidenceError(codes.RESPONSE, expected="0x60", got=f"0x{head[1]:02x}")
    count, length = head[4], int.from_bytes(head[5:8], "little")
    at = REQUEST_SIZE + 8
    record = _take(data, at, length)
    at += length
    responder_nonce = _take(data, at, 32)
    size = int.from_bytes(_take(data, at + 32, 2), "little")
    at += 34
    opaque = _take(data, at, size)
    at += size
    if len(data) - at != SIGNATURE_SIZE:
        raise EvidenceError(codes.SIGNATURE_LENGTH, expected="96 bytes", got=f"{len(data) - at} bytes")
    return Report(
        nonce=request[4:36],
        responder_nonce=responder_nonce,
        measurements=_blocks(record, count),
        opaque=_opaque(opaque),
        signed=data[:at],
        signature=data[at:],
    )


def is_switch(opaque: Mapping[int, bytes]) -> bool:
    """Whether the fields are those of a switch: neighbours of type 26, or its own identifier and no driver."""
    return SWITCH_GPU_PDIS in opaque or (DRIVER_VERSION not in opaque and len(opaque.get(PDI, b"")) == _PDI_SIZE)


def is_switch_framing(data: bytes) -> bool:
    """Whether bytes are a switch's report; False where they cannot be read."""
    try:
        return is_switch(parse(data).opaque)
    except EvidenceError:
        return False


__all__ = ["Report", "is_switch", "is_switch_framing", "parse"]
