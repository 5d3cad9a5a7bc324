"""NRAS verdicts: the real token without its key set, every bad input of the facts under a minted service."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nras.anchors import ANCHORS
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.registry import verify_any
from qnsp_policy.kernel.attestation.values import (
    Alternative,
    Anchor,
    AppraisalPolicy,
    AssuranceClass,
    Evidence,
    EvidenceKind,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.simulator import mint, nras

NRAS = EvidenceKind.NRAS
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NONCE = b"\x11" * 32
KINDS = frozenset({AssuranceClass.SIMULATED})


class Bench:
    """A minted service with one good device."""

    def __init__(self) -> None:
        self.pki = nras.mint_pki(NOW)
        self.key = nras.jwk(self.pki)
        pin = hashlib.sha256(mint.spki(self.pki.intermediate.key.public_key())).digest()
        self.anchors = [Anchor("nras", pin, AssuranceClass.SIMULATED)]

    def device(self, **changes: Any) -> str:
        return nras.device_token(self.pki, NOW, NONCE, **changes)

    def eat(self, devices: Any = None, **changes: Any) -> bytes:
        return nras.eat(self.pki, NOW, NONCE, {"GPU-0": self.device()} if devices is None else devices, **changes)

    def judge(
        self,
        data: bytes | None = None,
        *,
        keys: Any = None,
        now: datetime = NOW,
        anchors: list[Anchor] | None = None,
    ) -> VerifiedClaims:
        document = json.dumps({"keys": [self.key]} if keys is None else keys).encode()
        return verify_any(
            Evidence(NRAS, self.eat() if data is None else data),
            collateral=Collateral(documents={"jwks.json": document}),
            anchors=self.anchors if anchors is None else anchors,
            now=now,
        )

    def code(self, *args: Any, **kwargs: Any) -> str:
        with pytest.raises(EvidenceError) as caught:
            self.judge(*args, **kwargs)
        return caught.value.code.removeprefix("QNSP-ATT-NRAS-")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def test_real_tokens_without_their_key_set(vector: Callable[[str], bytes]) -> None:
    """A real detached EAT of 2025 is of the right form, but its key set is gone: unknown key, and expired besides."""
    data = vector("nras/nvat_sample_attestation_data_hopperClaimsv3_detached_eat.json")
    for documents, code in (({}, "006"), ({"jwks.json": b'{"keys":[]}'}, "008")):
        with pytest.raises(EvidenceError) as caught:
            verify_any(Evidence(NRAS, data), collateral=Collateral(documents=documents), anchors=ANCHORS, now=NOW)
        assert caught.value.code == f"QNSP-ATT-NRAS-{code}"


def test_good_verdict(bench: Bench) -> None:
    """A good verdict is the service's word: signature and chain hold, the verdict itself is claimed."""
    claims = bench.judge()
    assert {s.name: s.verdict for s in claims.statements}["verdict"] is Verdict.CLAIMED
    assert claims.claims["overall"] is True
    assert claims.report_data == NONCE
    policy = AppraisalPolicy((Alternative("any", NRAS, {"overall": True, "GPU-0.measres": "success"}),), KINDS)
    assert appraise(claims, policy, NOW).accepted


@pytest.mark.parametrize(
    ("changes", "overall", "code"),
    [
        ({}, False, "030"),
        ({"measres": None}, True, "031"),
        ({"measres": "fail"}, True, "031"),
        ({"secboot": False}, True, "032"),
        ({"dbgstat": "enabled"}, True, "033"),
        ({"x-nvidia-gpu-arch-check": False}, True, "034"),
        ({"x-nvidia-gpu-vbios-rim-signature-verified": None}, True, "034"),
        (
            {
                "x-nvidia-gpu-driver-rim-cert-chain": {
                    "x-nvidia-cert-status": "valid",
                    "x-nvidia-cert-ocsp-status": "revoked",
                }
            },
            True,
            "034",
        ),
    ],
)
def test_bad_verdicts_are_correctly_signed(bench: Bench, changes: dict[str, Any], overall: bool, code: str) -> None:
    """A verdict that is not good verifies, states its code as refused, and no policy accepts it."""
    data = bench.eat({"GPU-0": bench.device(**changes)}, **{"x-nvidia-overall-att-result": overall})
    claims = bench.judge(data)
    refused = [s.code for s in claims.statements if s.verdict is Verdict.REFUSED]
    assert refused == [f"QNSP-ATT-NRAS-{code}"]
    assert not appraise(claims, AppraisalPolicy((Alternative("any", NRAS, {}),), KINDS), NOW).accepted


