"""The typer tree: only the command that the line names, or the names of all for completion; what commands of it share."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from qnsp_policy.cli.table import ENTRIES


def build_tree(name: str | None = None) -> typer.Typer:
    """A typer application with the named command, or with the names of all where it is none."""
    app = typer.Typer(add_completion=True, no_args_is_help=False, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.callback()
    def _root() -> None:
        """Plan/apply for trust."""

    if name not in ENTRIES:
        for entry in ENTRIES.values():
            app.command(entry.name, help=entry.help)(_stub)
        return app
    entry = ENTRIES[name]
    module = import_module(f"qnsp_policy.cli.commands.{entry.module}")
    if entry.group:
        app.add_typer(module.app, name=entry.name, help=entry.help, rich_help_panel=None)
    else:
        app.command(entry.name, epilog=module.EXAMPLES)(module.command)
    return app


def _stub() -> None:
    """A command of which only the name is asked."""


def build_command(name: str | None = None) -> Any:
    """The tree as it is run; what an option or argument takes is named in its help, not the type that holds it."""
    root = typer.main.get_command(build_tree(name))
    waiting: list[Any] = [root]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        for item in command.params:
            if item.metavar is None:
                item.metavar = _placeholder(item)
            if item.param_type_name == "argument":
                item.display_type_rich = lambda **_: None
    return root


def _placeholder(item: Any) -> str | None:
    """What stands for a value: of an argument its name, of an option what it holds; flags take none."""
    if item.param_type_name == "argument":
        return str(item.name).rstrip("_").upper()
    if item.is_flag:
        return None
    held = item.type_descriptor.annotation
    return "FILE" if held is Path else "N" if held in (int, float) else "NAME"


def examples(*lines: str, ends: str = "") -> str:
    """What ends a command's help: its own exit codes, where it has any, and two examples that work in the quickstart.

    Args:
        lines: the examples, without the program's name.
        ends: such as `2 drift`; 0, 1, 64 and 130 mean the same everywhere.
    """
    codes = f"\b\nExit codes: 0 fine, 1 error, {ends}, 64 usage.\n\n" if ends else ""
    return codes + "\b\nExamples:\n" + "\n".join(f"  qnsp-policy {line}" for line in lines)


def one_of(words: Sequence[str]) -> dict[str, Any]:
    """What an option takes that is one of these words: its check, which names the nearest, and its completion."""

    def check(value: str | None) -> str | None:
        if value is None or value in words:
            return value
        close = difflib.get_close_matches(value, words, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise typer.BadParameter(f"{value!r} is none of {', '.join(words)}{hint}")

    return {
        "callback": check,
        "autocompletion": lambda incomplete: [word for word in words if word.startswith(incomplete)],
    }


LEVELS = ("critical", "high", "medium", "low", "info", "weaken")
FailOn = Annotated[
    str | None, typer.Option(metavar="LEVEL", help="critical, high, medium, low, info or weaken.", **one_of(LEVELS))
]
Engine = Annotated[
    str,
    typer.Option(metavar="wasm|opa", help="In process, or with the pinned opa.", **one_of(("wasm", "opa"))),
]


def last_day(text: str | None) -> date | None:
    """The day of an option `--expires`; None where it is not given.

    Raises:
        BadParameter: it is no day.
    """
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"--expires {text!r} is not a day such as 2027-05-21") from None


__all__ = ["Engine", "FailOn", "build_command", "build_tree", "examples", "last_day", "one_of"]
