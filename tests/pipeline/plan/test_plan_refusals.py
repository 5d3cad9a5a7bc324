"""Every plan that must be refused: one good plan, one named mutation, one code of its own."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qnsp_policy.errors import OperatorError, PlanRefused
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.pipeline.plan.envelope import add_approval, approval_payload, approve_plan, verify_plan
from qnsp_policy.pipeline.trust.authorisation import APPROVAL_TYPE, read_plan_file
from qnsp_policy.pipeline.world.recorded import RecordedState
from qnsp_policy.testing.clinic import NOW, PEOPLE, Clinic, applied, approved, running, signed, signer

ALICE, BOB, CAROL, LAB = PEOPLE
BOTH = (BOB, CAROL)


@pytest.fixture(scope="module")
def fresh() -> RecordedState:
    """The state after `init`."""
    return Clinic().genesis()


@pytest.fixture(scope="module")
def good(fresh: RecordedState) -> bytes:
    """A plan of the whole clinic with every approval it needs."""
    return approved(signed(Clinic().plan(fresh)), fresh, *BOTH)


def refused(code: str, data: bytes, recorded: RecordedState, **more: Any) -> PlanRefused:
    """The refusal with exactly this code."""
    with pytest.raises(PlanRefused) as caught:
        verify_plan(data, recorded, **{"now": NOW, **more})
    assert caught.value.code == code, str(caught.value)
    return caught.value


def edited(data: bytes, edit: Callable[[dict[str, Any]], None], *, author: str = ALICE) -> bytes:
    """The plan with an edited payload, signed again by `author`; approvals are dropped."""
    payload = json.loads(json.dumps(read_plan_file(data).payload))
    edit(payload)
    envelope = dsse.sign(dsse.PLAN_TYPE, jcs(payload), signer(author))
    file = json.loads(envelope.to_json())
    return jcs(file | {"approvals": []})


def test_the_good_plan_is_accepted(good: bytes, fresh: RecordedState) -> None:
    """The plan from which every other test here deviates by one mutation is fine."""
    plan = verify_plan(good, fresh, now=NOW)
    assert plan.authorisation.author == ALICE
    assert plan.authorisation.approvers == tuple(sorted(BOTH))
    assert plan.authorisation.trust_root_next is None
    assert set(plan.authorisation.objects["KeyBroker/main"]) >= {
        "release-policy/clinic/model/minilm",
        "resource/clinic/model/minilm",
        "tenant/research",
        "trust-root/current",
    }


@pytest.mark.parametrize("where", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_one_byte_changed(good: bytes, fresh: RecordedState, where: float) -> None:
    """A payload that differs in one byte from what was signed is refused as altered."""
    file = json.loads(good)
    payload = bytearray(base64.b64decode(file["payload"]))
    for at in range(int(len(payload) * where), len(payload)):
        if chr(payload[at]).isalpha() and chr(payload[at] ^ 0x03).isalpha():
            payload[at] ^= 0x03
            with contextlib.suppress(ValueError):
                json.loads(payload)
                break
            # A letter of `true` or of an escape: what is no JSON any more is refused as that.
            payload[at] ^= 0x03
    file["payload"] = base64.b64encode(payload).decode()
    refused("QNSP-PLN-004", jcs(file), fresh)


def test_signed_by_an_unknown_key(fresh: RecordedState) -> None:
    """Keys that the TrustRoot does not name count for nothing, whatever name the plan claims."""
    stranger = SoftwareSigner.of("mallory", [generate("ML-DSA-65"), generate("Ed25519")])
    envelope = dsse.sign(dsse.PLAN_TYPE, jcs(Clinic().plan(fresh).payload), stranger)
    refused("QNSP-PLN-005", envelope.to_json(), fresh)


def test_signed_by_somebody_else_than_the_author_it_names(good: bytes, fresh: RecordedState) -> None:
    """A plan in alice's name that bob signed is not alice's plan."""
    refused("QNSP-PLN-005", edited(good, lambda _: None, author=BOB), fresh)


def test_author_without_the_role(fresh: RecordedState) -> None:
    """Whoever does not hold the role author cannot write a plan."""
    refused("QNSP-PLN-006", signed(Clinic().plan(fresh, author=BOB), author=BOB), fresh)


def test_unsigned(good: bytes, fresh: RecordedState) -> None:
    """A plan without any signature is not a plan file."""
    file = json.loads(good)
    refused("QNSP-PLN-002", jcs(file | {"signatures": []}), fresh)


@pytest.mark.parametrize("kept", ["ML-DSA-65", "Ed25519"])
def test_only_one_of_the_two_signatures(good: bytes, fresh: RecordedState, kept: str) -> None:
    """ML-DSA and Ed25519 must both have signed; neither alone is enough."""
    key = next(k.public.key_id for k in signer(ALICE).keys if k.algorithm == kept)
    file = json.loads(good)
    file["signatures"] = [entry for entry in file["signatures"] if entry["keyid"] == key]
    refused("QNSP-PLN-008", jcs(file), fresh)


def test_author_key_out_of_date() -> None:
    """A signer that expired does not sign."""
    clinic = Clinic(signers_expire={ALICE: "2026-11-20"})
    recorded = clinic.genesis()
    refused("QNSP-PLN-007", signed(clinic.plan(recorded)), recorded)


def test_signer_counts_on_its_last_day() -> None:
    """An expiry is the last day on which the signer still counts."""
    clinic = Clinic(signers_expire={ALICE: "2026-11-21"})
    recorded = clinic.genesis()
    verify_plan(approved(signed(clinic.plan(recorded)), recorded, *BOTH), recorded, now=NOW)


def test_approver_key_out_of_date() -> None:
    """The same holds for an approver."""
    clinic = Clinic(signers_expire={BOB: "2026-11-20"})
    recorded = clinic.genesis()
    data = approved(signed(clinic.plan(recorded)), recorded, CAROL)
    file = read_plan_file(data)
    stale = dsse.sign(APPROVAL_TYPE, approval_payload(file, BOB, NOW), signer(BOB))
    refused("QNSP-PLN-007", add_approval(file, stale), recorded)


def test_another_workspace(good: bytes, fresh: RecordedState) -> None:
    """A plan for one workspace is nothing in another, even under the same TrustRoot."""
    assert fresh.genesis is not None
    other = replace(fresh, genesis=replace(fresh.genesis, workspace_id="another"))
    refused("QNSP-PLN-009", good, other)


def test_expired(good: bytes, fresh: RecordedState) -> None:
    """A plan ends with its last second."""
    verify_plan(good, fresh, now=NOW + timedelta(hours=24) - timedelta(seconds=1))
    refused("QNSP-PLN-010", good, fresh, now=NOW + timedelta(hours=24))


def test_lifetime_longer_than_allowed(good: bytes, fresh: RecordedState) -> None:
    """An author cannot give a plan more time than the Project in force does."""
    refused("QNSP-PLN-011", edited(good, lambda p: p.update(expiresAt="2026-12-24T00:00:00Z")), fresh)


def test_made_in_the_future(good: bytes, fresh: RecordedState) -> None:
    """A plan that says it was made tomorrow would outlive its lifetime."""
    edit = {"createdAt": "2026-11-22T12:00:00Z", "expiresAt": "2026-11-23T12:00:00Z"}
    refused("QNSP-PLN-011", edited(good, lambda p: p.update(edit)), fresh)


def test_planned_against_an_older_state(good: bytes, fresh: RecordedState) -> None:
    """Once anything was applied, a plan of before is stale."""
    refused("QNSP-PLN-013", good, applied(Clinic().plan(fresh), fresh))


def test_a_unit_changed_since() -> None:
    """A state of the same serial whose deployment differs is another state."""
    recorded = running()
    data = approved(signed(Clinic(change={"lease: 12h": "lease: 6h"}).plan(recorded)), recorded, BOB)
    verify_plan(data, recorded, now=NOW)
    unit = replace(recorded.units["broker/main"], deployment_digest="sha256:" + "0" * 64)
    moved = replace(recorded, units={**recorded.units, "broker/main": unit})
    assert "broker/main" in str(refused("QNSP-PLN-014", data, moved).subject)


@pytest.mark.parametrize("left", BOTH)
def test_an_approval_is_missing(fresh: RecordedState, left: str) -> None:
    """Each need is met by those who may; bob is no owner of research and carol alone holds no other role there."""
    data = approved(signed(Clinic().plan(fresh)), fresh, left)
    if left == CAROL:
        verify_plan(data, fresh, now=NOW)  # an owner's approval is also the second pair of eyes
    else:
        assert "Tenant/research" in refused("QNSP-PLN-015", data, fresh).message


def test_no_approval_at_all(fresh: RecordedState) -> None:
    """The author alone is never enough."""
    refused("QNSP-PLN-015", signed(Clinic().plan(fresh)), fresh)


def test_the_author_approves(good: bytes, fresh: RecordedState) -> None:
    """The author's own approval is refused, not ignored."""
    file = read_plan_file(good)
    own = dsse.sign(APPROVAL_TYPE, approval_payload(file, ALICE, NOW), signer(ALICE))
    refused("QNSP-PLN-016", add_approval(file, own), fresh)
    with pytest.raises(PlanRefused, match="QNSP-PLN-016"):
        approved(good, fresh, ALICE)


