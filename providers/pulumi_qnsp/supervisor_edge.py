"""The provider's hand on a supervisor: start it if absent, ask for a process, stop one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.kernel.wire.supervisor import (
    FORMAT,
    MAX_LINE,
    ProcessReport,
    ProcessSpec,
    Request,
    SupervisorError,
    parse_answer,
)
from qnsp_policy.kernel.wire.unix_edge import ask

START_SECONDS = 60.0
_NOT_KNOWN = "QNSP-OPS-101"
"""What a supervisor answers to a member or a request that its version does not know."""


@dataclass(frozen=True, slots=True)
class SupervisorFolder:
    """Where one supervisor lives; absolute paths."""

    run_dir: Path
    socket: Path
    state: Path
    logs: Path

    @classmethod
    def at(cls, run_dir: Path) -> SupervisorFolder:
        """The usual names in a run folder."""
        return cls(run_dir, run_dir / "supervisor.sock", run_dir / "supervisor.json", run_dir / "logs")


class SupervisorClient:
    """Talks to the supervisor of one folder; every call opens the socket anew, so a restart in between is not felt."""

    def __init__(self, folder: SupervisorFolder) -> None:
        self._folder = folder

    def ping(self) -> int | None:
        """The supervisor's process id, or None if none answers."""
        try:
            answer = self._ask(Request("ping"), timeout=20)
        except OSError:
            return None
        return int(answer["pid"]) if answer.get("format") == FORMAT else None

    def start(self) -> int:
        """Start the supervisor if it does not run; free of races, because only one can hold the folder's lock.

        Returns:
            Its process id.

        Raises:
            SupervisorError: QNSP-OPS-108, it did not come up.
        """
        pid = self.ping()
        if pid is not None:
            return pid
        folder = self._folder
        folder.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = folder.run_dir / "supervisor.config.json"
        members = {"runDir": folder.run_dir, "socket": folder.socket, "state": folder.state, "logs": folder.logs}
        write_whole(config, json.dumps({name: str(path) for name, path in members.items()}).encode())
        argv = [sys.executable, "-m", "qnsp_policy.services.supervisor", "--config", str(config), "--daemon"]
        try:
            ended = subprocess.run(  # noqa: S603 - our own module
                argv, capture_output=True, text=True, timeout=START_SECONDS, check=False, cwd=folder.run_dir
            )
            said = ended.stderr.strip()
        except subprocess.TimeoutExpired:
            said = f"it was not ready within {START_SECONDS:g} s"
        pid = self.ping()
        if pid is None:
            raise SupervisorError(
                "QNSP-OPS-108",
                f"the supervisor of {folder.run_dir} did not start: {said or 'no word of it'}",
                next_step=f"look at {folder.logs / 'supervisor.log'}",
            )
        return pid

    def wake(self) -> bool:
        """Whether a supervisor answers; one that died with processes on its list is started again, to end what it left.

        Raises:
            SupervisorError: QNSP-OPS-108, it did not come up.
        """
        if self.ping() is not None:
            return True
        try:
            left = json.loads(self._folder.state.read_bytes())["processes"]
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError):
            left = True  # unreadable: starting it ends whatever carries its mark
        if not left:
            return False
        self.start()
        return True

    def ensure(self, spec: ProcessSpec, *, wait_seconds: float, owner: str = "") -> tuple[ProcessReport, list[str]]:
        """Make a process run; its report and the last lines of its log.

        Args:
            spec: what shall run.
            wait_seconds: for it to be ready.
            owner: for which resource it runs.

        Raises:
            SupervisorError: QNSP-OPS-109, one of that name runs for another; QNSP-OPS-117, the supervisor is too old to say.
        """
        request = Request("ensure", process=spec, owner=owner, wait_seconds=wait_seconds)
        try:
            answer = self._ask(request, timeout=wait_seconds + 60)
        except SupervisorError as error:
            if error.code != _NOT_KNOWN:
                raise
            raise self._too_old(error) from error
        return ProcessReport.from_json(answer["process"]), [str(line) for line in answer.get("lines", [])]

    def reports(self, names: Sequence[str] = ()) -> list[ProcessReport]:
        """What each process does; of the named ones only, if names are given."""
        try:
            answer = self._ask(Request("list", names=tuple(names)), timeout=30)
        except SupervisorError as error:
            if error.code != _NOT_KNOWN or not names:
                raise
            answer = self._ask(Request("list"), timeout=30)  # an earlier version knows no names, and tells of all
        reports = [ProcessReport.from_json(item) for item in answer["processes"]]
        return [report for report in reports if not names or report.name in names]

    def stop(self, name: str) -> bool:
        """End a process; False if it was not there."""
        return bool(self._ask(Request("stop", name=name), timeout=120)["stopped"])

    def shutdown(self) -> None:
        """End every process and the supervisor; returns when the processes have ended."""
        self._ask(Request("shutdown"), timeout=120)

    def _too_old(self, error: SupervisorError) -> SupervisorError:
        pid = self.ping()
        return SupervisorError(
            "QNSP-OPS-117",
            f"the supervisor of {self._folder.run_dir}, process {pid}, was started by another version of this program "
            f"({error.message}); `kill -9 {pid}` ends it and nothing that it supervises, then run the same command again: "
            "it starts a supervisor of this version, which takes over",
        )

    def _ask(self, request: Request, *, timeout: float) -> dict[str, Any]:
        return parse_answer(ask(self._folder.socket, request.to_line(), timeout=timeout, limit=MAX_LINE))


__all__ = ["START_SECONDS", "SupervisorClient", "SupervisorFolder"]
