"""Nitro attestation documents, bytes to values: COSE_Sign1 (RFC 9052) around a CBOR map.

Comes in: the document as the Nitro security module gives it. Goes out: `Document`, unverified. Strict: one item, array of four,
tag 18 or none, deterministic encoding, no duplicate keys, every member of the type and size that the AWS specification
("Verifying the root of trust", nitro-enclaves documentation) gives. The two kinds that share the envelope are told apart by
their PCR map, and a document with both is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import cbor2

from qnsp_policy.kernel import cbor
from qnsp_policy.kernel.attestation.nitro_enclave import codes
from qnsp_policy.kernel.attestation.refusal import Code, EvidenceError
from qnsp_policy.kernel.attestation.values import EvidenceKind

MAX_DOCUMENT: Final = 32 * 1024
MAX_BUNDLE: Final = 8
PCR_SIZE: Final = 48
_PROTECTED: Final = bytes.fromhex("a1013822")  # {1: -35}: alg ES384
_LIMITS: Final = {"public_key": 1024, "user_data": 512, "nonce": 512}
_MAPS: Final = {EvidenceKind.NITRO_ENCLAVE: "pcrs", EvidenceKind.NITRO_TPM: "nitrotpm_pcrs"}
_REQUIRED: Final = frozenset({"module_id", "digest", "timestamp", "certificate", "cabundle"})
_INDEFINITE_MAP: Final = 0xBF
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = 253_402_300_799_000  # 9999-12-31T23:59:59Z in milliseconds


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed, unverified attestation document.

    Attributes:
        kind: nitro-enclave or nitro-tpm, by its PCR map.
        protected, payload: the exact bytes that the signature covers.
        signature: r || s, 96 bytes, big-endian.
        module_id: instance and enclave or TPM id.
        timestamp: when the document was made (milliseconds in the document).
        pcrs: 48-byte values by index.
        certificate: DER of the leaf; bundle: DER from the root to the leaf's issuer.
        public_key, user_data, nonce: what the attester put in, None where it gave none.
    """

    kind: EvidenceKind
    protected: bytes
    payload: bytes
    signature: bytes
    module_id: str
    timestamp: datetime
    pcrs: Mapping[int, bytes]
    certificate: bytes
    bundle: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None


def _decode(data: bytes, code: Code) -> Any:
    try:
        return cbor.decode_first(data)  # what follows shows when it is encoded again
    except cbor.CborError as error:
        raise EvidenceError(code, str(error)) from error


def _outer(data: bytes) -> list[Any]:
    if not 0 < len(data) <= MAX_DOCUMENT:
        raise EvidenceError(codes.TOO_LARGE, expected=f"1 to {MAX_DOCUMENT} bytes", got=f"{len(data)} bytes")
    if data[0] >> 5 == 6:  # major type 6: a tag, before anything is decoded by its meaning
        if data[0] != 0xD2:
            raise EvidenceError(codes.TAG, expected="tag 18 or none", got=f"first byte 0x{data[0]:02x}")
        data = data[1:]
    item = _decode(data, codes.NOT_CBOR)
    if not isinstance(item, list) or len(item) != 4:
        raise EvidenceError(
            codes.SHAPE, got=type(item).__name__ if not isinstance(item, list) else f"{len(item)} members"
        )
    protected, unprotected, payload, signature = item
    if not (
        isinstance(protected, bytes)
        and isinstance(unprotected, dict)
        and isinstance(payload, bytes)
        and isinstance(signature, bytes)
    ):
        raise EvidenceError(codes.SHAPE, "a member is of another type")
    encoded = cbor2.dumps(item)
    if encoded != data:
        longer = len(data) > len(encoded) and data.startswith(encoded)
        raise EvidenceError(codes.TRAILING if longer else codes.NOT_CANONICAL)
    if protected != _PROTECTED:
        raise EvidenceError(codes.ALGORITHM, expected=_PROTECTED.hex(), got=protected[:16].hex())
    if unprotected:
        raise EvidenceError(codes.UNPROTECTED)
    if len(signature) != 2 * PCR_SIZE:
        raise EvidenceError(codes.SIGNATURE_LENGTH, expected="96 bytes", got=f"{len(signature)} bytes")
    return item


def _payload(data: bytes) -> dict[str, Any]:
    """The payload map; NitroTPM's own producer writes its outermost map with indefinite length, nothing else may be."""
    item = _decode(data, codes.PAYLOAD_ENCODING)
    if not isinstance(item, dict) or not all(isinstance(name, str) for name in item):
        raise EvidenceError(codes.SCHEMA, "the payload is not a map with text keys")
    encoded = cbor2.dumps(item)
    if data[0] == _INDEFINITE_MAP and "nitrotpm_pcrs" in item:
        head = 1 if len(item) < 24 else 2
        same = data[1:-1] == encoded[head:] and data[-1] == 0xFF
    else:
        same = data == encoded
    if not same:
        raise EvidenceError(codes.PAYLOAD_ENCODING)
    return item


