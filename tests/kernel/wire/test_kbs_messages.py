"""KBS 0.4.0 messages: the digest vector, round trips of what clients send, and what garbage gets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.wire import kbs
from qnsp_policy.kernel.wire.jwe import TeePrivateKey

KEY = TeePrivateKey.generate().public.to_jwk()


def test_the_digest_vector() -> None:
    """SHA-384 over RFC 8785, as existing implementations compute it."""
    found = hashlib.sha384(jcs({"b": 1, "a": "test", "c": {"d": "e"}})).hexdigest()
    assert found == ("e71ce8e70d814ba6639c3612ebee0ff1f76f650f8dbb5e47157e0f3f525cd22c4597480a186427c813ca941da78870c3")


def test_runtime_data_binds_nonce_key_and_devices() -> None:
    """The primary digest covers the device evidence as sent, even empty; a device's does not."""
    one = kbs.runtime_digest("n", KEY, "", "sha384")
    assert one == hashlib.sha384(jcs({"nonce": "n", "tee-pubkey": KEY, "additional-evidence": ""})).digest()
    others = [
        kbs.runtime_digest("n", KEY, None, "sha384"),
        kbs.runtime_digest("m", KEY, "", "sha384"),
        kbs.runtime_digest("n", KEY, "{}", "sha384"),
        kbs.runtime_digest("n", TeePrivateKey.generate().public.to_jwk(), "", "sha384"),
    ]
    assert one not in others
    assert kbs.fit(one, 64) == one + bytes(16)
    assert kbs.fit(one, 32) == one[:32]


def test_messages_round_trip() -> None:
    """Each message reads back what it wrote."""
    auth = kbs.AuthRequest("snp")
    assert kbs.AuthRequest.from_bytes(auth.to_bytes()) == auth
    for challenge in (kbs.Challenge("bm9uY2U="), kbs.Challenge("bm9uY2U=", "sha256")):
        assert kbs.Challenge.from_bytes(challenge.to_bytes()) == challenge
    attest = kbs.AttestRequest("n", KEY, {"report": "x"}, "", kbs.InitData("toml", "version = 1"))
    assert kbs.AttestRequest.from_bytes(attest.to_bytes()) == attest
    assert "extra-params" in json.loads(kbs.Challenge("n").to_bytes())


def test_stray_members_of_a_key_are_dropped_and_named() -> None:
    """A typed JWK: only the members of its type are hashed."""
    key, extra = kbs.typed_jwk({**KEY, "kid": "x", "use": "enc"})
    assert (key, extra) == (KEY, ("kid", "use"))


@pytest.mark.parametrize("path", ["a/b/c", "clinic/model/minilm", "_a/-b/c.d"])
def test_resource_paths(path: str) -> None:
    """Three segments of the protocol's alphabet."""
    assert str(kbs.ResourcePath.parse(path)) == path


@pytest.mark.parametrize(
    "path", ["", "a/b", "a/b/c/d", "/a/b", "a//c", "../b/c", ".a/b/c", "a/b/c\n", "a/b/\u00e9", "a/b/c?x"]
)
def test_other_paths(path: str) -> None:
    """Nothing that could climb, hide or break a line."""
    with pytest.raises(PeerError, match="QNSP-KBS-103"):
        kbs.ResourcePath.parse(path)


def test_versions_and_tees() -> None:
    """Another version and an unknown TEE have a code of their own."""
    good = json.loads(kbs.AuthRequest("tdx").to_bytes())
    for change in ({"version": "0.1.1"}, {"tee": "sev"}):
        with pytest.raises(PeerError, match="QNSP-KBS-102"):
            kbs.AuthRequest.from_bytes(json.dumps({**good, **change}).encode())


READERS: list[Callable[[bytes], Any]] = [
    kbs.AuthRequest.from_bytes,
    kbs.Challenge.from_bytes,
    kbs.AttestRequest.from_bytes,
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    [
        "version",
        "tee",
        "extra-params",
        "nonce",
        "runtime-data",
        "tee-evidence",
        "init-data",
        "tee-pubkey",
        "primary_evidence",
        "kty",
    ]
)


@given(
    st.binary(max_size=100)
    | st.dictionaries(names, values | st.dictionaries(names, values)).map(lambda v: json.dumps(v).encode())
)
def test_any_message_raises_only_our_errors(data: bytes) -> None:
    """Whatever a stranger posts, no other exception gets out."""
    for read in READERS:
        try:
            read(data)
        except PeerError as error:
            assert error.code.startswith("QNSP-KBS")  # noqa: PT017  either outcome is right
