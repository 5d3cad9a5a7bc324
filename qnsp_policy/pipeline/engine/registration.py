"""A declaration told to the engine's resource monitor directly, without Pulumi's SDK.

The SDK's bookkeeping of outputs costs several milliseconds a resource and grows with the square of their number, and its classes
of AWS take seconds to load; a declaration is plain values, whose only unknown members are those that it names (`Ref`). What is sent is
what the SDK would send for the same resources; tests hold both against each other, under the engine and under Pulumi's mocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
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

    async def About(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Asked when an operation failed; there is no runtime to tell of."""
        del request, context
        return language_pb2.AboutResponse()

    async def Run(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Register everything; an engine that ends because a step failed has said so itself."""
        del context
        try:
            async with grpc.aio.insecure_channel(request.monitor_address, options=_GRPC_CHANNEL_OPTIONS) as channel:
                monitor = resource_pb2_grpc.ResourceMonitorStub(channel)
                where = {"project": request.project, "stack": request.stack, "preview": request.dryRun}
                await run_declaration(self._declaration, monitor, **where)
        except ValueError as error:
            return language_pb2.RunResponse(error=str(error))
        except grpc.aio.AioRpcError as error:
            if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
                return language_pb2.RunResponse(error=error.details() or error.code().name)
        return language_pb2.RunResponse()


async def run_declaration(declaration: Declaration, monitor: Any, *, project: str, stack: str, preview: bool) -> None:
    """Tell a monitor of everything that a declaration holds, as far as each can be made, and of its outputs.

    Raises:
        ValueError: what another resource gives is not known although that one was made.
    """
    await _Registration(declaration, monitor, project=project, stack=stack, preview=preview).run()


class _Registration:
    """One run of a declaration."""

    def __init__(self, declaration: Declaration, monitor: Any, *, project: str, stack: str, preview: bool) -> None:
        self._declaration = declaration
        self._monitor = monitor
        self._root = f"{project}-{stack}"
        self._preview = preview

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
                first = dict.fromkeys([*item.after, *_refs(item.inputs), *filter(None, (item.parent, item.provider))])
                before = {key: tasks[key] for key in first}
                tasks[item.known_as] = asyncio.ensure_future(self._register(item, root.urn, before))
            made = dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))
        except BaseException:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            raise
        for item in self._declaration.resources:
            if item.component and made[item.known_as] is not None:
                await self._outputs(made[item.known_as].urn, {})
        await self._outputs(root.urn, _known(dict(self._declaration.outputs), made))
        await self._monitor.SignalAndWaitForShutdown(empty_pb2.Empty())

    async def _outputs(self, urn: str, outputs: Mapping[str, Any]) -> None:
        told = resource_pb2.RegisterResourceOutputsRequest(urn=urn, outputs=_struct(outputs))
        await self._monitor.RegisterResourceOutputs(told)

    async def _register(self, item: Declared, root: str, before: Mapping[str, asyncio.Task[Any]]) -> Any:
        made = {}
        for key, task in before.items():
            made[key] = await task
            if made[key] is None:
                return None
        leans_on = {name: [made[key].urn for key in dict.fromkeys(_refs(value))] for name, value in item.inputs.items()}
        urns = [made[key].urn for key in item.after] + [urn for found in leans_on.values() for urn in found]
        answer = await self._monitor.RegisterResource(
            resource_pb2.RegisterResourceRequest(
                type=item.type,
                name=item.name,
                parent=made[item.parent].urn if item.parent else root,
                custom=not item.component,
                object=_struct({name: self._value(value, made) for name, value in item.inputs.items()}),
                protect=item.protect,
                dependencies=list(dict.fromkeys(urns)),
                propertyDependencies={
                    name: resource_pb2.RegisterResourceRequest.PropertyDependencies(urns=found)
                    for name, found in leans_on.items()
                },
                provider=_provider(made[item.provider]) if item.provider else "",
                version=item.version,
                ignoreChanges=item.ignore,
                deleteBeforeReplace=bool(item.alone),
                deleteBeforeReplaceDefined=item.alone is not None and not item.component,
                acceptSecrets=True,
                acceptResources=True,
                supportsPartialValues=True,
                supportsResultReporting=True,
            )
        )
        return answer if answer.result == resource_pb2.SUCCESS else None

    def _value(self, value: Any, made: Mapping[str, Any]) -> Any:
        """An input with what others gave in the place of each `Ref`; only a preview may not know that yet."""
        if isinstance(value, Ref):
            found = _member(made[value.resource], value.member)
            if found == UNKNOWN and not self._preview:
                raise ValueError(f"{value.resource} was made, but its provider does not say its {value.member}")
            return found
        if isinstance(value, Mapping):
            return {name: self._value(member, made) for name, member in value.items()}
        return [self._value(item, made) for item in value] if isinstance(value, list) else value


def _refs(value: Any) -> Iterator[str]:
    """The key of every resource that a value leans on."""
    if isinstance(value, Ref):
        yield value.resource
    elif isinstance(value, Mapping | list):
        for member in value.values() if isinstance(value, Mapping) else value:
            yield from _refs(member)


def _provider(answer: Any) -> str:
    return f"{answer.urn}::{answer.id or UNKNOWN}"


def _member(answer: Any, name: str) -> Any:
    """What a registered resource says; what it does not say is not known yet."""
    if answer is None:
        return UNKNOWN
    if name == "id":
        return answer.id or UNKNOWN
    return _plain(answer.object[name]) if name in answer.object else UNKNOWN


def _known(value: Any, made: Mapping[str, Any]) -> Any:
    if isinstance(value, Ref):
        return _member(made[value.resource], value.member)
    if isinstance(value, Mapping):
        return {name: _known(member, made) for name, member in value.items()}
    return [_known(item, made) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, struct_pb2.Struct | struct_pb2.ListValue | struct_pb2.Value):
        return json_format.MessageToDict(value)
    return value


def _struct(value: Mapping[str, Any]) -> struct_pb2.Struct:
    """A property map without null members, as the SDK sends it."""
    made = struct_pb2.Struct()
    made.update({name: member for name, member in value.items() if member is not None})
    return made


__all__ = ["UNKNOWN", "DeclaredProgram", "run_declaration"]
