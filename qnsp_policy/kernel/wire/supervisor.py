"""Messages of the supervisor: one JSON object a line over its unix socket, one answer a request.

In: bytes of a line. Out: typed requests, process specifications and reports, and back. Format `qnsp.supervisor/v1`;
unknown members are refused in both directions, because both ends are ours.

    {"op": "ping"}                                             who answers
    {"op": "ensure", "process": {...}, "owner": "urn:...", "waitSeconds": 30}
                                                               start it, or restart it when its specification changed
    {"op": "stop", "name": "broker-main"}                      end it and forget it
    {"op": "list", "names": ["broker-main"]}                   every process, or the named ones
    {"op": "logs", "name": "broker-main", "lines": 50}         the last lines it wrote
    {"op": "shutdown"}                                         end every process, then the supervisor
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from qnsp_policy.errors import OperatorError

FORMAT = "qnsp.supervisor/v1"
MAX_LINE = 4 * 1024 * 1024
"""Longest request or answer in bytes."""
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?")


class Restart(StrEnum):
    """When a process that ended is started again."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


class State(StrEnum):
    """What a supervised process is doing."""

    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    EXITED = "exited"
    FAILED = "failed"


class SupervisorError(OperatorError):
    """The supervisor refused or failed a request (QNSP-OPS-1xx)."""


def _bad(text: str) -> SupervisorError:
    return SupervisorError("QNSP-OPS-101", f"not a message of {FORMAT}: {text}")


