"""Every value has a place, a missing one that of its nearest parent, and a snippet with a caret."""

from __future__ import annotations

import pytest

from qnsp_policy.errors import Place
from qnsp_policy.pipeline.documents import SourceDocument, parse
from qnsp_policy.testing.generator import generated_files

TEXT = b"""# a comment
apiVersion: qnsp.policy/v1
kind: Tenant
metadata: {name: clinic}
spec:
  regions: [local, "eu"]
  keys:
    - name: model/a
      rotation: 30d
    - {name: model/b}
  text: |
    two
    lines
  empty:
  "quoted key": 1
---
kind: Second
spec: {a: 1}
"""


@pytest.fixture
def document() -> SourceDocument:
    return parse("t.yaml", TEXT).documents[0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("kind",), "3:7"),
        (("metadata", "name"), "4:18"),
        (("metadata",), "4:11"),
        (("spec",), "5:1"),
        (("spec", "regions", 1), "6:20"),
        (("spec", "keys"), "7:3"),
        (("spec", "keys", 0), "8:7"),
        (("spec", "keys", 0, "rotation"), "9:17"),
        (("spec", "keys", 1, "name"), "10:14"),
        (("spec", "text"), "11:9"),
        (("spec", "empty"), "14:3"),
        (("spec", "quoted key"), "15:17"),
        (("spec", "missing"), "5:1"),
        (("spec", "keys", 0, "missing"), "8:7"),
        (("spec", "keys", 7), "7:3"),
        (("nothing", "at", "all"), "2:1"),
        ((), "2:1"),
    ],
)
def test_place_of_a_value(document: SourceDocument, path: tuple[str | int, ...], expected: str) -> None:
    """A value stands where its text begins, a block at its key, a missing field at its nearest parent."""
    assert str(document.place(*path)) == f"t.yaml:{expected}"


def test_place_of_a_key(document: SourceDocument) -> None:
    """A key has a place of its own, with its end for the caret."""
    assert document.key_place("spec", "regions") == Place("t.yaml", 6, 3, 10)


def test_snippet_draws_the_caret_under_the_value(document: SourceDocument) -> None:
    """The caret stands under the value, with the file's own line number."""
    drawn = document.snippet(document.place("spec", "regions", 1), "here")
    assert drawn.split("\n") == ["  |", '6 |   regions: [local, "eu"]', "  |                    ^^^^ here"]


def test_places_count_lines_of_the_file_not_of_the_document() -> None:
    """A later document knows the lines before it."""
    second = parse("t.yaml", TEXT).documents[1]
    assert str(second.place("spec", "a")) == "t.yaml:18:11"
    assert second.snippet(second.place("spec", "a")).startswith("   |\n18 | spec: {a: 1}\n")


def test_columns_count_code_points() -> None:
    """Characters outside of the basic plane count as one column."""
    document = parse("t.yaml", "a: {😀: é, b: 1}\n".encode()).documents[0]
    assert str(document.place("a", "b")) == "t.yaml:1:14"


def test_a_long_line_is_cut_around_the_caret() -> None:
    """A line of a thousand characters shows only what is near the caret."""
    parsed = parse("t.yaml", b"a: {" + b"".join(b"x%d: 1, " % n for n in range(200)) + b"dup: 1, dup: 2}\n")
    snippet = getattr(parsed.problems[0], "snippet", "")
    assert len(max(snippet.split("\n"), key=len)) < 220
    assert snippet.split("\n")[2].rstrip().endswith("^^^")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: A\nspec:\n  a: 1\n", "2:1"),
        ("kind: A\nspec: # why\n  a: 1\n", "2:1"),
        ("kind: A\nspec:\n  # why\n  a: 1\n", "2:1"),
        ("kind: A\nspec:\n  {a: 1}\n", "3:3"),
        ("kind: A\nspec: {a: 1}\n", "2:7"),
        ('"spec":\n  a: 1\nkind: A\n', "1:1"),
        ('kind: "A\n\nspec:\n  b"\nspec:\n  a: 1\n', "5:1"),
        ("spec:\n  a: |\n    spec:\n      b: 1\nkind: A\n", "1:1"),
        ("{kind: A, spec: {a: 1}}\n", "1:17"),
    ],
)
def test_the_short_way_to_a_top_level_block_tells_what_the_node_tree_tells(text: str, expected: str) -> None:
    """A block of the document itself is placed without composing; wherever that could be wrong, the tree decides."""
    place = parse("a.yaml", text.encode()).documents[0].place("spec")
    assert f"{place.line}:{place.column}" == expected


_MEMBERS = [
    "spec:\n  a: one\n  b: [two, three]\n",
    "spec:\n  a: one   # why\n  b:   [two, three] # why\n",
    "spec:\n  a:\n    one\n  c:\n    a: one\n  b: [two,three]\n",
    "spec:\n  a : one\n  c:\n    a: one\n  b:\n    - two\n    - three\n",
    "spec:\n  'a': one\n  c:\n    a: one\n  b: [two, 'three']\n",
    "spec:\n  ? a\n  : one\n  c:\n    a: one\n  b: two\n",
    "spec:\n  c: {x: y,\n    a: one}\n  a: one\n",
    "spec:\n  c: |\n   a: one\n  a: two\n",
    "spec:\n  c: 'x\n    a: one'\n  a: one\n",
    "spec:\n  a: one\n    two\n  b: [two,\n    three]\n",
    "spec:\n  a: 7\n  b: [1, 2]\n",
    "spec:\n  a: one#two\n  b: []\n",
    "spec:\n  a:\n  b: [a b, c]\n",
    "spec:\n  a: one\n# a: one\n  b: one\n",
    "spec: {a: one, b: two}\n",
    "metadata:\n  a: one\nspec:\n  b: two\n",
]


@pytest.mark.parametrize("text", _MEMBERS)
@pytest.mark.parametrize("path", [("spec",), ("spec", "a"), ("spec", "b"), ("spec", "missing"), ("spec", "c")])
def test_the_short_way_to_a_member_tells_what_the_node_tree_tells(text: str, path: tuple[str, ...]) -> None:
    """A comment that holds a quote sends the same question to the tree: the answers are the same."""
    short, whole = (parse("a.yaml", (text + more).encode()).documents[0] for more in ("", "# '\n"))
    assert short.value == whole.value
    assert short.place(*path) == whole.place(*path)


def test_members_of_generated_documents_stand_where_the_node_tree_says() -> None:
    """Every member of every kind that the generator writes, one level below the top."""
    for name, data in generated_files(60).items():
        for document in parse(name, data).documents:
            whole = SourceDocument(name, 0, document.line, document.value, document.text + "\n# '", document.first_line)
            for member in document.value["spec"]:
                assert document.place("spec", member) == whole.place("spec", member)
