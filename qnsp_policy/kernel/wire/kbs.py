"""Messages of the key broker protocol (CoCo KBS 0.4.0, RCAR handshake), bytes to typed values and back, for both parties.

Comes in: bodies of `auth` and `attest`, resource paths. Goes out: typed messages, or their exact JSON. Binding of evidence to these
messages: `runtime_digest` (RFC 8785 form, SHA-384 unless the challenge chose otherwise), zero-padded right or truncated to the
attester's field. The TEE key is a *typed* JWK: members beyond those of its type are dropped before hashing, as Trustee does.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import jcs

VERSION = "0.4.0"
PREFIX = "/kbs/v0"
SESSION_COOKIE = "kbs-session-id"
BODY_LIMIT = 2 * 1024 * 1024
"""Bytes of a request body."""

TEES = frozenset(
    {"az-snp-vtpm", "az-tdx-vtpm", "snp", "sgx", "tdx", "cca", "csv", "se", "tpm", "sample"}
    | {"nvidia", "nvidia-dpu", "hygondcu", "sampledevice"}
    | {"nitro-enclave", "nitro-tpm"}  # ours: the protocol has no word for them
)
HPKE_ALGORITHMS = frozenset({"X-Wing", "MLKEM1024-P384", "ML-KEM-1024"})
"""`alg` of AKP TEE keys to which this project's brokers release by HPKE (`qnsp.hpke/v1`), for tiers above the protocol's own JWE."""
HPKE_RELEASE_INFO = b"qnsp.release/v1"
HASHES = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
DEFAULT_HASH = "sha384"

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z")
_JWK_MEMBERS = {"EC": ("kty", "crv", "alg", "x", "y"), "RSA": ("kty", "alg", "n", "e"), "AKP": ("kty", "alg", "pub")}


def _refuse(message: str, subject: str = "body") -> PeerError:
    return PeerError("QNSP-KBS-101", f"KBS message: {subject}: {message}", subject=subject)


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise _refuse("not JSON") from None
    if not isinstance(value, dict):
        raise _refuse("expected an object")
    return value


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise _refuse("expected text", name)
    return found


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """`POST auth`."""

    tee: str
    version: str = VERSION
    hash_algorithms: tuple[str, ...] = ("sha256", "sha384", "sha512")

    def to_bytes(self) -> bytes:
        extra = {"supported-hash-algorithms": list(self.hash_algorithms)}
        return json.dumps({"version": self.version, "tee": self.tee, "extra-params": extra}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> AuthRequest:
        """Raises `PeerError` `QNSP-KBS-101` (malformed) or `QNSP-KBS-102` (another version, an unknown TEE)."""
        value = _object(data)
        version, tee = _text(value, "version"), _text(value, "tee")
        if version != VERSION:
            raise PeerError("QNSP-KBS-102", f"protocol version {VERSION} is spoken here, got {version[:32]!r}")
        if tee not in TEES:
            raise PeerError("QNSP-KBS-102", f"unknown tee {tee[:32]!r}")
        extra = value.get("extra-params")
        offered = extra.get("supported-hash-algorithms", ()) if isinstance(extra, dict) else ()
        named = tuple(name for name in offered if isinstance(name, str)) if isinstance(offered, list) else ()
        return cls(tee=tee, version=version, hash_algorithms=named or (DEFAULT_HASH,))


@dataclass(frozen=True, slots=True)
class Challenge:
    """The answer to `auth`: the nonce, and the hash that binds runtime data if it is not SHA-384."""

    nonce: str
    hash_algorithm: str = DEFAULT_HASH

    def to_bytes(self) -> bytes:
        extra = "" if self.hash_algorithm == DEFAULT_HASH else {"selected-hash-algorithm": self.hash_algorithm}
        return json.dumps({"nonce": self.nonce, "extra-params": extra}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Challenge:
        value = _object(data)
        extra = value.get("extra-params")
        chosen = extra.get("selected-hash-algorithm", DEFAULT_HASH) if isinstance(extra, dict) else DEFAULT_HASH
        if chosen not in HASHES:
            raise _refuse(f"unknown hash {str(chosen)[:32]!r}", "selected-hash-algorithm")
        return cls(_text(value, "nonce"), chosen)


@dataclass(frozen=True, slots=True)
class InitData:
    """The plaintext of initdata, sent along so that the broker can compare it with what the hardware carries."""

    format: str
    body: str


@dataclass(frozen=True, slots=True)
class AttestRequest:
    """`POST attest`.

    Attributes:
        nonce: as in the challenge.
        tee_pubkey: JWK that released keys are wrapped to, only the members of its type.
        primary_evidence: JSON of the attester's own shape.
        additional_evidence: "" or a string of JSON `{"<device tee>": evidence}`, hashed as sent.
        init_data: or None.
    """

    nonce: str
    tee_pubkey: Mapping[str, str]
    primary_evidence: Any
    additional_evidence: str = ""
    init_data: InitData | None = None
    extra_key_members: tuple[str, ...] = field(default=(), compare=False)

    def to_bytes(self) -> bytes:
        init = None if self.init_data is None else {"format": self.init_data.format, "body": self.init_data.body}
        return json.dumps(
            {
                "init-data": init,
                "runtime-data": {"nonce": self.nonce, "tee-pubkey": dict(self.tee_pubkey)},
                "tee-evidence": {
                    "primary_evidence": self.primary_evidence,
                    "additional_evidence": self.additional_evidence,
                },
            }
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> AttestRequest:
        """Raises `PeerError` `QNSP-KBS-101`: malformed, or a key that is not one of the three types."""
        value = _object(data)
        runtime, evidence, init = value.get("runtime-data"), value.get("tee-evidence"), value.get("init-data")
        if not isinstance(runtime, dict):
            raise _refuse("expected an object", "runtime-data")
        if not isinstance(evidence, dict) or "primary_evidence" not in evidence:
            raise _refuse("expected an object with primary_evidence", "tee-evidence")
        additional = evidence.get("additional_evidence", "")
        if not isinstance(additional, str):
            raise _refuse("expected text", "additional_evidence")
        if init is not None and not isinstance(init, dict):
            raise _refuse("expected an object or null", "init-data")
        key, extra = typed_jwk(runtime.get("tee-pubkey"))
        return cls(
            nonce=_text(runtime, "nonce"),
            tee_pubkey=key,
            primary_evidence=evidence["primary_evidence"],
            additional_evidence=additional,
            init_data=None if init is None else InitData(_text(init, "format"), _text(init, "body")),
            extra_key_members=extra,
        )


def typed_jwk(value: object) -> tuple[dict[str, str], tuple[str, ...]]:
    """The members that belong to the key's type, and the names of all others."""
    if not isinstance(value, dict):
        raise _refuse("expected an object", "tee-pubkey")
    names = _JWK_MEMBERS.get(value.get("kty", ""), ()) if isinstance(value.get("kty"), str) else ()
    if not names:
        raise _refuse("kty must be EC, RSA or AKP", "tee-pubkey")
    return {name: _text(value, name) for name in names}, tuple(sorted(set(value) - set(names)))


