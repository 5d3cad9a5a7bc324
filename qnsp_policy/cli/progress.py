"""Long work as it goes: lines for people, one JSON object a line for `--format ndjson`; nothing of it carries the result."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import paint_of
from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.style import Paint

if TYPE_CHECKING:
    from qnsp_policy.pipeline.engine.events import Event, Listener

_DONE = {"create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "refresh": "refreshed"}


@contextmanager
def narrator(session: Session) -> Iterator[Callable[[str], None]]:
    """Lines about what is being done: a spinner on a terminal, plain lines elsewhere, nothing when quiet."""
    if not (session.text and session.stderr.isatty() and session.verbosity >= 0):
        yield session.note if session.text else _silent
        return
    from rich.console import Console
    from rich.status import Status

    with Status("", console=Console(file=session.stderr)) as status:
        yield lambda text: status.update(terminal(text))


def _silent(text: str) -> None:
    del text


@contextmanager
def apply_story(session: Session) -> Iterator[Listener]:
    """A listener for the engine's events; called from several threads."""
    lock = threading.Lock()
    paint = paint_of(session)

    def listen(event: Event) -> None:
        with lock:
            if session.format == "ndjson":
                session.say(json.dumps({"version": "1.0", **event_json(event)}, ensure_ascii=False))
            elif session.text:
                line = event_line(event, paint=paint, verbose=session.verbosity > 0)
                if line:
                    session.note(line)

    yield listen


def event_json(event: Event) -> dict[str, object]:
    """One event with stable names."""
    members: dict[str, object] = {
        "event": event.kind.value,
        "unit": event.unit,
        "op": event.op,
        "resource": event.resource,
        "text": event.text,
        "wave": event.wave,
        "seconds": round(event.seconds, 3),
    }
    return {name: value for name, value in members.items() if value not in ("", 0)}


def event_line(event: Event, *, paint: Paint, verbose: bool = False) -> str:
    """One line for people, or nothing where the event is of no interest."""
    kind, unit = event.kind.value, terminal(event.unit)
    if kind == "unit-done":
        done = paint("good", f"{_DONE.get(event.op, event.op):<9}")
        return f"  wave {event.wave}  {unit:<30} {done} {event.seconds:5.1f} s"
    if kind == "unit-failed":
        return f"  wave {event.wave}  {unit:<30} {paint('bad', 'failed   ')} {event.seconds:5.1f} s  {terminal(event.text)}"
    if kind == "unit-skipped":
        return f"  wave {event.wave}  {unit:<30} {paint('warn', 'not begun')}  {terminal(event.text)}"
    if kind == "takeover":
        return paint("warn", f"  {terminal(event.text)}")
    if kind == "message":
        return paint("dim", f"          {unit} {terminal(event.text)}")
    if verbose and kind.startswith("step-"):
        return paint(
            "dim",
            f"          {terminal(event.op)} {terminal(event.resource)} {kind.removeprefix('step-')} {terminal(event.text)}",
        )
    return ""


__all__ = ["apply_story", "event_json", "event_line", "narrator"]
