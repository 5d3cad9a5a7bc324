"""The upstream of an endpoint as a child process: what it is given, when it is ready, how it ends.

The upstream is any program that speaks HTTP/1.1 on a unix socket or on a loopback port. It is given, and given nothing else:

    QNSP_UPSTREAM_SOCKET   path of a unix socket to listen on (preferred: nobody else can reach it), or
    QNSP_LISTEN            host:port on loopback to listen on; one of the two is enough
    QNSP_MODEL_FD          number of an open, sealed, read-only memory file that holds the model; it was never on a disk
    QNSP_MODEL_NAME        name of the model, as answers should carry it
    QNSP_MODEL_DIGEST      SHA-256 of those bytes, as text
    QNSP_ENDPOINT          name of the endpoint

and whatever `upstream.environment` of the endpoint's document says. Ready is: `GET /healthz` answers below 500.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket as socket_module
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qnsp_policy.errors import EngineError, OperatorError

_F_ADD_SEALS, _SEALS = 1033, 0x1 | 0x2 | 0x4 | 0x8  # fcntl(2): seal, shrink, grow, write
_CHUNK = 1 << 20


def memory_file(name: str, data: Iterable[bytes], *, mode: int | None = None) -> int:
    """A sealed memory file with `data`, rewound; its descriptor. It lives in memory only and can no longer be written."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for chunk in data:
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view[:_CHUNK]) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        if mode is not None:
            os.fchmod(descriptor, mode)
        fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def command_of(words: Sequence[str]) -> list[str]:
    """The argv to start; `python` is the interpreter of this image."""
    return [sys.executable if words[0] in {"python", "python3"} else words[0], *words[1:]]


class Child:
    """A process that ends with this one."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
    ) -> None:
        self.name = name
        try:
            self._process = subprocess.Popen(  # noqa: S603 - argv of the measured image
                list(argv),
                cwd=cwd,
                env=dict(environment),
                pass_fds=tuple(descriptors),
                stdin=subprocess.DEVNULL,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call, no locks taken
            )
        except OSError as error:
            raise OperatorError("QNSP-GST-030", f"cannot start {name}: {error}", subject=name) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def stop(self, seconds: float = 5.0) -> None:
        """SIGTERM, then SIGKILL."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _end_with_parent() -> None:
    import ctypes  # noqa: PLC0415 - in the child only

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """Where an upstream answers: a unix socket, or a loopback port when `socket` is empty."""

    socket: str
    port: int

    def to_json(self) -> dict[str, str | int]:
        return {"socket": self.socket, "port": self.port}


def wait_until_ready(child: Child, offered: UpstreamAddress, seconds: float) -> UpstreamAddress:
    """Wait for the child to answer on the socket or the port it was offered; returns the one it took.

    Raises:
        EngineError: `QNSP-GST-031`: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = child.ended()
        if status is not None:
            raise EngineError("QNSP-GST-031", f"{child.name} ended with status {status} before it was ready")
        for address in (UpstreamAddress(offered.socket, 0), UpstreamAddress("", offered.port)):
            if _answers(address):
                return address
        time.sleep(0.05)
    raise EngineError(
        "QNSP-GST-031",
        f"{child.name} did not answer on {offered.socket} or port {offered.port} within {seconds:.0f} s",
    )


def _answers(address: UpstreamAddress) -> bool:
    """Whether `GET /healthz` is answered below 500."""
    family = socket_module.AF_UNIX if address.socket else socket_module.AF_INET
    with contextlib.suppress(OSError), socket_module.socket(family) as connection:
        connection.settimeout(5.0)
        connection.connect(address.socket or ("127.0.0.1", address.port))
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n\r\n")
        words = connection.recv(64).split()
        return len(words) > 1 and words[1].isdigit() and int(words[1]) < 500
    return False


__all__ = ["Child", "UpstreamAddress", "command_of", "memory_file", "wait_until_ready"]
