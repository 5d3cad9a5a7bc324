"""The stand-in is honest: it carries out every argument of our programs, reads back what it made, and deletes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pulumi_qnsp.components.aws import class_of
from qnsp_policy.pipeline.engine.programs import resources
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.world.aws_permissions import ACTIONS
from qnsp_policy.testing.aws_examples import CLOUD_TEMPLATES, initialised, planned, units_of
from tests.plugins.aws.double import Double
from tests.plugins.aws.kind import GONE, same
from tests.plugins.aws.session import Aws
from tests.plugins.aws.stand_in import KINDS
from tests.plugins.aws.world import Made, made_units


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Unit]]:
    folder = tmp_path_factory.mktemp("examples")
    found = {}
    for template in CLOUD_TEMPLATES:
        every = units_of(planned(initialised(folder, template))).values()
        found[template] = [unit for unit in every if unit.program.startswith("aws-")]
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[Double]:
    with Double() as double:
        yield double


@pytest.fixture
def aws(server: Double, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Connects as the programs' provider would."""
    server.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return lambda platform: Aws({"region": platform["region"], "assumeRoles": [{"roleArn": platform["role"]}]})


@pytest.mark.parametrize("template", CLOUD_TEMPLATES)
def test_what_is_made_is_read_back_and_goes_again(template: str, units: Mapping[str, list[Unit]], aws: Any) -> None:
    """Every resource of every example: nothing differs after its creation, and after its deletion it is gone."""
    _, made = made_units(units[template], aws)
    provider = aws(units[template][0].inputs["platform"])
    everything: list[Made] = [item for unit in made.values() for item in unit.values()]
    for item in everything:
        seen = KINDS[item.resource.type].read(provider, item.id, {**item.inputs, **item.outputs})
        assert seen is not None, item.resource
        wrong = {
            name: (value, seen.get(name))
            for name, value in item.inputs.items()
            if not same(value, seen.get(name)) and name not in item.resource.ignore
        }
        assert wrong == {}, item.resource.name
    for item in reversed(everything):
        KINDS[item.resource.type].delete(provider, item.id, {**item.inputs, **item.outputs})
    left = [item.resource.name for item in everything if _there(provider, item)]
    # Settings of a bucket cannot be taken back: they go with it.
    assert left == []


def _there(provider: Aws, item: Made) -> bool:
    try:
        return KINDS[item.resource.type].read(provider, item.id, {**item.inputs, **item.outputs}) is not None
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE:
            return False
        raise


@pytest.mark.parametrize("template", CLOUD_TEMPLATES)
def test_every_type_and_argument_is_carried_out(template: str, units: Mapping[str, list[Unit]]) -> None:
    """No argument of a program is dropped by the stand-in, and it knows none that the SDK does not."""
    for unit in units[template]:
        for item in resources(unit):
            assert set(item.inputs) <= KINDS[item.type].arguments, item.name


@pytest.mark.parametrize("token", sorted(KINDS))
def test_arguments_are_those_of_the_installed_sdk(token: str) -> None:
    """By the engine's names, those that replace among them."""
    known = {_camel(name) for name in inspect.signature(class_of(token)._internal_init).parameters}
    assert KINDS[token].arguments <= known
    assert KINDS[token].replace <= KINDS[token].arguments


_SAME = {
    # The server names S3's calls by their address, and logs' tags by their older calls.
    "s3:PutBucket": "s3:CreateBucket", "s3:GetBucket": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration", "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketObject-lock": "s3:PutBucketObjectLockConfiguration",
    "s3:GetBucketObject-lock": "s3:GetBucketObjectLockConfiguration",
    "logs:ListTagsLogGroup": "logs:ListTagsForResource", "logs:TagLogGroup": "logs:TagResource",
    "ec2:DescribeManagedPrefixLists": "ec2:DescribePrefixLists",
}  # fmt: skip
_NO_CALL = {
    "iam:PassRole": "asked by IAM of whoever names a role",
    "ec2:RunInstances": "asked by Auto Scaling of whoever names a launch template (its User Guide, launch template permissions)",
    "cloudtrail:AddTags": "asked of a creation with tags",
    "elasticloadbalancing:AddTags": "asked of a creation with tags",
    "iam:ListRolePolicies": "the plugin's read of a role",
    "iam:ListAttachedRolePolicies": "the plugin's read of a role",
    "ec2:DescribeNetworkInterfaces": "the plugin's deletion of a group, which waits for what uses it",
    "autoscaling:StartInstanceRefresh": "a change of the template",
    "autoscaling:DescribeInstanceRefreshes": "our wait for members",
    "autoscaling:DescribeLifecycleHooks": "our reading of drift; the engine reads no hooks",
    "autoscaling:DescribeScalingActivities": "our wait for members",
    "ec2:CreateLaunchTemplateVersion": "a change of the template",
    "ec2:ModifyLaunchTemplate": "a change of the template",
}
"""Actions that these resources take although nothing here calls them."""
_GOES = ("Delete", "Detach", "Disassociate", "Remove", "Schedule")


def test_no_action_is_asked_of_a_role_that_nothing_calls(
    units: Mapping[str, list[Unit]], aws: Any, server: Double
) -> None:
    """What `plan --preflight` asks for is what making, reading and changing every resource of every example takes, and no action more."""
    called = set[str]()
    for every in units.values():
        server.reset()
        _, made = made_units(every, aws)
        provider = aws(every[0].inputs["platform"])
        items = [item for unit in made.values() for item in unit.values()]
        for item in items:
            kind, state = KINDS[item.resource.type], {**item.inputs, **item.outputs}
            kind.read(provider, item.id, state)
            if kind.update is not None:
                tags = item.inputs.get("tags")
                more = {"tags": {**tags, "more": "of them"}} if isinstance(tags, dict) else {}
                kind.update(provider, item.id, state, {**item.inputs, **more})
        called |= set(server.calls)
    called = {_SAME.get(one, one) for one in called if not one.startswith("sts:")}
    types = {item.type for every in units.values() for unit in every for item in resources(unit)}
    asked = {action for kind in types for action in ACTIONS[kind]}
    assert asked - called - set(_NO_CALL) == set()
    assert {one for one in called - asked if not one.partition(":")[2].startswith(_GOES)} == set()
    assert types | {"aws:route53/record:Record"} == set(ACTIONS)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def test_the_plugin_is_found_where_it_was_put(tmp_path: Path) -> None:
    """An executable of the name that the engine looks for."""
    from tests.plugins.aws.stand_in import install

    plugin = install(tmp_path / "plugins") / "pulumi-resource-aws"
    assert plugin.stat().st_mode & 0o111
