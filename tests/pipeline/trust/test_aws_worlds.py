"""Freshly minted workspaces, judged: what generated policies answer is what the grants say, for every kind of question.

`qnsp_policy/testing/aws_worlds.py` throws the dice and knows the answers; the evaluator of the tests says what the policies say. QNSP_WORLDS
is how many workspaces are judged, QNSP_SEED where their seeds begin: a failure names its seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest

from qnsp_policy.pipeline.model import build
from qnsp_policy.pipeline.plan.lowering.context import Lowering
from qnsp_policy.pipeline.plan.lowering.lower import lower
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.trust.aws_attested import IMAGE, PREFIX
from qnsp_policy.pipeline.trust.aws_key_policy import CONTEXT
from qnsp_policy.pipeline.trust.aws_organisation import MARK
from qnsp_policy.pipeline.trust.aws_releases import following_keys
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy, release_policies
from qnsp_policy.pipeline.trust.rollout import overlapping
from qnsp_policy.pipeline.world.recorded import RecordedState
from qnsp_policy.testing.aws_worlds import NOW, TIERS, ZEROS, Asked, Fleet, World, world
from qnsp_policy.testing.iam_evaluator import Request, allowed

FIRST, WORLDS = int(os.environ.get("QNSP_SEED", "0")), int(os.environ.get("QNSP_WORLDS", "24"))
SEEDS = range(FIRST, FIRST + WORLDS)
QUESTIONS = 60
"""Of each key, beside those whose answer is yes."""
ANY_IAM = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
FOREIGN = "arn:aws:iam::999999999999:role/qnsp/w/qnsp-w-near0"
OTHER_ACTIONS = ("kms:GenerateDataKey", "kms:GenerateDataKeyPair", "kms:DeriveSharedSecret", "kms:Encrypt", "kms:CreateGrant",
                 "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:PutKeyPolicy", "kms:ReplicateKey", "kms:ScheduleKeyDeletion")  # fmt: skip
Policies = Mapping[tuple[str, str], ReleasePolicy]


def policies_of(minted: World) -> Policies:
    return release_policies(effective_grants(build(minted.files())))


@cache
def lowered(seed: int) -> tuple[World, Mapping[str, Unit]]:
    """A world, and the units that a plan of it would hold."""
    minted = world(seed)
    workspace = build(minted.files())
    root = trust_root_value(workspace)
    grants = release_policies(effective_grants(workspace))
    return minted, lower(Lowering(workspace, grants, RecordedState(genesis=None), root, root, "", None))


def keys_of(units: Mapping[str, Unit]) -> dict[str, Mapping[str, Any]]:
    """Policies of the tenants' keys, by resource."""
    return {
        key["resource"]: key["policy"]
        for unit in units.values()
        if unit.program == "aws-keys"
        for key in unit.inputs["keys"]
        if key["usage"] == "ENCRYPT_DECRYPT"
    }


def document(asked: Asked) -> dict[str, str]:
    """The condition keys that a request with this document carries; KMS compares without regard to case."""
    if asked.kind == "nitro-enclave":
        return {(IMAGE if n == 0 else f"{PREFIX}PCR{n}"): value for n, value in asked.shown.items()}
    return {f"{PREFIX}NitroTPMPCR{n}": value for n, value in asked.shown.items()} if asked.kind else {}


def answer(policy: Mapping[str, Any], principal: str, asked: Asked, action: str = "kms:Decrypt") -> bool:
    """What the key's policy says to a caller with every IAM permission there is."""
    told = {f"kms:EncryptionContext:{CONTEXT}": asked.context, "aws:CurrentTime": f"{asked.at:%Y-%m-%dT%H:%M:%SZ}"}
    iam = [] if principal == FOREIGN else [ANY_IAM]
    return allowed(Request(principal, action, {**told, **document(asked)}), policy, iam)


def times(minted: World) -> list[datetime]:
    """The last and the first second of everything that a date decides."""
    dates = {NOW, *(fleet.expires for fleet in minted.fleets.values())}
    dates |= {d for grant in minted.grants for d in (grant.not_before, grant.not_after) if d is not None}
    return [NOW, *(date + timedelta(seconds=seconds) for date in sorted(dates) for seconds in (-1, 0, 1))]


