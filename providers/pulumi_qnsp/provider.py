"""The Pulumi provider `qnsp`: dispatches the engine's calls to the kinds, blocking work in threads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pulumi.provider.experimental.provider as api

from pulumi_qnsp.broker import TYPES, ObjectKind
from pulumi_qnsp.connect_edge import connect_broker, read_evidence, read_guests, wake_supervisor
from pulumi_qnsp.gateway import EndpointKind
from pulumi_qnsp.journal_edge import Journal
from pulumi_qnsp.kinds import Json, Kind, Setting
from pulumi_qnsp.local import ProcessKind, SupervisorKind
from pulumi_qnsp.values import plain_map, wrap_map
from qnsp_policy import __version__
from qnsp_policy.errors import PlanRefused

VERSION = __version__
THREADS = 32
"""Resources at work at once; what they do is wait."""


def default_kinds() -> dict[str, Kind]:
    """Every resource type of this package."""
    kinds: dict[str, Kind] = {
        "qnsp:local:Supervisor": SupervisorKind(),
        "qnsp:local:Process": ProcessKind(),
        "qnsp:gateway:Endpoint": EndpointKind(read_evidence, read_guests),
    }
    for kind, token in TYPES.items():
        kinds[token] = ObjectKind(kind, connect_broker, wake_supervisor)
    return kinds


class QnspProvider(api.Provider):
    """Serves the kinds to one engine run.

    Args:
        setting: where and for whom.
        kinds: resource types by token.
    """

    version = VERSION

    def __init__(self, setting: Setting, kinds: Mapping[str, Kind]) -> None:
        self._setting = setting
        self._kinds = kinds
        self._journal = Journal(setting.journal)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="qnsp-provider")

    async def get_schema(self, request: api.GetSchemaRequest) -> api.GetSchemaResponse:
        del request
        resources = {token: {"isComponent": False} for token in self._kinds}
        return api.GetSchemaResponse(json.dumps({"name": "qnsp", "version": VERSION, "resources": resources}))

    async def check(self, request: api.CheckRequest) -> api.CheckResponse:
        kind = self._kind(request.type)
        failures = kind.check(plain_map(request.new_inputs))
        return api.CheckResponse(request.new_inputs, [api.CheckFailure(name, reason) for name, reason in failures])

    async def diff(self, request: api.DiffRequest) -> api.DiffResponse:
        kind = self._kind(request.type)
        old, new = plain_map(request.old_state), plain_map(request.new_inputs)
        changes = await self._run(kind.diff, self._setting, old, new)
        detailed = {}
        for path, what in changes.properties.items():
            name = f"{what}_replace" if path in changes.replaces else what
            detailed[path] = api.PropertyDiff(api.PropertyDiffKind[name.upper()], input_diff=True)
        tops = sorted({path.split("[")[0] for path in changes.properties})
        return api.DiffResponse(
            changes=bool(changes.properties),
            replaces=sorted({path.split("[")[0] for path in changes.replaces}),
            # Names (a process, an object at a broker) are unique in the world: the old one has to go first.
            delete_before_replace=bool(changes.replaces),
            diffs=tops,
            detailed_diff=detailed,
        )

    async def create(self, request: api.CreateRequest) -> api.CreateResponse:
        if request.preview:
            return api.CreateResponse("", request.properties)
        kind = self._kind(request.type)
        inputs = plain_map(request.properties)
        self._hold(request.type, request.name, inputs)
        work = partial(kind.create, self._setting, request.urn, inputs)
        made = await self._run(self._journal.create, request.urn, kind.identity(inputs), inputs, work)
        resource_id, state = made
        return api.CreateResponse(resource_id, wrap_map(state))

    async def read(self, request: api.ReadRequest) -> api.ReadResponse:
        kind = self._kind(request.type)
        known = plain_map(request.properties)
        state = await self._run(kind.read, self._setting, request.urn, request.resource_id, known)
        if state is None:
            return api.ReadResponse("", {}, {})
        return api.ReadResponse(request.resource_id, wrap_map(state), request.inputs)

    async def update(self, request: api.UpdateRequest) -> api.UpdateResponse:
        if request.preview:
            return api.UpdateResponse(request.news)
        kind = self._kind(request.type)
        old, new = plain_map(request.olds), plain_map(request.news)
        work = partial(kind.update, self._setting, request.urn, old, new)
        state = await self._run(self._journal.update, request.urn, request.resource_id, new, work)
        return api.UpdateResponse(wrap_map(state))

    async def delete(self, request: api.DeleteRequest) -> None:
        kind = self._kind(_type_of(request.urn))
        known = plain_map(request.properties)
        await self._run(kind.delete, self._setting, request.urn, request.resource_id, known)

    async def cancel(self) -> None:
        self._setting.cancelled.set()

    def _hold(self, token: str, name: str, inputs: Json) -> None:
        """A new unit is made by what its plan holds, step by step, whatever its program asks for."""
        if self._setting.held is None:
            return
        security = self._setting.held.get((token, name))
        if security is None:
            raise PlanRefused("QNSP-PLN-102", f"create of {token} {name} is not in the plan", next_step="plan again")
        for member, value in security.items():
            if inputs.get(member) != value:
                raise PlanRefused(
                    "QNSP-PLN-102", f"{token} {name}: {member} is another than in the plan", next_step="plan again"
                )

    def _kind(self, token: str) -> Kind:
        try:
            return self._kinds[token]
        except KeyError:
            raise ValueError(f"package qnsp has no resource type {token}") from None

    async def end(self) -> None:
        """Take no more work; returns when what is in hand has ended."""
        self._setting.cancelled.set()
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    async def _run(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))


def _type_of(urn: str) -> str:
    # urn:pulumi:<stack>::<project>::<parent type>$<type>::<name>
    return urn.split("::")[2].rsplit("$", maxsplit=1)[-1]


__all__ = ["VERSION", "QnspProvider", "default_kinds"]
