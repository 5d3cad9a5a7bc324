"""The lease: one writer, fenced takeover, a token that rises."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qnsp_policy.errors import LockHeld, OperatorError
from qnsp_policy.kernel.processes_edge import ProcessIdentity, identify
from qnsp_policy.pipeline.engine import lease
from qnsp_policy.pipeline.engine.lease import Lease, LeaseRecord
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    return FileBackend(tmp_path / "state")


def put(backend: FileBackend, record: LeaseRecord) -> None:
    import json

    backend.put(lease.KEY, json.dumps(record.to_json()).encode())


def test_the_second_is_told_who_holds_it(backend: FileBackend) -> None:
    """User, host, process and purpose; and it is free afterwards, with a higher token each time."""
    with Lease.acquire(backend, purpose="apply of plan x") as held:
        held.check()
        with pytest.raises(LockHeld, match=r"QNSP-LCK-001.*process \d+ since .*apply of plan x"):
            Lease.acquire(backend, purpose="y")
    with Lease.acquire(backend, purpose="y") as held:
        assert held.token == 2
        assert held.took_over is None


def test_waiting_for_the_owner(backend: FileBackend) -> None:
    """`--lock-timeout`: taken as soon as it is free."""
    first = Lease.acquire(backend, purpose="first")
    import threading

    with first:
        timer = threading.Timer(0.4, lambda: first.__exit__(None, None, None))
        timer.start()
        with Lease.acquire(backend, purpose="second", wait_seconds=60) as second:
            assert second.token == 2
        timer.join()


def test_a_dead_owner_on_this_host_is_taken_over_and_its_engine_ended(backend: FileBackend) -> None:
    """Its recorded processes get SIGINT before the new owner writes; a reused process id is left alone."""
    import socket

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as gone:
        dead = identify(gone.pid)
    with (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as engine,
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger,
    ):
        ours, other = identify(engine.pid), identify(stranger.pid)
        assert ours is not None
        assert other is not None
        assert dead is not None
        reused = ProcessIdentity(other.pid, other.start - 1, other.boot)
        put(backend, LeaseRecord(7, "u", socket.gethostname(), dead, "apply of plan x", NOW, NOW, (ours, reused)))
        backend.put_files({"pulumi/.pulumi/stacks/qnsp/a.json.18ea3222.tmp": b"{"})
        with Lease.acquire(backend, purpose="y") as held:
            assert held.token == 8
            assert held.took_over is not None
            assert "taken over from u@" in held.record.takeover
            assert engine.wait(60) != 0
            assert stranger.poll() is None
            assert not [name for name in backend.files() if name.endswith(".tmp")]
        stranger.kill()


def test_an_owner_on_another_host_holds_it_until_it_expires(backend: FileBackend) -> None:
    """Nobody can look at another host's processes; time decides."""
    far = ProcessIdentity(1, 1, "other-boot")
    put(backend, LeaseRecord(3, "u", "far-host", far, "apply", NOW, NOW + timedelta(seconds=60)))
    with pytest.raises(LockHeld, match="u@far-host"):
        Lease.acquire(backend, purpose="y", clock=lambda: NOW + timedelta(seconds=59))
    with Lease.acquire(backend, purpose="y", clock=lambda: NOW + timedelta(seconds=61)) as held:
        assert held.token == 4


def test_whoever_was_taken_over_writes_nothing_more(backend: FileBackend) -> None:
    """The fenced one learns it before it writes, and does not free what is not its own."""
    with Lease.acquire(backend, purpose="old") as old:
        put(backend, LeaseRecord(old.token + 1, "u", "far-host", ProcessIdentity(1, 1, "b"), "new", NOW, NOW))
        with pytest.raises(LockHeld, match=r"QNSP-LCK-002.*u@far-host"):
            old.check()
    found = lease.read(backend)
    assert found is not None
    assert found[0].purpose == "new"


def test_release_by_force(backend: FileBackend) -> None:
    """A living owner needs force; a dead one does not; nothing held is nothing to do."""
    assert lease.release_by_force(backend, force=False).owner is None
    with Lease.acquire(backend, purpose="x") as held:
        with pytest.raises(LockHeld):
            lease.release_by_force(backend, force=False)
        assert lease.release_by_force(backend, force=True).purpose == "x"
        with pytest.raises(LockHeld, match="QNSP-LCK-002"):
            held.check()


def test_a_torn_record_is_an_error_and_force_helps(backend: FileBackend) -> None:
    """Never read as free."""
    backend.put(lease.KEY, b"{")
    with pytest.raises(OperatorError, match="QNSP-LCK-003"):
        Lease.acquire(backend, purpose="x")
    lease.release_by_force(backend, force=True)
    with Lease.acquire(backend, purpose="x"):
        pass


def test_a_clock_that_jumps_back_takes_nothing(backend: FileBackend) -> None:
    """An owner here is judged by its process, not by the clock."""
    with Lease.acquire(backend, purpose="x", clock=lambda: NOW):
        for other in (NOW - timedelta(days=400), NOW + timedelta(days=400)):
            with pytest.raises(LockHeld):
                Lease.acquire(backend, purpose="y", clock=lambda other=other: other)  # type: ignore[misc]


def test_it_is_renewed_with_every_process_it_owns(backend: FileBackend) -> None:
    """Engine processes are recorded while they run."""
    with Lease.acquire(backend, purpose="x") as held:
        me = identify(os.getpid())
        held.owns(me)
        found = lease.read(backend)
        assert found is not None
        assert found[0].processes == (me,)
        held.disown(me)
        found = lease.read(backend)
        assert found is not None
        assert found[0].processes == ()
