"""One run of the engine's command line, with our environment only and bound to the life of this process.

Engine processes run in groups of their own, so that a terminal's Ctrl-C reaches us alone and we decide how they end.
Which failure it was is read from what the pinned version writes; the Automation API of Pulumi's SDK does the same.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from qnsp_policy.kernel.outside_edge import listen
from qnsp_policy.kernel.processes_edge import ProcessIdentity, exec_argv, identify, send_signal
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener

T = TypeVar("T")
R = TypeVar("R")
_MISSING = re.compile(r"no stack named.*found")
_EXISTS = re.compile(r"stack.*already exists")
_LOCKED = "the stack is currently locked by"
_ENDING = Event(EventKind.MESSAGE, text="ending; engines save what they did (Ctrl-C once more kills them)")
MOST_BYTES = 256 << 20
"""A stack of 10,000 resources is exported as some 30 MB."""


class CommandFailed(Exception):  # noqa: N818 - what happened, not whose error it is
    """The command line ended with an error; its text is all that it wrote.

    Attributes:
        code: its exit code; minus the number of the signal that ended it.
    """

    code = 0


class StackMissing(CommandFailed):
    """There is no such stack."""


class StackExists(CommandFailed):
    """There is such a stack already."""


class StackLocked(CommandFailed):
    """The engine's own lock is held, by a living run or by what a dead one left."""


class Processes:
    """The engine processes of one run, so that they can be ended together.

    Args:
        began, ended: told of each process, for the lease's record.
        on_cancel: told when the run is to end.
    """

    def __init__(
        self,
        began: Callable[[ProcessIdentity | None], None] = lambda _: None,
        ended: Callable[[ProcessIdentity | None], None] = lambda _: None,
        on_cancel: Callable[[], None] = lambda: None,
    ) -> None:
        self._began, self._ended, self._on_cancel = began, ended, on_cancel
        self._running: set[ProcessIdentity] = set()
        self._lock = threading.Lock()
        self.cancelled = threading.Event()

    @contextlib.contextmanager
    def running(self, pid: int) -> Iterator[None]:
        identity = identify(pid)
        with self._lock:
            if identity is not None:
                self._running.add(identity)
            cancelled = self.cancelled.is_set()
        try:
            try:
                self._began(identity)
            except BaseException:
                # Whoever takes over would not know of it: it must not go on.
                if identity is not None:
                    send_signal(identity, signal.SIGKILL)
                raise
            if cancelled and identity is not None:
                send_signal(identity, signal.SIGINT)
            yield
        finally:
            with self._lock:
                self._running.discard(identity) if identity else None
            self._ended(identity)

    def cancel(self) -> None:
        """Ask every engine process to finish what is in flight, save its state and end."""
        self.cancelled.set()
        self._on_cancel()
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End every engine process now; the next run clears up."""
        self.cancelled.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            for identity in self._running:
                send_signal(identity, number)


def together(
    items: Sequence[T],
    work: Callable[[T], R],
    processes: Processes,
    parallel: int,
    listener: Listener,
    after: Sequence[AbstractSet[int]] = (),
) -> list[R]:
    """Run `work` for every item in threads; Ctrl-C ends engine processes in order, waits for them and is raised again.

    Once more Ctrl-C kills them. The first item that failed says why, when all that were begun have ended.

    Args:
        items: may be none.
        work: for one item.
        processes: that `work` starts.
        parallel: most threads.
        listener: told of the first Ctrl-C.
        after: of each item the numbers of those that end before it begins, without circles; by default none waits.
    """
    at_work = set[int]()

    def noted(number: int, item: T) -> R:
        at_work.add(number)
        try:
            return work(item)
        finally:
            at_work.discard(number)

    left = [len(before) for before in after] or [0] * len(items)
    users: dict[int, list[int]] = {}
    for number, before in enumerate(after):
        for other in before:
            users.setdefault(other, []).append(number)
    free = deque(number for number, count in enumerate(left) if not count)
    first: BaseException | None = None
    futures: dict[Future[R], int] = {}
    waiting = set[Future[R]]()
    with ThreadPoolExecutor(parallel, thread_name_prefix="unit") as pool:
        while True:
            try:
                while free and first is None:
                    future = pool.submit(noted, free[0], items[free[0]])
                    futures[future] = free.popleft()
                    waiting.add(future)
                if waiting:
                    ended, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in ended:
                        first = first or future.exception()
                        for user in users.get(futures[future], ()):
                            left[user] -= 1
                            if not left[user]:
                                free.append(user)
                elif at_work:
                    # Ctrl-C came while the pool was starting a thread, which it may not know: nothing else would wait for it.
                    time.sleep(0.05)
                else:
                    break
            except KeyboardInterrupt as interrupt:
                if processes.cancelled.is_set():
                    processes.kill()
                else:
                    processes.cancel()
                    listener(_ENDING)
                first = interrupt
    if first is not None:
        raise first
    return [future.result() for future, _ in sorted(futures.items(), key=itemgetter(1))]


def run_command(
    pulumi: Path, words: Sequence[str], *, folder: Path, environment: Mapping[str, str], processes: Processes
) -> str:
    """Run the command line to its end.

    Args:
        pulumi: the pinned program.
        words: its arguments.
        folder: where it runs.
        environment: all of it.
        processes: where it is registered while it runs.

    Returns:
        What it wrote to its standard output.

    Raises:
        CommandFailed: it ended with an error; `StackMissing`, `StackExists` or `StackLocked` where it says so.
    """
    with (
        subprocess.Popen(  # noqa: S603 - the pinned CLI
            exec_argv([str(pulumi), "--non-interactive", *words]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**environment, "PULUMI_AUTOMATION_API": "true", "PULUMI_DEBUG_COMMANDS": "true"},
            start_new_session=True,
        ) as process,
        processes.running(process.pid),
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        output, errors, flood = listen(process.stdout, process.stderr, None, MOST_BYTES)
        if flood:
            process.kill()
    said, complained = output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")
    if flood:
        raise CommandFailed(f"error: it {flood} and was ended; see whether {pulumi} is pulumi")
    if process.returncode == 0:
        return said
    kind = CommandFailed
    if _MISSING.search(complained):
        kind = StackMissing
    elif _EXISTS.search(complained):
        kind = StackExists
    elif _LOCKED in complained:
        kind = StackLocked
    failure = kind(f"{said.strip()}\n{complained.strip()}")
    failure.code = process.returncode
    raise failure


__all__ = ["CommandFailed", "Processes", "StackExists", "StackLocked", "StackMissing", "run_command", "together"]
