"""When members of fleets are waited for under the real engine: after their unit, before what depends on it; toys stand for fleets."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import _base as futures
from dataclasses import replace
from threading import Event as Flag
from typing import Any

import pytest

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.events import Event, EventKind
from qnsp_policy.pipeline.engine.order import ApplyFailed, ApplyOrder, ApplyRecord, Status
from qnsp_policy.pipeline.engine.programs import outlines
from qnsp_policy.pipeline.engine.waves import begin_after
from qnsp_policy.pipeline.plan.values import Action, Op, PlannedStep, Unit
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace

pytestmark = pytest.mark.engine

Tell = Callable[[str], None]
Settle = Callable[[str, Flag, Tell], None]
GOOD, BAD = "enclave/good", "enclave/bad"


def one(name: str, *depends: str, fleet: bool = False) -> Unit:
    """A unit of one process; a fleet's members are waited for."""
    unit = toys.enclave(name, toys.process(f"enclave-{name}-0-guest"), depends_on=("platform/lab", *depends))
    return replace(unit, inputs={**unit.inputs, "fleet": {"group": unit.id}}) if fleet else unit


class Story:
    """A run: what happened, in order."""

    def __init__(self, toy: ToyWorkspace, *units: Unit) -> None:
        self.toy, self.told = toy, list[str]()
        made = [toys.platform(), *units]
        self.order: ApplyOrder = toys.order(toy, made, [toys.create(unit) for unit in made])

    def run(self, settled: Settle) -> ApplyRecord:
        def waited(inputs: Mapping[str, Any], over: Flag, tell: Tell, back: bool) -> None:
            group = inputs["fleet"]["group"]
            self.told.append(f"{'waits again' if back else 'waits'} {group}")
            settled(group, over, tell)

        return apply(self.order, settings=replace(self.toy.settings, settled=waited), events=self._hear)

    def fails(self, settled: Settle) -> dict[str, tuple[Status, str]]:
        with pytest.raises(ApplyFailed) as caught:
            self.run(settled)
        return {unit.unit: (unit.status, unit.error) for unit in caught.value.record.units}

    def before(self, first: str, second: str) -> bool:
        return self.told.index(first) < self.told.index(second)

    def _hear(self, event: Event) -> None:
        if event.unit and event.kind is not EventKind.STEP_STARTED:
            self.told.append(f"{event.kind.value.removeprefix('unit-')} {event.unit}")


def attest(_group: str, _over: Flag, tell: Tell) -> None:
    """Every member did."""
    tell("1 of 1 members attested")


def bad_ones_never(group: str, _over: Flag, _tell: Tell) -> None:
    """Members of one fleet do not."""
    if group == BAD:
        raise EngineError("QNSP-APL-016", "a new member did not attest")


def test_what_depends_on_a_fleet_begins_when_its_members_attested(toy: ToyWorkspace) -> None:
    """The wait is part of the fleet's unit: told while it lasts, and the unit is done when it is over."""
    story = Story(toy, one("good", fleet=True), one("user", GOOD))
    record = story.run(attest)
    assert {unit.status for unit in record.units} == {Status.APPLIED}
    mine = [text for text in story.told if GOOD in text and not text.startswith("step-")]
    assert mine == [f"started {GOOD}", f"waits {GOOD}", f"message {GOOD}", f"done {GOOD}"]
    assert story.before(f"done {GOOD}", "started enclave/user")


def test_of_two_fleets_one_never_attests_and_the_other_goes_on(toy: ToyWorkspace) -> None:
    """What depends on it is not begun and says why; what does not is applied to its end. Then the same plan goes on."""
    users = (one("of-good", GOOD), one("of-bad", BAD), one("apart"))
    story = Story(toy, one("good", fleet=True), one("bad", fleet=True), *users)
    ended = story.fails(bad_ones_never)
    assert ended[BAD] == (Status.FAILED, "a new member did not attest; it stays as it is")
    assert ended["enclave/of-bad"] == (Status.SKIPPED, f"it depends on {BAD}, whose members did not attest")
    fine = {name for name, (status, _) in ended.items() if status is Status.APPLIED}
    assert fine == {"platform/lab", GOOD, "enclave/of-good", "enclave/apart"}
    assert "started enclave/of-bad" not in story.told
    assert f"done {BAD}" not in story.told
    story.told.clear()
    record = story.run(attest)
    assert {unit.status for unit in record.units} == {Status.APPLIED, Status.ALREADY}
    assert story.before(f"waits {BAD}", "started enclave/of-bad")


def test_an_interrupted_wait_is_made_again_before_what_depends_on_the_fleet(toy: ToyWorkspace) -> None:
    """The fleet is recorded, so its unit is not made again; nothing was begun behind its back."""

    def interrupted(_group: str, _over: Flag, _tell: Tell) -> None:
        raise KeyboardInterrupt

    story = Story(toy, one("good", fleet=True), one("user", GOOD))
    with pytest.raises(KeyboardInterrupt):
        story.run(interrupted)
    assert records.read_unit(toy.settings.backend, "enclave/user") is None
    story.told.clear()
    record = story.run(attest)
    assert record.takeover == ""
    assert {unit.unit: unit.status for unit in record.units}[GOOD] is Status.ALREADY
    assert story.before(f"waits {GOOD}", "started enclave/user")
    assert f"started {GOOD}" not in story.told


