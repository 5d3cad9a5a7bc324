"""The command line as a process of its own or in this one, and a workspace of a template that is applied with it; for tests of whole lines."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from qnsp_policy.cli.main import main


def run(root: Path, *line: str, expected: int | None = 0) -> Any:
    """One command with JSON output; its exit code must be the expected one."""
    command = [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(root), "--format", "json", *line]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)  # noqa: S603 -- our own
    if expected is not None:
        assert done.returncode == expected, f"{line}: {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def run_here(capsys: pytest.CaptureFixture[str], root: Path, *line: str, code: int = 0) -> Any:
    """One command with JSON output in this process; its exit code must be this."""
    capsys.readouterr()
    got = main(["-C", str(root), "--format", "json", *line])
    out = capsys.readouterr().out
    assert got == code, out[-1500:]
    return json.loads(out)


@contextlib.contextmanager
def applied(root: Path, *, interrupted: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Apply the workspace's approved `one.plan`, interrupted before if asked; destroyed at the end, when no process of it may be left."""
    try:
        if interrupted is not None:
            interrupted(root)
        done = run(root, "apply", str(root / "one.plan"))
        assert {unit["status"] for unit in done["units"]} <= {"applied", *(["already"] if interrupted else [])}
        yield root
    finally:
        run(root, "destroy", "--approve-as", "bob", "--save", str(root / "end.plan"), expected=None)
        left = [process for process in psutil.process_iter() if str(root) in " ".join(_words(process))]
        assert not psutil.wait_procs(left, 60)[1], "destroy leaves no process behind"


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


__all__ = ["applied", "run", "run_here"]
