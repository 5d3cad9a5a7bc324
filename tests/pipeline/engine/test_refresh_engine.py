"""Refresh under the real engine: the record follows the world, the world stays as it is."""

from __future__ import annotations

import pytest

from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.previews import PulumiPreviews
from qnsp_policy.pipeline.engine.refresh import refresh
from qnsp_policy.pipeline.plan.values import Action, Op, PreviewRequest
from qnsp_policy.pipeline.world.local_edge import LocalReader
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace

pytestmark = pytest.mark.engine


def test_a_process_that_was_stopped_is_found_refreshed_and_made_again(toy: ToyWorkspace) -> None:
    """Drift reads it, refresh records it, plan previews a create, apply makes it; then nothing differs."""
    platform, fleet = toys.platform(), toys.enclave("a", toys.process("enclave-a-0-guest"))
    apply(toys.order(toy, [platform, fleet], [toys.create(platform), toys.create(fleet)]), settings=toy.settings)
    reader = LocalReader(toy.folder)
    state = records.read_state(toy.settings.backend)
    assert reader.observe(state.units).drifted == {}
    scratch = toy.folder / ".qnsp/state/pulumi/.pulumi/stacks/qnsp/enclave.a.json.bak.18ea3222fa429776.tmp"
    scratch.write_bytes(b"{")
    assert [done.result for done in refresh(toy.settings)] == ["unchanged", "unchanged"]
    assert not scratch.exists(), "what a killed engine left half-written goes"

    toy.supervisor().stop("enclave-a-0-guest")
    seen = reader.observe(state.units)
    assert [(item.unit, item.concern.value, item.text) for item in seen.deviations] == [
        ("enclave/a", "availability", "process enclave-a-0-guest does not run")
    ]
    assert [done.result for done in refresh(toy.settings)] == ["changed", "unchanged"]
    assert toy.running() == {}
    state = records.read_state(toy.settings.backend)
    assert state.units["enclave/a"].digest == ""

    steps = PulumiPreviews(lambda: toy.settings).preview([PreviewRequest(fleet, state.units["enclave/a"])])["enclave/a"]
    assert [(step.op, step.step.name) for step in steps] == [(Op.CREATE, "enclave-a-0-guest")]
    apply(toys.order(toy, [platform, fleet], [Action("enclave/a", Op.UPDATE, steps=steps)]), settings=toy.settings)
    state = records.read_state(toy.settings.backend)
    assert state.units["enclave/a"].digest == fleet.digest
    assert reader.observe(state.units).drifted == {}


def test_a_unit_is_made_anew_when_the_plan_says_so(toy: ToyWorkspace) -> None:
    """`--replace`: nothing about it changed, and yet it is another process afterwards."""
    platform, fleet = toys.platform(), toys.enclave("a", toys.process("enclave-a-0-guest"))
    apply(toys.order(toy, [platform, fleet], [toys.create(platform), toys.create(fleet)]), settings=toy.settings)
    before = toy.running()["enclave-a-0-guest"].pid
    apply(toys.order(toy, [platform, fleet], [Action("enclave/a", Op.REPLACE)]), settings=toy.settings)
    assert toy.running()["enclave-a-0-guest"].pid != before
    assert records.read_state(toy.settings.backend).units["enclave/a"].digest == fleet.digest


def test_what_the_world_lost_is_made_anew_as_well(toy: ToyWorkspace) -> None:
    """`--replace` of a unit one of whose processes is gone, as a killed replacement leaves it: created, the other one replaced."""
    platform = toys.platform()
    fleet = toys.enclave("a", toys.process("enclave-a-0-simulator"), toys.process("enclave-a-0-guest"))
    apply(toys.order(toy, [platform, fleet], [toys.create(platform), toys.create(fleet)]), settings=toy.settings)
    before = toy.running()
    toy.supervisor().stop("enclave-a-0-guest")
    apply(toys.order(toy, [platform, fleet], [Action("enclave/a", Op.REPLACE)]), settings=toy.settings)
    after = toy.running()
    assert sorted(after) == sorted(before)
    assert {after[name].pid for name in after}.isdisjoint({report.pid for report in before.values()})
