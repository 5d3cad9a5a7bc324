"""A server that is gone, hangs, talks nonsense or nothing, or holds somebody else's rules, never reads as a pass."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.kernel.processes_edge import identify, is_running
from qnsp_policy.pipeline.rules.opa_edge import OpaEngine, local_opa, modules_of
from qnsp_policy.pipeline.rules.wasm_edge import shipped_rules

pytestmark = pytest.mark.functional

SETS = (shipped_rules(),)


@contextmanager
def _server(data_answer: Callable[[], tuple[int, bytes]]) -> Iterator[str]:
    """A server that holds our modules like OPA does and answers decisions as a test says."""
    modules = modules_of(SETS)

    class Handler(BaseHTTPRequestHandler):
        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/v1/policies/":
                found: Any = [{"id": name, "ast": {"package": {"path": [{"value": "data"}]}}} for name in modules]
            else:
                found = {"raw": modules.get(path.removeprefix("/v1/policies/"))}
            self._send(200, json.dumps({"result": found}).encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send(*((200, b'{"result": []}') if self.path.startswith("/v1/query") else data_answer()))

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


_ENOUGH = threading.Event()


def _slow() -> tuple[int, bytes]:
    _ENOUGH.wait(60)
    return 200, b'{"result": {}}'


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda: (200, b"{}"), "QNSP-RUL-052"),
        (lambda: (200, b'{"result": true}'), "QNSP-RUL-052"),
        (lambda: (200, b"<html>welcome</html>"), "QNSP-RUL-051"),
        (lambda: (500, b'{"code": "internal_error"}'), "QNSP-RUL-051"),
        (_slow, "QNSP-RUL-051"),
    ],
    ids=["undefined", "no object", "nonsense", "error", "hangs"],
)
def test_no_decision_is_an_engine_error(answer: Callable[[], tuple[int, bytes]], code: str) -> None:
    """Undefined, malformed, failing and late answers each end the run."""
    _ENOUGH.clear()
    with _server(answer) as url:
        try:
            with pytest.raises(EngineError) as caught:
                OpaEngine(url, SETS, timeout=1.5 if answer is _slow else 60).decide(b"{}")
        finally:
            _ENOUGH.set()
    assert caught.value.code == code


def test_a_server_that_is_gone_is_an_engine_error() -> None:
    """Nobody listens there."""
    with pytest.raises(EngineError) as caught:
        OpaEngine("http://127.0.0.1:9", SETS, timeout=2).decide(b"{}")
    assert caught.value.code == "QNSP-RUL-051"


def test_a_server_that_dies_between_two_decisions_is_an_engine_error(opa: Path) -> None:
    """What answered once is not remembered."""
    with local_opa(opa, SETS) as url:
        engine = OpaEngine(url, SETS, timeout=120)
        assert set(engine.decide(b'{"now": 1}')) == {rule.id for rule in SETS[0].rules}
    with pytest.raises(EngineError) as caught:
        engine.decide(b'{"now": 1}')
    assert caught.value.code == "QNSP-RUL-051"


def test_a_module_of_others_in_our_packages_is_refused(opa: Path) -> None:
    """An extra `pass` from elsewhere would answer for a rule of ours."""
    from opa_client.opa import OpaClient

    with local_opa(opa, SETS) as url:
        parts = urlsplit(url)
        client = OpaClient(host="127.0.0.1", port=parts.port, token=parts.password)
        client._session.trust_env = False
        text = 'package qnsp.rules.attestation["debug-on"]\n\npass contains 0\n'
        assert client.update_policy_from_string(text, "theirs", rego_compat=False)
        client.close_connection()
        with pytest.raises(EngineError) as caught:
            OpaEngine(url, SETS).decide(b"{}")
    assert caught.value.code == "QNSP-RUL-053"
    assert caught.value.subject == "theirs"


def test_the_local_server_ends_with_whoever_started_it(opa: Path) -> None:
    """SIGKILL of the command leaves no server behind."""
    code = (
        "import sys, time, psutil\nfrom pathlib import Path\n"
        "from qnsp_policy.pipeline.rules.opa_edge import local_opa\n"
        "with local_opa(Path(sys.argv[1])):\n"
        "    print(psutil.Process().children()[0].pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    line = [sys.executable, "-c", code, str(opa)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        server = identify(int(command.stdout.readline()))
        assert server is not None
        command.kill()
    deadline = time.monotonic() + 60
    while is_running(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(server)


def test_the_local_server_answers_only_with_its_token(opa: Path) -> None:
    """Nobody else on the machine may ask it or change its rules."""
    with local_opa(opa, SETS) as url:
        port = urlsplit(url).port
        with pytest.raises(EngineError) as caught:
            OpaEngine(f"http://127.0.0.1:{port}", SETS, timeout=5).decide(b"{}")
    assert caught.value.code == "QNSP-RUL-051"


@pytest.mark.parametrize(
    "url", ["http://opa.example:8181", "ftp://127.0.0.1", "127.0.0.1:8181", "http://127.0.0.1:8181/x", "http://[::1"]
)
def test_an_url_that_no_answer_can_be_trusted_from_is_refused(url: str) -> None:
    """Plain http beyond this machine, other schemes, paths."""
    with pytest.raises(OperatorError) as caught:
        OpaEngine(url, SETS)
    assert caught.value.code == "QNSP-RUL-050"


def test_an_opa_that_cannot_start_says_so(tmp_path: Path) -> None:
    """A file that is no program."""
    broken = tmp_path / "opa"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(EngineError, match="broken") as caught, local_opa(broken, SETS):
        pass
    assert caught.value.code == "QNSP-RUL-054"
