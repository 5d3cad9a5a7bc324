"""Renderers: hostile names stay text in every output, formats stay within their readers' limits, JSON names are stable."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import DocumentError, Place
from qnsp_policy.pipeline.review import ci, escape, findings_text, sarif
from qnsp_policy.pipeline.review.graph import Graph, render_dot, render_mermaid
from qnsp_policy.pipeline.review.plan_text import render_plan, render_plan_markdown
from qnsp_policy.pipeline.review.problems import render_problems
from qnsp_policy.pipeline.review.style import painter, plain
from qnsp_policy.pipeline.review.trust_text import headline, render_trust_diff
from qnsp_policy.pipeline.rules.findings import Finding, RulesReport, RuleTally, Severity, fingerprint

HOSTILE = "x\x1b[2J\n::error::pwned\r`</details>@everyone|<script>alert(1)</script>\u202e%0A$(rm -rf)"


def _finding(
    number: int = 0, text: str = "it is weak", severity: Severity = Severity.HIGH, waived: str | None = None
) -> Finding:
    rule, address, path = "crypto/signature-below-tier", f"Endpoint/e{number}", ("spec", "responseSignature")
    return Finding(
        rule=rule,
        severity=severity,
        address=address,
        path=path,
        place=Place("endpoints.yaml", 14 + number, 35),
        message=text,
        remediation="set it to ML-DSA-87",
        controls=("ISO 27001 A.8.24",),
        waived_by=waived,
        fingerprint=fingerprint(rule, address, path),
    )


def _report(*findings: Finding) -> RulesReport:
    return RulesReport(
        findings=findings,
        rules_evaluated=31,
        documents=214,
        engine="wasm",
        engine_version="1",
        bundle_digest="sha256:00",
        tallies={"crypto/signature-below-tier": RuleTally(3, 2), "tenancy/x": RuleTally(0, 0)},
    )


CHANGE = {
    "broker": "KeyBroker/main",
    "tenant": "Tenant/research",
    "resource": "research/data/notes",
    "enclave": "Enclave/research-cpu",
    "direction": "weakened",
    "unexplained": False,
    "weakens": True,
    "lines": [
        {
            "subject": "microcode floor",
            "before": "209",
            "after": "115",
            "direction": "wider",
            "place": "reference-values.yaml:22:7",
        }
    ],
    "causes": [],
    "conditions": "",
    "place": "reference-values.yaml:22:7",
}


def test_terminal_text_holds_no_control_character() -> None:
    """A finding about a hostile name rewrites no terminal and starts no line of its own."""
    hostile = replace(_finding(), address=HOSTILE, message=HOSTILE)
    text = findings_text.render_report(_report(hostile))
    assert "\x1b" not in text
    assert "\r" not in text
    assert "\u202e" not in text
    assert not any(line.startswith("::error") for line in text.split("\n"))
    assert "\\x1b[2J\\n::error" in text


def test_colour_adds_never_carries() -> None:
    """Without paint the text says the same."""
    import re

    painted = findings_text.render_report(_report(_finding()), paint=painter(on=True))
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == findings_text.render_report(_report(_finding()), paint=plain)


def test_workflow_commands_cannot_be_forged() -> None:
    """One finding is one annotation; a newline in a name starts no second command, a colon ends no property."""
    hostile = replace(_finding(), address=HOSTILE, message=HOSTILE, place=Place("a,b:c\n::x::.yaml", 1, 1))
    lines = ci.render_annotations(_report(hostile)).split("\n")
    assert len(lines) == 1
    assert lines[0].startswith("::error file=a%2Cb%3Ac")
    assert "::x::" not in lines[0].split(",line=")[0]


def test_annotations_are_capped_and_counted() -> None:
    """Ten of a level are shown, worst first; the rest is counted."""
    text = ci.render_annotations(_report(*(_finding(n) for n in range(14))))
    assert text.count("::error ") == 10
    assert "4 more findings" in text


@pytest.mark.parametrize("part", ["<script", "@everyone", "\n::error", "\x1b"])
def test_markdown_is_inert(part: str) -> None:
    """Nothing of a hostile name formats, mentions, or leaves its table cell."""
    text = ci.render_markdown(
        _report(replace(_finding(), message=HOSTILE)), diff={"changes": [], "unchanged": 1}, new=None
    )
    row = next(line for line in text.split("\n") if "it is" in line or "x\\\\x1b" in line or line.startswith("| high"))
    assert part not in row.replace("`", "")


def test_markdown_opens_with_what_to_do() -> None:
    """One line a reviewer can act on, then the trust diff, then new findings, then the rest folded."""
    old, fresh = _finding(0), _finding(1)
    diff = {"changes": [CHANGE], "unchanged": 4}
    text = ci.render_markdown(_report(old, fresh), diff=diff, new=frozenset({fresh.fingerprint}))
    first = text.split("\n")[1]
    assert first == "**Weakens 1 key policy for tenant research; 1 new findings.**"
    assert text.index("### Trust") < text.index("### New findings") < text.index("<details>")
    assert "- ! WEAKENED" in text


def test_a_comment_fits_where_it_is_posted() -> None:
    """A comment is cut in the middle, with its folds closed, below 65,000 characters."""
    text = ci.render_markdown(_report(*(_finding(n, "word " * 40) for n in range(600))), diff=None, new=frozenset())
    assert len(text) < 65_000
    assert text.count("<details>") == text.count("</details>")
    assert "left out" in text


def test_waived_findings_say_until_when() -> None:
    """The count names the first day on which a waiver ends; a waived finding shows its own."""
    waived = [
        replace(_finding(n, waived="Waiver/w"), waived_until=day) for n, day in enumerate(["2027-01-31", "2026-12-01"])
    ]
    text = findings_text.render_report(_report(*waived), show_waived=True)
    assert "Waived by Waiver/w until 2027-01-31." in text
    assert "2 waived (the first until 2026-12-01)." in text


@pytest.mark.parametrize("controls", [("A.1",), tuple(f"FRAMEWORK {n}.{n}" for n in range(9)), ()], ids=len)
def test_a_command_to_copy_stands_on_one_line(controls: tuple[str, ...]) -> None:
    """However long the controls are, the command that explains the rule is not broken."""
    finding = replace(_finding(), controls=controls)
    text = findings_text.render_finding(finding)
    assert "More: qnsp-policy explain crypto/signature-below-tier" in text
    assert max(map(len, text.split("\n"))) <= findings_text.WIDTH


def test_junit_shows_passes_failures_and_waived() -> None:
    """Clean rules are cases too; hostile text is XML text."""
    report = _report(replace(_finding(), message=HOSTILE), _finding(1, waived="Waiver/w"))
    root = ET.fromstring(ci.render_junit(report))
    cases = root.findall(".//testcase")
    assert root.attrib["failures"] == "1"
    assert root.attrib["skipped"] == "1"
    assert any("2 of 3 passed" in case.attrib["name"] for case in cases)
    failure = next(case.find("failure") for case in cases if case.find("failure") is not None)
    assert failure is not None
    assert "\x1b" not in (failure.text or "")


def test_gitlab_entries_are_complete() -> None:
    """Every entry has all five members: one without a severity hides all that follow."""
    entries = json.loads(
        ci.render_gitlab(_report(_finding(), _finding(1, severity=Severity.INFO), _finding(2, waived="Waiver/w")))
    )
    assert len(entries) == 2
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert entry["location"]["lines"]["begin"] >= 1


def test_sarif_profiles() -> None:
    """The full profile keeps waived findings with their justification, GitHub's drops them; lines start at 1."""
    report = _report(replace(_finding(), place=Place("ä b.yaml", 0, 0)), _finding(1, waived="Waiver/w"))
    full = json.loads(sarif.render_sarif(report, version="1"))
    github = json.loads(sarif.render_sarif(report, version="1", profile="github"))
    assert full["runs"][0]["results"][1]["suppressions"][0]["justification"] == "Waiver/w"
    assert len(github["runs"][0]["results"]) == 1
    location = full["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["region"] == {"startLine": 1, "startColumn": 1}
    assert location["artifactLocation"]["uri"] == "%C3%A4%20b.yaml"
    assert len(full["runs"]) == 1
    for result in full["runs"][0]["results"]:
        rule = full["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"]]
        assert rule["id"] == result["ruleId"]
        assert len(result["partialFingerprints"]["primaryLocationLineHash"]) == 32
    jsonschema.validate(
        full, {"type": "object", "required": ["version", "runs"], "properties": {"version": {"const": "2.1.0"}}}
    )


