"""Signers whose keys are in a cloud's KMS: ML-DSA in AWS KMS. The private key never leaves the service's hardware.

KMS takes messages of at most 4,096 bytes as they are (`RAW`); a plan is longer. So it is always given the message representative of
FIPS 204, algorithm 7, line 6 (`EXTERNAL_MU`, 64 bytes), computed here with an empty context: the signature is the same, verifies as any ML-DSA
signature, and the service never sees what was signed. What comes back is verified before it is used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto import signatures
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.crypto.signer import KeySignature

ML_DSA = frozenset({"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"})
_URI = re.compile(r"awskms:///(arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:(?:key|alias)/[A-Za-z0-9/_-]+)")
_FORM = "awskms:///arn:aws:kms:<region>:<account>:key/<id> (or alias/<name>)"


def message_representative(public: PublicKey, data: bytes) -> bytes:
    """Mu of FIPS 204: SHAKE256 over the hash of the public key (64 bytes), the domain byte 0, an empty context and the message; 64 bytes."""
    key_hash = hashlib.shake_256(public.raw).digest(64)
    return hashlib.shake_256(key_hash + b"\x00\x00" + data).digest(64)


def aws_client(region: str) -> Any:
    """KMS of one region with the credentials of the environment.

    Raises:
        OperatorError: QNSP-OPS-120, boto3 is not installed.
    """
    try:
        import boto3
    except ImportError as error:
        raise OperatorError(
            "QNSP-OPS-120", f"{error.name} is not installed", next_step="pip install 'qnsp-policy[aws]'"
        ) from error
    return boto3.client("kms", region_name=region)


def _service_errors() -> tuple[type[Exception], ...]:
    """What AWS's library raises where the service cannot be asked or says no; nothing where the library is not there."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - of an extra
    except ImportError:
        return ()
    return BotoCoreError, ClientError


def read_kms_key(uri: str, *, connect: Callable[[str], Any] = aws_client) -> PublicKey:
    """The public key behind a URI, for a TrustRoot.

    Raises:
        OperatorError: QNSP-KEY-020 it is no such URI or no ML-DSA key, -021 KMS did not say.
    """
    found = _URI.fullmatch(uri)
    if found is None:
        raise OperatorError("QNSP-KEY-020", f"{uri[:200]} names no key of AWS KMS", subject=uri[:200], expected=_FORM)
    try:
        key = PublicKey.from_spki(bytes(connect(found[2]).get_public_key(KeyId=found[1])["PublicKey"]))
    except PeerError as error:
        raise OperatorError("QNSP-KEY-020", f"{uri} is no key that we know: {error}", subject=uri) from error
    except _service_errors() as error:
        raise OperatorError(
            "QNSP-KEY-021",
            f"AWS KMS did not say ({error})",
            subject=uri,
            next_step="check the credentials and kms:GetPublicKey",
        ) from error
    if key.algorithm not in ML_DSA:
        raise OperatorError("QNSP-KEY-020", f"{uri} is {key.algorithm}", subject=uri, expected="an ML-DSA key")
    return key


@dataclass(frozen=True, slots=True)
class KmsSigner:
    """One ML-DSA key of AWS KMS.

    Attributes:
        name: whose key it is.
        key: its public half, as the documents have it; what KMS answers is held against it.
        uri: `awskms:///<ARN of the key or of its alias>`.
        connect: makes a client for a region; replaceable by fakes.
    """

    name: str
    key: PublicKey
    uri: str
    connect: Callable[[str], Any] = field(default=aws_client, repr=False)

    def __post_init__(self) -> None:
        if _URI.fullmatch(self.uri) is None or self.key.algorithm not in ML_DSA:
            raise OperatorError(
                "QNSP-KEY-020",
                f"the KMS signer of {self.name} cannot be used: {self.key.algorithm} at {self.uri[:200]}",
                subject=self.name,
                expected=f"one ML-DSA key at {_FORM}",
                next_step="name such a key, or another signer",
            )

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        return (self.key,)

    def sign(self, data: bytes) -> tuple[KeySignature, ...]:
        """The signature by the key.

        Raises:
            OperatorError: QNSP-KEY-021, KMS did not sign, or with another key.
        """
        return (KeySignature(self.key.key_id, self.sign_with(self.key, data)),)

    def sign_with(self, key: PublicKey, data: bytes) -> bytes:
        """The signature by the key; raises as `sign`, and `ValueError` for another key."""
        if key != self.key:
            raise ValueError(f"{self.name} has no key {key.key_id}")
        found = _URI.fullmatch(self.uri)
        assert found is not None
        client = self.connect(found[2])
        try:
            signature = bytes(
                client.sign(
                    KeyId=found[1],
                    Message=message_representative(self.key, data),
                    MessageType="EXTERNAL_MU",
                    SigningAlgorithm="ML_DSA_SHAKE_256",
                )["Signature"]
            )
        except _service_errors() as error:
            raise self._failed(f"AWS KMS did not sign ({error})") from error
        try:
            signatures.verify(self.key, signature, data)
        except PeerError as error:
            raise self._failed(f"what {found[1]} signed does not verify by the key that the documents name") from error
        return signature

    def _failed(self, text: str) -> OperatorError:
        return OperatorError(
            "QNSP-KEY-021",
            text,
            subject=self.name,
            next_step="check the credentials, the key's policy (kms:Sign) and the public key in the documents",
        )


__all__ = ["ML_DSA", "KmsSigner", "aws_client", "message_representative", "read_kms_key"]
