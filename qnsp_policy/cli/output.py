"""Prints a command's result: text for people, JSON with stable names for programs, files for `--out KIND=PATH`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.pipeline.review.fit import fit
from qnsp_policy.pipeline.review.style import Paint, painter

_NARROWEST = 40


def emit(session: Session, value: Any, text: Callable[[], str], *, exact: bool = False) -> None:
    """Print a result once, in the format that the line asks for.

    Args:
        session: the line.
        value: the JSON twin (plain JSON values).
        text: makes the text; called only where text is wanted.
        exact: the text is data to copy (JSON, a proof, a drawing): its lines are never broken for the terminal.
    """
    if session.text:
        rendered = text()
        if rendered:
            session.say(rendered if exact else fitted(session, rendered))
    elif session.format == "ndjson" and isinstance(value, list):
        for item in value:
            session.say(json.dumps(item, ensure_ascii=False))
    else:
        session.say(json.dumps(value, ensure_ascii=False, indent=2 if session.format == "json" else None))


def deliver(session: Session, value: Any, out: Path | None, *, note: str = "") -> None:
    """Print a JSON document as it is, or write it to a file and say so in the format that the line asks for.

    Args:
        session: the line.
        value: the document.
        out: the file; None prints.
        note: what to do with the file, beside the result.
    """
    if out is None:
        emit(session, value, lambda: json.dumps(value, ensure_ascii=False, indent=2), exact=True)
        return
    out.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    emit(session, {"wrote": str(out)}, lambda: f"wrote {out}")
    if note:
        session.note(note)


def fitted(session: Session, text: str) -> str:
    """The text with long lines broken at spaces where a terminal would break them anywhere."""
    if not session.stdout.isatty():
        return text
    return fit(text, max(_NARROWEST, shutil.get_terminal_size().columns))


def paint_of(session: Session) -> Paint:
    """The paint that this line's output takes."""
    return painter(on=session.color)


def write_outputs(session: Session, wanted: list[str], makers: Mapping[str, Callable[[], str]]) -> None:
    """Write each `--out KIND=PATH`; `-` is standard output.

    Raises:
        typer.BadParameter: a kind is not one of the makers.
    """
    for item in wanted:
        kind, _, path = item.partition("=")
        if kind not in makers or not path:
            raise typer.BadParameter(f"--out {item!r}: give KIND=PATH with KIND one of {', '.join(sorted(makers))}")
        content = makers[kind]()
        if path == "-":
            session.say(content)
            continue
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content if content.endswith("\n") else content + "\n", encoding="utf-8")
        session.note(f"wrote {path} ({kind})")


__all__ = ["deliver", "emit", "fitted", "paint_of", "write_outputs"]
