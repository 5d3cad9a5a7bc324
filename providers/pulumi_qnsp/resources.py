"""Resource classes for programs: `qnsp:local:*`, `qnsp:broker:*`, `qnsp:gateway:*`. Typed inputs, all of them plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from pulumi_qnsp.broker import TYPES


class Supervisor(pulumi.CustomResource):
    """The process manager of a local platform's run folder."""

    pid: pulumi.Output[int]
    socket: pulumi.Output[str]

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qnsp:local:Supervisor", name, {**inputs, "pid": None}, opts)


class Process(pulumi.CustomResource):
    """A supervised process; inputs are those of `qnsp_policy.pipeline.world.local.process_inputs`."""

    pid: pulumi.Output[int]

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qnsp:local:Process", name, {**inputs, "pid": None}, opts)


class BrokerObject(pulumi.CustomResource):
    """An object at a broker; inputs are those of `pulumi_qnsp.broker.object_inputs`."""

    digest: pulumi.Output[str]

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TYPES[inputs["kind"]], name, dict(inputs), opts)


class Endpoint(pulumi.CustomResource):
    """A served endpoint, there when its gateway answers."""

    url: pulumi.Output[str]
    keyId: pulumi.Output[str]  # noqa: N815 - as the provider names it
    assurance: pulumi.Output[str]

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qnsp:gateway:Endpoint", name, {**inputs, "keyId": None, "assurance": None}, opts)


__all__ = ["BrokerObject", "Endpoint", "Process", "Supervisor"]
