"""A plan as text and Markdown: units, trust, recoverability, findings, approvals. Reads the plan file's payload (JSON).

Concise by default: unchanged units are counted; `full` shows them, the resources and the properties.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from qnsp_policy.pipeline.plan.rollout import waves
from qnsp_policy.pipeline.review.escape import code_span, fenced, markdown, terminal
from qnsp_policy.pipeline.review.style import Paint, Style, plain
from qnsp_policy.pipeline.review.trust_text import headline, render_trust_diff

Json = Mapping[str, Any]

_SIGNS: Mapping[str, tuple[str, Style]] = {
    "create": ("+", "good"),
    "update": ("~", "warn"),
    "replace": ("!", "bad"),
    "delete": ("-", "bad"),
    "no-op": (" ", "dim"),
}
_ROOT_STYLES: Mapping[str, Style] = {"!": "bad", "^": "good", ">": "note"}
MAX_REASON = 3
_OBJECT = re.compile(r"\Abrokers\[[^]]*\]\.objects\[([a-z-]+)/([^]]*)\]\.object\.")


def render_plan(payload: Json, *, full: bool = False, paint: Paint = plain) -> str:
    """The whole plan; every line names the document line that caused it."""
    lines = [*_units(payload, full, paint), "", paint("strong", "Trust")]
    trust = payload["trust"]
    lines.append(render_trust_diff(trust["diff"], paint=paint))
    lines.append(f"  {crossing(trust['crossTenant'])}")
    if trust["trustRoot"] is not None:
        lines += [
            f"  {paint(_ROOT_STYLES.get(line[:1], 'dim'), terminal(line))}" for line in trust["trustRoot"]["changes"]
        ]
    lines += _rollout(payload, paint)
    lines += _rests_on(payload, full, paint)
    lines += [
        "",
        *_recoverability(payload, paint),
        f"{paint('strong', 'Findings')}   {findings_line(payload)}",
        *_approvals(payload, paint),
    ]
    return "\n".join(lines)


def _units(payload: Json, full: bool, paint: Paint) -> Iterator[str]:
    unchanged = 0
    skipped: list[str] = []
    for action in payload["actions"]:
        if action["skipped"]:
            skipped.append(action["unit"])
            continue
        if action["op"] == "no-op" and not full:
            unchanged += 1
            continue
        yield from _unit(action, full, paint)
    if unchanged:
        yield paint("dim", f"    {unchanged} unit{'s' if unchanged != 1 else ''} unchanged")
    if skipped:
        yield paint("warn", f"    left out by --target or --exclude: {terminal(', '.join(skipped))}")
    if not payload["actions"]:
        yield "    there are no units"


def _unit(action: Json, full: bool, paint: Paint) -> Iterator[str]:
    sign, style = _SIGNS[action["op"]]
    reasons: Sequence[Json] = action["reasons"]
    head = f"  {paint(style, sign)} {terminal(action['unit']):<30}"
    if not reasons:
        yield head.rstrip()
    for number, reason in enumerate(reasons if full else reasons[:MAX_REASON]):
        place = f"  {paint('place', '(' + terminal(reason['place']) + ')')}" if reason["place"] else ""
        yield f"{head if number == 0 else ' ' * 34} {terminal(_told(reason))}{place}"
    if not full and len(reasons) > MAX_REASON:
        yield paint("dim", f"{' ' * 34} and {len(reasons) - MAX_REASON} more (--full)")
    if not full:
        return
    for step in action["steps"]:
        sign, style = _SIGNS[step["op"]]
        changed = f"  {terminal(', '.join(step['properties']))}" if step["properties"] else ""
        yield f"      {paint(style, sign)} {terminal(step['type'])} {terminal(step['name'])}{paint('dim', changed)}"
    for difference in action["differences"]:
        yield paint("dim", f"        {terminal(difference['path'])}: {_value(difference)}")


def _told(reason: Json) -> str:
    """A reason with a broker's object called what it is, not by its path in the unit's inputs."""
    return _OBJECT.sub(lambda found: f"{found[1].replace('-', ' ')} {found[2]}: ", str(reason["text"]), count=1)


def _value(difference: Json) -> str:
    def short(value: object) -> str:
        text = terminal(str(value))
        return text if len(text) <= 48 else text[:45] + "..."

    if difference["op"] == "add":
        return f"+ {short(difference['after'])}"
    if difference["op"] == "remove":
        return f"- {short(difference['before'])}"
    return f"{short(difference['before'])} -> {short(difference['after'])}"


def crossing(cross: Json) -> str:
    """Whether a grant crosses a tenant, and what this model cannot see."""
    outside = f"; outside this model: {terminal(', '.join(cross['outside']))}" if cross["outside"] else ""
    if not cross["crossed"]:
        return f"no declared grant crosses a tenant ({cross['pairs']} of {cross['pairs']} pairs{outside})"
    told = ", ".join(f"{terminal(c['resource'])} to {terminal(c['enclave'])}" for c in cross["crossed"])
    return f"! {len(cross['crossed'])} grants cross a tenant: {told}{outside}"


_WAVES = {
    "admit": "old and new values are admitted",
    "replace": "each new member attests before an old one goes; one that does not sends its fleet back",
    "retire": "old values out, once every member attested",
}


def _rollout(payload: Json, paint: Paint) -> Iterator[str]:
    """The waves in which fleets are replaced, if any are."""
    told = waves(payload)
    if not told:
        return
    yield ""
    yield paint("strong", "Rollout")
    for number, (word, units) in enumerate(told, start=1):
        yield f"  wave {number}  {word:<8} {terminal(', '.join(units))}"
        yield paint("dim", f"        {_WAVES[word]}")
    for item in payload["trust"].get("overlap", ()):
        yield f"  until then {terminal(item['enclave'].split('/')[-1])} may obtain {terminal(item['resource'])} under the old values too"


_MODEL = {
    "trusted": "trusted",
    "notTrusted": "not trusted",
    "measured": "measured",
    "notMeasured": "not measured",
    "notProtected": "not protected",
}


def rests_on(payload: Json, units: Collection[str] | None = None) -> list[tuple[str, list[str]]]:
    """What units rest on: whom it is said of, with how far it holds, and each limit; equal statements once.

    Args:
        payload: of the plan.
        units: only these; None is all.
    """
    told: dict[str, tuple[Json, list[str]]] = {}
    for unit, model in payload.get("restsOn", {}).items():
        if units is None or unit in units:
            told.setdefault(str(model), (model, []))[1].append(str(unit))
    return [
        (
            f"{', '.join(names)}: {model['assurance']}",
            [f"{word}: {'; '.join(model[member])}" for member, word in _MODEL.items() if model[member]],
        )
        for model, names in told.values()
    ]


def _rests_on(payload: Json, full: bool, paint: Paint) -> Iterator[str]:
    """Beside the trust diff, since a strong word needs its limits; what stays as it is only in full."""
    changed = {action["unit"] for action in payload["actions"] if action["op"] != "no-op" and not action["skipped"]}
    told = rests_on(payload, None if full else changed)
    if not told:
        return
    yield ""
    yield paint("strong", "Rests on")
    for head, limits in told:
        yield f"  {terminal(head)}"
        yield from (paint("dim", f"        {terminal(limit)}") for limit in limits)


def _recoverability(payload: Json, paint: Paint) -> Iterator[str]:
    destroys: Sequence[Json] = payload["trust"]["destroys"]
    empties = [item for item in payload.get("recoverability", ()) if item["effect"] == "empties"]
    if not destroys:
        yield f"{paint('strong', 'Recoverability')}   nothing is destroyed"
    else:
        yield paint("strong", "Recoverability")
    for item in destroys:
        yield f"  {paint('bad', 'DESTROYS')} {terminal(item['text'])}"
    for item in empties:
        yield f"  {paint('warn', 'EMPTIES')} {terminal(item['text'])}"


def findings_line(payload: Json) -> str:
    """How many findings of which severity the plan was made with."""
    found: Sequence[Json] = [finding for finding in payload["findings"] if not finding.get("waivedBy")]
    counted = Counter(finding["severity"] for finding in found)
    text = ", ".join(
        f"{counted[level]} {level}" for level in ("critical", "high", "medium", "low", "info") if counted[level]
    )
    waived = len(payload["findings"]) - len(found)
    waivers = f", {waived} waived" if waived else ""
    return f"{text or 'none'}{waivers}" + ("   see: qnsp-policy check" if found else "")


def _approvals(payload: Json, paint: Paint) -> Iterator[str]:
    needs: Sequence[Json] = payload["approvalsNeeded"]
    author = terminal(str(payload["author"]))
    if not needs:
        yield f"{paint('strong', 'Approvals needed')}   none"
        return
    yield f"{paint('strong', 'Approvals needed')}   {author} wrote it and can't approve"
    for need in needs:
        who = terminal(" or ".join(need["who"])) or paint("bad", "nobody may")
        yield f"  {need['count']} for {terminal(need['reason'])}: {who}"


def render_plan_markdown(payload: Json) -> str:
    """The plan for a pull request: one line, the trust diff, units, the rest folded."""
    changed = [action for action in payload["actions"] if action["op"] != "no-op" and not action["skipped"]]
    units = f"{len(changed)} unit{'s' if len(changed) != 1 else ''} change"
    parts = [f"**{markdown(headline(payload['trust']['diff']))}; {units}.**", "", "### Trust", ""]
    parts += [fenced(render_trust_diff(payload["trust"]["diff"]), "diff"), "", "### Units", ""]
    for action in changed:
        why = "; ".join(markdown(_told(reason)) for reason in action["reasons"][:MAX_REASON])
        parts.append(f"- {action['op']} {code_span(action['unit'])} {why}")
    parts += [
        "",
        "<details><summary>the whole plan</summary>",
        "",
        fenced(render_plan(payload, full=True)),
        "",
        "</details>",
    ]
    return "\n".join(parts)


__all__ = ["crossing", "findings_line", "render_plan", "render_plan_markdown", "rests_on"]
