"""Who may get which key, as a drawing: keys on the left, enclaves in the middle, endpoints on the right; values to SVG.

A change is drawn before what stays: sign, word and line style carry its direction, colour only adds. Everything a reader must
know stands beside the drawing too (`picture_page`), so a reader without the picture misses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from qnsp_policy.pipeline.review.escape import visible
from qnsp_policy.pipeline.trust.values import EffectiveGrant

UNCHANGED = "unchanged"
SIGNS: Mapping[str, str] = {
    "weakened": "! WEAKENED",
    "mixed": "! MIXED",
    "added": "+ may obtain",
    "replaced": "> REPLACED",
    "strengthened": "^ STRENGTHENED",
    "removed": "- may no longer",
    "neutral": "~ NEUTRAL",
    UNCHANGED: "",
}
MOST = 80
"""Keys that are drawn; unchanged ones beyond are counted."""

_ROW, _TOP, _BOX = 46, 34, 30
_X = (10, 430, 800)
_WIDTHS = (260, 210, 190)
_WIDTH = _X[2] + _WIDTHS[2] + 10
_SIGNS_OF_A_KEY = 3
_LETTERS = (31, 25, 22)


@dataclass(frozen=True, slots=True)
class Flow:
    """One key that one enclave may obtain, or no longer.

    Attributes:
        key: `<tenant>/<type>/<tag>`.
        enclave: its name.
        direction: of the change, or `unchanged`.
        told: what a pointer over the line says.
    """

    key: str
    enclave: str
    direction: str = UNCHANGED
    told: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn.

    Attributes:
        flows: keys to enclaves.
        served: enclave to the names of its endpoints.
    """

    flows: tuple[Flow, ...]
    served: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def drawn(self) -> tuple[Flow, ...]:
        """Changes first, then as much of what stays as fits, by key."""
        order = list(SIGNS)
        ranked = sorted(
            self.flows, key=lambda flow: (flow.direction == UNCHANGED, flow.key, order.index(flow.direction))
        )
        keys = list(dict.fromkeys(flow.key for flow in ranked))
        changed = {flow.key for flow in ranked if flow.direction != UNCHANGED}
        kept = {*changed, *keys[:MOST]}
        return tuple(flow for flow in ranked if flow.key in kept)

    @property
    def left_out(self) -> int:
        """Unchanged flows that are not drawn."""
        return len(self.flows) - len(self.drawn)


def picture_of(
    grants: Iterable[EffectiveGrant], changes: Sequence[Mapping[str, Any]], units: Iterable[Mapping[str, Any]]
) -> Picture:
    """The grants in force or proposed, with what a diff says of them.

    Args:
        grants: after the change.
        changes: of a trust diff, as JSON.
        units: inputs of units, of which the endpoints are drawn.
    """
    flows = [
        Flow(
            change["resource"],
            _name(change["enclave"]),
            "weakened" if change["unexplained"] else change["direction"],
            "; ".join(_said(line) for line in change["lines"]) or change["conditions"],
        )
        for change in changes
    ]
    told = {(flow.key, flow.enclave) for flow in flows}
    for grant in grants:
        if (grant.resource, _name(grant.enclave)) not in told:
            flows.append(Flow(grant.resource, _name(grant.enclave), told=grant.grant))
            told.add((grant.resource, _name(grant.enclave)))
    served: dict[str, tuple[str, ...]] = {}
    for inputs in units:
        endpoint = inputs.get("endpoint")
        if isinstance(endpoint, Mapping) and endpoint.get("enclave"):
            enclave = _name(str(endpoint["enclave"]))
            served[enclave] = (*served.get(enclave, ()), str(endpoint["name"]))
    return Picture(tuple(flows), served)


def _said(line: Mapping[str, Any]) -> str:
    return f"{line['subject']}: {line['before'] or 'none'} -> {line['after'] or 'none'}"


def _name(address: str) -> str:
    return address.rpartition("/")[2]


