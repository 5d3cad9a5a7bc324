"""The release JWE: layout that existing clients rebuild, interop with an independent library, and refusals."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe as joserfc_jwe
from joserfc.jwk import ECKey, RSAKey

from qnsp_policy.errors import PeerError, QnspError
from qnsp_policy.kernel.crypto.canonical import b64url
from qnsp_policy.kernel.wire import jwe
from qnsp_policy.kernel.wire.jwe import TeePrivateKey, TeePublicKey

KINDS = [(jwe.ECDH_ES, "P-256"), (jwe.ECDH_ES, "P-521"), (jwe.RSA_OAEP, ""), (jwe.ML_KEM, "")]
KEYS = {f"{alg} {curve}".strip(): TeePrivateKey.generate(alg, curve=curve) for alg, curve in KINDS}
SECRET = b"\x00\x01 the model key"


def header(data: bytes) -> str:
    protected = json.loads(data)["protected"]
    return base64.urlsafe_b64decode(protected + "=" * (-len(protected) % 4)).decode()


@pytest.mark.parametrize("name", KEYS)
def test_round_trip(name: str) -> None:
    """Each key type opens what is wrapped to its JWK, and nobody else does."""
    key = KEYS[name]
    public = TeePublicKey.from_jwk(json.loads(json.dumps(key.public.to_jwk())))
    data = jwe.encrypt(public, SECRET)
    assert jwe.decrypt(key, data) == SECRET
    assert SECRET not in data
    for other in KEYS.values():
        if other is not key:
            with pytest.raises(PeerError, match=r"QNSP-KBS-20[23]"):
                jwe.decrypt(other, data)
    again = TeePrivateKey.generate(key.public.algorithm, curve=key.public.to_jwk().get("crv", ""))
    with pytest.raises(PeerError, match="QNSP-KBS-203"):
        jwe.decrypt(again, data)


def test_the_protected_header_is_ordered_for_existing_clients() -> None:
    """Compact, alg, enc, then the rest sorted; epk as crv, kty, x, y; no apu; the members a release has."""
    assert jwe.protect({"alg": "fakealg", "enc": "fakeenc"}) == "eyJhbGciOiJmYWtlYWxnIiwiZW5jIjoiZmFrZWVuYyJ9"
    data = jwe.encrypt(KEYS["ECDH-ES+A256KW P-256"].public, SECRET)
    text = header(data)
    assert text.startswith('{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{"crv":"P-256","kty":"EC","x":"')
    assert " " not in text
    assert set(json.loads(data)) == {"protected", "encrypted_key", "iv", "ciphertext", "tag"}
    assert "=" not in data.decode()
    assert len(base64.urlsafe_b64decode(json.loads(data)["encrypted_key"] + "==")) == 40
    assert header(jwe.encrypt(KEYS["ML-KEM-768+A192KW"].public, SECRET)).startswith(
        '{"alg":"ML-KEM-768+A192KW","enc":"A256GCM","ek":"'
    )


def test_coordinates_have_full_width() -> None:
    """P-521 coordinates have 66 bytes even where they begin with zeros."""
    jwk = KEYS["ECDH-ES+A256KW P-521"].public.to_jwk()
    assert len(jwk["x"]) == len(jwk["y"]) == 88


@pytest.mark.parametrize("name", [name for name in KEYS if "KEM" not in name])
def test_joserfc_opens_ours_and_we_open_joserfcs(name: str) -> None:
    """An independent implementation agrees in both directions."""
    key = KEYS[name]
    pem = key.handle.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    other: Any = (RSAKey if name.startswith("RSA") else ECKey).import_key(pem)
    algorithms = [key.public.algorithm, "A256GCM"]
    opened = joserfc_jwe.decrypt_json(json.loads(jwe.encrypt(key.public, SECRET)), other, algorithms=algorithms)
    assert opened.plaintext == SECRET
    header_ = {"alg": key.public.algorithm, "enc": "A256GCM"}
    theirs = joserfc_jwe.encrypt_compact(header_, SECRET, other, algorithms=algorithms)
    names = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
    assert jwe.decrypt(key, json.dumps(dict(zip(names, theirs.split("."), strict=True))).encode()) == SECRET


GOOD_KEY = KEYS["ECDH-ES+A256KW P-256"]
GOOD = json.loads(jwe.encrypt(GOOD_KEY.public, SECRET))


def flipped(name: str) -> dict[str, str]:
    return {**GOOD, name: ("A" if GOOD[name][0] != "A" else "B") + GOOD[name][1:]}


CHANGED: dict[str, tuple[Any, str]] = {
    "ciphertext": (flipped("ciphertext"), "203"),
    "tag": (flipped("tag"), "203"),
    "iv": (flipped("iv"), "203"),
    "encrypted key": (flipped("encrypted_key"), "203"),
    "an aad member": ({**GOOD, "aad": "AAAA"}, "202"),
    "no tag": ({name: value for name, value in GOOD.items() if name != "tag"}, "202"),
    "short iv": ({**GOOD, "iv": "AAAA"}, "202"),
    "padding": ({**GOOD, "iv": GOOD["iv"] + "="}, "202"),
    "RSA1_5": ({**GOOD, "protected": jwe.protect({"alg": "RSA1_5", "enc": "A256GCM"})}, "202"),
    "none": ({**GOOD, "protected": jwe.protect({"alg": "none", "enc": "A256GCM"})}, "202"),
    "another enc": ({**GOOD, "protected": jwe.protect({"alg": "ECDH-ES+A256KW", "enc": "A128GCM"})}, "202"),
    "no epk": ({**GOOD, "protected": jwe.protect({"alg": "ECDH-ES+A256KW", "enc": "A256GCM"})}, "202"),
    "critical": (
        {**GOOD, "protected": jwe.protect({**json.loads(header(json.dumps(GOOD).encode())), "crit": ["x"]})},
        "202",
    ),
    "epk off the curve": (
        {
            **GOOD,
            "protected": jwe.protect(
                {
                    "alg": "ECDH-ES+A256KW",
                    "enc": "A256GCM",
                    "epk": {"kty": "EC", "crv": "P-256", "x": b64url(b"\1" * 32), "y": b64url(b"\1" * 32)},
                }
            ),
        },
        "203",
    ),
    "reordered header": (
        {
            **GOOD,
            "protected": b64url(json.dumps(json.loads(header(json.dumps(GOOD).encode())), sort_keys=True).encode()),
        },
        "203",
    ),
    "a list": ([GOOD], "202"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_changed_releases_are_refused(name: str) -> None:
    """One good release, one named change, one code."""
    value, code = CHANGED[name]
    with pytest.raises(PeerError, match=f"QNSP-KBS-{code}"):
        jwe.decrypt(GOOD_KEY, json.dumps(value).encode())


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "EC", "alg": "ECDH-ES+A256KW", "crv": "P-384", "x": "AA", "y": "AA"},
        {**GOOD_KEY.public.to_jwk(), "alg": "ES256"},
        {**GOOD_KEY.public.to_jwk(), "y": GOOD_KEY.public.to_jwk()["x"]},
        {**GOOD_KEY.public.to_jwk(), "x": "AA"},
        {**GOOD_KEY.public.to_jwk(), "crv": ["P-256"]},
        {**KEYS["RSA-OAEP-256"].public.to_jwk(), "alg": "RSA1_5"},
        {**KEYS["RSA-OAEP-256"].public.to_jwk(), "n": "AQAB"},
        {**KEYS["ML-KEM-768+A192KW"].public.to_jwk(), "pub": "AAAA"},
        {**KEYS["ML-KEM-768+A192KW"].public.to_jwk(), "pub": b64url(b"\xff" * 1184)},
        {"kty": "OKP", "crv": "X25519", "alg": "ECDH-ES+A256KW", "x": "AA"},
    ],
)
def test_keys_are_checked_when_they_are_received(jwk: dict[str, Any]) -> None:
    """Off the curve, another length, a deprecated algorithm: refused at attest, not at release."""
    with pytest.raises(PeerError, match="QNSP-KBS-201"):
        TeePublicKey.from_jwk(jwk)


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """Whatever a broker sends, nothing else comes out."""
    with pytest.raises(QnspError):
        jwe.decrypt(GOOD_KEY, data)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "alg", "crv", "x", "y", "n", "e", "pub"]), st.text(max_size=8) | st.integers()
    )
)
def test_any_jwk_raises_only_our_errors(jwk: dict[str, Any]) -> None:
    """Whatever a guest sends as key, too."""
    with pytest.raises(QnspError, match="QNSP-KBS-201"):
        TeePublicKey.from_jwk(jwk)


def test_private_keys_show_nothing() -> None:
    """No secret in a repr, and no unknown kind of key."""
    assert repr(GOOD_KEY) == "TeePrivateKey(ECDH-ES+A256KW)"
    assert KEYS["ML-KEM-768+A192KW"].public.post_quantum
    with pytest.raises(ValueError, match="no TEE key"):
        TeePrivateKey.generate(jwe.ECDH_ES, curve="P-384")
