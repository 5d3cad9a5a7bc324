"""Starts one process in a session of its own, and finds what a process left behind.

Every started process carries a marker in its environment: which supervisor (digest of its run folder), which name,
which specification, which start. Children inherit it, so even one that left its session is found again.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from qnsp_policy.kernel.processes_edge import ProcessIdentity, identify, send_signal
from qnsp_policy.kernel.wire.supervisor import ProcessSpec

MARKER = "QNSP_SUPERVISED"
# Nothing else of our own environment reaches a supervised process: it may hold an operator's credentials.
_INHERITED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER")


@dataclass(frozen=True, slots=True)
class Marked:
    """A process that carries our marker."""

    identity: ProcessIdentity
    name: str
    digest: str
    nonce: str


def supervisor_key(run_dir: Path) -> str:
    """Names this supervisor in markers."""
    return hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:16]


def start(spec: ProcessSpec, log: Path, key: str) -> tuple[ProcessIdentity | None, int, str]:
    """Start a process.

    Returns:
        Its identity (None if it ended at once), its process id, and the nonce in its marker.

    Raises:
        OSError: the program, the folder or the log cannot be used.
    """
    nonce = secrets.token_hex(8)
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    environment["PYTHONUNBUFFERED"] = "1"
    environment |= spec.env
    environment[MARKER] = f"{key}/{spec.name}/{spec.digest()[7:23]}/{nonce}"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(  # noqa: S603 - argv is what the unit declares, no shell
            spec.argv,
            cwd=spec.cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    # The manager reaps by itself; without a code the object would try to, too.
    child.returncode = 0
    return identify(child.pid), child.pid, nonce


def signal_group(identity: ProcessIdentity, number: signal.Signals) -> None:
    """Signal the process and everything in its session's group; does nothing when it is gone."""
    if identify(identity.pid) == identity:
        try:
            os.killpg(identity.pid, number)
        except (ProcessLookupError, PermissionError):
            send_signal(identity, number)


def marked(key: str) -> list[Marked]:
    """Every running process of ours that carries the marker of this supervisor, oldest first."""
    found = []
    own = os.getuid()
    for process in psutil.process_iter():
        try:
            if process.uids().real != own or process.pid == os.getpid():
                continue
            parts = process.environ().get(MARKER, "").split("/")
        except (psutil.Error, OSError):
            continue
        if len(parts) == 4 and parts[0] == key:
            identity = identify(process.pid)
            if identity is not None:
                found.append(Marked(identity, parts[1], parts[2], parts[3]))
    return sorted(found, key=lambda item: (item.identity.start, item.identity.pid))


def kill_marked(key: str, *, name: str, keep_nonce: str = "") -> int:
    """End whatever a process of that name left behind, but for what belongs to the start `keep_nonce`."""
    count = 0
    for item in marked(key):
        if item.name == name and item.nonce != keep_nonce:
            count += send_signal(item.identity, signal.SIGKILL)
    return count


__all__ = ["MARKER", "Marked", "kill_marked", "marked", "signal_group", "start", "supervisor_key"]