def test_the_author_approves_under_another_name(good: bytes, fresh: RecordedState) -> None:
    """An approval must be signed by the keys of the approver it names."""
    file = read_plan_file(good)
    forged = dsse.sign(APPROVAL_TYPE, approval_payload(file, BOB, NOW), signer(ALICE))
    refused("QNSP-PLN-025", add_approval(file, forged), fresh)


def test_one_key_with_two_owners_is_no_trust_root() -> None:
    """A TrustRoot in which two identities share a key would let one person be author and approver."""
    root = Clinic().genesis().judge()[1]
    twin = replace(root.identities[BOB], name="twin", signers=root.identities[ALICE].signers)
    with pytest.raises(ValueError, match="one key belongs to"):
        replace(root, identities={**root.identities, "twin": twin})


def test_an_approval_of_another_plan(fresh: RecordedState) -> None:
    """An approval counts for the digest and the text it signed, and for nothing else."""
    first = read_plan_file(signed(Clinic().plan(fresh)))
    approval = dsse.sign(APPROVAL_TYPE, approval_payload(first, CAROL, NOW), signer(CAROL))
    other = read_plan_file(signed(Clinic().plan(fresh, now=NOW - timedelta(seconds=1))))
    refused("QNSP-PLN-017", add_approval(other, approval), fresh)


