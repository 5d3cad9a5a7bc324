"""A disk that is really full, or really read-only: a small file system of its own, where mounting is permitted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qnsp_policy.testing.needed import built_pulumi
from tests.faults.lab import QUICKSTART, Lab

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a prepared workspace `lab` in it."""
    built_pulumi()
    made = tmp_path_factory.mktemp("disks")
    lab = Lab.make(made / "lab")
    lab.write(*QUICKSTART)
    return made


def mounted(folder: Path, *line: str) -> subprocess.CompletedProcess[str]:
    """Run a module of ours in a mount namespace of its own."""
    tried = subprocess.run(["unshare", "-rm", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespaces here: {tried.stderr.strip()}")
    command = ["unshare", "-rm", sys.executable, "-m", "tests.faults.on_full_disk", str(folder), *line]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=1000, cwd=Path(__file__).parents[2]
    )


def test_a_full_disk_stops_an_apply_and_freed_it_goes_on(folder: Path) -> None:
    """With nothing left and with a little left: told as a full disk, reading still works, the same command goes on later."""
    done = mounted(folder, "0", "400")
    assert done.returncode == 0, done.stderr
    none, little = json.loads(done.stdout)
    assert (none["code"], "QNSP-ENG-011" in none["said"]) == (1, True), none
    assert little["code"] in {0, 1, 6}, little
    assert little["code"] == 0 or "disk is full" in little["said"] or "o space left" in little["said"], little


def test_a_read_only_disk_can_be_read(folder: Path) -> None:
    """What reads, reads; what would write is refused with the cause and changes nothing."""
    done = mounted(folder, "read-only")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    for name in ("validate", "check", "plan", "state list", "lock list", "ledger verify", "trust show", "drift"):
        assert answers[name]["code"] == 0, (name, answers[name])
    for name in ("plan --save", "approve", "apply", "state export", "key new"):
        assert answers[name]["code"] == 1, (name, answers[name])
        assert "ead-only" in answers[name]["said"], (name, answers[name])
        assert "= next:" in answers[name]["said"], (name, answers[name])
