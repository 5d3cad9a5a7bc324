"""One run of the engine's command line, with a program in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qnsp_policy.errors import LockHeld
from qnsp_policy.kernel.processes_edge import ProcessIdentity, is_running
from qnsp_policy.pipeline.engine.command import CommandFailed, Processes, run_command


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Says where it runs, and never ends."""
    path = tmp_path / "pulumi"
    path.write_text("#!/bin/sh\necho running >&2\nexec sleep 600\n")
    path.chmod(0o755)
    return path


def test_a_run_that_cannot_be_recorded_is_ended_at_once(program: Path, tmp_path: Path) -> None:
    """Whoever takes the lease over would not know that it works."""
    seen: list[ProcessIdentity | None] = []

    def began(identity: ProcessIdentity | None) -> None:
        seen.append(identity)
        raise LockHeld("QNSP-LCK-002", "taken over")

    with pytest.raises(LockHeld):
        run_command(program, ["up"], folder=tmp_path, environment={}, processes=Processes(began))
    (identity,) = seen
    assert identity is not None
    assert not is_running(identity)


def test_a_run_that_begins_after_the_interruption_is_interrupted(program: Path, tmp_path: Path) -> None:
    """Between the command's Ctrl-C and the next engine process there is no gap."""
    processes = Processes()
    processes.cancel()
    with pytest.raises(CommandFailed) as caught:
        run_command(program, ["up"], folder=tmp_path, environment={"PATH": "/usr/bin:/bin"}, processes=processes)
    assert caught.value.code != 0


EXPORT = """
import sys
from pathlib import Path
from qnsp_policy.pipeline.engine.command import Processes
from qnsp_policy.pipeline.engine.events import ignore
from qnsp_policy.pipeline.engine.host import EngineHost
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.testing import engine_toys as toys
toy = toys.ToyWorkspace.make(Path(sys.argv[1]), Path("/no/pulumi"))
driver = StackDriver(toy.settings, toys.platform(), Processes(), ignore, EngineHost())
driver.settings.backend.url
stack = driver._stack_file(driver._folder)
stack.parent.mkdir(parents=True)
stack.write_text('{"version": 3, "checkpoint": {"latest": {"resources": [{"type": "a:b:C", "urn": "x::d", "id": "i"}]}}}')
assert driver.export().resources == (("a:b:C", "d"),)
"""


@pytest.mark.parametrize("name", ["lab", "l\u00e4b 100%", "\u65e5\u672c"])
def test_state_is_found_whatever_the_locale_and_the_folder(tmp_path: Path, name: str) -> None:
    """A folder that ASCII cannot write, in a locale that knows nothing else."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    line: list[str | bytes] = [sys.executable, "-c", EXPORT, os.fsencode(tmp_path / name)]
    done = subprocess.run(line, env={**os.environ, **plain}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / name).rglob("*.json"))) >= 2
