"""Requests to AWS KMS by an attested recipient, and its answers: bytes to values and back, no I/O, no signature of the request.

`Decrypt` and `GenerateDataKey` with `Recipient`: KMS compares the registers of the attestation document with the key's policy and answers
with `CiphertextForRecipient`, an envelope to the document's public key ([kernel.crypto.cms]), never with the plaintext. An answer that holds
a plaintext ignored the recipient and is refused. Source: AWS KMS API reference, Decrypt, GenerateDataKey (JSON 1.1, target TrentService).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64, unb64

KEY_ENCRYPTION: Final = "RSAES_OAEP_SHA_256"
CONTEXT: Final = "qnsp:resource"
"""Name in the encryption context that binds a ciphertext to its resource."""
MAX_ANSWER: Final = 64 * 1024
MAX_CIPHERTEXT: Final = 6144
RETRIED: Final = frozenset({"ThrottlingException", "KMSInternalException", "DependencyTimeoutException"})
_NAME: Final = re.compile(r"[A-Za-z0-9]{1,80}")


@dataclass(frozen=True, slots=True)
class KmsRequest:
    """One request: its operation and its body."""

    operation: str
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"TrentService.{self.operation}"}


def _recipient(document: bytes) -> dict[str, str]:
    return {"AttestationDocument": b64(document), "KeyEncryptionAlgorithm": KEY_ENCRYPTION}


def decrypt(key_id: str, ciphertext: bytes, resource: str, document: bytes) -> KmsRequest:
    """`Decrypt` of a wrapped key for exactly this key of KMS and this resource."""
    if not 0 < len(ciphertext) <= MAX_CIPHERTEXT:
        raise PeerError("QNSP-GST-052", f"a wrapped key of {len(ciphertext)} bytes; KMS takes {MAX_CIPHERTEXT}")
    value = {
        "CiphertextBlob": b64(ciphertext),
        "EncryptionContext": {CONTEXT: resource},
        "KeyId": key_id,
        "Recipient": _recipient(document),
    }
    return KmsRequest("Decrypt", json.dumps(value).encode())


def generate_data_key(key_id: str, resource: str, document: bytes) -> KmsRequest:
    """`GenerateDataKey` of 32 bytes for this resource."""
    value = {
        "EncryptionContext": {CONTEXT: resource},
        "KeyId": key_id,
        "KeySpec": "AES_256",
        "Recipient": _recipient(document),
    }
    return KmsRequest("GenerateDataKey", json.dumps(value).encode())


@dataclass(frozen=True, slots=True)
class KmsAnswer:
    """What KMS answered: the envelope to open, and for GenerateDataKey the wrapped key to keep."""

    key_id: str
    envelope: bytes
    ciphertext: bytes | None


def read_answer(request: KmsRequest, status: int, body: bytes) -> KmsAnswer:
    """An answer, read strictly.

    Raises:
        PeerError: `QNSP-GST-050` KMS refused, with its word for why; `QNSP-GST-051` it ignored the recipient;
            `QNSP-GST-052` malformed.
    """
    value = _object(body) if len(body) <= MAX_ANSWER else {}
    if status != 200:
        raise Refused(request.operation, status, value)
    if value.get("Plaintext"):
        raise PeerError(
            "QNSP-GST-051",
            f"KMS answered {request.operation} with a plaintext: it did not take the attestation document",
            subject="Plaintext",
            next_step="see that the endpoint is KMS itself and that its region supports Recipient",
        )
    try:
        envelope = unb64(value.get("CiphertextForRecipient"), "CiphertextForRecipient")
        kept = unb64(value["CiphertextBlob"], "CiphertextBlob") if "CiphertextBlob" in value else None
    except CanonicalJsonError as error:
        raise _malformed(request, str(error)) from error
    key_id = value.get("KeyId")
    if not envelope or not isinstance(key_id, str):
        raise _malformed(request, "KeyId or CiphertextForRecipient is missing")
    if request.operation == "GenerateDataKey" and not kept:
        raise _malformed(request, "CiphertextBlob is missing")
    return KmsAnswer(key_id, envelope, kept)


class Refused(PeerError):  # noqa: N818 - an answer, not a fault
    """KMS refused: `reason` is its exception's name, "" where it gave none that can be shown."""

    def __init__(self, operation: str, status: int, value: Mapping[str, Any]) -> None:
        named = str(value.get("__type", "")).rpartition("#")[2]
        self.reason = named if _NAME.fullmatch(named) else ""
        super().__init__(
            "QNSP-GST-050",
            f"KMS refused {operation}: {self.reason or f'HTTP {status}'}",
            subject=operation,
            next_step="AccessDeniedException: the registers, the encryption context or the role are not those of the key's policy"
            if self.reason == "AccessDeniedException"
            else None,
        )


def _malformed(request: KmsRequest, text: str) -> PeerError:
    return PeerError("QNSP-GST-052", f"KMS answered {request.operation} with something else: {text}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


__all__ = [
    "CONTEXT",
    "KEY_ENCRYPTION",
    "MAX_ANSWER",
    "RETRIED",
    "KmsAnswer",
    "KmsRequest",
    "Refused",
    "decrypt",
    "generate_data_key",
    "read_answer",
]