def test_an_approval_of_another_text(good: bytes, fresh: RecordedState) -> None:
    """What the approver read is part of what they signed."""
    file = read_plan_file(good)
    payload = json.loads(approval_payload(file, CAROL, NOW)) | {"trustDiff": "nobody gains or loses a key\n"}
    shown = dsse.sign(APPROVAL_TYPE, jcs(payload), signer(CAROL))
    refused("QNSP-PLN-017", add_approval(file, shown), fresh)


def test_an_altered_approval(good: bytes, fresh: RecordedState) -> None:
    """An approval whose bytes changed after signing is refused as altered."""
    file = json.loads(good)
    payload = json.loads(base64.b64decode(file["approvals"][0]["payload"])) | {"approvedAt": "2026-11-20T00:00:00Z"}
    file["approvals"][0]["payload"] = base64.b64encode(jcs(payload)).decode()
    refused("QNSP-PLN-024", jcs(file), fresh)


def test_approved_by_a_stranger(good: bytes, fresh: RecordedState) -> None:
    """An approval by keys that the TrustRoot does not know is refused, not ignored."""
    file = read_plan_file(good)
    stranger = SoftwareSigner.of("mallory", [generate("ML-DSA-65"), generate("Ed25519")])
    refused(
        "QNSP-PLN-025", add_approval(file, dsse.sign(APPROVAL_TYPE, approval_payload(file, BOB, NOW), stranger)), fresh
    )


def test_a_publisher_is_no_approver(fresh: RecordedState) -> None:
    """Whoever holds no approving role may sign, and it counts for nothing."""
    refused("QNSP-PLN-015", approved(signed(Clinic().plan(fresh)), fresh, LAB), fresh)


def widen(payload: dict[str, Any]) -> None:
    """Put a wider release policy into a unit without saying so anywhere else."""
    for unit in payload["units"]:
        for holder in unit["inputs"].get("brokers", ()):
            for entry in holder.get("objects", ()):
                if entry["kind"] == "release-policy":
                    for grant in entry["object"]["grants"]:
                        grant["alternatives"][0]["floors"] = {}