def test_fingerprints_survive_reformatting() -> None:
    """A finding that moves to another line is the same finding."""
    moved = replace(_finding(), place=Place("other.yaml", 99, 1))
    assert moved.fingerprint == _finding().fingerprint


def test_trust_diff_puts_weakened_first() -> None:
    """Weakened trust is impossible to overlook: first line, in capitals, with the line that causes it."""
    added = {
        **CHANGE,
        "direction": "added",
        "weakens": False,
        "lines": [],
        "conditions": "sev-snp",
        "enclave": "Enclave/new",
    }
    text = render_trust_diff({"changes": [added, CHANGE], "unchanged": 3})
    first = text.split("\n")[0]
    assert "! WEAKENED" in first
    assert "microcode floor: 209 -> 115" in first
    assert "(reference-values.yaml:22:7)" in first
    assert "+ new may obtain" in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ([], "Changes no key policy"),
        ([CHANGE], "Weakens 1 key policy for tenant research"),
        ([{**CHANGE, "direction": "added", "weakens": False}] * 2, "Adds 2 key policies for tenant research"),
    ],
)
def test_headline(changes: list[dict[str, object]], line: str) -> None:
    """The one line says how many policies, in which direction, for whom."""
    assert headline({"changes": changes}) == line


PLAN: dict[str, Any] = {
    "formatVersion": "1.0",
    "author": "alice@clinic.example",
    "actions": [
        {
            "unit": "broker/main",
            "op": "update",
            "reasons": [{"text": HOSTILE, "place": "tenants.yaml:9:1"}],
            "differences": [{"path": "a", "op": "change", "before": 1, "after": HOSTILE}],
            "steps": [],
            "skipped": False,
        },
        {"unit": "tenant/x", "op": "no-op", "reasons": [], "differences": [], "steps": [], "skipped": False},
        {"unit": "tenant/y", "op": "update", "reasons": [], "differences": [], "steps": [], "skipped": True},
    ],
    "trust": {
        "diff": {"changes": [CHANGE], "unchanged": 2},
        "crossTenant": {"pairs": 6, "crossed": [], "outside": ["cloud account admins"]},
        "trustRoot": None,
        "destroys": [{"text": "key clinic/model: 3 artefacts unreadable for ever"}],
    },
    "findings": [{"severity": "medium"}, {"severity": "low", "waivedBy": "Waiver/w"}],
    "approvalsNeeded": [{"reason": "weakened trust", "count": 1, "who": ["bob@clinic.example"], "root": "in force"}],
}


