"""Runs a program that is not ours: with a deadline, bounded output, an environment that is given whole, in a folder of its own.

Comes in: an argv and what to write to its standard input. Goes out: what it said, or why nothing came. Whatever it left running in its
process group is killed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_CHUNK: Final = 65536
_TAIL: Final = 4096


@dataclass(frozen=True, slots=True)
class Said:
    """What a program said.

    Attributes:
        code: exit code; None where it was killed.
        output: standard output, whole.
        errors: the end of standard error.
        failure: "" or why it was killed or could not start: deadline, too much output, not to be run.
    """

    code: int | None
    output: bytes
    errors: str
    failure: str = ""


def run_outside(
    argv: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stdin: bytes = b"",
    seconds: float,
    limit: int = 4 * 1024 * 1024,
) -> Said:
    """Runs a program to its end.

    Args:
        argv: the program and its arguments; no shell.
        folder: where it runs.
        environment: all that it sees; nothing of ours is added.
        stdin: written to it.
        seconds: until it is killed.
        limit: bytes of standard output and of standard error each, until it is killed.
    """
    given = folder / ".stdin" if stdin else Path(os.devnull)
    try:
        if stdin:
            given.write_bytes(stdin)
        with given.open("rb") as source:
            process = subprocess.Popen(  # noqa: S603 -- who calls this names the program
                list(argv),
                cwd=folder,
                env=dict(environment),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return Said(None, b"", "", f"cannot be run: {why}")
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            output, errors, failure = listen(process.stdout, process.stderr, time.monotonic() + seconds, limit)
            code = None
            if not failure:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(timeout=5)
                failure = "" if code is not None else "closed its output and did not end"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    if failure == "deadline":
        failure = f"did not end within {seconds:g} s"
    return Said(code, output, errors[-_TAIL:].decode("utf-8", "replace"), failure)


def listen(output: IO[bytes], errors: IO[bytes], deadline: float | None, limit: int) -> tuple[bytes, bytes, str]:
    """Both streams of a program to their ends, and why listening stopped before.

    Args:
        output: what it writes to.
        errors: what it complains to.
        deadline: of the monotonic clock; None waits as long as it takes.
        limit: most bytes of each.
    """
    heard = {output.fileno(): bytearray(), errors.fileno(): bytearray()}
    failure = ""
    with selectors.DefaultSelector() as selector:
        for stream in (output, errors):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and not failure:
            ready = selector.select(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if not ready and deadline is not None and time.monotonic() >= deadline:
                failure = "deadline"
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                heard[key.fd] += chunk
                if len(heard[key.fd]) > limit:
                    failure = f"wrote more than {limit} bytes"
    return bytes(heard[output.fileno()]), bytes(heard[errors.fileno()]), failure


__all__ = ["Said", "listen", "run_outside"]
