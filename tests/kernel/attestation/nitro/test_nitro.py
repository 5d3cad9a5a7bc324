"""Nitro enclave and NitroTPM evidence: real documents, every bad input of the facts, byte flips, clock sweeps."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nitro_enclave.anchors import ANCHORS
from qnsp_policy.kernel.attestation.nitro_tpm.verify import QUOTE, QUOTE_SIGNATURE
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
from qnsp_policy.simulator import mint, nitro

Read = Callable[[str], bytes]
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ENCLAVE, TPM = EvidenceKind.NITRO_ENCLAVE, EvidenceKind.NITRO_TPM
REAL = (
    ("anjuna_attestdoc_sample_prod_doc.bin", "2021-03-17T22:01:55+00:00", False),
    ("anjuna_attestdoc_sample_prod_doc_with_publickey.bin", "2021-03-24T16:10:41+00:00", False),
    ("base_sample_attestation.bin", "2024-02-26T07:02:01+00:00", False),
    ("evervault_beta_debug-mode-attestation-doc-bytes", "2022-10-12T13:50:06+00:00", True),
)


def judge(
    data: bytes, kind: EvidenceKind, anchors: tuple[Anchor, ...], now: datetime, **endorsements: bytes
) -> VerifiedClaims:
    named = {name.replace("_", "-"): value for name, value in endorsements.items()}
    return verify_any(Evidence(kind, data, named), collateral=Collateral(), anchors=anchors, now=now)


def code_of(data: bytes, kind: EvidenceKind, anchors: tuple[Anchor, ...], now: datetime, **endorsements: bytes) -> str:
    with pytest.raises(EvidenceError) as caught:
        judge(data, kind, anchors, now, **endorsements)
    return caught.value.code


@pytest.fixture(scope="module")
def pki() -> nitro.NitroPki:
    return nitro.mint_pki(NOW)


@pytest.fixture(scope="module")
def anchors(pki: nitro.NitroPki) -> tuple[Anchor, ...]:
    return (Anchor("simulator", pki.bundle[0], AssuranceClass.SIMULATED),)


@pytest.mark.parametrize(("name", "moment", "debug"), REAL)
def test_real_documents_verify_at_their_own_time(vector: Read, name: str, moment: str, debug: bool) -> None:
    """A real document verifies to the pinned root at its time, and says whether its enclave can be debugged."""
    claims = judge(vector(f"nitro/{name}"), ENCLAVE, ANCHORS, datetime.fromisoformat(moment))
    assert claims.assurance is AssuranceClass.PROVIDER_ISOLATION
    assert claims.claims["debug"] is debug
    assert {s.name: s.verdict for s in claims.statements} == {
        "signature": Verdict.OK,
        "chain": Verdict.OK,
        "revocation": Verdict.NOT_CHECKED,
        "freshness": Verdict.NOT_CHECKED,
        "debug": Verdict.REFUSED if debug else Verdict.OK,
        "measurements": Verdict.CLAIMED,
    }


@pytest.mark.parametrize(("name", "moment", "debug"), REAL)
def test_real_documents_are_over_today(vector: Read, name: str, moment: str, debug: bool) -> None:
    """Their leaves lived three hours: judged today they are refused for that reason."""
    assert code_of(vector(f"nitro/{name}"), ENCLAVE, ANCHORS, NOW) == "QNSP-ATT-NIT-029"


def tpm_fixture(vector: Read) -> tuple[bytes, dict[str, bytes]]:
    data = json.loads(vector("nitrotpm/vaportpm_test-nitro-fixture.json"))["attestation"]
    quote = data["tpm"]["ecc_p256"]
    return bytes.fromhex(data["nitro"]["document"]), {
        "tpm_quote": bytes.fromhex(quote["attest_data"]),
        "tpm_quote_signature": bytes.fromhex(quote["signature"]),
    }


def test_real_nitrotpm_document_and_quote(vector: Read) -> None:
    """A real NitroTPM document binds the TPM quote by its key, nonce and PCRs; it is measured boot, no more."""
    document, quote = tpm_fixture(vector)
    claims = judge(document, TPM, ANCHORS, datetime(2026, 2, 3, 10, 12, 2, tzinfo=UTC), **quote)
    assert claims.assurance is AssuranceClass.MEASURED_BOOT
    assert {s.name: s.verdict for s in claims.statements}["binding"] is Verdict.OK
    bare = judge(document, TPM, ANCHORS, datetime(2026, 2, 3, 10, 12, 2, tzinfo=UTC))
    assert {s.name: s.verdict for s in bare.statements}["binding"] is Verdict.NOT_CHECKED


def test_each_kind_is_refused_at_the_others_entry(vector: Read) -> None:
    """Root and envelope are shared, so the schemas keep the kinds apart."""
    document, _ = tpm_fixture(vector)
    assert code_of(document, ENCLAVE, ANCHORS, datetime(2026, 2, 3, 10, 12, 2, tzinfo=UTC)) == "QNSP-ATT-NIT-016"
    enclave = vector("nitro/base_sample_attestation.bin")
    assert code_of(enclave, TPM, ANCHORS, datetime(2024, 2, 26, 7, 2, 1, tzinfo=UTC)) == "QNSP-ATT-NIT-016"


def test_verdict_changes_exactly_at_each_end_of_validity(pki: nitro.NitroPki, anchors: tuple[Anchor, ...]) -> None:
    """The window is that of the certificates' intersection: both ends belong to it, a second outside does not."""
    data = nitro.document(pki, NOW)
    start, end = NOW - timedelta(minutes=1), NOW + timedelta(hours=3)
    for inside in (start, end):
        judge(data, ENCLAVE, anchors, inside)
    for outside in (start - SECOND, end + SECOND):
        assert code_of(data, ENCLAVE, anchors, outside) == "QNSP-ATT-NIT-029"