def render_svg(picture: Picture) -> Markup:
    """One self-contained `<svg>`; its styles are the page's, its attributes serve where a program knows no style sheets."""
    flows = picture.drawn
    keys = {name: _TOP + number * _ROW for number, name in enumerate(dict.fromkeys(flow.key for flow in flows))}
    enclaves = _spread(
        dict.fromkeys(flow.enclave for flow in flows), lambda name: [keys[f.key] for f in flows if f.enclave == name]
    )
    pairs = [(enclave, endpoint) for enclave in enclaves for endpoint in picture.served.get(enclave, ())]
    endpoints = _spread(
        dict.fromkeys(endpoint for _, endpoint in pairs), lambda name: [enclaves[e] for e, p in pairs if p == name]
    )
    height = max([_TOP, *keys.values(), *enclaves.values(), *endpoints.values()]) + _ROW
    parts = [
        Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            _WIDTH, height, "keys, enclaves and endpoints"
        ),
        *(
            Markup('<text class="head" x="{}" y="20">{}</text>').format(_X[i], title)
            for i, title in enumerate(("keys", "enclaves", "endpoints"))
        ),
    ]
    parts += [  # changes last, so that they lie above
        _line(0, keys[flow.key], enclaves[flow.enclave], flow.direction, flow.told, _place(flow, flows))
        for flow in reversed(flows)
    ]
    parts += [_line(1, enclaves[enclave], endpoints[endpoint], UNCHANGED, "") for enclave, endpoint in pairs]
    parts += [_box(0, name, y) for name, y in keys.items()]
    parts += [_box(1, name, y) for name, y in enclaves.items()]
    parts += [_box(2, name, y) for name, y in endpoints.items()]
    return Markup("\n").join([*parts, Markup("</svg>")])


def _spread(names: Iterable[str], beside: Callable[[str], list[int]]) -> dict[str, int]:
    """Each beside the middle of what leads to it, none over another."""
    wanted = sorted((sum(ys) // len(ys), name) for name in names if (ys := beside(name)))
    found: dict[str, int] = {}
    free = _TOP
    for middle, name in wanted:
        found[name] = max(free, middle)
        free = found[name] + _ROW
    return found


def _place(flow: Flow, flows: Sequence[Flow]) -> int:
    """Which of the changes of its key this is: their signs stand one below the other."""
    return [other for other in flows if other.key == flow.key].index(flow)


def _line(column: int, start: int, end: int, direction: str, told: str, place: int = 0) -> Markup:
    x1, x2 = _X[column] + _WIDTHS[column], _X[column + 1]
    y1, y2, bend = start + _BOX // 2, end + _BOX // 2, (x2 - x1) // 2
    path = Markup(
        '<path class="flow {}" fill="none" stroke="gray" d="M{} {} C{} {} {} {} {} {}"><title>{}</title></path>'
    ).format(direction, x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2, visible(f"{SIGNS[direction]} {told}".strip()))
    if not SIGNS[direction] or place >= _SIGNS_OF_A_KEY:
        return path
    return path + Markup('<text class="sign {}" x="{}" y="{}">{}</text>').format(
        direction, x1 + 6, y1 - 5 + 14 * place, SIGNS[direction]
    )


def _box(column: int, name: str, y: int) -> Markup:
    shown = visible(name)
    cut = shown if len(shown) <= _LETTERS[column] else f"{shown[: _LETTERS[column] - 1]}…"
    return Markup(
        '<g><title>{}</title><rect fill="none" stroke="gray" x="{}" y="{}" width="{}" height="{}" rx="4"/>'
        '<text x="{}" y="{}">{}</text></g>'
    ).format(shown, _X[column], y, _WIDTHS[column], _BOX, _X[column] + 8, y + 20, cut)


__all__ = ["SIGNS", "UNCHANGED", "Flow", "Picture", "picture_of", "render_svg"]
