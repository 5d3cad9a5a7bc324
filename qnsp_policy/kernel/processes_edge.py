"""Which process is meant by a process id, and how to learn that it ended.

A process id alone is reused by the kernel; together with its start time (clock ticks since boot, from `/proc/<pid>/stat`
field 22, proc(5)) and the boot's own id it names one process for ever. Whoever writes a process id into a file writes this.
Where `/proc` is missing, psutil's creation time stands in for the ticks.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process for ever: id, start in clock ticks since boot, id of the boot."""

    pid: int
    start: int
    boot: str

    def to_json(self) -> dict[str, Any]:
        return {"pid": self.pid, "start": self.start, "boot": self.boot}

    @classmethod
    def from_json(cls, value: Any) -> ProcessIdentity:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a member is missing or of another type.
        """
        match value:
            case {"pid": int(pid), "start": int(start), "boot": str(boot)}:
                return cls(pid, start, boot)
        raise ValueError("a process identity holds pid, start and boot")


@cache
def boot_id() -> str:
    """The id of this boot; empty where the kernel gives none (start times are then wall clock and need none)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start(pid: int) -> int | None:
    """Start of a process that still runs; None for one that ended, a zombie included."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        # The second field is the command in parentheses and may hold spaces and parentheses itself.
        fields = stat[stat.rindex(b")") + 2 :].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 1000)
    except psutil.Error:
        return None


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a running process, or None if there is none of that id (a zombie counts as none)."""
    start = _start(pid)
    return None if start is None else ProcessIdentity(pid, start, boot_id())


def is_running(identity: ProcessIdentity) -> bool:
    """Whether exactly this process still runs."""
    return identity.boot == boot_id() and _start(identity.pid) == identity.start


def send_signal(identity: ProcessIdentity, number: int) -> bool:
    """Send a signal to exactly this process, never to another that got its id.

    Returns:
        False if the process is gone.
    """
    if sys.platform == "linux":
        try:
            descriptor = os.pidfd_open(identity.pid)
        except OSError:
            return False
        try:
            if not is_running(identity):
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True
    if not is_running(identity):
        return False
    try:
        os.kill(identity.pid, number)
    except ProcessLookupError:
        return False
    return True


def become_subreaper() -> bool:
    """Orphans among our descendants become our children instead of init's (Linux; False elsewhere)."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def when_parent_ends(action: Callable[[], None]) -> None:
    """Call `action` (in a thread) when the present parent process ends.

    The kernel's own parent-death signal fires when the parent's *thread* ends, which for a parent written in Go may be
    any time; a process descriptor fires for the process.
    """
    parent = os.getppid()

    def watch_descriptor(descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
        action()

    def watch_id() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(0.5)
        action()

    if sys.platform == "linux":
        try:
            descriptor = os.pidfd_open(parent)
        except OSError:
            action()
            return
        if os.getppid() != parent:
            action()
            return
        threading.Thread(target=watch_descriptor, args=(descriptor,), daemon=True, name="parent-watch").start()
    else:
        threading.Thread(target=watch_id, daemon=True, name="parent-watch").start()


def exec_argv(argv: list[str]) -> list[str]:
    """An argv that runs `argv` so that it gets SIGINT when the thread that started it ends (Linux; unchanged elsewhere).

    Whoever was started in the background by a shell ignores SIGINT, and would hand that on; the program ignores it only of itself.
    `preexec_fn` is not safe in a process with threads; a tiny interpreter in between is. Only for callers whose starting
    thread waits for the end of the process.
    """
    if sys.platform != "linux":
        return argv
    code = (
        "import _signal,ctypes,os,sys;"
        "_signal.signal(_signal.SIGINT,_signal.SIG_DFL);"
        f"ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG},{int(signal.SIGINT)});"
        "os.getppid()==int(sys.argv[1]) or sys.exit(130);"
        "os.execv(sys.argv[2],sys.argv[2:])"
    )
    return [sys.executable, "-I", "-S", "-c", code, str(os.getpid()), *argv]


__all__ = [
    "ProcessIdentity",
    "become_subreaper",
    "boot_id",
    "exec_argv",
    "identify",
    "is_running",
    "send_signal",
    "when_parent_ends",
]