def test_document_time_outside_the_leaf(pki: nitro.NitroPki, anchors: tuple[Anchor, ...]) -> None:
    """A leaf that did not live when the document says it was made is refused, whatever the time now."""
    early = nitro.document(pki, NOW - timedelta(minutes=2))
    assert code_of(early, ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-028"


def resigned(pki: nitro.NitroPki, change: Callable[[dict[str, Any]], object]) -> bytes:
    members = nitro.payload(pki, NOW)
    change(members)
    return nitro.sign(pki, cbor2.dumps(members))


def replaced(index: int, value: Any) -> Callable[[bytes], bytes]:
    def change(good: bytes) -> bytes:
        parts = cbor2.loads(good)
        parts[index] = value
        return cbor2.dumps(parts)

    return change


def wrapped(tag: int) -> Callable[[bytes], bytes]:
    return lambda good: cbor2.dumps(cbor2.CBORTag(tag, cbor2.loads(good)))


BAD_ENVELOPES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "001"),
    "over 32 KiB": (lambda good: good + bytes(40_000), "001"),
    "not CBOR": (lambda _: b"\x1c", "002"),
    "nesting bomb": (lambda _: b"\x81" * 20_000 + b"\x00", "002"),
    "cut short": (lambda good: good[:-1], "002"),
    "trailing byte": (lambda good: good + b"\x00", "003"),
    "tag 98": (wrapped(98), "004"),
    "tag 17": (wrapped(17), "004"),
    "array of three": (lambda good: cbor2.dumps(cbor2.loads(good)[:3]), "005"),
    "array of five": (lambda good: cbor2.dumps([*cbor2.loads(good), b""]), "005"),
    "a map": (lambda _: b"\xa0", "005"),
    "indefinite array": (lambda good: b"\x9f" + good[1:] + b"\xff", "006"),
    "non-minimal length": (lambda good: good.replace(b"\x84\x44", b"\x84\x58\x04", 1), "006"),
    "alg ES256": (replaced(0, cbor2.dumps({1: -7})), "008"),
    "alg ES512": (replaced(0, cbor2.dumps({1: -36})), "008"),
    "alg none": (replaced(0, b""), "008"),
    "alg unprotected": (lambda good: cbor2.dumps([b"", {1: -35}, *cbor2.loads(good)[2:]]), "008"),
    "unprotected not empty": (replaced(1, {4: b"kid"}), "009"),
    "signature of 95 bytes": (replaced(3, bytes(95)), "007"),
    "signature of 97 bytes": (replaced(3, bytes(97)), "007"),
    "bad signature": (replaced(3, b"\1" * 96), "027"),
    "zero signature": (replaced(3, bytes(96)), "027"),
}


