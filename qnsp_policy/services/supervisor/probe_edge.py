"""Asks a started process whether it can be used: one HTTP GET, or a look at a file.

TLS is spoken by pyOpenSSL without judging the certificate: the question is whether the socket answers, not who does.
"""

from __future__ import annotations

import os
import select
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

from qnsp_policy.kernel.wire.supervisor import Readiness

ATTEMPT_SECONDS = 2.0
_MAX_STATUS = 4096


def ready(readiness: Readiness, *, started_ns: int) -> str:
    """One attempt.

    Args:
        readiness: what to look at.
        started_ns: wall clock in nanoseconds just before the process was started; an older file is a leftover.

    Returns:
        Empty when ready, else the reason why not.
    """
    if readiness.file is not None:
        return _file(Path(readiness.file), started_ns)
    return _http(readiness.http or "")


def _file(path: Path, started_ns: int) -> str:
    try:
        status = path.stat()
    except OSError as error:
        return f"{path.name} does not exist yet" if isinstance(error, FileNotFoundError) else str(error.strerror)
    # A kernel's file times lag behind its clock by up to a tick.
    return "" if status.st_ctime_ns >= started_ns - 20_000_000 else f"{path.name} is older than the process"


def _http(url: str) -> str:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode("ascii", "replace")
    deadline = time.monotonic() + ATTEMPT_SECONDS
    try:
        with socket.create_connection((host, port), timeout=ATTEMPT_SECONDS) as connection:
            answer = _tls(connection, host, request, deadline) if secure else _plain(connection, request)
    except OSError as error:
        return f"{url}: {error.strerror or error}"
    line = answer.split(b"\r\n", 1)[0].split()
    if len(line) >= 2 and line[0].startswith(b"HTTP/") and line[1][:1] == b"2":
        return ""
    return f"{url}: answered {line[1].decode('ascii', 'replace') if len(line) > 1 else 'nothing'}"


def _plain(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while b"\r\n" not in answer and len(answer) < _MAX_STATUS:
        chunk = connection.recv(_MAX_STATUS)
        if not chunk:
            break
        answer += chunk
    return answer


def _tls(connection: socket.socket, host: str, request: bytes, deadline: float) -> bytes:
    from OpenSSL import SSL  # noqa: PLC0415 - a second of import that only https needs

    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_verify(SSL.VERIFY_NONE)
    tls = SSL.Connection(context, connection)
    connection.setblocking(False)
    tls.set_connect_state()
    if not host.replace(".", "").isdigit() and ":" not in host:
        tls.set_tlsext_host_name(host.encode("idna"))
    answer = b""
    sent = False
    while time.monotonic() < deadline:
        try:
            if not sent:
                tls.sendall(request)
                sent = True
            answer += tls.recv(_MAX_STATUS)
            if b"\r\n" in answer:
                break
        except (SSL.WantReadError, SSL.WantWriteError) as error:
            writing = [connection] if isinstance(error, SSL.WantWriteError) else []
            select.select([connection], writing, [], max(0.0, deadline - time.monotonic()))
        except SSL.ZeroReturnError:
            break
        except SSL.Error as error:
            raise OSError(0, "TLS handshake or record failed") from error
    else:
        raise OSError(0, f"no answer in {ATTEMPT_SECONDS:.0f} s")
    return answer


def tail(path: Path, lines: int, *, limit: int = 256 * 1024) -> list[str]:
    """The last lines of a log, at most `limit` bytes of them; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(max(0, size - limit))
            data = file.read()
    except OSError:
        return []
    return data.decode("utf-8", "replace").splitlines()[-lines:]


__all__ = ["ATTEMPT_SECONDS", "ready", "tail"]
