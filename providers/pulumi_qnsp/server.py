"""The provider as a gRPC server: Pulumi's own servicer, plus `Attach`, plus errors that keep their words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from pulumi_qnsp.kinds import InitFailed
from pulumi_qnsp.peers_edge import OwnUser
from pulumi_qnsp.provider import VERSION, QnspProvider
from pulumi_qnsp.values import wrap_map
from qnsp_policy.errors import QnspError


class Servicer(ProviderServicer):
    """Pulumi's servicer with an error's own text on the wire, and with `Attach` for an engine that did not start us."""

    async def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """The engine's address, told to a provider that ran before the engine."""
        del context
        self._engine_address = request.address
        return empty_pb2.Empty()

    async def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """What we can; unimplemented in the SDK's servicer, which the engine takes for "nothing"."""
        del request
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no handshake")

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(super().Create, request, context)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(super().Update, request, context)

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(super().Delete, request, context)

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(super().Read, request, context)

    async def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(super().Diff, request, context)


async def _told(call: Callable[[Any, Any], Awaitable[Any]], request: Any, context: Any) -> Any:
    try:
        return await call(request, context)
    except InitFailed as error:
        detail = provider_pb2.ErrorResourceInitFailed(id=error.resource_id, reasons=[str(error)])
        from pulumi.provider.experimental.property_value import PropertyValue

        detail.properties.CopyFrom(PropertyValue.marshal_map(wrap_map(error.outputs)))
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
        status.details.add().Pack(detail)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        await context.abort(grpc.StatusCode.UNKNOWN, str(error))
    except (QnspError, OSError, ValueError) as error:
        await context.abort(grpc.StatusCode.UNKNOWN, str(error) or type(error).__name__)


async def listen(provider: QnspProvider, *, engine: str = "", ours_only: bool = False) -> tuple[grpc.aio.Server, int]:
    """Start serving on a free port of the loopback interface.

    Args:
        provider: what to serve.
        engine: the engine's address, if it started us.
        ours_only: refuse callers that are no process of our own user.
    """
    guard = OwnUser()
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS, interceptors=[guard] if ours_only else [])
    servicer = Servicer([], VERSION, provider, engine_address=engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = guard.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def serve(provider: QnspProvider, *, started: Callable[[int], None], engine: str = "") -> None:
    """Serve until cancelled, as a plugin process; `started` is called with the port."""
    server, port = await listen(provider, engine=engine)
    started(port)
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(0)
        await provider.end()


__all__ = ["Servicer", "listen", "serve"]
