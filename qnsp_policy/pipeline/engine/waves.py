"""In which order units are worked at, and what they are given of each other's outputs. Values only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.world.recorded import RecordedUnit


def levels(depends: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Names in waves: each after everything it depends on; names outside the mapping count as done.

    Raises:
        EngineError: QNSP-ENG-036, they depend on each other in a circle.
    """
    left = {name: {other for other in others if other in depends and other != name} for name, others in depends.items()}
    waves: list[list[str]] = []
    while left:
        free = sorted(name for name, others in left.items() if not others)
        if not free:
            raise EngineError("QNSP-ENG-036", f"units depend on each other in a circle: {', '.join(sorted(left))}")
        waves.append(free)
        for name in free:
            del left[name]
        for others in left.values():
            others.difference_update(free)
    return waves


def begin_after(
    changes: Mapping[str, Iterable[str]], fleets: Mapping[str, Iterable[str]], deletes: Mapping[str, Iterable[str]]
) -> list[set[int]]:
    """What ends before each job begins: changes, waits for members of fleets, an empty job between, deletions, in this order.

    Args:
        changes: units and what they depend on, without circles.
        fleets: units whose members are waited for, and those that go before their members although they depend on them.
        deletes: units and what they depend on, which is deleted after them.

    Returns:
        Numbers of other jobs, of each job.
    """
    made = {name: number for number, name in enumerate(changes)}
    waited = {name: number for number, name in enumerate(fleets, start=len(made))}
    between = len(made) + len(waited)
    gone = {name: number for number, name in enumerate(deletes, start=between + 1)}
    first = {name: frozenset(before) for name, before in fleets.items()}
    found = []
    for name, depends in changes.items():
        others = [other for other in depends if other != name]
        waits = {waited[other] for other in others if other in waited and name not in first[other]}
        found.append({made[other] for other in others if other in made} | waits)
    found += [{made[one] for one in (name, *before) if one in made} for name, before in first.items()]
    found.append(set(range(between)))
    found += [{between} for _ in deletes]
    for name, depends in deletes.items():
        for other in depends:
            if other in gone and other != name:
                found[gone[other]].add(gone[name])
    return found


def resolve(unit: Unit, recorded: Mapping[str, RecordedUnit]) -> Unit:
    """A unit with the outputs that its references name put into its inputs.

    Raises:
        EngineError: QNSP-ENG-037, an output or a place in the inputs does not exist.
    """
    if not unit.references:
        return unit
    inputs = json.loads(json.dumps(unit.inputs))
    for reference in unit.references:
        source = recorded.get(reference.unit)
        if source is None or reference.output not in source.outputs:
            raise EngineError(
                "QNSP-ENG-037", f"{unit.id} needs output {reference.output} of {reference.unit}, which has none"
            )
        parts = [part.replace("~1", "/").replace("~0", "~") for part in reference.pointer.split("/")[1:]]
        target = inputs
        try:
            for part in parts[:-1]:
                target = target[int(part)] if isinstance(target, list) else target[part]
            key: int | str = int(parts[-1]) if isinstance(target, list) else parts[-1]
            target[key]
            target[key] = source.outputs[reference.output]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise EngineError("QNSP-ENG-037", f"{unit.id} has no input at {reference.pointer}") from error
    return replace(unit, inputs=inputs)


__all__ = ["begin_after", "levels", "resolve"]
