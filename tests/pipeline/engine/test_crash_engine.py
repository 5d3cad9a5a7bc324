"""An apply that is killed or interrupted at any point is gone on with, and the world ends as declared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from qnsp_policy.pipeline.engine import lease, records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.order import Status
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SLOW_START = "import time; time.sleep(0.7)\n" + toys.WHEN_THE_GATE_OPENS

APPLY = """
import sys
from pathlib import Path
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.pipeline.engine.apply import apply
from tests_crash_units import units
workspace = toys.ToyWorkspace.open(Path(sys.argv[1]), Path(sys.argv[2]))
made = units()
apply(toys.order(workspace, made, [toys.create(unit) for unit in made]), settings=workspace.settings,
      events=lambda event: print(event.kind, event.unit, flush=True))
"""

INTERRUPT = "(event.kind == %r and __import__('os').kill(__import__('os').getpid(), 2))"

UNITS = f"""
from qnsp_policy.testing import engine_toys as toys
SLOW = {SLOW_START!r}
def units():
    fleets = [toys.enclave(name, *[toys.process(f"enclave-{{name}}-{{n}}-guest", script=SLOW) for n in range(2)]) for name in "ab"]
    late = toys.enclave("late", toys.process("enclave-late-0-guest"), depends_on=("enclave/a", "enclave/b"))
    return [toys.platform(), *fleets, late]
"""


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    folder = tmp_path / "runner"
    folder.mkdir()
    (folder / "tests_crash_units.py").write_text(UNITS)
    (folder / "run.py").write_text(APPLY)
    return folder


def start(runner: Path, toy: ToyWorkspace) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(runner / "run.py"), str(toy.folder), str(toy.settings.pulumi)],
        cwd=runner,
        env={**os.environ, "PYTHONPATH": str(runner)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def engine_processes(toy: ToyWorkspace) -> list[str]:
    """Engine and plugin processes that work for this workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            environment, words = process.environ(), " ".join(process.cmdline())
            ours = environment.get("QNSP_WORKSPACE") == str(toy.folder) and "QNSP_SUPERVISED" not in environment
            if ours and "supervisor" not in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(words[:120])
        except (psutil.Error, OSError):
            continue
    return found


def wait_for_quiet(toy: ToyWorkspace) -> None:
    deadline = time.monotonic() + 120
    while engine_processes(toy) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert engine_processes(toy) == []


def declared(runner: Path) -> list[str]:
    scope: dict[str, object] = {}
    exec((runner / "tests_crash_units.py").read_text(), scope)
    units = scope["units"]()  # type: ignore[operator]
    return sorted(process["name"] for unit in units for process in unit.inputs.get("processes", []))


def finish(runner: Path, toy: ToyWorkspace) -> None:
    """Run the same apply again to its end and look at the world."""
    again = start(runner, toy)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    running = toy.running()
    assert sorted(running) == declared(runner)
    assert {report.state.value for report in running.values()} == {"ready"}
    marked = [p for p in psutil.process_iter() if _ready_file(p, toy)]
    assert len(marked) == len(running), "nothing runs twice"
    state = records.read_state(toy.settings.backend)
    assert all(unit.digest for unit in state.units.values())
    assert records.read_run(toy.settings.backend).status == records.APPLIED
    record = lease.read(toy.settings.backend)
    assert record is not None
    assert record[0].owner is None


def _ready_file(process: psutil.Process, toy: ToyWorkspace) -> bool:
    try:
        return (
            process.cwd() == str(toy.folder) and "-c" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
        )
    except (psutil.Error, OSError):
        return False


@pytest.mark.parametrize("seconds", [0.6, 2.2, 5.0])
def test_a_killed_apply_is_gone_on_with(toy: ToyWorkspace, runner: Path, seconds: float) -> None:
    """SIGKILL of the command: no engine process lives on, the next apply ends as declared, nothing twice."""
    toy.open_gate()
    run = start(runner, toy)
    time.sleep(seconds)
    run.kill()
    run.communicate()
    wait_for_quiet(toy)
    finish(runner, toy)


def test_a_killed_engine_fails_the_unit_and_is_gone_on_with(toy: ToyWorkspace, runner: Path) -> None:
    """SIGKILL of every engine process: exit with a partial apply, the engine's own lock is cleared by the next one."""
    run = start(runner, toy)
    deadline = time.monotonic() + 240
    killed = 0
    while time.monotonic() < deadline and not killed and run.poll() is None:
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if process.environ().get("QNSP_WORKSPACE") != str(toy.folder):
                    continue
                if words[:1] == [str(toy.settings.pulumi)] and "up" in words and toy.running():
                    process.kill()
                    killed += 1
            except psutil.Error:
                continue
        time.sleep(0.05)
    toy.open_gate()
    said, _ = run.communicate(timeout=300)
    assert killed
    assert run.returncode == 1, said
    assert "ApplyFailed" in said
    wait_for_quiet(toy)
    finish(runner, toy)


def test_ctrl_c_saves_state_and_frees_the_lease(toy: ToyWorkspace, runner: Path) -> None:
    """SIGINT to the command: it ends, state is saved, the lease is free, and the same apply goes on."""
    run = start(runner, toy)
    deadline = time.monotonic() + 240
    while not toy.running():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    toy.open_gate()
    said, _ = run.communicate(timeout=240)
    assert run.returncode != 0
    assert "KeyboardInterrupt" in said
    wait_for_quiet(toy)
    record = lease.read(toy.settings.backend)
    assert record is not None
    assert record[0].owner is None
    finish(runner, toy)


@pytest.mark.parametrize("kind", ["unit-started", "wave"])
def test_ctrl_c_from_within_the_start_of_a_unit_ends_it(toy: ToyWorkspace, runner: Path, kind: str) -> None:
    """The thread of a unit sends SIGINT as its first deed, while the pool still starts it: nobody is waited for in vain."""
    (runner / "run.py").write_text(
        APPLY.replace("events=lambda event: ", f"events=lambda event: {INTERRUPT % kind} or ")
    )
    toy.open_gate()
    said, _ = start(runner, toy).communicate(timeout=240)
    assert "KeyboardInterrupt" in said
    wait_for_quiet(toy)
    record = lease.read(toy.settings.backend)
    assert record is not None
    assert record[0].owner is None
    (runner / "run.py").write_text(APPLY)
    finish(runner, toy)


def test_a_killed_supervisor_is_started_again_by_the_next_apply(toy: ToyWorkspace) -> None:
    """What it supervised lives on and is taken over, not started twice."""
    platform, fleet = toys.platform(), toys.enclave("a", toys.process("enclave-a-0-guest"))
    apply(toys.order(toy, [platform, fleet], [toys.create(platform), toys.create(fleet)]), settings=toy.settings)
    before = toy.running()["enclave-a-0-guest"].pid
    pid = toy.supervisor().ping()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    other = toys.enclave("b", toys.process("enclave-b-0-guest"))
    record = apply(toys.order(toy, [platform, fleet, other], [toys.create(other)]), settings=toy.settings)
    assert [unit.status for unit in record.units] == [Status.APPLIED]
    after = toy.running()
    assert after["enclave-a-0-guest"].pid == before
    assert sorted(after) == ["enclave-a-0-guest", "enclave-b-0-guest"]
    assert json.loads((toy.folder / ".qnsp/run/supervisor.json").read_bytes())["processes"]
