"""The trust diff: two sets of effective grants -> every change with its direction.

One entry a (broker, resource, enclave). The direction follows by implication between the whole ways to obtain the
resource before and after (`implication`): a change is strengthened only if everything admitted after was admitted
before. Same conditions with other code is `replaced`; without a changed input that explains the code it counts as
weakened. `trust_diff(x, x)` is empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from qnsp_policy.errors import Place
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.trust.changes import (
    ChangeLine,
    LineDirection,
    change_lines,
    code_changes,
    describe_code,
    home_text,
    length,
)
from qnsp_policy.pipeline.trust.codec import alternative_to_json, grant_to_json
from qnsp_policy.pipeline.trust.implication import Atom, admits_no_more, atom_implies, atoms, without_code
from qnsp_policy.pipeline.trust.values import NOT_RECORDED, EffectiveGrant, GuardrailKind, Json

UNEXPLAINED = "UNEXPLAINED"


class Direction(StrEnum):
    """Where a change goes; `mixed` is neither one nor the other, `neutral` changes words but no release."""

    ADDED = "added"
    REMOVED = "removed"
    STRENGTHENED = "strengthened"
    WEAKENED = "weakened"
    MIXED = "mixed"
    NEUTRAL = "neutral"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class TrustChange:
    """What changes for one enclave and one resource at one broker.

    Attributes:
        broker, tenant, resource, enclave: the key.
        direction: by implication.
        unexplained: other code that no changed input explains; such a change counts as weakened.
        lines: the differences, each with its place.
        causes: for other code, the inputs that changed.
        conditions: for `added` and `removed`, the conditions in one line.
        place: where the cause stands.
    """

    broker: str
    tenant: str
    resource: str
    enclave: str
    direction: Direction
    unexplained: bool
    lines: tuple[ChangeLine, ...]
    causes: tuple[ChangeLine, ...]
    conditions: str
    place: Place

    @property
    def weakens(self) -> bool:
        """Whether the security role must approve: weakened, mixed, or other code without an explanation.

        Other code of a broker always: an explanation is its author's, and whoever becomes a broker releases every key in its hands.
        """
        if self.enclave == self.broker and self.direction is Direction.REPLACED:
            return True
        return self.direction in {Direction.WEAKENED, Direction.MIXED} or self.unexplained

    def to_json(self) -> Json:
        return {
            "broker": self.broker,
            "tenant": self.tenant,
            "resource": self.resource,
            "enclave": self.enclave,
            "direction": self.direction.value,
            "unexplained": self.unexplained,
            "weakens": self.weakens,
            "lines": [_line_to_json(line) for line in self.lines],
            "causes": [_line_to_json(line) for line in self.causes],
            "conditions": self.conditions,
            "place": str(self.place) if self.place.file else None,
        }


def _line_to_json(line: ChangeLine) -> Json:
    return {
        "subject": line.subject,
        "before": line.before,
        "after": line.after,
        "direction": line.direction.value,
        "place": str(line.place) if line.place.file else None,
    }


@dataclass(frozen=True, slots=True)
class TrustDiff:
    """Every change between two sets of grants, sorted by tenant, resource, enclave and broker.

    Attributes:
        changes: one a key; keys whose grants are equal are not here.
        unchanged: how many keys are equal.
    """

    changes: tuple[TrustChange, ...]
    unchanged: int = 0

    @property
    def weakening(self) -> tuple[TrustChange, ...]:
        return tuple(change for change in self.changes if change.weakens)

    @property
    def tenants(self) -> tuple[str, ...]:
        """Addresses of the tenants whose grants change."""
        return tuple(sorted({change.tenant for change in self.changes}))

    def __bool__(self) -> bool:
        return bool(self.changes)

    def to_json(self) -> Json:
        return {"changes": [change.to_json() for change in self.changes], "unchanged": self.unchanged}


def trust_diff(base: Iterable[EffectiveGrant], head: Iterable[EffectiveGrant]) -> TrustDiff:
    """Compare two sets of effective grants.

    Args:
        base: what was in force, e.g. `recorded_policies` flattened, or the grants of the base revision.
        head: what the documents allow now.

    Returns:
        The changes, each with direction, lines and the place that causes it. Positions of removed grants are those of
        `base`, which has none when it was read back from recorded state.
    """
    before, after = _by_key(base), _by_key(head)
    changes: list[TrustChange] = []
    unchanged = 0
    for key in {*before, *after}:
        old, new = before.get(key, ()), after.get(key, ())
        if [grant_to_json(grant) for grant in old] == [grant_to_json(grant) for grant in new]:
            unchanged += 1
        else:
            changes.append(_change(old, new))
    changes.sort(key=lambda c: (c.tenant, c.resource, c.enclave, c.broker))
    return TrustDiff(tuple(changes), unchanged)


def _by_key(grants: Iterable[EffectiveGrant]) -> Mapping[tuple[str, str, str], Sequence[EffectiveGrant]]:
    found: defaultdict[tuple[str, str, str], list[EffectiveGrant]] = defaultdict(list)
    for grant in grants:
        found[grant.key].append(grant)
    return {key: sorted(several, key=lambda grant: grant.grant) for key, several in found.items()}


def _change(old: Sequence[EffectiveGrant], new: Sequence[EffectiveGrant]) -> TrustChange:
    about = (new or old)[0]
    if not old or not new:
        direction = Direction.ADDED if new else Direction.REMOVED
        lines: tuple[ChangeLine, ...] = ()
        causes: tuple[ChangeLine, ...] = ()
    else:
        direction = direction_of(atoms(old), atoms(new))
        if direction is Direction.NEUTRAL and about.of_broker and _contents(old) != _contents(new):
            direction = Direction.MIXED  # one more way to become a broker is never a matter of words
        lines, causes = change_lines(old, new), code_changes(old, new)
    unexplained = any(cause.subject == UNEXPLAINED for cause in causes)
    return TrustChange(
        broker=about.broker,
        tenant=about.tenant,
        resource=about.resource,
        enclave=about.enclave,
        direction=direction,
        unexplained=unexplained and direction is Direction.REPLACED,
        lines=lines,
        causes=tuple(cause for cause in causes if cause.subject != UNEXPLAINED),
        conditions="" if lines else "; or ".join(conditions(grant) for grant in (new or old)),
        place=_cause_place(direction, lines, about),
    )


def _contents(grants: Sequence[EffectiveGrant]) -> frozenset[bytes]:
    """What alternatives admit, by whatever name."""
    return frozenset(
        jcs({**alternative_to_json(alternative), "name": ""}) for grant in grants for alternative in grant.alternatives
    )


def _cause_place(direction: Direction, lines: Sequence[ChangeLine], about: EffectiveGrant) -> Place:
    wanted = {
        Direction.WEAKENED: LineDirection.WIDER,
        Direction.STRENGTHENED: LineDirection.STRICTER,
        Direction.REPLACED: LineDirection.CODE,
        Direction.MIXED: LineDirection.WIDER,
    }.get(direction)
    telling = [line for line in lines if line.direction is wanted] or list(lines)
    return next((line.place for line in telling if line.place.file), about.place)


def direction_of(old: Sequence[Atom], new: Sequence[Atom]) -> Direction:
    """The direction from `old` to `new`, both not empty.

    Other code under conditions that became wider is `mixed`, never `replaced`; so is code that grew in number.
    """
    stricter, wider = admits_no_more(new, old), admits_no_more(old, new)
    if stricter and wider:
        return Direction.NEUTRAL
    if stricter:
        return Direction.STRENGTHENED
    if wider:
        return Direction.WEAKENED
    fresh = [without_code(atom) for atom in new if not any(atom_implies(atom, other) for other in old)]
    gone = [without_code(atom) for atom in old if not any(atom_implies(atom, other) for other in new)]
    if len(fresh) <= len(gone) and admits_no_more(fresh, gone):
        return Direction.REPLACED
    return Direction.MIXED


def conditions(grant: EffectiveGrant) -> str:
    """The conditions of one grant in one line, each alternative whole; of a broker, what whoever becomes it must show."""
    if grant.unmeasured or (grant.of_broker and grant.grant == NOT_RECORDED):
        return home_text(grant)
    parts = []
    for alternative in grant.alternatives:
        floors = " ".join(
            f"{claim.removeprefix('tcb.reported.')}>={v}" for claim, v in sorted(alternative.floors.items())
        )
        debug = alternative.equals.get("policy.debug", alternative.equals.get("debug"))
        devices = ", ".join(f"1 x {device.name}" for device in alternative.devices)
        said = [
            alternative.kind.value,
            describe_code(alternative),
            floors,
            "debug denied" if debug is False else ("DEBUG ALLOWED" if debug is True else ""),
            devices,
        ]
        parts.append(", ".join(part for part in said if part))
    shown = " or ".join(parts) or "nothing"
    if grant.of_broker:
        behind = [value for rail in grant.guardrails for value in rail.values]
        asked = any(rail.kind is GuardrailKind.CHECKED for rail in grant.guardrails)
        return f"{shown}; {', '.join(behind)}{'' if asked else '; NOBODY ASKS FOR IT'}"
    return f"{shown}, lease {length(grant.lease_limit)}"


__all__ = ["UNEXPLAINED", "Direction", "TrustChange", "TrustDiff", "conditions", "direction_of", "trust_diff"]