def test_headers_and_algorithms(bench: Bench) -> None:
    """Only kid, alg and typ; only ES384; the signature is 96 raw bytes."""
    for header, code in (
        ({"kid": nras.KID, "alg": "none"}, "005"),
        ({"kid": nras.KID, "alg": "HS384"}, "005"),
        ({"kid": nras.KID, "alg": "ES256"}, "005"),
        ({"kid": nras.KID, "alg": "ES384", "crit": ["b64"]}, "004"),
        ({"kid": nras.KID, "alg": "ES384", "jwk": bench.key}, "004"),
        ({"alg": "ES384"}, "004"),
        ({"kid": 7, "alg": "ES384"}, "004"),
        ({"kid": "other", "alg": "ES384"}, "008"),
    ):
        assert bench.code(bench.eat(header=header)) == code
    head, body, signature = json.loads(bench.eat())[0][1].split(".")
    devices = {"GPU-0": bench.device()}
    for bad, code in (
        (nras.encode64(b"\x30\x45" + b"\1" * 69), "013"),
        (signature[:-4] + "AAAA", "013"),
        ("", "013"),
        ("!!", "003"),
    ):
        assert bench.code(json.dumps([["JWT", f"{head}.{body}.{bad}"], devices]).encode()) == code


def test_key_set(bench: Bench) -> None:
    """A duplicate id, a key unlike its certificate, certificates without the pin, a window that has passed."""
    other = nras.mint_pki(NOW)
    stranger = nras.jwk(other)
    assert bench.code(keys={"keys": [bench.key, bench.key]}) == "007"
    assert bench.code(keys={"keys": "none"}) == "007"
    assert bench.code(keys={"keys": [bench.key | {"crv": "P-256"}]}) == "007"
    assert bench.code(keys={"keys": [bench.key | {"x": stranger["x"]}]}) == "009"
    assert bench.code(keys={"keys": [bench.key | {"x5c": bench.key["x5c"][:1]}]}) == "011"
    assert bench.code(keys={"keys": [bench.key | {"x5c": [bench.key["x5c"][0], stranger["x5c"][1]]}]}) == "010"
    assert bench.code(keys={"keys": [bench.key | {"x5c": []}]}) == "010"
    assert bench.code(anchors=list(ANCHORS)) == "011"
    assert bench.code(keys={"keys": [stranger]}) == "011"
    leaf_pin = hashlib.sha256(mint.spki(bench.pki.day.key.public_key())).digest()
    assert bench.code(anchors=[Anchor("nras", leaf_pin, AssuranceClass.SIMULATED)]) == "011"
    assert bench.code(now=NOW + timedelta(hours=24) + SECOND) == "012"


def test_a_whole_certificate_pins_too(bench: Bench) -> None:
    """A workspace's anchor may be the intermediate's certificate."""
    bench.judge(anchors=[Anchor("simulator", bench.pki.intermediate.certificate, AssuranceClass.SIMULATED)])


def test_times_are_exact(bench: Bench) -> None:
    """nbf belongs to the token's life, exp does not (RFC 7519 section 4.1.4)."""
    bench.judge(now=NOW)
    bench.judge(now=NOW + timedelta(seconds=3599))
    assert bench.code(now=NOW + timedelta(seconds=3600)) == "014"
    assert bench.code(now=NOW - SECOND) == "015"
    for name in ("iat", "nbf", "exp"):
        assert bench.code(bench.eat(**{name: None})) == "016"
        assert bench.code(bench.eat(**{name: 1.5})) == "016"
    later = bench.device(nbf=int(NOW.timestamp()) + 60)
    assert bench.code(bench.eat({"GPU-0": later})) == "015"


@pytest.mark.parametrize(
    "issuer", ["https://nras.attestation.nvidia.com/", "https://nras.attestation-stg.nvidia.com", None]
)
def test_issuer(bench: Bench, issuer: str | None) -> None:
    """Another issuer, staging or a trailing slash included, is refused, on either token."""
    assert bench.code(bench.eat(iss=issuer)) == "017"
    assert bench.code(bench.eat({"GPU-0": bench.device(iss=issuer)})) == "017"


def test_submodules(bench: Bench) -> None:
    """A missing device token, an extra one, one of another session: refused."""
    one, two = bench.device(), bench.device(hwmodel="another")
    overall = json.loads(bench.eat({"GPU-0": one}))[0]
    assert bench.code(json.dumps([overall, {"GPU-0": two}]).encode()) == "019"
    assert bench.code(json.dumps([overall, {"GPU-0": one, "GPU-1": two}]).encode()) == "018"
    both = json.loads(bench.eat({"GPU-0": one, "GPU-1": two}))[0]
    assert bench.code(json.dumps([both, {"GPU-0": one}]).encode()) == "018"
    assert bench.code(bench.eat(submods={"GPU-0": ["DIGEST", ["SHA-512", "00"]]})) == "019"
    assert bench.code(bench.eat(submods=None)) == "018"


