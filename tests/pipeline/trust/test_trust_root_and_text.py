"""The TrustRoot value, prediction, and the text that approvers sign."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import DocumentError
from qnsp_policy.kernel.attestation.values import AssuranceClass, EvidenceKind, VerifiedClaims
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.trust.codec import time_from_text, time_to_text
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.pipeline.trust.prediction import predict
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy, release_policies
from qnsp_policy.pipeline.trust.rendering import render_trust
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.pipeline.world.recorded import Genesis
from qnsp_policy.testing.clinic import NOW, PEOPLE, WORKSPACE_ID, Clinic, signer

ALICE, BOB, _, _ = PEOPLE


@pytest.fixture(scope="module")
def root() -> TrustRootValue:
    """The TrustRoot of the clinic."""
    return trust_root_value(Clinic().workspace())


def test_a_trust_root_survives_its_json(root: TrustRootValue) -> None:
    """Bytes on disk give back the value and its digest."""
    again = TrustRootValue.from_json(json.loads(jcs(root.to_json())))
    assert again == root
    assert again.digest == root.digest


SETTINGS: dict[str, Any] = {
    "environment": {"change": {"environment: development": "environment: production"}},
    "fail-on": {"change": {"failOn: high": "failOn: low"}},
    "approvals": {"change": {"default: 1": "default: 2"}},
    "lifetime": {"change": {"planLifetime: 24h": "planLifetime: 25h"}},
    "version": {"version": 2},
    "threshold": {"threshold": 2},
    "an identity": {"people": {**PEOPLE, "eve@x.example": ("auditor",)}},
    "a role": {"people": {**PEOPLE, ALICE: ("author", "security")}},
    "an expiry": {"signers_expire": {BOB: "2027-01-01"}},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_whatever_judges_plans_is_in_the_digest(root: TrustRootValue, name: str) -> None:
    """The pin outside the repository covers identities, thresholds and every setting that judges."""
    assert trust_root_value(Clinic(**SETTINGS[name]).workspace()).digest != root.digest


def test_what_does_not_judge_is_not_in_the_digest(root: TrustRootValue) -> None:
    """Tenants, grants and tiers change without changing who judges."""
    other = Clinic(change={"lease: 12h": "lease: 1h", "maxLease: 24h": "maxLease: 2h"})
    assert trust_root_value(other.workspace()).digest == root.digest


BROKEN: dict[str, Any] = {
    "another format": lambda v: v.update(format="qnsp.trust-root/v9"),
    "a member more": lambda v: v.update(more=1),
    "a member less": lambda v: v.pop("anchors"),
    "a threshold of none": lambda v: v["thresholds"].update(trustRoot=0),
    "a negative count": lambda v: v["approvals"]["default"].update(count=-1),
    "true for a number": lambda v: v.update(version=True),
    "two of one name": lambda v: v["identities"].append(v["identities"][0]),
    "one key for two": lambda v: v["identities"][1].update(signers=v["identities"][0]["signers"]),
    "a software signer without ML-DSA": lambda v: v["identities"][0]["signers"][0].update(
        keys=v["identities"][0]["signers"][0]["keys"][1:]
    ),
    "a signer without keys": lambda v: v["identities"][0]["signers"][0].update(type="ssh", keys=[]),
    "a time of another form": lambda v: v["identities"][0]["signers"][0].update(expires="2027-11-21"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_trust_root_that_cannot_be(root: TrustRootValue, name: str) -> None:
    """What no TrustRoot may be is refused when it is read."""
    value = json.loads(jcs(root.to_json()))
    BROKEN[name](value)
    with pytest.raises(ValueError, match=r"."):
        TrustRootValue.from_json(value)


def test_a_software_signer_without_both_keys_is_a_document_error() -> None:
    """The author of the document is told at the signer's line."""
    key = json.dumps(signer(ALICE).keys[0].public.to_jwk())
    broken = Clinic(change={f"keys: [{key}, ": "keys: ["})
    with pytest.raises(DocumentError, match=r"QNSP-TRU-001: a signer of alice@clinic\.example") as caught:
        trust_root_value(broken.workspace())
    assert caught.value.place is not None
    assert "alice" in Clinic().text().splitlines()[caught.value.place.line - 1]


def test_genesis_survives_its_json_and_must_fit_its_root(root: TrustRootValue) -> None:
    """A genesis record whose digest is not that of its TrustRoot is refused."""
    value = json.loads(jcs(Genesis(WORKSPACE_ID, root, NOW).to_json()))
    assert Genesis.from_json(value) == Genesis(WORKSPACE_ID, root, NOW)
    with pytest.raises(ValueError, match="digest"):
        Genesis.from_json(value | {"trustRootDigest": "sha256:" + "0" * 64})