def near_misses(dice: random.Random, minted: World, whole: Asked) -> Iterator[Asked]:
    """A whole tuple with one thing wrong; some are right all the same, which the oracle knows."""
    numbers = sorted(whole.shown)
    for number in numbers:
        yield replace(whole, shown={n: v for n, v in whole.shown.items() if n != number})
        yield replace(whole, shown={**whole.shown, number: f"{dice.getrandbits(384):096x}"})
        yield replace(whole, shown={**whole.shown, number: ZEROS})
    yield replace(whole, shown=dict.fromkeys(numbers, ZEROS))
    yield replace(whole, kind="", shown={})
    yield replace(whole, kind="nitro-tpm" if whole.kind == "nitro-enclave" else "nitro-enclave")
    yield replace(whole, shown={**whole.shown, 15: "ab" * 48})
    others = [one for fleet in minted.fleets.values() for one in fleet.tuples]
    yield replace(whole, shown={**whole.shown, **dice.choice(others)})
    yield replace(whole, shown={**dice.choice(others), numbers[-1]: whole.shown[numbers[-1]]})
    yield replace(whole, fleet=dice.choice(sorted(minted.fleets)))
    yield replace(whole, context=dice.choice([f"{t}/{key}" for t, keys in minted.keys.items() for key in keys]))
    yield replace(whole, resource=dice.choice([f"{t}/{key}" for t, keys in minted.keys.items() for key in keys]))
    for moment in times(minted):
        yield replace(whole, at=moment)


def wholes(minted: World) -> Iterator[Asked]:
    """Every tuple of every fleet before every key."""
    for tenant, keys in minted.keys.items():
        for key in keys:
            for fleet in minted.fleets.values():
                for one in fleet.tuples:
                    resource = f"{tenant}/{key}"
                    yield Asked(resource, fleet.name, fleet.attester, one, resource, NOW)


@pytest.mark.parametrize("seed", SEEDS)
def test_keys_open_for_what_grants_say_and_for_nothing_else(seed: int) -> None:
    """Whole tuples, and each with one register changed, missing or zero, of another fleet, kind, key, context or day."""
    minted, units = lowered(seed)
    policies, dice = keys_of(units), random.Random(seed)
    assert policies.keys() == {f"{t}/{key}" for t, keys in minted.keys.items() for key in keys}
    asked = list(wholes(minted))
    more = [one for whole in asked for one in near_misses(dice, minted, whole)]
    questions = [*asked, *dice.sample(more, min(len(more), QUESTIONS * len(policies)))]
    for one in questions:
        said = answer(policies[one.resource], minted.role(one.fleet), one)
        assert said is minted.opens(one), (seed, one)


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_but_a_fleet_opens_a_key_and_a_fleet_does_nothing_else(seed: int) -> None:
    """Root, both roles, brokers, a role of the same name elsewhere, with a fleet's own document: no plaintext; nor by another action."""
    minted, units = lowered(seed)
    dice = random.Random(seed)
    for resource, policy in keys_of(units).items():
        whole = [one for one in wholes(minted) if one.resource == resource]
        account = minted.accounts[minted.tenants[resource.split("/")[0]][1]][0]
        start = f"arn:aws:iam::{account}:"
        wrong = [f"{start}root", f"{start}role/qnsp-apply", f"{start}role/qnsp-key-admin", FOREIGN,
                 *(minted.role(broker) for broker in minted.brokers)]  # fmt: skip
        for one in dice.sample(whole, min(len(whole), 6)):
            assert not any(answer(policy, principal, one) for principal in wrong), (seed, one)
            for action in OTHER_ACTIONS:
                assert not answer(policy, minted.role(one.fleet), one, action), (seed, one, action)
        admin = f"{start}role/qnsp-key-admin"
        assert answer(policy, admin, whole[0], "kms:PutKeyPolicy")
        assert not answer(policy, f"{start}role/qnsp-apply", whole[0], "kms:PutKeyPolicy")
        assert answer(policy, f"{start}role/qnsp-apply", whole[0], "kms:Encrypt")


