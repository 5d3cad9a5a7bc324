"""The supervisor's process: one instance a run folder (a held lock file), a unix socket of mode 0600, JSON lines.

Config (JSON): `{"runDir", "socket", "state", "logs"}`, absolute paths. `--daemon` returns when the socket answers:
0 whether it was started now or ran already. SIGTERM ends every process, remembers them and exits; request `shutdown`
ends and forgets them. When its run folder is taken away it ends everything, so that no test or deleted workspace
leaves processes behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.processes_edge import become_subreaper
from qnsp_policy.kernel.wire.supervisor import (
    FORMAT,
    MAX_LINE,
    Request,
    SupervisorError,
    answer_line,
    error_line,
    parse_answer,
)
from qnsp_policy.kernel.wire.unix_edge import ask
from qnsp_policy.services.supervisor.manager_edge import Manager

_log = logging.getLogger("qnsp.supervisor")
LOCK_SECONDS = 30.0
"""How long to wait for another supervisor of the same folder that is just ending."""
CHORES_SECONDS = 2.0
BACKLOG = 1024
"""Callers that may wait to be accepted: several engine runs ask for dozens of processes at once."""


@dataclass(frozen=True, slots=True)
class Config:
    """Where this supervisor lives."""

    run_dir: Path
    socket: Path
    state: Path
    logs: Path

    @classmethod
    def read(cls, path: Path) -> Config:
        """Read a config file.

        Raises:
            SupervisorError: QNSP-OPS-104, the file is missing or not a config.
        """
        try:
            value: Any = json.loads(path.read_bytes())
            config = cls(*(Path(value[name]) for name in ("runDir", "socket", "state", "logs")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SupervisorError("QNSP-OPS-104", f"{path}: not a config of a supervisor") from error
        if not all(item.is_absolute() for item in (config.run_dir, config.socket, config.state, config.logs)):
            raise SupervisorError("QNSP-OPS-104", f"{path}: every path of a supervisor's config is absolute")
        return config


def main(argv: list[str]) -> int:
    """Run a supervisor; exit code 0 when it ended in order or another one runs already."""
    parser = argparse.ArgumentParser(prog="qnsp-policy supervisor", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--daemon", action="store_true", help="detach, and return when the socket answers")
    options = parser.parse_args(argv)
    try:
        config = Config.read(options.config)
        for folder in (config.run_dir, config.socket.parent, config.state.parent, config.logs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not options.daemon:
            return _serve_alone(config, None)
        return _detach(config)
    except OperatorError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the only words of a process that has no log yet
        return 1
    except OSError as error:
        print(f"QNSP-OPS-105: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _detach(config: Config) -> int:
    """Fork; the parent waits for the child's word and returns, so the child belongs to nobody who could end it."""
    reader, writer = os.pipe()
    if os.fork() != 0:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            word = pipe.read().decode("utf-8", "replace")
        if word == "ready":
            return 0
        print(word or "QNSP-OPS-105: the supervisor ended before it was ready", file=sys.stderr)  # noqa: T201
        return 1
    os.close(reader)
    os.setsid()
    code = 1
    try:
        log = os.open(config.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = _serve_alone(config, writer)
    except (OperatorError, OSError) as error:
        _say(writer, f"QNSP-OPS-105: {error}" if isinstance(error, OSError) else str(error))
    return code


def _say(writer: int | None, word: str) -> None:
    if writer is not None:
        with contextlib.suppress(OSError):
            os.write(writer, word.encode())
            os.close(writer)


def _serve_alone(config: Config, writer: int | None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    lock = _lock(config)
    if lock is None:
        _say(writer, "ready")
        return 0
    os.chdir(config.run_dir)
    become_subreaper()
    asyncio.run(_serve(config, lock, writer))
    return 0


def _lock(config: Config) -> int | None:
    """The held lock, or None when another supervisor answers."""
    path = config.run_dir / "supervisor.lock"
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if _answers(config.socket):
                return None
            if time.monotonic() > deadline:
                raise SupervisorError(
                    "QNSP-OPS-106",
                    f"another supervisor holds {path} and does not answer",
                    next_step="look at logs/supervisor.log in the run folder",
                ) from None
            time.sleep(0.05)
            continue
        # The holder before us may have removed the file that we locked.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        os.close(descriptor)


def _answers(path: Path) -> bool:
    try:
        answer = ask(path, Request("ping").to_line(), timeout=2, limit=MAX_LINE)
        return bool(parse_answer(answer)["format"] == FORMAT)
    except (OSError, SupervisorError, KeyError):
        return False


async def _serve(config: Config, lock: int, writer: int | None) -> None:
    manager = Manager(config.run_dir, config.state, config.logs)
    ending = asyncio.Event()
    forget = False
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, manager.reap)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def answer(request: Request) -> bytes:
        nonlocal forget
        match request.op:
            case "ping":
                return answer_line(format=FORMAT, pid=os.getpid())
            case "list":
                return answer_line(processes=[report.to_json() for report in manager.reports(request.names)])
            case "logs":
                return answer_line(lines=manager.log_lines(request.name, request.lines))
            case "stop":
                return answer_line(stopped=await manager.stop(request.name))
            case "shutdown":
                await manager.close(forget=True)
                forget = True
                return answer_line()
            case _:
                if request.process is None:
                    raise RuntimeError("a request to ensure holds a process")
                if ending.is_set():
                    raise SupervisorError("QNSP-OPS-107", "the supervisor is ending")
                report = await manager.ensure(request.process, request.wait_seconds, request.owner)
                return answer_line(process=report.to_json(), lines=manager.log_lines(report.name, 20))

    async def converse(reader: asyncio.StreamReader, stream: asyncio.StreamWriter) -> None:
        try:
            if not _same_user(stream):
                return
            while line := await reader.readline():
                try:
                    stream.write(await answer(Request.from_line(line)))
                except OperatorError as error:
                    stream.write(error_line(error))
                await stream.drain()
                if forget:
                    ending.set()
                    return
        except (OSError, ValueError):  # the peer went away, or sent a line beyond the limit
            pass
        finally:
            stream.close()

    manager.adopt()
    config.socket.unlink(missing_ok=True)
    old = os.umask(0o177)
    # The folder may lie deeper than the 108 bytes a socket's address holds; the current folder is the run folder.
    address = os.path.relpath(config.socket, config.run_dir)  # noqa: ASYNC240 - text only, no disk
    server = await asyncio.start_unix_server(converse, path=address, limit=MAX_LINE, backlog=BACKLOG)
    os.umask(old)
    _say(writer, "ready")
    _log.info("process %d supervises %s", os.getpid(), config.run_dir)
    while not ending.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), CHORES_SECONDS)
        manager.chores()
        if not _is_ours(config, lock):
            _log.warning("the run folder is gone; ending everything")
            break
    server.close()
    await manager.close(forget=forget)
    if _is_ours(config, lock):
        config.socket.unlink(missing_ok=True)
    _log.info("ended")


def _is_ours(config: Config, lock: int) -> bool:
    try:
        return (config.run_dir / "supervisor.lock").stat().st_ino == os.fstat(lock).st_ino
    except OSError:
        return False


def _same_user(stream: asyncio.StreamWriter) -> bool:
    """Whether the peer runs as our user; the socket's mode says so too, this one cannot be changed by a chmod."""
    connection = stream.get_extra_info("socket")
    if connection is None or not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(uid == os.getuid())


__all__ = ["Config", "main"]
