"""The one place that finds stack programs: by entry point, so that nothing here imports them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Outline, Unit
from qnsp_policy.pipeline.world.declared import Resource
from qnsp_policy.pipeline.world.recorded import RecordedUnit

GROUP = "qnsp_policy.stacks"


@cache
def _installed() -> Mapping[str, EntryPoint]:
    # Looking through everything that is installed takes a tenth of a second.
    return {entry.name: entry for entry in entry_points(group=GROUP)}


@cache
def _module(name: str) -> ModuleType:
    entry = _installed().get(name)
    if entry is not None:
        module = entry.load()
        if isinstance(module, ModuleType):
            return module
    raise OperatorError(
        "QNSP-ENG-030",
        f"no Pulumi program {name!r} is installed",
        subject=name,
        next_step=f"install the package that offers it (entry point group {GROUP})",
    )


class _Outlines(Mapping[str, Outline]):
    """Loads a program's module when its outline is asked for."""

    def __getitem__(self, program: str) -> Outline:
        if program not in _installed():
            raise KeyError(program)
        outline: Outline = _module(program).outline
        return outline

    def __iter__(self) -> Iterator[str]:
        return iter(_installed())

    def __len__(self) -> int:
        return len(_installed())


def outlines() -> Mapping[str, Outline]:
    """Every installed program's outline, by program; imports no Pulumi."""
    return _Outlines()


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
    declares: Callable[[Unit | RecordedUnit], Sequence[Resource]] | None = getattr(
        _module(unit.program), "resources", None
    )
    return declares(unit) if declares is not None else ()


__all__ = ["GROUP", "declaration", "outlines", "program", "resources"]
