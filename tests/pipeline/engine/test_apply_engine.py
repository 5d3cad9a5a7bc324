"""Applying under the real Pulumi engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qnsp_policy.errors import LockHeld, PlanRefused
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.lease import Lease
from qnsp_policy.pipeline.engine.order import ApplyFailed, Status
from qnsp_policy.pipeline.engine.previews import PulumiPreviews
from qnsp_policy.pipeline.plan.values import Action, Op, PreviewRequest
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace

pytestmark = pytest.mark.engine


def test_a_process_is_created_updated_and_destroyed(toy: ToyWorkspace) -> None:
    """The whole life of a unit: what was planned runs, what changed is restarted, what was deleted is gone."""
    platform, fleet = (
        toys.platform(),
        toys.enclave("a", toys.process("enclave-a-0-simulator"), toys.process("enclave-a-0-guest")),
    )
    first = apply(
        toys.order(toy, [platform, fleet], [toys.create(platform), toys.create(fleet)]), settings=toy.settings
    )
    assert [(unit.unit, unit.status) for unit in first.units] == [
        ("enclave/a", Status.APPLIED),
        ("platform/lab", Status.APPLIED),
    ]
    running = toy.running()
    assert sorted(running) == ["enclave-a-0-guest", "enclave-a-0-simulator"]
    state = records.read_state(toy.settings.backend)
    assert state.serial == 1
    assert state.units["enclave/a"].digest == fleet.digest
    assert state.units["enclave/a"].outputs["members"][0]["pid"] == running["enclave-a-0-simulator"].pid

    changed = toys.enclave("a", toys.process("enclave-a-0-simulator", text="new"), toys.process("enclave-a-0-guest"))
    steps = PulumiPreviews(lambda: toy.settings).preview([PreviewRequest(changed, state.units["enclave/a"])])[
        "enclave/a"
    ]
    assert [(step.op, step.step.name, step.properties) for step in steps] == [
        (Op.UPDATE, "enclave-a-0-simulator", ("files", "filesDigest"))
    ]
    assert set(steps[0].step.security) == {"argv", "env", "filesDigest"}
    apply(toys.order(toy, [platform, changed], [Action("enclave/a", Op.UPDATE, steps=steps)]), settings=toy.settings)
    after = toy.running()
    assert after["enclave-a-0-guest"].pid == running["enclave-a-0-guest"].pid
    assert after["enclave-a-0-simulator"].pid != running["enclave-a-0-simulator"].pid

    apply(toys.order(toy, [], [toys.delete(platform), toys.delete(changed)]), settings=toy.settings)
    assert toy.running() == {}
    assert records.read_state(toy.settings.backend).units == {}
    assert toy.supervisor().ping() is None


def test_the_wait_for_a_new_broker_is_told(toy: ToyWorkspace) -> None:
    """Its members boot for minutes where nobody hears them: where it is waited for and how long, before it begins; a change says nothing."""
    platform, fleet = toys.platform(), toys.enclave("a", toys.process("enclave-a-0-guest"))
    waits = {"broker": {"url": "https://broker.example:8555", "waitSeconds": 1200}}
    broker = replace(fleet, inputs={**fleet.inputs, **waits})
    told = list[str]()
    order = toys.order(toy, [platform, broker], [toys.create(platform), toys.create(broker)])
    apply(order, settings=toy.settings, events=lambda event: told.append(event.text))
    said = [text for text in told if "waited for at https://broker.example:8555, 20 min at most" in text]
    assert len(said) == 1
    end = toys.order(toy, [], [toys.delete(platform), toys.delete(broker)])
    apply(end, settings=toy.settings, events=lambda event: told.append(event.text))
    assert [text for text in told if "waited for at" in text] == said


def test_a_failed_unit_leaves_the_rest_and_is_resumed(toy: ToyWorkspace) -> None:
    """What failed is named, what depends on it is not started, and the same plan goes on when the cause is mended."""
    platform = toys.platform()
    gate = toy.folder / "gate"
    script = (
        "import sys,pathlib,time\nif not pathlib.Path('gate').exists(): sys.exit('no gate')\n" + toys.READY_THEN_SLEEP
    )
    good = toys.enclave("good", toys.process("enclave-good-0-guest"))
    bad = toys.enclave("bad", toys.process("enclave-bad-0-guest", script=script))
    late = toys.enclave("late", toys.process("enclave-late-0-guest"), depends_on=("enclave/bad", "platform/lab"))
    units = [platform, good, bad, late]
    order = toys.order(toy, units, [toys.create(unit) for unit in units])
    with pytest.raises(ApplyFailed, match="no gate") as failure:
        apply(order, settings=toy.settings)
    assert {unit.unit: unit.status for unit in failure.value.record.units} == {
        "platform/lab": Status.APPLIED,
        "enclave/good": Status.APPLIED,
        "enclave/bad": Status.FAILED,
        "enclave/late": Status.SKIPPED,
    }
    state = records.read_state(toy.settings.backend)
    assert state.units["enclave/bad"].digest == ""
    assert "enclave/late" not in state.units

    gate.touch()
    record = apply(order, settings=toy.settings)
    assert {unit.unit: unit.status for unit in record.units} == {
        "platform/lab": Status.ALREADY,
        "enclave/good": Status.ALREADY,
        "enclave/bad": Status.APPLIED,
        "enclave/late": Status.APPLIED,
    }
    assert len(toy.running()) == 3
    with pytest.raises(PlanRefused, match="this very plan was applied"):
        apply(order, settings=toy.settings)


def test_steps_that_the_plan_does_not_hold_are_refused_before_anything_changes(toy: ToyWorkspace) -> None:
    """A plan whose outline lacks a resource, or shows another command, is refused and leaves no state."""
    platform, fleet = (
        toys.platform(),
        toys.enclave("a", toys.process("enclave-a-0-simulator"), toys.process("enclave-a-0-guest")),
    )
    whole = toys.create(fleet)
    short = replace(whole, steps=whole.steps[:1])
    with pytest.raises(PlanRefused, match="enclave-a-0-guest is not in the plan"):
        apply(toys.order(toy, [platform, fleet], [toys.create(platform), short]), settings=toy.settings)
    other = replace(
        whole.steps[0], step=replace(whole.steps[0].step, security={**whole.steps[0].step.security, "argv": ["sh"]})
    )
    bent = replace(whole, steps=(other, *whole.steps[1:]))
    with pytest.raises(PlanRefused, match="argv is another than in the plan"):
        apply(toys.order(toy, [platform, fleet], [toys.create(platform), bent]), settings=toy.settings)
    state = records.read_state(toy.settings.backend)
    assert (state.serial, state.units) == (0, {})
    assert toy.running() == {}


def test_two_applies_at_once(toy: ToyWorkspace) -> None:
    """The second is told who holds the lease, and changes nothing."""
    platform = toys.platform()
    order = toys.order(toy, [platform], [toys.create(platform)])
    with Lease.acquire(toy.settings.backend, purpose="another apply"), pytest.raises(LockHeld, match="another apply"):
        apply(order, settings=toy.settings)
    assert apply(order, settings=toy.settings).serial == 1
