"""Units on AWS under Pulumi's mocks: what their declarations tell the engine is what their components tell it through Pulumi's SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest

from pulumi_qnsp.components.aws_provider import VERSION
from qnsp_policy.pipeline.engine.programs import declaration, outlines
from qnsp_policy.pipeline.engine.registration import UNKNOWN, run_declaration
from qnsp_policy.pipeline.plan.declaration import Declaration, Declared, Ref
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.testing.aws_examples import CLOUD_TEMPLATES, NETWORK, initialised, planned, resolved, units_of
from tests.stacks.monitors import CASES, Stub, by_sdk, directly

PROTECTED = {"aws:kms/key:Key", "aws:s3/bucket:Bucket"}
KEEPERS = {"aws:kms/key:Key", "aws:kms/alias:Alias"}
SECRETS = ("PRIVATE KEY", "AKIA", '"d":', '"secretKey"', '"accessKey"', '"password"')


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Unit]]:
    folder = tmp_path_factory.mktemp("aws")
    return {t: units_of(planned(initialised(folder, t))) for t in CLOUD_TEMPLATES}


@pytest.fixture
def unit(request: pytest.FixtureRequest, units: Mapping[str, Mapping[str, Unit]]) -> Unit:
    template, name = request.param
    return resolved(units[template][name], NETWORK)


def declared(unit: Unit) -> Declaration:
    found = declaration(unit)
    assert found is not None
    return found


def typed(urn: str) -> str:
    """The type of a parent; nothing for the stack itself."""
    return urn.split("::")[2].rpartition("$")[2] if urn else ""


@pytest.mark.parametrize("unit", CASES, indirect=True, ids="-".join)
def test_a_declaration_tells_what_the_components_tell(unit: Unit, loop: asyncio.AbstractEventLoop) -> None:
    """Types, names, parents, providers, protection, every input, what leans on what, what is ignored."""
    sdk = by_sdk(unit, loop)
    told, _ = directly(declared(unit), loop)
    assert sorted(told) == sorted(sdk)
    for key, one in told.items():
        assert one == sdk[key], key


@pytest.mark.parametrize("unit", CASES, indirect=True, ids="-".join)
def test_what_is_told_is_the_outline_of_the_plan(unit: Unit, loop: asyncio.AbstractEventLoop) -> None:
    """Each resource once, under the parent that the plan names, with every property that decides about trust."""
    told, _ = directly(declared(unit), loop)
    steps = outlines()[unit.program](unit)
    assert sorted((s.type, s.name) for s in steps) == sorted(k for k in told if k[0] != "pulumi:providers:aws")
    names = {name: kind for kind, name in told}
    for step in steps:
        one = told[step.type, step.name]
        assert typed(one["parent"]) == ("" if step.parent is None else names[step.parent])
        for member, value in step.security.items():
            assert one["inputs"][member] == value, (step.name, member)


@pytest.mark.parametrize("unit", CASES, indirect=True, ids="-".join)
def test_who_makes_what_and_what_is_kept(unit: Unit, loop: asyncio.AbstractEventLoop) -> None:
    """Keys by the key administrator and nobody else's role; keys and buckets protected; no secret in any input."""
    told, _ = directly(declared(unit), loop)
    roles = {
        name: json.loads(one["inputs"]["assumeRoles"])[0]["roleArn"]
        for (kind, name), one in told.items()
        if kind == "pulumi:providers:aws"
    }
    assert roles["aws"] == unit.inputs["platform"]["role"]
    assert roles.get("aws-key-admin") == unit.inputs.get("keyAdmin")
    for (kind, name), one in told.items():
        if kind == "pulumi:providers:aws":
            assert json.loads(one["inputs"]["allowedAccountIds"]) == [unit.inputs["platform"]["account"]]
        if kind.startswith("aws:"):
            by = "aws-key-admin" if kind in KEEPERS else "aws"
            assert one["provider"].split("::")[3] == by, name
            assert one["protect"] == (kind in PROTECTED)
            assert one["deletes first"] == (True, True)
        text = json.dumps(one["inputs"])
        assert not [secret for secret in SECRETS if secret in text], name
        assert one["ignored"] == (["targetGroupArns"] if _shares_its_targets(unit, kind) else [])


