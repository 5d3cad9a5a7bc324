"""Strict reading: each way to write a wrong file has its own code, and a broken document hides no other."""

from __future__ import annotations

import time

import pytest

from qnsp_policy.pipeline.documents import parse, render
from qnsp_policy.pipeline.documents.nodes import MAX_DEPTH
from qnsp_policy.pipeline.documents.reader import MAX_DOCUMENT, MAX_DOCUMENTS, MAX_FILE, MAX_PROBLEMS

GOOD = b"apiVersion: qnsp.policy/v1\nkind: Tenant\n"

BAD = {
    "not-utf-8": (b"a: \xff\n", "QNSP-DOC-001"),
    "utf-8-surrogate": (b"a: \xed\xa0\x80\n", "QNSP-DOC-001"),
    "bom": (b"\xef\xbb\xbfa: 1\n", "QNSP-DOC-002"),
    "utf-16": (b"\xff\xfea\x00", "QNSP-DOC-002"),
    "bom-inside": ("a: \ufeffb\n".encode(), "QNSP-DOC-002"),
    "nul": (b"a: \x00\n", "QNSP-DOC-003"),
    "escape-character": (b"a: \x1b[31m\n", "QNSP-DOC-004"),
    "c1-control": ("a: \x9b\n".encode(), "QNSP-DOC-004"),
    "unclosed-flow": (b"a: [1\n", "QNSP-DOC-005"),
    "text-after-the-document": (b"{a: 1} rest\n", "QNSP-DOC-005"),
    "bad-escape": (b'a: "\\q"\n', "QNSP-DOC-005"),
    "duplicate-key": (b"a: 1\nb: 2\na: 3\n", "QNSP-DOC-006"),
    "duplicate-key-quoted": (b"a: 1\n'a': 3\n", "QNSP-DOC-006"),
    "duplicate-key-deep": (b"a: {b: {debug: false, debug: true}}\n", "QNSP-DOC-006"),
    "anchor": (b"a: &x 1\n", "QNSP-DOC-007"),
    "alias": (b"a: &x [1]\nb: *x\n", "QNSP-DOC-007"),
    "undefined-alias": (b"a: *x\n", "QNSP-DOC-007"),
    "merge-key": (b"a: {<<: {b: 1}}\n", "QNSP-DOC-008"),
    "tag": (b"a: !vault x\n", "QNSP-DOC-009"),
    "core-tag": (b"a: !!str 1\n", "QNSP-DOC-009"),
    "tag-on-a-list": (b"a: !set [x]\n", "QNSP-DOC-009"),
    "python-tag": (b"a: !!python/object/apply:os.system [x]\n", "QNSP-DOC-009"),
    "undefined-tag-handle": (b"a: !e!x 1\n", "QNSP-DOC-009"),
    "non-specific-tag": (b"a: ! x\n", "QNSP-DOC-009"),
    "tab": (b"a:\n\tb: 1\n", "QNSP-DOC-010"),
    "empty-document": (b"a: 1\n---\n# nothing\n", "QNSP-DOC-011"),
    "null-document": (b"~\n", "QNSP-DOC-011"),
    "list-document": (b"- a\n", "QNSP-DOC-013"),
    "text-document": (b"hello\n", "QNSP-DOC-013"),
    "directive": (b"%YAML 1.2\n---\na: 1\n", "QNSP-DOC-020"),
    "number-as-key": (b"1: a\n", "QNSP-DOC-022"),
    "boolean-as-key": (b"true: a\n", "QNSP-DOC-022"),
    "null-as-key": (b"~: a\n", "QNSP-DOC-022"),
    "list-as-key": (b"? [a]\n: b\n", "QNSP-DOC-022"),
    "huge-integer": (b"a: 9007199254740992\n", "QNSP-DOC-023"),
    "enormous-integer": (b"a: " + b"9" * 5000 + b"\n", "QNSP-DOC-023"),
    "infinity": (b"a: .inf\n", "QNSP-DOC-023"),
    "not-a-number": (b"a: .NaN\n", "QNSP-DOC-023"),
    "float-overflow": (b"a: 1e999\n", "QNSP-DOC-023"),
    "lone-surrogate": (b'a: "\\ud800"\n', "QNSP-DOC-024"),
    "line-separator": ("a: \u2028\n".encode(), "QNSP-DOC-025"),
    "next-line": ("a: \x85\n".encode(), "QNSP-DOC-025"),
    "lone-carriage-return": (b"a: b\rc: d\n", "QNSP-DOC-025"),
    "right-to-left-override": ("a: \u202e\n".encode(), "QNSP-DOC-026"),
    "isolate": ("a: \u2066\n".encode(), "QNSP-DOC-026"),
    "long-scalar": (b"a: " + b"x" * 300_000 + b"\n", "QNSP-DOC-027"),
    "deep-flow": (b"a: " + b"[" * (MAX_DEPTH + 1), "QNSP-DOC-029"),
    "deep-block": (b"- " * 5000 + b"a\n", "QNSP-DOC-029"),
    "empty-file": (b"", "QNSP-DOC-034"),
    "only-comments": (b"# a\n\n  # b\n", "QNSP-DOC-034"),
    "large-document": (b"a: 1\n" + b"# \n" * (MAX_DOCUMENT // 3), "QNSP-DOC-012"),
    "many-documents": (b"--- {a: 1}\n" * (MAX_DOCUMENTS + 1), "QNSP-DOC-012"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_text_has_its_own_code(case: str) -> None:
    """Every wrong text is refused by the code of its own cause, at a place of that file, with a next step."""
    data, code = BAD[case]
    parsed = parse("wrong.yaml", data)
    assert [problem.code for problem in parsed.problems][:1] == [code]
    for problem in parsed.problems:
        assert problem.place is not None
        assert problem.place.file == "wrong.yaml"
        assert problem.next_step
        assert problem.message


def test_a_file_over_the_cap_is_not_decoded() -> None:
    """A huge file is refused by its size alone."""
    assert parse("a.yaml", b"#" * (MAX_FILE + 1)).problems[0].code == "QNSP-DOC-030"


def test_alias_bomb_is_refused_at_once() -> None:
    """Nested aliases never unfold."""
    lines = [b"a0: &a0 [x, x]"] + [b"a%d: &a%d [*a%d, *a%d]" % (n, n, n - 1, n - 1) for n in range(1, 40)]
    started = time.process_time()
    parsed = parse("bomb.yaml", b"\n".join(lines))
    assert {problem.code for problem in parsed.problems} == {"QNSP-DOC-007"}
    assert time.process_time() - started < 30


def test_a_broken_document_hides_no_other() -> None:
    """Documents around a broken one are read, and every broken one is told."""
    parsed = parse("a.yaml", b"a: 1\n---\nb: [\n---\nc: 3\n---\nd: 1\nd: 2\n---\ne: 5\n")
    assert [document.value for document in parsed.documents] == [{"a": 1}, {"c": 3}, {"e": 5}]
    assert [(p.code, p.place.line if p.place else 0) for p in parsed.problems] == [
        ("QNSP-DOC-005", 3),
        ("QNSP-DOC-006", 8),
    ]
    assert [(document.index, document.line) for document in parsed.documents] == [(0, 1), (2, 5), (4, 10)]


def test_problems_of_one_file_are_capped() -> None:
    """A file of nothing but mistakes tells a bounded number of them, and says so."""
    parsed = parse("a.yaml", b"\x01" * 100_000)
    assert len(parsed.problems) == MAX_PROBLEMS + 1
    assert parsed.problems[-1].code == "QNSP-DOC-028"


CORE = {
    "on": "on",
    "yes": "yes",
    "No": "No",
    "y": "y",
    "true": True,
    "False": False,
    "tRue": "tRue",
    "~": None,
    "null": None,
    "": None,
    "nULL": "nULL",
    "010": 10,
    "0o10": 8,
    "0x1F": 31,
    "1_000": "1_000",
    "1:30": "1:30",
    "190:20:30": "190:20:30",
    "2026-11-21": "2026-11-21",
    "2026-11-21T08:00:00Z": "2026-11-21T08:00:00Z",
    "1e3": 1000.0,
    "-0": 0,
    "+12": 12,
    ".5": 0.5,
    "1.": 1.0,
    "-": "-",
    ".": ".",
    "+": "+",
    "1.2.3": "1.2.3",
    "=": "=",
    "0b1": "0b1",
    "12h": "12h",
    "9007199254740991": 2**53 - 1,
}


@pytest.mark.parametrize("text", [text for text in CORE if text != "-"])
def test_plain_scalars_follow_yaml_1_2_core(text: str) -> None:
    """The core schema of YAML 1.2 and nothing of YAML 1.1."""
    parsed = parse("a.yaml", f"a: {text}\n".encode())
    assert not parsed.problems
    value = parsed.documents[0].value["a"]
    assert value == CORE[text]
    assert type(value) is type(CORE[text])


def test_quoted_scalars_are_text() -> None:
    """Quotes make text of anything, and block scalars are text."""
    parsed = parse("a.yaml", b'a: "1"\nb: \'true\'\nc: |\n  2\nd: >-\n  3\ne: ""\n')
    assert parsed.documents[0].value == {"a": "1", "b": "true", "c": "2\n", "d": "3", "e": ""}


def test_windows_line_ends_are_read() -> None:
    """CRLF ends a line like LF does."""
    parsed = parse("a.yaml", b"a: 1\r\n---\r\nb:\r\n  - 2\r\n")
    assert not parsed.problems
    assert [document.value for document in parsed.documents] == [{"a": 1}, {"b": [2]}]
    assert str(parsed.documents[1].place("b", 0)) == "a.yaml:4:5"


def test_documents_are_cut_at_markers_only() -> None:
    """`---` at the start of a line begins a document, `...` ends one, and neither does inside of a line."""
    parsed = parse("a.yaml", b"# head\n---\na: 1\n...\n# between\n---\nb: '---x'\nc: |\n  ---\n")
    assert not parsed.problems
    assert [document.value for document in parsed.documents] == [{"a": 1}, {"b": "---x", "c": "---\n"}]


def test_text_of_documents_is_escaped_for_terminals() -> None:
    """What an author writes reaches a terminal without its control characters."""
    parsed = parse("a\x1b]0;x\x07.yaml", b'"\\e[31mred": 1\n"\\e[31mred": 2\n')
    text = "\n".join(render(problem) for problem in parsed.problems)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\\x1b[31mred" in text