def test_plan_text_is_concise_and_full_on_demand() -> None:
    """Unchanged units are counted, `full` shows them and the properties; what is left out is said."""
    text = render_plan(PLAN)
    assert "~ broker/main" in text
    assert "(tenants.yaml:9:1)" in text
    assert "1 unit unchanged" in text
    assert "left out by --target or --exclude: tenant/y" in text
    assert "DESTROYS key clinic/model" in text
    assert "Findings   1 medium, 1 waived" in text
    assert "1 for weakened trust: bob@clinic.example" in text
    assert "no declared grant crosses a tenant (6 of 6 pairs; outside this model: cloud account admins)" in text
    assert "\x1b" not in text
    full = render_plan(PLAN, full=True)
    assert "tenant/x" in full
    assert "a: 1 -> " in full
    assert "\x1b" not in full


def test_a_reason_names_the_object_not_its_path() -> None:
    """A change of a broker's object is told by what the object is; any other reason stays as it is."""
    path = "brokers[KeyBroker/main].objects[release-policy/clinic/model/minilm].object.grants[a].floor 2 -> 1"
    (action, *others) = PLAN["actions"]
    for text, told in ((path, "release policy clinic/model/minilm: grants[a].floor 2 -> 1"), ("image a -> b",) * 2):
        changed = {**action, "reasons": [{"text": text, "place": ""}]}
        assert f"~ broker/main                    {told}\n" in render_plan(PLAN | {"actions": [changed, *others]})


def test_what_stays_rests_on_the_same_and_is_told_in_full() -> None:
    """A plan says what its changed units rest on; `full` says it of all; skipped and unchanged units are no change."""
    model = {"trusted": ["a"], "notTrusted": [], "measured": [], "notMeasured": ["b"], "notProtected": []}
    plan = PLAN | {
        "restsOn": {
            "broker/main": model | {"assurance": "simulated"},
            "tenant/x": model | {"assurance": "none"},
            "tenant/y": model | {"assurance": "none"},
        }
    }
    text = render_plan(plan)
    assert "broker/main: simulated\n        trusted: a\n        not measured: b" in text
    assert "tenant/x: none" not in text
    assert "tenant/x, tenant/y: none" in render_plan(plan, full=True)


def test_plan_markdown_cannot_be_left() -> None:
    """The fence is longer than any run of backticks inside."""
    text = render_plan_markdown(PLAN)
    assert text.startswith("**Weakens 1 key policy for tenant research; 1 unit change.**")
    assert "\x1b" not in text


def test_graphs_quote_their_labels() -> None:
    """Names cannot leave their quotes in dot or Mermaid."""
    graph = Graph((('a"b', 'x"];evil', "g"),), (('a"b', 'a"b', '"|evil'),))
    assert '\\"];evil' in render_dot(graph)
    assert '"];evil' not in render_mermaid(graph)


def test_several_problems_are_counted() -> None:
    """All errors, a blank line between them, and how many."""
    text = render_problems(
        [DocumentError("QNSP-DOC-001", "a", place=Place("x.yaml")), DocumentError("QNSP-DOC-002", "b")]
    )
    assert text.endswith("2 errors in 1 file. Nothing was evaluated.")


@given(st.text())
def test_visible_is_one_printable_line(text: str) -> None:
    """Whatever comes in, one printable line goes out; printable ASCII is unchanged."""
    shown = escape.visible(text)
    assert "\n" not in shown
    assert shown.isprintable() or not shown
    if text.isascii() and text.isprintable():
        assert shown == text


@given(st.text())
def test_fences_and_spans_hold(text: str) -> None:
    """A span and a block cannot be closed from inside; XML text always parses."""
    block = escape.fenced(text)
    fence = block.split("\n")[0]
    assert not any(line.startswith(fence) for line in block.split("\n")[1:-1])
    ET.fromstring(f"<a b='{escape.xml_text(text)}'>{escape.xml_text(text)}</a>")
    assert "\n" not in escape.workflow_data(text)
    assert ":" not in escape.workflow_property(text)
