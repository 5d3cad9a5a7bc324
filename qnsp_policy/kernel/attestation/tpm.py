"""TPM 2.0 quotes: the TPMS_ATTEST structure (TPM 2.0 Library, Part 2, sections 10.12.8 and 10.12.1), bytes to values.

Comes in: the marshalled TPMS_ATTEST (big-endian). Goes out: `Quote`. Knows nothing of keys: its signature is the caller's to verify.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MAGIC: Final = 0xFF544347  # TPM_GENERATED_VALUE
_ATTEST_QUOTE: Final = 0x8018  # TPM_ST_ATTEST_QUOTE
SHA256: Final = 0x000B
SHA384: Final = 0x000C
_MAX: Final = 4096


class QuoteError(ValueError):
    """Bytes are not a marshalled TPMS_ATTEST of type quote; callers turn it into their own code."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a TPM quote states.

    Attributes:
        extra_data: qualifying data, at most 64 bytes: the verifier's nonce.
        selections: (hash algorithm id, indexes in ascending order) of each selected bank.
        pcr_digest: digest over the selected PCRs, in order, by the signing scheme's hash.
        reset_count, restart_count: of the TPM's clock.
        safe: whether the clock value was never lost.
    """

    extra_data: bytes
    selections: tuple[tuple[int, tuple[int, ...]], ...]
    pcr_digest: bytes
    reset_count: int
    restart_count: int
    safe: bool


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
            raise QuoteError(f"a field of {size} bytes; at most {limit}")
        return self.take(size)

    def end(self) -> None:
        if self._at != len(self._data):
            raise QuoteError(f"{len(self._data) - self._at} bytes follow the structure")


def parse_quote(data: bytes) -> Quote:
    """Reads a TPMS_ATTEST of type TPM_ST_ATTEST_QUOTE.

    Raises:
        QuoteError: other magic or type, a length past the end, trailing bytes, more than 16 banks.
    """
    if len(data) > _MAX:
        raise QuoteError(f"{len(data)} bytes; at most {_MAX}")
    reader = _Reader(data)
    if reader.number(4) != _MAGIC:
        raise QuoteError("magic is not TPM_GENERATED_VALUE")
    if reader.number(2) != _ATTEST_QUOTE:
        raise QuoteError("type is not TPM_ST_ATTEST_QUOTE")
    reader.sized(68)  # qualifiedSigner: a name is at most a hash id and 64 bytes of digest
    extra_data = reader.sized(64)
    reader.take(8)  # clockInfo.clock
    resets, restarts, safe = reader.number(4), reader.number(4), reader.number(1)
    if safe not in (0, 1):
        raise QuoteError("clockInfo.safe is not a TPMI_YES_NO")
    reader.take(8)  # firmwareVersion
    banks = reader.number(4)
    if not 1 <= banks <= 16:
        raise QuoteError(f"{banks} PCR selections")
    selections: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(banks):
        algorithm, size = reader.number(2), reader.number(1)
        if not 3 <= size <= 4:
            raise QuoteError(f"a PCR selection of {size} bytes")
        bits = int.from_bytes(reader.take(size), "little")
        selections.append((algorithm, tuple(index for index in range(8 * size) if bits >> index & 1)))
    digest = reader.sized(64)
    reader.end()
    return Quote(extra_data, tuple(selections), digest, resets, restarts, bool(safe))


__all__ = ["SHA256", "SHA384", "Quote", "QuoteError", "parse_quote"]
