"""SIGSTRUCT: what a builder signed of an enclave, read only where the signature holds."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.sgx.sigstruct import SIZE, SigstructError, parse
from qnsp_policy.testing.images import ENCLAVE, sigstruct


def test_what_the_builder_signed() -> None:
    """MRENCLAVE is the signed hash, MRSIGNER the digest of the modulus as it stands."""
    raw = sigstruct()
    found = parse(raw)
    assert len(raw) == SIZE
    assert (found.enclave_hash, found.product_id, found.svn, found.date) == (ENCLAVE, 7, 3, "20261121")
    assert found.signer == hashlib.sha256(raw[128:512]).digest()
    assert (found.debug, parse(sigstruct(debug=True)).debug) == (False, True)


def test_within_a_signed_enclave() -> None:
    """It is found within the library that was signed, where it stands once."""
    assert parse(b"\x7fELF" + bytes(900) + sigstruct() + bytes(77)).enclave_hash == ENCLAVE


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 SIGSTRUCTs"),
        (sigstruct()[:-1], "0 SIGSTRUCTs"),
        (sigstruct() * 2, "2 SIGSTRUCTs"),
        (sigstruct(exponent=65537), "exponent"),
        (sigstruct(bits=2048), "3072 bits"),
    ],
)
def test_what_is_none(data: bytes, text: str) -> None:
    """None, several, or a key of another form."""
    with pytest.raises(SigstructError, match=text):
        parse(data)


@given(st.sampled_from([*range(128, 516), *range(900, 1028), *range(40, 128)]), st.integers(1, 255))
def test_no_signed_byte_can_be_changed(at: int, change: int) -> None:
    """Any change of a signed byte or of the key is refused."""
    raw = bytearray(sigstruct())
    raw[at] ^= change
    with pytest.raises(SigstructError):
        parse(bytes(raw))
