"""What differs between two sets of grants for one key, line by line: the words under a direction.

The direction itself is decided by implication over whole atoms (`diff`); the lines here only say what a reader looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import zip_longest
from typing import TypeVar

from qnsp_policy.errors import Place
from qnsp_policy.kernel.attestation.values import Alternative, ClaimValue
from qnsp_policy.pipeline.trust.codec import time_to_text
from qnsp_policy.pipeline.trust.implication import INITDATA_CLAIMS, conjoin, is_code
from qnsp_policy.pipeline.trust.values import NOT_RECORDED, EffectiveGrant, GuardrailKind

NOT_CAUSES = frozenset({"tool", "toolDigest"})
"""Inputs of `computedFrom` that never make other code: naming another tool explains nothing."""


class LineDirection(StrEnum):
    """What one line does on its own."""

    STRICTER = "stricter"
    WIDER = "wider"
    CODE = "code"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One difference, e.g. `microcode floor 209 -> 115`.

    Attributes:
        subject: what changed, in the words of the claim or the field.
        before, after: as text, "" where there was or is nothing.
        direction: of this line alone.
        place: where the head says so; the document that causes the change.
    """

    subject: str
    before: str
    after: str
    direction: LineDirection
    place: Place

    def __str__(self) -> str:
        return f"{self.subject} {self.before or 'none'} -> {self.after or 'none'}"


def change_lines(base: Sequence[EffectiveGrant], head: Sequence[EffectiveGrant]) -> tuple[ChangeLine, ...]:
    """Every difference between the grants of one key, grants paired by name, then in order."""
    lines: list[ChangeLine] = []
    for before, after in _paired(base, head, lambda grant: grant.grant):
        if before is None and after is not None:
            lines.append(ChangeLine("grant", "", after.grant, LineDirection.WIDER, after.place))
        elif after is None and before is not None:
            lines.append(ChangeLine("grant", before.grant, "", LineDirection.STRICTER, before.place))
        elif before is not None and after is not None:
            lines.extend(_grant_lines(before, after))
    return tuple(lines)


def code_changes(base: Sequence[EffectiveGrant], head: Sequence[EffectiveGrant]) -> tuple[ChangeLine, ...]:
    """The inputs (kernel, rootfs, cmdline, initdata ...) whose change explains other code; lines of direction code.

    One line has the subject `UNEXPLAINED` for each code claim that changed without a changed input of its own.
    """
    found: dict[tuple[str, str, str], ChangeLine] = {}
    for before, after in _paired(base, head, lambda grant: grant.grant):
        if before is None or after is None:
            continue
        for old, new in _paired(*_different(before, after), lambda a: a.name):
            if old is not None and new is not None:
                for line in _explanations(before, after, old, new):
                    found.setdefault((line.subject, line.before, line.after), line)
    return tuple(found.values())


def _explanations(
    before: EffectiveGrant, after: EffectiveGrant, old: Alternative, new: Alternative
) -> Iterator[ChangeLine]:
    changed = [c for c in sorted({*old.equals, *new.equals}) if is_code(c) and old.equals.get(c) != new.equals.get(c)]
    if not changed:
        return
    was, now = before.origins.get(old.name), after.origins.get(new.name)
    inputs: dict[str, tuple[str, str]] = {}
    if was is not None and now is not None and not now.learnt:
        names = sorted({*was.computed_from, *now.computed_from} - NOT_CAUSES)
        pairs = {name: (was.computed_from.get(name, ""), now.computed_from.get(name, "")) for name in names}
        inputs = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if not pairs.get("initdata", ("", ""))[1]:
            inputs.pop("initdata", None)  # what is measured now is not the documents' initdata: that explains nothing
    place = after.places.get(new.name, after.place)
    used: set[str] = set()
    for claim in changed:
        causes = {name for name in inputs if (name == "initdata") == (claim in INITDATA_CLAIMS)}
        if not causes:
            yield ChangeLine(
                "UNEXPLAINED", _text(old.equals.get(claim)), _text(new.equals.get(claim)), LineDirection.CODE, place
            )
        used |= causes
    for name in sorted(used):
        yield ChangeLine(name, *inputs[name], LineDirection.CODE, place)


T = TypeVar("T")


def _paired(base: Sequence[T], head: Sequence[T], name: Callable[[T], str]) -> Iterator[tuple[T | None, T | None]]:
    """Pairs by equal name, the rest in order; a member without a counterpart comes with None."""
    by_name = {name(item): item for item in base}
    same = {name(item) for item in head} & set(by_name)
    for item in head:
        if name(item) in same:
            yield by_name[name(item)], item
    yield from zip_longest(
        [item for item in base if name(item) not in same], [item for item in head if name(item) not in same]
    )


