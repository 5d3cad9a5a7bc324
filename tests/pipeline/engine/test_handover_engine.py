"""What new members of a broker begin without is handed over once they attested, before anything that depends on it; a toy stands for the broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.order import ApplyFailed, ApplyOrder, Status
from qnsp_policy.pipeline.engine.previews import PulumiPreviews
from qnsp_policy.pipeline.plan.values import Action, Op, PreviewRequest, Unit
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace

pytestmark = pytest.mark.engine

BROKER = "enclave/broker"
HELD = "enclave-broker-0-guest"
Tell = Callable[[str], None]


def _broker(text: str, **more: object) -> Unit:
    """A unit with members and something that they hold, which here is a process."""
    unit = toys.enclave("broker", toys.process(HELD, text=text))
    return replace(unit, inputs={**unit.inputs, "fleet": {"group": "broker"}, "broker": {"url": "here"}, **more})


def _order(toy: ToyWorkspace, **more: object) -> ApplyOrder:
    """Applied once; the plan replaces its members."""
    first = [toys.platform(), _broker("old", **more)]
    apply(toys.order(toy, first, [toys.create(unit) for unit in first]), settings=toy.settings)
    held = records.read_state(toy.settings.backend).units
    changed = _broker("new", **more)
    steps = PulumiPreviews(lambda: toy.settings).preview([PreviewRequest(changed, held[BROKER])])[BROKER]
    made = toys.order(toy, [toys.platform(), changed], [Action(BROKER, Op.UPDATE, steps=steps)])
    return replace(made, back={BROKER: held[BROKER]})


@pytest.mark.parametrize(("shared", "again"), [(False, True), (True, False)], ids=["own-store", "database"])
def test_a_broker_has_its_objects_again_when_its_members_attested(
    toy: ToyWorkspace, *, shared: bool, again: bool
) -> None:
    """What went with its old members is made again in the same run; with a store of their own nothing is looked for."""
    order = _order(toy, sharedStore=shared)

    def settled(_inputs: Mapping[str, Any], _interrupted: Event, _tell: Tell, back: bool) -> None:
        assert not back
        toy.supervisor().stop(HELD)

    record = apply(order, settings=replace(toy.settings, settled=settled))
    assert [unit.status for unit in record.units] == [Status.APPLIED]
    assert (HELD in toy.running()) is again
    found = records.read_unit(toy.settings.backend, BROKER)
    assert found is not None
    assert found.digest == order.units[BROKER].digest


def test_a_broker_that_goes_back_says_that_its_store_is_empty(toy: ToyWorkspace) -> None:
    """Its members of before were started anew; what they lack stands in the next plan."""
    order = _order(toy)

    def never(_inputs: Mapping[str, Any], _interrupted: Event, _tell: Tell, back: bool) -> None:
        if not back:
            raise EngineError("QNSP-APL-016", "a new member did not attest")
        toy.supervisor().stop(HELD)

    with pytest.raises(ApplyFailed) as caught:
        apply(order, settings=replace(toy.settings, settled=never))
    (outcome,) = caught.value.record.units
    assert outcome.status is Status.FAILED
    assert "its store is empty: plan again, which hands everything over again" in outcome.error
