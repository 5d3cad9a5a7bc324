"""A plan that an earlier version signed is still what it was: verified, with the same units and the same authorisations."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from qnsp_policy.errors import PlanRefused
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.plan.envelope import verify_plan
from qnsp_policy.pipeline.trust.authorisation import read_plan_file
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedState
from qnsp_policy.testing.clinic import PEOPLE, signer

GOLDEN = Path(__file__).parents[2] / "goldens" / "plan-v1"
PLAN = (GOLDEN / "plan.json").read_bytes()
READ = json.loads((GOLDEN / "read.json").read_bytes())
NOW = datetime.fromisoformat(READ["verifiedAt"])


def recorded() -> RecordedState:
    """The state it was made on."""
    return RecordedState(Genesis.from_json(json.loads((GOLDEN / "genesis.json").read_bytes())))


def test_a_plan_of_format_1_0_is_verified_and_reads_as_it_did() -> None:
    """Digest, people, units, actions and what brokers are authorised to take."""
    plan = verify_plan(PLAN, recorded(), now=NOW)
    authorisation = plan.authorisation
    assert (plan.digest, authorisation.author) == (READ["digest"], READ["author"])
    assert list(authorisation.approvers) == READ["approvers"]
    assert {unit.id: unit.digest for unit in plan.units.values()} == READ["units"]
    assert {action.unit: action.op.value for action in plan.actions.values()} == READ["actions"]
    assert {broker: dict(objects) for broker, objects in authorisation.objects.items()} == READ["objects"]


@pytest.mark.parametrize("version", ["2.0", "0.9", "", None, 1])
def test_a_plan_of_another_major_version_is_refused(version: object) -> None:
    """Not guessed at, whoever signed it."""
    payload = {**read_plan_file(PLAN).payload, "formatVersion": version}
    envelope = dsse.sign(dsse.PLAN_TYPE, jcs(payload), signer(next(iter(PEOPLE))))
    with pytest.raises(PlanRefused):
        verify_plan(jcs(json.loads(envelope.to_json()) | {"approvals": []}), recorded(), now=NOW)
