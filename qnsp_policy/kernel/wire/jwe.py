"""The flattened JWE in which a key broker releases a resource (RFC 7516, RFC 7518, CoCo KBS 0.4.0).

Comes in: a TEE public key as JWK and a plaintext, or a JWE and the private key. Goes out: JWE bytes, or the plaintext.
Key management by the type of the TEE key: EC P-256 and P-521 `ECDH-ES+A256KW`, RSA `RSA-OAEP-256` (SHA-256 also for
MGF1), AKP `ML-KEM-768+A192KW` (draft-ietf-jose-pqc-kem-05 as Trustee reads it: KMAC256, S empty). `RSA1_5` is refused.
Content is always A256GCM. The protected header is compact JSON ordered alg, enc, then the rest sorted, as existing
peers rebuild it before they authenticate it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64url, parse_object, unb64url
from qnsp_policy.kernel.crypto.kmac import kmac256

ECDH_ES: Final = "ECDH-ES+A256KW"
RSA_OAEP: Final = "RSA-OAEP-256"
ML_KEM: Final = "ML-KEM-768+A192KW"
ALGORITHMS: Final = (ECDH_ES, RSA_OAEP, ML_KEM)

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-521": ec.SECP521R1()}
_COORDINATE: Final = {"P-256": 32, "P-521": 66}
_CEK, _IV, _TAG = 32, 12, 16
_MAX: Final = 64 * 1024 * 1024
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_REQUIRED: Final = frozenset({"protected", "encrypted_key", "iv", "ciphertext", "tag"})

_PublicHandle = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | mlkem.MLKEM768PublicKey
_PrivateHandle = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | mlkem.MLKEM768PrivateKey


def _bad_key(message: str) -> PeerError:
    return PeerError("QNSP-KBS-201", f"TEE public key: {message}", subject="tee-pubkey")


def _bad(message: str) -> PeerError:
    return PeerError("QNSP-KBS-202", f"malformed JWE: {message}")


def _unopened() -> PeerError:
    return PeerError("QNSP-KBS-203", "the JWE does not open: it was altered, or is for another key")


class TeePublicKey:
    """A TEE public key that was checked: known algorithm, right length, point on its curve.

    Attributes:
        algorithm: `alg` of the JWK, one of `ALGORITHMS`.
        post_quantum: True for ML-KEM.
    """

    __slots__ = ("_handle", "algorithm")

    def __init__(self, algorithm: str, handle: _PublicHandle) -> None:
        self.algorithm = algorithm
        self._handle = handle

    @property
    def post_quantum(self) -> bool:
        """True if a quantum computer does not open what is wrapped to it."""
        return self.algorithm == ML_KEM

    @property
    def handle(self) -> _PublicHandle:
        """The key object of `cryptography`."""
        return self._handle

    def to_jwk(self) -> dict[str, str]:
        """Exactly the members that the protocol hashes."""
        if isinstance(self._handle, ec.EllipticCurvePublicKey):
            return {**_ec_members(self._handle), "alg": self.algorithm}
        if isinstance(self._handle, rsa.RSAPublicKey):
            numbers = self._handle.public_numbers()
            return {"kty": "RSA", "alg": self.algorithm, "n": _uint(numbers.n), "e": _uint(numbers.e)}
        return {"kty": "AKP", "alg": self.algorithm, "pub": b64url(self._handle.public_bytes_raw())}

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> TeePublicKey:
        """Reads and checks a TEE key at `attest`, not only at release.

        Raises:
            PeerError: QNSP-KBS-201.
        """
        kty, alg = jwk.get("kty"), jwk.get("alg")
        try:
            if kty == "EC" and alg == ECDH_ES:
                return cls(ECDH_ES, _ec_key(jwk))
            if kty == "RSA" and alg == RSA_OAEP:
                return cls(RSA_OAEP, _rsa_key(jwk))
            if kty == "AKP" and alg == ML_KEM:
                return cls(ML_KEM, mlkem.MLKEM768PublicKey.from_public_bytes(unb64url(jwk.get("pub"), "`pub`")))
        except CanonicalJsonError as error:
            raise _bad_key(error.message) from None
        except ValueError:
            raise _bad_key(f"the members are no {kty} key") from None
        raise _bad_key(f"kty {str(kty)[:16]!r} with alg {str(alg)[:32]!r}; taken are {', '.join(ALGORITHMS)}")


class TeePrivateKey:
    """The ephemeral key of an attester, never written down.

    Attributes:
        public: what goes into runtime data.
    """

    __slots__ = ("_handle", "public")

    def __init__(self, algorithm: str, handle: _PrivateHandle) -> None:
        self._handle = handle
        self.public = TeePublicKey(algorithm, handle.public_key())

    def __repr__(self) -> str:
        return f"TeePrivateKey({self.public.algorithm})"

    def __reduce__(self) -> Any:
        raise TypeError("a private key is not pickled")

    @property
    def handle(self) -> _PrivateHandle:
        """The key object of `cryptography`."""
        return self._handle

    @classmethod
    def generate(cls, algorithm: str = ML_KEM, *, curve: str = "P-256") -> TeePrivateKey:
        """A fresh key; post-quantum unless the broker cannot.

        Raises:
            ValueError: unknown algorithm or curve.
        """
        if algorithm == ML_KEM:
            return cls(algorithm, mlkem.MLKEM768PrivateKey.generate())
        if algorithm == ECDH_ES and curve in _CURVES:
            return cls(algorithm, ec.generate_private_key(_CURVES[curve]))
        if algorithm == RSA_OAEP:
            return cls(algorithm, rsa.generate_private_key(65537, 3072))
        raise ValueError(f"no TEE key of algorithm {algorithm!r}, curve {curve!r}")


def _uint(value: int) -> str:
    return b64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _curve_name(key: ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) -> str:
    return next(name for name, curve in _CURVES.items() if curve.name == key.curve.name)


def _ec_members(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    name, numbers = _curve_name(key), key.public_numbers()
    width = _COORDINATE[name]
    x, y = (b64url(value.to_bytes(width, "big")) for value in (numbers.x, numbers.y))
    return {"crv": name, "kty": "EC", "x": x, "y": y}


def _ec_key(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    crv = jwk.get("crv")
    if not isinstance(crv, str) or crv not in _CURVES:
        raise _bad_key(f"curve {str(crv)[:16]!r}; taken are P-256 and P-521")
    x, y = unb64url(jwk.get("x"), "`x`"), unb64url(jwk.get("y"), "`y`")
    if len(x) != _COORDINATE[crv] or len(y) != _COORDINATE[crv]:
        raise _bad_key(f"coordinates of {crv} have {_COORDINATE[crv]} bytes")
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[crv], b"\x04" + x + y)


def _rsa_key(jwk: Mapping[str, Any]) -> rsa.RSAPublicKey:
    n, e = (int.from_bytes(unb64url(jwk.get(name), f"`{name}`"), "big") for name in ("n", "e"))
    if not 2048 <= n.bit_length() <= 8192 or e.bit_length() > 64:
        raise _bad_key("RSA keys have 2048 to 8192 bits")
    return rsa.RSAPublicNumbers(e, n).public_key()


def protect(header: Mapping[str, Any]) -> str:
    """`protected` of a JWE: base64url of compact JSON ordered alg, enc, then the other members sorted."""
    rest = sorted(set(header) - {"alg", "enc"})
    ordered = {name: header[name] for name in ("alg", "enc", *rest)}
    return b64url(json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode())


def _ecdh_kek(shared: bytes) -> bytes:
    """RFC 7518 section 4.6.2, with empty PartyUInfo and PartyVInfo: 256 bits."""
    alg = ECDH_ES.encode()
    other = len(alg).to_bytes(4, "big") + alg + bytes(4) + bytes(4) + (256).to_bytes(4, "big")
    return ConcatKDFHash(hashes.SHA256(), 32, other).derive(shared)


def _mlkem_kek(shared: bytes) -> bytes:
    alg = ML_KEM.encode()
    return kmac256(shared, len(alg).to_bytes(4, "big") + alg + (192).to_bytes(4, "big"), 24)


def encrypt(public: TeePublicKey, plaintext: bytes) -> bytes:
    """The flattened JWE, as JSON bytes, that only the holder of the TEE key opens."""
    cek, header = os.urandom(_CEK), {"alg": public.algorithm, "enc": "A256GCM"}
    handle = public.handle
    members: dict[str, Any] = dict(header)
    if isinstance(handle, ec.EllipticCurvePublicKey):
        ephemeral = ec.generate_private_key(handle.curve)
        members["epk"] = _ec_members(ephemeral.public_key())
        encrypted = aes_key_wrap(_ecdh_kek(ephemeral.exchange(ec.ECDH(), handle)), cek)
    elif isinstance(handle, rsa.RSAPublicKey):
        encrypted = handle.encrypt(cek, _OAEP)
    else:
        shared, ciphertext = handle.encapsulate()
        members["ek"] = b64url(ciphertext)
        encrypted = aes_key_wrap(_mlkem_kek(shared), cek)
    protected, iv = protect(members), os.urandom(_IV)
    sealed = AESGCM(cek).encrypt(iv, plaintext, protected.encode("ascii"))
    parts = {
        "protected": protected,
        "encrypted_key": b64url(encrypted),
        "iv": b64url(iv),
        "ciphertext": b64url(sealed[:-_TAG]),
        "tag": b64url(sealed[-_TAG:]),
    }
    return json.dumps(parts, separators=(",", ":")).encode()


def decrypt(private: TeePrivateKey, data: bytes) -> bytes:
    """The plaintext of a flattened JWE.

    Raises:
        PeerError: QNSP-KBS-202 malformed or of another algorithm, QNSP-KBS-203 it does not open.
    """
    try:
        value = parse_object(data, max_bytes=_MAX)
        # `aad` is allowed by RFC 7516; brokers do not send it, and an empty list of surprises is the safest.
        if set(value) != _REQUIRED:
            raise _bad(f"members {sorted(value)}; a release has {sorted(_REQUIRED)}")
        protected = value["protected"]
        header = parse_object(unb64url(protected, "`protected`"), max_bytes=64 * 1024)
        parts = {name: unb64url(value[name], f"`{name}`") for name in _REQUIRED - {"protected"}}
        if header.get("enc") != "A256GCM" or header.get("alg") != private.public.algorithm or "crit" in header:
            raise _bad(f"alg {str(header.get('alg'))[:32]!r}, enc {str(header.get('enc'))[:16]!r} was not asked for")
        if len(parts["iv"]) != _IV or len(parts["tag"]) != _TAG:
            raise _bad("iv has 12 bytes and tag 16")
        cek = _unwrap(private.handle, header, parts["encrypted_key"])
    except CanonicalJsonError as error:
        raise _bad(error.message) from None
    if len(cek) != _CEK:
        raise _unopened()
    try:
        return AESGCM(cek).decrypt(parts["iv"], parts["ciphertext"] + parts["tag"], protected.encode("ascii"))
    except InvalidTag:
        raise _unopened() from None


def _unwrap(handle: _PrivateHandle, header: Mapping[str, Any], encrypted: bytes) -> bytes:
    try:
        if isinstance(handle, ec.EllipticCurvePrivateKey):
            epk = header.get("epk")
            if not isinstance(epk, Mapping) or epk.get("kty") != "EC" or epk.get("crv") != _curve_name(handle):
                raise _bad("`epk` is no key on the curve of the TEE key")
            return aes_key_unwrap(_ecdh_kek(handle.exchange(ec.ECDH(), _ec_key(epk))), encrypted)
        if isinstance(handle, rsa.RSAPrivateKey):
            return handle.decrypt(encrypted, _OAEP)
        return aes_key_unwrap(_mlkem_kek(handle.decapsulate(unb64url(header.get("ek"), "`ek`"))), encrypted)
    except InvalidUnwrap:
        raise _unopened() from None
    except CanonicalJsonError:
        raise
    except ValueError as error:
        if isinstance(error, PeerError):
            raise
        raise _unopened() from None


__all__ = [
    "ALGORITHMS",
    "ECDH_ES",
    "ML_KEM",
    "RSA_OAEP",
    "TeePrivateKey",
    "TeePublicKey",
    "decrypt",
    "encrypt",
    "protect",
]
