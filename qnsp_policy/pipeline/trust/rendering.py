"""The trust section of a plan as plain text: what an approver signs, so its bytes must never depend on a terminal.

Comes in: the `trust` member of a plan's payload as JSON (so that any verifier can render it again). Goes out: text in UTF-8
without colour, rendering version 1. Control characters of any name are escaped: a name can't forge a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qnsp_policy.pipeline.trust.brokers import folded, of_broker

VERSION = 1

_WORD = {
    "added": "+",
    "removed": "-",
    "strengthened": "^ STRENGTHENED ",
    "weakened": "! WEAKENED ",
    "mixed": "! MIXED ",
    "neutral": "= NEUTRAL ",
    "replaced": "> REPLACED ",
}


def render_trust(trust: Mapping[str, Any]) -> str:
    """The rendered trust diff; ends with a newline."""
    lines = [line for change in folded(trust["diff"]["changes"]) for line in _change(change)]
    gained = any(change["direction"] == "added" and not of_broker(change) for change in trust["diff"]["changes"])
    if trust["diff"]["changes"]:
        lines.append(
            "no other enclave gains a key" if gained else "no enclave gains a key that it could not obtain before"
        )
    else:
        lines.append("nobody gains or loses a key")
    lines.extend(
        _text(
            f"until its fleet is replaced, {name} may obtain {item['resource']} under the values applied before as well"
        )
        for item in trust.get("overlap", ())
        for name in [item["enclave"].split("/")[-1]]
    )
    lines.append(_crossing(trust["crossTenant"]))
    lines.extend(_text(f"DESTROYS {item['text']}") for item in trust["destroys"])
    if trust["trustRoot"] is not None:
        lines.extend(_text(line) for line in trust["trustRoot"]["changes"])
    return "\n".join(lines) + "\n"


def _change(change: Mapping[str, Any]) -> Iterator[str]:
    name, resource = change["enclave"].split("/")[-1], change["resource"]
    place = f"  ({change['place']})" if change["place"] else ""
    if of_broker(change):
        yield _text(f"{_broker(change)}{place}")
        return
    if change["direction"] in {"added", "removed"}:
        verb = "may obtain" if change["direction"] == "added" else "may no longer obtain"
        yield _text(f"{_WORD[change['direction']]} {name} {verb} {resource} under {change['conditions']}{place}")
        return
    word = _WORD[change["direction"]].strip()
    if change["unexplained"]:
        word = "! REPLACED, UNEXPLAINED (counts as weakened)"
    lines = [line for line in change["lines"] if line["direction"] != "code"] or change["lines"]
    told = change["causes"] or lines if change["direction"] == "replaced" else lines
    what = "; ".join(f"{line['subject']} {line['before'] or 'none'} -> {line['after'] or 'none'}" for line in told)
    runs = "runs other code for" if change["direction"] == "replaced" else "may obtain"
    yield _text(f"{word} {name} {runs} {resource}: {what or 'the same conditions in other words'}{place}")


def _broker(change: Mapping[str, Any]) -> str:
    """Who may become a broker."""
    sign, name = _WORD[change["direction"]].strip(), change["broker"].split("/")[-1]
    keys = f"the broker {name} and release every key of {', '.join(t.split('/')[-1] for t in change['tenants'])}"
    if change["direction"] in {"added", "removed"}:
        verb = "may become" if change["direction"] == "added" else "may no longer become"
        return f"{sign} whoever shows {change['conditions']} {verb} {keys}"
    lines = (*(line for line in change["lines"] if line["direction"] != "code"), *change["causes"]) or change["lines"]
    what = "; ".join(f"{line['subject']} {line['before'] or 'none'} -> {line['after'] or 'none'}" for line in lines)
    counts = (
        f"{', UNEXPLAINED' if change['unexplained'] else ''} (counts as weakened)"
        if change["direction"] == "replaced"
        else ""
    )
    return f"{sign}{counts} who may become {keys}: {what or 'the same conditions in other words'}"


def _crossing(crossing: Mapping[str, Any]) -> str:
    beyond = "; ".join(crossing["outside"])
    outside = f"; outside this model: {beyond}" if beyond else ""
    pairs, crossed = crossing["pairs"], crossing["crossed"]
    if not crossed:
        return _text(f"no declared grant crosses a tenant ({pairs} of {pairs} pairs{outside})")
    told = ", ".join(f"{c['resource']} to {c['enclave']} (runs for {', '.join(c['tenants'])})" for c in crossed)
    return _text(f"! {len(crossed)} grants cross a tenant: {told}{outside}")


def _text(line: str) -> str:
    """`line` with everything that is not printable escaped, so that it stays one line and what it seems."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


__all__ = ["VERSION", "render_trust"]