def _members(value: Any, where: str, known: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(f"{where} is not an object")
    unknown = sorted(set(value) - known)
    if unknown:
        raise _bad(f"{where} has unknown member {unknown[0]!r}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _bad(f"{where} is not text")
    return value


@dataclass(frozen=True, slots=True)
class Readiness:
    """How a started process says that it can be used: an HTTP(S) URL that answers 2xx, or a file that appears.

    Not checked: the TLS identity behind an https URL; that is the business of whoever uses the service.
    """

    http: str | None = None
    file: str | None = None
    timeout_seconds: float = 30.0

    def to_json(self) -> dict[str, Any]:
        return {"http": self.http, "file": self.file, "timeoutSeconds": self.timeout_seconds}

    @classmethod
    def from_json(cls, value: Any) -> Readiness:
        members = _members(value, "readiness", frozenset({"http", "file", "timeoutSeconds"}))
        http, file = members.get("http"), members.get("file")
        if (http is None) == (file is None):
            raise _bad("readiness needs exactly one of http and file")
        timeout = members.get("timeoutSeconds", 30)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 3600:
            raise _bad("readiness.timeoutSeconds is not a number of seconds up to 3600")
        if http is not None and not _text(http, "readiness.http").startswith(("http://", "https://")):
            raise _bad("readiness.http is not a URL")
        if file is not None:
            _text(file, "readiness.file")
        return cls(http, file, float(timeout))


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What shall run. Every path is absolute.

    Attributes:
        config_digest: digest over the files it was given; a change restarts the process, the supervisor reads none of them.
        restart_limit: starts in a row without `stable_seconds` of life before the supervisor gives up.
    """

    name: str
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict)
    restart: Restart = Restart.ALWAYS
    readiness: Readiness | None = None
    config_digest: str = ""
    restart_limit: int = 8
    backoff_seconds: float = 0.25
    backoff_max_seconds: float = 15.0
    stable_seconds: float = 20.0
    stop_seconds: float = 8.0
    log_bytes: int = 8 * 1024 * 1024

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "argv": list(self.argv),
            "cwd": self.cwd,
            "env": dict(sorted(self.env.items())),
            "restart": self.restart.value,
            "readiness": self.readiness.to_json() if self.readiness else None,
            "configDigest": self.config_digest,
            "restartLimit": self.restart_limit,
            "backoffSeconds": self.backoff_seconds,
            "backoffMaxSeconds": self.backoff_max_seconds,
            "stableSeconds": self.stable_seconds,
            "stopSeconds": self.stop_seconds,
            "logBytes": self.log_bytes,
        }

    @classmethod
    def from_json(cls, value: Any) -> ProcessSpec:
        """Read a specification.

        Raises:
            SupervisorError: QNSP-OPS-101, it is not one.
        """
        known = frozenset(cls("x", ("x",), "/").to_json())
        members = _members(value, "process", known)
        name = _text(members.get("name"), "process.name")
        if not NAME.fullmatch(name):
            raise _bad("process.name is not a name of lower case letters, digits, '-' and '.'")
        argv = members.get("argv")
        if not isinstance(argv, list) or not argv:
            raise _bad("process.argv is not a list with a program")
        env = members.get("env", {})
        if not isinstance(env, dict):
            raise _bad("process.env is not an object")
        for key in env:
            if not key or "=" in key or "\0" in key:
                raise _bad("process.env has a name that no environment can hold")
        cwd = _text(members.get("cwd"), "process.cwd")
        if not cwd.startswith("/"):
            raise _bad("process.cwd is not absolute")
        try:
            restart = Restart(members.get("restart", "always"))
        except ValueError as error:
            raise _bad("process.restart is none of always, on-failure, never") from error
        numbers: dict[str, Any] = {}
        for member, attribute in (
            ("restartLimit", "restart_limit"),
            ("backoffSeconds", "backoff_seconds"),
            ("backoffMaxSeconds", "backoff_max_seconds"),
            ("stableSeconds", "stable_seconds"),
            ("stopSeconds", "stop_seconds"),
            ("logBytes", "log_bytes"),
        ):
            if member in members:
                number = members[member]
                if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 2**40:
                    raise _bad(f"process.{member} is not a number from 0")
                whole = attribute in {"restart_limit", "log_bytes"}
                numbers[attribute] = int(number) if whole else float(number)
        readiness = members.get("readiness")
        return cls(
            name=name,
            argv=tuple(_text(word, "process.argv") for word in argv),
            cwd=cwd,
            env={key: _text(item, f"process.env.{key}") for key, item in env.items()},
            restart=restart,
            readiness=None if readiness is None else Readiness.from_json(readiness),
            config_digest=_text(members.get("configDigest", ""), "process.configDigest"),
            **numbers,
        )

    def digest(self) -> str:
        """`sha256:...` over the sorted JSON of the specification: what drift compares."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """What the supervisor says of one process.

    Attributes:
        pid: of the running process, or None.
        exit_code: of its last end; a signal counts negative; None when it never ended or an adopted one ended unseen.
        reason: why it is not ready, for people.
        owner: for which resource it runs, "" when nobody said.
    """

    name: str
    state: State
    digest: str
    pid: int | None = None
    restarts: int = 0
    exit_code: int | None = None
    reason: str = ""
    log: str = ""
    owner: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state.value,
            "digest": self.digest,
            "pid": self.pid,
            "restarts": self.restarts,
            "exitCode": self.exit_code,
            "reason": self.reason,
            "log": self.log,
            "owner": self.owner,
        }

    @classmethod
    def from_json(cls, value: Any) -> ProcessReport:
        match value:
            case {
                "name": str(name),
                "state": str(state),
                "digest": str(digest),
                "pid": int() | None as pid,
                "restarts": int(restarts),
                "exitCode": int() | None as exit_code,
                "reason": str(reason),
                "log": str(log),
                **more,
            } if state in set(State) and isinstance(owner := more.get("owner", ""), str):
                # A supervisor that was started by an earlier version says no owner.
                return cls(name, State(state), digest, pid, restarts, exit_code, reason, log, owner)
        raise _bad("not a report of a process")


@dataclass(frozen=True, slots=True)
class Request:
    """One request; which members count depends on `op`."""

    op: str
    process: ProcessSpec | None = None
    owner: str = ""
    name: str = ""
    names: tuple[str, ...] = ()
    lines: int = 50
    wait_seconds: float = 0.0

    def to_line(self) -> bytes:
        members: dict[str, Any] = {"op": self.op}
        if self.op == "ensure":
            if self.process is None:
                raise ValueError("ensure needs a process")
            members |= {"process": self.process.to_json(), "waitSeconds": self.wait_seconds}
            if self.owner:
                members["owner"] = self.owner
        if self.op == "list" and self.names:
            members["names"] = list(self.names)
        if self.op in {"stop", "logs"}:
            members["name"] = self.name
        if self.op == "logs":
            members["lines"] = self.lines
        return _line(members)

    @classmethod
    def from_line(cls, line: bytes) -> Request:
        """Read one request.

        Raises:
            SupervisorError: QNSP-OPS-101, the line is not a request.
        """
        known = frozenset({"op", "process", "owner", "name", "names", "lines", "waitSeconds"})
        members = _members(_load(line), "request", known)
        op = members.get("op")
        if op in {"ping", "shutdown"}:
            return cls(op)
        if op == "list":
            names = members.get("names", [])
            if not isinstance(names, list):
                raise _bad("names is not a list")
            return cls(op, names=tuple(_text(name, "names") for name in names))
        if op == "ensure":
            wait = members.get("waitSeconds", 0)
            if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= 3600:
                raise _bad("waitSeconds is not a number of seconds up to 3600")
            owner = _text(members.get("owner", ""), "owner")
            return cls(op, ProcessSpec.from_json(members.get("process")), owner, wait_seconds=float(wait))
        if op in {"stop", "logs"}:
            lines = members.get("lines", 50)
            if isinstance(lines, bool) or not isinstance(lines, int) or not 0 < lines <= 10_000:
                raise _bad("lines is not a number up to 10000")
            return cls(op, name=_text(members.get("name"), "name"), lines=lines)
        raise _bad("op is none of ping, ensure, stop, list, logs, shutdown")


def answer_line(**members: Any) -> bytes:
    """A positive answer."""
    return _line({"ok": True, **members})


def error_line(error: OperatorError) -> bytes:
    """A negative answer."""
    return _line({"ok": False, "error": {"code": error.code, "message": error.message}})


def parse_answer(line: bytes) -> dict[str, Any]:
    """The members of a positive answer.

    Raises:
        SupervisorError: the supervisor answered with an error, or not by this format.
    """
    match _load(line):
        case {"ok": True, **members}:
            return {str(name): value for name, value in members.items()}
        case {"ok": False, "error": {"code": str(code), "message": str(message)}}:
            raise SupervisorError(code, message)
    raise _bad("not an answer")


def _line(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode() + b"\n"


def _load(line: bytes) -> Any:
    if len(line) > MAX_LINE:
        raise _bad(f"longer than {MAX_LINE} bytes")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _bad("not JSON") from error


__all__ = [
    "FORMAT",
    "MAX_LINE",
    "ProcessReport",
    "ProcessSpec",
    "Readiness",
    "Request",
    "Restart",
    "State",
    "SupervisorError",
    "answer_line",
    "error_line",
    "parse_answer",
]
