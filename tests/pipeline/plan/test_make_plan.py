"""What a plan does: units, actions, reasons, selection, recoverability, and that applying it leaves nothing to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.errors import EngineError, OperatorError, Place, PlanRefused
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.plan.actions import unit_of
from qnsp_policy.pipeline.plan.envelope import verify_plan
from qnsp_policy.pipeline.plan.lowering.lower import PROGRAMS
from qnsp_policy.pipeline.plan.make import Circumstances, Plan, make_plan
from qnsp_policy.pipeline.plan.structure import differences
from qnsp_policy.pipeline.plan.values import Json, Op, PlannedStep, PreviewRequest, Unit
from qnsp_policy.pipeline.review.plan_text import render_plan
from qnsp_policy.pipeline.rules.findings import Finding, Severity
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.pipeline.trust.trust_models import _STATEMENTS
from qnsp_policy.pipeline.world.recorded import RecordedState
from qnsp_policy.testing.clinic import NOW, OUTLINES, PEOPLE, Clinic, FakePreviews, applied, approved, running, signed

ALICE, BOB, CAROL, _ = PEOPLE
ALL = (
    "platform/lab",
    "broker/main",
    "tenant/clinic",
    "tenant/research",
    "enclave/clinic-cpu",
    "enclave/research-cpu",
    "endpoint/embeddings",
)


def ops(plan: Plan) -> dict[str, str]:
    """What happens to each unit, no-ops left out."""
    return {action.unit: action.op.value for action in plan.actions if action.op is not Op.NO_OP}


@pytest.fixture(scope="module")
def state() -> RecordedState:
    """The clinic, applied."""
    return running()


def test_a_first_plan_creates_everything_without_the_engine() -> None:
    """Units without state are planned from their outlines alone, in the order of the waves."""
    previews = FakePreviews()
    plan = Clinic().plan(Clinic().genesis(), previews=previews)
    assert tuple(action.unit for action in plan.actions) == ALL
    assert set(ops(plan).values()) == {"create"}
    assert previews.asked == []
    assert all(action.steps and action.reasons[0].place.file == "qnsp.yaml" for action in plan.actions)


def test_nothing_changed_asks_nobody(state: RecordedState) -> None:
    """A plan without changes starts no engine, needs no approval and says so."""
    previews = FakePreviews()
    plan = Clinic().plan(state, previews=previews)
    assert (ops(plan), previews.asked, plan.changes, plan.needs) == ({}, [], False, ())
    assert plan.payload["trust"]["rendered"].startswith("nobody gains or loses a key\n")


def test_equal_inputs_give_equal_plans(state: RecordedState) -> None:
    """A plan is a function of its inputs."""
    assert Clinic().plan(state).digest == Clinic().plan(state).digest


def test_only_what_changed_is_previewed(state: RecordedState) -> None:
    """A lowered floor changes the policies of one tenant and the measurements that its fleet shows."""
    previews = FakePreviews()
    plan = Clinic(change={"microcode: 209": "microcode: 115"}).plan(state, previews=previews)
    assert ops(plan) == {"tenant/clinic": "update"}
    assert previews.asked == ["tenant/clinic"]
    (action,) = [action for action in plan.actions if action.unit == "tenant/clinic"]
    paths = [difference.path for difference in action.differences if not difference.path.endswith(".digest")]
    assert paths == [
        f"brokers[KeyBroker/main].objects[release-policy/{resource}].object.grants[{grant} to Enclave/clinic-cpu]"
        ".alternatives[ReferenceValues/clinic-1#0].floors.tcb.reported.microcode"
        for resource, grant in (
            ("clinic/endpoint/embeddings", "Endpoint/embeddings"),
            ("clinic/model/minilm", "Grant/clinic-model"),
        )
    ]
    text = Clinic().text().splitlines()
    assert {text[reason.place.line - 1].strip()[:14] for reason in action.reasons} == {"- measurements"}


def test_a_drifted_unit_is_previewed_and_says_why(state: RecordedState) -> None:
    """What differs in the world is a reason of its own, without a document line."""
    plan = Clinic().plan(state, drifted={"broker/main": ["process broker-main is not running"]})
    (action,) = [action for action in plan.actions if action.op is not Op.NO_OP]
    assert action.unit == "broker/main"
    assert [(reason.text, reason.place) for reason in action.reasons] == [
        ("the world differs: process broker-main is not running", Place(""))
    ]


def test_an_engine_that_leaves_a_unit_out_is_an_error(state: RecordedState) -> None:
    """No preview is never read as nothing to do."""

    class Silent:
        def preview(self, requests: Sequence[PreviewRequest]) -> Mapping[str, tuple[PlannedStep, ...]]:
            return {}

    with pytest.raises(EngineError, match="QNSP-PLN-031"):
        Clinic(change={"lease: 12h": "lease: 6h"}).plan(state, previews=Silent())


def test_a_unit_without_a_program_is_an_error() -> None:
    """A program that is not installed is told before anything is signed."""
    workspace = Clinic().workspace()
    with pytest.raises(EngineError, match="no stack program is installed for platform"):
        make_plan(
            workspace,
            effective_grants(workspace),
            Clinic().genesis(),
            FakePreviews(),
            {},
            (),
            now=NOW,
            author=ALICE,
            circumstances=Circumstances(attachments=_attachments()),
        )


def _attachments() -> Mapping[str, bytes]:
    from qnsp_policy.testing.clinic import attachments

    return attachments()


def test_a_unit_that_is_gone_is_deleted_dependents_first(state: RecordedState) -> None:
    """Deletions come last, endpoint before enclave; the key that nobody names any more must be named to go."""
    plan = without("kind: Endpoint").plan(state)
    assert ops(plan) == {"tenant/clinic": "update", "enclave/clinic-cpu": "update", "endpoint/embeddings": "delete"}
    assert [change.direction.value for change in plan.diff.changes] == ["removed"]
    assert plan.actions[-1].steps[0].op is Op.DELETE


def test_destroying_everything_keeps_the_order(state: RecordedState) -> None:
    """A destroy plan deletes every unit, whatever depends on another first, and authorises nothing."""
    plan = Clinic().plan(state, destroy=True)
    order = [action.unit for action in plan.actions]
    assert set(order) == set(ALL)
    for unit in state.units.values():
        assert all(order.index(unit.id) < order.index(need) for need in unit.depends_on)
    assert plan.payload["authorises"] == {}
    assert {loss.effect for loss in plan.losses} == {"withdraws"}
    assert {change.direction.value for change in plan.diff.changes} == {"removed"}
    data = approved(signed(plan), state, BOB, CAROL)
    assert verify_plan(data, state, now=NOW).units == {}


class Shorter(Clinic):
    """The clinic without the documents that hold one of these words."""

    words: tuple[str, ...] = ()

    def text(self) -> str:
        parts = super().text().split("---\n")
        left = "---\n".join(part for part in parts if not any(word in part for word in self.words))
        if "{name: minilm}" in self.words:
            left = re.sub(r"keys: \[\{name: model/minilm[^]]*\]", "keys: []", left)
        return left


def without(*words: str) -> Clinic:
    """The clinic without the documents that hold one of these words."""
    kind = type("Shorter", (Shorter,), {"words": words})
    found = kind()
    assert isinstance(found, Clinic)
    return found


def without_minilm() -> Clinic:
    """The clinic without its model, its endpoint, its grant and its key."""
    return without("kind: Endpoint", "{name: minilm}", "{name: clinic-model}")


def test_destroying_a_key_must_be_asked_for_by_name(state: RecordedState) -> None:
    """A key whose sealed file no document names is lost for ever, so it is protected."""
    with pytest.raises(OperatorError, match=r"QNSP-PLN-022: .*1 artefact unreadable for ever .minilm."):
        without_minilm().plan(state)
    plan = without_minilm().plan(state, destroy_keys=("clinic/model/minilm",))
    assert [(loss.effect, loss.artefacts) for loss in plan.losses] == [("destroys", ("minilm",))]
    assert (
        "DESTROYS key clinic/model/minilm: 1 artefact unreadable for ever (minilm)" in plan.payload["trust"]["rendered"]
    )
    assert "destruction" in {need.reason for need in plan.needs}


def test_a_plan_that_hides_a_destruction_is_refused(state: RecordedState) -> None:
    """What is lost is recomputed against recorded state before anything is applied."""
    from qnsp_policy.kernel.crypto import dsse
    from qnsp_policy.pipeline.trust.rendering import render_trust
    from qnsp_policy.testing.clinic import signer

    plan = without_minilm().plan(state, destroy_keys=("clinic/model/minilm",))
    payload = json.loads(json.dumps(plan.payload))
    payload["recoverability"] = payload["trust"]["destroys"] = []
    payload["approvalsNeeded"] = [need for need in payload["approvalsNeeded"] if need["reason"] != "destruction"]
    payload["trust"]["rendered"] = render_trust(payload["trust"])
    file = json.loads(dsse.sign(dsse.PLAN_TYPE, jcs(payload), signer(ALICE)).to_json()) | {"approvals": []}
    with pytest.raises(PlanRefused, match="QNSP-PLN-018: the plan says something else of what is lost"):
        verify_plan(approved(jcs(file), state, BOB, CAROL), state, now=NOW)


def test_a_target_takes_what_it_depends_on() -> None:
    """Targeting an enclave from nothing also makes its platform, broker and tenant, and nothing else."""
    plan = Clinic().plan(Clinic().genesis(), targets=("Enclave/clinic-cpu",))
    assert set(ops(plan)) == {"platform/lab", "broker/main", "tenant/clinic", "enclave/clinic-cpu"}
    assert {action.unit for action in plan.actions if action.skipped} == {
        "tenant/research",
        "enclave/research-cpu",
        "endpoint/embeddings",
    }
    assert {change.tenant for change in plan.diff.changes} == {"Tenant/clinic"}
    assert [need.reason for need in plan.needs] == ["any change"]


def test_an_excluded_unit_takes_its_dependents_along() -> None:
    """What depends on an excluded unit cannot be made without it."""
    plan = Clinic().plan(Clinic().genesis(), excludes=("tenant/clinic",))
    assert set(ops(plan)) == {"platform/lab", "broker/main", "tenant/research", "enclave/research-cpu"}


def test_what_is_left_out_stays_as_it_is(state: RecordedState) -> None:
    """The units of a targeted plan hold the recorded form of everything else, so its trust diff is exact."""
    clinic = Clinic(change={"microcode: 209": "microcode: 1", "snp: 10": "snp: 1"})
    plan = clinic.plan(state, targets=("tenant/research",))
    assert {change.tenant for change in plan.diff.changes} == {"Tenant/research"}
    assert plan.units["tenant/clinic"].digest == state.units["tenant/clinic"].digest
    verify_plan(approved(signed(plan), state, BOB, CAROL), state, now=NOW)


@pytest.mark.parametrize(
    ("name", "nearest"), [("enclave/clinic-cpus", "enclave/clinic-cpu"), ("Endpoint/embedding", "endpoint/embeddings")]
)
@pytest.mark.parametrize("flag", ["targets", "excludes"])
def test_an_unknown_target_is_an_error(name: str, nearest: str, flag: str) -> None:
    """A typo never reads as "no changes"."""
    with pytest.raises(OperatorError, match="QNSP-PLN-021") as caught:
        Clinic().plan(
            Clinic().genesis(),
            targets=(name,) if flag == "targets" else (),
            excludes=(name,) if flag == "excludes" else (),
        )
    assert caught.value.next_step == f"did you mean {nearest}?"


def test_a_trust_root_is_never_changed_in_part(state: RecordedState) -> None:
    """A plan that judges differently from now on leaves no unit out."""
    with pytest.raises(OperatorError, match="QNSP-PLN-032"):
        Clinic(version=2).plan(state, targets=("tenant/clinic",))


def test_a_broker_keeps_the_trust_root_it_was_made_with(state: RecordedState) -> None:
    """The pin of a broker's process stays; the new TrustRoot reaches it as an object of the approved plan."""
    plan = Clinic(version=2).plan(state)
    before, after = state.units["broker/main"].inputs, plan.units["broker/main"].inputs
    assert after["processes"] == before["processes"]
    changed = [difference.path for difference in differences(before, after)]
    assert changed == ["objects[trust-root/current].digest", "objects[trust-root/current].object.version"]