@pytest.mark.parametrize("name", BAD_ENVELOPES)
def test_bad_envelopes(pki: nitro.NitroPki, anchors: tuple[Anchor, ...], name: str) -> None:
    """One mutation of a good envelope, one code."""
    change, code = BAD_ENVELOPES[name]
    assert code_of(change(nitro.document(pki, NOW)), ENCLAVE, anchors, NOW) == f"QNSP-ATT-NIT-{code}"


def test_tag_18_is_taken(pki: nitro.NitroPki, anchors: tuple[Anchor, ...]) -> None:
    """COSE_Sign1's own tag is legal."""
    judge(wrapped(18)(nitro.document(pki, NOW)), ENCLAVE, anchors, NOW)


def pcr(index: Any, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda members: members["pcrs"].__setitem__(index, value)


BAD_PAYLOADS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "digest SHA256": (lambda m: m.__setitem__("digest", "SHA256"), "012"),
    "PCR of 32 bytes": (pcr(3, bytes(32)), "013"),
    "PCR index as text": (pcr("0", bytes(48)), "013"),
    "PCR index 40": (pcr(40, bytes(48)), "013"),
    "PCR missing": (lambda m: m["pcrs"].pop(2), "014"),
    "no PCR at all": (lambda m: m.__setitem__("pcrs", {}), "014"),
    "both PCR maps": (lambda m: m.__setitem__("nitrotpm_pcrs", {}), "017"),
    "other kind": (lambda m: m.__setitem__("nitrotpm_pcrs", m.pop("pcrs")), "016"),
    "no certificate": (lambda m: m.pop("certificate"), "010"),
    "unknown member": (lambda m: m.__setitem__("extra", 1), "010"),
    "timestamp as text": (lambda m: m.__setitem__("timestamp", "now"), "010"),
    "timestamp as true": (lambda m: m.__setitem__("timestamp", True), "010"),
    "module id empty": (lambda m: m.__setitem__("module_id", ""), "010"),
    "nonce as text": (lambda m: m.__setitem__("nonce", "abc"), "010"),
    "nonce over 512": (lambda m: m.__setitem__("nonce", bytes(513)), "015"),
    "user data over 512": (lambda m: m.__setitem__("user_data", bytes(513)), "015"),
    "public key over 1024": (lambda m: m.__setitem__("public_key", bytes(1025)), "015"),
    "bundle empty": (lambda m: m.__setitem__("cabundle", []), "018"),
    "bundle reversed": (lambda m: m["cabundle"].reverse(), "019"),
    "bundle without regional": (lambda m: m["cabundle"].pop(1), "021"),
    "certificate of noise": (lambda m: m.__setitem__("certificate", b"noise"), "020"),
}


