"""Every call by which a quick command changes files, one after the other: the command dies there, or the call fails; run again, nothing is lost.

Runs with `points.c` preloaded. One process imports the program and forks for every point, so that a point costs little.

    LD_PRELOAD=points.so python -m tests.faults.walk FOLDER SHARE WAYS SEED [SCENARIO...]

SHARE of the points of each scenario are tried (1: all of them), each in so many of the six WAYS, chosen by SEED. Prints one
JSON line a scenario.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from qnsp_policy.cli.main import main as run_line
from qnsp_policy.cli.tree import build_command
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
from qnsp_policy.pipeline.engine import lease, records
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.authorisation import read_plan_file
from qnsp_policy.pipeline.world.recorded import RecordedUnit
from qnsp_policy.workflows.runtime import open_backend

_MAKES = {"open", "mkdir"}
MEETS = {
    "ENOSPC": {*_MAKES, "write", "pwrite", "writev", "ftruncate"},
    "EROFS": {*_MAKES, "unlink", "rmdir", "rename", "link", "symlink"},
    "EMFILE": _MAKES,
}
"""What `points.c` lets each error meet; everything else meets every call."""
HOWS = {"kill": -1, "torn": -2, **{name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS", "EMFILE")}}
_LITTER = re.compile(r"\.part$|\.new$|\.tmp$|^tmp|^\.init")
_LARGE = 1 << 20
SECONDS = 120
_BEFOREHAND = (
    "simulator",
    *(f"workflows.{n}" for n in ("init_simulated", "plan", "approve", "state", "artefact", "fmt", "ledger")),
)
"""Imported before the first fork."""


def built(folder: Path) -> Path:
    """The library of `points.c`."""
    made = folder / "points.so"
    source = Path(__file__).with_name("points.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl"], check=True)
    return made


@dataclass(frozen=True, slots=True)
class Scenario:
    """A command, and what must stand when it was run again.

    Attributes:
        line: of the command; `{w}` is the workspace.
        judge: looks at the workspace.
        prepare: from the prepared workspace to the one that the command meets.
        again: codes that the second run may end with beside 0, with what it says.
        bare: it begins without a workspace.
    """

    line: tuple[str, ...]
    judge: Callable[[Path], object]
    prepare: Callable[[Path], object] = lambda _: None
    again: tuple[int, str] | None = None
    bare: bool = False


def say(*line: str) -> Callable[[Path], None]:
    """Run a line that must end well."""

    def run(w: Path) -> None:
        ended = ran(filled(line, w))
        assert ended.code == 0, (line, ended)

    return run


def one_after_the_other(*steps: Callable[[Path], object]) -> Callable[[Path], None]:
    def run(w: Path) -> None:
        for step in steps:
            step(w)

    return run


def applied(w: Path) -> None:
    """A state of some units, as an apply leaves it."""
    backend = open_backend(w, load(w))
    for number in range(3):
        unit = RecordedUnit(f"tenant/t{number}", "tenant", "sha256:" + "0" * 64, {"n": number}, (), {}, "", "", None)
        records.write_unit(backend, unit)
    run = records.read_run(backend)
    records.write_run(backend, type(run)(3, records.APPLIED, "sha256:" + "1" * 64, "", None))


def exported(w: Path) -> None:
    applied(w)
    say("-C", "{w}", "state", "export", "{w}/backup.json")(w)
    backend = open_backend(w, load(w))
    records.delete_unit(backend, "tenant/t1")
    records.write_run(backend, type(records.read_run(backend))(2, records.APPLIED, "sha256:" + "2" * 64, "", None))


def restored(w: Path) -> None:
    state = records.read_state(open_backend(w, load(w)))
    assert (state.serial, sorted(state.units)) == (3, ["tenant/t0", "tenant/t1", "tenant/t2"]), state


def held(w: Path) -> None:
    """A lease whose owner is of another host and time."""
    backend = open_backend(w, load(w))
    with lease.Lease.acquire(backend, purpose="test") as mine:
        record = mine.record.to_json() | {"host": "elsewhere", "expires": "2026-01-01T00:00:00Z"}
        backend.put(lease.KEY, json.dumps(record).encode())


def free(w: Path) -> None:
    found = lease.read(open_backend(w, load(w)))
    assert found is None or found[0].owner is None


def planned(w: Path) -> None:
    assert read_plan_file((w / "one.plan").read_bytes()).envelope.signatures


def approved(w: Path) -> None:
    assert read_plan_file((w / "one.plan").read_bytes()).approvals


def document_signed(w: Path) -> None:
    assert dsse.parse((w / "signatures/Artefact.scans.dsse.json").read_bytes()).signatures


def untidy(w: Path) -> None:
    path = w / "qnsp.yaml"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def tidy(w: Path) -> None:
    assert b"\r" not in (w / "qnsp.yaml").read_bytes()
    load(w)


def keys(w: Path) -> None:
    assert read_key_file(w / ".qnsp/keys/carol.json").name == "carol"


def cloned(w: Path) -> None:
    """As somebody finds a workspace who cloned it: without what git does not keep."""
    shutil.rmtree(w / ".qnsp")


def adopted(w: Path) -> None:
    assert records.read_state(open_backend(w, load(w))).genesis is not None


PLAN = ("-C", "{w}", "plan", "--save", "{w}/one.plan", "--as", "alice")
VALID = say("-C", "{w}", "validate")
MODEL = "{w}/model.txt"
SCENARIOS = {
    "init": Scenario(("init", "--template", "simulated-gpu", "{w}"), one_after_the_other(VALID, adopted), bare=True),
    "init bare": Scenario(("init", "--template", "bare", "{w}"), lambda w: (w / ".qnsp/passphrase").stat(), bare=True),
    "adopt": Scenario(("-C", "{w}", "init", "--adopt", "{digest}"), adopted, cloned),
    "key new": Scenario(("-C", "{w}", "key", "new", "carol"), keys, again=(1, "QNSP-KEY-005")),
    "sign": Scenario(
        ("-C", "{w}", "sign", "Artefact/scans", "--as", "lab"),
        document_signed,
        lambda w: (w / "signatures/Artefact.scans.dsse.json").unlink(),
    ),
    "seal": Scenario(
        ("-C", "{w}", "artefact", "seal", MODEL, "--name", "Artefact/scans"),
        lambda w: None,
        lambda w: (w / "model.txt").write_bytes(b"x" * 100_000),
    ),
    "plan": Scenario(PLAN, planned),
    "approve": Scenario(("-C", "{w}", "approve", "{w}/one.plan", "--as", "bob", "--yes"), approved, say(*PLAN)),
    "fmt": Scenario(("-C", "{w}", "fmt"), tidy, untidy),
    "export": Scenario(
        ("-C", "{w}", "state", "export", "{w}/backup.json"),
        lambda w: json.loads((w / "backup.json").read_bytes())["digest"],
        applied,
    ),
    "import": Scenario(("-C", "{w}", "state", "import", "{w}/backup.json", "--force"), restored, exported),
    "release": Scenario(("-C", "{w}", "lock", "release", "--force"), free, held),
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; a negative code is a signal."""

    code: int
    said: str


