"""Keys as values: public keys, software private keys, their JWKs and their ids (RFC 7638 thumbprints).

Comes in: JWKs, raw bytes, `generate(algorithm)`. Goes out: `PublicKey` and `PrivateKey`.
JWK forms: `kty: AKP` with `alg`, `pub`, `priv` for ML-DSA (RFC 9964) and, in the same shape, for the KEMs (ML-KEM,
X-Wing, MLKEM1024-P384: `priv` is the seed); `kty: OKP` for Ed25519 (RFC 8037); `kty: EC` for P-256 and P-384
(RFC 7518). Keys whose private half lives behind SSH carry the SSH name as `alg` (docs/formats/dsse-and-keys.md).

Raw encodings of public keys, in bytes: ML-DSA and ML-KEM as FIPS 204 and 203 write them; Ed25519 32; EC x || y,
big-endian; X-Wing ML-KEM-768 1184 || X25519 32; MLKEM1024-P384 ML-KEM-1024 1568 || uncompressed point 97.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.hpke import (
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    MLKEM1024P384PrivateKey,
    MLKEM1024P384PublicKey,
)

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.algorithms import ALGORITHMS, KEMS, SIGNING, SSH
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64url, jcs, unb64url

_MLDSA_PUBLIC: Final[Mapping[str, Any]] = {
    "ML-DSA-44": mldsa.MLDSA44PublicKey,
    "ML-DSA-65": mldsa.MLDSA65PublicKey,
    "ML-DSA-87": mldsa.MLDSA87PublicKey,
}
_MLDSA_PRIVATE: Final[Mapping[str, Any]] = {
    "ML-DSA-44": mldsa.MLDSA44PrivateKey,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey,
}
_MLKEM_PUBLIC: Final[Mapping[str, Any]] = {
    "ML-KEM-768": mlkem.MLKEM768PublicKey,
    "ML-KEM-1024": mlkem.MLKEM1024PublicKey,
}
_MLKEM_PRIVATE: Final[Mapping[str, Any]] = {
    "ML-KEM-768": mlkem.MLKEM768PrivateKey,
    "ML-KEM-1024": mlkem.MLKEM1024PrivateKey,
}

_ED25519_NAMES: Final = frozenset({"Ed25519", "ssh-ed25519", "sk-ssh-ed25519@openssh.com"})
_EC_NAMES: Final = {
    "ECDSA-P256": "P-256",
    "ecdsa-sha2-nistp256": "P-256",
    "sk-ecdsa-sha2-nistp256@openssh.com": "P-256",
    "ECDSA-P384": "P-384",
    "ecdsa-sha2-nistp384": "P-384",
}
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_COORDINATE: Final = {"P-256": 32, "P-384": 48}
_JWK_ALG: Final = {"ECDSA-P256": "ES256", "ECDSA-P384": "ES384"}
_FROM_JWK_ALG: Final = {"ES256": "ECDSA-P256", "ES384": "ECDSA-P384", "EdDSA": "Ed25519"}
_DEFAULT_ALG: Final = {"P-256": "ECDSA-P256", "P-384": "ECDSA-P384", "Ed25519": "Ed25519"}

_SEED_SIZE: Final = {
    "ML-DSA-44": 32,
    "ML-DSA-65": 32,
    "ML-DSA-87": 32,
    "Ed25519": 32,
    "ECDSA-P256": 32,
    "ECDSA-P384": 48,
    "ML-KEM-768": 64,
    "ML-KEM-1024": 64,
    "X-Wing": 32,
    "MLKEM1024-P384": 32,
}

SOFTWARE: Final = tuple(_SEED_SIZE)
"""Names of algorithms whose private key can be held in software."""

SUPPORTED: Final = (*SIGNING, *KEMS, *SSH)
"""Names of algorithms that a `PublicKey` may have."""


def _bad(message: str, subject: str | None = None) -> PeerError:
    return PeerError("QNSP-SIG-006", f"malformed key: {message}", subject=subject)


def _point(raw: bytes, curve: str) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], raw)


@lru_cache(maxsize=2048)
def _public_handle(algorithm: str, raw: bytes) -> Any:
    """The parsed key object; cached, as parsing costs as much as some verifications."""
    try:
        if algorithm in _MLDSA_PUBLIC:
            return _MLDSA_PUBLIC[algorithm].from_public_bytes(raw)
        if algorithm in _ED25519_NAMES:
            return ed25519.Ed25519PublicKey.from_public_bytes(raw)
        if algorithm in _EC_NAMES:
            return _point(b"\x04" + raw, _EC_NAMES[algorithm])
        if algorithm in _MLKEM_PUBLIC:
            return _MLKEM_PUBLIC[algorithm].from_public_bytes(raw)
        if algorithm == "X-Wing":
            return MLKEM768X25519PublicKey(
                mlkem.MLKEM768PublicKey.from_public_bytes(raw[:1184]),
                x25519.X25519PublicKey.from_public_bytes(raw[1184:]),
            )
        return MLKEM1024P384PublicKey(
            mlkem.MLKEM1024PublicKey.from_public_bytes(raw[:1568]), _point(raw[1568:], "P-384")
        )
    except (ValueError, UnsupportedAlgorithm):
        raise _bad(f"{len(raw)} bytes are no {algorithm} public key", algorithm) from None


@lru_cache(maxsize=2048)
def _thumbprint(key: PublicKey) -> str:
    members = key.to_jwk()
    wanted = {"AKP": ("alg", "kty", "pub"), "OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y")}[members["kty"]]
    return b64url(hashlib.sha256(jcs({name: members[name] for name in wanted})).digest())


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that was checked to be one: right length, point on its curve, ML-KEM modulus check.

    Attributes:
        algorithm: name of the algorithm table, one of `SUPPORTED`.
        raw: encoding as the module docstring says.
        application: of security keys (sk-*) the application text their signatures carry, usually "ssh:"; else "".
    """

    algorithm: str
    raw: bytes
    application: str = ""

    def __post_init__(self) -> None:
        if self.algorithm not in SUPPORTED:
            raise PeerError("QNSP-SIG-005", f"no key of algorithm {self.algorithm!r} is known", subject=self.algorithm)
        if len(self.raw) != ALGORITHMS[self.algorithm].public:
            raise _bad(
                f"{self.algorithm} has {ALGORITHMS[self.algorithm].public} bytes, got {len(self.raw)}", self.algorithm
            )
        _public_handle(self.algorithm, self.raw)

    @property
    def handle(self) -> Any:
        """The key object of `cryptography`."""
        return _public_handle(self.algorithm, self.raw)

    @property
    def key_id(self) -> str:
        """RFC 7638 thumbprint (SHA-256, base64url, 43 characters)."""
        return _thumbprint(self)

    def to_jwk(self) -> dict[str, str]:
        """The public JWK; members in a fixed order, no `kid` (the id is computed)."""
        if self.algorithm in _ED25519_NAMES:
            jwk = {"kty": "OKP", "crv": "Ed25519", "alg": self.algorithm, "x": b64url(self.raw)}
        elif self.algorithm in _EC_NAMES:
            half = len(self.raw) // 2
            jwk = {
                "kty": "EC",
                "crv": _EC_NAMES[self.algorithm],
                "alg": _JWK_ALG.get(self.algorithm, self.algorithm),
                "x": b64url(self.raw[:half]),
                "y": b64url(self.raw[half:]),
            }
        else:
            jwk = {"kty": "AKP", "alg": self.algorithm, "pub": b64url(self.raw)}
        if self.application:
            jwk["application"] = self.application
        return jwk

    @classmethod
    def from_jwk(cls, jwk: object) -> PublicKey:
        """Reads a public JWK; unknown members are ignored, a private one is refused.

        Raises:
            PeerError: QNSP-SIG-006 malformed (or holds a private key), QNSP-SIG-005 unknown algorithm.
        """
        if not isinstance(jwk, Mapping):
            raise _bad("a JWK is a JSON object")
        if any(name in jwk for name in ("priv", "d", "k", "p")):
            raise _bad("a private key stands where a public one belongs")
        return cls(*_jwk_parts(jwk))

    @classmethod
    def from_handle(cls, handle: Any) -> PublicKey:
        """From a key object of `cryptography` (ML-DSA, ML-KEM, Ed25519, P-256, P-384, hybrids excepted).

        Raises:
            PeerError: QNSP-SIG-005, another type of key.
        """
        for name, kind in (*_MLDSA_PUBLIC.items(), *_MLKEM_PUBLIC.items()):
            if isinstance(handle, kind):
                return cls(name, handle.public_bytes_raw())
        if isinstance(handle, ed25519.Ed25519PublicKey):
            return cls("Ed25519", handle.public_bytes_raw())
        if isinstance(handle, ec.EllipticCurvePublicKey):
            for name, curve in (("ECDSA-P256", "P-256"), ("ECDSA-P384", "P-384")):
                if handle.curve.name == _CURVES[curve].name:
                    return cls(name, _ec_raw(handle))
        raise PeerError("QNSP-SIG-005", f"keys of type {type(handle).__name__} are not supported")

    @classmethod
    def from_spki(cls, der: bytes) -> PublicKey:
        """From a DER SubjectPublicKeyInfo.

        Raises:
            PeerError: QNSP-SIG-006 malformed, QNSP-SIG-005 another algorithm.
        """
        try:
            handle = serialization.load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm):
            raise _bad("not a SubjectPublicKeyInfo of a known algorithm") from None
        return cls.from_handle(handle)

    def to_spki(self) -> bytes:
        """DER SubjectPublicKeyInfo; hybrid KEM keys have none.

        Raises:
            ValueError: for X-Wing and MLKEM1024-P384.
        """
        if self.algorithm in {"X-Wing", "MLKEM1024-P384"}:
            raise ValueError(f"{self.algorithm} has no registered SubjectPublicKeyInfo")
        der: bytes = self.handle.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return der


