"""Receipts with the claims of AIR, and the messages of a broker's administration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import PeerError, QnspError
from qnsp_policy.kernel.crypto import cose
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.wire import broker_admin, receipts
from qnsp_policy.kernel.wire.receipts import Receipt

AIR = Receipt(
    issuer="cyntrisec.com",
    time=datetime.fromtimestamp(1740500100, UTC),
    id=bytes(range(0x11, 0x21)),
    model_id="llama-7b",
    model_version="2.0.0",
    model_digest=b"\x55" * 32,
    request_digest=b"\x66" * 32,
    response_digest=b"\x77" * 32,
    evidence_digest=b"\x88" * 32,
    measurements={
        "measurement_type": "tdx-mrtd-rtmr",
        "pcr0": b"\x10" * 48,
        "pcr1": b"\x20" * 48,
        "pcr2": b"\x30" * 48,
    },
    policy_version="policy-2026.03",
    sequence=1,
    execution_ms=2500,
    memory_mb=8192,
    security_mode="production",
    nonce=bytes.fromhex("deadbeefcafebabe"),
)
KEY = generate("ML-DSA-65")
GOOD = receipts.issue(AIR, KEY)


def test_the_air_vector_is_made_to_the_byte() -> None:
    """The claims of AIR v1's published vector `v1-tdx-with-nonce`, signed with its public test seed, give its bytes.

    Ed25519 is deterministic: equal length and equal end of the signature mean equal bytes before it.
    """
    key = PrivateKey("Ed25519", b"\x2a" * 32, allow_test_seed=True)
    assert key.public.raw.hex() == "197f6b23e16c8532c6abc838facd5ea789be0c76b2920334039bfa8b3d368d61"
    data = receipts.issue(AIR, key)
    assert len(data) == 608
    assert data.hex().endswith("d2ae1049a050681ec37f33f7fc380a0463ca45bbb51b8beb75ea57f80b66442b03")
    found = receipts.verify_receipt(data, key.public, nonce=AIR.nonce)
    assert (found.receipt, found.profile) == (AIR, receipts.AIR_PROFILE)


def test_a_receipt_under_ml_dsa() -> None:
    """The same claims, our profile, and it is about what the caller asks."""
    found = receipts.verify_receipt(
        GOOD,
        KEY.public,
        request_digest=AIR.request_digest,
        response_digest=AIR.response_digest,
        model_digest=AIR.model_digest,
        nonce=AIR.nonce,
    )
    assert (found.receipt, found.profile) == (AIR, receipts.PROFILE)


@pytest.mark.parametrize("name", ["request_digest", "response_digest", "model_digest", "nonce"])
def test_a_receipt_about_something_else(name: str) -> None:
    """Another request, answer, model or nonce is refused by name."""
    with pytest.raises(PeerError, match="QNSP-SIG-052"):
        receipts.verify_receipt(GOOD, KEY.public, **{name: bytes(32)})


def claims(**changes: Any) -> bytes:
    value = cbor2.loads(AIR.to_cbor(receipts.PROFILE))
    for text, change in changes.items():
        label = int(text.replace("m", "-").lstrip("c"))
        if change is None:
            del value[label]
        else:
            value[label] = change
    return cose.sign1(cbor2.dumps(value, canonical=True), KEY, protected={cose.CONTENT_TYPE: 61})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[1:],
        claims(cm65537=None),
        claims(cm65550=1),
        claims(cm65539=bytes(32)),
        claims(cm65539=bytes(31)),
        claims(cm65543={"pcr0": b"\1" * 32}),
        claims(cm65545=-1),
        claims(cm65545=True),
        claims(cm65549="sha1-magic"),
        claims(c6=2**40),
        claims(c7=b"x"),
        claims(c10=b"x"),
        claims(c265=receipts.AIR_PROFILE),
        cose.sign1(AIR.to_cbor(receipts.PROFILE), KEY),
        cose.sign1(cbor2.dumps([]), KEY, protected={cose.CONTENT_TYPE: 61}),
    ],
)
def test_malformed_receipts(data: bytes) -> None:
    """Missing, unknown, mistyped or empty claims, a wrong profile or type: refused though signed."""
    with pytest.raises(PeerError, match=r"QNSP-SIG-05[01]"):
        receipts.verify_receipt(data, KEY.public)


def test_wrong_keys() -> None:
    """Another key, another algorithm, and keys that sign no receipts."""
    with pytest.raises(PeerError, match="QNSP-SIG-001"):
        receipts.verify_receipt(GOOD, generate("ML-DSA-65").public)
    with pytest.raises(PeerError, match="QNSP-SIG-026"):
        receipts.verify_receipt(GOOD, generate("Ed25519").public)
    with pytest.raises(ValueError, match="receipts are signed"):
        receipts.issue(AIR, generate("ECDSA-P256"))
    with pytest.raises(PeerError, match="QNSP-SIG-051"):
        replace(AIR, nonce=b"short")


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """Garbage stays our error."""
    for attempt in (data, b"\xd2" + data):
        with pytest.raises(QnspError):
            receipts.verify_receipt(attempt, KEY.public)


# A broker's administration

VALUE = {"format": "qnsp.release-policy/v1", "n": 1}
ENTRY = {"kind": "release-policy", "name": "clinic/model/minilm", "digest": sha256_digest(jcs(VALUE)), "plan": None}


def test_admin_requests() -> None:
    """Method, path and body of each message."""
    request = broker_admin.put_object("release-policy", "clinic/model/minilm", VALUE, "sha256:aa")
    assert (request.method, request.path) == ("PUT", "/qnsp/v1/admin/objects/release-policy/clinic/model/minilm")
    assert json.loads(request.body) == {"object": VALUE, "plan": "sha256:aa"}
    assert json.loads(broker_admin.put_object("revocation", "r", {}, "").body) == {"object": {}}
    assert broker_admin.submit_plan(b"x") == broker_admin.AdminRequest("POST", "/qnsp/v1/admin/plans", b"x")
    assert broker_admin.get_object("tenant", "a b?#%").path.endswith("/tenant/a%20b%3F%23%25")
    assert broker_admin.delete_object("tenant", "x").method == "DELETE"
    assert broker_admin.list_objects().path == "/qnsp/v1/admin/objects"
    assert broker_admin.get_state().path == "/qnsp/v1/admin/state"
    for kind, name in (("secret", "x"), ("tenant", ""), ("tenant", "a//b"), ("tenant", "../plans")):
        with pytest.raises(ValueError, match="no object"):
            broker_admin.get_object(kind, name)


def test_admin_answers() -> None:
    """What a broker says is read strictly, and a digest that is not the value's is refused."""
    (entry,) = broker_admin.read_objects(json.dumps([ENTRY]).encode())
    assert (entry.key, entry.plan) == ("release-policy/clinic/model/minilm", None)
    assert broker_admin.read_object(json.dumps({**ENTRY, "object": VALUE}).encode()).value == VALUE
    assert broker_admin.read_changed(json.dumps(ENTRY).encode()) == entry
    assert broker_admin.read_plan(b'{"plan":"sha256:aa","authorises":{"a/b":"c"}}').authorises == {"a/b": "c"}
    assert broker_admin.read_state(b'{"version":3,"digest":"d","plan":"p","checkpoint":null}').version == 3
    bad = [
        (broker_admin.read_object, {**ENTRY, "object": {}}),
        (broker_admin.read_object, ENTRY),
        (broker_admin.read_objects, ENTRY),
        (broker_admin.read_objects, [1]),
        (broker_admin.read_changed, {**ENTRY, "digest": 1}),
        (broker_admin.read_plan, {"plan": "x"}),
        (broker_admin.read_state, {"version": "3", "digest": "d"}),
    ]
    for read, value in bad:
        with pytest.raises(PeerError, match="QNSP-KBS-301"):
            read(json.dumps(value).encode())


def test_admin_problems() -> None:
    """A refusal keeps the broker's code; text is cleaned, garbage becomes a status."""
    found = broker_admin.read_problem(403, b'{"code":"QNSP-REL-001","message":"no\\u001b[31m"}')
    assert (found.code, found.message) == ("QNSP-REL-001", "no?[31m")
    assert broker_admin.read_problem(502, b"<html>").code == "QNSP-KBS-302"
    assert broker_admin.read_problem(403, b'{"code":"x\\ny","message":"m"}').code == "QNSP-KBS-302"


def test_the_receipts_digest_is_stable() -> None:
    """The claims of today are read by every later version."""
    assert hashlib.sha256(AIR.to_cbor(receipts.PROFILE)).hexdigest() == (
        hashlib.sha256(cose.verify_sign1(GOOD, KEY.public).payload).hexdigest()
    )
