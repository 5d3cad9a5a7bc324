"""A platform on AWS that says it is simulated: what that admits, where it is refused, and that nobody can overlook it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.values import GuardrailKind
from qnsp_policy.testing.aws_examples import initialised, planned, units_of

SAID: Mapping[str, Callable[[str], str]] = {
    "platform.yaml": lambda text: text.replace("  type: aws\n", "  type: aws\n  simulated: true\n")
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return initialised(tmp_path_factory.mktemp("example"), "aws-nitro")


def admitted(plan: Any) -> set[str]:
    """Assurance classes that the release policy of the model admits under its tier."""
    objects = units_of(plan)["tenant/clinic"].inputs["brokers"][0]["objects"]
    (value,) = (
        one["object"] for one in objects if (one["kind"], one["name"]) == ("release-policy", "clinic/model/triage")
    )
    (grant,) = ReleasePolicy.from_json(value).grants
    return {word for rail in grant.guardrails if rail.kind is GuardrailKind.ASSURANCE for word in rail.values}


def test_only_where_it_is_said_does_the_simulator_stand_in(workspace: Path) -> None:
    """Guardrails and trust statements of a rehearsal say so in so many words; of any other platform they say nothing of it."""
    real = planned(workspace)
    assert "simulated" not in admitted(real)
    assert real.payload["restsOn"]["enclave/triage"]["assurance"] == "provider-isolation"
    rehearsed = planned(workspace, changes=SAID)
    assert "simulated" in admitted(rehearsed)
    for unit in ("enclave/triage", "broker/main", "aws-keys/clinic", "endpoint/triage"):
        statement = rehearsed.payload["restsOn"][unit]
        assert statement["assurance"] == "simulated", unit
        assert "PROVES NOTHING" in statement["measured"][0], unit
