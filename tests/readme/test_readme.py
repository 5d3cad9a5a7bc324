"""The README does what it says: its commands run in order, its links lead somewhere, its verbs exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def test_links_lead_somewhere() -> None:
    """Every relative link of README and of the pages under docs names a file that exists."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


def test_the_first_two_commands_are_targets() -> None:
    """`make demo` and `make test` are the first two commands, and make knows them."""
    assert [block.strip() for block in BLOCKS[:2]] == ["make demo", "make test"]
    known = subprocess.run(["make", "-qp", "help"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for target in ("setup", "demo", "test", "check", "bench", "docs", "lock", "rules"):
        assert re.search(rf"^{target}:", known, re.MULTILINE), target


def test_ci_runs_the_second_command() -> None:
    """CI passes exactly what `make test` passes."""
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.engine
@pytest.mark.slow
def test_by_hand(tmp_path: Path) -> None:
    """The block "By hand", typed line by line into a shell, ends without an error."""
    block = next(block for block in BLOCKS if "init --template quickstart" in block)
    script = "set -euo pipefail\n" + block.replace(". .venv/bin/activate\n", "")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1000, check=False
    )
    if done.returncode != 0:
        destroy = ["bash", "-c", "cd lab && qnsp-policy destroy --approve-as bob"]
        subprocess.run(destroy, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "simulated    evidence" in done.stdout
    assert "no drift in 7 units" in done.stdout
