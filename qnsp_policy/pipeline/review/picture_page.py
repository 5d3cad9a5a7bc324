"""The trust of a workspace or of a plan as one HTML page: no script, nothing fetched, every foreign text escaped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from qnsp_policy.pipeline.review.escape import visible
from qnsp_policy.pipeline.review.picture import SIGNS, Picture, picture_of, render_svg
from qnsp_policy.pipeline.review.plan_text import crossing, findings_line, rests_on
from qnsp_policy.pipeline.review.trust_text import headline
from qnsp_policy.pipeline.trust.objects import policies_of

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title|visible }}</title>
<style>
:root { --ink: #1b1f24; --paper: #fff; --faint: #6a737d; --rule: #d0d7de; --bad: #b3261e; --good: #1a7f37; --note: #0a58ca; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --faint: #9198a1; --rule: #3d444d; --bad: #ff7b72; --good: #56d364; --note: #79c0ff; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
code, td, dd { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; }
td, th { border-top: 1px solid var(--rule); padding: .35rem .6rem .35rem 0; vertical-align: top; }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .head { fill: var(--faint); }
rect { fill: var(--paper); stroke: var(--rule); }
.flow { fill: none; stroke: var(--faint); stroke-width: 1; opacity: .7; }
.flow.weakened, .flow.mixed { stroke: var(--bad); stroke-width: 4; opacity: 1; }
.flow.added { stroke: var(--good); stroke-width: 3; opacity: 1; }
.flow.replaced { stroke: var(--note); stroke-width: 3; stroke-dasharray: 10 4; opacity: 1; }
.flow.strengthened { stroke: var(--good); stroke-width: 2; opacity: 1; }
.flow.removed { stroke: var(--faint); stroke-width: 2; stroke-dasharray: 3 5; opacity: 1; }
svg .sign { font-size: 11px; font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
svg .sign.weakened, svg .sign.mixed, .bad { fill: var(--bad); color: var(--bad); }
.direction { white-space: nowrap; }
.faint { color: var(--faint); } ul { padding-left: 1.2rem; }
@media print { body { margin: 0; max-width: none; } }
</style>
</head>
<body>
<h1>{{ title|visible }}</h1>
{% for line in lead %}<p>{{ line|visible }}</p>
{% endfor %}
{{ svg }}
{% if left_out %}<p class="faint">{{ left_out }} more that stay as they are, not drawn.</p>{% endif %}
{% if changes %}
<h2>What changes</h2>
<table>
<tr><th>key</th><th>enclave</th><th></th><th>before and after</th><th>where</th></tr>
{% for change in changes %}
<tr><td>{{ change.key|visible }}</td><td>{{ change.enclave|visible }}</td>
<td class="direction{% if change.bad %} bad{% endif %}">{{ change.sign }}</td>
<td>{% for line in change.lines %}{{ line|visible }}<br>{% endfor %}</td><td>{{ change.place|visible }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% for title, lines in sections %}
<h2>{{ title|visible }}</h2>
<ul>{% for line in lines %}<li{% if line.startswith(("!", "DESTROYS")) %} class="bad"{% endif %}>{{ line|visible }}</li>{% endfor %}</ul>
{% endfor %}
<p class="faint">{{ foot|code }}</p>
</body>
</html>"""


def render_plan_page(payload: Mapping[str, Any], *, digest: str = "") -> str:
    """A plan's trust, drawn; the same that `show` says, for people who would rather look."""
    trust, units = payload["trust"], [unit["inputs"] for unit in payload["units"]]
    grants = [grant for policy in policies_of(units).values() for grant in policy.grants]
    changed = sum(action["op"] != "no-op" and not action["skipped"] for action in payload["actions"])
    needs = [
        f"{need['count']} for {need['reason']}: {' or '.join(need['who']) or 'nobody may'}"
        for need in payload["approvalsNeeded"]
    ]
    sections = [
        ("Tenants", [crossing(trust["crossTenant"])]),
        ("TrustRoot", list(trust["trustRoot"]["changes"]) if trust["trustRoot"] is not None else []),
        ("Rests on", ["; ".join([head, *limits]) for head, limits in rests_on(payload)]),
        ("Recoverability", [f"DESTROYS {item['text']}" for item in trust["destroys"]] or ["nothing is destroyed"]),
        ("Findings", [findings_line(payload)]),
        ("Approvals needed", needs or ["none"]),
    ]
    return _page(
        headline(trust["diff"]),
        [f"{changed} unit{'s' if changed != 1 else ''} change. Written by {payload['author']}."],
        picture_of(grants, trust["diff"]["changes"], units),
        trust["diff"]["changes"],
        [(title, lines) for title, lines in sections if lines],
        f"Unsigned rendering of plan {digest}: what counts is what `qnsp-policy show` says of its signatures.",
    )


def render_trust_page(picture: Picture, statements: list[str]) -> str:
    """Who may get which key according to the documents."""
    keys = len({flow.key for flow in picture.flows})
    enclaves = len({flow.enclave for flow in picture.flows})
    lead = [f"{keys} key{'s' if keys != 1 else ''}, {enclaves} enclave{'s' if enclaves != 1 else ''}."]
    foot = "From the documents; `qnsp-policy trust show` says under which evidence."
    return _page("Who may get which key", lead, picture, [], [("Statements", statements)], foot)


def _code(text: str) -> Markup:
    """Text whose commands stand between backticks."""
    code = Markup("<code>{}</code>")
    parts = [visible(part) for part in text.split("`")]
    return Markup("").join(code.format(part) if number % 2 else part for number, part in enumerate(parts))


def _page(
    title: str,
    lead: list[str],
    picture: Picture,
    changes: list[Mapping[str, Any]],
    sections: list[tuple[str, list[str]]],
    foot: str,
) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"visible": visible, "code": _code}
    order = list(SIGNS)
    rows = [
        {
            "key": change["resource"],
            "enclave": change["enclave"].rpartition("/")[2],
            "sign": "! REPLACED, UNEXPLAINED" if change["unexplained"] else SIGNS[change["direction"]],
            "bad": change["weakens"],
            "lines": [
                *(f"{line['subject']}: {line['before'] or 'none'} -> {line['after'] or 'none'}"
                  for line in (*change["lines"], *change["causes"])),
                *([f"under {change['conditions']}"] if change["conditions"] else []),
            ],
            "place": change.get("place") or "",
        }
        for change in sorted(changes, key=lambda c: (not c["weakens"], order.index(c["direction"])))
    ]  # fmt: skip
    return environment.from_string(_PAGE).render(
        title=title,
        lead=lead,
        svg=render_svg(picture),
        left_out=picture.left_out,
        changes=rows,
        sections=sections,
        foot=foot,
    )


__all__ = ["render_plan_page", "render_trust_page"]
