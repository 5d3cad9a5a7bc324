"""An opa that is not what it should be, through the real command line: a code, a cause and a way on, in bounded time, never a pass."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qnsp_policy.pipeline.engine import toolchain
from qnsp_policy.testing.generator import generated_files
from tests.faults.lab import Ended, Lab

pytestmark = [pytest.mark.functional, pytest.mark.slow]
VERSION = toolchain.TOOLS["opa"].version

SERVER = f"""#!{sys.executable}
import http.server, sys
if sys.argv[1:] == ["version"]:
    print("Version: {VERSION}")
    sys.exit(0)
answer = @answer
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer(self)
    do_PUT = do_POST = do_DELETE = do_GET
    def log_message(self, *words):
        pass
host, _, port = sys.argv[sys.argv.index("--addr") + 1].rpartition(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""
SAYS = f'#!/bin/sh\n[ "$1" = version ] && exec echo "Version: {VERSION}"\n'
OVER = {
    "another version": ("#!/bin/sh\necho Version: 0.9.0\n", "QNSP-ENG-020"),
    "another program": ("#!/bin/sh\necho hello\n", "QNSP-ENG-021"),
    "another architecture": ("\x7fELF\x02\x01\x01" + "\0" * 9 + "\x02\0\x3e\0\x01", "QNSP-ENG-021"),
    "a flood": ("#!/bin/sh\nexec yes Version\n", "QNSP-ENG-021"),
    "hangs at once": ("#!/bin/sh\nexec sleep 1000\n", "QNSP-ENG-022"),
    "dies": (SAYS + "kill -SEGV $$\n", "QNSP-RUL-054"),
    "ends": (SAYS + "echo out of order >&2; exit 3\n", "QNSP-RUL-054"),
    "never listens": (SAYS + "exec sleep 1000\n", "QNSP-RUL-054"),
    "hangs up": (SERVER.replace("@answer", "lambda it: it.connection.close()"), "QNSP-RUL-051"),
    "says nothing": (SERVER.replace("@answer", "lambda it: (it.send_response(200), it.end_headers())"), "QNSP-RUL-05"),
    "says nonsense": (
        SERVER.replace("@answer", "lambda it: (it.send_response(200), it.end_headers(), it.wfile.write(b'[1]'))"),
        "QNSP-RUL-05",
    ),
}
COMPILES = {
    "nonsense": (SAYS + "echo nonsense\n", "did not answer with JSON"),
    "other JSON": (SAYS + "echo '[]'\n", "names no builtins"),
    "dies": (SAYS + "kill -KILL $$\n", "was ended by signal 9"),
    "refuses": (SAYS + "echo broken >&2; exit 2\n", "refused the rules: broken"),
    "builds nothing": (
        SAYS
        + """[ "$1" = capabilities ] && exec echo '{"builtins": []}'\n[ "$1" = inspect ] && exec echo '[]'\nexit 0\n""",
        "made no bundle",
    ),
    "a flood": (SAYS + "exec yes\n", "wrote more than"),
}


def workspace(folder: Path, *, rules: bool = False) -> Path:
    """Documents without a ledger or state: `check` needs none."""
    folder.mkdir()
    for name, data in generated_files(12, files=2).items():
        (folder / name).write_bytes(data)
    if rules:
        (folder / "rules").mkdir()
        (folder / "rules" / "house.rego").write_text('package qnsp.rules.house["x"]\n')
        project = (folder / "qnsp.yaml").read_text()
        (folder / "qnsp.yaml").write_text(project.replace("  rules: []", "  rules: [rules]"))
    return folder


def check(folder: Path, program: str, *words: str) -> Ended:
    """`check` with this program in opa's place."""
    cache = folder.with_name(f"{folder.name}-cache")
    path = toolchain.tool_root(toolchain.TOOLS["opa"], cache / "qnsp-policy") / "bin" / "opa"
    path.parent.mkdir(parents=True)
    path.write_text(program, encoding="latin-1")
    path.chmod(0o755)
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PATH": "/usr/bin:/bin"}
    return Lab(folder, environment=environment).run("check", *words)


def refused(ended: Ended, cause: str) -> None:
    Lab.decent(ended)
    assert ended.code == 1, ended.said
    assert cause in ended.said
    assert "= next:" in ended.said, ended.said


def test_an_opa_that_cannot_judge_is_no_pass(tmp_path: Path) -> None:
    """Side by side, because some of them are waited for."""
    with ThreadPoolExecutor(4) as pool:
        asked = {
            name: pool.submit(check, workspace(tmp_path / str(number)), program, "--engine", "opa")
            for number, (name, (program, _)) in enumerate(OVER.items())
        }
        for name, (_, cause) in OVER.items():
            refused(asked[name].result(), cause)


def test_an_opa_that_cannot_compile_is_no_rule_without_findings(tmp_path: Path) -> None:
    """Rules of one's own need it also with the embedded engine."""
    with ThreadPoolExecutor(2) as pool:
        asked = {
            name: pool.submit(check, workspace(tmp_path / str(number), rules=True), program)
            for number, (name, (program, _)) in enumerate(COMPILES.items())
        }
        for name, (_, cause) in COMPILES.items():
            refused(asked[name].result(), cause)
