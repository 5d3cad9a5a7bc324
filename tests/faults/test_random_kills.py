"""A hundred SIGKILLs at random points of everything that writes: run again, and the world is as declared, nothing twice.

`QNSP_KILLS` says how many (100), `QNSP_KILL_SEED` where the seeds of the cycles begin, `QNSP_KILL_NOTES` a file that keeps what
was struck, from which a run that was ended goes on; a cycle that fails names its seed.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from qnsp_policy.kernel import files_edge
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file, write_key_file
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import FileLedger, LedgerReader
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
from qnsp_policy.testing.engine_toys import ToyWorkspace
from qnsp_policy.testing.needed import built_pulumi
from tests.faults.lab import Lab
from tests.faults.rounds import Cycles
from tests.faults.tally import Tally

KILLS = int(os.environ.get("QNSP_KILLS", "100"))
SEED = int(os.environ.get("QNSP_KILL_SEED", "1"))
NOTES = Path(os.environ["QNSP_KILL_NOTES"]) if "QNSP_KILL_NOTES" in os.environ else None
SMALL = 40
"""Kills of writers of state and of the ledger alone; the others are of whole commands."""
WANTED = KILLS - SMALL if NOTES is None else KILLS
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
            said, _ = again.communicate(timeout=300)
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
    found = built_pulumi()
    with ToyWorkspace.make(tmp_path / "toy", found).cleared() as toy:
        yield Line(tmp_path / "runner", toy)


@pytest.mark.engine
@pytest.mark.functional
@pytest.mark.slow
def test_kills_at_random_points_of_a_workspace_s_life(tmp_path: Path) -> None:
    """Cycles of plan, approve, apply, change and destroy, two workspaces at a time; every command loses something to a kill."""
    built_pulumi()
    tally, lock, failed = Tally.read(NOTES), threading.Lock(), threading.Event()
    tally.begin()
    seeds = (seed for seed in itertools.count(SEED) if str(seed) not in tally.cycles)

    def work(number: int) -> None:
        cycles = Cycles(Lab.make(tmp_path / f"lab-{number}"))
        try:
            while tally.kills < WANTED and not failed.is_set():
                with lock:
                    seed = next(seeds)
                struck = cycles.cycle(seed)
                with lock:
                    tally.add(str(seed), struck)
        except BaseException:
            failed.set()
            raise
        finally:
            cycles.end()

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work, number) for number in range(2)]:
            future.result()
    assert tally.kills >= WANTED


WRITER = """
import itertools, sys
from pathlib import Path
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
backend = FileBackend(Path(sys.argv[1]))
found = backend.get("run.json")
begun = int(found[0].split()[0]) + 1 if found else 0
for number in itertools.count(begun):
    backend.put("run.json", b"%d " % number + b"x" * 50_000)
    print(number, flush=True)
"""

APPENDER = """
import itertools, sys
from datetime import UTC, datetime
from pathlib import Path
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import FileLedger
folder, now = Path(sys.argv[1]), datetime(2026, 11, 21, tzinfo=UTC)
log = FileLedger(folder / "ledger", "qnsp.example/kills", SoftwareSigner("ledger", read_key_file(folder / "keys.json").keys))
for number in itertools.count(log.size):
    log.append(LedgerRecord("test", now, "a", "b", {"number": number}), now)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_state_is_whole_after_every_kill(tmp_path: Path) -> None:
    """What was acknowledged stands, or what came after it; never a torn file, and leftovers are not listed and go away."""
    chance = random.Random(SEED)
    for _ in range(SMALL // 2):
        told = _killed_writer(WRITER, tmp_path, chance)
        found = FileBackend(tmp_path).get("run.json")
        if told is None:
            continue
        assert found is not None
        number, rest = found[0].split(b" ", 1)
        assert rest == b"x" * 50_000
        assert int(number) - told in {0, 1}
        assert FileBackend(tmp_path).list("") == ["run.json"]
    files_edge._swept.clear()
    FileBackend(tmp_path).put("run.json", b"{}")
    assert sorted(path.name for path in (tmp_path / "qnsp").iterdir()) == [".lock", "run.json"]


@pytest.mark.slow
def test_the_ledger_is_whole_after_every_kill(tmp_path: Path) -> None:
    """Every acknowledged record stands where it was said to stand; the next writer goes on, and the whole log verifies."""
    chance = random.Random(SEED)
    write_key_file(tmp_path / "keys.json", "ledger", (generate("Ed25519"), generate("ML-DSA-44")))
    keys = read_key_file(tmp_path / "keys.json").public_keys
    for _ in range(SMALL // 2):
        told = _killed_writer(APPENDER, tmp_path, chance)
        log = LedgerReader(tmp_path / "ledger", "qnsp.example/kills", keys)
        head = log.check()
        if told is None:
            continue
        assert head is not None
        assert head.size - told in {1, 2}
        assert LedgerRecord.from_bytes(log.entry(told)).data == {"number": told}
    FileLedger(
        tmp_path / "ledger", "qnsp.example/kills", SoftwareSigner("ledger", read_key_file(tmp_path / "keys.json").keys)
    )


def _killed_writer(script: str, folder: Path, chance: random.Random) -> int | None:
    """Start a writer, kill it while it writes; the last number that it acknowledged."""
    writer = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    first = writer.stdout.readline()
    time.sleep(chance.uniform(0, 0.15))
    writer.kill()
    told = [int(word) for word in (first + writer.communicate()[0]).split()]
    return told[-1] if told else None


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