def ran(
    line: tuple[str, ...], *, folder: Path | None = None, at: int = 0, how: int = 0, log: Path | None = None
) -> Ended:
    """Run a line in a fork of this process."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writes, 1)
        os.dup2(writes, 2)
        code = 99
        try:
            signal.alarm(SECONDS)
            if folder is not None:
                ctypes.CDLL(None).points_arm(os.fsencode(folder), at, how, os.fsencode(log or ""))
            code = run_line(line)
        except BaseException:  # noqa: BLE001 -- told to whoever judges
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writes)
    with os.fdopen(reads, "rb") as said:
        text = said.read().decode(errors="replace")
    return Ended(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text)


def filled(line: tuple[str, ...], w: Path) -> tuple[str, ...]:
    digest = (w.parent / "digest").read_text() if (w.parent / "digest").exists() else ""
    return tuple(word.replace("{w}", str(w)).replace("{digest}", digest) for word in line)


@dataclass(slots=True)
class Walk:
    """Walks over the points of scenarios.

    Attributes:
        folder: of everything.
        found: what was wrong.
    """

    folder: Path
    found: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        w = self.folder / "base"
        made = ran(("init", "--template", "simulated-gpu", str(w), "--format", "json"))
        assert made.code == 0, made
        told = json.loads(made.said[made.said.index("{") :])
        (self.folder / "digest").write_text(told["trustRootDigest"])

    def walk(self, name: str, share: float, ways: int, chance: random.Random) -> dict[str, int]:
        """So many ways, each at a share of its points."""
        scenario = SCENARIOS[name]
        met = self.folder / "met"
        shutil.rmtree(met, ignore_errors=True)
        if not scenario.bare:
            copied(self.folder / "base", met)
            scenario.prepare(met)
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        with self._workspace(met, scenario) as w:
            whole = ran(filled(scenario.line, w), folder=w, log=log)
            assert whole.code == 0, (name, whole)
            expected = names(w)
        calls = log.read_text().splitlines() if log.exists() else []
        tried = {}
        for way in sorted(chance.sample(sorted(HOWS), ways)):
            lines = [call for call in calls if way not in MEETS or call.split()[1] in MEETS[way]]
            count = len(lines)
            wanted = sorted(chance.sample(range(1, count + 1), max(1, round(share * count)) if count else 0))
            for at in wanted:
                with self._workspace(met, scenario) as w:
                    try:
                        self._point(name, scenario, w, at, way, expected)
                    except Exception as error:  # noqa: BLE001 -- noted, and on with the next
                        where = lines[at - 1]
                        self.found.append(f"{name}: {way} at {where}: {type(error).__name__} {str(error)[:2000]}")
            tried[way] = len(wanted)
        return tried

    def _point(self, name: str, scenario: Scenario, w: Path, at: int, way: str, expected: set[str]) -> None:
        how = HOWS[way]
        line = filled(scenario.line, w)
        first = ran(line, folder=w, at=at, how=how)
        for word in ("Traceback", "a part of ours failed", "QNSP-ENG-000"):
            assert word not in first.said, first.said[-1500:]
        if how < 0:
            assert first.code == -signal.SIGKILL, first
        else:
            assert first.code in {0, 1}, first
            assert first.code == 0 or ("error[QNSP-" in first.said and "= next:" in first.said), first
        again = ran(line)
        if again.code != 0:
            assert scenario.again is not None, (first, again)
            assert (again.code, scenario.again[1] in again.said) == (scenario.again[0], True), (first, again)
        scenario.judge(w)
        left = {path for path in names(w) - expected if _LITTER.search(path.rpartition("/")[2])}
        assert not left, left
        if not scenario.bare or name == "init":
            checked = ran(("-C", str(w), "ledger", "verify"))
            assert checked.code == 0, checked

    @contextmanager
    def _workspace(self, met: Path, scenario: Scenario) -> Iterator[Path]:
        w = self.folder / "w"
        shutil.rmtree(w, ignore_errors=True)
        if not scenario.bare:
            copied(met, w)
        yield w


def copied(source: Path, target: Path) -> None:
    """A workspace, whose large files (never written in place) are the same."""

    def copy(one: str, other: str) -> None:
        if Path(one).stat().st_size > _LARGE:
            os.link(one, other)
        else:
            shutil.copy2(one, other)

    shutil.copytree(source, target, copy_function=copy)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def main() -> int:
    folder, share, ways, seed = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    folder.mkdir(parents=True, exist_ok=True)
    for command in ("init", "key", "sign", "artefact", "plan", "approve", "fmt", "state", "lock", "ledger", "validate"):
        build_command(command)
    for module in _BEFOREHAND:
        importlib.import_module(f"qnsp_policy.{module}")
    walk = Walk(folder.absolute())
    walk.prepare()
    for name in sys.argv[5:] or SCENARIOS:
        before, begun = len(walk.found), datetime.now(UTC)
        tried = walk.walk(name, share, ways, random.Random(f"{seed} {name}"))
        found = walk.found[before:]
        took = (datetime.now(UTC) - begun).total_seconds()
        print(json.dumps({"scenario": name, "tried": tried, "found": found, "seconds": took}), flush=True)  # noqa: T201
    return 1 if walk.found else 0


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["HOWS", "MEETS", "SCENARIOS", "Walk", "built"]
