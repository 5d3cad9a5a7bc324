"""Folders that are hostile or broken: each command ends in bounded time and memory, says what is wrong, shows no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from qnsp_policy.testing.generator import generated_files

SECONDS = 30.0
MEGABYTES = 400.0


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    said: str
    seconds: float
    megabytes: float


_LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as report:
    report.write(f"{os.waitstatus_to_exitcode(status)} {usage.ru_maxrss}")
"""
"""Starts the command from a small process: a child's peak counts what its parent held when it forked."""


def run(folder: Path, *line: str, prefix: str = "") -> Ended:
    """One command of ours as a process of its own, under a shell's limits."""
    command = f'{prefix} exec "{sys.executable}" -m qnsp_policy.cli.main "$@"'
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.NamedTemporaryFile("r") as report:
        launched = [sys.executable, "-I", "-c", _LAUNCHER, report.name, "bash", "-c", command, "sh", *line]
        subprocess.run(launched, cwd=folder, stdout=out, stderr=out, check=True)
        code, kilobytes = report.read().split()
        out.seek(0)
        said = out.read().decode(errors="replace")
    return Ended(int(code), said, time.monotonic() - begun, int(kilobytes) / 1024)


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
