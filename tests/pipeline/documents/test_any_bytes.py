"""Whatever bytes come, reading them ends soon and says problems, never an exception."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.errors import DocumentError, DocumentErrors
from qnsp_policy.pipeline.documents import parse, render
from qnsp_policy.pipeline.documents.fmt import fmt
from qnsp_policy.pipeline.model import build
from qnsp_policy.testing.workspaces import sample_files

_PIECES = st.sampled_from(
    [
        "a", ": ", "- ", "? ", "[", "]", "{", "}", ",", "\n", "  ", "\t", "#", "&x ", "*x", "!t ", "|\n", ">-\n", "'", '"',
        "\\", "---\n", "...\n", "%YAML 1.2\n", "<<", "~", "1", ".inf", "0x", "\r\n", "\x00", "\u2028", "\ufeff", "é", "😀",
        "\x1b[2J", "kind: Tenant\n", "apiVersion: qnsp.policy/v1\n", "metadata: {name: x}\n", "spec:\n", "on", "\ud7ff",
    ]
)  # fmt: skip
_YAMLISH = st.lists(_PIECES, max_size=60).map(lambda parts: "".join(parts).encode())


@settings(max_examples=400)
@given(st.one_of(st.binary(max_size=400), _YAMLISH))
def test_any_bytes_give_documents_or_problems(data: bytes) -> None:
    """Reading, placing and rendering never raise anything."""
    parsed = parse("x.yaml", data)
    for problem in parsed.problems:
        assert isinstance(problem, DocumentError)
        assert render(problem).isprintable() or "\n" in render(problem)
    for document in parsed.documents:
        document.place("spec", "x", 0)
        document.key_place("kind")


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=300), _YAMLISH), st.sampled_from(["qnsp.yaml", "x.yaml"]))
def test_any_bytes_build_or_raise_document_errors(data: bytes, file: str) -> None:
    """Building a workspace with any bytes in it raises DocumentErrors and nothing else."""
    files = sample_files() | {file: data}
    try:
        build(files)
    except DocumentErrors as errors:
        assert errors.problems  # noqa: PT017 - not raising is fine as well
        for problem in errors.problems:
            assert "\x1b" not in render(problem)


@settings(max_examples=300)
@given(_YAMLISH)
def test_formatting_keeps_every_value_and_comes_to_rest(data: bytes) -> None:
    """Either the text is refused, or its values stay and a second formatting changes nothing."""
    parsed = parse("x.yaml", data)
    try:
        formatted = fmt(data.decode(), "x.yaml")
    except DocumentErrors:
        return
    assert [d.value for d in parse("x.yaml", formatted.encode()).documents] == [d.value for d in parsed.documents]
    assert fmt(formatted, "x.yaml") == formatted


_PLAIN = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
_VALUES = st.recursive(
    st.one_of(st.integers(-1000, 1000), st.booleans(), st.none(), _PLAIN),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_PLAIN, inner, max_size=4)),
    max_leaves=20,
)


@settings(max_examples=200)
@given(st.dictionaries(_PLAIN, _VALUES, min_size=1, max_size=5), st.integers(1, 7))
def test_what_another_writer_wrote_is_read_and_formatted_alike(value: dict[str, object], indent: int) -> None:
    """Documents of a foreign writer, at any indentation, keep their values through the formatter."""
    yaml = pytest.importorskip("yaml")
    text = yaml.safe_dump(value, indent=max(2, indent), default_flow_style=False, sort_keys=False)
    parsed = parse("x.yaml", text.encode())
    if parsed.problems:
        # PyYAML writes by YAML 1.1: what it leaves plain or quotes differs where 1.2 reads otherwise.
        assert {problem.code for problem in parsed.problems} <= {"QNSP-DOC-022", "QNSP-DOC-023", "QNSP-DOC-006"}
        return
    formatted = fmt(text)
    assert parse("x.yaml", formatted.encode()).documents[0].value == parsed.documents[0].value


HOSTILE = {
    "flow-openers": b"{a: " * 200_000,
    "block-nesting": b"".join(b" " * n + b"a:\n" for n in range(1400)),
    "quotes": b'"' * 900_000,
    "question-marks": b"? " * 400_000,
    "colons": b"a: " * 300_000,
    "long-key": b"a" * 1_000_000 + b": 1",
    "comments": b"#\n" * 1_000_000,
    "markers": b"---\n" * 300_000,
    "many-keys": b"".join(b"k%d: 1\n" % n for n in range(80_000)),
    "long-flow": b"[" * 31 + b"a," * 400_000,
    "anchors": b"&a " * 300_000,
    "stars": b"*" * 1_000_000,
    "nuls": b"\0" * 1_000_000,
    "broken-strings": b'"\\' * 400_000,
    "dashes": b"-" * 1_000_000,
    "percent": b"%" * 1_000_000,
    "bangs": b"! " * 400_000,
    "pipes": b"|" * 900_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_answered_soon(name: str) -> None:
    """A megabyte of the worst kind takes seconds of the processor at most, on any machine."""
    started = time.process_time()
    parse("x.yaml", HOSTILE[name])
    assert time.process_time() - started < 60
