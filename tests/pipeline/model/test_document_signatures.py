"""Signatures over documents count for exactly the document as it stands and the identities of the TrustRoot."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.pipeline.model import Address, Workspace, build
from qnsp_policy.pipeline.model.signatures import document_signatures, verify_documents
from qnsp_policy.testing.workspaces import sample_files, sample_jwk

Keys = dict[str, tuple[PrivateKey, PrivateKey]]
Files = dict[str, bytes]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
VALUES = Address("ReferenceValues/clinic-2026-11")
FILE = "signatures/ReferenceValues.clinic-2026-11.dsse.json"


@pytest.fixture(scope="module")
def keys() -> Keys:
    return {who: (generate("ML-DSA-65"), generate("Ed25519")) for who in ("alice", "bob", "lab", "mallory")}


@pytest.fixture
def files(keys: Keys) -> Files:
    """The sample workspace whose TrustRoot holds keys that we own."""
    files = sample_files()
    text = files["trust-root.yaml"].decode()
    for who in ("alice", "bob", "lab"):
        for key, algorithm in zip(keys[who], ("mldsa", "ed25519"), strict=True):
            text = text.replace(json.dumps(sample_jwk(f"{who}-{algorithm}")), json.dumps(key.public.to_jwk()))
    return files | {"trust-root.yaml": text.encode()}


def signed(files: Files, keys: Keys, *who: str, payload: bytes | None = None) -> dsse.Envelope:
    canonical = build(files).canonical(VALUES) if payload is None else payload
    envelope = dsse.sign(dsse.DOCUMENT_TYPE, canonical, SoftwareSigner(who[0], keys[who[0]]))
    for other in who[1:]:
        envelope = dsse.add_signature(envelope, SoftwareSigner(other, keys[other]))
    return envelope


def with_envelope(files: Files, envelope: bytes) -> Workspace:
    return build(files, signatures={FILE: envelope})


def names(workspace: Workspace, now: datetime = NOW) -> list[str]:
    return [signer.identity for signer in verify_documents(workspace, workspace.trust_root, now).get(VALUES, ())]


def test_a_signer_of_the_trust_root_counts(files: Files, keys: Keys) -> None:
    """Both keys signed: the identity counts, with its roles."""
    workspace = with_envelope(files, signed(files, keys, "lab", "bob").to_json())
    signers = verify_documents(workspace, workspace.trust_root, NOW)[VALUES]
    assert [(signer.identity, signer.signer) for signer in signers] == [
        ("bob@clinic.example", "software"),
        ("lab@research.example", "software"),
    ]
    assert signers[1].roles == ("publisher",)
    assert len(signers[1].key_ids) == 2


def test_a_stranger_does_not_count(files: Files, keys: Keys) -> None:
    """Signatures by keys outside of the TrustRoot are ignored."""
    assert names(with_envelope(files, signed(files, keys, "mallory").to_json())) == []


def test_one_of_two_keys_is_not_enough(files: Files, keys: Keys) -> None:
    """A signer is all its keys: Ed25519 without ML-DSA is nobody."""
    envelope = signed(files, keys, "lab")
    half = dsse.Envelope(envelope.payload_type, envelope.payload, envelope.signatures[1:])
    assert names(with_envelope(files, half.to_json())) == []


def test_a_changed_document_has_no_signer(files: Files, keys: Keys) -> None:
    """After a change the old signature is a problem with its own code, and nobody's."""
    envelope = signed(files, keys, "lab").to_json()
    files["enclaves.yaml"] = files["enclaves.yaml"].replace(b"microcode: 209", b"microcode: 115")
    workspace = with_envelope(files, envelope)
    result = document_signatures(workspace, workspace.trust_root, NOW)
    assert result.signers == {}
    assert [problem.code for problem in result.problems] == ["QNSP-MOD-030"]


def test_an_altered_signature_is_a_problem(files: Files, keys: Keys) -> None:
    """One bit of a known key's signature refuses the envelope."""
    envelope = signed(files, keys, "lab")
    first = envelope.signatures[0]
    broken = type(first)(first.key_id, bytes([first.signature[0] ^ 1]) + first.signature[1:])
    altered = dsse.Envelope(envelope.payload_type, envelope.payload, (broken, *envelope.signatures[1:]))
    workspace = with_envelope(files, altered.to_json())
    result = document_signatures(workspace, workspace.trust_root, NOW)
    assert result.signers == {}
    assert [problem.code for problem in result.problems] == ["QNSP-SIG-001"]


def test_another_payload_type_is_a_problem(files: Files, keys: Keys) -> None:
    """A plan's envelope is no signature of a document."""
    canonical = build(files).canonical(VALUES)
    envelope = dsse.sign(dsse.PLAN_TYPE, canonical, SoftwareSigner("lab", keys["lab"]))
    workspace = with_envelope(files, envelope.to_json())
    result = document_signatures(workspace, workspace.trust_root, NOW)
    assert [problem.code for problem in result.problems] == ["QNSP-SIG-003"]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"payload":"","payloadType":"x","signatures":[]}'])
def test_broken_envelopes_are_problems(files: Files, data: bytes) -> None:
    """Bytes that are no envelope are told, with the file they stand in."""
    workspace = with_envelope(files, data)
    result = document_signatures(workspace, workspace.trust_root, NOW)
    assert [problem.code for problem in result.problems] == ["QNSP-SIG-004"]
    assert result.problems[0].place is not None
    assert result.problems[0].place.file == FILE


def test_an_expired_signer_does_not_count(files: Files, keys: Keys) -> None:
    """Keys count to the end of their last day and not a second longer."""
    workspace = with_envelope(files, signed(files, keys, "lab").to_json())
    assert names(workspace, datetime(2027, 11, 21, 23, 59, 59, tzinfo=UTC)) == ["lab@research.example"]
    assert names(workspace, datetime(2027, 11, 22, tzinfo=UTC)) == []


def test_two_envelopes_of_one_document_add_up(files: Files, keys: Keys) -> None:
    """Signers may put their envelopes side by side."""
    workspace = build(
        files,
        signatures={
            FILE: signed(files, keys, "lab").to_json(),
            FILE.replace(".dsse", ".bob.dsse"): signed(files, keys, "bob").to_json(),
        },
    )
    assert sorted(names(workspace)) == ["bob@clinic.example", "lab@research.example"]
