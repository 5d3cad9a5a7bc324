"""The certificate table that travels with an extended report: GUID, offset and length of each certificate.

Comes in: the bytes of `auxblob` or of an extended guest request. Goes out: certificates (DER) by type, and the reverse.
Source: AMD GHCB Specification (56421) revision 2.04 section 4.1.8.1; GUID bytes are in RFC 4122 order, the mixed-endian order that
some hosts write is read too.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from typing import Final

from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import codes

TYPES: Final[Mapping[str, uuid.UUID]] = {
    "ark": uuid.UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae"),
    "ask": uuid.UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782"),
    "vcek": uuid.UUID("63da758d-e664-4564-adc5-f4b93be8accd"),
    "vlek": uuid.UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1"),
    "crl": uuid.UUID("92f81bc3-5811-4d3d-97ff-d19f88dc67ea"),
}
_NAMES: Final = {value.bytes: name for name, value in TYPES.items()} | {
    value.bytes_le: name for name, value in TYPES.items()
}
_ENTRY: Final = struct.Struct("<16sII")
MAX_TABLE: Final = 256 * 1024
_MAX_ENTRIES: Final = 32


def parse(data: bytes) -> dict[str, bytes]:
    """Certificates by type; entries of other types are named `other:<guid>`. Bytes after the last certificate are padding.

    Raises:
        EvidenceError: QNSP-ATT-SNP-005.
    """
    if len(data) > MAX_TABLE:
        raise EvidenceError(codes.TABLE, f"{len(data)} bytes; at most {MAX_TABLE} are read")
    found: dict[str, bytes] = {}
    for index in range(_MAX_ENTRIES + 1):
        position = index * _ENTRY.size
        if position + _ENTRY.size > len(data):
            raise EvidenceError(codes.TABLE, "no end of the entries")
        guid, offset, length = _ENTRY.unpack_from(data, position)
        if guid == bytes(16):
            break
        name = _NAMES.get(guid) or f"other:{uuid.UUID(bytes=guid)}"
        if offset + length > len(data):
            raise EvidenceError(codes.TABLE, f"entry {index} ends behind the table", subject=name)
        if name in found:
            raise EvidenceError(codes.TABLE, f"entry {index} repeats a type", subject=name)
        found[name] = data[offset : offset + length]
    else:
        raise EvidenceError(codes.TABLE, f"more than {_MAX_ENTRIES} entries")
    return found


def is_table(data: bytes) -> bool:
    """Whether bytes begin like a certificate table."""
    return data[:16] in _NAMES


def build(certificates: Mapping[str, bytes]) -> bytes:
    """The table of certificates (DER) by type; the types of `TYPES` only."""
    offset = _ENTRY.size * (len(certificates) + 1)
    entries = b""
    for name, data in certificates.items():
        entries += _ENTRY.pack(TYPES[name].bytes, offset, len(data))
        offset += len(data)
    return entries + bytes(_ENTRY.size) + b"".join(certificates.values())


__all__ = ["MAX_TABLE", "TYPES", "build", "is_table", "parse"]
