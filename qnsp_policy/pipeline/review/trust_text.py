"""The trust diff and the grants as terminal text. Reads the JSON twin, so that a saved plan shows what its author saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.style import Paint, Style, plain
from qnsp_policy.pipeline.trust.brokers import Home, folded, of_broker
from qnsp_policy.pipeline.trust.diff import conditions
from qnsp_policy.pipeline.trust.places import SELF
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
_VERBS = {"added": "says", "strengthened": "strengthens", "removed": "removes", "neutral": "rewords"}
_ORDER = ("weakened", "mixed", "added", "replaced", "strengthened", "removed", "neutral")


def render_trust_diff(diff: Mapping[str, Any], *, paint: Paint = plain) -> str:
    """Every change of who may get which key: weakened first, each with the line that causes it."""
    changes: Sequence[Mapping[str, Any]] = diff.get("changes", [])
    lines: list[str] = []
    for change in sorted(
        folded(changes), key=lambda c: (not c["weakens"], not of_broker(c), _ORDER.index(c["direction"]))
    ):
        lines += _change(change, paint)
    gained = sum(change["direction"] == "added" and not of_broker(change) for change in changes)
    other = "no enclave gains a key" if not gained else "no other enclave gains a key"
    unchanged = diff.get("unchanged", 0)
    lines.append(paint("dim", f"  {other}; {unchanged} unchanged"))
    return "\n".join(lines)


def _change(change: Mapping[str, Any], paint: Paint) -> list[str]:
    sign, word, style = _WORDS[change["direction"]]
    if change["unexplained"]:
        sign, word, style = "!", "REPLACED, UNEXPLAINED (counts as weakened)  ", "bad"
    elif change["weakens"] and change["direction"] == "replaced":
        sign, word, style = "!", "REPLACED (counts as weakened)  ", "bad"
    place = f"   ({terminal(change['place'])})" if change.get("place") else ""
    head = f"  {paint(style, sign + ' ' + word)}{_about(change)}"
    details = [_detail(line) for line in (*change["lines"], *change["causes"])]
    if change["conditions"] and change["direction"] == "added":
        details.append("under " + terminal(change["conditions"]))
    if len(details) == 1 and len(head) + len(details[0]) + len(place) < 140:
        return [f"{head}   {details[0]}{paint('place', place)}"]
    return [f"{head}{paint('place', place)}", *(f"        {detail}" for detail in details)]


def _about(change: Mapping[str, Any]) -> str:
    removed = change["direction"] == "removed"
    if of_broker(change):
        tenants = ", ".join(terminal(tenant.rpartition("/")[2]) for tenant in change["tenants"])
        who = "nobody may any longer become" if removed else "who may become"
        return f"{who} broker {terminal(change['broker'].rpartition('/')[2])}, which releases every key of  {tenants}"
    verb = "may no longer obtain" if removed else "may obtain"
    return f"{terminal(change['enclave'].rpartition('/')[2])} {verb}  {terminal(change['resource'])}"


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
    parts = [_headline_of_broker(change) for change in folded(filter(of_broker, changes))]
    changes = [change for change in changes if not of_broker(change)]
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


def _headline_of_broker(change: Mapping[str, Any]) -> str:
    verb = "weakens" if change["weakens"] else _VERBS.get(change["direction"], change["direction"])
    tenants = ", ".join(tenant.rpartition("/")[2] for tenant in change["tenants"])
    return f"{verb} who may become broker {change['broker'].rpartition('/')[2]}, which releases every key of {tenants}"


def render_homes(homes: Iterable[Home], *, paint: Paint = plain) -> str:
    """Who may become each broker, and so release every key in its hands."""
    lines: list[str] = []
    for home in homes:
        tenants = ", ".join(terminal(tenant.rpartition("/")[2]) for tenant in home.tenants)
        where = paint("place", f"({terminal(str(home.places[SELF]))})")
        lines.append(f"{paint('strong', terminal(home.broker))} releases every key of {tenants}   {where}")
        if home.unmeasured:
            lines.append("        nobody measures it: whoever runs it, or holds its keys, is that broker")
        else:
            shown = next((conditions(grant) for grant in home.grants()), "")
            lines.append(
                f"        runs in {terminal(home.enclave.rpartition('/')[2])}: whoever shows {terminal(shown)} may become it"
            )
    return "\n".join(lines)


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


__all__ = ["headline", "render_grants", "render_homes", "render_trust_diff"]
