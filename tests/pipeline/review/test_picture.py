"""The drawing of who may get which key: everything is on it, changes first, and nothing foreign becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from qnsp_policy.pipeline.review.picture import MOST, SIGNS, UNCHANGED, Flow, Picture, render_svg
from qnsp_policy.pipeline.review.picture_page import render_plan_page, render_trust_page
from qnsp_policy.testing.clinic import Clinic, running

HOSTILE = "<script>alert(1)</script>\"'\x1b[31m"


def drawn(*flows: Flow, **served: tuple[str, ...]) -> ET.Element:
    """The picture, parsed by somebody else."""
    return ET.fromstring(render_svg(Picture(flows, served)))


def classes(svg: ET.Element, tag: str) -> list[str]:
    return [element.get("class", "") for element in svg.iter(tag)]


class Tags(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.references: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references |= {name for name, _ in attrs if name in {"src", "href", "action"} or name.startswith("on")}


@pytest.mark.parametrize("direction", [direction for direction in SIGNS if direction != UNCHANGED])
def test_a_change_is_told_by_line_and_word(direction: str) -> None:
    """Colour carries nothing alone."""
    svg = drawn(Flow("clinic/model/x", "gpu", direction, "microcode floor: 209 -> 115"))
    assert classes(svg, "path") == [f"flow {direction}"]
    assert SIGNS[direction] in [element.text for element in svg.iter("text")]
    assert any("209 -> 115" in str(element.text) for element in svg.iter("title"))


def test_what_stays_is_a_plain_line_to_what_it_serves() -> None:
    """Keys, enclaves and endpoints, each once."""
    svg = drawn(Flow("a/model/x", "gpu"), Flow("a/model/y", "gpu"), gpu=("chat",), other=("unseen",))
    assert classes(svg, "path") == ["flow unchanged"] * 3
    assert [element.text for element in svg.iter("text")][3:] == ["a/model/x", "a/model/y", "gpu", "chat"]


def test_no_box_lies_over_another() -> None:
    """Also where many keys lead to few enclaves."""
    svg = drawn(*(Flow(f"a/model/{number}", f"e{number % 3}") for number in range(20)))
    boxes = [(rect.get("x"), int(str(rect.get("y")))) for rect in svg.iter("rect")]
    for column in {x for x, _ in boxes}:
        places = sorted(y for x, y in boxes if x == column)
        assert all(later - earlier >= 30 for earlier, later in pairwise(places))
    assert max(y for _, y in boxes) + 30 <= int(str(svg.get("viewBox")).split()[3])


def test_changes_are_never_left_out() -> None:
    """However many keys stay as they are."""
    many = [Flow(f"a/model/{number:04}", "e") for number in range(MOST + 50)]
    picture = Picture((*many, Flow("z/model/last", "e", "weakened")))
    assert picture.drawn[0].key == "z/model/last"
    assert picture.left_out == len(many) + 1 - MOST
    assert f"{picture.left_out} more that stay as they are" in render_trust_page(picture, [])


def test_foreign_text_stays_text() -> None:
    """In the drawing, its tooltips and the page: no tag, no attribute, no control character; nothing is fetched or run."""
    picture = Picture((Flow(HOSTILE, HOSTILE, "weakened", HOSTILE),), {HOSTILE: (HOSTILE,)})
    page = render_trust_page(picture, [HOSTILE])
    found = Tags(page)
    assert "script" not in found.tags
    assert found.references == set()
    assert "\x1b" not in page
    assert "default-src 'none'" in page
    assert any("alert(1)" in str(element.text) for element in drawn(*picture.flows).iter("text"))


def test_a_plan_as_a_page() -> None:
    """A real plan with a weakening: the same words as `show`, the approvals, and what its digest is."""
    before = running(Clinic())
    plan = Clinic(change={"microcode: 209": "microcode: 115"}).plan(before)
    page = render_plan_page(plan.payload, digest=plan.digest)
    assert "<h1>Weakens " in page
    assert "microcode floor: 209 -&gt; 115" in page
    assert '<td class="direction bad">! WEAKENED</td>' in page
    assert "for weakened trust: bob@clinic.example" in page
    assert plan.digest in page
    assert "SIMULATED HARDWARE PROVES NOTHING" in page
    assert "<h2>Findings</h2>" in page
    svg = ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    assert "flow weakened" in classes(svg, "path")


def test_the_first_plan_draws_what_it_adds() -> None:
    """Every key is new, none is left out."""
    plan = Clinic().plan(Clinic().genesis())
    page = render_plan_page(plan.payload, digest=plan.digest)
    assert page.count('class="flow added"') == len(plan.diff.changes) > 0
