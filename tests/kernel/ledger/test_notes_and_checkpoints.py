"""Signed notes, checkpoints with Ed25519 and ML-DSA-44, offline proofs, and what garbage gets."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import OperatorError, PeerError, QnspError
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.kernel.ledger import tiles
from qnsp_policy.kernel.ledger.checkpoint import (
    Checkpoint,
    cosigned_message,
    log_keys,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from qnsp_policy.kernel.ledger.note import (
    ED25519,
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    Note,
    NoteKey,
    NoteSignature,
    parse_note,
)
from qnsp_policy.kernel.ledger.proof import InclusionProof, parse_proof, verify_proof
from qnsp_policy.kernel.ledger.tree import leaf_hash

ORIGIN = "qnsp.example/quickstart"
NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
SIGNER = SoftwareSigner.of("log", [generate("Ed25519"), generate("ML-DSA-44")])
KEYS = log_keys(ORIGIN, SIGNER.public_keys)
ENTRIES = [b"a", b"b"]
EDGE = tiles.grow(tiles.Edge(), ENTRIES).edge
HEAD = sign_checkpoint(ORIGIN, 2, EDGE.root, SIGNER, NOW)
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_go_librarys_own_note() -> None:
    """The example of golang.org/x/mod/sumdb/note: another implementation's key and signature verify here."""
    key = NoteKey.from_vkey(VKEY)
    assert key.to_vkey() == VKEY
    note = parse_note(NOTE.encode())
    assert note.to_bytes() == NOTE.encode()
    assert note.signatures[0].key_id == key.key_id
    key.key.handle.verify(note.signatures[0].signature, note.text.encode())


def test_a_good_checkpoint() -> None:
    """Both signatures are required, the time of the cosignature is told."""
    found = verify_checkpoint(HEAD.note, ORIGIN, KEYS)
    assert (found.checkpoint.size, found.checkpoint.root, found.time) == (2, EDGE.root, NOW)
    assert set(found.keys) == set(KEYS)
    assert HEAD.note.decode().startswith(f"{ORIGIN}\n2\n{base64.b64encode(EDGE.root).decode()}\n\n\u2014 {ORIGIN} ")


def test_the_cosigned_message_is_laid_out_as_specified() -> None:
    """Label, name, time, origin, start, end, root, to the byte."""
    message = cosigned_message("w", 1, "o", 0, 2, b"\xaa" * 32)
    assert (
        message == b"subtree/v1\n\0" + b"\1w" + bytes(7) + b"\1" + b"\1o" + bytes(8) + bytes(7) + b"\2" + b"\xaa" * 32
    )


def line(index: int) -> str:
    return HEAD.note.decode().splitlines(keepends=True)[4 + index]


