"""ML-DSA keys in AWS KMS. moto knows none: the service's answers are hand-made, in the shape of the KMS API reference, and the
message representative is held against an ML-DSA implementation that signs what it stands for."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.session import get_session

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto import dsse, signatures
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.crypto.kms_edge import KmsSigner, message_representative, read_kms_key
from qnsp_policy.kernel.crypto.signer import JointSigner, SoftwareSigner
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import FileLedger, LedgerReader

ARN = "arn:aws:kms:eu-west-1:012345678901:alias/qnsp/prod/clinic/signing-root"
URI = f"awskms:///{ARN}"


class Service:
    """Signs the representative that it is given, as the service says it does, and sees nothing else; hand-made."""

    def __init__(self, private: PrivateKey, error: Exception | None = None, *, instead: bytes = b"") -> None:
        self._private, self._error, self._instead = private, error, instead
        self.asked: dict[str, Any] = {}

    def __call__(self, region: str) -> Service:
        assert region == "eu-west-1"
        return self

    def sign(self, **arguments: Any) -> dict[str, Any]:
        self.asked = arguments
        if self._error is not None:
            raise self._error
        return {"KeyId": ARN, "Signature": self._private.handle.sign_mu(self._instead or arguments["Message"])}


@pytest.mark.parametrize("algorithm", ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
def test_a_message_longer_than_kms_takes_is_signed_by_its_representative(algorithm: str) -> None:
    """64 bytes go to the service, and the signature is the message's own."""
    private, message = generate(algorithm), b"plan" * 5000
    service = Service(private)
    (made,) = KmsSigner("ci", private.public, URI, service).sign(message)
    signatures.verify(private.public, made.signature, message)
    assert made.key_id == private.key_id
    assert service.asked["KeyId"] == ARN
    assert service.asked["MessageType"] == "EXTERNAL_MU"
    assert service.asked["SigningAlgorithm"] == "ML_DSA_SHAKE_256"
    assert len(service.asked["Message"]) == 64
    assert message not in service.asked["Message"]


def test_the_representative_is_that_of_fips_204() -> None:
    """Algorithm 7, line 6, with tr of algorithm 6 and the empty context of algorithm 2; written here a second time."""
    public = generate("ML-DSA-65").public
    tr = hashlib.shake_256(public.raw).digest(64)
    prefix = bytes([0]) + bytes([len(b"")]) + b""
    assert message_representative(public, b"M") == hashlib.shake_256(tr + prefix + b"M").digest(64)
    assert message_representative(public, b"N") != message_representative(public, b"M")


def test_what_is_asked_is_what_the_installed_sdk_knows() -> None:
    """Names and values as boto3's own model of the API has them."""
    model = get_session().get_service_model("kms")
    assert "EXTERNAL_MU" in model.shape_for("MessageType").enum
    assert "ML_DSA_SHAKE_256" in model.shape_for("SigningAlgorithmSpec").enum
    assert {"KeyId", "Message", "MessageType", "SigningAlgorithm"} <= set(
        model.operation_model("Sign").input_shape.members
    )


def test_an_envelope_by_kms_verifies_as_any_other() -> None:
    """A plan's envelope: nobody who verifies it needs to know where the key is."""
    private, payload = generate("ML-DSA-65"), b'{"plan": 1}'
    envelope = dsse.sign(dsse.PLAN_TYPE, payload, KmsSigner("ci", private.public, URI, Service(private)))
    verified = dsse.verified_keys(envelope, [private.public], payload_type=dsse.PLAN_TYPE)
    assert [key.key_id for key in verified.keys] == [private.key_id]


def test_a_signature_by_another_key_is_not_passed_on() -> None:
    """An alias that was pointed elsewhere, or a service that signed something else."""
    mine, other = generate("ML-DSA-65"), generate("ML-DSA-65")
    for service in (Service(other), Service(mine, instead=b"N" * 64)):
        with pytest.raises(OperatorError) as caught:
            KmsSigner("ci", mine.public, URI, service).sign(b"M")
        assert caught.value.code == "QNSP-KEY-021"


