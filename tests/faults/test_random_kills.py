"""SIGKILL at random points of apply, destroy and of writing state: run again, and the world is as declared, nothing twice.

`QNSP_KILLS` says how many rounds (4; `make kills` takes 100), `QNSP_SEED` which; the seed of each round is in its id.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from qnsp_policy.pipeline.engine import lease, records, toolchain
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
from qnsp_policy.testing.engine_toys import ToyWorkspace

ROUNDS = int(os.environ.get("QNSP_KILLS", "4"))
SEED = int(os.environ.get("QNSP_SEED", "1"))
MEMBERS = 4

UNITS = f"""
from qnsp_policy.testing import engine_toys as toys
def units():
    fleets = [toys.enclave(name, *[toys.process(f"enclave-{{name}}-{{n}}-guest") for n in range({MEMBERS})]) for name in "ab"]
    return [toys.platform(), *fleets, toys.enclave("late", toys.process("enclave-late-0-guest"), depends_on=("enclave/a",))]
"""

RUN = """
import sys
from pathlib import Path
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.pipeline.engine.apply import apply
from toy_units import units
verb, folder, pulumi = sys.argv[1:]
workspace = toys.ToyWorkspace.open(Path(folder), Path(pulumi))
made = units()
if verb == "apply":
    order = toys.order(workspace, made, [toys.create(unit) for unit in made])
else:
    order = toys.order(workspace, [], [toys.delete(unit) for unit in made], salt="destroy")
apply(order, settings=workspace.settings)
"""


class Line:
    """A workspace that is applied and destroyed by processes of their own."""

    def __init__(self, folder: Path, toy: ToyWorkspace) -> None:
        self.toy = toy
        self.folder = folder
        folder.mkdir()
        (folder / "toy_units.py").write_text(UNITS)
        (folder / "run.py").write_text(RUN)

    def start(self, verb: str) -> subprocess.Popen[str]:
        line = [sys.executable, str(self.folder / "run.py"), verb, str(self.toy.folder), str(self.toy.settings.pulumi)]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, verb: str) -> None:
        """Run again until it ends; a command that met a killed engine may say so once."""
        said = ""
        for _ in range(3):
            again = self.start(verb)
            said, _ = again.communicate(timeout=120)
            if again.returncode == 0:
                return
        raise AssertionError(said)

    def engine_processes(self) -> list[psutil.Process]:
        return [p for p in psutil.process_iter() if self._ours(p) and "pulumi" in Path(_words(p)[0]).name]

    def members(self) -> list[psutil.Process]:
        return [
            p for p in psutil.process_iter() if self._ours(p) and "-c" in _words(p) and ".ready" in " ".join(_words(p))
        ]

    def _ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and bool(process.cmdline())
                and (
                    process.environ().get("QNSP_WORKSPACE") == str(self.toy.folder)
                    or process.cwd() == str(self.toy.folder)
                )
            )
        except (psutil.Error, OSError):
            return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() or [""]
    except psutil.Error:
        return [""]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    found = toolchain.find("pulumi", environment=os.environ)
    if found is None:
        pytest.skip("pulumi is not built; `make setup` or `qnsp-policy tools install pulumi` builds it")
    with ToyWorkspace.make(tmp_path / "toy", found.path).cleared() as toy:
        yield Line(tmp_path / "runner", toy)


def _kill(victim: str, run: subprocess.Popen[str], line: Line) -> None:
    if victim == "command":
        run.kill()
    elif victim == "engine":
        for process in line.engine_processes():
            process.kill()
    elif victim == "supervisor":
        try:
            pid = line.toy.supervisor().ping()
        except OSError:
            return
        if pid is not None:
            os.kill(pid, signal.SIGKILL)


def _as_declared(line: Line) -> None:
    running = line.toy.running()
    assert len(running) == 2 * MEMBERS + 1
    assert {report.state.value for report in running.values()} == {"ready"}
    assert len(line.members()) == len(running), "nothing runs twice"
    assert records.read_run(line.toy.settings.backend).status == records.APPLIED
    assert all(unit.digest for unit in records.read_state(line.toy.settings.backend).units.values())
    _free(line)


def _free(line: Line) -> None:
    found = lease.read(line.toy.settings.backend)
    assert found is not None
    assert found[0].owner is None
    deadline = time.monotonic() + 25
    while line.engine_processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert line.engine_processes() == []


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_apply_and_destroy_survive_random_kills(line: Line, seed: int) -> None:
    """A victim dies at a random moment of apply, another of destroy; each is run again and ends as it says."""
    chance = random.Random(seed)
    victims = ["command", "engine", "supervisor"]
    for verb in ("apply", "destroy"):
        run = line.start(verb)
        victim = victims[(seed + (verb == "destroy")) % 3]
        time.sleep(chance.uniform(0.3, 6.0))
        _kill(victim, run, line)
        run.communicate(timeout=120)
        line.finish(verb)
        if verb == "apply":
            _as_declared(line)
    assert records.read_state(line.toy.settings.backend).units == {}
    assert line.members() == []
    assert line.toy.running() == {}
    _free(line)


WRITER = """
import sys
from pathlib import Path
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
backend = FileBackend(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    backend.put("run.json", (str(number) * 20_000).encode())
    print(number, flush=True)
"""


@pytest.mark.slow
def test_state_is_whole_after_every_kill(tmp_path: Path) -> None:
    """What was acknowledged stands, or what came after it; never a torn file, and leftovers are not listed."""
    chance = random.Random(SEED)
    for _ in range(max(8, ROUNDS)):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        time.sleep(chance.uniform(0.25, 0.7))
        writer.kill()
        told = [int(word) for word in (writer.communicate()[0] or "").split()]
        found = FileBackend(tmp_path).get("run.json")
        if not told:
            continue
        assert found is not None
        number = found[0].decode()[: len(str(told[-1]))]
        assert found[0].decode() == number * (len(found[0]) // len(number))
        assert int(number) - told[-1] in {0, 1}
        assert FileBackend(tmp_path).list("") == ["run.json"]
    assert json.dumps(sorted(FileBackend(tmp_path).files())) == '["qnsp/run.json"]'


@pytest.mark.engine
@pytest.mark.slow
def test_a_destroy_with_a_dead_supervisor_ends_what_it_left(line: Line) -> None:
    """A supervisor that cannot be asked is no proof that nothing runs: it is started again, adopts, and ends them."""
    line.finish("apply")
    pid = line.toy.supervisor().ping()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    line.finish("destroy")
    assert line.members() == []
    assert line.toy.supervisor().ping() is None


@pytest.mark.engine
@pytest.mark.slow
def test_a_destroy_killed_between_the_stack_and_its_record_goes_on(line: Line) -> None:
    """The stack is gone, the record of the unit is not: the next destroy takes the record away too."""
    line.finish("apply")
    before = {name: line.toy.settings.backend.get(name) for name in line.toy.settings.backend.list("units/")}
    run = records.read_run(line.toy.settings.backend)
    line.finish("destroy")
    for name, found in before.items():
        assert found is not None
        line.toy.settings.backend.put(name, found[0])
    records.write_run(line.toy.settings.backend, run)
    line.finish("destroy")
    assert records.read_state(line.toy.settings.backend).units == {}
