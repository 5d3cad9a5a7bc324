"""Members of fleets while a plan is applied: waited for once their unit is made, before what depends on it begins.

A fleet whose members do not attest goes back to what was applied before, and those are waited for too. One thing that depends on a fleet
goes first: an endpoint that is made for the first time, for its configuration at the broker is what the members wait for. While it is
made its fleet is watched: where the members are known not to come, it waits no longer for them to answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event as Flag
from threading import Lock, Thread

from qnsp_policy.errors import QnspError
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.command import Processes
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener, where
from qnsp_policy.pipeline.engine.lease import Clock, Lease
from qnsp_policy.pipeline.engine.order import ApplyOrder, Status, UnitOutcome
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.pipeline.plan.values import Action, Op, Unit
from qnsp_policy.pipeline.trust.rollout import FLEETS
from qnsp_policy.pipeline.world.recorded import RecordedState

_GOOD = frozenset({Status.APPLIED, Status.ALREADY})


@dataclass(slots=True)
class _Watch:
    """A wait in a thread of its own, beside the units that its members need.

    Attributes:
        over: ends it.
        error: how it ended, None where every member attested.
    """

    work: Callable[[Flag], None]
    over: Flag = field(default_factory=Flag)
    began: float = field(default_factory=time.monotonic)
    error: BaseException | None = None
    thread: Thread = field(init=False)

    def start(self) -> None:
        self.thread = Thread(target=self._run, name="members", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.work(self.over)
        except BaseException as error:  # noqa: BLE001 - raised again by `join`
            self.error = error

    def join(self) -> None:
        """Wait for its end, and raise what it ended with."""
        self.thread.join()
        if self.error is not None:
            raise self.error


@dataclass(slots=True)
class Members:
    """The fleets of one run.

    Attributes:
        outcomes: of the run's units; a fleet's changes here.
        driver: makes the driver of a unit's stack.
        unattested: fleets whose members did not attest, or are not known to have, and why.
    """

    order: ApplyOrder
    settings: EngineSettings
    lease: Lease
    processes: Processes
    events: Listener
    clock: Clock
    outcomes: dict[str, UnitOutcome]
    driver: Callable[[Unit], StackDriver]
    unattested: dict[str, str] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)
    _first: dict[str, list[str]] = field(default_factory=dict)
    _at_work: dict[str, StackDriver] = field(default_factory=dict)
    _watches: dict[str, _Watch] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, action: Action) -> bool:
        """Whether members are waited for after this."""
        return (
            self.settings.settled is not None
            and action.op is not Op.DELETE
            and "fleet" in self.order.units[action.unit].inputs
        )

    def due(self, begun: Iterable[str], recorded: RecordedState) -> list[Action]:
        """Fleets to wait for: made in this run, or by an interrupted run of this plan."""
        units, made = self.order.units, {*begun, *self.outcomes}
        found = [one for one in self.order.actions if one.unit in made and one.unit not in self._asked and self.of(one)]
        # A broker's members need no endpoint.
        self._first = {one.unit: [] for one in found if units[one.unit].program in FLEETS}
        for other in self.order.actions:
            if other.op in {Op.DELETE, Op.NO_OP} or other.skipped or not units[other.unit].program.endswith("endpoint"):
                continue
            if other.unit not in recorded.units or not recorded.units[other.unit].digest:
                for fleet in units[other.unit].depends_on:
                    if fleet in self._first:
                        self._first[fleet].append(other.unit)
        return found

    def first_endpoints(self, fleet: str) -> Sequence[str]:
        """Endpoints of a fleet that are made for the first time, before its members are waited for; after `due`."""
        return self._first.get(fleet, ())

    def begins(self, unit: str, driver: StackDriver, wave: int) -> None:
        """A unit is about to be made: fleets whose first endpoints are all under way are watched from now on."""
        with self._lock:
            self._at_work[unit] = driver
            for fleet, endpoints in self._first.items():
                made = self.outcomes.get(fleet)
                if (
                    unit in endpoints
                    and fleet not in self._watches
                    and made is not None
                    and made.status in _GOOD
                    and all(one in self._at_work or self._good(one) for one in endpoints)
                    and not self.processes.cancelled.is_set()
                ):
                    watch = _Watch(partial(self._watched, fleet, wave))
                    self._watches[fleet] = watch
                    watch.start()

    def ended(self, unit: str) -> None:
        """A unit came to its end: members of its fleet may never learn what they serve where it did not come to a good one."""
        with self._lock:
            self._at_work.pop(unit, None)
            for fleet, watch in self._watches.items():
                if unit in self._first.get(fleet, ()) and unit in self.outcomes and not self._good(unit):
                    watch.over.set()

    def hopeless(self, unit: Unit) -> str:
        """Why a first endpoint need not be waited for: what is known of its fleet's members; "" where nothing is."""
        with self._lock:
            found = [fleet for fleet in unit.depends_on if unit.id in self._first.get(fleet, ())]
            known = [self.unattested[fleet] for fleet in found if fleet in self.unattested]
        return f"it is waited for no longer: {'; '.join(known)}" if known else ""

    def cancel(self) -> None:
        """End every watch."""
        with self._lock:
            for watch in self._watches.values():
                watch.over.set()

    def wait(self, action: Action, wave: int) -> None:
        """Wait for one fleet's members; where they do not attest, its outcome says so and it goes back."""
        if self.outcomes[action.unit].status not in _GOOD:
            return
        self._asked.add(action.unit)
        begun, made = time.monotonic(), self.outcomes[action.unit]
        watch = self._watches.get(action.unit)
        try:
            if watch is not None:
                begun = watch.began
                watch.join()
            else:
                over = self.processes.cancelled
                if not all(self._good(name) for name in self.first_endpoints(action.unit)):
                    # Members may never learn what they serve: how they stand is told, and nothing waited for.
                    over = Flag()
                    over.set()
                self._settled(action.unit, over, wave)
        except QnspError as error:
            self.unattested.setdefault(action.unit, error.message)
            told = f"{error.message} ({error.next_step})" if error.next_step else error.message
            failure = f"{told}; {self._go_back(action, wave)}"
            ended = replace(made, status=Status.FAILED, outputs={}, error=failure)
            kind, text = EventKind.UNIT_FAILED, failure
        else:
            ended, kind, text = made, EventKind.UNIT_DONE, where(made.outputs)
        seconds = made.seconds + time.monotonic() - begun
        self.outcomes[action.unit] = replace(ended, seconds=seconds)
        self.events(Event(kind, action.unit, op=action.op.value, text=text, wave=wave, seconds=seconds))

    def _good(self, unit: str) -> bool:
        return unit in self.outcomes and self.outcomes[unit].status in _GOOD

    def _watched(self, fleet: str, wave: int, over: Flag) -> None:
        try:
            self._settled(fleet, over, wave)
        except QnspError as error:
            with self._lock:
                self.unattested[fleet] = error.message
                waiting = [self._at_work[one] for one in self._first[fleet] if one in self._at_work]
            if not over.is_set():
                for driver in waiting:
                    driver.give_up()
            raise

    def _settled(self, fleet: str, over: Flag, wave: int, *, back: bool = False) -> None:
        assert self.settings.settled is not None
        held = records.read_unit(self.settings.backend, fleet)

        def tell(text: str) -> None:
            told = f"going back: {text}" if back else text
            self.events(Event(EventKind.MESSAGE, fleet, op=Op.UPDATE.value, text=told, wave=wave))

        self.settings.settled(held.inputs if held else {}, over, tell, back)

    def _go_back(self, action: Action, wave: int) -> str:
        """Apply what was applied before and wait for its members; returns what became of it, in words."""
        before = self.order.back.get(action.unit)
        if before is None or self.processes.cancelled.is_set():
            return "it stays as it is"
        driver = self.driver(Unit(before.id, before.program, dict(before.inputs), before.depends_on))
        # From here on it is neither what it was nor what the plan wants: the same plan must make it again.
        self.lease.check()
        held = records.read_unit(self.settings.backend, action.unit) or before
        records.write_unit(self.settings.backend, replace(held, digest=""))
        try:
            driver.up(refresh=True)
        except QnspError as error:
            return f"going back failed as well: {error.message}"
        deployment = driver.export()
        applied = replace(
            before,
            outputs=deployment.outputs,
            deployment_digest=deployment.digest,
            plan_digest=self.order.plan_digest,
            applied_at=self.clock(),
        )
        self.lease.check()
        records.write_unit(self.settings.backend, replace(applied, digest=""))
        try:
            self._settled(action.unit, self.processes.cancelled, wave, back=True)
        except QnspError as error:
            return f"going back to what was applied before did not come to its end: {error.message}"
        self.lease.check()
        records.write_unit(self.settings.backend, applied)
        emptied = "broker" in before.inputs and not before.inputs.get("sharedStore")
        handed = "; its store is empty: plan again, which hands everything over again" if emptied else ""
        return f"it went back to what was applied before, and every member of that attested{handed}"


__all__ = ["Members"]