@pytest.mark.parametrize(
    "error",
    [NoCredentialsError(), ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Sign"),
     ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "Sign")],
    ids=["no-credentials", "denied", "throttled"],
)  # fmt: skip
def test_a_service_that_does_not_sign_is_said(error: Exception) -> None:
    """With what to look at."""
    private = generate("ML-DSA-65")
    with pytest.raises(OperatorError) as caught:
        KmsSigner("ci", private.public, URI, Service(private, error)).sign(b"M")
    assert caught.value.code == "QNSP-KEY-021"
    assert "kms:Sign" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("algorithm", "uri"),
    [("Ed25519", URI), ("ML-DSA-65", "gcpkms://projects/p"), ("ML-DSA-65", "awskms:///alias/no-region")],
    ids=["algorithm", "cloud", "no-arn"],
)
def test_a_signer_that_kms_cannot_be_is_refused(algorithm: str, uri: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(OperatorError) as caught:
        KmsSigner("ci", generate(algorithm).public, uri)
    assert caught.value.code == "QNSP-KEY-020"


class Registry:
    """Answers GetPublicKey; hand-made."""

    def __init__(self, der: bytes, error: Exception | None = None) -> None:
        self._der, self._error = der, error

    def __call__(self, region: str) -> Registry:
        del region
        return self

    def get_public_key(self, **arguments: Any) -> dict[str, Any]:
        assert arguments == {"KeyId": ARN}
        if self._error is not None:
            raise self._error
        return {"PublicKey": self._der}


def test_the_public_key_for_a_trust_root_is_read() -> None:
    """What `key show awskms:///ARN` prints; another algorithm, another form and a silent service are refused."""
    public, other = generate("ML-DSA-87").public, generate("ECDSA-P256").public
    assert read_kms_key(URI, connect=Registry(public.to_spki())) == public
    for uri, registry, code in (
        (URI, Registry(other.to_spki()), "QNSP-KEY-020"),
        (URI, Registry(b"no key"), "QNSP-KEY-020"),
        ("awskms:///key", Registry(public.to_spki()), "QNSP-KEY-020"),
        (URI, Registry(b"", NoCredentialsError()), "QNSP-KEY-021"),
    ):
        with pytest.raises(OperatorError) as caught:
            read_kms_key(uri, connect=registry)
        assert caught.value.code == code


def test_it_signs_with_its_own_key_only() -> None:
    """Asking for another key is our own mistake."""
    private, software = generate("ML-DSA-65"), SoftwareSigner.of("a", [generate("ML-DSA-65")])
    signer = KmsSigner("ci", private.public, URI, Service(private))
    with pytest.raises(ValueError, match="has no key"):
        signer.sign_with(software.public_keys[0], b"M")


def test_a_ledger_whose_checkpoints_kms_states(tmp_path: Path) -> None:
    """Beside the keys in files a key in KMS signs each checkpoint, and a reader that knows its public half holds the log to it."""
    files = SoftwareSigner.of("ledger", [generate("Ed25519"), generate("ML-DSA-44"), generate("ML-DSA-65")])
    private = generate("ML-DSA-87")
    service = Service(private)
    remote = KmsSigner("the ledger", private.public, URI, service)
    log = FileLedger(tmp_path, "qnsp.example/prod", JointSigner("ledger", (files, remote)))
    now = datetime(2026, 11, 21, tzinfo=UTC)
    head = log.append(LedgerRecord("apply", now, "bob", "plan", {}), now).checkpoint
    assert service.asked["MessageType"] == "EXTERNAL_MU"
    assert LedgerReader(tmp_path, log.origin, log.public_keys).stated() == head
    with pytest.raises(PeerError, match="QNSP-LDG-019"):
        LedgerReader(tmp_path, log.origin, (*files.public_keys, generate("ML-DSA-87").public)).check()
    # A thief of the files writes on, without the key in KMS: the statement stays behind, and what reads with that key tells it.
    FileLedger(tmp_path, log.origin, files).append(LedgerRecord("apply", now, "eve", "plan", {}), now)
    with pytest.raises(PeerError, match="QNSP-LDG-019"):
        LedgerReader(tmp_path, log.origin, log.public_keys).check()
