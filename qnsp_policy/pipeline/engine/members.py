"""Members of fleets while a plan is applied: waited for once their unit is made, before what depends on it begins.

A fleet whose members do not attest goes back to what was applied before. One thing that depends on a fleet goes first: an endpoint
that is made for the first time, for its configuration at the broker is what the members wait for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event as Flag

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
class Members:
    """The fleets of one run.

    Attributes:
        outcomes: of the run's units; a fleet's changes here.
        driver: makes the driver of a unit's stack.
        unattested: fleets whose members did not attest, or are not known to have.
    """

    order: ApplyOrder
    settings: EngineSettings
    lease: Lease
    processes: Processes
    events: Listener
    clock: Clock
    outcomes: dict[str, UnitOutcome]
    driver: Callable[[Unit], StackDriver]
    unattested: set[str] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)

    def of(self, action: Action) -> bool:
        """Whether members are waited for after this."""
        return (
            self.settings.settled is not None
            and action.op is not Op.DELETE
            and "fleet" in self.order.units[action.unit].inputs
        )

    def due(self, recorded: RecordedState) -> list[Action]:
        """Fleets to wait for now: made, also by an interrupted run of this plan, and with nothing missing that their members need."""
        return [
            action
            for action in self.order.actions
            if action.unit in self.outcomes
            and action.unit not in self._asked
            and self.outcomes[action.unit].status in _GOOD
            and self.of(action)
            and all(name in self.outcomes for name in self._first_endpoints(action, recorded))
        ]

    def wait(self, action: Action, recorded: RecordedState, wave: int) -> None:
        """Wait for one fleet's members; where they do not attest, its outcome says so and it goes back."""
        assert self.settings.settled is not None
        self._asked.add(action.unit)
        begun, held = time.monotonic(), records.read_unit(self.settings.backend, action.unit)
        made, over = self.outcomes[action.unit], self.processes.cancelled
        if any(self.outcomes[name].status not in _GOOD for name in self._first_endpoints(action, recorded)):
            # Members may never learn what they serve: how they stand is told, and nothing waited for.
            over = Flag()
            over.set()

        def tell(text: str) -> None:
            self.events(Event(EventKind.MESSAGE, action.unit, op=action.op.value, text=text, wave=wave))

        try:
            self.settings.settled(held.inputs if held else {}, over, tell)
        except QnspError as error:
            self.unattested.add(action.unit)
            failure = f"{error.message}; {self._go_back(action)}"
            ended = replace(made, status=Status.FAILED, outputs={}, error=failure)
            kind, text = EventKind.UNIT_FAILED, failure
        else:
            ended, kind, text = made, EventKind.UNIT_DONE, where(made.outputs)
        seconds = made.seconds + time.monotonic() - begun
        self.outcomes[action.unit] = replace(ended, seconds=seconds)
        self.events(Event(kind, action.unit, op=action.op.value, text=text, wave=wave, seconds=seconds))

    def _first_endpoints(self, action: Action, recorded: RecordedState) -> Sequence[str]:
        """Endpoints of a fleet that this plan makes for the first time; a broker's members need none."""
        units = self.order.units
        if units[action.unit].program not in FLEETS:
            return []
        return [
            other.unit
            for other in self.order.actions
            if other.op not in {Op.DELETE, Op.NO_OP}
            and not other.skipped
            and units[other.unit].program.endswith("endpoint")
            and action.unit in units[other.unit].depends_on
            and (other.unit not in recorded.units or not recorded.units[other.unit].digest)
        ]

    def _go_back(self, action: Action) -> str:
        """Apply what was applied before; returns what became of it, in words."""
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
        self.lease.check()
        records.write_unit(
            self.settings.backend,
            replace(
                before,
                outputs=deployment.outputs,
                deployment_digest=deployment.digest,
                plan_digest=self.order.plan_digest,
                applied_at=self.clock(),
            ),
        )
        return "it went back to what was applied before"


__all__ = ["Members"]