def _different(before: EffectiveGrant, after: EffectiveGrant) -> tuple[Sequence[Alternative], Sequence[Alternative]]:
    """The alternatives of each side that the other does not hold under any name."""
    old = {alternative.name: replace(alternative, name="") for alternative in before.alternatives}
    new = {alternative.name: replace(alternative, name="") for alternative in after.alternatives}
    return (
        [a for a in before.alternatives if old[a.name] not in new.values()],
        [a for a in after.alternatives if new[a.name] not in old.values()],
    )


def _grant_lines(before: EffectiveGrant, after: EffectiveGrant) -> Iterator[ChangeLine]:
    if after.of_broker and before.grant != after.grant:
        yield _home_line(before, after)
        if before.unmeasured or after.unmeasured:
            return
    place = after.places.get("lease", after.place)
    if before.lease_limit != after.lease_limit:
        longer = after.lease_limit > before.lease_limit
        yield ChangeLine(
            "lease",
            length(before.lease_limit),
            length(after.lease_limit),
            LineDirection.WIDER if longer else LineDirection.STRICTER,
            place,
        )
    if before.purpose != after.purpose:
        yield ChangeLine(
            "purpose", before.purpose, after.purpose, LineDirection.OTHER, after.places.get("purpose", after.place)
        )
    if before.not_after != after.not_after:
        where = after.places.get("notAfter", after.place)
        yield _date_line("end of the grant", before.not_after, after.not_after, where)
    if before.not_before != after.not_before:
        earlier = after.not_before is None or (before.not_before is not None and after.not_before < before.not_before)
        yield ChangeLine(
            "begin of the grant",
            time_to_text(before.not_before) if before.not_before else "",
            time_to_text(after.not_before) if after.not_before else "",
            LineDirection.WIDER if earlier else LineDirection.STRICTER,
            after.places.get("notBefore", after.place),
        )
    yield from _guardrail_lines(before, after)
    for old, new in _paired(*_different(before, after), lambda a: a.name):
        yield from _alternative_lines(old, new, after)


def _home_line(before: EffectiveGrant, after: EffectiveGrant) -> ChangeLine:
    """Where a broker runs, told where it changes."""
    direction = LineDirection.OTHER
    if after.unmeasured or before.grant == NOT_RECORDED:
        direction = LineDirection.WIDER
    elif before.unmeasured:
        direction = LineDirection.STRICTER
    return ChangeLine("runs in", home_text(before), home_text(after), direction, after.place)


def home_text(grant: EffectiveGrant) -> str:
    """Where a broker runs, in words."""
    if grant.unmeasured:
        return "a process that nobody measures"
    return grant.grant or "a fleet whose measurement was not recorded"


def _date_line(subject: str, before: datetime | None, after: datetime | None, place: Place) -> ChangeLine:
    later = after is None or (before is not None and after > before)
    return ChangeLine(
        subject,
        time_to_text(before) if before else "",
        time_to_text(after) if after else "",
        LineDirection.WIDER if later else LineDirection.STRICTER,
        place,
    )


def _guardrail_lines(before: EffectiveGrant, after: EffectiveGrant) -> Iterator[ChangeLine]:
    old, new = conjoin(before.guardrails), conjoin(after.guardrails)

    def place(kind: GuardrailKind) -> Place:
        sources = [rail.source for rail in after.guardrails if rail.kind is kind]
        return next((after.places[source] for source in sources if source in after.places), after.place)

    for kind in sorted({*old.admitted, *new.admitted}):
        was, now = old.admitted.get(kind), new.admitted.get(kind)
        if was != now:
            yield ChangeLine(f"{kind.value} admitted", _names(was), _names(now), _set_direction(was, now), place(kind))
    for claim in sorted({*old.denied, *new.denied}):
        gone = old.denied.get(claim, frozenset()) - new.denied.get(claim, frozenset())
        more = new.denied.get(claim, frozenset()) - old.denied.get(claim, frozenset())
        for value in sorted(gone):
            where = place(GuardrailKind.DENIED_CLAIM)
            yield ChangeLine(f"refusal of {claim}", short(value), "", LineDirection.WIDER, where)
        for value in sorted(more):
            where = place(GuardrailKind.DENIED_CLAIM)
            yield ChangeLine(f"refusal of {claim}", "", short(value), LineDirection.STRICTER, where)
    for key in sorted({*old.floors, *new.floors}):
        low, high = old.floors.get(key), new.floors.get(key)
        if low != high:
            wider = high is None or (low is not None and high < low)
            direction = LineDirection.WIDER if wider else LineDirection.STRICTER
            subject = f"{short_claim(key[0])} floor of {' '.join(key[1:])}".rstrip()
            yield ChangeLine(subject, _text(low), _text(high), direction, place(GuardrailKind.FLOOR))
    if old.opaque != new.opaque:
        subject = "rule of your own (cannot be seen into)"
        was_rule, now_rule = (" and ".join(short(rule) for rule in sorted(rules)) for rules in (old.opaque, new.opaque))
        yield ChangeLine(subject, was_rule, now_rule, LineDirection.WIDER, place(GuardrailKind.OPAQUE))
    if old.checked != new.checked:
        wider = not old.checked <= new.checked
        yield ChangeLine(
            "statements that must be checked",
            _names(old.checked),
            _names(new.checked),
            LineDirection.WIDER if wider else LineDirection.STRICTER,
            place(GuardrailKind.CHECKED),
        )