def changed(dice: random.Random, minted: World) -> tuple[World, str]:
    """Another image of one fleet: each register of it another value, where that may be."""
    name = dice.choice(sorted(one.name for one in minted.fleets.values() if one.attester != "sev-snp"))
    fleet = minted.fleets[name]
    tuples = tuple(
        {n: v if n == 12 and v == ZEROS else f"{dice.getrandbits(384):096x}" for n, v in one.items()}
        for one in fleet.tuples
    )
    return replace(minted, fleets={**minted.fleets, name: replace(fleet, tuples=tuples)}), name


@pytest.mark.parametrize("seed", SEEDS)
def test_while_a_fleet_is_replaced_its_old_and_its_new_values_open_and_afterwards_the_new_alone(seed: int) -> None:
    """In the middle of a rollout the answer is yes where it was before or will be; of other fleets nothing changes."""
    before, units = lowered(seed)
    dice = random.Random(seed)
    if all(fleet.attester == "sev-snp" for fleet in before.fleets.values()):
        return
    after, name = changed(dice, before)
    first, last = policies_of(before), policies_of(after)
    between = {
        key: overlapping(first[key], policy, {f"Enclave/{name}"}) if key in first else policy
        for key, policy in last.items()
    }
    inputs = [unit.inputs for unit in units.values() if unit.program == "aws-keys"]
    found = {
        when: {
            key["resource"]: key["policy"]
            for one in inputs
            for key in following_keys(one, before.name, policies)
            if key["usage"] == "ENCRYPT_DECRYPT"
        }
        for when, policies in (("between", between), ("after", last))
    }
    for one in (*wholes(before), *wholes(after)):
        role = before.role(one.fleet)
        if one.resource in found["between"]:
            both = before.opens(one) or after.opens(one)
            assert answer(found["between"][one.resource], role, one) is both, (seed, one)
            assert answer(found["after"][one.resource], role, one) is after.opens(one), (seed, one)


def may(role: Mapping[str, Any], principal: str, action: str, resource: str, **context: Any) -> bool:
    network = {"aws:SourceVpc": "vpc-1", "aws:Ec2InstanceSourceVpc": "vpc-1", "ec2:SourceInstanceARN": "i-1"}
    return allowed(Request(principal, action, {**network, **context}, resource), None, [role["policy"]])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fleets_role_does_what_its_own_members_need(seed: int) -> None:
    """Its image, its keys under their names and context, its log, its hook; of another fleet none of them, and nothing else at all."""
    minted, units = lowered(seed)
    roles = {
        role["enclave"].removeprefix("Enclave/"): role
        for unit in units.values()
        if unit.program == "aws-platform"
        for role in unit.inputs["foundation"]["roles"]
    }
    for fleet in minted.fleets.values():
        role, principal = roles[fleet.name], minted.role(fleet.name)
        account, region = minted.accounts[fleet.platform]
        for other in minted.fleets.values():
            own = other is fleet
            image = f"arn:aws:s3:::images/{other.name}.eif"
            assert may(role, principal, "s3:GetObject", image) is (own and fleet.attester == "nitro-enclave"), seed
            group = f"arn:aws:autoscaling:{region}:{account}:autoScalingGroup:u:autoScalingGroupName/qnsp-{minted.name}-{other.name}"
            same = minted.accounts[other.platform] == minted.accounts[fleet.platform]
            assert may(role, principal, "autoscaling:CompleteLifecycleAction", group) is (own and same)
            log = f"arn:aws:logs:{region}:{account}:log-group:/qnsp/{minted.name}/{other.name}:log-stream:s"
            assert may(role, principal, "logs:PutLogEvents", log) is own
        for tenant, keys in minted.keys.items():
            for key in keys:
                asked = opened_at_all(minted, fleet, f"{tenant}/{key}")
                alias = f"alias/qnsp/{minted.name}/{tenant}/{key}/v1"
                context = {"kms:ResourceAliases": [alias], f"kms:EncryptionContext:{CONTEXT}": f"{tenant}/{key}"}
                at = f"arn:aws:kms:{region}:{account}:key/1"
                assert may(role, principal, "kms:Decrypt", at, **context) is asked, (seed, fleet.name, tenant, key)
                assert not may(role, principal, "kms:GenerateDataKey", at, **context)
                assert not may(
                    role, principal, "kms:Decrypt", at, **{**context, "kms:ResourceAliases": ["alias/other"]}
                )
        for action in ("iam:PassRole", "ec2:RunInstances", "s3:PutObject", "sts:AssumeRole", "ssm:StartSession", "kms:PutKeyPolicy",
                       "kms:CreateGrant", "logs:DeleteLogGroup", "autoscaling:UpdateAutoScalingGroup", "ec2:CreateSnapshot"):  # fmt: skip
            assert not may(role, principal, action, "*"), (seed, fleet.name, action)
        assert not may(role, principal, "logs:PutLogEvents", log, **{"aws:SourceVpc": "vpc-of-others"})


