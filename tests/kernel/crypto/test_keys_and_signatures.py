"""Keys as JWKs, their ids, software private keys and signatures, against RFC 9964's and X-Wing's vectors."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import OperatorError, PeerError, QnspError
from qnsp_policy.kernel.crypto import kat_data, signatures
from qnsp_policy.kernel.crypto.algorithms import ALGORITHMS, KEMS, SIGNING, Kind, algorithm, by_cose
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file, write_key_file
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey, generate, public_keys

VECTORS = Path(__file__).parents[2] / "vectors" / "pqc"
KEYS = {name: generate(name) for name in (*SIGNING, *KEMS)}


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


@pytest.mark.parametrize("variant", [44, 65, 87])
def test_rfc9964_jose_example(variant: int) -> None:
    """Seed to public key, thumbprint to kid, and the JWS signature: all as published."""
    vector = load(f"ML_DSA_{variant}.jose.json")
    private = PrivateKey.from_jwk(vector["jwk"], allow_test_seed=True)
    assert private.public.raw.hex() == vector["raw_public_key"]
    assert private.key_id == vector["jwk"]["kid"]
    signatures.verify(private.public, bytes.fromhex(vector["raw_signature"]), bytes.fromhex(vector["raw_to_be_signed"]))
    head, body, value = vector["jws"].split(".")
    assert f"{head}.{body}".encode() == bytes.fromhex(vector["raw_to_be_signed"])
    assert base64.urlsafe_b64decode(value + "==") == bytes.fromhex(vector["raw_signature"])


@pytest.mark.parametrize("index", range(3))
def test_xwing_key_expansion(index: int) -> None:
    """The 32-byte seed gives the published X-Wing public key."""
    vector = load("xwing-draft-10.json")[index]
    assert PrivateKey("X-Wing", bytes.fromhex(vector["sk"])).public.raw.hex() == vector["pk"]


def test_known_answers_are_those_of_the_vectors() -> None:
    """The constants of the self-test are the published ones."""
    vector = load("xwing-draft-10.json")[0]
    assert base64.b64decode(kat_data.XWING_CIPHERTEXT).hex() == vector["ct"]
    assert base64.b64decode(kat_data.XWING_SHARED).hex() == vector["ss"]
    cose = load("ML_DSA_65.cose.json")
    assert base64.b64decode(kat_data.MLDSA65_SIGNATURE).hex() == cose["raw_signature"]
    for name, digest in kat_data.MLDSA_ZERO_SEED_PUBLIC.items():
        raw = bytes.fromhex(load(f"{name.replace('-', '_')}.cose.json")["raw_public_key"])
        assert hashlib.sha256(raw).hexdigest() == digest


@pytest.mark.parametrize("name", [*SIGNING, *KEMS])
def test_jwk_round_trip(name: str) -> None:
    """A key survives its JWK, public and private, and its sizes are the table's."""
    key = KEYS[name]
    assert PublicKey.from_jwk(json.loads(json.dumps(key.public.to_jwk()))) == key.public
    assert PrivateKey.from_jwk(key.to_jwk_insecure()).public == key.public
    assert len(key.public.raw) == ALGORITHMS[name].public
    assert len(key.key_id) == 43


@pytest.mark.parametrize("name", [*SIGNING])
def test_signatures_verify_and_only_they(name: str) -> None:
    """Another message, another key, a changed, cut or lengthened signature: refused with one code."""
    key, data = KEYS[name], b"what is signed"
    value = signatures.sign(key, data)
    assert len(value) == ALGORITHMS[name].output
    signatures.verify(key.public, value, data)
    changed = bytes([value[0] ^ 1]) + value[1:]
    for public, attempt, message in (
        (key.public, value, data + b"."),
        (key.public, changed, data),
        (key.public, value[:-1], data),
        (key.public, value + b"\0", data),
        (key.public, b"", data),
        (generate(name).public, value, data),
    ):
        with pytest.raises(PeerError, match="QNSP-SIG-001"):
            signatures.verify(public, attempt, message)


def test_kems_do_not_sign() -> None:
    """A KEM key is no signature key."""
    with pytest.raises(ValueError, match="does not sign"):
        signatures.sign(KEYS["X-Wing"], b"")
    with pytest.raises(PeerError, match="QNSP-SIG-005"):
        signatures.verify(KEYS["X-Wing"].public, b"", b"")


@pytest.mark.parametrize("name", [name for name in SIGNING if name != "Ed25519"] + ["Ed25519"])
def test_spki_round_trip(name: str) -> None:
    """SubjectPublicKeyInfo is what TLS pins are made of."""
    assert PublicKey.from_spki(KEYS[name].public.to_spki()) == KEYS[name].public


def test_hybrid_kems_have_no_spki() -> None:
    """No registered encoding, so none is invented."""
    with pytest.raises(ValueError, match="no registered"):
        KEYS["X-Wing"].public.to_spki()


@pytest.mark.parametrize("seed", [bytes(32), b"\x2a" * 32])
def test_seeds_of_published_examples_are_refused(seed: bytes) -> None:
    """Everybody has these private keys."""
    with pytest.raises(OperatorError, match="QNSP-KEY-001"):
        PrivateKey("ML-DSA-65", seed)


def test_a_private_key_shows_nothing() -> None:
    """No repr, no pickle, no error text holds the seed."""
    key = KEYS["ML-DSA-65"]
    secret = key.to_jwk_insecure()["priv"]
    assert secret not in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(PeerError) as caught:
        PrivateKey.from_jwk({**key.to_jwk_insecure(), "pub": KEYS["ML-DSA-44"].public.to_jwk()["pub"]})
    assert secret not in str(caught.value)


MUTATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "private where public belongs": ({"priv": "AAAA"}, "QNSP-SIG-006"),
    "unknown algorithm": ({"alg": "ML-DSA-99"}, "QNSP-SIG-005"),
    "another variant's name": ({"alg": "ML-DSA-87"}, "QNSP-SIG-006"),
    "no text": ({"pub": 5}, "QNSP-SIG-006"),
    "padded": ({"pub": KEYS["ML-DSA-65"].public.to_jwk()["pub"] + "="}, "QNSP-SIG-006"),
    "short": ({"pub": "AAAA"}, "QNSP-SIG-006"),
    "unknown type": ({"kty": "RSA"}, "QNSP-SIG-005"),
    "algorithm of another type": ({"alg": "Ed25519"}, "QNSP-SIG-005"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_malformed_jwks_are_refused(name: str) -> None:
    """One good JWK, one named change, one code."""
    change, code = MUTATIONS[name]
    with pytest.raises(PeerError, match=code):
        PublicKey.from_jwk({**KEYS["ML-DSA-65"].public.to_jwk(), **change})


def test_a_point_off_its_curve_is_refused() -> None:
    """Noticed when the key is read, not when it is used."""
    jwk = KEYS["ECDSA-P256"].public.to_jwk()
    with pytest.raises(PeerError, match="QNSP-SIG-006"):
        PublicKey.from_jwk({**jwk, "y": jwk["x"]})


def test_an_mlkem_key_beyond_the_modulus_is_refused() -> None:
    """FIPS 203 section 7.2: the modulus check."""
    with pytest.raises(PeerError, match="QNSP-SIG-006"):
        PublicKey("ML-KEM-768", b"\xff" * 1184)


@given(
    st.dictionaries(st.sampled_from(["kty", "alg", "crv", "x", "y", "pub", "application"]), st.text() | st.integers())
)
def test_any_jwk_raises_only_our_errors(jwk: dict[str, Any]) -> None:
    """Whatever stands in a JWK, a stranger's exception never gets out."""
    try:
        PublicKey.from_jwk(jwk)
    except QnspError as error:
        assert error.code in {"QNSP-SIG-005", "QNSP-SIG-006"}  # noqa: PT017  either outcome is right


def test_lists_of_keys_refuse_repetition() -> None:
    """A threshold of two keys is not met by one key listed twice."""
    jwk = KEYS["Ed25519"].public.to_jwk()
    assert public_keys([jwk]) == (KEYS["Ed25519"].public,)
    with pytest.raises(PeerError, match="QNSP-SIG-006"):
        public_keys([jwk, jwk])
    with pytest.raises(PeerError, match="QNSP-SIG-006"):
        public_keys("x")


def test_key_files(tmp_path: Path) -> None:
    """Written 0600 in a 0700 folder, never overwritten, refused when others may read them."""
    path = tmp_path / "keys" / "alice.json"
    keys = (KEYS["ML-DSA-65"], KEYS["Ed25519"])
    write_key_file(path, "alice@clinic.example", keys)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    found = read_key_file(path)
    assert found.name == "alice@clinic.example"
    assert found.public_keys == tuple(key.public for key in keys)
    assert found.of("Ed25519").key_id == KEYS["Ed25519"].key_id
    assert "insecure" in json.loads(path.read_text())
    with pytest.raises(OperatorError, match="QNSP-KEY-004"):
        found.of("X-Wing")
    with pytest.raises(OperatorError, match="QNSP-KEY-005"):
        write_key_file(path, "alice@clinic.example", keys)
    write_key_file(path, "alice", keys, replace=True)
    other = tmp_path / "others" / "bob.json"
    other.parent.mkdir()
    (other.parent / ".bob.json.4194305-1.part").write_bytes(b"what a killed writer left; no process has such an id")
    write_key_file(other, "bob", keys)
    assert [entry.name for entry in other.parent.iterdir()] == ["bob.json"]
    assert [entry.name for entry in path.parent.iterdir()] == ["alice.json"]
    path.chmod(0o640)
    with pytest.raises(OperatorError, match="QNSP-KEY-002") as caught:
        read_key_file(path)
    assert caught.value.next_step == f"Run: chmod 600 {path}"


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "003"), ("{}", "003"), ('{"format":"qnsp.private-keys/v1","name":"a","keys":[]}', "003"), ("[1]", "003")],
)
def test_malformed_key_files(tmp_path: Path, text: str, code: str) -> None:
    """A file that is no key file says so."""
    path = tmp_path / "k.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(OperatorError, match=f"QNSP-KEY-{code}"):
        read_key_file(path)


def test_missing_key_file(tmp_path: Path) -> None:
    """A missing file is an operator's error."""
    with pytest.raises(OperatorError, match="QNSP-KEY-002"):
        read_key_file(tmp_path / "none.json")


def test_the_table_agrees_with_itself() -> None:
    """Names are unique, every signing algorithm has identifiers, unknown names are refused."""
    assert all(ALGORITHMS[name].jose and ALGORITHMS[name].cose is not None for name in SIGNING)
    assert all(ALGORITHMS[name].kind is Kind.KEM for name in KEMS)
    assert by_cose(-49).name == "ML-DSA-65"
    assert ALGORITHMS["X-Wing"].hybrid
    assert not ALGORITHMS["ML-KEM-1024"].hybrid
    with pytest.raises(PeerError, match="QNSP-SIG-005"):
        algorithm("Dilithium3")
    with pytest.raises(PeerError, match="QNSP-SIG-005"):
        by_cose(0)
    with pytest.raises(PeerError, match="QNSP-SIG-005"):
        generate("RSA")
