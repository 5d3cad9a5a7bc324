"""A stand-in for the plugin `pulumi-resource-aws`, for tests only: the real one cannot be had from a package registry.

Serves the resource types that our programs use, by boto3, against whatever AWS_ENDPOINT_URL names (an AWS-shaped server on loopback).
Like the real one it marks nested inputs with `__defaults`, refuses another account than the one allowed, takes on roles, reads
before it compares, imports, and returns what AWS computed. It refuses arguments that it does not carry out. It is not the real provider:
what passes here was never held against AWS.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pulumi.provider.experimental.provider as api
from botocore.exceptions import BotoCoreError, ClientError
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from pulumi_qnsp.values import UNKNOWN, plain_map, wrap, wrap_map
from tests.plugins.aws import fleets, identities, network, records
from tests.plugins.aws.kind import GONE, Json, Kind, settled
from tests.plugins.aws.session import Aws

VERSION = "7.51.1"
KINDS: Mapping[str, Kind] = {
    **network.KINDS, **identities.KINDS, **records.KINDS, **fleets.KINDS
}  # fmt: skip
DIES_AT = "STAND_IN_DIES_AT"
"""Part of the name of the resource at whose creation the plugin's process ends: before it is made, or, with `after:` in front, after."""

READS_AS = "STAND_IN_READS_AS"
"""`<lie>:<part of a resource's name>`: what a read of it says: `gone`, `other` (another text in every tag), `late` (the truth, seconds later)."""
_LATE_SECONDS = 3

IDLE = "STAND_IN_IDLE"
"""Set to anything: creations ask nobody and answer at once, so that what is left of an apply is the engine's own time."""
_IDLE_OUTPUTS: Json = {
    "arn": "arn", "keyId": "key", "dnsName": "name", "zoneId": "zone", "latestVersion": 1, "prefixListId": "list",
}  # fmt: skip


def _marked(value: Any, *, top: bool = True) -> Any:
    """Inputs as the real provider hands them on: every object carries `__defaults`."""
    if isinstance(value, dict):
        return {name: member if name == "tags" else _marked(member, top=False) for name, member in value.items()} | {
            "__defaults": []
        }
    return [_marked(item, top=False) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items() if name != "__defaults"}
    return [_plain(item) for item in value] if isinstance(value, list) else value


