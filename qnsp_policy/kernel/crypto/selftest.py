"""Known-answer tests of every primitive that this program relies on; well under a second.

Comes in: nothing. Goes out: a `SelfTest` that is kept as evidence, or an error that blocks signing.
Run at the start of services and on every provider load. A signature is hedged, so signing is tested by verifying.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cryptography
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto import hpke, kat_data, signatures
from qnsp_policy.kernel.crypto.algorithms import KEMS, SIGNING
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.crypto.kmac import kmac256


@dataclass(frozen=True, slots=True)
class SelfTest:
    """A passed self-test.

    Attributes:
        provider: which library, with its version.
        passed: names of the tests, in order.
    """

    provider: str
    passed: tuple[str, ...]


class _MismatchError(Exception):
    """A primitive gave another answer than the known one."""


def _same(found: bytes | str, expected: bytes | str) -> None:
    if found != expected:
        raise _MismatchError


def _hashes() -> None:
    _same(hashlib.sha256(b"abc").hexdigest(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    _same(
        hashlib.sha384(b"abc").hexdigest(),
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    )
    _same(hashlib.sha3_256(b"").hexdigest(), "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a")


def _kmac() -> None:
    """NIST SP 800-185, KMAC256 sample 4."""
    found = kmac256(bytes(range(0x40, 0x60)), bytes(range(4)), 64, b"My Tagged Application")
    _same(found.hex()[:64], "20c570c31346f703c9ac36c61c03cb64c3970d0cfc787e9b79599d273a68d2f7")


def _hkdf() -> None:
    """RFC 5869, test case 1."""
    found = HKDF(hashes.SHA256(), 42, bytes(range(13)), bytes(range(0xF0, 0xFA))).derive(b"\x0b" * 22)
    _same(found.hex(), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


def _aes() -> None:
    """The GCM specification's test case 14, and that a changed tag is refused."""
    sealed = AESGCM(bytes(32)).encrypt(bytes(12), bytes(16), None)
    _same(sealed.hex(), "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    try:
        AESGCM(bytes(32)).decrypt(bytes(12), sealed[:-1] + bytes([sealed[-1] ^ 1]), None)
    except InvalidTag:
        return
    raise _MismatchError


def _ed25519() -> None:
    """RFC 8032 section 7.1, test 1."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = PrivateKey("Ed25519", seed)
    _same(key.public.raw.hex(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    _same(signatures.sign(key, b"").hex()[:32], "e5564300c360ac729086e2cc806e828a")


def _mldsa_keys() -> None:
    for algorithm, expected in kat_data.MLDSA_ZERO_SEED_PUBLIC.items():
        key = PrivateKey(algorithm, bytes(32), allow_test_seed=True)
        _same(hashlib.sha256(key.public.raw).hexdigest(), expected)


def _mldsa_verify() -> None:
    key = PrivateKey("ML-DSA-65", bytes(32), allow_test_seed=True).public
    signed, value = base64.b64decode(kat_data.MLDSA65_SIGNED), base64.b64decode(kat_data.MLDSA65_SIGNATURE)
    signatures.verify(key, value, signed)
    try:
        signatures.verify(key, value, signed + b"x")
    except PeerError:
        return
    raise _MismatchError


def _xwing() -> None:
    """Key expansion, ML-KEM-768 and X25519 decapsulation, and the combiner."""
    seed = base64.b64decode(kat_data.XWING_SEED)
    public = PrivateKey("X-Wing", seed).public.raw
    _same(hashlib.sha256(public).hexdigest(), kat_data.XWING_PUBLIC_SHA256)
    full, ciphertext = hashlib.shake_256(seed).digest(96), base64.b64decode(kat_data.XWING_CIPHERTEXT)
    pq = mlkem.MLKEM768PrivateKey.from_seed_bytes(full[:64]).decapsulate(ciphertext[:1088])
    peer = x25519.X25519PublicKey.from_public_bytes(ciphertext[1088:])
    ecdh = x25519.X25519PrivateKey.from_private_bytes(full[64:]).exchange(peer)
    secret = hashlib.sha3_256(pq + ecdh + ciphertext[1088:] + public[1184:] + b"\\.//^\\").digest()
    _same(secret, base64.b64decode(kat_data.XWING_SHARED))


def _pairwise_signatures() -> None:
    for algorithm in SIGNING:
        key = generate(algorithm)
        value = signatures.sign(key, b"self-test")
        signatures.verify(key.public, value, b"self-test")
        try:
            signatures.verify(key.public, value, b"self-tesT")
        except PeerError:
            continue
        raise _MismatchError


def _pairwise_kems() -> None:
    for algorithm in KEMS:
        key = generate(algorithm)
        _same(hpke.open_message(key, hpke.seal(key.public, b"self-test", b"info"), b"info"), b"self-test")


TESTS: Final[tuple[tuple[str, Callable[[], None]], ...]] = (
    ("hashes", _hashes),
    ("KMAC256", _kmac),
    ("HKDF-SHA256", _hkdf),
    ("AES-256-GCM", _aes),
    ("Ed25519", _ed25519),
    ("ML-DSA key generation", _mldsa_keys),
    ("ML-DSA-65 verification", _mldsa_verify),
    ("X-Wing", _xwing),
    ("signatures, pairwise", _pairwise_signatures),
    ("HPKE, pairwise", _pairwise_kems),
)


def run(tests: tuple[tuple[str, Callable[[], None]], ...] = TESTS) -> SelfTest:
    """Runs all tests.

    Raises:
        OperatorError: QNSP-KEY-006, a primitive gave another answer than the known one; nothing may be signed.
    """
    passed = []
    for name, test in tests:
        try:
            test()
        except (_MismatchError, PeerError, InvalidTag, ValueError) as error:
            raise OperatorError(
                "QNSP-KEY-006",
                f"the cryptographic self-test {name!r} failed: nothing is signed or released",
                subject=name,
                next_step="Reinstall `cryptography` from the locked requirements; suspect memory or disk if it goes on.",
            ) from error
        passed.append(name)
    return SelfTest(f"cryptography {cryptography.__version__}", tuple(passed))


__all__ = ["TESTS", "SelfTest", "run"]
