"""HPKE messages and sealed artefacts: only the right key opens, and nothing can be cut, moved or relabelled."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import PeerError, QnspError
from qnsp_policy.kernel.crypto import hpke
from qnsp_policy.kernel.crypto.algorithms import ALGORITHMS, KEMS
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.crypto.hpke import HpkeMessage
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.sealed import stream
from qnsp_policy.kernel.sealed.header import SealedHeader, SealedKey, open_key, seal_key

BROKER = generate("X-Wing")
DATA_KEY = bytes(range(32))
RESOURCE = "clinic/model/minilm"
PLAIN = bytes(range(256)) * 9 + b"tail"
CHUNK = 1000
DIGEST = "sha256:" + hashlib.sha256(PLAIN).hexdigest()


def sealed(plain: bytes = PLAIN, chunk: int = CHUNK, key: bytes = DATA_KEY) -> bytes:
    digest = "sha256:" + hashlib.sha256(plain).hexdigest()
    header = stream.new_header(
        resource=RESOURCE, version=1, plaintext_digest=digest, plaintext_size=len(plain), chunk_size=chunk
    )
    return b"".join(stream.seal(io.BytesIO(plain), key, header))


GOOD = sealed()
BODY = 12 + int.from_bytes(GOOD[8:12], "big")


def opened(data: bytes, key: bytes = DATA_KEY, digest: str | None = DIGEST, **names: Any) -> bytes:
    return b"".join(stream.open_sealed(io.BytesIO(data), key, digest, **names))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_round_trip(size: int) -> None:
    """Every size around a chunk's border opens to what was sealed."""
    plain = bytes(size)
    assert opened(sealed(plain), digest=None) == plain


def test_a_slow_reader_is_read_to_the_end() -> None:
    """Short reads of a socket are not an end."""

    class Slow:
        def __init__(self, data: bytes) -> None:
            self.file = io.BytesIO(data)

        def read(self, size: int, /) -> bytes:
            return self.file.read(min(size, 7))

    assert b"".join(stream.open_sealed(Slow(GOOD), DATA_KEY, DIGEST)) == PLAIN


def header_with(**changes: Any) -> bytes:
    head = {**json.loads(GOOD[12:BODY]), **changes}
    text = jcs(head)
    return GOOD[:8] + len(text).to_bytes(4, "big") + text + GOOD[BODY:]


