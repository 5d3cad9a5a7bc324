"""What the lab stands on: loopback addresses of its own, names that lead to its balancers, tools that its instances call."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

BALANCERS, MEMBERS = 1, 2
TOOLS = ("aws", "curl", "dnf", "nitro-cli", "sleep", "socat", "systemctl", "systemd-run")
"""What a parent's script calls and this machine does not have; everything else is this machine's."""

_TOOL = """#!{python} -ISE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as lab:
    lab.connect({socket!r})
    lab.sendall(json.dumps([os.environ["LAB_MEMBER"], os.path.basename(sys.argv[0]), *sys.argv[1:]]).encode() + b"\\n")
    status, out, err = json.loads(lab.makefile("rb").readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(status)
"""


class Said(NamedTuple):
    """What a tool ends with."""

    status: int = 0
    out: str = ""
    err: str = ""


@dataclass
class Addresses:
    """A network of this machine's loopback that no other lab holds: every member has an address, as an instance has."""

    octet: int = 0
    given: dict[int, int] = field(default_factory=dict)
    _held: socket.socket | None = None

    def __post_init__(self) -> None:
        for octet in range(16, 250):
            held = socket.socket()
            try:
                held.bind((f"127.{octet}.0.1", 40999))
            except OSError:
                held.close()
                continue
            self._held, self.octet = held, octet
            return
        raise RuntimeError("every network of the loopback is held by another lab")

    def next(self, kind: int) -> str:
        number = self.given[kind] = self.given.get(kind, 0) + 1
        return f"127.{self.octet}.{kind + number // 250}.{number % 250 + 1}"

    def close(self) -> None:
        if self._held is not None:
            self._held.close()


class Tools:
    """The commands that stand in for an instance's; each call is answered by the lab."""

    def __init__(self, folder: Path, answer: Callable[[str, Sequence[str]], Said]) -> None:
        self.folder = folder / "tools"
        self.folder.mkdir()
        where = str(folder / "lab.sock")

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                member, *argv = json.loads(self.rfile.readline())
                with contextlib.suppress(OSError):
                    self.wfile.write(json.dumps(answer(member, argv)).encode() + b"\n")

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(where, Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        for name in TOOLS:
            path = self.folder / name
            path.write_text(_TOOL.format(python=sys.executable, socket=where))
            path.chmod(0o755)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Targets:
    """Where a balancer's streams go: with stickiness one member in service, else one after another; shaped as a `StreamAddress`."""

    def __init__(self, members: Callable[[], tuple[Sequence[tuple[str, int]], bool]]) -> None:
        self._members, self._turn = members, 0

    def connect(self, seconds: float = 10.0) -> socket.socket:
        found, sticky = self._members()
        if not found:
            raise ConnectionRefusedError("no member is in service")
        # Everybody here has one address, so that all stay with one member.
        self._turn = 0 if sticky else self._turn + 1
        return socket.create_connection(found[self._turn % len(found)], seconds)

    def __str__(self) -> str:
        return "the members in service"


class Credentials:
    """What a parent hands its enclave: credentials that name the member, and open nothing but what its role may."""

    def __init__(self, address: str, member: str) -> None:
        self._listener = socket.create_server((address, 8001))
        told: dict[str, Any] = {
            "Code": "Success", "AccessKeyId": member, "SecretAccessKey": "of-a-lab", "Token": "of-a-lab",
            "Expiration": "2099-01-01T00:00:00Z",
        }  # fmt: skip
        self.text = json.dumps(told)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            with stream, contextlib.suppress(OSError):
                stream.sendall(self.text.encode())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


__all__ = ["BALANCERS", "MEMBERS", "TOOLS", "Addresses", "Credentials", "Said", "Targets", "Tools"]
