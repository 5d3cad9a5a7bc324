"""A program of others is killed at its deadline and at its limit, sees nothing of ours, and leaves nothing running."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from qnsp_policy.kernel.outside_edge import Said, run_outside
from qnsp_policy.kernel.processes_edge import identify


def run(code: str, folder: Path, *, seconds: float = 120.0, limit: int = 100_000, stdin: bytes = b"") -> Said:
    line = [sys.executable, "-I", "-S", "-c", code]
    return run_outside(line, folder=folder, environment={"ONLY": "this"}, stdin=stdin, seconds=seconds, limit=limit)


def test_what_it_says_comes_back(tmp_path: Path) -> None:
    """Output, end of the errors, exit code; standard input reaches it."""
    code = "import sys; print(sys.stdin.read()[::-1], end=''); print('oh', file=sys.stderr); sys.exit(3)"
    assert run(code, tmp_path, stdin=b"abc") == Said(3, b"cba", "oh\n")


def test_it_sees_the_given_environment_only(tmp_path: Path) -> None:
    """Nothing of our environment is inherited."""
    assert run("import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))", tmp_path).output == b"['ONLY']\n"


@pytest.mark.parametrize(
    ("code", "seconds", "why"),
    [
        ("import time; time.sleep(600)", 1.0, "did not end within 1 s"),
        ("import os, time; os.close(1); os.close(2); time.sleep(600)", 120.0, "closed its output"),
        ("while True: print('x' * 4096)", 120.0, "wrote more than"),
        ("import sys\nwhile True: sys.stderr.write('x' * 4096)", 120.0, "wrote more than"),
    ],
)
def test_it_is_killed(tmp_path: Path, code: str, seconds: float, why: str) -> None:
    """One that hangs or never stops talking is killed, in time."""
    started = time.monotonic()
    said = run(code, tmp_path, seconds=seconds)
    assert why in said.failure
    assert said.code is None
    assert time.monotonic() - started < 120


def test_its_children_end_with_it(tmp_path: Path) -> None:
    """A child that it left in its process group is gone when it is."""
    code = (
        "import os, time\npid = os.fork()\n"
        "if pid == 0:\n    os.close(1); os.close(2); time.sleep(600)\nelse:\n    print(pid, flush=True)"
    )
    child = int(run(code, tmp_path).output)
    deadline = time.monotonic() + 60
    while identify(child) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_no_program(tmp_path: Path) -> None:
    """A name that leads nowhere is a failure with its reason."""
    said = run_outside([str(tmp_path / "none")], folder=tmp_path, environment={}, seconds=60)
    assert said.failure == "cannot be run: No such file or directory"
