"""Folders that are hostile or broken: each command ends at bounded cost, says what is wrong, shows no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from qnsp_policy.testing.generator import generated_files

SECONDS = 30.0
MEGABYTES = 400.0


@dataclass(frozen=True)
class Ended:
    """How a command ended; seconds are of the processor."""

    code: int
    said: str
    seconds: float
    megabytes: float


_LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as report:
    report.write(f"{os.waitstatus_to_exitcode(status)} {usage.ru_maxrss} {usage.ru_utime + usage.ru_stime}")
"""
"""Starts the command from a small process: a child's peak counts what its parent held when it forked."""


def run(folder: Path, *line: str, prefix: str = "") -> Ended:
    """One command of ours as a process of its own, under a shell's limits."""
    command = f'{prefix or "exec"} "{sys.executable}" -m qnsp_policy.cli.main "$@"'
    with tempfile.TemporaryFile() as out, tempfile.NamedTemporaryFile("r") as report:
        launched = [sys.executable, "-I", "-c", _LAUNCHER, report.name, "bash", "-c", command, "sh", *line]
        subprocess.run(launched, cwd=folder, stdout=out, stderr=out, check=True, timeout=500)
        code, kilobytes, seconds = report.read().split()
        out.seek(0)
        said = out.read().decode(errors="replace")
    return Ended(int(code), said, float(seconds), int(kilobytes) / 1024)


def workspace(folder: Path, documents: int = 12) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in generated_files(documents, files=2).items():
        (folder / name).write_bytes(data)
    return folder


