"""The relying party: what a good answer says, and that nothing altered, replayed, foreign or weaker passes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qnsp_policy.client.answer import SavedAnswer, parse_answer
from qnsp_policy.client.trust import RelyingPartyTrust
from qnsp_policy.client.verify import verify_answer
from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.values import Verdict
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.simulator.snp import SnpPki, make_chip, mint_pki
from qnsp_policy.testing.gateway import GatewayWorld
from qnsp_policy.testing.services import START, SimulatedMember


@pytest.fixture(scope="module")
def pki() -> SnpPki:
    return mint_pki("Milan", START, key_size=4096)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, pki: SnpPki) -> GatewayWorld:
    return GatewayWorld(tmp_path_factory.mktemp("gateway"), SimulatedMember(make_chip(pki, START)))


@pytest.fixture(scope="module")
def answer(gateway: GatewayWorld) -> SavedAnswer:
    return gateway.ask(gateway.client())


def check(answer: SavedAnswer, trust: RelyingPartyTrust, **more: Any) -> Any:
    return verify_answer(answer, trust, **{"now": START, "allow_simulated": True, **more})


def test_a_good_answer_says_each_thing_in_one_word(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """Signature, request, receipt ok; hardware simulated; model claimed; revocation and freshness not checked."""
    verified = check(answer, gateway.trust())
    words = {statement.name: statement.verdict for statement in verified.statements}
    assert words["signature"] is Verdict.OK
    assert words["request"] is Verdict.OK
    assert words["receipt"] is Verdict.OK
    assert words["evidence"] is Verdict.SIMULATED
    assert words["model"] is Verdict.CLAIMED
    assert words["revocation"] is Verdict.NOT_CHECKED
    assert words["freshness"] is Verdict.NOT_CHECKED
    assert verified.simulated


def test_the_single_file_comes_back_as_it_was(answer: SavedAnswer) -> None:
    """Writing and reading an answer loses nothing."""
    assert parse_answer(answer.to_bytes()) == answer


def test_trust_json_comes_back_as_it_was(gateway: GatewayWorld) -> None:
    """Writing and reading what is trusted loses nothing."""
    trust = gateway.trust()
    assert RelyingPartyTrust.from_json(json.dumps(trust.to_json()).encode()) == trust


def with_header(answer: SavedAnswer, name: str, change: Callable[[str], str]) -> SavedAnswer:
    return replace(answer, headers=tuple((n, change(v) if n == name else v) for n, v in answer.headers))


def without(answer: SavedAnswer, name: str) -> SavedAnswer:
    return replace(answer, headers=tuple(pair for pair in answer.headers if pair[0] != name))


def with_request(answer: SavedAnswer, **changes: Any) -> SavedAnswer:
    assert answer.request is not None
    return replace(answer, request=replace(answer.request, **changes))


def with_runtime(answer: SavedAnswer, **changes: Any) -> SavedAnswer:
    document = json.loads(json.dumps(answer.evidence))
    document["runtimeData"].update(changes)
    return replace(answer, evidence=document)


ALTERED: dict[str, tuple[Callable[[SavedAnswer], SavedAnswer], str]] = {
    "body": (lambda a: replace(a, body=a.body.replace(b"0.25", b"0.26")), "QNSP-SIG-021"),
    "body-and-digest": (
        lambda a: with_header(replace(a, body=b"{}"), "content-digest", lambda _: "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"),
        "QNSP-SIG-001",
    ),
    "status": (lambda a: replace(a, status=201), "QNSP-SIG-001"),
    "model": (lambda a: with_header(a, "qnsp-model", lambda _: "sha256:" + "0" * 64), "QNSP-SIG-001"),
    "evidence-digest": (lambda a: with_header(a, "qnsp-evidence", lambda _: "sha256:" + "0" * 64), "QNSP-GWY-044"),
    "signature-byte": (
        lambda a: with_header(a, "signature", lambda v: v[:40] + ("A" if v[40] != "A" else "B") + v[41:]),
        "QNSP-SIG-001",
    ),
    "created": (lambda a: with_header(a, "signature-input", lambda v: v.replace("created=", "created=1")), "QNSP-SIG-02"),
    "less-covered": (
        lambda a: with_header(a, "signature-input", lambda v: v.replace('"@status" ', "")),
        "QNSP-SIG-023",
    ),
    "algorithm-name": (
        lambda a: with_header(a, "signature-input", lambda v: v.replace("ml-dsa-65", "ml-dsa-44")),
        "QNSP-SIG-026",
    ),
    "unsigned": (lambda a: without(a, "signature"), "QNSP-GWY-042"),
    "no-evidence": (lambda a: replace(a, evidence=None), "QNSP-GWY-043"),
    "another-request-body": (lambda a: with_request(a, body=b'{"input":"something else"}'), "QNSP-GWY-047"),
    "another-request-method": (lambda a: with_request(a, method="PUT"), "QNSP-SIG-001"),
    "another-request-path": (lambda a: with_request(a, url="http://127.0.0.1:8443/v1/models"), "QNSP-SIG-001"),
    "receipt-of-nothing": (lambda a: replace(a, receipt={"entry": "{}", "proof": "x"}), "QNSP-LDG"),
    "receipt-id": (lambda a: with_header(a, "qnsp-receipt", lambda _: "0" * 32), "QNSP-SIG-001"),
}  # fmt: skip


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_answer_is_refused(answer: SavedAnswer, gateway: GatewayWorld, how: str) -> None:
    """One good answer, one mutation, the code of the step that sees it."""
    bend, code = ALTERED[how]
    with pytest.raises(PeerError, match=code):
        check(bend(answer), gateway.trust())


def test_evidence_with_another_key_does_not_bind(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """An attacker writes his own key into the evidence document, and the digest into the answer."""
    from qnsp_policy.kernel.wire.endpoint import evidence_digest

    forged = with_runtime(answer, responseKeys=[generate("ML-DSA-65").public.to_jwk()])
    assert forged.evidence is not None
    forged = with_header(forged, "qnsp-evidence", lambda _: evidence_digest(forged.evidence or {}))
    with pytest.raises(PeerError, match="QNSP-GWY-053"):
        check(forged, gateway.trust())


def test_simulated_hardware_needs_leave(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """Without it the answer is refused with a code of its own."""
    with pytest.raises(PeerError, match="QNSP-GWY-050"):
        check(answer, gateway.trust(), allow_simulated=False)


def test_a_vendor_that_is_not_trusted_proves_nothing(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """No anchor, no evidence."""
    with pytest.raises(PeerError, match="QNSP-ATT-SNP"):
        check(answer, gateway.trust(anchors=()))


def test_other_code_than_the_reference_values_is_refused(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """The measurement decides."""
    other = replace(gateway.member, measurement=b"\x42" * 48).alternative()
    with pytest.raises(PeerError, match="QNSP-GWY-051"):
        check(answer, gateway.trust(alternatives=(other,)))


@pytest.mark.parametrize("name", ["endpoint", "tenant"])
def test_another_endpoint_or_tenant_is_refused(answer: SavedAnswer, gateway: GatewayWorld, name: str) -> None:
    """A good answer of somebody else's endpoint is not one of mine."""
    with pytest.raises(PeerError, match="QNSP-GWY-052"):
        check(answer, gateway.trust(**{name: "other"}))


