"""The pages about documents say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import qnsp_policy
from qnsp_policy.pipeline.documents import discover_edge, nodes, parse, reader
from qnsp_policy.pipeline.model.reference import reference_markdown
from qnsp_policy.pipeline.model.schema import json_schema

ROOT = Path(qnsp_policy.__file__).parent.parent
PAGES = ROOT / "docs" / "formats"
CODE = re.compile(r"QNSP-(?:DOC|REF|MOD)-\d{3}")
ELSEWHERE = {"QNSP-DOC-000"}


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    """The table of codes is the set of codes in the source."""
    sources = [
        *(ROOT / "qnsp_policy/pipeline/documents").rglob("*.py"),
        *(ROOT / "qnsp_policy/pipeline/model").rglob("*.py"),
    ]
    used = {code for source in sources for code in CODE.findall(source.read_text())}
    table = re.findall(r"^\| (QNSP-[A-Z]+-\d{3}) \|", (PAGES / "documents.md").read_text(), re.MULTILINE)
    assert len(table) == len(set(table))
    assert set(table) - ELSEWHERE == used - ELSEWHERE


def test_generated_pages_are_fresh() -> None:
    """kinds.md and the schema are what the models give (`python -m qnsp_policy.pipeline.model.reference_edge docs/formats`)."""
    assert (PAGES / "kinds.md").read_text() == reference_markdown()
    assert json.loads((PAGES / "qnsp.policy-v1.json").read_text()) == json_schema()


def test_caps_are_the_documented_ones() -> None:
    """The numbers of the page are those of the code."""
    assert reader.MAX_FILE == 32 * 2**20
    assert reader.MAX_DOCUMENT == 2**20
    assert reader.MAX_DOCUMENTS == 100_000
    assert reader.MAX_PROBLEMS == 200
    assert nodes.MAX_DEPTH == 32
    assert nodes.MAX_SCALAR == 256 * 1024
    limits = discover_edge.Limits()
    assert (limits.total, limits.files, limits.file) == (512 * 2**20, 20_000, reader.MAX_FILE)


def test_the_example_of_the_page_is_a_document() -> None:
    """What a reader copies from the page parses."""
    (example,) = re.findall(r"```yaml\n(.*?)```", (PAGES / "documents.md").read_text(), re.DOTALL)
    parsed = parse("example.yaml", example.encode())
    assert not parsed.problems
    assert parsed.documents[0].address == "Tenant/clinic"
