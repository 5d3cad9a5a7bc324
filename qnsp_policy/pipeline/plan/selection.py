"""`--target` and `--exclude`: which units a plan touches; an unknown name is an error with the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence

from qnsp_policy.errors import OperatorError


def select(
    depends: Mapping[str, Sequence[str]], *, targets: Collection[str] = (), excludes: Collection[str] = ()
) -> frozenset[str]:
    """The ids of the units that a plan may touch.

    Args:
        depends: by unit id what it depends on; recorded and desired units together.
        targets: unit ids or addresses; empty means all. What a target depends on is taken along.
        excludes: unit ids or addresses; what depends on an excluded unit is left out with it.

    Raises:
        OperatorError: QNSP-PLN-021, a name that is no unit.
    """
    wanted = unit_ids(targets, depends)
    unwanted = unit_ids(excludes, depends)
    selected = _closure(wanted, depends) if wanted else set(depends)
    dependents: dict[str, list[str]] = {}
    for unit, needs in depends.items():
        for need in needs:
            dependents.setdefault(need, []).append(unit)
    return frozenset(selected - _closure(unwanted, dependents))


def unit_ids(names: Iterable[str], known: Collection[str]) -> frozenset[str]:
    """Unit ids of names that people give: unit ids or addresses.

    Raises:
        OperatorError: QNSP-PLN-021, a name that is no unit.
    """
    return frozenset(_unit_id(name, known) for name in names)


def _closure(start: Iterable[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        unit = waiting.pop()
        if unit not in found:
            found.add(unit)
            waiting.extend(edges.get(unit, ()))
    return found


_PROGRAM_OF = {
    "Platform": "platform",
    "KeyBroker": "broker",
    "Tenant": "tenant",
    "Enclave": "enclave",
    "Endpoint": "endpoint",
}


def _unit_id(name: str, known: Collection[str]) -> str:
    kind, slash, rest = name.partition("/")
    candidate = f"{_PROGRAM_OF[kind]}/{rest}" if slash and kind in _PROGRAM_OF else name
    if candidate in known:
        return candidate
    near = difflib.get_close_matches(candidate, known, n=1, cutoff=0.4)
    raise OperatorError(
        "QNSP-PLN-021",
        f"{name!r} is no unit of this workspace",
        subject=name,
        expected=", ".join(sorted(known)[:20]),
        next_step=f"did you mean {near[0]}?" if near else "list the units: qnsp-policy plan --full",
    )


__all__ = ["select", "unit_ids"]