def _ec_raw(handle: ec.EllipticCurvePublicKey) -> bytes:
    return handle.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)[1:]


def _jwk_parts(jwk: Mapping[Any, Any]) -> tuple[str, bytes, str]:
    kty, alg, crv = jwk.get("kty"), jwk.get("alg"), jwk.get("crv")
    application = jwk.get("application", "")
    if not isinstance(application, str):
        raise _bad("`application` is not text")
    if alg is not None and not isinstance(alg, str):
        raise _bad("`alg` is not text")
    try:
        if kty == "AKP":
            if alg not in SUPPORTED or alg in _ED25519_NAMES or alg in _EC_NAMES:
                raise PeerError("QNSP-SIG-005", f"kty AKP with unknown alg {alg!r}")
            return alg, unb64url(jwk.get("pub"), "`pub`"), ""
        if kty == "OKP" and crv == "Ed25519":
            name = _FROM_JWK_ALG.get(alg or "EdDSA", alg or "")
            if name not in _ED25519_NAMES:
                raise PeerError("QNSP-SIG-005", f"kty OKP, crv Ed25519 with unknown alg {alg!r}")
            return name, unb64url(jwk.get("x"), "`x`"), application
        if kty == "EC" and isinstance(crv, str) and crv in _CURVES:
            name = _FROM_JWK_ALG.get(alg or "", alg or _DEFAULT_ALG[crv])
            if _EC_NAMES.get(name) != crv:
                raise PeerError("QNSP-SIG-005", f"kty EC, crv {crv} with unknown alg {alg!r}")
            x, y = unb64url(jwk.get("x"), "`x`"), unb64url(jwk.get("y"), "`y`")
            if len(x) != _COORDINATE[crv] or len(y) != _COORDINATE[crv]:
                raise _bad(f"coordinates of {crv} have {_COORDINATE[crv]} bytes")
            return name, x + y, application
    except CanonicalJsonError as error:
        raise _bad(error.message) from None
    raise PeerError("QNSP-SIG-005", f"kty {kty!r}, crv {crv!r} is not supported")