INCONSISTENT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a wider release policy": widen,
    "a trust diff that says nothing": lambda p: p["trust"]["diff"].update(changes=[]),
    "a rendered text that says nothing": lambda p: p["trust"].update(rendered="nobody gains or loses a key\n"),
    "one approval fewer": lambda p: p.update(approvalsNeeded=p["approvalsNeeded"][1:]),
    "an object more for the broker": lambda p: p["authorises"]["KeyBroker/main"].update({"resource/x": "sha256:00"}),
    "a unit of another digest": lambda p: p["units"][0].update(digest="sha256:" + "0" * 64),
    "a base that hides what is new": lambda p: p["trust"].update(
        base=[
            o["object"]
            for u in p["units"]
            if "tenant" in u["inputs"]
            for b in u["inputs"]["brokers"]
            for o in b["objects"]
            if o["kind"] == "release-policy"
        ]
    ),
    "no units": lambda p: p.pop("units"),
    "an environment of nobody": lambda p: p["trust"].update(trustRoot={"next": {}, "changes": []}),
}


@pytest.mark.parametrize("name", INCONSISTENT)
def test_a_plan_that_lies_about_itself(good: bytes, fresh: RecordedState, name: str) -> None:
    """Whatever follows from the units is recomputed, so an author cannot show approvers anything else."""
    refused("QNSP-PLN-018", edited(good, INCONSISTENT[name]), fresh)


def test_a_plan_whose_base_is_not_what_is_applied() -> None:
    """A plan that pretends a wide policy is already in force shows no diff, and is refused against recorded state."""
    recorded = running()
    wide = Clinic(change={"snp: 14": "snp: 1"})
    pretended = applied(wide.plan(recorded), recorded)
    plan = wide.plan(replace(pretended, serial=recorded.serial))
    payload = json.loads(json.dumps(plan.payload))
    payload["base"] = Clinic().plan(recorded).payload["base"]
    data = approved(edited(signed(plan), lambda p: p.update(payload)), recorded, *BOTH)
    refused("QNSP-PLN-018", data, recorded)


def test_a_missing_genesis_record_is_never_a_first_apply(good: bytes) -> None:
    """No genesis record means that nobody can judge; planning and applying both stop there."""
    nothing = RecordedState(genesis=None)
    with pytest.raises(OperatorError, match="QNSP-PLN-001"):
        verify_plan(good, nothing, now=NOW)
    with pytest.raises(OperatorError, match="QNSP-PLN-001"):
        Clinic().plan(nothing)


def test_a_change_that_adds_an_approver_and_uses_it() -> None:
    """An approver who comes with the plan does not approve the plan."""
    recorded = running()
    with_mallory = Clinic(people={**PEOPLE, "mallory@x.example": ("operator", "security")}, version=2)
    data = signed(with_mallory.plan(recorded))
    file = read_plan_file(data)
    data = add_approval(
        file, dsse.sign(APPROVAL_TYPE, approval_payload(file, "mallory@x.example", NOW), signer("mallory@x.example"))
    )
    missing = refused("QNSP-PLN-015", data, recorded)
    assert "any change" in missing.message
    assert "TrustRoot clinic or its settings change" in missing.message
    verify_plan(approved(data, recorded, BOB), recorded, now=NOW)


def test_a_change_that_lowers_the_threshold() -> None:
    """Lowering the threshold needs the old threshold."""
    strict = Clinic(threshold=2)
    recorded = running(strict)
    lowered = Clinic(threshold=1, version=2)
    data = approved(signed(lowered.plan(recorded)), recorded, BOB)
    assert "1 for TrustRoot clinic or its settings change" in refused("QNSP-PLN-015", data, recorded).message
    plan = verify_plan(approved(data, recorded, CAROL), recorded, now=NOW)
    assert plan.authorisation.trust_root_next is not None
    assert plan.authorisation.trust_root_next.threshold == 1


def test_raising_the_threshold_needs_the_new_one_too() -> None:
    """What is proposed must be able to meet its own threshold."""
    recorded = running()
    data = approved(signed(Clinic(threshold=2, version=2).plan(recorded)), recorded, BOB)
    assert "1 for TrustRoot clinic as proposed" in refused("QNSP-PLN-015", data, recorded).message
    verify_plan(approved(data, recorded, CAROL), recorded, now=NOW)


TO_DEVELOPMENT = {"environment: production": "environment: development"}


