"""`pulumi-resource-qnsp` as a plugin that the engine starts itself, as `pulumi` on a user's own program would."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from qnsp_policy.kernel.processes_edge import identify, is_running
from qnsp_policy.pipeline.engine.command import Processes
from qnsp_policy.pipeline.engine.events import ignore
from qnsp_policy.pipeline.engine.host import EngineHost
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace
from qnsp_policy.testing.needed import built_pulumi

pytestmark = pytest.mark.engine


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[ToyWorkspace]:
    found = built_pulumi()
    workspace = ToyWorkspace.make(tmp_path / "toy", found)
    with workspace.cleared():
        yield workspace


def test_the_plugin_creates_reads_updates_and_deletes(toy: ToyWorkspace) -> None:
    """The same resources without a provider in our process; and no plugin lives on."""
    unit = toys.platform()
    with EngineHost(attach=False) as host:
        driver = StackDriver(toy.settings, unit, Processes(), ignore, host)
        driver.create()
        assert [step.step.name for step in driver.preview(refresh=False)] == ["supervisor"]
        driver.up(refresh=False)
        pid = toy.supervisor().ping()
        assert pid is not None
        assert driver.export().outputs == {"pid": pid, "socket": unit.inputs["supervisor"]["socket"]}
        assert driver.preview(refresh=True) == ()
        driver.destroy()
        assert toy.supervisor().ping() is None
    plugins = [p for p in psutil.process_iter() if "pulumi-resource-qnsp" in " ".join(_words(p)) and _works_for(p, toy)]
    assert plugins == []


def test_a_plugin_ends_with_the_engine_that_started_it(tmp_path: Path) -> None:
    """Killed without a word, the engine leaves no plugin behind."""
    plugin = Path(sys.executable).parent / "pulumi-resource-qnsp"
    code = (
        "import subprocess,sys,time\n"
        f"p = subprocess.Popen([{str(plugin)!r}, '127.0.0.1:1'], stdout=subprocess.PIPE, text=True)\n"
        "port = p.stdout.readline()\n"
        "print(p.pid, port, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as engine:
        assert engine.stdout is not None
        pid, port = engine.stdout.readline().split()
        assert int(port) > 0
        identity = identify(int(pid))
        assert identity is not None
        engine.kill()
    deadline = time.monotonic() + 60
    while is_running(identity) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(identity)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _works_for(process: psutil.Process, toy: ToyWorkspace) -> bool:
    try:
        return process.environ().get("QNSP_WORKSPACE") == str(toy.folder)
    except (psutil.Error, OSError):
        return False