class PrivateKey:
    """A software private key, held as its seed. Its repr shows the public id only; it cannot be pickled or compared.

    Attributes:
        algorithm: name of the algorithm table.
        public: the public key.
        handle: the key object of `cryptography`.
    """

    __slots__ = ("_seed", "algorithm", "handle", "public")

    algorithm: str
    public: PublicKey
    handle: Any
    _seed: bytes

    def __init__(self, algorithm: str, seed: bytes, *, allow_test_seed: bool = False) -> None:
        """Expands the seed.

        Args:
            algorithm: one of `SIGNING` or `KEMS`.
            seed: 32 bytes (ML-DSA, Ed25519, X-Wing, MLKEM1024-P384), 64 (ML-KEM), the scalar big-endian 32 or 48 (EC).
            allow_test_seed: takes a seed of equal bytes, which published examples use; for tests only.

        Raises:
            PeerError: QNSP-SIG-005 or -006.
            OperatorError: QNSP-KEY-001, the seed of published examples.
        """
        size = _SEED_SIZE.get(algorithm)
        if size is None:
            raise PeerError("QNSP-SIG-005", f"no private key of algorithm {algorithm!r} can be held in software")
        if len(seed) != size:
            raise _bad(f"a private {algorithm} key has {size} bytes, got {len(seed)}", algorithm)
        if len(set(seed)) == 1 and not allow_test_seed:
            raise OperatorError(
                "QNSP-KEY-001",
                f"this {algorithm} private key is the one of published examples: everybody has it",
                subject=algorithm,
                next_step="Make a new key with `qnsp-policy key new`.",
            )
        self.algorithm = algorithm
        self._seed = bytes(seed)
        self.handle, self.public = _expand(algorithm, self._seed)

    @property
    def key_id(self) -> str:
        """Id of the public key."""
        return self.public.key_id

    def __repr__(self) -> str:
        return f"PrivateKey({self.algorithm}, {self.key_id})"

    def __reduce__(self) -> Any:
        raise TypeError("a private key is not pickled")

    def to_jwk_insecure(self) -> dict[str, str]:
        """The private JWK, secret in clear: only for the key file of throw-away software keys."""
        name = "priv" if self.public.to_jwk()["kty"] == "AKP" else "d"
        return {**self.public.to_jwk(), name: b64url(self._seed)}

    @classmethod
    def from_jwk(cls, jwk: object, *, allow_test_seed: bool = False) -> Self:
        """Reads a private JWK and checks that its public half belongs to it.

        Raises:
            PeerError: QNSP-SIG-005 or -006; the text never holds the secret.
            OperatorError: QNSP-KEY-001, the seed of published examples.
        """
        if not isinstance(jwk, Mapping):
            raise _bad("a JWK is a JSON object")
        name = "priv" if jwk.get("kty") == "AKP" else "d"
        if name not in jwk:
            raise _bad(f"no private member `{name}`")
        public = PublicKey.from_jwk({key: value for key, value in jwk.items() if key != name})
        try:
            seed = unb64url(jwk[name], f"`{name}`")
        except CanonicalJsonError:
            raise _bad(f"`{name}` is not base64url without padding") from None
        key = cls(public.algorithm, seed, allow_test_seed=allow_test_seed)
        if key.public != public:
            raise _bad("the private member does not belong to the public one", public.algorithm)
        return key

    def to_pkcs8_pem_insecure(self) -> bytes:
        """PKCS#8 in PEM, unencrypted, for a TLS stack in the same process; hybrid KEM keys have none."""
        pem: bytes = self.handle.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem


def _expand(algorithm: str, seed: bytes) -> tuple[Any, PublicKey]:
    handle: Any
    try:
        if algorithm in _MLDSA_PRIVATE:
            handle = _MLDSA_PRIVATE[algorithm].from_seed_bytes(seed)
            return handle, PublicKey(algorithm, handle.public_key().public_bytes_raw())
        if algorithm == "Ed25519":
            handle = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
            return handle, PublicKey(algorithm, handle.public_key().public_bytes_raw())
        if algorithm in _EC_NAMES:
            handle = ec.derive_private_key(int.from_bytes(seed, "big"), _CURVES[_EC_NAMES[algorithm]])
            return handle, PublicKey(algorithm, _ec_raw(handle.public_key()))
        if algorithm in _MLKEM_PRIVATE:
            handle = _MLKEM_PRIVATE[algorithm].from_seed_bytes(seed)
            return handle, PublicKey(algorithm, handle.public_key().public_bytes_raw())
        if algorithm == "X-Wing":
            # draft-connolly-cfrg-xwing-kem-10, 5.2: SHAKE256 to 96 bytes, ML-KEM seed first.
            full = hashlib.shake_256(seed).digest(96)
            pq = mlkem.MLKEM768PrivateKey.from_seed_bytes(full[:64])
            ecdh = x25519.X25519PrivateKey.from_private_bytes(full[64:])
            raw = pq.public_key().public_bytes_raw() + ecdh.public_key().public_bytes_raw()
            return MLKEM768X25519PrivateKey(pq, ecdh), PublicKey(algorithm, raw)
        # draft-irtf-cfrg-concrete-hybrid-kems expands the same way: 64 bytes ML-KEM seed, 48 bytes P-384 scalar.
        full = hashlib.shake_256(seed).digest(64 + 48)
        top = mlkem.MLKEM1024PrivateKey.from_seed_bytes(full[:64])
        p384 = ec.derive_private_key(int.from_bytes(full[64:], "big"), ec.SECP384R1())
        raw = top.public_key().public_bytes_raw() + b"\x04" + _ec_raw(p384.public_key())
        return MLKEM1024P384PrivateKey(top, p384), PublicKey(algorithm, raw)
    except ValueError:
        raise _bad(f"the bytes are no {algorithm} private key", algorithm) from None


