"""KMAC256 (NIST SP 800-185 section 4), which neither hashlib nor `cryptography` offers.

Comes in: a key, a message, an output length in bytes. Goes out: the MAC. Written for short inputs (key derivation);
Python integers are not constant-time, and the only secret that passes is a KEM secret that is used once.
"""

from __future__ import annotations

from typing import Final

_RATE: Final = 136
_MASK: Final = (1 << 64) - 1
_ROTATION: Final = (
    (0, 36, 3, 41, 18),
    (1, 44, 10, 45, 2),
    (62, 6, 43, 15, 61),
    (28, 55, 25, 21, 56),
    (27, 20, 39, 8, 14),
)
"""FIPS 202 table 2, by x then y."""


def _round_constants() -> tuple[int, ...]:
    """FIPS 202 algorithm 5: the linear feedback shift register."""
    constants, register = [], 1
    for _ in range(24):
        value = 0
        for j in range(7):
            if register & 1:
                value |= 1 << ((1 << j) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(value)
    return tuple(constants)


_CONSTANTS: Final = _round_constants()


def _rotate(value: int, count: int) -> int:
    return ((value << count) | (value >> (64 - count))) & _MASK


def _permute(lanes: list[list[int]]) -> list[list[int]]:
    """Keccak-f[1600]; lanes are indexed x, y."""
    five = range(5)
    for constant in _CONSTANTS:
        parity = [lanes[x][0] ^ lanes[x][1] ^ lanes[x][2] ^ lanes[x][3] ^ lanes[x][4] for x in five]
        mixed = [parity[x - 1] ^ _rotate(parity[(x + 1) % 5], 1) for x in five]
        turned = [[0] * 5 for _ in five]
        for x in five:
            for y in five:
                turned[y][(2 * x + 3 * y) % 5] = _rotate(lanes[x][y] ^ mixed[x], _ROTATION[x][y])
        lanes = [[turned[x][y] ^ (~turned[(x + 1) % 5][y] & turned[(x + 2) % 5][y]) for y in five] for x in five]
        lanes[0][0] ^= constant
    return lanes


def _sponge(data: bytes, suffix: int, size: int) -> bytes:
    padded = bytearray(data)
    padded.append(suffix)
    padded += bytes(-len(padded) % _RATE)
    padded[-1] |= 0x80
    lanes = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), _RATE):
        for at in range(_RATE // 8):
            lanes[at % 5][at // 5] ^= int.from_bytes(padded[start + 8 * at : start + 8 * at + 8], "little")
        lanes = _permute(lanes)
    out = b""
    while True:
        out += b"".join(lanes[at % 5][at // 5].to_bytes(8, "little") for at in range(_RATE // 8))
        if len(out) >= size:
            return out[:size]
        lanes = _permute(lanes)


def _left_encode(value: int) -> bytes:
    body = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return bytes([len(body)]) + body


def _right_encode(value: int) -> bytes:
    body = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return body + bytes([len(body)])


def _encode_string(data: bytes) -> bytes:
    return _left_encode(8 * len(data)) + data


def _bytepad(data: bytes) -> bytes:
    padded = _left_encode(_RATE) + data
    return padded + bytes(-len(padded) % _RATE)


def kmac256(key: bytes, message: bytes, size: int, customization: bytes = b"") -> bytes:
    """KMAC256(key, message, 8*size bits, customization).

    Args:
        key: any length.
        message: any length.
        size: output in bytes.
        customization: S of the standard.
    """
    head = _bytepad(_encode_string(b"KMAC") + _encode_string(customization)) + _bytepad(_encode_string(key))
    return _sponge(head + message + _right_encode(8 * size), 0x04, size)


__all__ = ["kmac256"]
