"""Each stack module's outline is what its program makes, under Pulumi's mocks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pulumi.runtime import mocks
from pulumi.runtime.stack import run_pulumi_func

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.pipeline.engine.programs import declaration, outlines, program
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.testing import engine_toys as toys

CONNECTION = {
    "address": "KeyBroker/main",
    "name": "main",
    "url": "https://127.0.0.1:8555",
    "tls": {"mode": "pinned", "key": {"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"}},
    "token": {"kty": "EC"},
    "adminKeyIds": ["abc"],
}


def an_object(kind: str, name: str, **more: Any) -> dict[str, Any]:
    value = {"name": name, "kind": kind}
    return {"kind": kind, "name": name, "digest": sha256_digest(jcs(value)), "object": value, **more}


UNITS = [
    toys.platform(),
    Unit(
        "broker/main",
        "broker",
        {
            "broker": CONNECTION,
            "processes": [toys.process("broker-main")],
            "objects": [an_object("trust-root", "current"), an_object("revocation", "r1")],
        },
        ("platform/lab",),
    ),
    Unit(
        "tenant/clinic",
        "tenant",
        {
            "tenant": {"name": "clinic"},
            "brokers": [
                {
                    "broker": CONNECTION,
                    "objects": [
                        an_object("release-policy", "clinic/model/minilm"),
                        an_object("resource", "clinic/model/minilm", protect=True),
                        an_object("tenant", "clinic"),
                    ],
                }
            ],
        },
        ("broker/main",),
    ),
    toys.enclave("a", toys.process("enclave-a-0-simulator"), toys.process("enclave-a-0-guest")),
    Unit(
        "endpoint/e",
        "endpoint",
        {
            "endpoint": {
                "name": "e",
                "url": "https://127.0.0.1:8443",
                "tls": {"mode": "in-process"},
                "readinessTimeoutSeconds": 5,
                "expected": {"tenant": "clinic", "configurationDigest": "sha256:1", "anchors": [], "alternatives": []},
            },
            "brokers": [{"broker": CONNECTION, "objects": [an_object("endpoint", "clinic/endpoint/e")]}],
        },
        ("enclave/a",),
    ),
]


class Recorder(mocks.Mocks):
    """Remembers every resource a program registers."""

    def __init__(self) -> None:
        self.made: list[mocks.MockResourceArgs] = []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.made.append(args)
        return f"{args.name}-id", {**args.inputs, "pid": 1, "keyId": "k", "assurance": "a"}

    def call(self, args: mocks.MockCallArgs) -> Any:
        return {}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.program)
def test_outline_is_what_the_program_makes(unit: Unit, loop: asyncio.AbstractEventLoop) -> None:
    """Same resources in the same order, and every security property is an input of the resource."""
    recorder = Recorder()
    mocks.set_mocks(recorder)
    loop.run_until_complete(run_pulumi_func(program(unit)))
    steps = outlines()[unit.program](unit)
    made = {(args.typ, args.name): args for args in recorder.made}
    assert sorted(made) == sorted((step.type, step.name) for step in steps)
    for step in steps:
        assert step.parent is None
        assert step.security
        for name, value in step.security.items():
            assert made[step.type, step.name].inputs[name] == value


def test_every_installed_program_is_held_against_its_outline() -> None:
    """A new module cannot go without the test above; those of AWS have a test file of their own."""
    assert sorted(p for p in outlines() if not p.startswith("aws-")) == sorted(unit.program for unit in UNITS)


def test_tenant_objects_come_in_the_order_that_releases_least() -> None:
    """The tenant first, a sealed key before the policy that releases it; and the key is protected."""
    unit = UNITS[2]
    made = declaration(unit)
    assert made is not None
    declared = made.resources
    assert [item.inputs["kind"] for item in declared] == ["tenant", "resource", "release-policy"]
    assert [item.protect for item in declared] == [False, True, False]
    assert declared[2].after == ("main/tenant/clinic", "main/resource/clinic/model/minilm")
