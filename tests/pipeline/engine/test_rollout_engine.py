"""A rollout's waves under the real engine: old and new admitted, the fleet replaced and waited for, the old retired."""

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
from qnsp_policy.pipeline.engine.settings import Settled
from qnsp_policy.pipeline.plan.values import Action, Op, PreviewRequest, Unit
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace

pytestmark = pytest.mark.engine

Tell = Callable[[str], None]
HOLDER, FLEET = "enclave/holder", "enclave/fleet"


def holder(text: str) -> Unit:
    """Stands for what holds values: its text says which are admitted."""
    return toys.enclave("holder", toys.process("enclave-holder-0-guest", text=text))


def fleet(text: str) -> Unit:
    """Stands for a fleet whose members are waited for."""
    unit = toys.enclave("fleet", toys.process("enclave-fleet-0-guest", text=text), depends_on=(HOLDER, "platform/lab"))
    return replace(unit, inputs={**unit.inputs, "fleet": {"group": "fleet"}})


def state(toy: ToyWorkspace, unit: str) -> str:
    """The text that a unit was recorded with."""
    found = records.read_unit(toy.settings.backend, unit)
    assert found is not None
    return str(found.inputs["processes"][0]["files"][0]["json"]["text"])


def settled_by(toy: ToyWorkspace, settled: Settled) -> Any:
    return replace(toy.settings, settled=settled)


@pytest.fixture
def order(toy: ToyWorkspace) -> ApplyOrder:
    """Old values and an old fleet are applied; the plan replaces both."""
    first = [toys.platform(), holder("old"), fleet("old")]
    apply(toys.order(toy, first, [toys.create(unit) for unit in first]), settings=toy.settings)
    held = records.read_state(toy.settings.backend).units
    changed = [holder("new"), fleet("new")]
    previews = PulumiPreviews(lambda: toy.settings)
    steps = previews.preview([PreviewRequest(unit, held[unit.id]) for unit in changed])
    actions = [Action(unit.id, Op.UPDATE, steps=steps[unit.id]) for unit in changed]
    made = toys.order(toy, [toys.platform(), *changed], actions)
    return replace(made, between={HOLDER: holder("old and new")}, back={FLEET: held[FLEET]})


def test_old_values_go_when_every_member_attested(toy: ToyWorkspace, order: ApplyOrder) -> None:
    """While members are waited for, both are admitted; afterwards the new ones alone."""
    seen: list[tuple[str, str]] = []

    def settled(inputs: Mapping[str, Any], interrupted: Event, _: Tell, back: bool) -> None:
        assert not back
        assert inputs["fleet"] == {"group": "fleet"}
        assert not interrupted.is_set()
        seen.append((state(toy, HOLDER), state(toy, FLEET)))

    record = apply(order, settings=settled_by(toy, settled))
    assert seen == [("old and new", "new")]
    assert {unit.unit: unit.status for unit in record.units} == {HOLDER: Status.APPLIED, FLEET: Status.APPLIED}
    assert (state(toy, HOLDER), state(toy, FLEET)) == ("new", "new")
    found = records.read_unit(toy.settings.backend, HOLDER)
    assert found is not None
    assert found.digest == order.units[HOLDER].digest


def test_a_fleet_whose_members_do_not_attest_goes_back_and_old_values_stay(
    toy: ToyWorkspace, order: ApplyOrder
) -> None:
    """Others are untouched; the same plan goes on once the cause is mended."""

    def never(inputs: Mapping[str, Any], interrupted: Event, tell: Tell, back: bool) -> None:
        del inputs, interrupted, tell
        if not back:
            raise EngineError("QNSP-APL-016", "a new member did not attest")

    with pytest.raises(ApplyFailed) as caught:
        apply(order, settings=settled_by(toy, never))
    outcomes = {unit.unit: unit for unit in caught.value.record.units}
    assert outcomes[FLEET].status is Status.FAILED
    assert "did not attest; it went back to what was applied before" in outcomes[FLEET].error
    assert outcomes[HOLDER].status is Status.SKIPPED
    assert "stay admitted" in outcomes[HOLDER].error
    assert (state(toy, HOLDER), state(toy, FLEET)) == ("old and new", "old")
    record = apply(order, settings=settled_by(toy, lambda *_: None))
    assert {unit.status for unit in record.units} == {Status.APPLIED}
    assert (state(toy, HOLDER), state(toy, FLEET)) == ("new", "new")


def test_an_interruption_between_the_waves_goes_on(toy: ToyWorkspace, order: ApplyOrder) -> None:
    """The first wave is not made again; the fleet is waited for, although its unit was applied before the interruption."""

    def interrupted(inputs: Mapping[str, Any], event: Event, tell: Tell, back: bool) -> None:
        del inputs, event, tell, back
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(order, settings=settled_by(toy, interrupted))
    assert (state(toy, HOLDER), state(toy, FLEET)) == ("old and new", "new")
    waited: list[str] = []
    record = apply(order, settings=settled_by(toy, lambda inputs, *_: waited.append(inputs["fleet"]["group"])))
    assert waited == ["fleet"]
    assert {unit.unit: unit.status for unit in record.units} == {HOLDER: Status.APPLIED, FLEET: Status.ALREADY}
    assert (state(toy, HOLDER), state(toy, FLEET)) == ("new", "new")


def test_a_fleet_that_could_not_go_back_is_made_again_by_the_same_plan(toy: ToyWorkspace, order: ApplyOrder) -> None:
    """Between new and old it passes for neither: it is not waited for as it stands, and old values are not retired for it."""

    def never(inputs: Mapping[str, Any], interrupted: Event, tell: Tell, back: bool) -> None:
        del inputs, interrupted, tell
        if not back:
            raise EngineError("QNSP-APL-016", "a new member did not attest")

    dies = toys.process("enclave-fleet-0-guest", text="old", script="raise SystemExit('no way back')")
    stuck = replace(order.back[FLEET], inputs={**order.back[FLEET].inputs, "processes": [dies]})
    with pytest.raises(ApplyFailed) as caught:
        apply(replace(order, back={FLEET: stuck}), settings=settled_by(toy, never))
    outcomes = {unit.unit: unit for unit in caught.value.record.units}
    assert "going back failed as well" in outcomes[FLEET].error
    assert "no way back" in outcomes[FLEET].error
    assert outcomes[HOLDER].status is Status.SKIPPED
    found = records.read_unit(toy.settings.backend, FLEET)
    assert found is not None
    assert found.digest == ""
    record = apply(order, settings=settled_by(toy, lambda *_: None))
    assert {unit.unit: unit.status for unit in record.units} == {HOLDER: Status.APPLIED, FLEET: Status.APPLIED}
    assert (state(toy, HOLDER), state(toy, FLEET)) == ("new", "new")
    assert b'"new"' in (toy.folder / ".qnsp/run/cfg/enclave-fleet-0-guest.json").read_bytes()