def test_findings_that_block_are_judged_by_the_level_in_force(state: RecordedState) -> None:
    """A plan with a blocking finding may be looked at and is not applied; a waived one does not block, and none blocks the end of everything."""
    finding = Finding("crypto/x", Severity.HIGH, "Tenant/clinic", ("spec",), Place("a.yaml", 1), "too weak", "fix it")
    changed = Clinic(change={"lease: 12h": "lease: 6h"})
    plan = changed.plan(state, findings=(finding,))
    assert plan.payload["blocking"] == 1
    with pytest.raises(PlanRefused, match="QNSP-PLN-023"):
        verify_plan(approved(signed(plan), state, BOB), state, now=NOW)
    waived = changed.plan(state, findings=(replace(finding, waived_by="Waiver/w"),))
    assert waived.payload["blocking"] == 0
    verify_plan(approved(signed(waived), state, BOB), state, now=NOW)
    gone = Clinic().plan(state, findings=(finding,), destroy=True)
    verify_plan(approved(signed(gone), state, BOB, CAROL), state, now=NOW)


def test_a_missing_sealed_key_is_told_at_its_line() -> None:
    """A file that a document names and nobody found stops the plan where it is named."""
    workspace = Clinic().workspace()
    with pytest.raises(OperatorError, match=r"QNSP-PLN-027: artefacts/minilm.key.json is missing") as caught:
        make_plan(
            workspace,
            effective_grants(workspace),
            Clinic().genesis(),
            FakePreviews(),
            OUTLINES,
            (),
            now=NOW,
            author=ALICE,
        )
    assert caught.value.place is not None
    assert "wrappedKey" in Clinic().text().splitlines()[caught.value.place.line - 1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"version: 1, wrappedKey: artefacts/minilm": "version: 2, wrappedKey: artefacts/minilm"},
            "it is for clinic/model/minilm version 1",
        ),
        (
            {"wrappedKey: artefacts/minilm.key.json": "wrappedKey: artefacts/notes.key.json"},
            "it is for research/data/notes",
        ),
    ],
)
def test_another_key_than_the_one_named(change: dict[str, str], why: str) -> None:
    """A sealed key of another version, or of another tenant, is refused before it can reach a broker."""
    with pytest.raises(OperatorError, match=f"QNSP-PLN-028: .*{why}"):
        Clinic(change=change).plan(Clinic().genesis())


