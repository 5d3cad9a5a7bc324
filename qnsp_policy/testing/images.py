"""Synthetic things that are launched: firmware with SEV and TDX metadata, enclave images, PE programs. Just enough to be measured."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Sequence
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_PAGE = 4096
ENCLAVE = bytes(range(32))
"""MRENCLAVE of `sigstruct`."""


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


def program(
    content: bytes,
    *,
    sections: Sequence[tuple[str, bytes]] = (),
    signature: bytes = b"",
    checksum: int = 0,
    tail: bytes = b"",
) -> bytes:
    """A PE32+ program of `.text` and further sections, with bytes behind them and a certificate table if given."""
    contents = [(".text", content), *sections]
    padded = [body.ljust(-(-len(body) // 512) * 512, b"\0") for _, body in contents]
    end = 1024 + sum(map(len, padded)) + len(tail)
    optional = bytearray(112 + 16 * 8)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<II", optional, 60, 1024, checksum)
    struct.pack_into("<I", optional, 108, 16)
    struct.pack_into("<II", optional, 112 + 4 * 8, end if signature else 0, len(signature))
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(contents), 0, 0, 0, len(optional), 0x22) + bytes(optional)
    at = 1024
    for (name, body), whole in zip(contents, padded, strict=True):
        head += name.encode().ljust(8, b"\0") + struct.pack(
            "<IIIIIIHHI", len(body), 0x1000, len(whole), at, 0, 0, 0, 0, 0
        )
        at += len(whole)
    return head.ljust(1024, b"\0") + b"".join(padded) + tail + signature


def certificate_table(*signatures: bytes) -> bytes:
    """An attribute certificate table of PKCS#7 signatures."""
    table = b""
    for der in signatures:
        entry = struct.pack("<IHH", 8 + len(der), 0x0200, 2) + der
        table += entry.ljust(-(-len(entry) // 8) * 8, b"\0")
    return table


def stub(version: str, *, kernel: bytes = b"", cmdline: bytes = b"", signature: bytes = b"") -> bytes:
    """A unified kernel image of a systemd stub."""
    magic = f"#### LoaderInfo: systemd-stub {version} ####\0".encode()
    inner = [(".linux", kernel or program(b"kernel"))]
    inner += [(".cmdline", cmdline)] if cmdline else []
    return program(b"stub", sections=[(".sdmagic", magic), *inner], signature=signature)


def signature_list(
    *certificates: bytes, owner: bytes = bytes(16), kind: str = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
) -> bytes:
    """Signature lists as db holds them: one list a certificate, as sizes differ."""
    return b"".join(
        uuid.UUID(kind).bytes_le + struct.pack("<III", 28 + 16 + len(der), 0, 16 + len(der)) + owner + der
        for der in certificates
    )


@cache
def _sgx_key(bits: int, exponent: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)


def sigstruct(*, debug: bool = False, bits: int = 3072, exponent: int = 3) -> bytes:
    """A SIGSTRUCT of an enclave whose MRENCLAVE is `ENCLAVE`, product 7, SVN 3 (Intel SDM volume 3D, table 37-19)."""
    private = _sgx_key(bits, exponent)
    numbers = private.public_key().public_numbers()
    head = bytes.fromhex("06000000e10000000000010000000000") + struct.pack("<II", 0, 0x20261121)
    head += bytes.fromhex("01010000600000006000000001000000") + bytes(4 + 84)
    attributes = bytes([0x04 | (0x02 if debug else 0)]) + bytes(15)
    body = struct.pack("<II", 0, 0xFFFFFFFF) + bytes(4 + 16) + attributes + bytes([0xFD]) + b"\xff" * 15
    body += ENCLAVE + bytes(16 + 16) + struct.pack("<HH", 7, 3)
    signature = private.sign(head + body, padding.PKCS1v15(), hashes.SHA256())[::-1]
    key = numbers.n.to_bytes(384, "little") + struct.pack("<I", numbers.e)
    return head + key + signature.ljust(384, b"\0") + body + bytes(12 + 384 * 2)


__all__ = [
    "ENCLAVE",
    "certificate_table",
    "enclave_image",
    "firmware",
    "program",
    "signature_list",
    "sigstruct",
    "stub",
]