ALTERED: dict[str, tuple[bytes, str]] = {
    "a byte of the first chunk": (GOOD[:BODY] + bytes([GOOD[BODY] ^ 1]) + GOOD[BODY + 1 :], "QNSP-SIG-071"),
    "cut at a chunk's border": (GOOD[: BODY + CHUNK + 16], "QNSP-SIG-071"),
    "cut within a chunk": (GOOD[:-5], "QNSP-SIG-071"),
    "bytes after the end": (GOOD + b"x", "QNSP-SIG-071"),
    "chunks exchanged": (
        GOOD[:BODY]
        + GOOD[BODY + CHUNK + 16 : BODY + 2 * (CHUNK + 16)]
        + GOOD[BODY : BODY + CHUNK + 16]
        + GOOD[BODY + 2 * (CHUNK + 16) :],
        "QNSP-SIG-071",
    ),
    "relabelled resource": (header_with(resource="research/model/minilm"), "QNSP-SIG-071"),
    "version raised": (header_with(version=2), "QNSP-SIG-071"),
    "shorter plaintext claimed": (header_with(plaintextSize=CHUNK), "QNSP-SIG-071"),
    "another digest claimed": (header_with(plaintextDigest="sha256:" + "0" * 64), "QNSP-SIG-072"),
    "unknown member": (header_with(extra=1), "QNSP-SIG-070"),
    "another cipher": (header_with(cipher="none"), "QNSP-SIG-070"),
    "chunk of zero": (header_with(chunkSize=0), "QNSP-SIG-070"),
    "size no integer": (header_with(plaintextSize=True), "QNSP-SIG-070"),
    "path of two segments": (header_with(resource="clinic/minilm"), "QNSP-SIG-070"),
    "salt short": (header_with(salt="AA=="), "QNSP-SIG-070"),
    "no magic": (b"X" + GOOD[1:], "QNSP-SIG-070"),
    "empty": (b"", "QNSP-SIG-070"),
    "header cut": (GOOD[:20], "QNSP-SIG-070"),
    "header of 4 GiB": (GOOD[:8] + b"\xff\xff\xff\xff" + GOOD[12:], "QNSP-SIG-070"),
    "header not canonical": (
        GOOD[:8] + (BODY - 12 + 1).to_bytes(4, "big") + b" " + GOOD[12:],
        "QNSP-SIG-070",
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_altered_artefacts_are_refused(name: str) -> None:
    """One good file, one named change, one code; no plaintext of an altered chunk comes out."""
    data, code = ALTERED[name]
    with pytest.raises(PeerError, match=code):
        opened(data)


def test_what_was_released_must_be_what_is_opened() -> None:
    """Another key, another resource, another version, another artefact: refused."""
    with pytest.raises(PeerError, match="QNSP-SIG-071"):
        opened(GOOD, key=bytes(32))
    for names in ({"resource": "research/model/minilm"}, {"version": 2}):
        with pytest.raises(PeerError, match="QNSP-SIG-072"):
            opened(GOOD, **names)
    with pytest.raises(PeerError, match="QNSP-SIG-072"):
        opened(GOOD, digest="sha256:" + "0" * 64)
    assert opened(GOOD, resource=RESOURCE, version=1) == PLAIN


def test_a_plaintext_that_changed_is_not_sealed() -> None:
    """A file that changes between the two passes stops the sealing."""
    header = stream.new_header(resource=RESOURCE, version=1, plaintext_digest=DIGEST, plaintext_size=len(PLAIN))
    for other in (PLAIN + b"x", PLAIN[:-1], PLAIN[:-1] + b"x"):
        with pytest.raises(ValueError, match="header"):
            list(stream.seal(io.BytesIO(other), DATA_KEY, header))


def test_no_nonce_is_used_twice() -> None:
    """The same plaintext under the same data key gives other ciphertext every time."""
    assert sealed()[BODY:] != sealed()[BODY:]


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """Neither a garbage file nor a garbage header gets another exception out."""

    def attempts() -> Iterator[bytes]:
        yield data
        yield stream.MAGIC + len(data).to_bytes(4, "big") + data

    for attempt in attempts():
        with pytest.raises(QnspError, match="QNSP-SIG"):
            opened(attempt)


CONTEXT: dict[str, Any] = {
    "resource": RESOURCE,
    "version": 1,
    "tier": "CryptoTier/hip5-tier-3",
    "artefact_digest": "sha256:" + "a" * 64,
}
SEALED_KEY = seal_key(DATA_KEY, BROKER.public, **CONTEXT)


@pytest.mark.parametrize("name", KEMS)
def test_keys_are_sealed_to_every_kem(name: str) -> None:
    """X-Wing, MLKEM1024-P384 and plain ML-KEM all carry a data key."""
    key = generate(name)
    found = SealedKey.from_json(json.loads(seal_key(DATA_KEY, key.public, **CONTEXT).to_bytes()))
    assert open_key(found, key) == DATA_KEY
    assert len(found.message.enc) == ALGORITHMS[name].output


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resource", "research/model/minilm"),
        ("version", 2),
        ("tier", "CryptoTier/hip5-tier-0"),
        ("artefactDigest", "sha256:" + "b" * 64),
    ],
)
def test_a_relabelled_key_does_not_open(name: str, value: object) -> None:
    """The key of one resource cannot be passed off as another's."""
    with pytest.raises(PeerError, match="QNSP-SIG-012"):
        open_key(SealedKey.from_json({**SEALED_KEY.to_json(), name: value}), BROKER)


def test_a_key_opens_for_its_broker_only() -> None:
    """Sealed to another key says so; a changed key id does not open either."""
    with pytest.raises(PeerError, match="QNSP-SIG-014"):
        open_key(SEALED_KEY, generate("X-Wing"))
    other = generate("X-Wing")
    message = SEALED_KEY.message
    moved = HpkeMessage(message.kem, other.key_id, message.enc, message.ciphertext)
    with pytest.raises(PeerError, match="QNSP-SIG-012"):
        open_key(SealedKey(**CONTEXT, message=moved), other)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "qnsp.sealed-key/v2"},
        {"version": 0},
        {"version": True},
        {"resource": "../../etc"},
        {"tier": 3},
        {"artefactDigest": "md5:00"},
        {"hpke": 1},
        {"hpke": {**SEALED_KEY.message.to_json(), "kem": "X25519"}},
        {"hpke": {**SEALED_KEY.message.to_json(), "kdf": "HKDF-SHA512"}},
        {"hpke": {**SEALED_KEY.message.to_json(), "enc": "AA=="}},
        {"hpke": {**SEALED_KEY.message.to_json(), "more": 1}},
        {"extra": 1},
    ],
)
def test_malformed_sealed_keys(change: dict[str, Any]) -> None:
    """Each named change is refused as malformed."""
    with pytest.raises(PeerError, match=r"QNSP-SIG-0(13|73)"):
        SealedKey.from_json({**SEALED_KEY.to_json(), **change})


def test_info_binds_a_message() -> None:
    """HPKE opens only for the purpose it was sealed for."""
    message = hpke.seal(BROKER.public, b"secret", b"purpose")
    assert hpke.open_message(BROKER, message, b"purpose") == b"secret"
    with pytest.raises(PeerError, match="QNSP-SIG-012"):
        hpke.open_message(BROKER, message, b"another")
    with pytest.raises(PeerError, match="QNSP-SIG-005"):
        hpke.seal(generate("Ed25519").public, b"", b"")
    assert "secret" not in repr(message)


def test_headers_are_values() -> None:
    """A header that could not be read back cannot be made."""
    with pytest.raises(PeerError, match="QNSP-SIG-070"):
        SealedHeader("clinic/model/minilm\n", 1, DIGEST, 1, bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        seal_key(b"short", BROKER.public, **CONTEXT)