def test_no_private_key_ever_stands_in_a_plan() -> None:
    """Inputs hold public keys, ciphertext, digests and names of files only."""
    plan = Clinic().plan(Clinic().genesis())

    def walk(value: object) -> None:
        if isinstance(value, Mapping):
            assert not ({"d", "priv", "k"} & set(value)), value
            for member in value.values():
                walk(member)
        elif isinstance(value, list | tuple):
            for member in value:
                walk(member)

    walk(plan.payload)


def test_a_lifetime_is_never_longer_than_the_one_in_force(state: RecordedState) -> None:
    """The user may shorten the life of a plan, not lengthen it."""
    assert Clinic().plan(state, lifetime=timedelta(hours=1)).payload["expiresAt"] == "2026-11-21T13:00:00Z"
    assert Clinic().plan(state, lifetime=timedelta(days=9)).payload["expiresAt"] == "2026-11-22T12:00:00Z"


EDITS = {
    "snp: 14": "snp: 15",
    "microcode: 209": "microcode: 115",
    "lease: 12h": "lease: 6h",
    "requestsPerMinute: 600": "requestsPerMinute: 60",
    "size: {members: 2": "size: {members: 3",
    "listen: 127.0.0.1:8443": "listen: 127.0.0.1:9443",
    "maxLease: 24h": "maxLease: 2h",
    "purpose: training": "purpose: evaluation",
    "listen: 127.0.0.1:8555": "listen: 127.0.0.1:8556",
}


