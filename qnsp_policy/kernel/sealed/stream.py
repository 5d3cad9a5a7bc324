"""Sealing and opening of an artefact in chunks, so that a model larger than memory can be opened.

Comes in: plaintext or sealed bytes through anything with `read(n)`. Goes out: an iterator of bytes.
Layout: 8 bytes `QNSPSEAL`, u32 big-endian length of the header, header (RFC 8785 JSON), then chunks of ciphertext, each
with a 16-byte tag. File key and 7-byte nonce prefix by HKDF-SHA256 from the data key and the header's salt; nonce =
prefix || u32 counter || last flag (the STREAM construction), so reordering, dropping and truncating fail; the SHA-256
of the header bytes is associated data of every chunk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import jcs, parse_object, same
from qnsp_policy.kernel.sealed.header import DATA_KEY_SIZE, DEFAULT_CHUNK, FORMAT, SealedHeader

MAGIC: Final = b"QNSPSEAL"
_MAX_HEADER: Final = 64 * 1024
_TAG: Final = 16


class Reader(Protocol):
    """An open file, a socket file, a BytesIO."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        ...


def new_data_key() -> bytes:
    """32 random bytes."""
    return os.urandom(DATA_KEY_SIZE)


def new_header(
    *, resource: str, version: int, plaintext_digest: str, plaintext_size: int, chunk_size: int = DEFAULT_CHUNK
) -> SealedHeader:
    """A header with a fresh salt; digest and size come from a first pass over the plaintext."""
    return SealedHeader(resource, version, plaintext_digest, plaintext_size, os.urandom(32), chunk_size)


def _bad(message: str) -> PeerError:
    return PeerError("QNSP-SIG-070", f"malformed sealed artefact: {message}")


def _take(reader: Reader, size: int) -> bytes:
    parts = []
    while size > 0:
        part = reader.read(size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _keys(data_key: bytes, header: SealedHeader) -> tuple[AESGCM, bytes]:
    if len(data_key) != DATA_KEY_SIZE:
        raise ValueError(f"a data key has {DATA_KEY_SIZE} bytes")
    derived = HKDF(hashes.SHA256(), 32 + 7, header.salt, FORMAT.encode()).derive(data_key)
    return AESGCM(derived[:32]), derived[32:]


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


def seal(plaintext: Reader, data_key: bytes, header: SealedHeader) -> Iterator[bytes]:
    """Yields the sealed file: first the preamble, then one piece a chunk.

    Raises:
        ValueError: the plaintext is not what the header says (size or digest), or the data key has a wrong size.
    """
    head = jcs(header.to_json())
    cipher, prefix = _keys(data_key, header)
    associated = hashlib.sha256(head).digest()
    yield MAGIC + len(head).to_bytes(4, "big") + head
    digest, left = hashlib.sha256(), header.plaintext_size
    for number in range(header.chunks):
        wanted = min(left, header.chunk_size)
        chunk = _take(plaintext, wanted)
        if len(chunk) != wanted:
            raise ValueError("the plaintext is shorter than its header says")
        left -= wanted
        digest.update(chunk)
        yield cipher.encrypt(_nonce(prefix, number, number == header.chunks - 1), chunk, associated)
    if plaintext.read(1) or "sha256:" + digest.hexdigest() != header.plaintext_digest:
        raise ValueError("the plaintext is not the one of its header: it changed between the two passes")


def read_header(reader: Reader) -> tuple[SealedHeader, bytes]:
    """The header and its bytes, unauthenticated: good for finding the key, for nothing else.

    Raises:
        PeerError: QNSP-SIG-070.
    """
    start = _take(reader, len(MAGIC) + 4)
    if len(start) != len(MAGIC) + 4 or not start.startswith(MAGIC):
        raise _bad("it does not begin like one")
    size = int.from_bytes(start[len(MAGIC) :], "big")
    if not 2 <= size <= _MAX_HEADER:
        raise _bad(f"a header of {size} bytes")
    head = _take(reader, size)
    if len(head) != size:
        raise _bad("it ends within the header")
    value = parse_object(head, max_bytes=_MAX_HEADER)
    if jcs(value) != head:
        raise _bad("the header is not canonical JSON")
    return SealedHeader.from_json(value), head


def open_sealed(
    reader: Reader,
    data_key: bytes,
    expected_digest: str | None,
    *,
    resource: str | None = None,
    version: int | None = None,
) -> Iterator[bytes]:
    """Yields the plaintext; every piece is authenticated, the whole only when the iterator has ended without error.

    Args:
        reader: the sealed file.
        data_key: 32 bytes.
        expected_digest: `sha256:` of the plaintext as the signed Artefact says; None where nothing was declared.
        resource: path of the key that was released; a header naming another is refused.
        version: of the key.

    Raises:
        PeerError: QNSP-SIG-070 malformed, -071 altered, truncated or sealed with another key, -072 not the artefact
            that was expected.
    """
    header, head = read_header(reader)
    if expected_digest is not None and not same(header.plaintext_digest, expected_digest):
        raise _other(expected_digest, header.plaintext_digest)
    if resource is not None and header.resource != resource:
        raise _other(resource, header.resource)
    if version is not None and header.version != version:
        raise _other(f"version {version}", f"version {header.version}")
    cipher, prefix = _keys(data_key, header)
    associated = hashlib.sha256(head).digest()
    digest, left = hashlib.sha256(), header.plaintext_size
    for number in range(header.chunks):
        size = min(left, header.chunk_size)
        last = number == header.chunks - 1
        try:
            chunk = cipher.decrypt(_nonce(prefix, number, last), _take(reader, size + _TAG), associated)
        except InvalidTag:
            raise PeerError(
                "QNSP-SIG-071",
                f"chunk {number + 1} of {header.chunks} does not open: altered, truncated, or another key",
                subject=header.resource,
            ) from None
        left -= size
        digest.update(chunk)
        if last and reader.read(1):
            raise PeerError("QNSP-SIG-071", "bytes follow the last chunk", subject=header.resource)
        if last and not same("sha256:" + digest.hexdigest(), header.plaintext_digest):
            raise _other(header.plaintext_digest, "sha256:" + digest.hexdigest())
        yield chunk


def _other(expected: str, got: str) -> PeerError:
    return PeerError("QNSP-SIG-072", "this is another artefact than the one expected", expected=expected, got=got)


__all__ = ["MAGIC", "Reader", "new_data_key", "new_header", "open_sealed", "read_header", "seal"]
