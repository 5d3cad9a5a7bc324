"""The typer tree: only the command that the line names, or the names of all for completion; what commands of it share."""

from __future__ import annotations

from datetime import date
from importlib import import_module

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


def examples(*lines: str) -> str:
    """The two examples that end a command's help; they work in the quickstart."""
    return "\b\nExamples:\n" + "\n".join(f"  qnsp-policy {line}" for line in lines)


def last_day(text: str | None) -> date | None:
    """The day of an option `--expires`; None where it is not given.

    Raises:
        BadParameter: it is no day.
    """
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"--expires {text!r} is not a day such as 2027-05-21") from None


__all__ = ["build_tree", "examples", "last_day"]