HEADER = HEAD.note.decode().partition("\n\n")[0] + "\n\n"
ALTERED: dict[str, tuple[str, str]] = {
    "size raised": (HEAD.note.decode().replace("\n2\n", "\n3\n", 1), "QNSP-LDG-007"),
    "root changed": (
        HEADER.replace(HEADER.splitlines()[2], base64.b64encode(bytes(32)).decode()) + line(0) + line(1),
        "QNSP-LDG-007",
    ),
    "ML-DSA signature left out": (HEADER + line(0), "QNSP-LDG-006"),
    "Ed25519 signature left out": (HEADER + line(1), "QNSP-LDG-006"),
    "another log": (HEAD.note.decode().replace(ORIGIN + "\n", "qnsp.example/other\n", 1), "QNSP-LDG-005"),
    "extension line": (HEADER[:-1] + "more\n\n" + line(0) + line(1), "QNSP-LDG-004"),
    "leading zero": (HEAD.note.decode().replace("\n2\n", "\n02\n", 1), "QNSP-LDG-004"),
    "negative size": (HEAD.note.decode().replace("\n2\n", "\n-2\n", 1), "QNSP-LDG-004"),
    "Arabic digit": (HEAD.note.decode().replace("\n2\n", "\n\u0662\n", 1), "QNSP-LDG-004"),
    "root of 31 bytes": (
        HEADER.replace(HEADER.splitlines()[2], base64.b64encode(bytes(31)).decode()) + line(0),
        "QNSP-LDG-004",
    ),
    "no signature": (HEADER, "QNSP-LDG-003"),
    "control character": (HEAD.note.decode().replace("\n2\n", "\n2\r\n", 1), "QNSP-LDG-003"),
    "no last line feed": (HEAD.note.decode()[:-1], "QNSP-LDG-003"),
    "hyphen for dash": (HEAD.note.decode().replace("\u2014", "-"), "QNSP-LDG-003"),
    "not base64": (HEADER + f"\u2014 {ORIGIN} ?\n", "QNSP-LDG-003"),
    "too short": (HEADER + f"\u2014 {ORIGIN} AAAA\n", "QNSP-LDG-003"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_altered_checkpoints(name: str) -> None:
    """One good checkpoint, one named change, one code."""
    text, code = ALTERED[name]
    with pytest.raises(PeerError, match=code):
        verify_checkpoint(text.encode(), ORIGIN, KEYS)


def test_unknown_keys_are_ignored_and_witnesses_counted() -> None:
    """Witnesses cosign in both types; a quorum that is not met refuses, an unknown cosigner does not."""
    new, old, stranger = generate("ML-DSA-44"), generate("Ed25519"), generate("Ed25519")
    witnesses = (
        NoteKey("witness.example/w1", MLDSA44_COSIGNATURE, new.public),
        NoteKey("witness.example/w2", ED25519_COSIGNATURE, old.public),
    )
    time = 1_796_000_000
    stamp = time.to_bytes(8, "big")
    first = SoftwareSigner.of("w", [new]).sign_with(
        new.public, cosigned_message(witnesses[0].name, time, ORIGIN, 0, 2, EDGE.root)
    )
    second = SoftwareSigner.of("w", [old]).sign_with(old.public, f"cosignature/v1\ntime {time}\n{HEAD.text}".encode())
    unknown = NoteKey("stranger", ED25519, stranger.public)
    note = parse_note(HEAD.note)
    lines = (
        *note.signatures,
        NoteSignature(unknown.name, unknown.key_id, bytes(64)),
        NoteSignature(witnesses[0].name, witnesses[0].key_id, stamp + first),
        NoteSignature(witnesses[1].name, witnesses[1].key_id, stamp + second),
    )
    data = Note(note.text, lines).to_bytes()
    found = verify_checkpoint(data, ORIGIN, KEYS, witnesses=witnesses, quorum=2)
    assert found.time == datetime.fromtimestamp(time, UTC)
    with pytest.raises(PeerError, match="QNSP-LDG-006"):
        verify_checkpoint(HEAD.note, ORIGIN, KEYS, witnesses=witnesses, quorum=1)
    bad = Note(
        note.text, (*note.signatures, NoteSignature(witnesses[0].name, witnesses[0].key_id, stamp + second))
    ).to_bytes()
    with pytest.raises(PeerError, match="QNSP-LDG-007"):
        verify_checkpoint(bad, ORIGIN, KEYS, witnesses=witnesses)


def test_sixteen_signatures_are_read() -> None:
    """The least that the specification asks of verifiers."""
    stranger = NoteKey("s", ED25519, generate("Ed25519").public)
    note = parse_note(HEAD.note)
    many = Note(note.text, (NoteSignature("s", stranger.key_id, bytes(64)),) * 14 + note.signatures)
    assert verify_checkpoint(many.to_bytes(), ORIGIN, KEYS)


def test_misuse_and_missing_keys() -> None:
    """No keys never verifies; a log without Ed25519 key is an operator's error; a key has one type."""
    with pytest.raises(ValueError, match="at least one"):
        verify_checkpoint(HEAD.note, ORIGIN, ())
    with pytest.raises(OperatorError, match="QNSP-LDG-011"):
        sign_checkpoint(ORIGIN, 0, EDGE.root, SoftwareSigner.of("x", [generate("ML-DSA-65")]), NOW)
    with pytest.raises(PeerError, match="QNSP-SIG-005"):
        NoteKey("x", ED25519, SIGNER.public_keys[1])
    for name in ("", "a b", "a+b", "a\nb", "x" * 256):
        with pytest.raises(PeerError, match="QNSP-LDG-003"):
            NoteKey(name, ED25519, SIGNER.public_keys[0])


@pytest.mark.parametrize(
    "text", ["", "a+b", VKEY.replace("c74f20a3", "00000000"), VKEY[:-4], "x+00000000+/w==", "x+0+?"]
)
def test_malformed_verifier_keys(text: str) -> None:
    """A verifier key whose id is not its own is refused."""
    with pytest.raises(QnspError, match=r"QNSP-(LDG-003|SIG-00[56])"):
        NoteKey.from_vkey(text)


def test_checkpoint_keys_may_be_written_as_verifier_keys() -> None:
    """Both of a log's keys survive the text that other tools are configured with."""
    for key in KEYS:
        assert NoteKey.from_vkey(key.to_vkey()) == key


PROOF = InclusionProof(0, (leaf_hash(b"b"),), HEAD.note, b"hint")


def test_offline_proofs() -> None:
    """A .tlog-proof is read back and verified with the entry and the log's keys alone."""
    again = parse_proof(PROOF.to_bytes())
    assert again == PROOF
    assert again.size == 2
    assert PROOF.to_bytes().startswith(b"c2sp.org/tlog-proof@v1\nextra aGludA==\nindex 0\n")
    assert verify_proof(again, b"a", ORIGIN, KEYS).checkpoint.time == NOW
    with pytest.raises(PeerError, match="QNSP-LDG-001"):
        verify_proof(again, b"b", ORIGIN, KEYS)
    with pytest.raises(PeerError, match="QNSP-LDG-006"):
        verify_proof(again, b"a", ORIGIN, log_keys(ORIGIN, [generate("Ed25519").public]))


TEXT = PROOF.to_bytes().decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("@v1", "@v2"),
        TEXT.replace("index 0", "index 00"),
        TEXT.replace("index 0", "index -1"),
        TEXT.replace("index 0", "index"),
        TEXT.replace("index 0\n", ""),
        TEXT.replace("extra aGludA==", "extra aGludA"),
        TEXT.replace("\n\n", "\nAAAA\n\n", 1),
        TEXT.replace("index 0\n", "index 0\n" + "A" * 43 + "=\n" + ("A" * 43 + "=\n") * 63),
        TEXT.replace("\n\n", "\n", 1).replace("\n\n", "\n"),
        "\u00e9" + TEXT,
    ],
)
def test_malformed_proofs(text: str) -> None:
    """Every line has one form."""
    with pytest.raises(PeerError, match=r"QNSP-LDG-00[349]"):
        parse_proof(text.encode())


@given(st.binary(max_size=300))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """Notes, checkpoints and proofs of strangers never get another exception out."""
    for attempt in (data, NOTE.encode()[:40] + data, TEXT.encode()[:60] + data, data + b"\n\n" + HEAD.note):
        for read in (parse_note, parse_checkpoint, parse_proof):
            try:
                read(attempt)
            except QnspError as error:
                assert error.code.startswith("QNSP-LDG")  # noqa: PT017  either outcome is right


def test_a_checkpoint_is_three_lines() -> None:
    """The text that is signed."""
    assert Checkpoint("o", 0, bytes(32)).text == "o\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