def test_ctrl_c_ends_the_wait_at_once(toy: ToyWorkspace) -> None:
    """Not when the members' time is over; what was made is recorded, and the lease is free."""
    main, ended = threading.get_ident(), list[bool]()

    def pressed(_group: str, over: Flag, _tell: Tell) -> None:
        while not any(
            step.filename == futures.__file__ for step in traceback.extract_stack(sys._current_frames()[main])
        ):
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)
        ended.append(over.wait(600))
        raise EngineError("QNSP-APL-017", "it is not known that the members attested")

    story = Story(toy, one("good", fleet=True), one("user", GOOD))
    with pytest.raises(KeyboardInterrupt):
        story.run(pressed)
    assert ended == [True]
    assert "started enclave/user" not in story.told
    record = story.run(attest)
    assert record.takeover == ""
    assert {unit.unit: unit.status for unit in record.units}[GOOD] is Status.ALREADY


def endpoint(name: str, fleet: str, seconds: int) -> Unit:
    """An endpoint that nobody serves."""
    wanted: dict[str, Any] = {"name": name, "url": "https://127.0.0.1:1", "tls": {"mode": "in-process"}}
    wanted |= {"expected": {}, "readinessTimeoutSeconds": seconds}
    return Unit(f"endpoint/{name}", "endpoint", {"endpoint": wanted, "brokers": []}, (fleet, "platform/lab"))


def test_a_first_endpoint_goes_before_its_fleets_members(toy: ToyWorkspace) -> None:
    """They wait for its configuration, and are watched while it is made. Where it failed they may never have got it: not waited for."""

    def until_it_is_over(_group: str, over: Flag, _tell: Tell) -> None:
        assert over.wait(600)

    story = Story(toy, one("good", fleet=True), endpoint("first", GOOD, 0))
    ended = story.fails(until_it_is_over)
    assert story.before("started endpoint/first", f"waits {GOOD}")
    assert story.before("failed endpoint/first", f"done {GOOD}")
    assert ended[GOOD][0] is Status.APPLIED


def test_a_new_fleet_that_never_comes_up_is_told_at_once_and_its_endpoint_is_not_waited_for(toy: ToyWorkspace) -> None:
    """The endpoint would wait ten minutes for an answer; it ends with the reason that its fleet's members gave."""
    began = time.monotonic()
    story = Story(toy, one("bad", fleet=True), endpoint("first", BAD, 600), one("apart"))
    ended = story.fails(bad_ones_never)
    assert time.monotonic() - began < 300
    assert ended[BAD] == (Status.FAILED, "a new member did not attest; it stays as it is")
    status, why = ended["endpoint/first"]
    assert status is Status.FAILED
    assert why.startswith("it is waited for no longer: a new member did not attest")
    assert ended["enclave/apart"][0] is Status.APPLIED


def test_units_that_do_not_depend_on_a_fleet_do_not_wait_for_its_members(toy: ToyWorkspace) -> None:
    """One that stands two waves behind is applied while members are still waited for."""

    def until_the_other_is_done(_group: str, over: Flag, _tell: Tell) -> None:
        while "done enclave/second" not in story.told:
            assert not over.wait(0.02)

    story = Story(toy, one("good", fleet=True), one("first"), one("second", "enclave/first"), one("user", GOOD))
    story.run(until_the_other_is_done)
    assert story.before("done enclave/second", f"done {GOOD}")
    assert story.before(f"done {GOOD}", "started enclave/user")


@pytest.mark.parametrize("ends", [True, False])
def test_a_fleet_that_goes_back_is_waited_for_as_well(toy: ToyWorkspace, *, ends: bool) -> None:
    """Only when the members of before attested it is said that it went back; else what became of it, and it is made again."""
    fleet = one("bad", fleet=True)
    Story(toy, fleet).run(attest)
    held = records.read_state(toy.settings.backend).units[BAD]
    new = replace(fleet, inputs={**fleet.inputs, "processes": [toys.process("enclave-bad-0-guest", "new")]})

    def never(_group: str, _over: Flag, _tell: Tell) -> None:
        if not ends or not story.told[-1].startswith("waits again"):
            raise EngineError("QNSP-APL-016", f"no member attested ({story.told[-1]})")

    story = Story(toy, fleet)
    change = Action(BAD, Op.UPDATE, steps=tuple(PlannedStep(Op.UPDATE, step) for step in outlines()["enclave"](new)))
    story.order = replace(toys.order(toy, [toys.platform(), new], [change]), back={BAD: held})
    status, said = story.fails(never)[BAD]
    assert status is Status.FAILED
    after = records.read_state(toy.settings.backend).units[BAD]
    if ends:
        assert said.endswith("it went back to what was applied before, and every member of that attested")
        assert after.digest == held.digest
    else:
        assert said.endswith(f"did not come to its end: no member attested (waits again {BAD})")
        assert after.digest == ""
    assert after.inputs == held.inputs


def test_what_begins_when_is_told_by_dependencies_alone() -> None:
    """Changes, a wait behind its fleet and its first endpoint, deletions behind everything and against their order."""
    changes = {"p": (), "f": ("p",), "e": ("f", "p"), "u": ("f", "elsewhere")}
    after = begin_after(changes, {"f": ("e",)}, {"base": ("elsewhere",), "user": ("base",)})
    assert after == [set(), {0}, {1, 0}, {1, 4}, {1, 2}, {0, 1, 2, 3, 4}, {5, 7}, {5}]
