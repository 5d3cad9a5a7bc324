"""A declaration told to the engine's resource monitor directly, without Pulumi's SDK.

The SDK's bookkeeping of outputs costs several milliseconds a resource and grows with the square of their number; a unit
of ours is plain values, whose only unknown members are those that its outputs name (`Ref`). What is sent is what the SDK
would send for the same resources; a test under the real engine holds both against each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS  # noqa: TID253 - imported by the host when it serves
from pulumi.runtime.proto import (  # noqa: TID253
    language_pb2,
    language_pb2_grpc,
    plugin_pb2,
    resource_pb2,
    resource_pb2_grpc,
)

from qnsp_policy.pipeline.plan.declaration import Declaration, Declared, Ref

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the protocol writes for a value that only an update can know."""


class DeclaredProgram(language_pb2_grpc.LanguageRuntimeServicer):
    """The program of one unit, as the engine's `--client` sees it.

    Args:
        declaration: what to register, in its order.
    """

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration

    async def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's names
        del request
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no handshake")

    async def GetRequiredPlugins(self, request: Any, context: Any) -> Any:  # noqa: N802
        del request, context
        return language_pb2.GetRequiredPluginsResponse()

    async def GetRequiredPackages(self, request: Any, context: Any) -> Any:  # noqa: N802
        del request, context
        return language_pb2.GetRequiredPackagesResponse()

    async def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        del request, context
        return plugin_pb2.PluginInfo()

    async def Run(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Register everything; an engine that ends because a step failed has said so itself."""
        del context
        try:
            async with grpc.aio.insecure_channel(request.monitor_address, options=_GRPC_CHANNEL_OPTIONS) as channel:
                monitor = resource_pb2_grpc.ResourceMonitorStub(channel)
                await _Registration(self._declaration, monitor, request.project, request.stack).run()
        except grpc.aio.AioRpcError as error:
            if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
                return language_pb2.RunResponse(error=error.details() or error.code().name)
        return language_pb2.RunResponse()


class _Registration:
    """One run of a declaration."""

    def __init__(self, declaration: Declaration, monitor: Any, project: str, stack: str) -> None:
        self._declaration = declaration
        self._monitor = monitor
        self._root = f"{project}-{stack}"

    async def run(self) -> None:
        root = await self._monitor.RegisterResource(
            resource_pb2.RegisterResourceRequest(
                type="pulumi:pulumi:Stack",
                name=self._root,
                object=struct_pb2.Struct(),
                acceptSecrets=True,
                acceptResources=True,
                supportsPartialValues=True,
                supportsResultReporting=True,
            )
        )
        tasks: dict[str, asyncio.Task[Any]] = {}
        try:
            for item in self._declaration.resources:
                before = [tasks[name] for name in item.after]
                tasks[item.name] = asyncio.ensure_future(self._register(item, root.urn, before))
            made = dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))
        except BaseException:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            raise
        states = {name: {} if answer is None else answer.object for name, answer in made.items()}
        await self._monitor.RegisterResourceOutputs(
            resource_pb2.RegisterResourceOutputsRequest(
                urn=root.urn, outputs=_struct(_known(dict(self._declaration.outputs), states))
            )
        )
        await self._monitor.SignalAndWaitForShutdown(empty_pb2.Empty())

    async def _register(self, item: Declared, parent: str, before: list[asyncio.Task[Any]]) -> Any:
        urns = []
        for task in before:
            answer = await task
            if answer is None:
                return None
            urns.append(answer.urn)
        none = resource_pb2.RegisterResourceRequest.PropertyDependencies()
        answer = await self._monitor.RegisterResource(
            resource_pb2.RegisterResourceRequest(
                type=item.type,
                name=item.name,
                parent=parent,
                custom=True,
                object=_struct(item.inputs),
                protect=item.protect,
                dependencies=urns,
                propertyDependencies=dict.fromkeys(item.inputs, none),
                # A name is one thing in the world: made before the old one is deleted, the new one would go with it.
                deleteBeforeReplace=True,
                deleteBeforeReplaceDefined=True,
                acceptSecrets=True,
                acceptResources=True,
                supportsPartialValues=True,
                supportsResultReporting=True,
            )
        )
        return answer if answer.result == resource_pb2.SUCCESS else None


def _known(value: Any, states: Mapping[str, Any]) -> Any:
    if isinstance(value, Ref):
        state = states[value.resource]
        return _plain(state[value.member]) if value.member in state else UNKNOWN
    if isinstance(value, Mapping):
        return {name: _known(member, states) for name, member in value.items()}
    return [_known(item, states) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, struct_pb2.Struct | struct_pb2.ListValue | struct_pb2.Value):
        return json_format.MessageToDict(value)
    return value


def _struct(value: Mapping[str, Any]) -> struct_pb2.Struct:
    """A property map without null members, as the SDK sends it."""
    made = struct_pb2.Struct()
    made.update({name: member for name, member in value.items() if member is not None})
    return made


__all__ = ["UNKNOWN", "DeclaredProgram"]
