"""What a broker begins without is handed to it again: the units whose objects it held are part of the plan that replaces its members.

A broker in an enclave keeps its store in the enclave's memory unless `storage` names a database: a new member begins with nothing. So every unit
that hands it something is applied again after its members attested, within the same plan. Each object was approved with these units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qnsp_policy.pipeline.plan.values import Action, Op, Outline, PlannedStep, Reason, Unit
from qnsp_policy.pipeline.trust.objects import unit_objects
from qnsp_policy.pipeline.trust.rollout import BROKERS, is_of_members

_ENDPOINT = "qnsp:gateway:Endpoint"
"""Waits until a gateway answers: one that is away while its broker is replaced is waited for again."""
_OURS = "qnsp:broker:"
_KEPT = frozenset({Op.NO_OP, Op.UPDATE})
_TEMPLATE, _GROUP = "aws:ec2/launchTemplate:LaunchTemplate", "aws:autoscaling/group:Group"
"""Another version of the first, or the second made anew, is other members, also where only the world had changed."""
_MADE_ANEW = frozenset({Op.CREATE, Op.REPLACE})


def handed_again(
    actions: Sequence[Action], units: Mapping[str, Unit], outlines: Mapping[str, Outline]
) -> tuple[Action, ...]:
    """The actions of a plan, with the objects of brokers whose members are replaced to be created again.

    Args:
        actions: as they follow from documents and recorded state.
        units: what remains after the plan.
        outlines: by program.
    """
    emptied = {
        str(units[action.unit].inputs["broker"]["address"])
        for action in actions
        if action.unit in units and begins_empty(units[action.unit], action)
    }
    if not emptied:
        return tuple(actions)
    return tuple(_with_objects(action, units.get(action.unit), emptied, outlines) for action in actions)


def begins_empty(unit: Unit, action: Action) -> bool:
    """Whether new members of a broker take over from old ones without their store."""
    if unit.program not in BROKERS or unit.inputs.get("sharedStore"):
        return False
    if action.op is not Op.UPDATE:
        return action.op is Op.REPLACE
    return any(is_of_members(difference.path) for difference in action.differences) or any(
        item.step.type == _TEMPLATE or (item.step.type == _GROUP and item.op in _MADE_ANEW) for item in action.steps
    )


def _with_objects(action: Action, unit: Unit | None, emptied: set[str], outlines: Mapping[str, Outline]) -> Action:
    if unit is None or action.skipped or action.op not in _KEPT:
        return action
    names = {f"{broker.split('/')[-1]}/{name}": broker for broker, name in _given(unit.inputs) if broker in emptied}
    if not names:
        return action
    planned = {(item.step.type, item.step.name) for item in action.steps}
    again = tuple(
        PlannedStep(Op.CREATE, step)
        for step in outlines[unit.program](unit)
        if (step.type == _ENDPOINT or (step.type.startswith(_OURS) and step.name in names))
        and (step.type, step.name) not in planned
    )
    reasons = tuple(
        Reason(f"{broker} begins with an empty store: it is handed its objects again", unit.place)
        for broker in sorted(set(names.values()))
    )
    return replace(action, op=Op.UPDATE, steps=(*action.steps, *again), reasons=(*action.reasons, *reasons))


def _given(inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(broker, name) for broker, name, _ in unit_objects(inputs)]


__all__ = ["begins_empty", "handed_again"]
