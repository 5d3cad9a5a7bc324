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
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace

pytestmark = pytest.mark.engine

Tell = Callable[[str], None]
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

    def run(self, settled: Callable[[str, Flag, Tell], None]) -> ApplyRecord:
        def waited(inputs: Mapping[str, Any], over: Flag, tell: Tell) -> None:
            group = inputs["fleet"]["group"]
            self.told.append(f"waits {group}")
            settled(group, over, tell)

        return apply(self.order, settings=replace(self.toy.settings, settled=waited), events=self._hear)

    def fails(self, settled: Callable[[str, Flag, Tell], None]) -> dict[str, tuple[Status, str]]:
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


def test_a_first_endpoint_goes_before_its_fleets_members(toy: ToyWorkspace) -> None:
    """They wait for its configuration. Where it failed they may never have got it: asked how they stand, and not waited for."""
    nobody = "https://127.0.0.1:1"
    endpoint: dict[str, Any] = {"name": "first", "url": nobody, "tls": {"mode": "in-process"}}
    endpoint |= {"expected": {}, "readinessTimeoutSeconds": 0}
    first = Unit("endpoint/first", "endpoint", {"endpoint": endpoint, "brokers": []}, (GOOD, "platform/lab"))
    story = Story(toy, one("good", fleet=True), first)
    waits: list[bool] = []
    ended = story.fails(lambda _group, over, _tell: waits.append(over.is_set()))
    assert waits == [True]
    assert story.before("failed endpoint/first", f"waits {GOOD}")
    assert ended[GOOD][0] is Status.APPLIED
