"""The trust diff on real documents: direction, explanation and the line that causes each change."""

from __future__ import annotations

import pytest

from qnsp_policy.pipeline.trust.diff import Direction, TrustChange, TrustDiff, trust_diff
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.pipeline.trust.release_policy import release_policies
from qnsp_policy.testing.clinic import Clinic

MODEL = "clinic/model/minilm"


def diff_of(change: dict[str, str] | None = None, *, base: Clinic | None = None, **more: str) -> TrustDiff:
    """From the clinic to the clinic with a change."""
    head = Clinic(change=change or {}, **more)  # type: ignore[arg-type]
    return trust_diff(effective_grants((base or Clinic()).workspace()), effective_grants(head.workspace()))


def about(diff: TrustDiff, resource: str = MODEL) -> TrustChange:
    """The one change of a resource."""
    (found,) = [change for change in diff.changes if change.resource == resource]
    return found


SECOND = """
    - measurements: {measurement: "@other@", hostData: "@h-clinic@"}
      floors: {bootloader: 3, snp: 14, microcode: 209}
      policy: {debug: false, smt: true}
      vmpl: 0
""".replace("@other@", "ab" * 48)

DIRECTIONS = {
    "a floor raised": ({"snp: 14": "snp: 15"}, Direction.STRENGTHENED, "snp floor 14 -> 15"),
    "a floor lowered": ({"microcode: 209": "microcode: 115"}, Direction.WEAKENED, "microcode floor 209 -> 115"),
    "a floor dropped": ({"snp: 14, ": ""}, Direction.WEAKENED, "snp floor 14 -> none"),
    "one floor up, one down": (
        {"snp: 14, microcode: 209": "snp: 15, microcode: 1"},
        Direction.MIXED,
        "microcode floor 209 -> 1",
    ),
    "a longer lease": ({"lease: 12h": "lease: 13h"}, Direction.WEAKENED, "lease 12h -> 13h"),
    "a shorter lease": ({"lease: 12h": "lease: 11h"}, Direction.STRENGTHENED, "lease 12h -> 11h"),
    "a lease beyond the tier's": (
        {"lease: 12h": "lease: 90h"},
        Direction.WEAKENED,
        "lease 12h -> 24h",
    ),
    "debug allowed": (
        {"policy: {debug: false, smt": "policy: {debug: true, smt"},
        Direction.MIXED,
        "policy.debug false -> true",
    ),
    "a flag left open": (
        {"policy: {debug: false, smt: true}": "policy: {debug: false}"},
        Direction.WEAKENED,
        "policy.smt true -> none",
    ),
    "a second measurement": ({"      vmpl: 0\n": "      vmpl: 0" + SECOND}, Direction.WEAKENED, "alternative none ->"),
    "reference values that last longer": (
        {
            "expires: 2027-05-21\n  covers: {firmware: measurement, kernel": "expires: 2027-06-21\n  covers: {firmware: measurement, kernel"
        },
        Direction.WEAKENED,
        "end of the reference values 2027-05-21T23:59:59Z -> 2027-06-21T23:59:59Z",
    ),
    "another purpose": (
        {"purpose: inference": "purpose: evaluation"},
        Direction.MIXED,
        "purpose inference -> evaluation",
    ),
    "an end": (
        {"lease: 12h": "lease: 12h\n  notAfter: 2027-01-01"},
        Direction.STRENGTHENED,
        "end of the grant none -> 2027-01-01T23:59:59Z",
    ),
    "a stricter tier": ({"maxLease: 24h": "maxLease: 1h"}, Direction.STRENGTHENED, "lease 12h -> 1h"),
    "a wrapping algorithm more": (
        {"kem: {allowed: [ML-KEM-768, X-Wing]": "kem: {allowed: [ML-KEM-768, ML-KEM-1024, X-Wing]"},
        Direction.WEAKENED,
        "wrapping admitted",
    ),
    "another class of attester": (
        {"assurance: {cpu: [hardware-tee]}": "assurance: {cpu: [hardware-tee, measured-boot]}"},
        Direction.WEAKENED,
        "assurance admitted",
    ),
    "a grace": (
        {"lease: 12h": "lease: 12h\n  appraisal: {grace: {until: 2026-12-01, floors: {snp: 1}, reason: late}}"},
        Direction.WEAKENED,
        "alternative none ->",
    ),
    "a rule of one's own": (
        {"lease: 12h": "lease: 12h\n  appraisal: {rego: own.rego}"},
        Direction.MIXED,
        "rule of your own",
    ),
    "something to be checked": (
        {"lease: 12h": "lease: 12h\n  appraisal: {requireChecked: [revocation]}"},
        Direction.STRENGTHENED,
        "statements that must be checked",
    ),
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_the_direction_of_a_change(name: str) -> None:
    """One edit, its direction, the words for it, and a place in the file."""
    change, direction, words = DIRECTIONS[name]
    found = about(diff_of(change))
    assert found.direction is direction
    assert any(words in str(line) for line in found.lines), [str(line) for line in found.lines]
    assert found.place.file == "qnsp.yaml"
    assert found.place.line > 1
    assert found.weakens is (direction in {Direction.WEAKENED, Direction.MIXED})


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_change_and_its_opposite(name: str) -> None:
    """What weakens one way strengthens the other way, and mixed stays mixed."""
    change, direction, _ = DIRECTIONS[name]
    opposite = {Direction.WEAKENED: Direction.STRENGTHENED, Direction.STRENGTHENED: Direction.WEAKENED}
    head = effective_grants(Clinic(change=change).workspace())
    back = trust_diff(head, effective_grants(Clinic().workspace()))
    assert about(back).direction is opposite.get(direction, direction)


def test_the_line_that_causes_it() -> None:
    """A lowered floor points at the alternative in the reference values, a lease at the grant's field."""
    text = Clinic().text().splitlines()
    floor = about(diff_of({"microcode: 209": "microcode: 115"})).place.line
    assert "measurements" in text[floor - 1]
    assert text[about(diff_of({"lease: 12h": "lease: 13h"})).place.line - 1].strip() == "lease: 12h"


def test_an_unrelated_edit_changes_no_trust() -> None:
    """Descriptions, labels, quotas and the order of documents are not trust."""
    diff = diff_of(
        {
            "requestsPerMinute: 600": "requestsPerMinute: 60",
            "metadata: {name: clinic-cpu}": "metadata: {name: clinic-cpu, labels: {a: b}}",
        }
    )
    assert not diff
    assert diff.unchanged == 3


OTHER_CODE = {b"clinic".hex().ljust(96, "0"): "cd" * 48, "@m-clinic@": "cd" * 48}
MEASURED = {"@m-clinic@": "cd" * 48}


def test_other_code_that_its_inputs_explain() -> None:
    """Same conditions, another measurement, another command line: replaced, with what changed."""
    found = about(diff_of(MEASURED | {'cmdline: "console=ttyS0"': 'cmdline: "console=ttyS1"'}))
    assert (found.direction, found.unexplained, found.weakens) == (Direction.REPLACED, False, False)
    assert [str(cause) for cause in found.causes] == ["cmdline console=ttyS0 -> console=ttyS1"]


def test_other_code_that_nothing_explains() -> None:
    """The same inputs cannot give another measurement: unexplained, and it counts as weakened."""
    found = about(diff_of(MEASURED))
    assert (found.direction, found.unexplained, found.weakens) == (Direction.REPLACED, True, True)


def test_naming_another_tool_explains_nothing() -> None:
    """Other code must come from another input; the tool that computed it is none."""
    found = about(
        diff_of(
            MEASURED
            | {
                'vcpus: 2, tool: simulator}\n  builders: [lab@research.example]\n  alternatives:\n    - measurements: {measurement: "cd': 'vcpus: 2, tool: other}\n  builders: [lab@research.example]\n  alternatives:\n    - measurements: {measurement: "cd'
            }
        )
    )
    assert found.unexplained


def test_other_initdata_is_explained_by_the_documents() -> None:
    """The initdata is computed, so a changed one is explained by itself and by nothing the author says."""
    found = about(diff_of({"listen: 127.0.0.1:8555": "listen: 127.0.0.1:8556"}))
    assert (found.direction, found.unexplained) == (Direction.REPLACED, False)
    assert [cause.subject for cause in found.causes] == ["initdata"]


def test_a_command_line_does_not_explain_other_initdata() -> None:
    """`hostData` that is not the digest of the documents' initdata stays unexplained."""
    found = about(diff_of({"@h-clinic@": "ef" * 32, 'cmdline: "console=ttyS0"': 'cmdline: "console=ttyS1"'}))
    assert found.unexplained


def test_learnt_values_explain_nothing() -> None:
    """Values that were taken from evidence (trust on first use) never count as explained."""
    change = MEASURED | {
        'cmdline: "console=ttyS0"': 'cmdline: "console=ttyS1"',
        "state: active\n  expires: 2027-05-21\n  covers: {firmware: measurement, kernel": "state: active\n  origin: trust-on-first-use\n  expires: 2027-05-21\n  covers: {firmware: measurement, kernel",
    }
    assert about(diff_of(change)).unexplained


def test_new_reference_values_under_another_name() -> None:
    """A new document with other code and the same conditions is compared with the one it follows."""
    change = {
        "metadata: {name: clinic-1}": "metadata: {name: clinic-2}",
        "referenceValues: ReferenceValues/clinic-1": "referenceValues: ReferenceValues/clinic-2",
        'cmdline: "console=ttyS0"': 'cmdline: "console=ttyS1"',
    } | MEASURED
    found = about(diff_of(change))
    assert (found.direction, found.unexplained) == (Direction.REPLACED, False)
    renamed = {name: text for name, text in change.items() if "ReferenceValues" in text or "metadata" in text}
    assert about(diff_of(renamed)).direction is Direction.NEUTRAL


def test_other_code_under_weaker_conditions_is_mixed() -> None:
    """An explanation of the code does not excuse a lower floor."""
    found = about(diff_of(MEASURED | {'cmdline: "console=ttyS0"': 'cmdline: "x"', "snp: 14": "snp: 13"}))
    assert found.direction is Direction.MIXED
    assert found.weakens


def test_other_code_under_stricter_conditions_is_replaced() -> None:
    """New code that must meet more is told as new code."""
    found = about(diff_of(MEASURED | {'cmdline: "console=ttyS0"': 'cmdline: "x"', "snp: 14": "snp: 15"}))
    assert found.direction is Direction.REPLACED
    assert not found.weakens


def test_an_enclave_more_and_an_enclave_less() -> None:
    """Whoever gains or loses a key is a line of its own with the conditions."""
    diff = diff_of({"to: [Enclave/clinic-cpu]": "to: [Enclave/research-cpu]"})
    found = {(change.enclave, change.resource): change.direction for change in diff.changes}
    assert found == {
        ("Enclave/clinic-cpu", MODEL): Direction.REMOVED,
        ("Enclave/clinic-cpu", "clinic/endpoint/embeddings"): Direction.REMOVED,
        ("Enclave/research-cpu", MODEL): Direction.ADDED,
    }
    assert all("snp>=" in change.conditions for change in diff.changes)


def test_two_grants_for_one_key_are_alternatives() -> None:
    """A second grant with stricter conditions admits nothing more: words change, trust does not weaken."""
    second = """---
apiVersion: qnsp.policy/v1
kind: Grant
metadata: {name: second}
spec:
  resources: [clinic/model/minilm]
  broker: KeyBroker/main
  to: [Enclave/clinic-cpu]
  purpose: inference
  lease: @lease@
  consent: [alice@clinic.example]
"""
    narrower = about(diff_of(more=second.replace("@lease@", "1h")))
    assert narrower.direction is Direction.NEUTRAL
    wider = about(diff_of(more=second.replace("@lease@", "20h")))
    assert wider.direction is Direction.WEAKENED


def test_the_base_may_be_read_back_from_policies() -> None:
    """Policies that were applied give the same diff as the documents they came from."""
    base = [
        grant for policy in release_policies(effective_grants(Clinic().workspace())).values() for grant in policy.grants
    ]
    head = effective_grants(Clinic(change={"snp: 14": "snp: 1"}).workspace())
    direct = trust_diff(effective_grants(Clinic().workspace()), head)
    assert trust_diff(base, head).to_json() == direct.to_json()