def opened_at_all(minted: World, fleet: Fleet, resource: str) -> bool:
    """Whether a fleet's grants name a resource: its role may ask then, whatever comes of it."""
    return fleet.attester in {"nitro-enclave", "nitro-tpm"} and any(
        fleet.name in grant.fleets
        and any(
            resource.startswith(written[:-1]) if written.endswith("*") else written == resource
            for written in grant.resources
        )
        for grant in minted.grants
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_organisations_policies_know_their_workspace_and_no_other(seed: int) -> None:
    """Key administration apart, no delegation, no plaintext without evidence or in debug mode; other people's keys are untouched."""
    minted, units = lowered(seed)
    everything = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    for name, (account, region) in minted.accounts.items():
        policies = units[f"platform/{name}"].inputs["foundation"]["organisationPolicies"]
        start = f"arn:aws:iam::{account}:role"
        admin, apply, fleet = f"{start}/qnsp-key-admin", f"{start}/qnsp-apply", f"{start}/qnsp/x"
        shown = {IMAGE: "ab" * 48, f"{PREFIX}NitroTPMPCR12": ZEROS}
        for word, policy in policies.items():
            held = {"Statement": [*({**one, "Principal": "*"} for one in policy["Statement"]), everything]}

            def passes(principal: str, action: str, mark: str, held: Any = held, **context: str) -> bool:
                told = {f"aws:ResourceTag/{MARK}": mark, **context}
                return allowed(
                    Request(principal, action, told, f"arn:aws:kms:{region}:{account}:key/1"),  # noqa: B023
                    held,
                )

            for principal in (admin, apply, fleet):
                only = principal == admin
                assert passes(principal, "kms:PutKeyPolicy", minted.name) is only
                assert passes(principal, "kms:ScheduleKeyDeletion", minted.name) is only
                assert not passes(principal, "kms:CreateGrant", minted.name)
                for action in ("kms:PutKeyPolicy", "kms:CreateGrant", "kms:Decrypt"):
                    assert passes(principal, action, "of-others")
                of_resources = word == "resourceControlPolicy"
                assert passes(principal, "kms:Decrypt", minted.name) is not of_resources
                assert passes(principal, "kms:Decrypt", minted.name, **{IMAGE: ZEROS}) is not of_resources
                assert passes(principal, "kms:Decrypt", minted.name, **shown)


def test_the_dice_throw_what_is_to_be_judged() -> None:
    """Yes and no, both kinds of evidence, both tiers, several regions, dates and revocations, among the first worlds."""
    worlds = [world(seed) for seed in range(24)]
    answers = [one.opens(asked) for one in worlds for asked in wholes(one)]
    assert sum(answers) > 50
    assert answers.count(False) > 200
    assert {fleet.attester for one in worlds for fleet in one.fleets.values()} == {
        "nitro-enclave",
        "nitro-tpm",
        "sev-snp",
    }
    assert {tier for one in worlds for tier, _ in one.tenants.values()} == set(TIERS)
    assert any(len(one.accounts) > 1 for one in worlds)
    assert any(one.revoked for one in worlds)
    assert any(grant.not_before and grant.not_before > NOW for one in worlds for grant in one.grants)
