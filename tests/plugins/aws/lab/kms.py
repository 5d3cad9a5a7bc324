"""KMS of the lab, for attested recipients: the key policies that were applied decide, by the tests' own evaluator.

moto holds keys, aliases and policies and enforces nothing; here a document is verified, its registers become condition keys, and the
policy that stands at moto is asked. What is wrapped is wrapped by name only: this is a test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.nitro_enclave.abi import Document
from qnsp_policy.kernel.attestation.nitro_enclave.verify import verify_document
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.kernel.crypto.canonical import unb64
from qnsp_policy.testing.attested_kms import KEY, AttestedKmsServer, for_recipient, unwrapped
from qnsp_policy.testing.iam_evaluator import Request, allowed

_CREDENTIAL = re.compile(r"Credential=([^/]+)/")
_PREFIX = "kms:RecipientAttestation:"


@dataclass(slots=True)
class LabKms(AttestedKmsServer):
    """Attributes:
    clients: makes clients of the AWS-shaped server, by service.
    role_of: ARN and statements of the role that a member's credentials are of; None for nobody's.
    """

    clients: Callable[[str], Any] = lambda service: None
    role_of: Callable[[str], tuple[str, Mapping[str, Any]] | None] = lambda member: None

    def answer(self, operation: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        """What KMS says to one request."""
        self.asked.append((operation, headers))
        value = json.loads(body)
        member = _CREDENTIAL.search(headers.get("authorization", ""))
        role = self.role_of(member[1]) if member else None
        if role is None or operation != "Decrypt":
            return 400, {"__type": "AccessDeniedException", "message": "no such principal or operation"}
        try:
            data = unb64(value["Recipient"]["AttestationDocument"])
            document, kind = self._verified(data)
            policy = json.loads(
                self.clients("kms").get_key_policy(KeyId=self._key(value["KeyId"]), PolicyName="default")["Policy"]
            )
        except (PeerError, KeyError) as error:
            return 400, {"__type": "ValidationException", "message": f"attestation document: {error}"}
        except ClientError as error:
            return 400, {"__type": "NotFoundException", "message": str(error)}
        resource = str(value.get("EncryptionContext", {}).get("qnsp:resource", ""))
        context = {
            **_conditions(document.pcrs, tpm=kind is EvidenceKind.NITRO_TPM),
            "kms:EncryptionContext:qnsp:resource": resource,
            "aws:CurrentTime": datetime.now(UTC).isoformat(),
        }
        if not allowed(Request(role[0], "kms:Decrypt", context), policy):
            return 400, {"__type": "AccessDeniedException", "message": "no statement allows it"}
        data_key = unwrapped(resource, unb64(value["CiphertextBlob"]))
        if data_key is None:
            return 400, {"__type": "InvalidCiphertextException"}
        return 200, {"KeyId": KEY, **for_recipient(document, data_key)}

    def _verified(self, data: bytes) -> tuple[Document, EvidenceKind]:
        """The document, of whichever kind it is."""
        for kind in (EvidenceKind.NITRO_ENCLAVE, EvidenceKind.NITRO_TPM):
            try:
                document, _ = verify_document(data, kind, anchors=[self.anchor], now=datetime.now(UTC))
            except PeerError as error:
                refusal = error
            else:
                return document, kind
        raise refusal

    def _key(self, named: str) -> str:
        return str(self.clients("kms").describe_key(KeyId=named)["KeyMetadata"]["KeyId"])


def _conditions(pcrs: Mapping[int, bytes], *, tpm: bool) -> dict[str, str]:
    found = {f"{_PREFIX}{'NitroTPM' if tpm else ''}PCR{index}": value.hex() for index, value in pcrs.items()}
    return found if tpm else {**found, f"{_PREFIX}ImageSha384": pcrs[0].hex()}


__all__ = ["LabKms"]
