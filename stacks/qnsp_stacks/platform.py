"""Unit `platform`: what must be there before anything else; locally the supervisor."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.declaration import Declaration, Declared, Ref
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import run


def declare(unit: Unit) -> Declaration:
    """The supervisor; exports `socket` and `pid`."""
    supervisor = dict(unit.inputs["supervisor"])
    made = Declared("qnsp:local:Supervisor", "supervisor", supervisor, security=("runDir", "socket"))
    return Declaration((made,), {"socket": supervisor["socket"], "pid": Ref("supervisor", "pid")})


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return declare(unit).outline


def program(unit: Unit) -> None:
    """Make it within a Pulumi program."""
    run(declare(unit))
