"""Programs on AWS under Pulumi's mocks: what they make is their outline, with arguments that the SDK knows."""

from __future__ import annotations

import asyncio
import inspect
import json
import typing
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks
from pulumi.runtime.stack import run_pulumi_func

from pulumi_qnsp.components.aws import class_of
from pulumi_qnsp.components.aws_balancer import BalancerArgs, balancer
from pulumi_qnsp.components.aws_fleet import FleetArgs, fleet
from pulumi_qnsp.components.aws_foundation import FoundationArgs, foundation
from pulumi_qnsp.components.aws_keys import keys
from pulumi_qnsp.components.children import Child, Ref, ordered
from qnsp_policy.pipeline.engine.programs import outlines, program
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.testing.aws_examples import CLOUD_TEMPLATES, NETWORK, initialised, planned, resolved, units_of
from qnsp_stacks.aws_outline import keys_args
from tests.stacks.monitors import CASES


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Unit]]:
    folder = tmp_path_factory.mktemp("aws")
    return {t: units_of(planned(initialised(folder, t))) for t in CLOUD_TEMPLATES}


class Recorder(mocks.Mocks):
    """Remembers every resource a program registers."""

    def __init__(self) -> None:
        self.made: list[mocks.MockResourceArgs] = []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.made.append(args)
        more = {"arn": f"arn:{args.name}", "keyId": "k", "assurance": "a", "dnsName": "d", "latestVersion": 1}
        return f"{args.name}-id", {**args.inputs, **more}

    def call(self, args: mocks.MockCallArgs) -> Any:
        return {}


@pytest.mark.parametrize(("template", "name"), CASES)
def test_outline_is_what_the_program_makes(
    template: str, name: str, units: Mapping[str, Mapping[str, Unit]], loop: asyncio.AbstractEventLoop
) -> None:
    """Same resources, and every security property is an input of the resource as the engine shows it."""
    planned_unit = units[template][name]
    unit = resolved(planned_unit, NETWORK)
    recorder = Recorder()
    mocks.set_mocks(recorder)
    loop.run_until_complete(run_pulumi_func(program(unit)))
    made = {(args.typ, args.name): args for args in recorder.made if not args.typ.startswith("pulumi:providers:")}
    # The outline is made before the platform is there; what the network will be called must not stand in it.
    for steps in (outlines()[unit.program](planned_unit), outlines()[unit.program](unit)):
        assert sorted(made) == sorted((step.type, step.name) for step in steps)
        for step in steps:
            for member, value in step.security.items():
                assert made[step.type, step.name].inputs[member] == value, (step.name, member)
    secured = [step for step in outlines()[unit.program](planned_unit) if step.security]
    assert secured


