"""Receipts of an inference: COSE_Sign1 over CWT/EAT claims, signed with ML-DSA (RFC 9964).

Comes in: digests of request, answer, model and evidence. Goes out: CBOR, or a `VerifiedReceipt`.
Claims are those of the Attested Inference Receipt v1 (draft-tsyrulnikov-rats-attested-inference-receipt, -65537 to
-65548), which allows Ed25519 only; under ML-DSA the same claims carry our own profile name. Both profiles are read. A
receipt is the attester's word: what stands behind its key is said by the evidence whose digest it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import cbor2

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto import cose
from qnsp_policy.kernel.crypto.canonical import same
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey

AIR_PROFILE: Final = "https://spec.cyntrisec.com/air/v1"
PROFILE: Final = "tag:qnsp.policy,2026:air-ml-dsa/v1"
_CWT: Final = 61
_ISS, _IAT, _CTI, _NONCE, _EAT_PROFILE = 1, 6, 7, 10, 265
_SCHEME: Final = -65549
_PRIVATE: Final = {
    -65537: ("model_id", str),
    -65538: ("model_version", str),
    -65539: ("model_digest", bytes),
    -65540: ("request_digest", bytes),
    -65541: ("response_digest", bytes),
    -65542: ("evidence_digest", bytes),
    -65543: ("measurements", dict),
    -65544: ("policy_version", str),
    -65545: ("sequence", int),
    -65546: ("execution_ms", int),
    -65547: ("memory_mb", int),
    -65548: ("security_mode", str),
}
_SCHEMES: Final = frozenset({"sha256-single", "sha256-concat", "sha256-manifest"})


@dataclass(frozen=True, slots=True)
class Receipt:
    """The claims of a receipt, unverified.

    Attributes:
        issuer: who runs the gateway.
        time: of the answer, whole seconds.
        id: 16 random bytes.
        model_id: the operator's name of the model.
        model_version: the operator's.
        model_digest: SHA-256, 32 bytes, never all zero.
        request_digest: SHA-256 of the request body.
        response_digest: SHA-256 of the answer's body.
        evidence_digest: SHA-256 of the evidence that binds the signing key.
        measurements: by register, 48 bytes each, and `measurement_type`.
        policy_version: which release policy was in force.
        sequence: rises with each receipt of one key.
        execution_ms: how long it took.
        memory_mb: peak, 0 where it is not measured.
        security_mode: "production", or "simulated".
        nonce: 8 to 64 bytes of the caller, or empty.
    """

    issuer: str
    time: datetime
    id: bytes
    model_id: str
    model_version: str
    model_digest: bytes
    request_digest: bytes
    response_digest: bytes
    evidence_digest: bytes
    measurements: Mapping[str, Any] = field(default_factory=dict)
    policy_version: str = ""
    sequence: int = 0
    execution_ms: int = 0
    memory_mb: int = 0
    security_mode: str = "production"
    nonce: bytes = b""

    def __post_init__(self) -> None:
        if len(self.id) != 16 or (self.nonce and not 8 <= len(self.nonce) <= 64):
            raise _malformed("the id has 16 bytes and a nonce 8 to 64")
        digests = (self.model_digest, self.request_digest, self.response_digest, self.evidence_digest)
        if any(len(digest) != 32 for digest in digests) or not any(self.model_digest):
            raise _malformed("a digest has 32 bytes, and the model's is not zero")
        if any(number < 0 for number in (self.sequence, self.execution_ms, self.memory_mb)):
            raise _malformed("a counter is negative")
        for name, value in self.measurements.items():
            kind = name == "measurement_type"
            if not isinstance(name, str) or not (isinstance(value, str) if kind else _register(value)):
                raise _malformed("a measurement is no register of 48 bytes")

    def to_cbor(self, profile: str) -> bytes:
        """Deterministic CBOR of the claims."""
        claims: dict[int, Any] = {
            _ISS: self.issuer,
            _IAT: int(self.time.timestamp()),
            _CTI: self.id,
            _EAT_PROFILE: profile,
        }
        if self.nonce:
            claims[_NONCE] = self.nonce
        for label, (name, kind) in _PRIVATE.items():
            value = getattr(self, name)
            claims[label] = dict(value) if kind is dict else value
        return cbor2.dumps(claims, canonical=True)


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A receipt whose signature was verified; only `verify_receipt` makes one."""

    receipt: Receipt
    key: PublicKey
    profile: str


