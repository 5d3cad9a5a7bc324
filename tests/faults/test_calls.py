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
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnsp_policy.testing.needed import built_pulumi
from tests.faults.calls import UNITS, Calls
from tests.faults.lab import QUICKSTART, Lab
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


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    built_pulumi()
    made = Lab.make(tmp_path_factory.mktemp("calls") / "lab")
    yield made
    made.end()


@pytest.mark.engine
def test_an_apply_and_a_destroy_at_a_point_of_their_work(library: Path, lab: Lab) -> None:
    """A cycle from nothing to nothing, whose apply and destroy are struck once each."""
    calls = Calls(lab, library)
    calls.cycle(int(SEED), "command", random.Random(SEED).choice(["kill", "torn", "EIO", "ENOSPC", "EROFS"]))
    assert sum(" of command at " in text for text in calls.told) == 2


@pytest.mark.engine
def test_a_clock_that_is_wrong_lets_nothing_pass(library: Path, lab: Lab) -> None:
    """Days ahead, days behind: refused; a day lost within an apply: what it meets is refused, and it is gone on with."""
    lab.write(*QUICKSTART)
    plan, told, right = str(lab.root / "one.plan"), list[str](), lab.environment
    lab.settled("plan", "--save", plan, "--as", "alice", told=told)
    lab.settled("approve", plan, "--as", "bob", "--yes", told=told)
    for clock, code, said in (
        ("0:172800", {4}, "QNSP-PLN-010"),
        ("0:-172800", {4}, "QNSP-PLN-011"),
        ("2:-86400", {0, 4, 6}, ""),
    ):
        lab.environment = {**right, "LD_PRELOAD": str(library), "POINTS_CLOCK": clock}
        try:
            ended = lab.run("apply", plan)
        finally:
            lab.environment = right
        lab.decent(ended)
        assert ended.code in code, ended.said
        assert said in ended.said
    lab.settled("apply", plan, told=told)
    lab.whole(units=set(UNITS), names={"broker-main"})
    lab.settled("destroy", "--approve-as", "bob", "--save", str(lab.root / "end.plan"), told=told)
    lab.whole(units=set(), names=set())
