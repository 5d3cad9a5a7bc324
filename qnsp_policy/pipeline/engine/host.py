"""What an engine run finds in this process: our provider, the unit's program, an ear for its events.

One event loop in one thread serves every run. Each run gets ports of its own on the loopback interface and a provider of
its own, bound to what this run may do. The provider answers processes of our own user only; such a process could read the
keys that it uses anyway (docs/adr/0030-journal-instead-of-checkpoints.md). Not checked: who calls the program or tells events;
Pulumi's own ports of a run ask nobody either. When this process dies, nothing of it lives on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.plan.declaration import Declaration

if TYPE_CHECKING:
    import grpc.aio

GROUP = "qnsp_policy.providers"
DESCRIPTORS = 64
"""Free ones that serving engine runs takes at most: gRPC aborts the whole process where it gets none."""
T = TypeVar("T")
Json = dict[str, Any]

Attach = Callable[[Mapping[str, str]], Awaitable[tuple[int, Callable[[], None], Callable[[], Awaitable[None]]]]]


def _descriptors_left() -> None:
    """Refuse to begin what too few descriptors would end in the middle.

    Raises:
        OperatorError: QNSP-ENG-013.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        left = most - len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        left = 0
    if left < DESCRIPTORS and most != resource.RLIM_INFINITY:
        raise OperatorError(
            "QNSP-ENG-013",
            f"{max(left, 0)} file descriptors are left, and runs of the engine take up to {DESCRIPTORS}",
            next_step="raise `ulimit -n` and run the command again",
        )


class EngineHost:
    """Serves engine runs between `with` and its end.

    Args:
        attach: whether providers are served here; otherwise the engine starts plugins that it finds on PATH.
    """

    def __init__(self, *, attach: bool = True) -> None:
        self._attach = attach
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="engine-host", daemon=True)
        self._cancels: set[Callable[[], None]] = set()
        self._factories: dict[str, Attach] = {}

    def __enter__(self) -> Self:
        _descriptors_left()
        if self._attach:
            self._factories = {entry.name: entry.load() for entry in entry_points(group=GROUP)}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @contextlib.contextmanager
    def attached(
        self, environment: Mapping[str, str], began: Callable[[Callable[[], None]], None] = lambda _: None
    ) -> Iterator[str]:
        """Serve one provider a package for one engine run.

        Args:
            environment: of the run.
            began: given, of each provider, what makes it stop waiting.

        Yields:
            The value of PULUMI_DEBUG_PROVIDERS; "" when no provider is served here, so that plugins are looked for.
        """
        served = []
        try:
            for name, factory in self._factories.items():
                port, cancel, stop = self._do(factory(environment))
                self._cancels.add(cancel)
                began(cancel)
                served.append((f"{name}:{port}", cancel, stop))
            yield ",".join(address for address, _, _ in served)
        finally:
            for _, cancel, stop in served:
                self._cancels.discard(cancel)
                with contextlib.suppress(RuntimeError):
                    self._do(stop())

    @contextlib.contextmanager
    def program(self, declaration: Declaration) -> Iterator[str]:
        """Serve a declared unit's program.

        Yields:
            Its address, for `--client`.
        """
        from pulumi.runtime.proto import language_pb2_grpc

        from qnsp_policy.pipeline.engine.registration import DeclaredProgram

        def add(server: grpc.aio.Server) -> None:
            language_pb2_grpc.add_LanguageRuntimeServicer_to_server(DeclaredProgram(declaration), server)

        with self._server(add) as port:
            yield f"127.0.0.1:{port}"

    @contextlib.contextmanager
    def events(self, told: Callable[[Json], None]) -> Iterator[str]:
        """Listen to the events of one engine run; every one was told when its process has ended in order.

        Yields:
            The address, for `--event-log`.
        """
        from google.protobuf import empty_pb2
        from pulumi.runtime.proto import events_pb2_grpc

        class Listener(events_pb2_grpc.EventsServicer):
            async def StreamEvents(self, requests: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
                del context
                async for request in requests:
                    told(json.loads(request.event))
                return empty_pb2.Empty()

        def add(server: grpc.aio.Server) -> None:
            events_pb2_grpc.add_EventsServicer_to_server(Listener(), server)

        with self._server(add) as port:
            yield f"tcp://127.0.0.1:{port}"

    def cancel(self) -> None:
        """Make every provider stop waiting."""
        for cancel in list(self._cancels):
            cancel()

    @contextlib.contextmanager
    def _server(self, add: Callable[[grpc.aio.Server], None]) -> Iterator[int]:
        import grpc.aio
        from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS

        async def start() -> tuple[grpc.aio.Server, int]:
            server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
            add(server)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            return server, port

        server, port = self._do(start())
        try:
            yield port
        finally:
            with contextlib.suppress(RuntimeError):
                self._do(server.stop(0))

    def _do(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


__all__ = ["GROUP", "EngineHost"]