@pytest.mark.parametrize("name", BAD_PAYLOADS)
def test_bad_payloads(pki: nitro.NitroPki, anchors: tuple[Anchor, ...], name: str) -> None:
    """One mutation of a good payload under a good signature, one code."""
    change, code = BAD_PAYLOADS[name]
    assert code_of(resigned(pki, change), ENCLAVE, anchors, NOW) == f"QNSP-ATT-NIT-{code}"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("indefinite map", lambda data: b"\xbf" + data[1:] + b"\xff"),
        ("non-minimal integer", lambda data: data.replace(b"\x00\x58\x30", b"\x18\x00\x58\x30", 1)),
        ("duplicate key", lambda data: bytes([data[0] + 1]) + data[1:] + cbor2.dumps("nonce") + b"\xf6"),
        ("trailing bytes", lambda data: data + b"\x00"),
        ("a date inside", lambda data: data.replace(cbor2.dumps("SHA384"), b"\xc1\x00", 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_payload_encoding(
    pki: nitro.NitroPki, anchors: tuple[Anchor, ...], name: str, change: Callable[[bytes], bytes]
) -> None:
    """What decodes to the same values but is not the one deterministic encoding is refused, though signed."""
    assert name
    data = change(cbor2.dumps(nitro.payload(pki, NOW)))
    assert code_of(nitro.sign(pki, data), ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-011"


def with_leaf(pki: nitro.NitroPki, leaf: mint.Authority) -> nitro.NitroPki:
    return replace(pki, leaf=leaf)


def lived(**changes: Any) -> dict[str, Any]:
    return {"serial": 9, "not_before": NOW - SECOND, "not_after": NOW + timedelta(hours=3), "is_ca": False} | changes


def test_chain_rules(pki: nitro.NitroPki, anchors: tuple[Anchor, ...]) -> None:
    """Self-made roots, leaves that are authorities, authorities that are none, path lengths and curves: each its code."""
    issuer = pki.chain[-1]
    leaf_ca = nitro.issue(issuer, "leaf", **lived(is_ca=True))
    assert code_of(nitro.document(with_leaf(pki, leaf_ca), NOW), ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-024"
    p256 = nitro.issue(issuer, "leaf", **lived(curve=ec.SECP256R1()))
    members = nitro.payload(with_leaf(pki, p256), NOW)
    assert code_of(nitro.sign(pki, cbor2.dumps(members)), ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-025"
    not_ca = nitro.issue(pki.chain[-2], "instance", **lived())
    below = nitro.issue(not_ca, "leaf", **lived())
    broken = replace(pki, chain=(*pki.chain[:-1], not_ca), leaf=below)
    assert code_of(nitro.document(broken, NOW), ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-022"
    extra = nitro.issue(issuer, "one more", **lived(is_ca=True))
    deep = replace(pki, chain=(*pki.chain, extra), leaf=nitro.issue(extra, "leaf", **lived()))
    assert code_of(nitro.document(deep, NOW), ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-023"
    other = nitro.mint_pki(NOW)
    assert code_of(nitro.document(other, NOW), ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-019"
    assert code_of(
        nitro.document(replace(other, chain=(pki.chain[0], *other.chain[1:])), NOW), ENCLAVE, anchors, NOW
    ) == ("QNSP-ATT-NIT-021")
    assert code_of(nitro.document(replace(pki, leaf=other.leaf), NOW), ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-021"
    expired = nitro.issue(issuer, "leaf", **lived(not_before=NOW - timedelta(hours=4), not_after=NOW - SECOND))
    assert code_of(nitro.document(with_leaf(pki, expired), NOW), ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-028"


def test_another_vendors_pinned_root_does_not_count(pki: nitro.NitroPki) -> None:
    """The same certificate, pinned as another vendor's, judges nothing here."""
    foreign = (Anchor("amd", pki.bundle[0], AssuranceClass.HARDWARE_TEE, "Milan"),)
    assert code_of(nitro.document(pki, NOW), ENCLAVE, foreign, NOW) == "QNSP-ATT-NIT-019"


def test_debug_and_pcr_policy(pki: nitro.NitroPki, anchors: tuple[Anchor, ...]) -> None:
    """Appraisal refuses debug (PCR0-2 zero), an absent or other PCR, and an absent, other or null nonce."""
    good = judge(nitro.document(pki, NOW, nonce=b"n" * 32), ENCLAVE, anchors, NOW)

    def verdict(claims: VerifiedClaims, **equals: str) -> bool:
        wanted = Alternative("values", ENCLAVE, {"pcr0": good.claims["pcr0"], "nonce": (b"n" * 32).hex(), **equals})
        policy = AppraisalPolicy((wanted,), frozenset({AssuranceClass.SIMULATED}))
        return appraise(claims, policy, NOW).accepted

    assert verdict(good)
    assert not verdict(good, pcr1=str(good.claims["pcr0"]))
    assert not verdict(good, pcr17="00" * 48)
    assert not verdict(judge(nitro.document(pki, NOW), ENCLAVE, anchors, NOW))
    assert not verdict(judge(nitro.document(pki, NOW, nonce=b"m" * 32), ENCLAVE, anchors, NOW))
    zero = judge(nitro.document(pki, NOW, pcrs=dict.fromkeys(range(3), bytes(48))), ENCLAVE, anchors, NOW)
    policy = AppraisalPolicy(
        (Alternative("zero", ENCLAVE, {"pcr0": "00" * 48}),), frozenset({AssuranceClass.SIMULATED})
    )
    result = appraise(zero, policy, NOW)
    assert not result.accepted
    assert {mismatch.claim for mismatch in result.mismatches} == {"debug"}


class TpmBench:
    """A good minted NitroTPM machine."""

    def __init__(self, pki: nitro.NitroPki) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.members = nitro.payload(pki, NOW, tpm=True, nonce=b"n" * 32, public_key=nitro.point(self.key))
        self.pki = pki

    def document(self, **changes: Any) -> bytes:
        return nitro.sign(self.pki, cbor2.dumps(self.members | changes))

    def quote(self, **options: Any) -> dict[str, bytes]:
        options = {"key": self.key, "pcrs": self.members["nitrotpm_pcrs"], "nonce": b"n" * 32} | options
        attest, signature = nitro.tpm_quote(**options)
        return {"tpm_quote": attest, "tpm_quote_signature": signature}


def test_tpm_quote_rules(pki: nitro.NitroPki, anchors: tuple[Anchor, ...]) -> None:
    """The quote must be by the document's key, over its nonce and its PCRs, all 24 of the SHA-384 bank."""
    bench = TpmBench(pki)
    good = bench.quote()
    claims = judge(bench.document(), TPM, anchors, NOW, **good)
    assert {s.name: s.verdict for s in claims.statements}["binding"] is Verdict.SIMULATED

    def refused(**changes: bytes) -> str:
        return code_of(bench.document(), TPM, anchors, NOW, **{**good, **changes})[-3:]

    other = ec.generate_private_key(ec.SECP256R1())
    assert refused(**bench.quote(key=other)) == "003"
    assert refused(**bench.quote(nonce=b"m" * 32)) == "004"
    assert refused(**bench.quote(bank=0x000B)) == "005"
    assert refused(**bench.quote(selected=0xFFFF7F)) == "005"
    pcrs = dict(bench.members["nitrotpm_pcrs"]) | {12: bytes(48)}
    assert refused(**bench.quote(pcrs=pcrs)) == "006"
    assert refused(tpm_quote=good["tpm_quote"] + b"\0") == "002"
    assert refused(tpm_quote=b"\0" + good["tpm_quote"][1:]) == "002"
    assert code_of(bench.document(), TPM, anchors, NOW, tpm_quote=good["tpm_quote"]) == "QNSP-ATT-NTPM-007"
    assert code_of(bench.document(public_key=bytes(65)), TPM, anchors, NOW, **good) == "QNSP-ATT-NTPM-001"
    assert code_of(bench.document(public_key=b"\4" + bytes(64)), TPM, anchors, NOW, **good) == "QNSP-ATT-NTPM-001"
    assert code_of(bench.document(public_key=None), TPM, anchors, NOW, **good) == "QNSP-ATT-NTPM-001"
    assert code_of(bench.document(nonce=None), TPM, anchors, NOW, **good) == "QNSP-ATT-NTPM-004"


def test_indefinite_payload_map_is_nitrotpms_alone(pki: nitro.NitroPki, anchors: tuple[Anchor, ...]) -> None:
    """NitroTPM's own producer writes its outermost map with indefinite length; nested or elsewhere it is refused."""
    data = cbor2.dumps(nitro.payload(pki, NOW, tpm=True))
    judge(nitro.sign(pki, b"\xbf" + data[1:] + b"\xff"), TPM, anchors, NOW)
    inner = data.replace(b"\xb8\x18\x00\x58", b"\xbf\x00\x58", 1)
    assert code_of(nitro.sign(pki, inner), TPM, anchors, NOW) == "QNSP-ATT-NIT-011"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """Whatever the bytes, both entry points refuse with their own error."""
    for kind in (ENCLAVE, TPM):
        with contextlib.suppress(EvidenceError):
            judge(data, kind, ANCHORS, NOW, **{QUOTE.replace("-", "_"): data, QUOTE_SIGNATURE.replace("-", "_"): data})


def test_a_certificate_twice_is_no_chain(pki: nitro.NitroPki, anchors: tuple[Anchor, ...]) -> None:
    """A root that stands twice in the bundle is signed by itself, and refused all the same."""
    doubled = resigned(pki, lambda members: members["cabundle"].insert(0, members["cabundle"][0]))
    assert code_of(doubled, ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-021"


def test_leaf_that_may_not_sign_data(pki: nitro.NitroPki, anchors: tuple[Anchor, ...]) -> None:
    """A key usage without digitalSignature signs no document."""
    issuer, key = pki.chain[-1], ec.generate_private_key(ec.SECP384R1())
    encoded = mint.certificate(
        mint.name("leaf"),
        key.public_key(),
        issuer.name,
        issuer.key,
        serial=9,
        not_before=NOW - SECOND,
        not_after=NOW + timedelta(hours=1),
        extensions=[mint.Extension("2.5.29.15", mint.bit_string(b"\x02", 1), critical=True)],
    )
    other = with_leaf(pki, mint.Authority(key, encoded, mint.name("leaf")))
    assert code_of(nitro.document(other, NOW), ENCLAVE, anchors, NOW) == "QNSP-ATT-NIT-024"


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_zero_register_is_debug_mode(pki: nitro.NitroPki, anchors: tuple[Anchor, ...], index: int) -> None:
    """PCR0, PCR1 and PCR2 of an enclave that runs for real are all measured."""
    data = resigned(pki, lambda members: members["pcrs"].__setitem__(index, bytes(48)))
    assert judge(data, ENCLAVE, anchors, NOW).claims["debug"] is True


def test_quote_signature_as_the_tpm_gives_it(vector: Read) -> None:
    """The ECDSA signature may be the TPM's own TPMT_SIGNATURE instead of DER."""
    document, quote = tpm_fixture(vector)
    r, s = decode_dss_signature(quote["tpm_quote_signature"])
    own = b"\x00\x18\x00\x0b" + b"".join(b"\x00\x20" + part.to_bytes(32, "big") for part in (r, s))
    now = datetime(2026, 2, 3, 10, 12, 2, tzinfo=UTC)
    claims = judge(document, TPM, ANCHORS, now, **{**quote, "tpm_quote_signature": own})
    assert {one.name: one.verdict for one in claims.statements}["binding"] is Verdict.OK
    bad = {**quote, "tpm_quote_signature": own[:-1]}
    assert code_of(document, TPM, ANCHORS, now, **bad) == "QNSP-ATT-NTPM-003"
