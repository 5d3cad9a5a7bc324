"""The simulator's process: a configfs-tsm-shaped folder and a unix socket, until SIGTERM.

The socket (`<dir>/simulator.sock`) takes one JSON object a line: `{"op": "report", "reportData": base64, "vmpl": n?}` answers
`{"provider", "outblob", "auxblob", "generation"}`; `{"op": "identity"}` answers what was measured; `{"op": "devices", "nonce": hex}`
answers `{"device_evidence_list": [...]}` of its GPUs; an error is `{"error": text}`.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import json
import logging
import os
import signal
import socketserver
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from qnsp_policy.errors import QnspError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object
from qnsp_policy.kernel.processes_edge import when_parent_ends
from qnsp_policy.simulator.config import SimulatorConfig, from_json
from qnsp_policy.simulator.machine import Machine, launch
from qnsp_policy.simulator.tsm import TsmFolder

_WAIT_SECONDS: Final = 0.025
"""Between two looks while no guest asks; one that asks is answered a fifth as late."""
_MAX_LINE: Final = 4096
_log: Final = logging.getLogger(__name__)


def _reply(machine: Machine, line: bytes) -> dict[str, Any]:
    try:
        request = parse_object(line)
        operation = request.get("op")
        if operation == "identity":
            return {"provider": machine.provider, **machine.identity()}
        if operation == "devices":
            if machine.gpus is None:
                raise ValueError("this member has no GPUs")
            return {"device_evidence_list": machine.gpus.evidence(bytes.fromhex(str(request.get("nonce", ""))))}
        if operation == "report":
            data = base64.b64decode(str(request.get("reportData", "")), validate=True)
            report = machine.report(data, vmpl=request.get("vmpl"))
            return {
                "provider": machine.provider,
                "outblob": base64.b64encode(report).decode("ascii"),
                "auxblob": base64.b64encode(machine.table()).decode("ascii"),
                "generation": 1,
            }
    except (CanonicalJsonError, ValueError, TypeError, binascii.Error) as error:
        return {"error": str(error)}
    return {"error": f"unknown op {operation!r}"}


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, machine: Machine) -> None:
        self.machine = machine
        super().__init__(path, _Handler)


class _Handler(socketserver.StreamRequestHandler):
    timeout = 30

    def handle(self) -> None:
        server = self.server
        if not isinstance(server, _Server):
            return
        with contextlib.suppress(OSError):
            while line := self.rfile.readline(_MAX_LINE):
                self.wfile.write(json.dumps(_reply(server.machine, line)).encode() + b"\n")


def run(config: SimulatorConfig, stop: threading.Event) -> None:
    """Serves until `stop`; creates the ready file once both surfaces answer, and removes it at the end."""
    folder = config.folder.resolve()
    ready = (config.ready or folder / "ready").resolve()
    ready.unlink(missing_ok=True)
    machine = launch(config, datetime.now(UTC).replace(microsecond=0))
    tsm = TsmFolder(folder, machine)
    os.chdir(folder)  # a socket's path may be 107 bytes only: bind by its short name
    Path("simulator.sock").unlink(missing_ok=True)
    server = _Server("simulator.sock", machine)
    Path("simulator.sock").chmod(0o600)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True, name="socket").start()
    _log.info("simulated %s serves %s", config.product if config.attester == "sev-snp" else config.attester, folder)
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.write_text(f"{os.getpid()}\n", encoding="ascii")
    try:
        while not stop.wait(_WAIT_SECONDS / 5 if tsm.asked else _WAIT_SECONDS):
            tsm.poll()
    finally:
        ready.unlink(missing_ok=True)
        server.shutdown()
        server.server_close()
        Path("simulator.sock").unlink(missing_ok=True)


def main(argv: list[str] | None = None) -> int:
    """Reads the configuration and serves; 0 after SIGTERM or SIGINT, 1 if it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m qnsp_policy.simulator", description="Simulated SEV-SNP or TDX hardware and GPUs, insecure."
    )
    parser.add_argument("--config", required=True, type=Path, help="JSON file")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        config = from_json(arguments.config.read_bytes())
        if config.exit_with_parent:
            when_parent_ends(stop.set)
        run(config, stop)
    except (QnspError, OSError) as error:
        _log.error("%s", error)
        return 1
    return 0


__all__ = ["main", "run"]
