"""Synthetic things that are launched: firmware with SEV and TDX metadata, enclave images, PE programs. Just enough to be measured."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Sequence

_PAGE = 4096


def firmware(
    *,
    sev: Sequence[tuple[int, int, int]] = ((0x800000, 0x1000, 1), (0x810000, 0x1000, 0x10)),
    tdx: Sequence[tuple[int, int, int, int, int, int]] = (),
    pages: int = 4,
) -> bytes:
    """An OVMF of a pattern: page 1 holds SEV metadata, page 2 TDX metadata, the end the GUID table."""
    data = bytearray((index * 7 + index // _PAGE) & 0xFF for index in range(pages * _PAGE))
    metadata = b"ASEV" + struct.pack("<III", 16 + 12 * len(sev), 1, len(sev))
    metadata += b"".join(struct.pack("<III", *section) for section in sev)
    data[_PAGE : _PAGE + len(metadata)] = metadata
    entries = {
        "7255371f-3a3b-4b04-927b-1da6efa8d454": struct.pack("<II", 0x810C00, 0x400),
        "00f771de-1a7e-4fcb-890e-68c77e2fb44e": struct.pack("<I", 0x0080B004),
        "dc886566-984a-4798-a75e-5585a7bf67cc": struct.pack("<I", len(data) - _PAGE),
    }
    if tdx:
        metadata = b"TDVF" + struct.pack("<III", 16 + 32 * len(tdx), 1, len(tdx))
        metadata += b"".join(struct.pack("<IIQQII", *section) for section in tdx)
        data[2 * _PAGE : 2 * _PAGE + len(metadata)] = metadata
        entries["e47a6535-984a-4798-865e-4685a7bf8ec2"] = struct.pack("<I", len(data) - 2 * _PAGE)
    table = b""
    for guid, content in entries.items():
        table += content + struct.pack("<H", len(content) + 18) + uuid.UUID(guid).bytes_le
    table += struct.pack("<H", len(table) + 18) + uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
    end = len(data) - 32
    data[end - len(table) : end] = table
    return bytes(data)


def enclave_image(sections: Sequence[tuple[int, bytes]], *, version: int = 4, crc: int | None = None) -> bytes:
    """An EIF of sections (type, data): 1 kernel, 2 command line, 3 ramdisk, 4 signature, 5 metadata."""
    offsets, sizes, body = [], [], b""
    for kind, content in sections:
        offsets.append(548 + len(body))
        sizes.append(len(content))
        body += struct.pack(">HHQ", kind, 0, len(content)) + content
    padding = [0] * (32 - len(sections))
    head = b".eif" + struct.pack(">HHQQHH", version, 0, 512 << 20, 2, 0, len(sections))
    head += struct.pack(">32Q32QI", *offsets, *padding, *sizes, *padding, 0)
    return head + struct.pack(">I", zlib.crc32(head + body) if crc is None else crc) + body


def program(content: bytes, *, signature: bytes = b"", checksum: int = 0) -> bytes:
    """A PE32+ program of one section, with or without a certificate table."""
    content = content.ljust(-(-len(content) // 512) * 512, b"\0")
    optional = bytearray(112 + 16 * 8)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<II", optional, 60, 1024, checksum)
    struct.pack_into("<I", optional, 108, 16)
    struct.pack_into("<II", optional, 112 + 4 * 8, 1024 + len(content) if signature else 0, len(signature))
    section = b".text\0\0\0" + struct.pack("<IIIIIIHHI", len(content), 0x1000, len(content), 1024, 0, 0, 0, 0, 0)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, len(optional), 0x22) + bytes(optional) + section
    return head.ljust(1024, b"\0") + content + signature


__all__ = ["enclave_image", "firmware", "program"]
