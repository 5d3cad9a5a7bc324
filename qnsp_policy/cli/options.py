"""The global options, which may stand anywhere on the line, and the session that every command gets.

Read by hand before the commands are loaded: so `plan -C lab` and `-C lab plan` are the same, and no command repeats
them.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, TextIO

FORMATS = ("text", "json", "ndjson")
COLORS = ("auto", "always", "never")


class UsageProblem(Exception):  # noqa: N818 -- it ends as exit code 64 before any command runs
    """A global option is wrong."""


class Finish(Exception):  # noqa: N818 -- not an error: how a command ends with a code
    """A command is done; `main` turns it into the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Session:
    """What every command needs to know of the line it was called with.

    Attributes:
        directory: the workspace folder (`-C`), as given.
        format: text, json or ndjson.
        color: whether text output is painted.
        verbosity: -1 quiet, 0, 1 ...
        debug: show tracebacks.
        fixed_now: the moment to take for now (`--now`, for tests and replay), or None for the clock.
    """

    directory: Path = field(default_factory=Path)
    format: str = "text"
    color: bool = False
    verbosity: int = 0
    debug: bool = False
    fixed_now: datetime | None = None
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)

    @property
    def now(self) -> datetime:
        """The moment of this run: aware, UTC, whole seconds."""
        return self.fixed_now or datetime.now(UTC).replace(microsecond=0)

    @property
    def text(self) -> bool:
        return self.format == "text"

    @property
    def interactive(self) -> bool:
        """Whether a question may be asked: text, and a person at both ends."""
        return self.text and sys.stdin.isatty() and self.stderr.isatty()

    def say(self, text: str = "") -> None:
        """Print a result to standard output.

        Raises:
            OSError: it is full, closed or gone; names standard output.
        """
        try:
            print(text, file=self.stdout, flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error

    def note(self, text: str) -> None:
        """Print something beside the result (progress, hints) to standard error, unless quiet; nobody has to read it."""
        if self.verbosity >= 0:
            with contextlib.suppress(OSError):
                print(text, file=self.stderr, flush=True)

    def finish(self, code: int = 0) -> NoReturn:
        raise Finish(code)


def split_line(arguments: list[str], session: Session) -> list[str]:
    """Take the global options out of the line and put them into the session.

    Args:
        arguments: the line without the program's name.
        session: receives the options.

    Returns:
        What is left, in order; everything after `--` is untouched.

    Raises:
        UsageProblem: a value is missing or not one of those allowed.
    """
    color = "auto"
    left: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, has_value, value = argument.partition("=")
        if argument == "--":
            left.append(argument)
            left.extend(rest)
        elif argument in {"-q", "--quiet"}:
            session.verbosity -= 1
        elif argument in {"-v", "-vv", "--verbose"}:
            session.verbosity += argument.count("v") if argument != "--verbose" else 1
        elif argument == "--debug":
            session.debug = True
        elif name in {"-C", "--format", "--color", "--now"}:
            if not has_value:
                value = next(rest, "")
            if not value:
                raise UsageProblem(f"{name} needs a value")
            if name == "-C":
                session.directory = Path(value)
            elif name == "--format":
                session.format = _one_of(name, value, FORMATS)
            elif name == "--color":
                color = _one_of(name, value, COLORS)
            else:
                session.fixed_now = _moment(value)
        else:
            left.append(argument)
    session.color = color == "always" or (
        color == "auto"
        and session.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )
    return left


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise UsageProblem(f"{name} {value!r} is not one of {', '.join(allowed)}")
    return value


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise UsageProblem(f"--now {value!r} is not an RFC 3339 time such as 2026-11-21T10:00:00Z") from None
    if moment.tzinfo is None:
        raise UsageProblem(f"--now {value!r} has no time zone; end it with Z")
    return moment.astimezone(UTC)


__all__ = ["COLORS", "FORMATS", "Finish", "Session", "UsageProblem", "split_line"]