def _shares_its_targets(unit: Unit, kind: str) -> bool:
    return kind == "aws:autoscaling/group:Group" and "balancer" not in unit.inputs


OUTPUTS = {
    ("aws-nitro", "platform/cloud"): {
        "vpcId": "network-id", "subnetIds": ["subnet-eu-west-1a-id", "subnet-eu-west-1b-id"], "storagePrefixListId": "pl",
    },
    ("aws-nitro", "aws-keys/clinic"): {"keys": {"clinic/data/records@1": "a", "clinic/signing-root@1": "a"}},
    ("aws-nitro", "broker/main"): {"url": "https://broker.clinic.example:8555", "reachedAt": "d"},
    ("aws-nitro", "enclave/triage"): {"group": "qnsp-aws-nitro-triage"},
    ("aws-nitro", "endpoint/triage"): {"keyId": "k", "assurance": "s", "reachedAt": "d"},
}  # fmt: skip


@pytest.mark.parametrize(("unit", "outputs"), list(OUTPUTS.items()), indirect=["unit"])
def test_outputs_are_what_others_stand_in(
    unit: Unit, outputs: Mapping[str, Any], loop: asyncio.AbstractEventLoop
) -> None:
    """Of the stack, once everything is made; every component is told as done."""
    _, told = directly(declared(unit), loop)
    (stack,) = [told[name] for name in told if name.startswith("pulumi:pulumi:Stack::")]
    assert {name: stack[name] for name in outputs} == outputs
    parts = [item for item in declared(unit).resources if item.component]
    assert len(told) == 1 + len(parts)


def test_an_endpoint_may_be_named_as_a_part_of_its_passage(
    units: Mapping[str, Mapping[str, Unit]], loop: asyncio.AbstractEventLoop
) -> None:
    """Names are unique by type only: the gateway `targets` is not the target group."""
    unit = resolved(units["aws-nitro"]["endpoint/triage"], NETWORK)
    inputs = {**unit.inputs, "endpoint": {**unit.inputs["endpoint"], "name": "targets"}}
    told, _ = directly(declared(replace(unit, inputs=inputs)), loop)
    assert {kind for kind, name in told if name == "targets"} == {
        "aws:lb/targetGroup:TargetGroup",
        "qnsp:gateway:Endpoint",
    }


def test_the_plugin_asked_for_is_of_the_sdk_that_arguments_are_held_against() -> None:
    """The SDK is not imported to apply, so its version stands in our own text."""
    assert version("pulumi_aws") == VERSION


def _chain() -> Declaration:
    leaning = {"vpcId": Ref("network", "id"), "rules": [{"of": Ref("network", "arn")}]}
    return Declaration(
        (Declared("aws:ec2/vpc:Vpc", "network", {}, alone=None), Declared("aws:ec2/subnet:Subnet", "part", leaning)),
        {"arn": Ref("part", "arn")},
    )


class _Silent(Stub):
    """Says nothing about what it made."""

    async def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        answer = await super().RegisterResource(request)
        answer.id = ""
        answer.object.Clear()
        return answer


def _of(stub: Stub) -> Iterator[tuple[str, Any]]:
    return ((request.name, request) for request in stub.requests)


def test_a_preview_does_not_know_what_is_not_made_yet(loop: asyncio.AbstractEventLoop) -> None:
    """Every member that leans on it is unknown, and said to lean on it."""
    stub = _Silent()
    loop.run_until_complete(run_declaration(_chain(), stub, project="p", stack="s", preview=True))
    part = dict(_of(stub))["part"]
    assert part.object["vpcId"] == part.object["rules"][0]["of"] == UNKNOWN
    assert list(part.propertyDependencies["rules"].urns) == list(part.dependencies)


def test_a_provider_that_does_not_say_what_it_made_stops_the_rest(loop: asyncio.AbstractEventLoop) -> None:
    """Nothing is made with a hole in the place of what it leans on."""
    stub = _Silent()
    with pytest.raises(ValueError, match="network was made, but its provider does not say its id"):
        loop.run_until_complete(run_declaration(_chain(), stub, project="p", stack="s", preview=False))
    assert "part" not in dict(_of(stub))
