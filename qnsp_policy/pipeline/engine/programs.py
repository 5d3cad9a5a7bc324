"""The one place that finds stack programs: by entry point, so that nothing here imports them by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Outline, Unit
from qnsp_policy.pipeline.world.declared import Resource
from qnsp_policy.pipeline.world.recorded import RecordedUnit

GROUP = "qnsp_policy.stacks"


@cache
def _module(name: str) -> ModuleType:
    found = entry_points(group=GROUP, name=name)
    for entry in found:
        module = entry.load()
        if isinstance(module, ModuleType):
            return module
    raise OperatorError(
        "QNSP-ENG-030",
        f"no Pulumi program {name!r} is installed",
        subject=name,
        next_step=f"install the package that offers it (entry point group {GROUP})",
    )


def outlines() -> Mapping[str, Outline]:
    """Every installed program's outline, by program; imports no Pulumi."""
    return {entry.name: _module(entry.name).outline for entry in entry_points(group=GROUP)}


def program(unit: Unit) -> Callable[[], None]:
    """The inline program of a unit.

    Raises:
        OperatorError: QNSP-ENG-030, it is not installed.
    """
    module = _module(unit.program)
    return lambda: module.program(unit)


def declaration(unit: Unit) -> Declaration | None:
    """What a unit declares, if its module says it as a value (`declare`); other modules are programs only.

    Raises:
        OperatorError: QNSP-ENG-030, it is not installed.
    """
    declare: Callable[[Unit], Declaration] | None = getattr(_module(unit.program), "declare", None)
    return None if declare is None else declare(unit)


def resources(unit: Unit | RecordedUnit) -> Sequence[Resource]:
    """What a unit declares, for readers that compare it in bulk; nothing where its program does not say.

    Raises:
        OperatorError: QNSP-ENG-030, its program is not installed.
    """
    declares: Callable[[Unit | RecordedUnit], Sequence[Resource]] | None = getattr(_module(unit.program), "resources", None)
    return declares(unit) if declares is not None else ()


__all__ = ["GROUP", "declaration", "outlines", "program", "resources"]