def test_every_aws_program_is_held_against_its_outline(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """A new module cannot go without the test above."""
    held = {units[template][name].program for template, name in CASES}
    assert sorted(held) == sorted(name for name in outlines() if name.startswith("aws-"))


def _children(unit: Unit) -> list[Child]:
    inputs = unit.inputs
    found: list[Child] = []
    if "foundation" in inputs:
        found += foundation(FoundationArgs.of(inputs["foundation"]))
    if "keys" in inputs:
        found += keys(keys_args(inputs))
    if "fleet" in inputs:
        found += fleet(FleetArgs.of(inputs["fleet"], inputs["network"]))
    if "balancer" in inputs:
        found += balancer(BalancerArgs.of(inputs["balancer"], inputs["network"]))
    return found


def _arguments(cls: Any) -> Mapping[str, Any]:
    return inspect.signature(cls).parameters


def _nested(annotation: Any) -> Any:
    """The `...Args` class within an annotation, if there is one."""
    for part in typing.get_args(annotation):
        if (found := _nested(part)) is not None:
            return found
    return annotation if inspect.isclass(annotation) and annotation.__name__.endswith("Args") else None


def _unknown(cls: Any, value: Any, where: str, hints: Mapping[str, Any]) -> list[str]:
    found = []
    for name, member in value.items():
        if name not in _arguments(cls):
            found.append(f"{where}.{name}")
            continue
        inner = _nested(hints.get(name))
        for item in member if isinstance(member, list) else [member]:
            if inner is not None and isinstance(item, dict):
                found += _unknown(inner, item, f"{where}.{name}", _hints(inner))
    return found


def _hints(cls: Any, member: str = "__init__") -> Mapping[str, Any]:
    # The SDK's aliases name Pulumi's own types by text.
    return typing.get_type_hints(getattr(cls, member), localns={"Output": pulumi.Output, "T": typing.TypeVar("T")})


@pytest.mark.parametrize("template", CLOUD_TEMPLATES)
def test_arguments_are_those_of_the_installed_sdk(template: str, units: Mapping[str, Mapping[str, Unit]]) -> None:
    """Nested ones too: a misspelt argument would be dropped without a word by a mock."""
    for unit in units[template].values():
        if unit.program.startswith("aws-"):
            for child in _children(unit):
                cls = class_of(child.type)
                hints = _hints(cls, "_internal_init")
                names = inspect.signature(cls._internal_init).parameters
                assert not set(child.inputs) - set(names), child.name
                for name, value in child.inputs.items():
                    inner = _nested(hints[name])
                    for item in value if isinstance(value, list) else [value]:
                        if inner is not None and isinstance(item, dict):
                            assert _unknown(inner, item, f"{child.name}.{name}", _hints(inner)) == []


def test_instances_are_the_attesters_they_claim_and_admit_nobody(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """Enclave option, SEV-SNP, IMDSv2 with one hop, encrypted disks, no SSH, no public address, no key pair."""
    wanted: dict[tuple[str, str], dict[str, Any]] = {
        ("aws-nitro", "enclave/triage"): {"enclave_options": {"enabled": True}},
        ("aws-snp", "enclave/batch"): {"cpu_options": {"amd_sev_snp": "enabled"}},
        ("aws-nitrotpm-gpu", "enclave/trainer"): {"instance_type": "p5.48xlarge", "image_id": "ami-0123456789abcdef0"},
    }
    for (template, name), expected in wanted.items():
        children = {child.type.split(":")[2]: child for child in _children(units[template][name])}
        inputs = children["LaunchTemplate"].inputs
        assert expected.items() <= inputs.items()
        assert inputs["metadata_options"]["http_tokens"] == "required"
        assert inputs["metadata_options"]["http_put_response_hop_limit"] == 1
        assert inputs["block_device_mappings"][0]["ebs"]["encrypted"] == "true"
        assert "key_name" not in inputs
        ports = {rule["from_port"] for rule in children["SecurityGroup"].inputs["ingress"]}
        assert 22 not in ports
        hook = children["Group"].inputs["initial_lifecycle_hooks"][0]
        assert hook["default_result"] == "ABANDON"
        assert children["Group"].inputs["instance_refresh"]["preferences"]["min_healthy_percentage"] == 100


def test_the_network_has_no_way_in(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """No internet gateway, no NAT, no public address; the balancers are internal and end no TLS."""
    made = _children(units["aws-nitro"]["platform/cloud"])
    kinds = {child.type.split(":")[2] for child in made}
    assert not kinds & {"InternetGateway", "NatGateway", "Eip"}
    assert all(child.inputs["map_public_ip_on_launch"] is False for child in made if child.type.endswith(":Subnet"))
    default = next(child for child in made if child.type.endswith(":DefaultSecurityGroup"))
    assert default.inputs["ingress"] == default.inputs["egress"] == []
    ways = {child.name for child in made if child.type.endswith(":VpcEndpoint") and child.inputs["policy"]}
    assert ways == {f"endpoint-{name}" for name in ("s3", "kms", "sts", "logs", "ecr.api", "ecr.dkr", "autoscaling")}
    for child in _children(units["aws-nitro"]["broker/main"]):
        if child.type.endswith(":Listener"):
            assert child.inputs["protocol"] == "TCP"
            assert "certificate_arn" not in child.inputs


def test_a_kept_zone_gets_a_record_and_an_address_does_not(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """The name of the document leads to the balancer; without a zone it is yours to point."""
    inputs = units["aws-nitro"]["endpoint/triage"].inputs
    assert inputs["balancer"] == {
        "name": "qnsp-aws-nitro-triage", "port": 8443, "internal": True, "protocol": "TCP", "host": "triage.clinic.example", "zone": None,
    }  # fmt: skip
    assert not [c for c in balancer(BalancerArgs.of(inputs["balancer"], NETWORK)) if "route53" in c.type]
    made = balancer(BalancerArgs.of({**inputs["balancer"], "zone": "Z0123456789ABCDEFGHIJ"}, NETWORK))
    record = made[-1]
    assert record.type == "aws:route53/record:Record"
    assert (record.inputs["name"], record.inputs["type"]) == ("triage.clinic.example", "A")
    assert record.inputs["aliases"][0]["name"] == Ref("balancer", "dns_name")
    assert not record.inputs["allow_overwrite"]
    hints = _hints(class_of(record.type), "_internal_init")
    assert not set(record.inputs) - set(hints)


def test_user_data_holds_policy_text_nowhere_and_starts_no_debug_enclave(
    units: Mapping[str, Mapping[str, Unit]],
) -> None:
    """A parent is the adversary: what it reads is public, and the enclave runs without --debug-mode."""
    data = units["aws-nitro"]["enclave/triage"].inputs["fleet"]["userData"]
    assert "--debug-mode" not in data
    assert "nitro-cli run-enclave" in data
    assert "sha256sum -c" in data
    assert "kms:" not in json.dumps(data)


def test_a_child_that_leans_on_a_later_one_is_our_mistake() -> None:
    """Told at once, not by the engine."""
    with pytest.raises(ValueError, match="before later"):
        ordered([Child("aws:kms/alias:Alias", "a", {"target_key_id": Ref("later")})])
