"""Refresh: what the world says becomes the recorded state; nothing in the world is changed.

A unit whose resources are not what was applied keeps what still holds and loses its digest, so that the next plan
previews it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from qnsp_policy.errors import QnspError
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import utc_now
from qnsp_policy.pipeline.engine.command import Processes, together
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener, ignore
from qnsp_policy.pipeline.engine.host import EngineHost
from qnsp_policy.pipeline.engine.lease import Clock, Lease
from qnsp_policy.pipeline.engine.programs import outlines
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.world.recorded import RecordedUnit


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of one unit's record.

    Attributes:
        result: unchanged, changed or failed.
        error: why it failed, "" otherwise; its record is as it was.
    """

    unit: str
    result: str
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"unit": self.unit, "result": self.result, "error": self.error}


def refresh(
    settings: EngineSettings, *, events: Listener = ignore, clock: Clock = utc_now, lock_timeout: float = 0.0
) -> tuple[Refreshed, ...]:
    """Read every applied unit back through the engine and record what it says.

    Raises:
        LockHeld: somebody else holds the lease.
        OperatorError: QNSP-PLN-001, there is no genesis record.
    """
    with (
        Lease.acquire(settings.backend, purpose="refresh", wait_seconds=lock_timeout, clock=clock) as lease,
        EngineHost() as host,
    ):
        recorded = records.read_state(settings.backend)
        recorded.judge()
        settings.backend.drop_scratch()
        processes = Processes(lease.owns, lease.disown, host.cancel)

        def one(unit: RecordedUnit) -> Refreshed:
            begun = time.monotonic()
            events(Event(EventKind.UNIT_STARTED, unit.id, op="refresh"))
            try:
                done = _refresh(unit, StackDriver(settings, _unit(unit), processes, events, host), lease, settings)
            except (QnspError, OSError) as error:
                events(
                    Event(
                        EventKind.UNIT_FAILED, unit.id, op="refresh", text=str(error), seconds=time.monotonic() - begun
                    )
                )
                return Refreshed(unit.id, "failed", str(error))
            events(Event(EventKind.UNIT_DONE, unit.id, op="refresh", seconds=time.monotonic() - begun))
            return done

        return tuple(together(list(recorded.units.values()), one, processes, settings.parallel, events))


def _refresh(unit: RecordedUnit, driver: StackDriver, lease: Lease, settings: EngineSettings) -> Refreshed:
    driver.create()
    driver.refresh(clear_pending_creates=True)
    found = driver.export()
    if found.digest == unit.deployment_digest:
        return Refreshed(unit.id, "unchanged")
    inputs = records.as_far_as(dict(unit.inputs), dict(unit.inputs), found.held)
    expected = {(step.type, step.name) for step in outlines()[unit.program](_unit(unit))}
    whole = inputs == unit.inputs and set(found.resources) == expected
    lease.check()
    records.write_unit(
        settings.backend,
        replace(
            unit,
            digest=unit.digest if whole else "",
            inputs=inputs,
            outputs=found.outputs or unit.outputs,
            deployment_digest=found.digest,
        ),
    )
    return Refreshed(unit.id, "changed")


def _unit(recorded: RecordedUnit) -> Unit:
    return Unit(recorded.id, recorded.program, dict(recorded.inputs), recorded.depends_on)


__all__ = ["Refreshed", "refresh"]
