"""A supervisor that an earlier version started goes on running beside a newer command: it is asked less, or named with the way on."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from pulumi_qnsp.supervisor_edge import SupervisorClient, SupervisorFolder
from qnsp_policy.kernel.wire.supervisor import (
    FORMAT,
    ProcessReport,
    ProcessSpec,
    State,
    SupervisorError,
    answer_line,
    error_line,
)

RUNNING = [ProcessReport(name, State.READY, "sha256:1", 4711).to_json() for name in ("a", "b")]


class _First(socketserver.StreamRequestHandler):
    """The first version's answers: requests without `names` and `owner`, reports without `owner`."""

    known: ClassVar = {"op", "process", "name", "lines", "waitSeconds"}

    def handle(self) -> None:
        for line in self.rfile:
            members = json.loads(line)
            if unknown := sorted(set(members) - self.known):
                text = f"not a message of {FORMAT}: request has unknown member {unknown[0]!r}"
                self.wfile.write(error_line(SupervisorError("QNSP-OPS-101", text)))
            elif members["op"] == "ping":
                self.wfile.write(answer_line(format=FORMAT, pid=os.getpid()))
            else:
                reports = [{name: value for name, value in item.items() if name != "owner"} for item in RUNNING]
                self.wfile.write(answer_line(processes=reports))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[SupervisorClient]:
    folder = SupervisorFolder.at(tmp_path)
    with socketserver.ThreadingUnixStreamServer(os.path.relpath(folder.socket), _First) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield SupervisorClient(folder)
        server.shutdown()


def test_it_is_asked_for_all_and_the_named_ones_are_taken(client: SupervisorClient) -> None:
    """A reading command never notices."""
    assert [report.name for report in client.reports(["b", "none"])] == ["b"]
    assert [report.name for report in client.reports()] == ["a", "b"]


def test_nothing_is_started_by_one_that_cannot_say_for_whom(client: SupervisorClient, tmp_path: Path) -> None:
    """Whom a process runs for is what keeps two resources apart: refused, with the way on."""
    with pytest.raises(SupervisorError, match="QNSP-OPS-117") as caught:
        client.ensure(ProcessSpec("c", ("true",), str(tmp_path)), wait_seconds=1, owner="urn:one")
    assert "unknown member 'owner'" in caught.value.message
    assert f"kill -9 {os.getpid()}" in caught.value.message