POLICY: dict[str, Any] = {
    "another format": lambda v: v.update(format="qnsp.release-policy/v2"),
    "another tenant's resource": lambda v: v.update(resource="research/data/notes"),
    "a member more": lambda v: v["grants"][0].update(allowAll=True),
    "an alternative without its floors": lambda v: v["grants"][0]["alternatives"][0].pop("floors"),
    "a floor of text": lambda v: v["grants"][0]["alternatives"][0]["floors"].update(x="1"),
    "a floor of true": lambda v: v["grants"][0]["alternatives"][0]["floors"].update(x=True),
    "a claim of null": lambda v: v["grants"][0]["alternatives"][0]["equals"].update(x=None),
    "a guardrail of an unknown kind": lambda v: v["grants"][0]["guardrails"][0].update(kind="none"),
    "a limit where none belongs": lambda v: v["grants"][0]["guardrails"][0].update(limit=5),
    "no lease": lambda v: v["grants"][0].update(leaseSeconds="12h"),
}


@pytest.mark.parametrize("name", POLICY)
def test_a_release_policy_that_cannot_be(name: str) -> None:
    """A broker never guesses: what is not exactly a policy is refused."""
    policies = release_policies(effective_grants(Clinic().workspace()))
    value = json.loads(jcs(policies["KeyBroker/main", "clinic/model/minilm"].to_json()))
    assert ReleasePolicy.from_json(value).digest == policies["KeyBroker/main", "clinic/model/minilm"].digest
    POLICY[name](value)
    with pytest.raises(ValueError, match=r"."):
        ReleasePolicy.from_json(value)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_survive_their_text(moment: datetime) -> None:
    """To the second, and never rounded up."""
    again = time_from_text(time_to_text(moment))
    assert timedelta() <= moment - again < timedelta(seconds=1)


def test_prediction_says_who_would_gain() -> None:
    """For evidence at hand, the answer before and after is the broker's own."""
    base = release_policies(effective_grants(Clinic().workspace()))
    head = release_policies(effective_grants(Clinic(change={"snp: 14": "snp: 12"}).workspace()))
    (alternative,) = base["KeyBroker/main", "clinic/model/minilm"].grants[0].alternatives
    claims = {**alternative.equals, **alternative.floors, "tcb.reported.snp": 12}
    old = VerifiedClaims(EvidenceKind.SEV_SNP, AssuranceClass.SIMULATED, claims, b"", (), NOW + timedelta(days=1))
    found = {p.resource: p for p in predict(base, head, {"old host": old}, now=NOW)}
    assert {name for name, p in found.items() if p.gains} == {"clinic/model/minilm", "clinic/endpoint/embeddings"}
    assert not any(p.loses for p in found.values())
    (before, after) = (found["clinic/model/minilm"].before, found["clinic/model/minilm"].after)
    assert before is not None
    assert after is not None
    assert (before.code, after.allowed) == ("QNSP-REL-007", True)
    assert {p.resource for p in predict(head, base, {"old host": old}, now=NOW) if p.loses} == {
        "clinic/model/minilm",
        "clinic/endpoint/embeddings",
    }
    gone = predict(base, {}, {"a": old}, now=NOW)
    assert all(p.after is None and not p.gains for p in gone)
    json.dumps([p.to_json() for p in gone])


def test_a_name_cannot_forge_a_line() -> None:
    """Whatever stands in a place or a value, the signed text keeps one change on one line."""
    plan = Clinic(change={"snp: 14": "snp: 1"}).plan(Clinic().genesis())
    trust = json.loads(json.dumps(plan.payload["trust"]))
    trust["diff"]["changes"][0]["place"] = "a.yaml\n+ nobody gains\x1b[2K\u202e:1"
    text = render_trust(trust)
    assert len(text.splitlines()) == len(plan.payload["trust"]["rendered"].splitlines())
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_rendered_text_of_a_weakening() -> None:
    """Rendering version 1: these bytes are what approvers signed, and must stay so."""
    from qnsp_policy.testing.clinic import running

    change = {"microcode: 209": "microcode: 115", "snp: 10": "snp: 11"}
    text = Clinic(change=change).plan(running()).payload["trust"]["rendered"]
    lines = [line.split("  (")[0].split(" (2 of 2")[0] for line in text.splitlines()]
    assert lines == [
        "! WEAKENED clinic-cpu may obtain clinic/endpoint/embeddings: microcode floor 209 -> 115",
        "! WEAKENED clinic-cpu may obtain clinic/model/minilm: microcode floor 209 -> 115",
        "^ STRENGTHENED research-cpu may obtain research/data/notes: snp floor 10 -> 11",
        "no enclave gains a key that it could not obtain before",
        "no declared grant crosses a tenant",
    ]


def test_an_unexplained_replacement_is_said_aloud() -> None:
    """Other code that nothing explains can't be read past."""
    from qnsp_policy.testing.clinic import running

    plan = Clinic(change={"@m-clinic@": "cd" * 48}).plan(running())
    assert (
        "! REPLACED, UNEXPLAINED (counts as weakened) clinic-cpu runs other code for clinic/model/minilm: measurement"
        in (plan.payload["trust"]["rendered"])
    )
    assert "weakened trust" in {need.reason for need in plan.needs}


def test_a_policy_whose_grants_belong_elsewhere() -> None:
    """A policy can't be made of another resource's grants."""
    (first, *_) = effective_grants(Clinic().workspace())
    with pytest.raises(ValueError, match="does not belong"):
        ReleasePolicy(first.broker, first.tenant, first.resource, (replace(first, broker="KeyBroker/other"),))
