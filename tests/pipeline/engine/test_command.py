"""One run of the engine's command line, with a program in its place."""

from __future__ import annotations

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
