"""Known answers, the provider seam, KMAC256, COSE."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto import cose, kmac, liboqs_edge, providers, selftest
from qnsp_policy.kernel.crypto.keys import PublicKey, generate

VECTORS = Path(__file__).parents[2] / "vectors" / "pqc"


def test_the_self_test_passes_quickly() -> None:
    """Every primitive gives its known answer, in a fraction of a second of the processor."""
    begun = time.process_time()
    found = selftest.run()
    assert time.process_time() - begun < 5
    assert "ML-DSA-65 verification" in found.passed
    assert found.provider.startswith("cryptography 50.")


def test_a_wrong_answer_blocks_signing() -> None:
    """A primitive that answers otherwise is an operator's error by its name."""

    def wrong() -> None:
        selftest._same("a", "b")

    with pytest.raises(OperatorError, match="QNSP-KEY-006") as caught:
        selftest.run((("broken", wrong),))
    assert caught.value.subject == "broken"


def test_providers_never_substitute() -> None:
    """An algorithm that nobody offers is an error that names it; another provider may bring it."""
    assert providers.provider_of("ML-DSA-65").name == "cryptography"
    with pytest.raises(OperatorError, match="QNSP-KEY-008"):
        providers.provider_of("SLH-DSA-SHAKE-256f")
    with pytest.raises(PeerError, match="QNSP-SIG-005"):
        providers.provider_of("Dilithium3")
    wide = providers.CryptoProvider("liboqs", "0.16", "not validated", frozenset({"SLH-DSA-SHAKE-256f", "ML-DSA-65"}))
    assert providers.provider_of("SLH-DSA-SHAKE-256f", [wide]) is wide
    assert providers.provider_of("ML-DSA-65", [wide]).name == "cryptography"


def test_probing_for_liboqs_is_harmless() -> None:
    """Without liboqs the probe says so at once, and `oqs` is never imported into this process."""
    found = liboqs_edge.probe()
    assert (found.provider is None) == bool(found.reason)
    assert "oqs" not in sys.modules


def test_kmac256_of_the_standard() -> None:
    """NIST SP 800-185 KMAC256 samples 4, 5 and 6; the sponge beneath equals hashlib's SHAKE256."""
    key, long = bytes(range(0x40, 0x60)), bytes(range(200))
    tag = b"My Tagged Application"
    assert kmac.kmac256(key, bytes(range(4)), 64, tag).hex().startswith("20c570c31346f703c9ac36c61c03cb64")
    assert kmac.kmac256(key, long, 64).hex().startswith("75358cf39e41494e949707927cee0af2")
    assert kmac.kmac256(key, long, 64, tag).hex().startswith("b58618f71f92e1d56c1b8c55ddd7cd18")
    for size in (0, 1, 135, 136, 137, 500):
        assert kmac._sponge(bytes(size), 0x1F, 300) == hashlib.shake_256(bytes(size)).digest(300)


def load(variant: int) -> Any:
    return json.loads((VECTORS / f"ML_DSA_{variant}.cose.json").read_text())


@pytest.mark.parametrize("variant", [44, 65, 87])
def test_rfc9964_cose_example(variant: int) -> None:
    """The published COSE_Sign1 verifies, and what was signed is rebuilt to the byte."""
    vector = load(variant)
    public = PublicKey(f"ML-DSA-{variant}", bytes.fromhex(vector["raw_public_key"]))
    signed = bytes.fromhex(vector["sign1"])
    found = cose.verify_sign1(signed, public)
    assert found.payload == b"hello post quantum signatures"
    protected = cbor2.loads(signed).value[0]
    assert cose.to_be_signed(protected, found.payload).hex() == vector["raw_to_be_signed"]
    assert cbor2.loads(bytes.fromhex(vector["key"]))[-1] == public.raw
    with pytest.raises(PeerError, match="QNSP-SIG-006"):
        cose.key_from_cose(bytes.fromhex(vector["key"]))  # it holds the private seed
    assert cose.key_from_cose(cose.key_to_cose(public)) == public


KEY = generate("ML-DSA-44")
GOOD = cose.sign1(b"payload", KEY, external=b"bound")


def test_sign1_round_trip_by_key_id() -> None:
    """A known key id verifies, with the external data that was bound."""
    found = cose.verify_sign1(GOOD, {KEY.key_id: KEY.public}, external=b"bound")
    assert found.payload == b"payload"
    with pytest.raises(PeerError, match="QNSP-SIG-001"):
        cose.verify_sign1(GOOD, KEY.public, external=b"other")
    with pytest.raises(PeerError, match="QNSP-SIG-025"):
        cose.verify_sign1(GOOD, {}, external=b"bound")


def test_the_algorithm_is_the_keys() -> None:
    """A header that names another algorithm is refused before the signature is looked at."""
    with pytest.raises(PeerError, match="QNSP-SIG-026"):
        cose.verify_sign1(GOOD, generate("ML-DSA-65").public)


def rebuilt(change: dict[int, Any]) -> bytes:
    parts = list(cbor2.loads(GOOD).value)
    for index, value in change.items():
        parts[index] = value
    return cbor2.dumps(cbor2.CBORTag(18, parts))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        GOOD + b"\0",
        cbor2.dumps(cbor2.CBORTag(17, [])),
        cbor2.dumps([1, 2, 3, 4]),
        cbor2.dumps([b"", {}, None, b""]),
        rebuilt({0: b"\x01"}),
        rebuilt({1: {1: -48}}),
        rebuilt({0: cbor2.dumps({1: -48, 2: [99]})}),
    ],
)
def test_malformed_cose(data: bytes) -> None:
    """Detached payloads, doubled headers, critical members, trailing bytes: refused."""
    with pytest.raises(PeerError, match="QNSP-SIG-050"):
        cose.verify_sign1(data, KEY.public)


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """CBOR garbage stays our error."""
    with pytest.raises(PeerError):
        cose.verify_sign1(data, KEY.public)
    with pytest.raises(PeerError):
        cose.key_from_cose(data)
