"""Unit `platform`: what must be there before anything else; locally the supervisor."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import Declared, make, outline_of


def _resources(unit: Unit) -> list[Declared]:
    supervisor = unit.inputs["supervisor"]
    return [Declared("qnsp:local:Supervisor", "supervisor", dict(supervisor), security=("runDir", "socket"))]


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return outline_of(_resources(unit))


def program(unit: Unit) -> None:
    """Make them, and export `socket` and `pid`."""
    import pulumi

    made = make(_resources(unit))
    pulumi.export("socket", unit.inputs["supervisor"]["socket"])
    pulumi.export("pid", made["supervisor"].pid)  # type: ignore[attr-defined]
