"""The trust diff and the grants as terminal text. Reads the JSON twin, so that a saved plan shows what its author saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.style import Paint, Style, plain
from qnsp_policy.pipeline.trust.diff import conditions
from qnsp_policy.pipeline.trust.values import EffectiveGrant

_WORDS: Mapping[str, tuple[str, str, Style]] = {
    "added": ("+", "", "good"),
    "removed": ("-", "", "warn"),
    "strengthened": ("^", "STRENGTHENED  ", "good"),
    "weakened": ("!", "WEAKENED  ", "bad"),
    "mixed": ("!", "MIXED  ", "bad"),
    "replaced": (">", "REPLACED  ", "note"),
    "neutral": ("~", "NEUTRAL  ", "dim"),
}
_ORDER = ("weakened", "mixed", "added", "replaced", "strengthened", "removed", "neutral")


def render_trust_diff(diff: Mapping[str, Any], *, paint: Paint = plain) -> str:
    """Every change of who may get which key: weakened first, each with the line that causes it."""
    changes: Sequence[Mapping[str, Any]] = diff.get("changes", [])
    lines: list[str] = []
    for change in sorted(changes, key=lambda c: (not c["weakens"], _ORDER.index(c["direction"]))):
        lines += _change(change, paint)
    gained = sum(change["direction"] == "added" for change in changes)
    other = "no enclave gains a key" if not gained else "no other enclave gains a key"
    unchanged = diff.get("unchanged", 0)
    lines.append(paint("dim", f"  {other}; {unchanged} unchanged"))
    return "\n".join(lines)


def _change(change: Mapping[str, Any], paint: Paint) -> list[str]:
    sign, word, style = _WORDS[change["direction"]]
    if change["unexplained"]:
        sign, word, style = "!", "REPLACED, UNEXPLAINED (counts as weakened)  ", "bad"
    verb = "may no longer obtain" if change["direction"] == "removed" else "may obtain"
    enclave = terminal(change["enclave"].rpartition("/")[2])
    place = f"   ({terminal(change['place'])})" if change.get("place") else ""
    head = f"  {paint(style, sign + ' ' + word)}{enclave} {verb}  {terminal(change['resource'])}"
    details = [_detail(line) for line in (*change["lines"], *change["causes"])]
    if change["conditions"] and change["direction"] == "added":
        details.append("under " + terminal(change["conditions"]))
    if len(details) == 1 and len(head) + len(details[0]) + len(place) < 140:
        return [f"{head}   {details[0]}{paint('place', place)}"]
    return [f"{head}{paint('place', place)}", *(f"        {detail}" for detail in details)]


def _detail(line: Mapping[str, Any]) -> str:
    before, after = line["before"], line["after"]
    subject = terminal(str(line["subject"]))
    if before in (None, ""):
        return f"{subject}: {terminal(str(after))} added"
    if after in (None, ""):
        return f"{subject}: {terminal(str(before))} removed"
    return f"{subject}: {terminal(str(before))} -> {terminal(str(after))}"


def headline(diff: Mapping[str, Any]) -> str:
    """One line a reviewer can act on: what weakens, what is added, for whom."""
    changes: Sequence[Mapping[str, Any]] = diff.get("changes", [])
    if not changes:
        return "Changes no key policy"
    parts: list[str] = []
    for direction, verb in (
        ("weakens", "Weakens"),
        ("added", "adds"),
        ("replaced", "replaces the code of"),
        ("strengthened", "strengthens"),
        ("removed", "removes"),
        ("neutral", "rewords"),
    ):
        found = [
            c
            for c in changes
            if (c["weakens"] if direction == "weakens" else c["direction"] == direction and not c["weakens"])
        ]
        if found:
            tenants = sorted({c["tenant"].rpartition("/")[2] for c in found})
            whose = f"for tenant{'s' if len(tenants) > 1 else ''} {', '.join(tenants)}"
            parts.append(f"{verb} {len(found)} key polic{'ies' if len(found) > 1 else 'y'} {whose}")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def render_grants(grants: Iterable[EffectiveGrant], *, paint: Paint = plain) -> str:
    """Who may get what under which evidence, by tenant and resource."""
    lines: list[str] = []
    last = ""
    for grant in sorted(grants, key=lambda g: (g.tenant, g.resource, g.enclave, g.broker)):
        if grant.tenant != last:
            lines += [""] * bool(lines) + [paint("strong", terminal(grant.tenant))]
            last = grant.tenant
        implied = "  (follows from the endpoint)" if grant.implicit else ""
        lines.append(
            f"  {terminal(grant.enclave.rpartition('/')[2])} may obtain  {terminal(grant.resource)}  "
            f"from {terminal(grant.broker.rpartition('/')[2])}{implied}   {paint('place', f'({terminal(str(grant.place))})')}"
        )
        lines.append(f"        under {terminal(conditions(grant))}")
        if grant.not_after:
            lines.append(f"        until {grant.not_after:%Y-%m-%dT%H:%M:%SZ}")
    return "\n".join(lines) or "Nobody may obtain any key: there is no grant."


__all__ = ["headline", "render_grants", "render_trust_diff"]
