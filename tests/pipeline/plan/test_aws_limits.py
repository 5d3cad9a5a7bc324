"""What AWS would refuse in the middle of an apply is refused at its line: contradictions, shared names, policies that do not fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulumi_qnsp.components.aws_foundation import FoundationArgs, foundation
from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.pipeline.plan.lowering.aws_limits import (
    MAX_DATA_RESOURCES,
    MAX_ENDPOINT,
    MAX_INLINE,
    refuse_large_policies,
)
from qnsp_policy.pipeline.trust.aws_names import Names
from qnsp_policy.testing.aws_examples import initialised, planned, units_of


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return initialised(tmp_path_factory.mktemp("limits"), "aws-nitro")


def _to(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def _more(line: str) -> Callable[[str], str]:
    return _to("  tags: {owner: clinic}\n", f"  tags: {{owner: clinic}}\n  {line}\n")


CASES: list[tuple[str, str, Callable[[str], str], str, str]] = [
    ("partition", "platform.yaml", _more("partition: aws-cn"), "QNSP-PLN-240", "partition aws, not aws-cn"),
    ("region", "platform.yaml", _to("region: eu-west-1\n", "region: us-gov-west-1\n"), "QNSP-PLN-240", "aws-us-gov"),
    ("role-account", "platform.yaml", _to("012345678901:role/qnsp-apply", "999999999999:role/qnsp-apply"), "QNSP-PLN-240", "of account 999999999999"),
    ("admin-account", "platform.yaml", _to("012345678901:role/qnsp-key-admin", "999999999999:role/qnsp-key-admin"), "QNSP-PLN-240", "of account 999999999999"),
    ("admin-partition", "platform.yaml", _to("arn:aws:iam::012345678901:role/qnsp-key", "arn:aws-cn:iam::012345678901:role/qnsp-key"), "QNSP-PLN-240", "partition aws-cn"),
    ("boundary", "platform.yaml", _more("boundary: arn:aws:iam::999999999999:policy/limit"), "QNSP-PLN-240", "999999999999"),
    ("zone", "platform.yaml", _more("zones: [eu-west-1a, us-east-1a]"), "QNSP-PLN-240", "us-east-1a is no availability zone of eu-west-1"),
    ("local-zone", "platform.yaml", _more("zones: [eu-west-1-waw-1a]"), "QNSP-PLN-240", "local zone"),
    ("zone-twice", "platform.yaml", _more("zones: [eu-west-1a, eu-west-1a]"), "QNSP-PLN-240", "named twice"),
    ("no-block", "platform.yaml", _more("cidr: banana"), "QNSP-PLN-240", "no block of IPv4"),
    ("host-bits", "platform.yaml", _more("cidr: 10.60.1.0/16"), "QNSP-PLN-240", "host bits"),
    ("small-block", "platform.yaml", _more("cidr: 10.60.0.0/24"), "QNSP-PLN-240", "a /20 for each of 2 zones"),
    ("large-block", "platform.yaml", _more("cidr: 10.0.0.0/8"), "QNSP-PLN-240", "a /16 at most"),
    ("vpc-alone", "platform.yaml", _more("vpc: vpc-0123456789abcdef0"), "QNSP-PLN-240", "named together"),
    ("subnets-alone", "platform.yaml", _more("subnets: [subnet-0123456789abcdef0]"), "QNSP-PLN-240", "named together"),
    ("no-vpc-id", "platform.yaml", _more("vpc: mine\n  subnets: [subnet-0123456789abcdef0]"), "QNSP-PLN-240", "no id of AWS"),
    ("flow-log", "fleet.yaml", lambda text: text.replace("name: triage}\nspec:\n  platform", "name: flow}\nspec:\n  platform").replace("Enclave/triage", "Enclave/flow"), "QNSP-PLN-241", "log group /qnsp/aws-nitro/flow"),
    ("service-role", "fleet.yaml", lambda text: text.replace("name: triage}\nspec:\n  platform", "name: cloud-flow-logs}\nspec:\n  platform").replace("Enclave/triage", "Enclave/cloud-flow-logs"), "QNSP-PLN-241", "role qnsp-aws-nitro-cloud-flow-logs"),
    ("security-group", "fleet.yaml", lambda text: text.replace("name: triage}\nspec:\n  platform", "name: cloud-endpoints}\nspec:\n  platform").replace("Enclave/triage", "Enclave/cloud-endpoints"), "QNSP-PLN-241", "security group"),
    ("residency", "platform.yaml", _to("regions: [eu-west-1]", "regions: [us-east-1]"), "QNSP-PLN-245", "no AWS platform lies in a region of Tenant/clinic: us-east-1"),
    ("every-object", "artefacts.yaml", _to("s3://clinic-artefacts/triage.eif", "s3://clinic-artefacts/*.eif"), "QNSP-PLN-243", "reads as many"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "change", "code", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_aws_does_not_take_is_refused_at_its_line(
    file: str, change: Callable[[str], str], code: str, says: str, example: Path, tmp_path: Path
) -> None:
    """Offline, with what would work."""
    root = tmp_path / "w"
    shutil.copytree(example, root)
    with pytest.raises(OperatorError) as caught:
        planned(root, changes={file: change})
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.next_step
    place = caught.value.place
    assert place is not None
    assert place.file == file
    assert place.line


def test_two_platforms_of_one_account_and_region_are_one(example: Path, tmp_path: Path) -> None:
    """Their buckets would have one name."""
    root = tmp_path / "w"
    shutil.copytree(example, root)

    def second(text: str) -> str:
        first = text.split("\n---\n", maxsplit=1)[0]
        return text + "\n---\n" + first.replace("metadata: {name: cloud}", "metadata: {name: cloud-two}")

    with pytest.raises(OperatorError) as caught:
        planned(root, changes={"platform.yaml": second})
    assert caught.value.code == "QNSP-PLN-241"
    assert "Platform/cloud-two and Platform/cloud would both have the bucket" in caught.value.message


def test_names_are_those_that_the_program_gives(example: Path) -> None:
    """What is held apart is what is made."""
    inputs = units_of(planned(example))["platform/cloud"].inputs["foundation"]
    names = Names("aws-nitro", "cloud", "012345678901", "eu-west-1", "aws")
    made = {child.name: child.inputs for child in foundation(FoundationArgs.of(inputs))}
    assert made["flow-logs-role"]["name"] == names.service_role("flow-logs")
    assert made["endpoints"]["name"] == names.doors("endpoints")
    assert made["flow-logs"]["name"] == names.log_group("flow")
    assert made["trail"]["name"] == names.foundation


@pytest.mark.parametrize(
    ("roles", "endpoints", "objects", "says"),
    [
        ([{"name": "r", "policy": {"x": "y" * MAX_INLINE}}], {}, [], f"AWS takes {MAX_INLINE}"),
        ([], {"s3": {"x": "y" * MAX_ENDPOINT}}, [], f"AWS takes {MAX_ENDPOINT}"),
        ([], {}, ["o"] * (MAX_DATA_RESOURCES + 1), "251 objects; AWS takes 250"),
    ],
    ids=["role", "endpoint", "trail"],
)
def test_a_policy_that_aws_would_not_store_is_refused(roles: Any, endpoints: Any, objects: Any, says: str) -> None:
    """At the limit it passes; one more is refused, with the limit."""
    place = Place("platform.yaml", 5)
    with pytest.raises(OperatorError) as caught:
        refuse_large_policies(roles, endpoints, objects, lambda: place, "Platform/cloud")
    assert caught.value.code == "QNSP-PLN-242"
    assert says in caught.value.message
    fits = [{"name": role["name"], "policy": {"x": "y" * (MAX_INLINE - len('{"x":""}'))}} for role in roles]
    refuse_large_policies(fits, {}, objects[:MAX_DATA_RESOURCES], lambda: place, "Platform/cloud")
