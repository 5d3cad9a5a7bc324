"""Two verifiers: a disagreement is a finding, and never resolved towards the laxer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.second_opinion import Opinion, Step, hold_against, steps_of

GOOD: dict[str, Any] = {
    "verdict": "accepted",
    "code": "",
    "step": 0,
    "stepName": "",
    "detail": "",
    "results": {"signature": "ok"},
    "statements": [{"name": "signature", "verdict": "ok", "detail": "by the leaf"}],
}
BAD: dict[str, Any] = {
    "verdict": "refused",
    "code": "QNSP-ATT-NV-019",
    "step": 4,
    "stepName": "signature",
    "detail": "the report is not signed",
}
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["framing", "signature", "rim"]),
        st.sampled_from(["ok", "refused", "not judged"]),
        st.just("d"),
    ),
    max_size=5,
)


def opinion(**steps: str) -> Opinion:
    return Opinion("double 1", "evidence", tuple(Step(name, verdict, "as told") for name, verdict in steps.items()))


def test_agreement() -> None:
    """The verdict stays, with a statement that a second verifier judged it."""
    found = hold_against(GOOD, [opinion(signature="ok", rim="not judged")])
    assert (found["verdict"], found["secondOpinions"][0]["findings"]) == ("accepted", [])
    assert found["results"]["second-opinion"] == "ok"


def test_the_stricter_one_counts() -> None:
    """What the other refuses is refused, with the code of a disagreement and the other's step."""
    found = hold_against(GOOD, [opinion(signature="ok"), opinion(signature="ok", rim="refused")])
    assert (found["verdict"], found["code"], found["stepName"]) == ("refused", "QNSP-ATT-OPI-001", "second-opinion")
    assert "rim" in found["detail"]
    assert found["results"]["second-opinion"] == "refused"


def test_the_laxer_one_changes_nothing_but_is_a_finding() -> None:
    """Where the other passes the very step that ours refuses, ours stands, and the disagreement is told."""
    found = hold_against(BAD, [opinion(framing="ok", signature="ok")])
    assert (found["verdict"], found["code"]) == ("refused", "QNSP-ATT-NV-019")
    assert [one["code"] for one in found["secondOpinions"][0]["findings"]] == ["QNSP-ATT-OPI-002"]
    assert hold_against(BAD, [opinion(signature="refused")])["secondOpinions"][0]["findings"] == []


@pytest.mark.parametrize("answer", [GOOD, BAD])
def test_an_opinion_that_is_not_there_refuses(answer: dict[str, Any]) -> None:
    """It was asked for: without it nothing is accepted."""
    found = hold_against(answer, [Opinion("double 1", "evidence", (), "did not end within 1 s")])
    assert found["verdict"] == "refused"
    assert found["secondOpinions"][0]["findings"][0]["code"] == "QNSP-ATT-OPI-003"


@given(st.lists(STEPS, max_size=3))
def test_never_laxer(several: list[list[Step]]) -> None:
    """Whatever others say, a refusal stays one, and acceptance needs that none of them refuses."""
    opinions = [Opinion("double", "evidence", tuple(steps)) for steps in several]
    assert hold_against(BAD, opinions)["verdict"] == "refused"
    clean = all(steps and all(one.verdict != "refused" for one in steps) for steps in several)
    assert (hold_against(GOOD, opinions)["verdict"] == "accepted") == clean


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "ok",
        [{"step": "rim", "verdict": "fine"}],
        [{"verdict": "ok"}],
        [{"step": 1, "verdict": "ok"}],
        [{"step": "rim", "verdict": "ok", "detail": 1}],
        [{"step": "rim", "verdict": "not judged"}],
        [{"step": "rim", "verdict": "ok"}] * 65,
    ],
)
def test_what_is_no_opinion(value: object) -> None:
    """Another form, an unknown word, or nothing judged at all."""
    assert steps_of(value) is None
