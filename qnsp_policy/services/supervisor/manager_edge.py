"""The table of supervised processes: start, readiness, restart with backoff, stop, adoption. One asyncio loop, no thread but probes.

The end of a process is learnt from its process descriptor, whether it is our child or was adopted from a supervisor
that died; only our children's exit codes are known.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.files_edge import sweep_own_folders, write_whole
from qnsp_policy.kernel.processes_edge import ProcessIdentity, is_running
from qnsp_policy.kernel.wire.supervisor import ProcessReport, ProcessSpec, Restart, State, SupervisorError
from qnsp_policy.services.supervisor import probe_edge, spawn_edge
from qnsp_policy.services.supervisor.state import Entry, delay, dump, load

_log = logging.getLogger("qnsp.supervisor")
ALIVE_SECONDS = 0.3
"""A process without readiness is ready when it has lived this long."""
_PASSING = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC})
"""What the machine lacks for now; a program that is not there will not be there later either."""
HOPELESS = 3
"""Ends in a row before ready after which `ensure` stops waiting."""


class Managed:
    """One process: what shall run and what does."""

    def __init__(self, spec: ProcessSpec, log: Path, owner: str = "") -> None:
        self.spec = spec
        self.owner = owner
        self.digest = spec.digest()
        self.log = log
        self.identity: ProcessIdentity | None = None
        self.nonce = ""
        self.state = State.STARTING
        self.restarts = 0
        self.exit_code: int | None = None
        self.reason = ""
        self.task: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()

    def set(self, state: State, reason: str = "") -> None:
        self.state, self.reason = state, reason
        self.changed.set()
        self.changed = asyncio.Event()

    def report(self) -> ProcessReport:
        return ProcessReport(
            name=self.spec.name,
            state=self.state,
            digest=self.digest,
            pid=self.identity.pid if self.identity else None,
            restarts=self.restarts,
            exit_code=self.exit_code,
            reason=self.reason,
            log=str(self.log),
            owner=self.owner,
        )


class Manager:
    """All processes of one run folder."""

    def __init__(self, run_dir: Path, state_file: Path, logs: Path) -> None:
        self._key = spawn_edge.supervisor_key(run_dir)
        self._state_file = state_file
        self._logs = logs
        self._table: dict[str, Managed] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._exit_codes: dict[int, int] = {}
        self._children: set[int] = set()
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False

    # what the socket offers

    def reports(self, names: Sequence[str] = ()) -> list[ProcessReport]:
        chosen = (name for name in names if name in self._table) if names else self._table
        return [self._table[name].report() for name in sorted(chosen)]

    def log_lines(self, name: str, lines: int) -> list[str]:
        if name not in self._table:
            raise SupervisorError("QNSP-OPS-103", f"no process {name!r} is supervised")
        return probe_edge.tail(self._table[name].log, lines)

    async def ensure(self, spec: ProcessSpec, wait_seconds: float, owner: str = "") -> ProcessReport:
        """Make this specification run, and wait for it to be ready, to fail for good, or for the time to pass.

        Raises:
            SupervisorError: QNSP-OPS-109, one of that name runs for another resource.
        """
        async with self._locks.setdefault(spec.name, asyncio.Lock()):
            present = self._table.get(spec.name)
            if present is not None and owner and present.owner not in {"", owner}:
                raise SupervisorError("QNSP-OPS-109", f"process {spec.name} runs for {present.owner}, not for {owner}")
            if present is not None and owner and not present.owner:
                present.owner = owner
            if present is None or present.digest != spec.digest() or present.state in {State.FAILED, State.EXITED}:
                if present is not None:
                    await self._end(present)
                present = Managed(spec, self._logs / f"{spec.name}.log", owner)
                self._table[spec.name] = present
                self._launch(present)
            # What is answered for is in the file; a supervisor that dies before leaves a process that the next one ends.
            await self._saved()
        await self._wait(present, wait_seconds)
        return present.report()

    async def stop(self, name: str) -> bool:
        """End a process and forget it; False if there is none."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            present = self._table.get(name)
            if present is None:
                if self._unsaved:
                    self._save()
                return False
            await self._end(present)
            self._table.pop(name, None)
            self._save()
            return True

    async def close(self, *, forget: bool) -> None:
        """End every process; with `forget` a later supervisor starts none of them again."""
        table = list(self._table.values())
        await asyncio.gather(*(self._end(present) for present in table))
        sweep_own_folders("qnsp-")
        if forget:
            self._table.clear()
        self._note()

    # what a supervisor does of itself

    def adopt(self) -> None:
        """Take over what an earlier supervisor of this folder left, start what is missing, end what nobody declared."""
        try:
            entries = load(self._state_file.read_bytes())
        except FileNotFoundError:
            entries = []
        except OperatorError as error:
            _log.error("%s; processes that carry our mark are ended", error)
            entries = []
        running = spawn_edge.marked(self._key)
        kept: set[str] = set()
        for entry in entries:
            managed = Managed(entry.spec, self._logs / f"{entry.spec.name}.log", entry.owner)
            managed.restarts = entry.restarts
            self._table[entry.spec.name] = managed
            mine = [item for item in running if item.name == entry.spec.name]
            exact = [item for item in mine if item.identity == entry.identity]
            same = [item for item in mine if item.digest == managed.digest[7:23]]
            if entry.identity is not None and is_running(entry.identity) and exact:
                managed.identity, managed.nonce = entry.identity, exact[0].nonce
            elif entry.identity is None and same:
                managed.identity, managed.nonce = same[0].identity, same[0].nonce
            kept.add(managed.nonce)
        for item in running:
            if item.nonce not in kept:
                _log.warning("ending %s (process %d), which nobody declares", item.name, item.identity.pid)
                spawn_edge.signal_group(item.identity, signal.SIGKILL)
        for managed in self._table.values():
            self._launch(managed)
        self._note()

    def reap(self) -> None:
        """Collect every child that ended, our own processes and orphans of theirs."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._children:
                self._exit_codes[pid] = os.waitstatus_to_exitcode(status)

    def chores(self) -> None:
        """Save what could not be saved before; cut logs that outgrew their limit: the old part moves to `<name>.log.1`."""
        if self._unsaved:
            self._note()
        for managed in self._table.values():
            with contextlib.suppress(OSError):
                if managed.log.stat().st_size > managed.spec.log_bytes:
                    shutil.copyfile(managed.log, managed.log.with_suffix(".log.1"))
                    os.truncate(managed.log, 0)

    # the life of one process

    def _launch(self, managed: Managed) -> None:
        managed.task = asyncio.get_running_loop().create_task(self._live(managed), name=managed.spec.name)

    async def _live(self, managed: Managed) -> None:
        spec = managed.spec
        while True:
            started_ns, started = time.time_ns(), time.monotonic()
            adopted = managed.identity is not None
            if not adopted:
                managed.set(State.STARTING)
                try:
                    identity, pid, managed.nonce = spawn_edge.start(spec, managed.log, self._key)
                except OSError as error:
                    said = f"{spec.argv[0]} cannot be started: {error.strerror or error}"
                    pause = delay(spec, managed.restarts) if error.errno in _PASSING else None
                    if pause is None:
                        managed.set(State.FAILED, said)
                        return
                    managed.restarts += 1
                    managed.set(State.BACKOFF, said)
                    await asyncio.sleep(pause)
                    continue
                self._children.add(pid)
                managed.identity = identity
                with contextlib.suppress(SupervisorError):  # whoever asked for it is told
                    await self._saved()
            pid = managed.identity.pid if managed.identity else pid
            watcher = asyncio.ensure_future(self._become_ready(managed, 0 if adopted else started_ns))
            try:
                await self._ended(managed.identity)
            finally:
                watcher.cancel()
            self.reap()
            managed.exit_code = self._exit_codes.pop(pid, None)
            self._children.discard(pid)
            managed.identity = None
            await self._clear(managed)
            if time.monotonic() - started >= spec.stable_seconds:
                managed.restarts = 0
            code = managed.exit_code
            said = "ended" if code is None else f"ended with {_exit_text(code)}"
            if spec.restart is Restart.NEVER or (spec.restart is Restart.ON_FAILURE and code == 0):
                managed.set(State.EXITED, said)
                self._note()
                return
            pause = delay(spec, managed.restarts)
            if pause is None:
                managed.set(State.FAILED, f"{said}; given up after {managed.restarts} restarts")
                self._note()
                return
            managed.restarts += 1
            _log.warning("%s %s; starting it again in %.2f s", spec.name, said, pause)
            managed.set(State.BACKOFF, said)
            self._note()
            await asyncio.sleep(pause)

    async def _become_ready(self, managed: Managed, started_ns: int) -> None:
        readiness = managed.spec.readiness
        if readiness is None:
            await asyncio.sleep(ALIVE_SECONDS)
            managed.set(State.READY)
            return
        pause = 0.02
        while True:
            reason = await asyncio.to_thread(probe_edge.ready, readiness, started_ns=started_ns)
            if not reason:
                managed.set(State.READY)
                return
            managed.reason = reason
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    async def _ended(self, identity: ProcessIdentity | None) -> None:
        if identity is None:
            return
        try:
            descriptor = os.pidfd_open(identity.pid) if hasattr(os, "pidfd_open") else -1
        except ProcessLookupError:
            return
        except OSError:
            descriptor = -1
        if descriptor < 0:  # not Linux, or no descriptor is left: ask
            while is_running(identity):
                self.reap()
                await asyncio.sleep(0.1)
            return
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _finish, ended)
        try:
            if is_running(identity):
                await ended
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def _end(self, managed: Managed) -> None:
        task, managed.task = managed.task, None
        if task is not None:
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            except OSError as error:
                _log.warning("%s was no longer looked after: %s", managed.spec.name, error)
        identity = managed.identity
        if identity is not None:
            spawn_edge.signal_group(identity, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended(identity), managed.spec.stop_seconds)
            spawn_edge.signal_group(identity, signal.SIGKILL)
            await self._ended(identity)
            managed.identity = None
        await self._clear(managed)
        self.reap()

    async def _clear(self, managed: Managed) -> None:
        """End what a process left behind; without descriptors that cannot be seen, so it is tried until there are some."""
        while True:
            try:
                await asyncio.to_thread(spawn_edge.kill_marked, self._key, name=managed.spec.name)
            except OSError as error:
                if error.errno not in _PASSING:
                    raise
                managed.set(State.BACKOFF, f"ended; what it left cannot be looked for: {error.strerror}")
            else:
                return
            await asyncio.sleep(0.2)
        managed.set(State.EXITED, "stopped")

    async def _wait(self, managed: Managed, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        first = managed.restarts
        while managed.state in {State.STARTING, State.BACKOFF} and managed.restarts - first < HOPELESS:
            changed = managed.changed
            left = deadline - time.monotonic()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left)

    async def _saved(self) -> None:
        """The table as it is now is in the file on return; who asks in the same turn of the loop is written together."""
        if self._saving is None:
            self._saving = asyncio.ensure_future(self._save_soon())
        await asyncio.shield(self._saving)

    async def _save_soon(self) -> None:
        await asyncio.sleep(0)
        self._saving = None
        self._save()

    def _note(self) -> None:
        """Save what nobody waits for: a disk that is full must not end the care of a process."""
        known = self._unsaved
        try:
            self._save()
        except SupervisorError as error:
            if not known:
                _log.error("%s", error)

    def _save(self) -> None:
        entries = [Entry(item.spec, item.identity, item.restarts, item.owner) for item in self._table.values()]
        self._unsaved = True
        try:
            write_whole(self._state_file, dump(entries))
        except OSError as error:
            raise SupervisorError(
                "QNSP-OPS-116",
                f"the supervisor's state file {self._state_file} cannot be written: {error.strerror or error}",
                next_step="make room and run the same command again; what runs goes on running",
            ) from error
        self._unsaved = False


def _finish(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


__all__ = ["ALIVE_SECONDS", "HOPELESS", "Managed", "Manager"]
