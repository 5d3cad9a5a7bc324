"""Commands that die, or whose disk fails, at a call by which they change files: run again, nothing is lost and nothing is left.

A sample by `QNSP_KILL_SEED` (1) of what `python -m tests.faults.walk` and `tests.faults.calls` walk whole.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qnsp_policy.testing.needed import built_pulumi
from tests.faults.calls import Calls
from tests.faults.lab import Lab
from tests.faults.walk import SCENARIOS, built

pytestmark = [pytest.mark.functional, pytest.mark.slow]
SEED = os.environ.get("QNSP_KILL_SEED", "1")
HERE = Path(__file__).parents[2]
SHARE, WAYS = "0.01", "1"
SLOW = frozenset({"init", "init bare"})
"""They make keys of vendors for every point; how they begin anew has a test of its own."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here, which the preloaded library is built with")
    return built(tmp_path_factory.mktemp("library"))


def test_quick_commands_at_points_of_their_work(library: Path, tmp_path: Path) -> None:
    """Killed, killed within a write, a full, failing or read-only disk, no descriptors: told, and the same line ends well."""
    line = [
        sys.executable,
        "-m",
        "tests.faults.walk",
        str(tmp_path),
        SHARE,
        WAYS,
        SEED,
        *sorted(SCENARIOS.keys() - SLOW),
    ]
    done = subprocess.run(
        line, env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, text=True, check=False, cwd=HERE
    )
    told = [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]
    assert [finding for scenario in told for finding in scenario["found"]] == [], f"seed {SEED}"
    assert {scenario["scenario"] for scenario in told} == SCENARIOS.keys() - SLOW, done.stderr
    assert all(scenario["tried"] and all(scenario["tried"].values()) for scenario in told)


@pytest.mark.engine
def test_an_apply_and_a_destroy_at_a_point_of_their_work(library: Path, tmp_path: Path) -> None:
    """A cycle from nothing to nothing, whose apply and destroy are struck once each."""
    built_pulumi()
    calls = Calls(Lab.make(tmp_path / "lab"), library)
    try:
        calls.cycle(int(SEED), "command", random.Random(SEED).choice(["kill", "torn", "EIO", "ENOSPC", "EROFS"]))
    finally:
        calls.lab.end()
    assert sum(" of command at " in text for text in calls.told) == 2
