"""Whether what the engine is about to do is what the plan holds. Values in, sentences out; an empty answer allows."""

from __future__ import annotations

from collections.abc import Sequence

from qnsp_policy.pipeline.plan.values import Op, PlannedStep


def deviations(planned: Sequence[PlannedStep], previewed: Sequence[PlannedStep], *, whole: bool) -> list[str]:
    """What a preview under the lock holds that the plan does not.

    Args:
        planned: the plan's steps of one unit.
        previewed: the steps of the preview, with all inputs as `security`.
        whole: whether every planned step must still be there (a new unit's first apply); a resumed one may have fewer.

    Returns:
        One sentence a deviation.
    """
    allowed = {(item.step.type, item.step.name): item for item in planned}
    found: list[str] = []
    for item in previewed:
        name = f"{item.step.type} {item.step.name}"
        plan = allowed.pop((item.step.type, item.step.name), None)
        if plan is None:
            found.append(f"{item.op.value} of {name} is not in the plan")
        elif item.op is not plan.op and not _milder(item.op, plan.op):
            found.append(f"{name} would be {_past(item.op)}; the plan holds {plan.op.value}")
        elif item.step.parent != plan.step.parent:
            found.append(f"{name} has another parent than in the plan")
        elif item.op is not Op.DELETE:
            found += [
                f"{name}: {member} is another than in the plan"
                for member, value in sorted(plan.step.security.items())
                if item.step.security.get(member) != value
            ]
    if whole:
        found += [
            f"{plan.op.value} of {kind} {name} is in the plan, but not needed any more"
            for (kind, name), plan in allowed.items()
        ]
    return found


def _milder(now: Op, planned: Op) -> bool:
    """A step that was planned harder: of a half-done create or replace an update or the creation may be left."""
    return (now is Op.UPDATE and planned in {Op.CREATE, Op.REPLACE}) or (
        now is Op.CREATE and planned in {Op.UPDATE, Op.REPLACE}
    )


def _past(op: Op) -> str:
    return {Op.CREATE: "created", Op.UPDATE: "updated", Op.DELETE: "deleted", Op.REPLACE: "replaced"}.get(op, op.value)


__all__ = ["deviations"]
