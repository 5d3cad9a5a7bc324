"""docs/coverage.md tells the truth: every id stands in it, an id without tests is open, a named test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coverage.md"

IDS = [
    *(f"QN-{n}" for n in range(1, 17)),
    *(f"NV-{n}" for n in range(1, 13)),
    *(f"HZ-{n}" for n in range(1, 12)),
    *(f"DM-{n}" for n in range(1, 12)),
    *(f"C-{n}" for n in range(1, 16)),
]
STATES = {"shown", "first form", "open"}
ROW = re.compile(r"^\| ((?:QN|NV|HZ|DM|C)-\d+) \| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$")
TEST = re.compile(r"`([^`]+)`")


def _rows() -> dict[str, tuple[str, str, str]]:
    rows: dict[str, tuple[str, str, str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = ROW.match(line)
        if match:
            assert match.group(1) not in rows, f"{match.group(1)} stands twice"
            rows[match.group(1)] = (match.group(3).strip(), match.group(4), match.group(5))
    return rows


def _functions(file: Path) -> set[str]:
    return {
        node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("identifier", IDS)
def test_id(identifier: str) -> None:
    """Each id has one row; what is not open names a test of the working case and one of the refused case, and all exist."""
    rows = _rows()
    assert identifier in rows, f"{identifier} is missing from docs/coverage.md"
    state, works, refuses = rows[identifier]
    assert state in STATES
    named = TEST.findall(works) + TEST.findall(refuses)
    if state == "open":
        assert not named, f"{identifier} names tests, so it is not open"
        return
    assert TEST.findall(works), f"{identifier} is {state} without a test of the working case"
    assert TEST.findall(refuses), f"{identifier} is {state} without a test of the refused case"
    for name in named:
        file, _, function = name.partition("::")
        path = ROOT / "tests" / file
        if file.startswith("policies/") and file.endswith(".rego"):
            path = ROOT / file
        assert path.exists(), f"{identifier} names {file}, which is not there"
        if function:
            assert function in _functions(path), f"{identifier} names {function}, which is not in {file}"


def test_nothing_else_stands_there() -> None:
    """No row of an id that is not one."""
    assert set(_rows()) == set(IDS)
