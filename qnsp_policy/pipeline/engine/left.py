"""What an earlier run made without hearing so is taken into the stack, instead of being made a second time."""

from __future__ import annotations

from qnsp_policy.pipeline.engine import programs
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.pipeline.world.recorded import RecordedUnit


def take_on_left(driver: StackDriver, settings: EngineSettings, events: Listener) -> None:
    """Look for what a unit declares and its stack does not hold; take on what is ours, tell what only bears our name.

    Raises:
        EngineError: the world did not say, or the engine refused.
    """
    unit = driver.unit
    declared = programs.resources(unit)
    if settings.left is None or not declared:
        return
    held = driver.export().ids
    if all((resource.type, resource.name) in held for resource in declared):
        return
    left = settings.left(RecordedUnit(unit.id, unit.program, "", unit.inputs), declared, held)
    if left.ours:
        driver.take_on(left.ours)
        told = ", ".join(f"{name} ({id_})" for (_, name), id_ in sorted(left.ours.items()))
        events(
            Event(
                EventKind.MESSAGE, unit.id, text=f"made by an earlier run that did not hear of it, and taken on: {told}"
            )
        )
    for kind, name, id_ in left.strangers:
        text = (
            f"{kind} {id_} exists without the mark of this workspace, so it was not taken on; if it is yours: "
            f"qnsp-policy import {unit.id} {name} {id_}"
        )
        events(Event(EventKind.MESSAGE, unit.id, text=text))


__all__ = ["take_on_left"]
