"""The lease of a workspace: one writer at a time, with an expiry, a recorded takeover and a fencing token.

One record in the backend, written under a condition. The token rises with every change of hands, so a writer that was
asleep learns from `Lease.check` that it is fenced off before it writes. A lease whose owner's process ended on this host
is taken over at once; one of another host when it has expired. Whoever takes over first ends the processes the old
owner recorded, which fences it for good.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from qnsp_policy.errors import LockHeld, OperatorError
from qnsp_policy.kernel.processes_edge import ProcessIdentity, identify, is_running, send_signal
from qnsp_policy.pipeline.world.backend import ABSENT, Backend, Conflict

KEY = "lease.json"
FORMAT = "qnsp.lease/v1"
LIFETIME = timedelta(seconds=60)
RENEW_SECONDS = 15.0
END_SECONDS = 20.0
"""How long a dead owner's engine processes get to save their state before they are killed."""

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What stands in the backend.

    Attributes:
        token: rises with every change of hands; outlives the release.
        serial: our count of applies, copied for people.
        owner: the process that holds it, None when it is free.
        processes: engine processes of the owner, to be ended by whoever takes over.
        takeover: of whom and why, when the present owner took it from another.
    """

    token: int
    user: str = ""
    host: str = ""
    owner: ProcessIdentity | None = None
    purpose: str = ""
    acquired: datetime | None = None
    expires: datetime | None = None
    processes: tuple[ProcessIdentity, ...] = ()
    takeover: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "token": self.token,
            "user": self.user,
            "host": self.host,
            "owner": self.owner.to_json() if self.owner else None,
            "purpose": self.purpose,
            "acquired": _text(self.acquired),
            "expires": _text(self.expires),
            "processes": [process.to_json() for process in self.processes],
            "takeover": self.takeover,
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> LeaseRecord:
        """Read a lease record.

        Raises:
            OperatorError: QNSP-LCK-003, it is torn or of another format.
        """
        try:
            value = json.loads(data)
            if value["format"] != FORMAT:
                raise ValueError(value["format"])
            return cls(
                token=int(value["token"]),
                user=str(value["user"]),
                host=str(value["host"]),
                owner=None if value["owner"] is None else ProcessIdentity.from_json(value["owner"]),
                purpose=str(value["purpose"]),
                acquired=_time(value["acquired"]),
                expires=_time(value["expires"]),
                processes=tuple(ProcessIdentity.from_json(item) for item in value["processes"]),
                takeover=str(value["takeover"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise OperatorError(
                "QNSP-LCK-003",
                "the lease record of this workspace cannot be read",
                next_step="see that no apply runs, then `qnsp-policy lock release --force`",
            ) from error

    def describe(self) -> str:
        """Who holds it, for people."""
        if self.owner is None:
            return "free"
        since = f" since {_text(self.acquired)}" if self.acquired else ""
        return f"{self.user}@{self.host}, process {self.owner.pid}{since}: {self.purpose}"


def read(backend: Backend) -> tuple[LeaseRecord, str] | None:
    """The lease record and its etag, or None if there never was one."""
    found = backend.get(KEY)
    return None if found is None else (LeaseRecord.from_bytes(found[0]), found[1])


def release_by_force(
    backend: Backend, *, force: bool, before: Callable[[LeaseRecord], object] = lambda _: None
) -> LeaseRecord:
    """Free a lease that somebody left behind (`lock release`).

    Args:
        backend: where it lies.
        force: also where its owner is at work or its record cannot be read.
        before: told what it is when it is about to be freed; not called where it is free.

    Returns:
        What it was.

    Raises:
        LockHeld: QNSP-LCK-001, its owner is at work and `force` was not given.
    """
    found = backend.get(KEY)
    if found is None:
        return LeaseRecord(0)
    try:
        record = LeaseRecord.from_bytes(found[0])
    except OperatorError:
        if not force:
            raise
        # Unreadable, so its token is unknown; seconds since the epoch are above any count of applies.
        record = LeaseRecord(int(time.time()))
    else:
        if record.owner is None:
            return record
    if not force and not is_abandoned(record, _now()):
        raise _held(record)
    _end_processes(record)
    before(record)
    freed = LeaseRecord(record.token + 1, takeover=f"released by force from {record.describe()}")
    backend.put(KEY, _bytes(freed), if_match=found[1])
    return record


@dataclass(slots=True)
class Lease:
    """A held lease; a context manager that renews it in the background and frees it in the end.

    Attributes:
        took_over: the record of the owner it was taken from, or None.
    """

    backend: Backend
    record: LeaseRecord
    took_over: LeaseRecord | None
    clock: Clock = _now
    _etag: str = ""
    _lost: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _ending: threading.Event = field(default_factory=threading.Event)
    _renewer: threading.Thread | None = None

    @classmethod
    def acquire(
        cls,
        backend: Backend,
        *,
        purpose: str,
        wait_seconds: float = 0.0,
        clock: Clock = _now,
        lifetime: timedelta = LIFETIME,
    ) -> Lease:
        """Take the lease.

        Args:
            backend: where it lies.
            purpose: said to whoever is refused.
            wait_seconds: how long to wait for its owner (`--lock-timeout`).
            clock: gives the time, aware.
            lifetime: how long it holds without renewal.

        Raises:
            LockHeld: QNSP-LCK-001, somebody else holds it.
        """
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                return cls._attempt(backend, purpose, clock, lifetime)
            except (LockHeld, Conflict) as error:
                if time.monotonic() >= deadline:
                    if isinstance(error, Conflict):
                        raise LockHeld(
                            "QNSP-LCK-001", "another run took the lease of this workspace at the same moment"
                        ) from error
                    raise
            time.sleep(min(0.25, max(0.0, deadline - time.monotonic())))

    @classmethod
    def _attempt(cls, backend: Backend, purpose: str, clock: Clock, lifetime: timedelta) -> Lease:
        found = read(backend)
        now = clock()
        before = found[0] if found else LeaseRecord(0)
        took_over: LeaseRecord | None = None
        if before.owner is not None:
            if not is_abandoned(before, now):
                raise _held(before)
            took_over = before
        me = identify(os.getpid())
        if me is None:
            raise RuntimeError("this process has no identity")
        record = LeaseRecord(
            token=before.token + 1,
            user=_user(),
            host=socket.gethostname(),
            owner=me,
            purpose=purpose,
            acquired=now,
            expires=now + lifetime,
            takeover=f"taken over from {before.describe()}" if took_over else "",
        )
        etag = backend.put(KEY, _bytes(record), if_match=found[1] if found else ABSENT)
        if took_over is not None:
            _end_processes(took_over)
            backend.drop_scratch()
        return cls(backend, record, took_over, clock, _etag=etag)

    @property
    def token(self) -> int:
        return self.record.token

    def check(self) -> None:
        """Make sure that the lease is still ours; called before everything that writes.

        Raises:
            LockHeld: QNSP-LCK-002, it was taken over: we are fenced off and must not write.
        """
        with self._lock:
            if not self._lost:
                found = read(self.backend)
                if found is None or found[0].token != self.record.token:
                    self._lost = found[0].describe() if found else "nobody"
            if self._lost:
                raise LockHeld(
                    "QNSP-LCK-002",
                    f"the lease of this workspace was taken over by {self._lost}; this run writes nothing more",
                    next_step="see `qnsp-policy lock list`; plan again when the other run has ended",
                )

    def owns(self, process: ProcessIdentity | None) -> None:
        """Record an engine process of ours, for whoever has to take over."""
        if process is not None:
            self._change(lambda record: replace(record, processes=(*record.processes, process)))

    def disown(self, process: ProcessIdentity | None) -> None:
        """Forget an engine process that ended."""
        if process is not None:
            self._change(lambda r: replace(r, processes=tuple(item for item in r.processes if item != process)))

    def _change(self, change: Callable[[LeaseRecord], LeaseRecord]) -> None:
        with self._lock:
            if self._lost:
                return
            record = change(replace(self.record, expires=self.clock() + LIFETIME))
            try:
                self._etag = self.backend.put(KEY, _bytes(record), if_match=self._etag)
                self.record = record
            except Conflict:
                self.check()

    def __enter__(self) -> Self:
        self._renewer = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        if self._renewer is not None:
            self._renewer.join(5)
        with self._lock:
            if self._lost:
                return
            freed = LeaseRecord(self.record.token, takeover=self.record.takeover)
            with contextlib.suppress(OperatorError):
                self.backend.put(KEY, _bytes(freed), if_match=self._etag)

    def _renew(self) -> None:
        while not self._ending.wait(RENEW_SECONDS):
            with contextlib.suppress(OperatorError):
                self._change(lambda record: record)


def is_abandoned(record: LeaseRecord, now: datetime) -> bool:
    """Whether nobody is behind it any more: its process ended on this host, or it expired on another."""
    if record.owner is None:
        return True
    if record.host == socket.gethostname():
        return not is_running(record.owner)
    return record.expires is not None and now > record.expires


def _end_processes(record: LeaseRecord) -> None:
    """End the engine processes of a dead owner: first so that they save their state, then for good."""
    if record.host != socket.gethostname():
        return
    left = [process for process in record.processes if send_signal(process, signal.SIGINT)]
    deadline = time.monotonic() + END_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if is_running(process)]
    for process in left:
        send_signal(process, signal.SIGKILL)


def _held(record: LeaseRecord) -> LockHeld:
    return LockHeld(
        "QNSP-LCK-001",
        f"this workspace is locked by {record.describe()}",
        subject="lease",
        next_step="wait for it (`--lock-timeout 300`), or `qnsp-policy lock release` when its owner is gone",
    )


def _bytes(record: LeaseRecord) -> bytes:
    return json.dumps(record.to_json(), indent=1).encode() + b"\n"


def _text(time_: datetime | None) -> str | None:
    return None if time_ is None else time_.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


__all__ = ["FORMAT", "KEY", "LIFETIME", "Lease", "LeaseRecord", "read", "release_by_force"]