@settings(max_examples=25, deadline=None)
@given(
    st.sets(st.sampled_from(sorted(EDITS)), max_size=4),
    st.sampled_from(((), ("tenant/clinic",), ("Enclave/research-cpu",))),
)
def test_nothing_is_left_to_do_after_applying(edits: set[str], targets: tuple[str, ...]) -> None:
    """diff(apply(plan)) is empty, for any edits and any targets once the rest is applied too."""
    recorded = running()
    clinic = Clinic(change={edit: EDITS[edit] for edit in edits})
    first = applied(clinic.plan(recorded, targets=targets), recorded)
    again = clinic.plan(first, targets=targets)
    assert not ops(again)
    assert not again.diff
    rest = applied(clinic.plan(first), first)
    last = clinic.plan(rest)
    assert not last.changes
    assert not last.diff


@settings(max_examples=25, deadline=None)
@given(st.sets(st.sampled_from(sorted(EDITS)), max_size=4))
def test_every_plan_can_be_approved_and_verified(edits: set[str]) -> None:
    """Whatever was edited, what a plan says of itself follows from its units."""
    recorded = running()
    plan = Clinic(change={edit: EDITS[edit] for edit in edits}).plan(recorded)
    if not plan.changes:
        return
    verified = verify_plan(approved(signed(plan), recorded, BOB, CAROL), recorded, now=NOW)
    assert verified.digest == plan.digest
    assert verified.units == plan.units
    assert {name: action.op for name, action in verified.actions.items()} == {a.unit: a.op for a in plan.actions}


