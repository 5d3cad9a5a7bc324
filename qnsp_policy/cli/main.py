"""The program's door: reads the line, loads the one command it names, turns its end into an exit code."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

from qnsp_policy.cli.completion import VARIABLE, first_words, named_command
from qnsp_policy.cli.options import Finish, Session, UsageProblem, split_line
from qnsp_policy.cli.table import ENTRIES, SECTIONS

PROGRAM = "qnsp-policy"
USAGE = 64
INTERRUPTED = 130
READER_GONE = 141
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_READERS = frozenset({"validate", "check", "plan"})
"""Commands that read and end: their process neither looks for garbage nor takes its millions of objects apart in the end."""

_OPTIONS = """\
Options, anywhere on the line:
  -C DIR                    the workspace folder (default: the current folder)
  --format text|json|ndjson every list has a JSON twin with stable names
  --color auto|always|never colour only adds (NO_COLOR is honoured)
  -q, -v                    less, more
  --debug                   show tracebacks
  --now TIME                take this moment for now (tests, replay)
  --version                 print the version
  --install-completion, --show-completion
"""

_FORGETTING = "what was lost outside is told by `refresh`; what is no longer wanted leaves the documents, or is ended by `destroy`"
_INSTEAD: dict[tuple[str, ...], str] = {
    ("state", "mv"): "a unit is called as its document: another name is another unit in the next plan",
    ("state", "rm"): _FORGETTING,
    ("state", "forget"): _FORGETTING,
    ("state", "pull"): "qnsp-policy state export FILE",
    ("state", "push"): "qnsp-policy state import FILE",
}
"""Commands of neighbours, and what does their work here."""

_EXAMPLES = """\
Examples:
  qnsp-policy init --template quickstart lab
  qnsp-policy -C lab plan
"""


def help_text() -> str:
    """The first page: what it is for, the commands by use, the options, the exit codes."""
    lines = [
        f"usage: {PROGRAM} [options] COMMAND ...",
        "",
        "Plan/apply for trust: who may get which key under what evidence.",
        "",
    ]
    for title, entries in SECTIONS:
        lines.append(f"{title}:")
        lines += [f"  {entry.name:<16} {entry.help}" for entry in entries]
        lines.append("")
    lines.append(_OPTIONS)
    lines.append(_EXAMPLES)
    lines.append("Exit codes: 0 fine, 1 error, 2 changes or drift, 3 violations, 4 plan refused,")
    lines.append("5 locked, 6 partly applied, 7 answer or evidence refused, 64 usage, 130 Ctrl-C.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns:
        The exit code (also given to `sys.exit` by the console script).
    """
    _fill_streams()
    session = Session()
    line = list(sys.argv[1:] if arguments is None else arguments)
    reader = arguments is None and not _READERS.isdisjoint(line)
    if reader:
        gc.disable()
    if arguments is None:
        _end_like_ctrl_c()
    try:
        code = _run(line, session)
        session.stdout.flush()
    except BrokenPipeError:
        code = READER_GONE
    except KeyboardInterrupt:  # once more, while the first one was being told
        code = INTERRUPTED
    except RuntimeError as error:
        if not hides_interrupt(error):
            raise
        code = _interrupted(session)
    except OSError as error:  # standard output is full, or its terminal is gone
        code = _unsaid(error, session)
    if arguments is None:
        for number in _ENDS:  # it ends already; once more must not change with which code
            signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        _give_up(stream)
    if reader:
        os._exit(code)
    return code


def _fill_streams() -> None:
    """Where a standard stream was closed, put nothing: else the next file to be opened would take its number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def _end_like_ctrl_c() -> None:
    """SIGTERM and the end of the terminal save state and free the lease, as Ctrl-C does; `nohup` stays as it is."""
    for number in _ENDS[1:]:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _unsaid(error: OSError, session: Session) -> int:
    with contextlib.suppress(OSError):
        print(f"error[QNSP-OPS-001]: the result cannot be printed: {error.strerror}", file=session.stderr, flush=True)
    return 1


def _give_up(stream: TextIO) -> None:
    """Flush; what cannot be written now never can, and must not fail again when the interpreter ends."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(line: list[str], session: Session) -> int:
    completing = VARIABLE in os.environ
    if completing and (words := first_words(os.environ)) is not None:
        session.say(words)
        return 0
    try:
        left = line if completing else split_line(line, session)
    except UsageProblem as problem:
        return _usage(str(problem), session)
    if not completing:
        if not left and not session.text:
            return _usage("no command is named", session, hint=f"see: {PROGRAM} --help")
        if left[:1] == ["help"] and len(left) > 1:
            left = [*left[1:], "--help"]
        if not left or left[0] in {"--help", "-h", "help"}:
            session.say(help_text())
            return 0 if left else USAGE
        if left[0] == "--version":
            left = ["version"]
        if left[0] not in ENTRIES and not left[0].startswith("--"):
            return _usage(f"no such command: {left[0]}", session, hint=_nearest(left[0]))
    return _dispatch(left, session)


