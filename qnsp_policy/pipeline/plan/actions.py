"""Units desired and recorded -> actions with reasons, differences and steps.

No record -> create, from the outline alone. Same digest and nothing drifted -> no-op, without asking anybody. Everything
else is previewed by the engine in one batch. A unit that is gone from the documents is deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.plan.structure import Difference, differences
from qnsp_policy.pipeline.plan.values import (
    Action,
    Op,
    Outline,
    PlannedStep,
    PreviewRequest,
    Previews,
    Reason,
    Unit,
)
from qnsp_policy.pipeline.world.recorded import RecordedState, RecordedUnit

MAX_REASONS = 12
"""A unit that changes in more ways says how many more; all of them are in `differences`."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What actions are derived from.

    Attributes:
        desired: every unit of the documents, by id, in the order of the waves.
        recorded: what was applied.
        selected: ids that the plan may touch.
        drifted: by unit id, what differs in the world, in words; empty where a refresh found nothing.
        outlines: by program.
        previews: the engine's port.
        replace: ids that are to be made anew although nothing asks for it.
    """

    desired: Mapping[str, Unit]
    recorded: RecordedState
    selected: Collection[str]
    drifted: Mapping[str, Sequence[str]]
    outlines: Mapping[str, Outline]
    previews: Previews
    replace: Collection[str] = field(default=())


def actions(situation: Situation) -> tuple[Action, ...]:
    """One action a unit: desired ones in the order of the waves, then deletions, dependents first.

    Raises:
        EngineError: QNSP-PLN-031, a program has no outline, or the engine left a unit without an answer.
    """
    requests = [
        PreviewRequest(unit, situation.recorded.units[unit.id])
        for unit in situation.desired.values()
        if unit.id in situation.selected and _needs_preview(situation, unit)
    ]
    previewed = situation.previews.preview(requests) if requests else {}
    found = [_action(situation, unit, previewed) for unit in situation.desired.values()]
    gone = [unit for unit in situation.recorded.units.values() if unit.id not in situation.desired]
    found += [_deletion(situation, unit) for unit in _dependents_first(gone)]
    return tuple(found)


def _needs_preview(situation: Situation, unit: Unit) -> bool:
    recorded = situation.recorded.units.get(unit.id)
    if recorded is None:
        return False
    return recorded.digest != unit.digest or bool(situation.drifted.get(unit.id)) or unit.id in situation.replace


def _action(situation: Situation, unit: Unit, previewed: Mapping[str, tuple[PlannedStep, ...]]) -> Action:
    recorded = situation.recorded.units.get(unit.id)
    if recorded is not None and not _needs_preview(situation, unit):
        return Action(unit.id, Op.NO_OP)
    if unit.id not in situation.selected:
        return Action(unit.id, Op.NO_OP, (Reason("left out by --target or --exclude"),), skipped=True)
    if recorded is None:
        reason = Reason("declared, and not applied yet", unit.place)
        steps = tuple(PlannedStep(Op.CREATE, step) for step in _outline(situation, unit)(unit))
        return Action(unit.id, Op.CREATE, (reason,), (), steps)
    if unit.id not in previewed:
        raise EngineError("QNSP-PLN-031", f"the engine gave no preview of {unit.id}", subject=unit.id)
    steps = previewed[unit.id]
    changed = tuple(_changed(situation, unit, recorded))
    drift = tuple(situation.drifted.get(unit.id, ()))
    reasons = [*_reasons(unit, changed), *(Reason(f"the world differs: {text}") for text in drift)]
    if recorded.depends_on != unit.depends_on and not changed:
        reasons.append(Reason("depends on other units", unit.place))
    if unit.id in situation.replace:
        reasons.append(Reason("asked for by --replace"))
    ops = {step.op for step in steps}
    op = Op.REPLACE if Op.REPLACE in ops or unit.id in situation.replace else Op.UPDATE
    return Action(unit.id, op, tuple(reasons) or (Reason("its recorded form is older"),), changed, steps)


def _changed(situation: Situation, unit: Unit, recorded: RecordedUnit) -> Iterator[Difference]:
    """What differs from what was applied; a value that another unit gave, and gives still, is no difference to its empty place."""
    given = []
    for reference in unit.references:
        parts = [part.replace("~1", "/").replace("~0", "~") for part in reference.pointer.split("/")[1:]]
        source, held = situation.recorded.units.get(reference.unit), _at(recorded.inputs, parts)
        if source is not None and held is not None and held == source.outputs.get(reference.output):
            given.append(".".join(parts))
    for difference in differences(recorded.inputs, unit.inputs):
        if difference.path not in given:
            yield difference


def _at(value: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _reasons(unit: Unit, changed: Sequence[Difference]) -> list[Reason]:
    """One reason a difference, differences of one place together."""
    by_place: dict[str, Reason] = {}
    for difference in changed:
        if difference.path.endswith(".digest"):
            continue
        place = unit.place_of(difference.path)
        by_place.setdefault(f"{place}{difference.path}", Reason(describe(difference), place))
    found = list(by_place.values())
    if len(found) > MAX_REASONS:
        found = [*found[:MAX_REASONS], Reason(f"and {len(found) - MAX_REASONS} more differences")]
    return found


def describe(difference: Difference) -> str:
    """A difference in one line; long values are named by their path only."""
    before, after = _shown(difference.before), _shown(difference.after)
    if difference.op == "add":
        return f"{difference.path} added" + (f": {after}" if after else "")
    if difference.op == "remove":
        return f"{difference.path} removed" + (f": {before}" if before else "")
    return f"{difference.path}" + (f" {before} -> {after}" if before and after else " changed")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int) and len(str(value)) <= 40:
        return str(value)
    return ""


def _outline(situation: Situation, unit: Unit) -> Outline:
    if unit.program not in situation.outlines:
        raise EngineError("QNSP-PLN-031", f"no stack program is installed for {unit.program}", subject=unit.id)
    return situation.outlines[unit.program]


def _deletion(situation: Situation, recorded: RecordedUnit) -> Action:
    reason = Reason("no document declares it any more")
    if recorded.id not in situation.selected:
        return Action(recorded.id, Op.NO_OP, (reason, Reason("left out by --target or --exclude")), skipped=True)
    unit = unit_of(recorded)
    steps = tuple(PlannedStep(Op.DELETE, step) for step in reversed(_outline(situation, unit)(unit)))
    return Action(recorded.id, Op.DELETE, (reason,), (), steps)


def unit_of(recorded: RecordedUnit) -> Unit:
    """A recorded unit as a unit: what it is now."""
    return Unit(recorded.id, recorded.program, dict(recorded.inputs), recorded.depends_on)


def _dependents_first(units: Sequence[RecordedUnit]) -> list[RecordedUnit]:
    """Whatever depends on a unit comes before it; the order is total, so equal state gives equal plans."""
    left = {unit.id: unit for unit in units}
    ordered: list[RecordedUnit] = []
    while left:
        needed = {need for unit in left.values() for need in unit.depends_on}
        free = sorted(set(left) - needed) or sorted(left)[:1]
        ordered += [left.pop(name) for name in free]
    return ordered


__all__ = ["MAX_REASONS", "Situation", "actions", "describe", "unit_of"]
