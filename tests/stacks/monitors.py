"""What the engine's monitor is told of a unit: by its program in Pulumi's SDK, under Pulumi's mocks, and by its declaration."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_pulumi_func

from qnsp_policy.pipeline.engine.programs import program
from qnsp_policy.pipeline.engine.registration import run_declaration
from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Unit

COMPUTED: Mapping[str, Any] = {
    "arn": "a", "keyId": "k", "assurance": "s", "dnsName": "d", "zoneId": "z", "latestVersion": 7, "prefixListId": "pl",
}  # fmt: skip
"""What every resource is said to have become."""

Told = dict[tuple[str, str], dict[str, Any]]

CASES = [
    ("aws-nitro", "platform/cloud"),
    ("aws-nitro", "aws-keys/clinic"),
    ("aws-nitro", "broker/main"),
    ("aws-nitro", "enclave/triage"),
    ("aws-nitro", "endpoint/triage"),
    ("aws-nitrotpm-gpu", "enclave/trainer"),
    ("aws-snp", "enclave/batch"),
]
"""A template, and a unit of it: every program on AWS, and each kind of fleet."""


class _Answers(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return f"{args.name}-id", {**args.inputs, **COMPUTED}

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise AssertionError(f"a program asks for {args.token}: what it makes would depend on the day")


class _Monitor(mocks.MockMonitor):
    """Pulumi's own for mocks, which keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(_Answers())
        self.requests: list[Any] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        self.requests.append(request)
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


class Stub:
    """The same over the protocol's asynchronous calls."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.outputs: dict[str, Any] = {}

    async def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        urn = _NAMES.make_urn(request.parent, request.type, request.name)
        answer = resource_pb2.RegisterResourceResponse(urn=urn, id=f"{request.name}-id" if request.custom else "")
        answer.object.CopyFrom(request.object)
        answer.object.update(COMPUTED)
        return answer

    async def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        self.outputs[request.urn.split("::", 2)[2]] = json_format.MessageToDict(request.outputs)

    async def SignalAndWaitForShutdown(self, request: Any) -> Any:  # noqa: N802
        del request


_NAMES = mocks.MockMonitor(_Answers())


def by_sdk(unit: Unit, loop: asyncio.AbstractEventLoop) -> Told:
    """What the unit's program tells."""
    monitor = _Monitor()
    mocks.set_mocks(_Answers(), monitor=monitor)
    loop.run_until_complete(run_pulumi_func(program(unit)))
    return _told(monitor.requests)


def directly(declaration: Declaration, loop: asyncio.AbstractEventLoop) -> tuple[Told, Mapping[str, Any]]:
    """What the declaration tells, and the outputs by URN without project and stack."""
    stub = Stub()
    loop.run_until_complete(run_declaration(declaration, stub, project="project", stack="stack", preview=False))
    return _told(stub.requests), stub.outputs


def _told(requests: list[Any]) -> Told:
    requests = [one for one in requests if one.type != "pulumi:pulumi:Stack"]
    made = {
        (one.type, one.name): {
            "parent": "" if one.parent.split("::")[2:3] == ["pulumi:pulumi:Stack"] else one.parent,
            "custom": one.custom,
            "inputs": json_format.MessageToDict(one.object),
            "protect": one.protect,
            "dependencies": set(one.dependencies),
            "of inputs": {name: set(of.urns) for name, of in one.propertyDependencies.items() if of.urns},
            "provider": one.provider,
            "ignored": list(one.ignoreChanges),
            "deletes first": (one.deleteBeforeReplaceDefined, one.deleteBeforeReplace),
        }
        for one in requests
    }
    if len(made) != len(requests):
        raise AssertionError("a resource is told twice")
    return made


__all__ = ["COMPUTED", "Stub", "Told", "by_sdk", "directly"]
