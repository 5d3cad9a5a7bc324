"""Long work as it goes: lines for people, one JSON object a line for `--format ndjson`; nothing of it carries the result."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import paint_of
from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.style import Paint
from qnsp_policy.workflows.progress import in_words

if TYPE_CHECKING:
    from rich.status import Status
    from rich.text import Text

    from qnsp_policy.pipeline.engine.events import Event, Listener

_DONE = {"create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "refresh": "refreshed"}


class _Story:
    """Where progress goes: above a spinner on a terminal, as plain lines elsewhere, nowhere when quiet or not text."""

    def __init__(self, session: Session, status: Status | None) -> None:
        self._session = session
        self._status = status

    def line(self, text: str) -> None:
        """One line that stays; may be painted."""
        if self._status is None:
            self._session.note(text)
        else:
            from rich.text import Text

            self._status.console.print(Text.from_ansi(text), soft_wrap=True)

    def now(self, text: str) -> None:
        """What is being done at this moment: beside the spinner, which the next one replaces."""
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(terminal(text)))

    def watch(self, words: Callable[[], str]) -> None:
        """The same, asked again whenever it is drawn: an estimate shrinks while nothing is heard."""
        if self._status is not None:
            self._status.update(_Living(words))


class _Living:
    def __init__(self, words: Callable[[], str]) -> None:
        self._words = words

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(terminal(self._words()))


def on_terminal(session: Session) -> bool:
    """Whether somebody watches: only then is told what is of interest only while it lasts."""
    return session.text and session.stderr.isatty() and session.verbosity >= 0


@contextmanager
def _story(session: Session) -> Iterator[_Story]:
    if not on_terminal(session):
        yield _Story(session, None)
        return
    from rich.console import Console
    from rich.status import Status

    console = Console(file=session.stderr, no_color=not session.color, highlight=False)
    with Status("", console=console) as status:
        yield _Story(session, status)


@contextmanager
def narrator(session: Session) -> Iterator[Callable[[str], None]]:
    """Tells what is being done: a spinner on a terminal, plain lines elsewhere, nothing when quiet."""
    with _story(session) as story:
        if session.text and session.stderr.isatty():
            yield story.now
        else:
            yield story.line if session.text else _silent


def _silent(text: str) -> None:
    del text


@contextmanager
def patient(session: Session) -> Iterator[Callable[[str], None]]:
    """Tells a terminal what is being done, and loads what draws only when something is told."""
    with contextlib.ExitStack() as stack:
        told: list[Callable[[str], None]] = []

        def tell(text: str) -> None:
            if not told:
                told.append(stack.enter_context(narrator(session)))
            told[0](text)

        yield tell if on_terminal(session) else _silent


@contextmanager
def apply_story(session: Session) -> Iterator[Listener]:
    """A listener for the engine's events; called from several threads."""
    lock = threading.Lock()
    paint = paint_of(session)
    working: list[str] = []
    total, ended, over = 0, 0, 0.0

    def now() -> str:
        done = [f"{ended} of {total} units"] if 0 < ended < total else []
        rest = over - time.monotonic()
        return ", ".join([*done, *([in_words(rest)] if rest > 0 else []), *working])

    with _story(session) as story:

        def listen(event: Event) -> None:
            nonlocal total, ended, over
            # Whoever listened may be gone (a closed pipe or terminal): the work goes on, and its end says so.
            with lock, contextlib.suppress(OSError):
                if session.format == "ndjson":
                    session.say(json.dumps({"version": "1.0", **event_json(event)}, ensure_ascii=False))
                if not session.text:
                    return
                line = event_line(event, paint=paint, verbose=session.verbosity > 0)
                if line:
                    story.line(line)
                kind = event.kind.value
                total = max(total, event.of)
                if kind == "unit-started":
                    working.append(event.unit)
                elif kind in {"unit-done", "unit-failed"} and event.unit in working:
                    working.remove(event.unit)
                ended += kind in {"unit-done", "unit-failed", "unit-skipped"}
                if kind.startswith("unit-"):
                    over = time.monotonic() + event.left if event.left else 0.0
                    story.watch(now)

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
        "of": event.of,
        "left": round(event.left),
    }
    return {name: value for name, value in members.items() if value not in ("", 0)}


def event_line(event: Event, *, paint: Paint, verbose: bool = False) -> str:
    """One line for people, or nothing where the event is of no interest."""
    kind, unit = event.kind.value, terminal(event.unit)
    if kind == "unit-done":
        done = paint("good", f"{_DONE.get(event.op, event.op):<9}")
        return f"  {_wave(event)}{unit:<30} {done} {event.seconds:5.1f} s  {terminal(event.text)}".rstrip()
    if kind == "unit-failed":
        return f"  {_wave(event)}{unit:<30} {paint('bad', 'failed   ')} {event.seconds:5.1f} s  {terminal(event.text)}"
    if kind == "unit-skipped":
        return f"  {_wave(event)}{unit:<30} {paint('warn', 'not begun')}  {terminal(event.text)}"
    if kind == "takeover":
        return paint("warn", f"  {terminal(event.text)}")
    if kind == "message":
        return paint("dim", f"          {unit} {terminal(event.text)}" if unit else f"  {terminal(event.text)}")
    if verbose and kind.startswith("step-"):
        return paint(
            "dim",
            f"          {terminal(event.op)} {terminal(event.resource)} {kind.removeprefix('step-')} {terminal(event.text)}",
        )
    return ""


def _wave(event: Event) -> str:
    return f"wave {event.wave}  " if event.wave else ""


__all__ = ["apply_story", "event_json", "event_line", "narrator", "on_terminal", "patient"]