def _dispatch(line: list[str], session: Session) -> int:
    import typer

    from qnsp_policy.cli.tree import build_command
    from qnsp_policy.errors import QnspError

    command = build_command(line[0] if line else named_command(os.environ))
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]  # UsageError; typer does not export it
    try:
        result = command.main(args=line, prog_name=PROGRAM, standalone_mode=False, obj=session)
    except Finish as end:
        return end.code
    except typer.Exit as end:
        result = end.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted(session)
    except usage_error as problem:
        if (
            session.text and type(problem).__name__ == "NoArgsIsHelpError"
        ):  # a group without its verb: its help, as it stands
            session.say(_said(problem))
            return USAGE
        context = getattr(problem, "ctx", None)
        where = context.command_path if context else PROGRAM
        hint = _INSTEAD.get(tuple(line[:2])) if "No such command" in _said(problem) else None
        return _usage(_said(problem), session, hint=hint or f"see: {where} --help")
    except QnspError as error:
        return _failed(error, session)
    except BrokenPipeError:
        raise
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer exits by itself where the reader went away
            raise end.__context__ from None
        raise
    except OSError as error:
        return _failed(_of_the_system(error), session)
    except MemoryError:
        return _failed(_no_memory(), session)
    except Exception as error:  # noqa: BLE001 -- the last door: no traceback reaches a user
        return _interrupted(session) if hides_interrupt(error) else _unexpected(error, session)
    if result == INTERRUPTED:  # typer turns Ctrl-C into this
        return _interrupted(session)
    return result if isinstance(result, int) else 0


def hides_interrupt(error: BaseException | None) -> bool:
    """Whether it came of Ctrl-C: one that arrives while a class is made is a RuntimeError to Python 3.11."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _interrupted(session: Session) -> int:
    session.note("interrupted; what was done is recorded, and the same command goes on from there")
    return INTERRUPTED


def _said(problem: Exception) -> str:
    message: str = getattr(problem, "format_message", lambda: str(problem))()
    return message


def _failed(error: Exception, session: Session) -> int:
    from qnsp_policy.cli.exits import code_of, print_error
    from qnsp_policy.errors import QnspError

    assert isinstance(error, QnspError)
    print_error(error, session)
    if session.debug:
        traceback.print_exception(error, file=session.stderr)
    return code_of(error)


def _of_the_system(error: OSError) -> Exception:
    from qnsp_policy.errors import OperatorError

    name = error.filename if isinstance(error.filename, str) else None
    return OperatorError(
        "QNSP-OPS-001",
        f"{name + ': ' if name else ''}{error.strerror or error}",
        subject=name,
        next_step="put right what the system reports, then run the same command again",
    )


def _no_memory() -> Exception:
    from qnsp_policy.errors import OperatorError

    step = "give it more (`ulimit -v`, the limit of its container), then run the same command again"
    return OperatorError("QNSP-OPS-142", "no memory is left to this command", next_step=step)


def _unexpected(error: Exception, session: Session) -> int:
    if session.debug:
        traceback.print_exception(error, file=session.stderr)
    message = f"a part of ours failed: {type(error).__name__}"
    step = "run the same line with --debug and report what it prints"
    if session.text:
        print(f"error[QNSP-ENG-000]: {message}\n   = next: {step}", file=session.stderr, flush=True)
    else:
        session.say(json.dumps({"errors": [{"code": "QNSP-ENG-000", "message": message, "next": step}], "exitCode": 1}))
    return 1


def _usage(message: str, session: Session, hint: str | None = None) -> int:
    message = message.replace("\n", " ")
    if session.text:
        print(f"usage: {message}" + (f"\n   = {hint}" if hint else ""), file=session.stderr, flush=True)
    else:
        error = {"code": "QNSP-OPS-064", "message": message} | ({"next": hint} if hint else {})
        session.say(json.dumps({"errors": [error], "exitCode": USAGE}))
    return USAGE


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, ENTRIES, n=1)
    return f"did you mean `{close[0]}`?" if close else f"see: {PROGRAM} --help"


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["help_text", "hides_interrupt", "main"]