def _set_direction(was: frozenset[str] | None, now: frozenset[str] | None) -> LineDirection:
    if was is None or (now is not None and now < was):
        return LineDirection.STRICTER
    if now is None or was < now:
        return LineDirection.WIDER
    return LineDirection.OTHER


def _names(values: frozenset[str] | None) -> str:
    return "any" if values is None else ", ".join(sorted(values)) or "nothing"


def _alternative_lines(
    old: Alternative | None, new: Alternative | None, after: EffectiveGrant, prefix: str = ""
) -> Iterator[ChangeLine]:
    if new is None and old is not None:
        yield ChangeLine(
            f"{prefix}alternative", describe_code(old) or old.name, "", LineDirection.STRICTER, after.place
        )
        return
    if new is None:
        return
    place = after.places.get(new.name, after.place)
    if old is None:
        yield ChangeLine(f"{prefix}alternative", "", describe_code(new) or new.name, LineDirection.WIDER, place)
        return
    if old.kind is not new.kind:
        yield ChangeLine(f"{prefix}attester", old.kind.value, new.kind.value, LineDirection.OTHER, place)
    for claim in sorted({*old.equals, *new.equals}):
        was, now = old.equals.get(claim), new.equals.get(claim)
        if was != now or type(was) is not type(now):
            yield ChangeLine(f"{prefix}{claim}", _text(was), _text(now), _equal_direction(claim, old, new), place)
    for claim in sorted({*old.floors, *new.floors}):
        low, high = old.floors.get(claim), new.floors.get(claim)
        if low != high:
            wider = high is None or (low is not None and high < low)
            direction = LineDirection.WIDER if wider else LineDirection.STRICTER
            yield ChangeLine(f"{prefix}{short_claim(claim)} floor", _text(low), _text(high), direction, place)
    if old.not_after != new.not_after:
        yield _date_line(f"{prefix}end of the reference values", old.not_after, new.not_after, place)
    for was_device, now_device in _paired(old.devices, new.devices, lambda device: device.name):
        if was_device is None and now_device is not None:
            yield ChangeLine(f"{prefix}device", "", now_device.name, LineDirection.STRICTER, place)
        elif now_device is None and was_device is not None:
            yield ChangeLine(f"{prefix}device", was_device.name, "", LineDirection.WIDER, place)
        else:
            yield from _alternative_lines(was_device, now_device, after, f"{prefix}device ")


def _equal_direction(claim: str, old: Alternative, new: Alternative) -> LineDirection:
    if is_code(claim):
        return LineDirection.CODE
    if claim not in old.equals:
        return LineDirection.STRICTER
    return LineDirection.WIDER if claim not in new.equals else LineDirection.OTHER


def short_claim(claim: str) -> str:
    """`tcb.reported.microcode` as a reader says it: `microcode`."""
    return claim.removeprefix("tcb.reported.")


def short(value: str) -> str:
    """A long hex value cut to what tells it from its neighbours on one screen."""
    return f"{value[:16]}..." if len(value) > 32 else value


_UNITS = ((3600 * 24, "d", 3), (3600, "h", 1), (60, "m", 1))


def length(seconds: int) -> str:
    """Seconds as a document would write them, exactly: `12h`, `90m`, `30d`; days from three on."""
    for unit, letter, least in _UNITS:
        if seconds % unit == 0 and seconds >= unit * least:
            return f"{seconds // unit}{letter}"
    return f"{seconds}s"


def describe_code(alternative: Alternative) -> str:
    """The code claims of an alternative, short: `measurement 9a41..., hostData 77a0...`."""
    return ", ".join(f"{c} {_text(v)}" for c, v in sorted(alternative.equals.items()) if is_code(c))


def _text(value: ClaimValue | None) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else short(str(value))


__all__ = [
    "ChangeLine",
    "LineDirection",
    "change_lines",
    "code_changes",
    "describe_code",
    "home_text",
    "length",
    "short",
    "short_claim",
]
