"""CMS envelopes: KMS's own, OpenSSL's, and every byte of one changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.cms import open_envelope, parse

VECTORS = Path(__file__).parents[2] / "vectors" / "cms"
OPENSSL: dict[str, Any] = json.loads((VECTORS / "openssl.json").read_text())
KMS: dict[str, str] = json.loads((VECTORS / "aws_kms_ciphertext_for_recipient.json").read_text())


def key_of(case: dict[str, str]) -> rsa.RSAPrivateKey:
    key = load_der_private_key(bytes.fromhex(OPENSSL["keysInsecure"][case["key"]]), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def test_an_answer_of_kms_is_read() -> None:
    """BER with indefinite lengths, as AWS's own SDK has it in its tests."""
    found = parse(bytes.fromhex(KMS["envelope"]))
    assert found.encrypted_key.hex().startswith(KMS["encryptedKeyStarts"])
    assert found.encrypted_key.hex().endswith(KMS["encryptedKeyEnds"])
    assert (found.iv.hex(), found.content.hex(), len(found.encrypted_key)) == (KMS["iv"], KMS["content"], 256)


@pytest.mark.parametrize("name", OPENSSL["opens"])
def test_what_openssl_made_opens(name: str) -> None:
    """Definite, indefinite, and content in pieces of 4 KiB."""
    case = OPENSSL["opens"][name]
    assert open_envelope(key_of(case), bytes.fromhex(case["envelope"])).hex() == case["plaintext"]


@pytest.mark.parametrize("name", OPENSSL["refused"])
def test_another_algorithm_or_recipient_is_refused(name: str) -> None:
    """SHA-1, PKCS #1 v1.5, AES-128, GCM, a recipient by issuer, two of them: well formed, and not ours."""
    case = OPENSSL["refused"][name]
    with pytest.raises(PeerError, match="QNSP-SIG-110"):
        open_envelope(key_of(case), bytes.fromhex(case["envelope"]))


def test_another_key_opens_nothing() -> None:
    """One text for every cause."""
    case = OPENSSL["opens"]["indefinite"]
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(PeerError, match="QNSP-SIG-111"):
        open_envelope(other, bytes.fromhex(case["envelope"]))


def test_every_cut_and_every_addition_is_refused() -> None:
    """Nothing may be missing, nothing may follow."""
    whole = bytes.fromhex(OPENSSL["opens"]["indefinite"]["envelope"])
    for size in range(len(whole)):
        with pytest.raises(PeerError, match="QNSP-SIG-110"):
            parse(whole[:size])
    for more in (b"\0", b"\0\0", whole):
        with pytest.raises(PeerError, match="QNSP-SIG-110"):
            parse(whole + more)


def test_a_flipped_byte_never_yields_the_plaintext_silently_longer() -> None:
    """AES-CBC authenticates nothing: a flip gives our error or other bytes of no more than the same blocks, never a crash."""
    case = OPENSSL["opens"]["indefinite"]
    key, whole = key_of(case), bytes.fromhex(case["envelope"])
    opened = 0
    for at in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[at] ^= 0x01
        try:
            opened += len(open_envelope(key, bytes(changed))) <= 48
        except PeerError as error:
            assert error.code in {"QNSP-SIG-110", "QNSP-SIG-111"}  # noqa: PT017 - either is right
        else:
            assert at >= 32, "structure was changed and it opened"  # from there: key id, ciphertexts, IV
    assert opened


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x80" * 500,
        b"\x30\x84\x00\x00\x00\x10" + bytes(16),
        b"\x04\x80\0\0",
        bytes(20_000),
        b"\x30\x83\xff\xff\xff",
    ],
    ids=["empty", "nested", "non-minimal", "primitive-indefinite", "too-long", "past-the-end"],
)
def test_bad_ber_is_refused(data: bytes) -> None:
    """Lengths lie, nesting bombs."""
    with pytest.raises(PeerError, match="QNSP-SIG-110"):
        parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_our_error(data: bytes) -> None:
    """A parser raises only our errors."""
    with pytest.raises(PeerError, match="QNSP-SIG-110"):
        parse(data)
