"""DSSE envelopes: every key of a signer must have signed, and one changed byte is noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.canonical import b64
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner

ALICE = SoftwareSigner.of("alice", [generate("ML-DSA-65"), generate("Ed25519")])
BOB = SoftwareSigner.of("bob", [generate("ML-DSA-87"), generate("Ed25519")])
TYPE = dsse.DOCUMENT_TYPE
GOOD = dsse.sign(TYPE, b'{"kind":"Grant"}', ALICE)


def mutated(**changes: Any) -> bytes:
    return json.dumps({**json.loads(GOOD.to_json()), **changes}).encode()


def test_pae_of_the_specification() -> None:
    """The example of the DSSE specification."""
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_good_envelope_gives_its_payload() -> None:
    """Parse, verify, read: only the verified value holds the payload that is used."""
    found = dsse.verify(dsse.parse(GOOD.to_json()), ALICE.public_keys, payload_type=TYPE)
    assert found.payload == b'{"kind":"Grant"}'
    assert found.keys == ALICE.public_keys


def test_every_key_must_sign() -> None:
    """An ML-DSA signature without its Ed25519 twin is not enough, nor the other way round."""
    for kept in GOOD.signatures:
        half = dsse.Envelope(GOOD.payload_type, GOOD.payload, (kept,))
        with pytest.raises(PeerError, match="QNSP-SIG-002"):
            dsse.verify(half, ALICE.public_keys, payload_type=TYPE)


def test_a_known_key_that_fails_refuses_the_envelope() -> None:
    """A bad signature beside a good one is not skipped."""
    other = dsse.sign(TYPE, b"other", ALICE).signatures[1]
    mixed = dsse.Envelope(GOOD.payload_type, GOOD.payload, (GOOD.signatures[0], other))
    with pytest.raises(PeerError, match="QNSP-SIG-001"):
        dsse.verify(mixed, ALICE.public_keys[:1] + ALICE.public_keys[1:], payload_type=TYPE)
    with pytest.raises(PeerError, match="QNSP-SIG-001"):
        dsse.verified_keys(mixed, ALICE.public_keys, payload_type=TYPE)


def test_the_payload_type_is_signed() -> None:
    """A document's signature is none over a plan."""
    with pytest.raises(PeerError, match="QNSP-SIG-003"):
        dsse.verify(GOOD, ALICE.public_keys, payload_type=dsse.PLAN_TYPE)
    renamed = dsse.Envelope(dsse.PLAN_TYPE, GOOD.payload, GOOD.signatures)
    with pytest.raises(PeerError, match="QNSP-SIG-001"):
        dsse.verify(renamed, ALICE.public_keys, payload_type=dsse.PLAN_TYPE)


def test_one_byte_changed() -> None:
    """The payload is what was signed, to the byte."""
    changed = dsse.Envelope(GOOD.payload_type, GOOD.payload.replace(b"Grant", b"Trant"), GOOD.signatures)
    with pytest.raises(PeerError, match="QNSP-SIG-001"):
        dsse.verify(changed, ALICE.public_keys, payload_type=TYPE)


def test_approvals_are_added() -> None:
    """A second signer signs the same bytes; signing again replaces, never doubles."""
    both = dsse.add_signature(dsse.add_signature(GOOD, BOB), ALICE)
    assert len(both.signatures) == 4
    found = dsse.verified_keys(both, [*BOB.public_keys, *ALICE.public_keys], payload_type=TYPE)
    assert set(found.keys) == {*ALICE.public_keys, *BOB.public_keys}
    assert dsse.verified_keys(both, BOB.public_keys, payload_type=TYPE).keys == BOB.public_keys
    assert dsse.verified_keys(both, [], payload_type=TYPE).keys == ()


def test_one_key_does_not_sign_twice() -> None:
    """Two entries by one key are malformed, so no count can be inflated."""
    twice = dsse.Envelope(GOOD.payload_type, GOOD.payload, (*GOOD.signatures, GOOD.signatures[0]))
    with pytest.raises(PeerError, match="QNSP-SIG-004"):
        dsse.verified_keys(twice, ALICE.public_keys, payload_type=TYPE)


def test_no_keys_is_misuse() -> None:
    """Verifying against nothing never passes."""
    with pytest.raises(ValueError, match="at least one key"):
        dsse.verify(GOOD, (), payload_type=TYPE)
    with pytest.raises(ValueError, match="at least one key"):
        SoftwareSigner("nobody", ())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        mutated(payloadType=""),
        mutated(payloadType=None),
        mutated(signatures=[]),
        mutated(signatures={}),
        mutated(signatures=[1]),
        mutated(signatures=[{"keyid": 1, "sig": "AA=="}]),
        mutated(signatures=[{"keyid": "a", "sig": "?"}]),
        mutated(signatures=[{"keyid": "a", "sig": b64(b"x")}] * 65),
        mutated(payload="a"),
        GOOD.to_json()[:-1],
    ],
)
def test_malformed_envelopes(data: bytes) -> None:
    """One code for every way of being no envelope."""
    with pytest.raises(PeerError, match="QNSP-SIG-004"):
        dsse.parse(data)


@given(st.binary(max_size=300))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """The parser of envelopes lets no other exception out."""
    with pytest.raises(PeerError, match="QNSP-SIG-004"):
        dsse.parse(data)


def test_sign_with_names_the_key() -> None:
    """A signer signs with its own keys only."""
    assert ALICE.sign_with(ALICE.public_keys[1], b"x")
    with pytest.raises(ValueError, match="has no key"):
        ALICE.sign_with(BOB.public_keys[0], b"x")