def test_nonces(bench: Bench) -> None:
    """No nonce, a zero one, one that is not hex, or another on the device: refused."""
    assert bench.code(bench.eat(eat_nonce=None)) == "020"
    assert bench.code(bench.eat({"GPU-0": bench.device(eat_nonce="22" * 32)})) == "020"
    zero = "00" * 32
    assert bench.code(bench.eat({"GPU-0": bench.device(eat_nonce=zero)}, eat_nonce=zero)) == "020"
    assert bench.code(bench.eat({"GPU-0": bench.device(eat_nonce="xyz")}, eat_nonce="xyz")) == "020"


def test_claims_versions(bench: Bench) -> None:
    """An unknown version, names of 2.0 under 3.0 and the reverse, an overall result that is text."""
    assert bench.code(bench.eat(**{"x-nvidia-ver": "9.9"})) == "021"
    assert bench.code(bench.eat(**{"x-nvidia-ver": {}})) == "021"
    old = bench.device(**{"x-nvidia-gpu-driver-rim-cert-validated": True})
    assert bench.code(bench.eat({"GPU-0": old})) == "022"
    assert bench.code(bench.eat(**{"x-nvidia-ver": "2.0"})) == "022"
    assert bench.code(bench.eat(**{"x-nvidia-overall-att-result": "true"})) == "023"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "002"),
        (b"{}", "001"),
        (b"[]", "001"),
        (b'[["JWT","a.b.c"],{}]', "001"),
        (b'[["JWT","a.b"],{"GPU-0":"a.b.c"}]', "003"),
        (b'[["JWT","a.b.c"],{"GPU-0":"a","GPU-0":"b"}]', "002"),
        (b"[" * 100_000, "002"),
        (b'[["JWT",NaN],{}]', "002"),
        (b"\xff\xfe", "002"),
        (b" " * (1024 * 1024 + 1), "002"),
    ],
)
def test_shapes(bench: Bench, data: bytes, code: str) -> None:
    """What is no detached EAT is refused before any cryptography."""
    assert bench.code(data) == code


def test_duplicate_claims(bench: Bench) -> None:
    """A claim given twice is refused, though signed."""
    body = b'{"iss":"https://nras.attestation.nvidia.com","iss":"x"}'
    data = json.dumps([["JWT", nras.token(bench.pki, body)], {"GPU-0": bench.device()}]).encode()
    assert bench.code(data) == "002"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """Whatever the bytes of token or key set, only our own error comes out."""
    for evidence in (data, b'[["JWT","' + data + b'"],{"GPU-0":"a.b.c"}]'):
        with contextlib.suppress(EvidenceError):
            verify_any(
                Evidence(NRAS, evidence), collateral=Collateral(documents={"jwks": data}), anchors=ANCHORS, now=NOW
            )


def test_any_check_that_failed_is_told(bench: Bench) -> None:
    """A check of the service that is false refuses by whatever name it goes, also where the overall verdict is true."""
    for check in ("driver-rim-version-match", "attestation-report-cert-chain-fwid-match", "a-check-of-tomorrow"):
        claims = bench.judge(bench.eat({"GPU-0": bench.device(**{f"x-nvidia-gpu-{check}": False})}))
        refused = [one.detail for one in claims.statements if one.code == "QNSP-ATT-NRAS-034"]
        assert refused == [f"GPU-0: {check}"]


def test_token_issued_in_the_future(bench: Bench) -> None:
    """A token whose iat lies ahead is not valid yet, whatever its nbf says."""
    ahead = int(NOW.timestamp()) + 60
    assert bench.code(bench.eat(iat=ahead)) == "015"
    assert bench.code(bench.eat({"GPU-0": bench.device(iat=ahead)})) == "015"


def test_key_set_is_told_by_its_content(bench: Bench) -> None:
    """A key set needs no special name, and is not looked for in other documents."""
    keys = json.dumps({"keys": [bench.key]}).encode()
    collateral = Collateral(documents={"a.json": b"{}", "saved-keys.json": keys})
    verify_any(Evidence(NRAS, bench.eat()), collateral=collateral, anchors=bench.anchors, now=NOW)


def test_revocation_is_stated_as_not_checked(bench: Bench) -> None:
    """Nothing says whether a key of the service was revoked, and the result says so."""
    verdicts = {one.name: one.verdict for one in bench.judge().statements}
    assert verdicts["revocation"] is Verdict.NOT_CHECKED