def test_a_recorded_unit_is_the_unit_that_was_planned(state: RecordedState) -> None:
    """State keeps enough to say what a unit was, down to its digest."""
    for recorded in state.units.values():
        unit = unit_of(recorded)
        assert unit.digest == recorded.digest
        assert Unit.from_json(json.loads(json.dumps(unit.to_json()))) == unit


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_value_does_not_differ_from_itself(value: object) -> None:
    """differences(x, x) is empty, whatever x is."""
    assert list(differences(value, json.loads(json.dumps(value)))) == []


def test_list_members_are_named_not_numbered() -> None:
    """An inserted member is one difference, wherever it stands."""
    before: dict[str, list[Json]] = {"objects": [{"kind": "tenant", "name": name, "object": {}} for name in ("a", "b")]}
    after = {"objects": [{"kind": "tenant", "name": "new", "object": {}}, *before["objects"]]}
    assert [(d.path, d.op) for d in differences(before, after)] == [("objects[tenant/new]", "add")]
    assert [(d.path, d.op) for d in differences({"a": ["x", "y"]}, {"a": ["y", "z"]})] == [
        ("a[x]", "remove"),
        ("a[z]", "add"),
    ]
    assert [(d.path, d.before, d.after) for d in differences({"a": [1, 2]}, {"a": [1, 3]})] == [("a[1]", 2, 3)]
    assert [d.op for d in differences({"a": True}, {"a": 1})] == ["change"]


def test_a_unit_is_made_anew_when_asked(state: RecordedState) -> None:
    """By its id or its address; the plan says why."""
    plan = Clinic().plan(state, previews=FakePreviews(), replace=("Tenant/clinic",))
    assert ops(plan) == {"tenant/clinic": "replace"}
    assert plan.payload["options"]["replace"] == ["tenant/clinic"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"replace": ("tenant/clinik",)}, "QNSP-PLN-021"),
        ({"replace": ("tenant/clinic",), "excludes": ("tenant/clinic",)}, "QNSP-PLN-033"),
    ],
    ids=["unknown", "left out"],
)
def test_a_unit_that_cannot_be_made_anew_is_an_error(
    state: RecordedState, options: dict[str, tuple[str, ...]], code: str
) -> None:
    """A flag is never ignored."""
    with pytest.raises(OperatorError) as caught:
        Clinic().plan(state, previews=FakePreviews(), **options)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_every_program_says_what_its_units_rest_on() -> None:
    """Simulated hardware proves nothing, and says so beside every plan."""
    payload = Clinic().plan(Clinic().genesis()).payload
    assert payload["restsOn"].keys() == {unit["id"] for unit in payload["units"]}
    assert payload["restsOn"]["enclave/clinic-cpu"]["assurance"] == "simulated"
    assert "PROVES NOTHING" in render_plan(payload)
    assert set(PROGRAMS) == set(_STATEMENTS)