class StandIn(api.Provider):
    """Pulumi's calls onto the kinds."""

    version = VERSION

    def __init__(self) -> None:
        self._args: Json = {}
        self._aws: Aws | None = None
        self._begun = threading.Lock()

    async def get_schema(self, request: api.GetSchemaRequest) -> api.GetSchemaResponse:
        del request
        resources = {token: {"isComponent": False} for token in KINDS}
        return api.GetSchemaResponse(json.dumps({"name": "aws", "version": VERSION, "resources": resources}))

    async def check_config(self, request: api.CheckRequest) -> api.CheckResponse:
        return api.CheckResponse(request.new_inputs)

    async def diff_config(self, request: api.DiffRequest) -> api.DiffResponse:
        del request
        return api.DiffResponse(changes=False)

    async def configure(self, request: api.ConfigureRequest) -> api.ConfigureResponse:
        self._args = plain_map(request.args)
        return api.ConfigureResponse()

    async def check(self, request: api.CheckRequest) -> api.CheckResponse:
        kind = _kind(request.urn)
        inputs = {**kind.defaults, **plain_map(request.new_inputs)}
        if strange := sorted(set(inputs) - kind.arguments - {"__defaults"}):
            raise ValueError(f"the stand-in does not carry out {', '.join(strange)} of {_type_of(request.urn)}")
        return api.CheckResponse({name: _wrapped(value) for name, value in _marked(inputs).items()})

    async def diff(self, request: api.DiffRequest) -> api.DiffResponse:
        kind = _kind(request.urn)
        old, new = _plain(plain_map(request.old_state)), _plain(plain_map(request.new_inputs))
        ignored = set(request.ignore_changes)
        changed = sorted(name for name in new if old.get(name) != new[name] and name not in ignored)
        changed += sorted(name for name in set(old.get("__inputs", [])) - set(new) - ignored)
        replaced = [name for name in changed if kind.update is None or name in kind.replace]
        detailed = {
            name: api.PropertyDiff(api.PropertyDiffKind.UPDATE_REPLACE if name in replaced else api.PropertyDiffKind.UPDATE, input_diff=True)
            for name in changed
        }  # fmt: skip
        return api.DiffResponse(
            bool(changed), replaced, delete_before_replace=bool(replaced), diffs=changed, detailed_diff=detailed
        )

    async def create(self, request: api.CreateRequest) -> api.CreateResponse:
        if request.preview:
            return api.CreateResponse("", request.properties)
        inputs = _plain(plain_map(request.properties))
        if os.environ.get(IDLE):
            return api.CreateResponse(request.urn, wrap_map({**inputs, **_IDLE_OUTPUTS, "__inputs": sorted(inputs)}))
        found, more = await self._run(_kind(request.urn).create, inputs)
        return api.CreateResponse(found, wrap_map({**inputs, **more, "__inputs": sorted(inputs)}))

    async def read(self, request: api.ReadRequest) -> api.ReadResponse:
        kind, state = _kind(request.urn), plain_map(request.properties)
        lie, _, about = os.environ.get(READS_AS, "").partition(":")
        lie = lie if about in request.urn else ""
        if lie == "gone":
            return api.ReadResponse("", {}, {})
        if lie == "late":
            await asyncio.sleep(_LATE_SECONDS)
        try:
            seen = await self._run(kind.read, request.resource_id, _plain(state))
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            seen = None
        if seen is None:
            return api.ReadResponse("", {}, {})
        told = {name: value for name, value in settled(_plain(state), seen).items() if value is not None}
        if lie == "other":
            told["tags"] = dict.fromkeys(told.get("tags") or {}, "what nobody wrote")
        before = plain_map(request.inputs)
        # An import knows nothing before; then every argument that says something is an input.
        names = (
            set(before)
            if before
            else {name for name in told if name in kind.arguments and told[name] not in ("", [], {})}
        )
        inputs = {**before, **{name: value for name, value in told.items() if name in names}}
        kept = {name: value for name, value in state.items() if name not in seen}
        return api.ReadResponse(
            request.resource_id,
            wrap_map({**kept, **told, "__inputs": sorted(names - {"__defaults"})}),
            wrap_map(inputs),
        )

    async def update(self, request: api.UpdateRequest) -> api.UpdateResponse:
        if request.preview:
            return api.UpdateResponse(request.news)
        old, new = _plain(plain_map(request.olds)), _plain(plain_map(request.news))
        update = _kind(request.urn).update
        assert update is not None
        more = await self._run(update, request.resource_id, old, new)
        kept = {name: value for name, value in old.items() if name not in old.get("__inputs", [])}
        return api.UpdateResponse(wrap_map({**kept, **new, **more, "__inputs": sorted(new)}))

    async def delete(self, request: api.DeleteRequest) -> None:
        try:
            await self._run(_kind(request.urn).delete, request.resource_id, _plain(plain_map(request.properties)))
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise

    async def _run(self, function: Any, *arguments: Any) -> Any:
        def work() -> Any:
            with self._begun:
                # As soon as the first resources come they come together: one of them takes on the role.
                self._aws = self._aws or Aws(self._args)
            return function(self._aws, *arguments)

        return await asyncio.get_running_loop().run_in_executor(None, partial(work))


def _wrapped(value: Any) -> PropertyValue:
    """A property value, with what is not known before other resources exist kept so."""
    if value == UNKNOWN:
        return PropertyValue(Computed())
    if isinstance(value, Mapping):
        return PropertyValue({name: _wrapped(member) for name, member in value.items()})
    if isinstance(value, list):
        return PropertyValue([_wrapped(item) for item in value])
    return wrap(value)


def _type_of(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", maxsplit=1)[-1]


def _kind(urn: str) -> Kind:
    kind = KINDS.get(_type_of(urn))
    if kind is None:
        raise ValueError(f"the stand-in has no {_type_of(urn)}")
    return kind


class Servicer(ProviderServicer):
    """Pulumi's servicer with AWS's own words in errors."""

    async def _said(self, call: Any, request: Any, context: Any) -> Any:
        try:
            return await call(request, context)
        except (ClientError, BotoCoreError, ValueError, KeyError, TypeError) as error:
            await context.abort(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        told = os.environ.get(DIES_AT, "")
        dies = bool(told) and told.removeprefix("after:") in request.urn and not request.preview
        if dies and not told.startswith("after:"):
            os._exit(7)
        answer = await self._said(super().Create, request, context)
        if dies:
            os._exit(7)
        return answer

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Update, request, context)

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Delete, request, context)

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Read, request, context)

    async def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Diff, request, context)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._said(super().Check, request, context)


async def _serve(engine: str) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(
        Servicer([], VERSION, StandIn(), engine_address=engine), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


def install(folder: Path, python: str = sys.executable) -> Path:
    """Put an executable `pulumi-resource-aws` into a folder; the folder goes onto PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    plugin, root = folder / "pulumi-resource-aws", Path(__file__).parents[3]
    plugin.write_text(
        f'#!/bin/sh\nPYTHONPATH="{root}${{PYTHONPATH:+:$PYTHONPATH}}" exec "{python}" -m tests.plugins.aws.stand_in "$@"\n',
        encoding="utf-8",
    )
    plugin.chmod(0o755)
    return folder


if __name__ == "__main__":
    asyncio.run(_serve(next((argument for argument in sys.argv[1:] if ":" in argument), "")))
