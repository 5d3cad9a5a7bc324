"""Providers that run inside this process, so that no engine run has to start a plugin of ours.

One event loop in one thread serves them all; each engine run gets a provider of its own on a port of its own. Found by
entry point. When this process dies, nothing of a provider lives on; every create of ours adopts what it left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from types import TracebackType
from typing import Self, TypeVar

GROUP = "qnsp_policy.providers"
THREADS = 32
T = TypeVar("T")

Attach = Callable[[Mapping[str, str]], Awaitable[tuple[int, Callable[[], None], Callable[[], Awaitable[None]]]]]


class ProviderHost:
    """Serves attached providers between `with` and its end."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="providers", daemon=True)
        self._cancels: set[Callable[[], None]] = set()
        self._factories: dict[str, Attach] = {}

    def __enter__(self) -> Self:
        self._factories = {entry.name: entry.load() for entry in entry_points(group=GROUP)}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @contextlib.contextmanager
    def attached(self, environment: Mapping[str, str]) -> Iterator[str]:
        """Serve one provider a package for one engine run.

        Yields:
            The value of PULUMI_DEBUG_PROVIDERS; "" when no provider is installed here, so that plugins are looked for.
        """
        served = []
        try:
            for name, factory in self._factories.items():
                port, cancel, stop = self._do(factory(environment))
                self._cancels.add(cancel)
                served.append((f"{name}:{port}", cancel, stop))
            yield ",".join(address for address, _, _ in served)
        finally:
            for _, cancel, stop in served:
                self._cancels.discard(cancel)
                with contextlib.suppress(RuntimeError):
                    self._do(stop())

    def cancel(self) -> None:
        """Make every provider stop waiting."""
        for cancel in list(self._cancels):
            cancel()

    def _do(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="provider"))
        try:
            self._loop.run_forever()
        finally:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


__all__ = ["GROUP", "ProviderHost"]