def test_a_change_that_turns_production_into_development() -> None:
    """The environment belongs to what judges plans: it needs a new version, both thresholds, and it is shown."""
    production = Clinic(change={"environment: development": "environment: production"})
    recorded = running(production)
    with pytest.raises(PlanRefused, match="QNSP-PLN-019"):
        Clinic().plan(recorded)
    plan = Clinic(version=2).plan(recorded)
    assert "! WEAKENED  environment: production -> development" in plan.payload["trust"]["rendered"]
    assert {need.reason for need in plan.needs} >= {
        "TrustRoot clinic or its settings change",
        "TrustRoot clinic as proposed",
        "weakened trust",
    }
    weakened = {change.enclave for change in plan.diff.weakening}
    assert weakened == {"Enclave/clinic-cpu", "Enclave/research-cpu"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("failOn: high", "failOn: critical"),
        ("default: 1", "default: 0"),
        ("role: security", "role: operator"),
        ("planLifetime: 24h", "planLifetime: 90d"),
    ],
)
def test_a_change_of_how_plans_are_judged(before: str, after: str) -> None:
    """Each setting that judges plans is a change of the TrustRoot value, judged by the old one and the new."""
    recorded = running()
    change = {before: after}
    with pytest.raises(PlanRefused, match="QNSP-PLN-019"):
        Clinic(change=change).plan(recorded)
    data = signed(Clinic(change=change, version=2).plan(recorded))
    refused("QNSP-PLN-015", data, recorded)
    verify_plan(approved(data, recorded, BOB), recorded, now=NOW)


def test_a_trust_root_of_an_older_version() -> None:
    """Versions rise: going back to an earlier TrustRoot is refused."""
    recorded = running(Clinic(version=3))
    with pytest.raises(PlanRefused, match="QNSP-PLN-019"):
        Clinic(version=2).plan(recorded)


def test_judged_by_another_trust_root() -> None:
    """A plan made under the TrustRoot of before is refused under the one of now."""
    recorded = running()
    old = approved(signed(Clinic(change={"lease: 12h": "lease: 6h"}).plan(recorded)), recorded, BOB)
    renewed = applied(Clinic(version=2).plan(recorded), recorded)
    refused("QNSP-PLN-012", old, renewed)


def test_a_weakening_needs_the_security_role() -> None:
    """An owner's approval does not stand in for the security role."""
    recorded = running()
    data = signed(Clinic(change={"snp: 10": "snp: 9"}).plan(recorded))
    data = approved(data, recorded, CAROL)
    assert "weakened trust" in refused("QNSP-PLN-015", data, recorded).message
    verify_plan(approved(data, recorded, BOB), recorded, now=NOW)


def test_another_format(good: bytes, fresh: RecordedState) -> None:
    """A plan of a later major format is refused with the versions named."""
    refused("QNSP-PLN-003", edited(good, lambda p: p.update(formatVersion="2.0")), fresh)


def test_a_later_minor_format_is_read(good: bytes, fresh: RecordedState) -> None:
    """A minor version only adds members, which are ignored."""
    data = edited(good, lambda p: p.update(formatVersion="1.7", novelty=True))
    verify_plan(approved(data, fresh, *BOTH), fresh, now=NOW)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"payloadType":"x"}', b"{" * 100, b'{"a":1,"a":2}'],
    ids=["empty", "object", "list", "null", "not utf-8", "no payload", "deep", "duplicate"],
)
def test_anything_that_is_no_plan_file(data: bytes, fresh: RecordedState) -> None:
    """Whatever the bytes are, the answer is the same refusal."""
    refused("QNSP-PLN-002", data, fresh)


def test_an_envelope_of_another_type(good: bytes, fresh: RecordedState) -> None:
    """A signed document or approval is not a plan."""
    file = json.loads(good)
    refused("QNSP-PLN-002", jcs(file["approvals"][0]), fresh)


def test_approving_what_would_be_refused(good: bytes, fresh: RecordedState) -> None:
    """`approve` refuses before anybody signs: here a plan that lies about itself."""
    with pytest.raises(PlanRefused, match="QNSP-PLN-018"):
        approved(edited(good, widen), fresh, BOB)


def test_approving_with_keys_of_somebody_else(good: bytes, fresh: RecordedState) -> None:
    """`approve` refuses keys that the TrustRoot does not name for that approver."""
    genesis, judge = fresh.judge()
    with pytest.raises(PlanRefused, match="QNSP-PLN-025"):
        approve_plan(good, signer(LAB), approver=BOB, judge=judge, workspace_id=genesis.workspace_id, now=NOW)


def test_approving_twice_counts_once(fresh: RecordedState) -> None:
    """The same identity approves once, however often it signs."""
    data = approved(signed(Clinic().plan(fresh)), fresh, BOB, BOB)
    assert len(read_plan_file(data).approvals) == 1
    refused("QNSP-PLN-015", data, fresh)