def refused(ended: Ended, code: str) -> None:
    assert ended.code == 1, ended.said
    assert code in ended.said
    assert "Traceback" not in ended.said
    assert ended.seconds < SECONDS
    assert ended.megabytes < MEGABYTES


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10,000 documents."""
    return workspace(tmp_path_factory.mktemp("many") / "lab", 10_000)


def test_a_file_of_200_megabytes_is_refused_unread(tmp_path: Path) -> None:
    """Its size is looked at before its bytes."""
    root = workspace(tmp_path / "lab")
    with (root / "huge.yaml").open("wb") as file:
        file.truncate(200 << 20)
    ended = run(root, "validate")
    refused(ended, "QNSP-DOC-030")
    assert ended.megabytes < 150


def test_very_many_tiny_files_are_refused(tmp_path: Path) -> None:
    """More files than the cap end the reading."""
    root = workspace(tmp_path / "lab")
    many = root / "many"
    many.mkdir()
    for number in range(20_050):
        (many / f"{number}.yaml").touch()
    refused(run(root, "validate"), "QNSP-DOC-035")


def test_a_device_a_fifo_and_a_socket_are_not_waited_for(tmp_path: Path) -> None:
    """What is no plain file is named; a link to an endless device too."""
    root = workspace(tmp_path / "lab")
    os.mkfifo(root / "fifo.yaml")
    (root / "zero.yaml").symlink_to("/dev/zero")
    ended = run(root, "validate")
    refused(ended, "QNSP-DOC-032")
    assert "zero.yaml" in ended.said


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """Whole or refused, whatever a writer does meanwhile; never a traceback."""
    root = workspace(tmp_path / "lab", 400)
    victim = root / "tenants-001.yaml"
    whole = victim.read_bytes()
    ending = threading.Event()

    def scribble() -> None:
        while not ending.is_set():
            victim.write_bytes(whole[: len(whole) // 3])
            victim.write_bytes(whole)

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        for _ in range(4):
            ended = run(root, "validate")
            assert ended.code in {0, 1}, ended.said
            assert "Traceback" not in ended.said
            assert ended.code == 0 or "error[QNSP-" in ended.said
    finally:
        ending.set()
        writer.join()
    assert run(root, "validate").code == 0


@pytest.mark.parametrize("line", [("check",), ("plan",), ("state", "list")])
def test_no_file_descriptors(tmp_path: Path, line: tuple[str, ...]) -> None:
    """A limit that stops everything is told as the system tells it, with the next step."""
    ended = run(workspace(tmp_path / "lab"), *line, prefix="ulimit -n 5;")
    assert ended.code != 0
    assert ended.seconds < SECONDS
    assert "a part of ours failed" not in ended.said


@pytest.mark.parametrize("line", [("validate",), ("check",), ("schema", "export")])
def test_standard_output_that_is_full(tmp_path: Path, line: tuple[str, ...]) -> None:
    """A result that cannot be printed is no success."""
    ended = run(workspace(tmp_path / "lab"), *line, prefix="exec >/dev/full;")
    assert ended.code not in {0, 141}, ended.said
    assert "Traceback" not in ended.said


def test_not_enough_memory(tmp_path: Path) -> None:
    """An address space that is too small ends the command, with a code, not with a half answer."""
    ended = run(workspace(tmp_path / "lab", 2_000), "validate", prefix="ulimit -v 60000;")
    assert ended.code != 0
    assert "documents in" not in ended.said


HOSTILE: dict[str, bytes] = {
    "invalid UTF-8": b"kind: Tenant\nname: \xff\xfe\n",
    "UTF-16": "kind: Tenant\n".encode("utf-16"),
    "NUL": b"kind: Ten\x00ant\n",
    "deep flow": b"a: " + b"[" * 50_000,
    "deep blocks": b"".join(b" " * n + b"a:\n" for n in range(2_000)),
    "billion laughs": b"a: &a [x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 121)),
    "an enormous scalar": b"kind: " + b"x" * 20_000_000 + b"\n",
    "an enormous number": b"kind: " + b"9" * 100_000 + b"\n",
    "a million documents": b"---\n" * 1_000_000,
    "a million keys": b"".join(b"k%d: 1\n" % n for n in range(300_000)),
    "a tag that makes objects": b"kind: !!python/object/apply:os.system [id]\n",
    "duplicate keys": b"kind: Tenant\nkind: Grant\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(tmp_path: Path, name: str) -> None:
    """Whatever the bytes: the file is named, with a code and a next step, in bounded time and memory."""
    root = workspace(tmp_path / "lab")
    (root / "hostile.yaml").write_bytes(HOSTILE[name])
    ended = run(root, "validate")
    assert ended.code == 1, ended.said[:500]
    assert "error[QNSP-" in ended.said
    assert "hostile.yaml" in ended.said
    assert "Traceback" not in ended.said
    assert ended.seconds < SECONDS
    assert ended.megabytes < 1_000


def test_a_loop_of_links_and_a_link_that_leads_out(tmp_path: Path) -> None:
    """Neither is followed for ever, neither shows what lies outside."""
    root = workspace(tmp_path / "lab")
    (root / "loop").symlink_to(root)
    (root / "a.yaml").symlink_to(root / "b.yaml")
    (root / "b.yaml").symlink_to(root / "a.yaml")
    (root / "shadow.yaml").symlink_to("/etc/passwd")
    ended = run(root, "validate")
    refused(ended, "QNSP-DOC-03")
    assert "root:x:" not in ended.said


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """Without the right to read it (in a user namespace of its own, as root may read everything)."""
    if subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    root = workspace(tmp_path / "lab")
    (root / "secret.yaml").write_text("kind: Tenant\n")
    (root / "secret.yaml").chmod(0)
    ended = run(root, "validate", prefix="exec unshare -U")
    assert ended.code == 1, ended.said
    assert "secret.yaml" in ended.said
    assert "ermission" in ended.said
    assert "Traceback" not in ended.said


@pytest.mark.parametrize("verb", ["validate", "check"])
@pytest.mark.parametrize("worked", [0.2, 0.6])
def test_ctrl_c_is_answered_at_once_over_many_documents(many: Path, verb: str, worked: float) -> None:
    """Whatever it was doing: less than a second of work after the signal (of the processor, whatever the load), and 130."""
    line = [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(many), verb]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seen = psutil.Process(process.pid)
    while (before := sum(seen.cpu_times()[:2])) < worked:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    with process.stderr as told:
        said = told.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert usage.ru_utime + usage.ru_stime - before < 1
