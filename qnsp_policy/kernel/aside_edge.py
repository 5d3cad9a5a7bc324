"""Work beside the main thread, which stays free to answer Ctrl-C and does not wait for it when it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def aside(work: Callable[[], T]) -> Future[T]:
    """Begin some work in a thread of its own; what it returns or raises is the future's."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as problem:  # noqa: BLE001 -- whoever asks for the result gets it
            future.set_exception(problem)

    threading.Thread(target=run, daemon=True, name="aside").start()
    return future


__all__ = ["aside"]
