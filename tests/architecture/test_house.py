"""The house drawn from its files: where input and output may happen, how large rooms may grow, what a docstring owes."""

from __future__ import annotations

import ast
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "qnsp_policy", ROOT / "stacks" / "qnsp_stacks", ROOT / "providers" / "pulumi_qnsp")

EDGE_FOLDERS = (
    "qnsp_policy/pipeline/engine",
    "qnsp_policy/services/guest",
    "qnsp_policy/simulator",
    "qnsp_policy/workflows",
    "qnsp_policy/cli",
    "qnsp_policy/testing",
    "providers",
)
PATH_METHODS = {
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "mkdir",
    "unlink",
    "rmdir",
    "touch",
    "iterdir",
    "glob",
    "rglob",
    "is_file",
    "is_dir",
    "chmod",
    "symlink_to",
    "hardlink_to",
}
ALLOWED = {
    # resource files of the package itself, read once
    "qnsp_policy/resources_edge.py",
    # prints its table when run as a program, for docs/formats
    "qnsp_policy/kernel/attestation/codes.py",
}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _is_edge(name: str) -> bool:
    file = name.rsplit("/", 1)[-1]
    return (
        name.startswith(EDGE_FOLDERS)
        or file.endswith("_edge.py")
        or file in {"app.py", "__main__.py"}
        or name in ALLOWED
    )


def _io_calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id in {"open", "input", "print"}:
                yield node.lineno, function.id
            elif isinstance(function, ast.Attribute) and function.attr in PATH_METHODS:
                yield node.lineno, f".{function.attr}()"


def test_files_are_touched_at_the_edges_only() -> None:
    """Outside `*_edge.py`, `app.py` and the rooms of the engine, nothing opens, lists or writes a file, or prints."""
    offenders = [
        f"{name}:{line} {what}" for name, tree in _modules() if not _is_edge(name) for line, what in _io_calls(tree)
    ]
    assert not offenders, "\n".join(offenders)


def test_clocks_are_read_at_the_edges_only() -> None:
    """No stage, kernel or client module asks what time it is; `now` is an argument."""
    offenders = []
    for name, tree in _modules():
        if _is_edge(name):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if (
                    node.func.attr in {"now", "utcnow", "today"}
                    and isinstance(owner, ast.Name)
                    and owner.id in {"datetime", "date"}
                ):
                    offenders.append(f"{name}:{node.lineno}")
    assert not offenders, "\n".join(offenders)


def test_every_module_says_what_it_is_for() -> None:
    """Every module has a docstring."""
    without = [name for name, tree in _modules() if tree.body and not ast.get_docstring(tree)]
    assert not without, "\n".join(without)


def test_files_stay_small() -> None:
    """A median file near 150 lines; nothing reaches 600."""
    sizes = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name, _ in _modules()}
    too_long = [f"{name}: {size}" for name, size in sizes.items() if size > 600]
    assert not too_long, "\n".join(too_long)
    assert statistics.median(sizes.values()) <= 170


def test_nobody_catches_everything_quietly() -> None:
    """`except Exception` and bare `except` stand only where a reason stands beside them."""
    offenders = []
    for name, tree in _modules():
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                caught = node.type.id if isinstance(node.type, ast.Name) else "" if node.type else "everything"
                if caught in {"Exception", "everything"} and "noqa: BLE001" not in lines[node.lineno - 1]:
                    offenders.append(f"{name}:{node.lineno}")
    assert not offenders, "\n".join(offenders)


def test_import_contracts() -> None:
    """The arrows of the house: wings, stages, services, kernel, documents, fakes (`.importlinter`)."""
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("import-linter is a development tool and is not installed")
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