def _register(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == 48


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-SIG-051", f"malformed receipt: {message}")


def issue(receipt: Receipt, key: PrivateKey) -> bytes:
    """The signed receipt (tag 18): our profile under ML-DSA, AIR v1 under Ed25519.

    Raises:
        ValueError: another algorithm.
    """
    if key.algorithm == "Ed25519":
        return cose.sign1(receipt.to_cbor(AIR_PROFILE), key, protected={cose.CONTENT_TYPE: _CWT}, air=True)
    if not key.algorithm.startswith("ML-DSA"):
        raise ValueError(f"receipts are signed with ML-DSA or Ed25519, not {key.algorithm}")
    return cose.sign1(receipt.to_cbor(PROFILE), key, protected={cose.CONTENT_TYPE: _CWT})


def _claims(value: Any) -> tuple[Receipt, str]:
    if not isinstance(value, Mapping):
        raise _malformed("the claims are no map")
    unknown = set(value) - {_ISS, _IAT, _CTI, _NONCE, _EAT_PROFILE, _SCHEME, *_PRIVATE}
    missing = {_ISS, _IAT, _CTI, _EAT_PROFILE, *_PRIVATE} - set(value)
    if unknown or missing:
        raise _malformed(f"{len(unknown)} unknown and {len(missing)} missing claims")
    if _SCHEME in value and value[_SCHEME] not in _SCHEMES:
        raise _malformed("an unknown scheme of the model's digest")
    kinds: dict[int, type] = {_ISS: str, _IAT: int, _CTI: bytes, _EAT_PROFILE: str}
    kinds |= {label: kind for label, (_, kind) in _PRIVATE.items()}
    for label, kind in kinds.items():
        if not isinstance(value[label], kind) or isinstance(value[label], bool):
            raise _malformed(f"claim {label} has another type")
    if not isinstance(value.get(_NONCE, b""), bytes) or not 0 <= value[_IAT] < 2**36:
        raise _malformed("nonce or time")
    named = {name: value[label] for label, (name, _) in _PRIVATE.items()}
    receipt = Receipt(
        issuer=value[_ISS],
        time=datetime.fromtimestamp(value[_IAT], UTC),
        id=value[_CTI],
        nonce=value.get(_NONCE, b""),
        **named,
    )
    return receipt, value[_EAT_PROFILE]


def verify_receipt(
    data: bytes,
    key: PublicKey,
    *,
    request_digest: bytes | None = None,
    response_digest: bytes | None = None,
    model_digest: bytes | None = None,
    nonce: bytes | None = None,
) -> VerifiedReceipt:
    """Verifies a receipt by the key that the evidence binds.

    Args:
        data: the tagged COSE_Sign1.
        key: trusted; ML-DSA, or Ed25519 for AIR v1 receipts of others.
        request_digest: what it must be about; None leaves that to the caller, as for the next three.
        response_digest: SHA-256 of the answer.
        model_digest: SHA-256 of the model.
        nonce: that the caller sent.

    Raises:
        PeerError: QNSP-SIG-050, -051 malformed; -052 it is about something else; -026, -001 of the signature.
    """
    if data[:1] != b"\xd2":
        raise _malformed("tag 18 is wanted")
    verified = cose.verify_sign1(data, key)
    if verified.protected.get(cose.CONTENT_TYPE) != _CWT:
        raise _malformed("the content type is not application/cwt")
    receipt, profile = _claims(cose.decode(verified.payload))
    if profile != (AIR_PROFILE if key.algorithm == "Ed25519" else PROFILE):
        raise _malformed("the profile does not go with the algorithm")
    expected = {
        "request": (request_digest, receipt.request_digest),
        "answer": (response_digest, receipt.response_digest),
        "model": (model_digest, receipt.model_digest),
        "nonce": (nonce, receipt.nonce),
    }
    for name, (wanted, found) in expected.items():
        if wanted is not None and not same(wanted, found):
            raise PeerError(
                "QNSP-SIG-052", f"the receipt is about another {name}", expected=wanted.hex(), got=found.hex()
            )
    return VerifiedReceipt(receipt, key, profile)


__all__ = ["AIR_PROFILE", "PROFILE", "Receipt", "VerifiedReceipt", "issue", "verify_receipt"]