def _pcrs(value: Any, kind: EvidenceKind) -> dict[int, bytes]:
    if not isinstance(value, dict):
        raise EvidenceError(codes.PCR, "not a map")
    count = 16 if kind is EvidenceKind.NITRO_ENCLAVE else 24
    for index, pcr in value.items():
        if type(index) is not int or not 0 <= index < 32:
            raise EvidenceError(codes.PCR, expected="an index from 0 to 31", got=repr(index)[:40])
        if not isinstance(pcr, bytes) or len(pcr) != PCR_SIZE:
            raise EvidenceError(
                codes.PCR,
                subject=f"PCR{index}",
                expected="48 bytes",
                got=f"{len(pcr)} bytes" if isinstance(pcr, bytes) else "no bytes",
            )
    missing = [index for index in range(count) if index not in value]
    if missing:
        raise EvidenceError(codes.PCR_MISSING, ", ".join(f"PCR{index}" for index in missing))
    return value


def _optional(payload: Mapping[str, Any], name: str) -> bytes | None:
    value = payload.get(name)
    if value is None:
        return None
    if not isinstance(value, bytes):
        raise EvidenceError(codes.SCHEMA, f"{name} is neither bytes nor null")
    if len(value) > _LIMITS[name]:
        raise EvidenceError(
            codes.FIELD_SIZE, subject=name, expected=f"at most {_LIMITS[name]} bytes", got=f"{len(value)} bytes"
        )
    return value


def _bundle(value: Any) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not all(isinstance(part, bytes) for part in value):
        raise EvidenceError(codes.SCHEMA, "cabundle is not an array of byte strings")
    if not 1 <= len(value) <= MAX_BUNDLE:
        raise EvidenceError(codes.BUNDLE, expected=f"1 to {MAX_BUNDLE} certificates", got=str(len(value)))
    return tuple(value)


def parse(data: bytes, kind: EvidenceKind) -> Document:
    """Reads an attestation document of the given kind.

    Raises:
        EvidenceError: codes QNSP-ATT-NIT-001 to -018, the first failing step.
    """
    protected, _, payload_bytes, signature = _outer(data)
    payload = _payload(payload_bytes)
    present = [other for other, name in _MAPS.items() if name in payload]
    if len(present) > 1:
        raise EvidenceError(codes.BOTH_KINDS)
    if present and present[0] is not kind:
        raise EvidenceError(codes.OTHER_KIND, expected=kind, got=present[0])
    missing = (_REQUIRED | {_MAPS[kind]}) - payload.keys()
    unknown = payload.keys() - _REQUIRED - {_MAPS[kind]} - _LIMITS.keys()
    if missing or unknown:
        raise EvidenceError(
            codes.SCHEMA,
            "; ".join(
                text
                for text in (
                    f"missing {', '.join(sorted(missing))}" if missing else "",
                    f"unknown {', '.join(sorted(unknown))[:80]}" if unknown else "",
                )
                if text
            ),
        )
    module_id, timestamp, certificate = payload["module_id"], payload["timestamp"], payload["certificate"]
    if not isinstance(module_id, str) or not 0 < len(module_id) <= 256:
        raise EvidenceError(codes.SCHEMA, "module_id is not a text of 1 to 256 characters")
    if payload["digest"] != "SHA384":
        raise EvidenceError(codes.DIGEST, expected="SHA384", got=repr(payload["digest"])[:40])
    if type(timestamp) is not int or not 0 < timestamp <= _LATEST:
        raise EvidenceError(codes.SCHEMA, "timestamp is not a number of milliseconds")
    if not isinstance(certificate, bytes) or not certificate:
        raise EvidenceError(codes.SCHEMA, "certificate is not a byte string")
    return Document(
        kind=kind,
        protected=protected,
        payload=payload_bytes,
        signature=signature,
        module_id=module_id,
        timestamp=_EPOCH + timedelta(milliseconds=timestamp),
        pcrs=_pcrs(payload[_MAPS[kind]], kind),
        certificate=certificate,
        bundle=_bundle(payload["cabundle"]),
        public_key=_optional(payload, "public_key"),
        user_data=_optional(payload, "user_data"),
        nonce=_optional(payload, "nonce"),
    )


__all__ = ["MAX_BUNDLE", "MAX_DOCUMENT", "PCR_SIZE", "Document", "parse"]
