"""Whoever stops listening, closes the terminal or asks us to end: the command ends soon, with its code, and leaves things whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnsp_policy.pipeline.engine import lease
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.testing.needed import built_pulumi
from qnsp_policy.workflows.runtime import open_backend
from tests.faults.lab import QUICKSTART, SECONDS, Lab

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]
UNITS = {"platform/lab", "broker/main", "tenant/clinic"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """In a folder whose name has a space, an umlaut and a line break."""
    built_pulumi()
    made = Lab.make(tmp_path_factory.mktemp("signals") / "my läb\nx")
    made.write(*QUICKSTART)
    yield made
    made.end()


def planned(lab: Lab) -> str:
    plan, told = str(lab.root / "one.plan"), list[str]()
    lab.settled("plan", "--save", plan, "--as", "alice", told=told)
    lab.settled("approve", plan, "--as", "bob", "--yes", told=told)
    return plan


def free(lab: Lab) -> bool:
    found = lease.read(open_backend(lab.root, load(lab.root)))
    return found is None or found[0].owner is None


@pytest.mark.parametrize("signals", [("INT", "TERM"), ("HUP", "INT INT INT")], ids=" ".join)
def test_signals_end_an_apply_in_order(lab: Lab, signals: tuple[str, str]) -> None:
    """Exit 130, the lease free, no engine left; the same command goes on, and destroy ends it."""
    plan, told = planned(lab), list[str]()
    for sent in signals:
        process = lab.start("apply", plan)
        deadline = time.monotonic() + 240
        while not lab.of("engine"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for name in sent.split():
            process.send_signal(signal.Signals[f"SIG{name}"])
            time.sleep(0.3)
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert "goes on from there" in said
        assert free(lab)
        lab.quiet()
    lab.settled("apply", plan, told=told)
    lab.whole(units=UNITS, names={"broker-main"})
    lab.settled("destroy", "--approve-as", "bob", "--save", str(lab.root / "end.plan"), told=told)


def shell(lab: Lab, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A shell's line in which `qnsp-policy` is ours; `set -o pipefail` is off."""
    start = f'qnsp() {{ "{sys.executable}" -m qnsp_policy.cli.main "$@"; }}; '
    line = ["bash", "-c", start + text, "sh", *words]
    return subprocess.run(
        line, cwd=lab.root, env=lab.environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )


def test_an_apply_whose_reader_goes_away_comes_to_its_end(lab: Lab) -> None:
    """`| head` on both streams, a full device, a closed stream: progress that nobody reads stops nothing."""
    plan = planned(lab)
    done = shell(lab, 'qnsp apply "$1" 2>&1 | head -n 1; echo "${PIPESTATUS[0]}"', plan)
    assert done.stdout.splitlines()[-1] == "141", done.stdout
    lab.whole(units=UNITS, names={"broker-main"})
    full = shell(lab, 'qnsp state list >/dev/full; echo "$?" >&2')
    assert "standard output: No space left on device" in full.stderr
    assert full.stderr.splitlines()[-1] == "1"
    closed = shell(lab, 'qnsp destroy --approve-as bob --save end.plan >&- 2>&-; echo "$?"')
    assert closed.stdout == "0\n"
    lab.whole(units=set(), names=set())


ODD = {
    "C locale": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no home": {"HOME": "/nonexistent"},
    "no scratch folder": {"TMPDIR": "/nonexistent"},
    "odd zone": {"TZ": ":/nowhere/at all"},
    "narrow terminal": {"TERM": "dumb", "COLUMNS": "3"},
    "unwritable cache": {"XDG_CACHE_HOME": "/proc/nowhere"},
}


@pytest.mark.parametrize("name", ODD)
def test_odd_surroundings_change_nothing(lab: Lab, name: str) -> None:
    """Reading commands end well in each."""
    before = lab.environment
    lab.environment = {**before, **ODD[name]}
    try:
        for line in (("plan",), ("ledger", "verify")):
            ended = lab.run(*line)
            lab.decent(ended)
            assert ended.code == 0, ended.said
    finally:
        lab.environment = before


def test_umask_0_and_a_subfolder(lab: Lab, tmp_path: Path) -> None:
    """Private files stay private; in a subfolder the way to the workspace is told."""
    done = shell(
        lab,
        'umask 0; qnsp key new "$1" && qnsp state export "$2" && qnsp plan --save "$3" --as alice',
        "zoe",
        str(tmp_path / "b"),
        "p",
    )
    assert done.returncode == 0, done.stderr
    for path in (lab.root / ".qnsp/keys/zoe.json", tmp_path / "b"):
        assert path.stat().st_mode & 0o077 == 0
    assert (lab.root / "p").stat().st_mode & 0o022 == 0
    (lab.root / "sub").mkdir()
    below = shell(lab, "cd sub && qnsp plan")
    assert below.returncode == 1
    assert "QNSP-OPS-021" in below.stderr