def runtime_digest(
    nonce: str, tee_pubkey: Mapping[str, str], additional_evidence: str | None, hash_algorithm: str
) -> bytes:
    """What evidence must bind: the primary one with `additional_evidence` as sent, a device with None."""
    message: dict[str, Any] = {"nonce": nonce, "tee-pubkey": dict(tee_pubkey)}
    if additional_evidence is not None:
        message["additional-evidence"] = additional_evidence
    return HASHES[hash_algorithm](jcs(message)).digest()


def fit(digest: bytes, size: int) -> bytes:
    """A digest in an attester's field of `size` bytes: zero-padded right or truncated."""
    return digest[:size].ljust(size, b"\0")


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """`<repository>/<type>/<tag>`; the repository is the tenant."""

    repository: str
    type: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}/{self.type}/{self.tag}"

    @classmethod
    def parse(cls, text: str) -> ResourcePath:
        """Raises `PeerError` `QNSP-KBS-103`: not exactly three segments of the protocol's alphabet."""
        segments = text.split("/")
        if len(segments) != 3 or not all(_SEGMENT.match(segment) for segment in segments):
            raise PeerError("QNSP-KBS-103", "a resource path has three segments: repository, type, tag")
        return cls(*segments)


__all__ = [
    "BODY_LIMIT",
    "DEFAULT_HASH",
    "HASHES",
    "HPKE_ALGORITHMS",
    "HPKE_RELEASE_INFO",
    "PREFIX",
    "SESSION_COOKIE",
    "TEES",
    "VERSION",
    "AttestRequest",
    "AuthRequest",
    "Challenge",
    "InitData",
    "ResourcePath",
    "fit",
    "runtime_digest",
    "typed_jwk",
]