def test_an_answer_below_the_tier_is_refused(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """ML-DSA-65 where the tier admits ML-DSA-87 only."""
    with pytest.raises(PeerError, match="QNSP-GWY-045"):
        check(answer, gateway.trust(signature_algorithms=frozenset({"ML-DSA-87"})))


def test_another_model_is_refused(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """Signed and attested, but not the model that was agreed on."""
    model = replace(gateway.trust().models[0], plaintext_digest="sha256:" + "1" * 64)
    with pytest.raises(PeerError, match="QNSP-GWY-048"):
        check(answer, gateway.trust(models=(model,)))


def test_a_replayed_answer_is_refused_live(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """By its nonce at once, by its age later; a saved one is said to be of unknown age."""
    with pytest.raises(PeerError, match="QNSP-GWY-046"):
        check(answer, gateway.trust(), live=True, expected_nonce="a-nonce-of-another-request")
    with pytest.raises(PeerError, match="QNSP-SIG-027"):
        check(answer, gateway.trust(), live=True, now=START + timedelta(minutes=10))
    later = check(answer, gateway.trust(), now=START + timedelta(minutes=10))
    assert {s.name: s.verdict for s in later.statements}["freshness"] is Verdict.NOT_CHECKED


def test_a_demanded_receipt_must_be_there(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """`receipts: true` in trust.json."""
    with pytest.raises(PeerError, match="QNSP-GWY-049"):
        check(replace(answer, receipt=None), gateway.trust(receipts=True))


def test_a_receipt_of_another_answer_does_not_pass(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """Good entry, good proof, wrong answer."""
    other = gateway.ask(gateway.client(), b'{"input":"another"}')
    with pytest.raises(PeerError):
        check(replace(answer, receipt=other.receipt), gateway.trust())


def test_what_curl_wrote_verifies_with_the_evidence_beside_it(answer: SavedAnswer, gateway: GatewayWorld) -> None:
    """Status line, headers, body; the request is then only claimed."""
    lines = [
        "HTTP/1.1 100 Continue",
        "",
        "HTTP/1.1 200 OK",
        *(f"{name}: {value}" for name, value in answer.headers),
        "",
    ]
    saved = parse_answer("\r\n".join([*lines, ""]).encode() + answer.body)
    verified = check(replace(saved, evidence=answer.evidence), gateway.trust())
    assert {s.name: s.verdict for s in verified.statements}["request"] is Verdict.CLAIMED


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"{}", b'{"format":"qnsp.answer/v1"}', b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200"]
)
def test_what_is_no_answer_is_said_so(data: bytes) -> None:
    """A reader's trouble has one code."""
    with pytest.raises(PeerError, match="QNSP-GWY-040"):
        parse_answer(data)


@pytest.mark.parametrize("member", ["alternatives", "signatureAlgorithms"])
def test_a_trust_file_that_would_accept_anything_is_refused(gateway: GatewayWorld, member: str) -> None:
    """An empty list is never a wildcard."""
    with pytest.raises(OperatorError, match="QNSP-GWY-060"):
        RelyingPartyTrust.from_json({**gateway.trust().to_json(), member: []})
