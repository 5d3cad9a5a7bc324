"""The typer tree: only the command that the line names, or all of them for completion."""

from __future__ import annotations

from importlib import import_module

import typer

from qnsp_policy.cli.table import ENTRIES


def build_tree(name: str | None = None) -> typer.Typer:
    """A typer application with the named command, or with every command where the name is not one."""
    app = typer.Typer(add_completion=True, no_args_is_help=False, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.callback()
    def _root() -> None:
        """Plan/apply for trust."""

    for entry in [ENTRIES[name]] if name in ENTRIES else ENTRIES.values():
        module = import_module(f"qnsp_policy.cli.commands.{entry.module}")
        if entry.group:
            app.add_typer(module.app, name=entry.name, help=entry.help, rich_help_panel=None)
        else:
            app.command(entry.name, epilog=module.EXAMPLES)(module.command)
    return app


def examples(*lines: str) -> str:
    """The two examples that end a command's help; they work in the quickstart."""
    return "\b\nExamples:\n" + "\n".join(f"  qnsp-policy {line}" for line in lines)


__all__ = ["build_tree", "examples"]
