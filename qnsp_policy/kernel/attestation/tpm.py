"""TPM 2.0 quotes, as far as wrapped evidence needs them: TPMS_ATTEST, its signature, the PCR digest.

Comes in: TPMS_ATTEST bytes, a signature, PCR values. Goes out: the parsed quote; nothing is trusted until its signature was checked with
a key that other evidence vouches for. All integers big-endian. Source: TCG TPM 2.0 Library part 2, revision 1.83, sections 10.12
(attestation), 11.3 (signatures); digest of a quote: part 3 section 18.4.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

GENERATED: Final = 0xFF544347
ATTEST_QUOTE: Final = 0x8018
SHA256: Final = 0x000B
SHA384: Final = 0x000C
_RSASSA: Final = 0x0014
_ECDSA: Final = 0x0018
_SIZES: Final[Mapping[int, int]] = {0x0004: 20, SHA256: 32, SHA384: 48, 0x000D: 64}
MAX_QUOTE: Final = 4096


class QuoteError(ValueError):
    """TPM structures are not well formed or do not agree; callers turn it into their own code."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A parsed, unverified TPMS_ATTEST of type quote.

    Attributes:
        extra_data: qualifyingData of the caller, up to 64 bytes.
        selections: PCR indices by hash algorithm id, in the order of the structure.
        pcr_digest: digest over the selected values.
        firmware_version: u64 as the TPM gives it.
        clock, reset_count, restart_count, safe: TPMS_CLOCK_INFO.
    """

    qualified_signer: bytes
    extra_data: bytes
    clock: int
    reset_count: int
    restart_count: int
    safe: bool
    firmware_version: int
    selections: tuple[tuple[int, tuple[int, ...]], ...]
    pcr_digest: bytes


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise QuoteError("cut short")
        part = self._data[self._at : self._at + size]
        self._at += size
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def sized(self, limit: int) -> bytes:
        size = self.number(2)
        if size > limit:
            raise QuoteError(f"a field of {size} bytes; at most {limit} are read")
        return self.take(size)

    def end(self) -> None:
        if self._at != len(self._data):
            raise QuoteError("trailing bytes")


def parse_quote(data: bytes) -> Quote:
    """Reads TPMS_ATTEST; type quote only, no trailing bytes.

    Raises:
        QuoteError: not well formed.
    """
    if len(data) > MAX_QUOTE:
        raise QuoteError(f"{len(data)} bytes; at most {MAX_QUOTE} are read")
    reader = _Reader(data)
    magic, kind = struct.unpack(">IH", reader.take(6))
    if magic != GENERATED:
        raise QuoteError(f"magic 0x{magic:08X} is not TPM_GENERATED")
    if kind != ATTEST_QUOTE:
        raise QuoteError(f"type 0x{kind:04X} is not a quote")
    signer = reader.sized(68)
    extra = reader.sized(64)
    clock, reset, restart, safe = reader.number(8), reader.number(4), reader.number(4), reader.number(1)
    firmware = reader.number(8)
    count = reader.number(4)
    if count > 16:
        raise QuoteError(f"{count} PCR selections")
    selections: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(count):
        algorithm, size = reader.number(2), reader.number(1)
        if size > 4:
            raise QuoteError(f"a PCR selection of {size} bytes")
        mask = reader.take(size)
        selections.append((algorithm, tuple(i for i in range(8 * size) if mask[i // 8] >> i % 8 & 1)))
    digest = reader.sized(64)
    reader.end()
    return Quote(signer, extra, clock, reset, restart, bool(safe), firmware, tuple(selections), digest)


def selected_values(quote: Quote, values: bytes, algorithm: int, *, digest: str = "sha256") -> dict[int, bytes]:
    """The PCR values that the quote covers, once their digest is the quote's.

    Args:
        quote: the parsed quote, which must select one bank only.
        values: all PCR values of the bank in order of index (24 x the size of the hash).
        algorithm: the bank that is expected.
        digest: the hash of the signing scheme, over the selected values in order.

    Raises:
        QuoteError: another bank, a missing value, or another digest.
    """
    size = _SIZES[algorithm]
    if len(quote.selections) != 1 or quote.selections[0][0] != algorithm:
        raise QuoteError("the quote does not select exactly the expected bank")
    indices = quote.selections[0][1]
    if len(values) % size or any(size * (index + 1) > len(values) for index in indices):
        raise QuoteError("a selected PCR has no value")
    chosen = {index: values[size * index : size * (index + 1)] for index in indices}
    if hashlib.new(digest, b"".join(chosen.values())).digest() != quote.pcr_digest:
        raise QuoteError("the digest of the PCR values is not the quote's")
    return chosen


def rsa_signature(data: bytes) -> bytes:
    """The RSA signature of TPMT_SIGNATURE (RSASSA, SHA-256), or the bytes themselves where they are a bare signature."""
    if data[:2] == _RSASSA.to_bytes(2, "big") and len(data) >= 6 and len(data) == 6 + int.from_bytes(data[4:6], "big"):
        if int.from_bytes(data[2:4], "big") != SHA256:
            raise QuoteError("the signature is not over SHA-256")
        return data[6:]
    if not 256 <= len(data) <= 512:
        raise QuoteError("no RSA signature")
    return data


def is_signed_by_rsa(quote: bytes, signature: bytes, key: rsa.RSAPublicKey) -> bool:
    """Whether an RSASSA PKCS#1 v1.5 SHA-256 signature over TPMS_ATTEST is by `key`."""
    try:
        key.verify(signature, quote, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def ecdsa_signature(data: bytes) -> bytes:
    """The DER form of an ECDSA signature given as TPMT_SIGNATURE (SHA-256) or as DER.

    Raises:
        QuoteError: neither of both.
    """
    if data[:1] == b"\x30":
        return data
    reader = _Reader(data)
    if reader.number(2) != _ECDSA or reader.number(2) != SHA256:
        raise QuoteError("not an ECDSA signature over SHA-256")
    r, s = reader.sized(66), reader.sized(66)
    reader.end()
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


def is_signed_by_ecdsa(quote: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether a DER ECDSA SHA-256 signature over TPMS_ATTEST is by `key`."""
    try:
        key.verify(signature, quote, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


__all__ = [
    "ATTEST_QUOTE",
    "GENERATED",
    "MAX_QUOTE",
    "SHA256",
    "SHA384",
    "Quote",
    "QuoteError",
    "ecdsa_signature",
    "is_signed_by_ecdsa",
    "is_signed_by_rsa",
    "parse_quote",
    "rsa_signature",
    "selected_values",
]
