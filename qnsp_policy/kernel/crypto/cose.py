"""COSE keys and single signatures with ML-DSA (RFC 9052, RFC 9964), as thin as receipts need them.

Comes in: CBOR of a peer and a trusted key, or a payload and a private key. Goes out: `VerifiedSign1`, or CBOR.
COSE_Key of ML-DSA: {1: 7 (AKP), 2: kid, 3: alg, -1: pub, -2: seed}. COSE_Sign1 is tag 18; what is signed is
`["Signature1", protected, external_aad, payload]`. The algorithm is the trusted key's; the header must agree.
Duplicate map keys and bytes after the item are refused.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto import signatures
from qnsp_policy.kernel.crypto.algorithms import ALGORITHMS, by_cose
from qnsp_policy.kernel.crypto.canonical import unb64url
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey

TAG_SIGN1: Final = 18
ALG, KID, CONTENT_TYPE, CRIT, TYP = 1, 4, 3, 2, 16
_KTY, _KEY_ID, _KEY_ALG, _KEY_PUB, _KEY_PRIV = 1, 2, 3, -1, -2
_AKP: Final = 7
_EDDSA: Final = -8
_MAX: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class VerifiedSign1:
    """A payload whose signature was verified; only `verify_sign1` makes one.

    Attributes:
        payload: as signed.
        protected: header members as signed, by label.
        key: that signed.
    """

    payload: bytes
    protected: Mapping[Any, Any]
    key: PublicKey


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-SIG-050", f"malformed COSE: {message}")


def decode(data: bytes) -> Any:
    """One CBOR item that ends with the input.

    Raises:
        PeerError: QNSP-SIG-050.
    """
    if len(data) > _MAX:
        raise _malformed(f"{len(data)} bytes; at most {_MAX} are read")
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORDecodeError, RecursionError, ValueError, OverflowError, MemoryError, TypeError):
        raise _malformed("not CBOR") from None
    if stream.read(1):
        raise _malformed("bytes follow the item")
    return value


def key_to_cose(public: PublicKey) -> bytes:
    """The COSE_Key of an ML-DSA public key, kid = RFC 7638 thumbprint bytes.

    Raises:
        ValueError: another algorithm.
    """
    number = ALGORITHMS[public.algorithm].cose
    if number is None or not public.algorithm.startswith("ML-DSA"):
        raise ValueError(f"{public.algorithm} has no COSE_Key here")
    return cbor2.dumps(
        {_KTY: _AKP, _KEY_ID: unb64url(public.key_id), _KEY_ALG: number, _KEY_PUB: public.raw}, canonical=True
    )


def key_from_cose(data: bytes) -> PublicKey:
    """Reads the COSE_Key of an ML-DSA public key; a private one is refused.

    Raises:
        PeerError: QNSP-SIG-050, QNSP-SIG-005, QNSP-SIG-006.
    """
    value = decode(data)
    if not isinstance(value, Mapping) or value.get(_KTY) != _AKP or not isinstance(value.get(_KEY_PUB), bytes):
        raise _malformed("no COSE_Key of type AKP")
    if _KEY_PRIV in value:
        raise PeerError("QNSP-SIG-006", "malformed key: a private key stands where a public one belongs")
    number = value.get(_KEY_ALG)
    if type(number) is not int:
        raise _malformed("no algorithm")
    return PublicKey(by_cose(number).name, value[_KEY_PUB])


def to_be_signed(protected: bytes, payload: bytes, external: bytes = b"") -> bytes:
    """The Sig_structure of COSE_Sign1 (RFC 9052 section 4.4)."""
    return cbor2.dumps(["Signature1", protected, external, payload])


def sign1(
    payload: bytes,
    key: PrivateKey,
    *,
    protected: Mapping[Any, Any] | None = None,
    external: bytes = b"",
    air: bool = False,
) -> bytes:
    """A tagged COSE_Sign1; alg and kid are added to the protected header.

    Args:
        payload: attached.
        key: of an algorithm with a COSE number.
        protected: further header members.
        external: data that is signed but not carried.
        air: write the header as AIR v1 wants it of Ed25519: alg -8 (EdDSA), no kid.
    """
    number = _EDDSA if air and key.algorithm == "Ed25519" else ALGORITHMS[key.algorithm].cose
    header = {**(protected or {}), ALG: number}
    if not air:
        header[KID] = unb64url(key.key_id)
    encoded = cbor2.dumps(header, canonical=True)
    value = signatures.sign(key, to_be_signed(encoded, payload, external))
    return cbor2.dumps(cbor2.CBORTag(TAG_SIGN1, [encoded, {}, payload, value]))


def verify_sign1(data: bytes, keys: Mapping[str, PublicKey] | PublicKey, *, external: bytes = b"") -> VerifiedSign1:
    """Verifies a COSE_Sign1.

    Args:
        data: tagged or untagged.
        keys: trusted keys by id, or the one trusted key, then the kid is not asked.
        external: as at signing.

    Raises:
        PeerError: QNSP-SIG-050 malformed, -025 unknown key, -026 the header names another algorithm, -001 it does not
            verify.
    """
    value = decode(data)
    if isinstance(value, cbor2.CBORTag):
        if value.tag != TAG_SIGN1:
            raise _malformed(f"tag {value.tag} is not COSE_Sign1")
        value = value.value
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise _malformed("COSE_Sign1 has four parts")
    encoded, unprotected, payload, signature = value
    if not all(isinstance(part, bytes) for part in (encoded, payload, signature)) or not isinstance(
        unprotected, Mapping
    ):
        raise _malformed("a part has another type, or the payload is detached")
    header = decode(encoded) if encoded else {}
    if not isinstance(header, Mapping) or CRIT in header:
        raise _malformed("the protected header is no map, or names critical members")
    if set(header) & set(unprotected):
        raise _malformed("a header member stands protected and unprotected")
    if isinstance(keys, PublicKey):
        key = keys
    else:
        kid = header.get(KID)
        known = {unb64url(key_id): candidate for key_id, candidate in keys.items()}
        found = known.get(kid) if isinstance(kid, bytes) else None
        if found is None:
            raise PeerError("QNSP-SIG-025", "the COSE message is signed by an unknown key")
        key = found
    numbers = {ALGORITHMS[key.algorithm].cose, _EDDSA if key.algorithm == "Ed25519" else None} - {None}
    if header.get(ALG) not in numbers:
        raise PeerError("QNSP-SIG-026", "the COSE message names another algorithm than its key has", subject=key.key_id)
    signatures.verify(key, signature, to_be_signed(encoded, payload, external))
    return VerifiedSign1(payload, header, key)


__all__ = [
    "ALG",
    "CONTENT_TYPE",
    "KID",
    "TYP",
    "VerifiedSign1",
    "decode",
    "key_from_cose",
    "key_to_cose",
    "sign1",
    "to_be_signed",
    "verify_sign1",
]