def generate(algorithm: str) -> PrivateKey:
    """A new software key from the system's random source.

    Raises:
        PeerError: QNSP-SIG-005, not an algorithm whose private key can be held in software.
    """
    if algorithm in _EC_NAMES and algorithm in SIGNING:
        scalar = ec.generate_private_key(_CURVES[_EC_NAMES[algorithm]]).private_numbers().private_value
        return PrivateKey(algorithm, scalar.to_bytes(_SEED_SIZE[algorithm], "big"))
    size = _SEED_SIZE.get(algorithm)
    if size is None:
        raise PeerError("QNSP-SIG-005", f"no private key of algorithm {algorithm!r} can be held in software")
    return PrivateKey(algorithm, os.urandom(size))


def public_keys(jwks: object) -> tuple[PublicKey, ...]:
    """Reads a list of public JWKs, in order; a key that stands twice is refused.

    Raises:
        PeerError: QNSP-SIG-005, QNSP-SIG-006.
    """
    if not isinstance(jwks, (list, tuple)):
        raise _bad("a list of JWKs is wanted")
    keys = tuple(PublicKey.from_jwk(jwk) for jwk in jwks)
    if len({key.key_id for key in keys}) != len(keys):
        raise _bad("a key stands twice in one list")
    return keys


__all__ = ["SOFTWARE", "SUPPORTED", "PrivateKey", "PublicKey", "generate", "public_keys"]
