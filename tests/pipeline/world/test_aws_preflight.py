"""Preflight asks and never takes silence for a yes. Answers are hand-made, in the shape of the references of EC2, IAM, STS, SSM and
Service Quotas; moto simulates no policy and refuses no combination."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from pulumi_qnsp.components.aws_balancer import BalancerArgs, balancer
from qnsp_policy.pipeline.world.aws_permissions import ACTIONS, KEYS
from qnsp_policy.pipeline.world.aws_preflight_edge import preflight
from qnsp_policy.testing.aws_examples import CLOUD_TEMPLATES, NETWORK, initialised, planned

ACCOUNT = "012345678901"
ROLE, ADMIN = f"arn:aws:iam::{ACCOUNT}:role/qnsp-apply", f"arn:aws:iam::{ACCOUNT}:role/keys"
PLATFORM = {"name": "cloud", "account": ACCOUNT, "region": "eu-west-1", "role": ROLE}
IMAGE = "ami-0123456789abcdef0"


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "said"}}, "operation")


class Fake:
    """Clients whose every call answers what the test says, or raises it."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, service: str) -> Fake:
        del service
        return self

    def get_paginator(self, name: str) -> Fake:
        self._paged = name
        return self

    def paginate(self, **arguments: Any) -> Any:
        return [getattr(self, self._paged)(**arguments)]

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.asked.append((name, arguments))
            answer = self._answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer(**arguments) if callable(answer) else answer

        return call


def unit(kind: str = "nitro-tpm", **more: Any) -> dict[str, Any]:
    fleet = {"name": "a", "kind": kind, "instanceType": "p5.48xlarge", "imageId": IMAGE, "members": 1}
    keys = [{"policy": {"Statement": [{"Effect": "Allow", "Principal": {"AWS": ADMIN}}]}}]
    inputs = {"platform": PLATFORM, "foundation": {}, "keyAdmin": ADMIN, "keys": keys, "fleet": fleet}
    return {"id": "enclave/a", "program": "aws-enclave", "inputs": {**inputs, **more}}


STEPS = [
    {"op": "create", "type": "aws:ec2/vpc:Vpc"},
    {"op": "create", "type": "aws:kms/key:Key"},
    {"op": "create", "type": "qnsp:aws:Foundation"},
]
PLANNED = [{"unit": "enclave/a", "op": "create", "steps": STEPS}]


def decided(**by_action: str) -> Any:
    """What the simulator says: allowed but for the named."""

    def answer(ActionNames: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803 - as boto3 names it
        said = {name.replace("_", ":"): word for name, word in by_action.items()}
        return {
            "EvaluationResults": [
                {"EvalActionName": name, "EvalDecision": said.get(name, "allowed")} for name in ActionNames
            ]
        }

    return answer


def limit(answer: Any) -> Any:
    """The quota of P instances is as told, that of networks five."""

    def asked(QuotaCode: str, **_: Any) -> Any:  # noqa: N803 - as boto3 names it
        if QuotaCode == "L-417A185B" and isinstance(answer, Exception):
            raise answer
        return answer if QuotaCode == "L-417A185B" else {"Quota": {"Value": 5.0}}

    return asked


def instances(*types: str, fleet: str = "other") -> dict[str, Any]:
    each = [
        {"InstanceType": one, "CpuOptions": {"CoreCount": 96, "ThreadsPerCore": 2},
         "Tags": [{"Key": "qnsp:fleet", "Value": fleet}]}
        for one in types
    ]  # fmt: skip
    return {"Reservations": [{"Instances": each}]}


GOOD: dict[str, Any] = {
    "get_caller_identity": {"Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/qnsp-apply/x"},
    "assume_role": {"Credentials": {}},
    "simulate_principal_policy": decided(),
    "get_role": {"Role": {"Arn": ADMIN}},
    "describe_instance_type_offerings": {
        "InstanceTypeOfferings": [
            {"InstanceType": "p5.48xlarge", "Location": "eu-west-1a"},
            {"InstanceType": "p5.48xlarge", "Location": "eu-west-1b"},
        ]
    },
    "describe_instance_types": {
        "InstanceTypes": [
            {"InstanceType": "p5.48xlarge", "NitroTpmSupport": "supported", "NitroEnclavesSupport": "supported",
             "VCpuInfo": {"DefaultVCpus": 192}}
        ]
    },
    "describe_images": {
        "Images": [{"BootMode": "uefi", "TpmSupport": "v2.0", "Architecture": "x86_64", "OwnerId": ACCOUNT,
                    "State": "available"}]
    },
    "run_instances": error("DryRunOperation"),
    "get_service_quota": limit({"Quota": {"Value": 384.0}}),
    "describe_vpcs": {"Vpcs": [{}, {}]},
    "describe_instances": instances(),
    "get_parameter": {"Parameter": {"Value": IMAGE}},
}  # fmt: skip


def verdicts(changes: Mapping[str, Any], kind: str = "nitro-tpm", **more: Any) -> dict[str, tuple[str, str]]:
    answers = {**GOOD, **changes}
    found = preflight([unit(kind, **more)], actions=PLANNED, connect=lambda _: Fake(answers))
    return {c.check: (c.verdict, c.text) for c in found}


def test_everything_in_order() -> None:
    """Twelve questions, twelve answers."""
    found = verdicts({})
    assert {verdict for verdict, _ in found.values()} == {"ok"}, found
    assert sorted(found) == [
        "account", "grantee", "image", "key-admin", "machine", "offered", "permissions of keys", "permissions of qnsp-apply",
        "quota P", "quota networks", "role", "start",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "call", "answer", "verdict", "says"),
    [
        ("account", "get_caller_identity", {"Account": "9" * 12, "Arn": "arn:x"}, "refused", "platform is account"),
        ("account", "get_caller_identity", NoCredentialsError(), "unknown", "credentials"),
        ("account", "get_caller_identity", error("ExpiredToken"), "unknown", "ExpiredToken"),
        ("grantee", "get_role", error("NoSuchEntity"), "refused", "no role"),
        ("grantee", "get_role", {"Role": {"Arn": f"arn:aws:iam::{ACCOUNT}:role/path/keys"}}, "refused", "not arn:"),
        ("grantee", "get_role", error("AccessDenied"), "unknown", "AccessDenied"),
        ("offered", "describe_instance_type_offerings", {"InstanceTypeOfferings": []}, "refused", "no zone"),
        ("offered", "describe_instance_type_offerings", error("RequestLimitExceeded"), "unknown", "RequestLimitExceeded"),
        ("offered", "describe_instance_type_offerings", EndpointConnectionError(endpoint_url="https://ec2"), "unknown", "connect"),
        ("image", "describe_images", {"Images": []}, "refused", "no image"),
        ("image", "describe_images", {"Images": [{"BootMode": "legacy-bios", "Architecture": "x86_64"}]}, "refused", "TPM support None"),
        ("image", "describe_images", {"Images": [{**GOOD["describe_images"]["Images"][0], "Architecture": "arm64"}]}, "refused", "arm64"),
        ("image", "describe_images", {"Images": [{**GOOD["describe_images"]["Images"][0], "State": "deregistered"}]}, "refused", "deregistered"),
        ("image", "describe_images", {"Images": [{**GOOD["describe_images"]["Images"][0], "OwnerId": "9" * 12}]}, "ok", "account 999999999999"),
        ("start", "run_instances", error("UnauthorizedOperation"), "refused", "UnauthorizedOperation"),
        ("start", "run_instances", error("VcpuLimitExceeded"), "refused", "VcpuLimitExceeded"),
        ("start", "run_instances", error("RequestLimitExceeded"), "unknown", "RequestLimitExceeded"),
        ("start", "run_instances", {}, "refused", "nothing is known"),
        ("quota P", "get_service_quota", limit({"Quota": {"Value": 192.0}}), "refused", "384 more needed"),
        ("quota P", "get_service_quota", limit(error("TooManyRequestsException")), "unknown", "TooManyRequests"),
        ("quota P", "describe_instances", instances("p5.48xlarge"), "refused", "192 in use"),
        ("quota P", "describe_instances", instances("p5.48xlarge", fleet="a"), "ok", "192 more needed"),
        ("quota P", "describe_instances", instances("m6i.large"), "ok", "0 in use"),
        ("quota P", "describe_instances", error("UnauthorizedOperation"), "unknown", "UnauthorizedOperation"),
        ("permissions of qnsp-apply", "simulate_principal_policy", decided(ec2_CreateVpc="explicitDeny"), "refused", "denied ec2:CreateVpc"),
        ("permissions of qnsp-apply", "simulate_principal_policy", decided(ec2_CreateVpc="implicitDeny"), "unknown", "ec2:CreateVpc"),
        ("permissions of keys", "simulate_principal_policy", decided(kms_CreateKey="implicitDeny"), "refused", "on what this plan names: kms:CreateKey"),
        ("quota networks", "describe_vpcs", {"Vpcs": [{}] * 5}, "refused", "5 networks, 5 in use, 1 more needed"),
        ("quota networks", "describe_vpcs", error("UnauthorizedOperation"), "unknown", "UnauthorizedOperation"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_one_thing_wrong_is_said(check: str, call: str, answer: Any, verdict: str, says: str) -> None:
    """Refused where AWS says no, unknown where it does not say; the others stay as they were."""
    found = verdicts({call: answer})
    assert found[check][0] == verdict, found[check]
    assert says in found[check][1]
    assert {v for name, (v, _) in found.items() if name != check} == {"ok"}


@pytest.mark.parametrize(
    ("answer", "verdict"), [(error("AccessDenied"), "refused"), (error("Throttling"), "unknown")], ids=["no", "silent"]
)
def test_a_role_that_cannot_be_taken_on_is_said(answer: ClientError, verdict: str) -> None:
    """Both roles are asked by the very call with which an apply begins."""
    found = verdicts({"assume_role": answer})
    assert {found["role"][0], found["key-admin"][0]} == {verdict}


def test_credentials_that_are_missing_end_no_command() -> None:
    """One line for the region, and no yes."""

    def connect(_: Any) -> Any:
        raise NoCredentialsError

    (only,) = preflight([unit()], connect=connect)
    assert (only.check, only.verdict) == ("credentials", "unknown")


def test_denied_simulation_is_unknown_and_a_new_type_is_too() -> None:
    """Who may not ask learns nothing; a type whose actions are not listed is told."""
    assert verdicts({"simulate_principal_policy": error("AccessDenied")})["permissions of keys"][0] == "unknown"
    actions = [{"unit": "enclave/a", "op": "create", "steps": [{"op": "create", "type": "aws:new/thing:Thing"}]}]
    found = preflight([unit()], actions=actions, connect=lambda _: Fake(GOOD))
    told = next(c for c in found if c.check == "permissions of qnsp-apply")
    assert (told.verdict, "Thing" in told.text) == ("unknown", True)


def test_an_image_behind_a_parameter_is_looked_at() -> None:
    """As EC2 would resolve it; a parameter that cannot be read is unknown."""
    fleet = {**unit("nitro-enclave")["inputs"]["fleet"], "imageId": "resolve:ssm:/aws/service/ami"}
    assert verdicts({}, "nitro-enclave", fleet=fleet)["image"][0] == "ok"
    found = verdicts({"get_parameter": error("AccessDeniedException")}, "nitro-enclave", fleet=fleet)
    assert {found["image"][0], found["start"][0]} == {"unknown"}


def test_the_start_is_asked_with_what_makes_the_attester() -> None:
    """EC2 refuses a type without SEV-SNP only where SEV-SNP is asked for; nothing is started."""
    for kind, member in (("nitro-enclave", "EnclaveOptions"), ("sev-snp", "CpuOptions")):
        fake = Fake(GOOD)
        preflight([unit(kind)], connect=lambda _, fake=fake: fake)  # type: ignore[misc]
        arguments = next(arguments for name, arguments in fake.asked if name == "run_instances")
        assert arguments["DryRun"] is True
        assert member in arguments


def test_a_machine_without_snp_is_refused() -> None:
    """The type exists and has no SEV-SNP."""
    assert verdicts({}, kind="sev-snp")["machine"][0] == "refused"
    none = {"InstanceTypes": [{"InstanceType": "p5.48xlarge", "VCpuInfo": {"DefaultVCpus": 192}}]}
    assert verdicts({"describe_instance_types": none})["machine"] == ("refused", "NitroTPM on p5.48xlarge: not said")


def test_units_elsewhere_are_not_asked_about() -> None:
    """A local plan needs no cloud."""
    assert preflight([{"id": "platform/lab", "program": "platform", "inputs": {}}]) == ()


@pytest.mark.parametrize("template", CLOUD_TEMPLATES)
def test_every_type_of_the_examples_has_its_actions(template: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """So that the simulation asks about all that a plan does; and only calls that read are made by preflight itself."""
    plan = planned(initialised(tmp_path_factory.mktemp("aws"), template))
    types = {step["type"] for action in plan.payload["actions"] for step in action["steps"]}
    dns = {child.type for child in balancer(BalancerArgs("n", 1, "h.example", "Z1", "vpc", NETWORK["subnets"]))}
    assert {name for name in types | dns if name.startswith("aws:")} <= set(ACTIONS)
    assert set(KEYS) <= set(ACTIONS)


def _of_ours(actions: str, resources: str) -> Any:
    """A simulator of a policy that allows some actions for some resources only, as IAM matches names."""

    def answer(ActionNames: list[str], ResourceArns: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803 - as boto3 names it
        found = []
        for name in ActionNames:
            each = [
                {"EvalResourceName": arn, "EvalResourceDecision": "allowed"
                 if fnmatch.fnmatchcase(name, actions) and fnmatch.fnmatchcase(arn, resources) else "implicitDeny"}
                for arn in ResourceArns
            ]  # fmt: skip
            whole = "allowed" if all(one["EvalResourceDecision"] == "allowed" for one in each) else "implicitDeny"
            found.append({"EvalActionName": name, "EvalDecision": whole, "ResourceSpecificResults": each})
        return {"EvaluationResults": found}

    return answer


ROLES = {
    "name": "qnsp-prod-cloud", "path": "/qnsp/prod/", "partition": "aws", "account": ACCOUNT,
    "roles": [{"name": "qnsp-prod-a"}, {"name": "qnsp-prod-b"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("resources", "verdict", "says"),
    [
        (f"arn:aws:iam::{ACCOUNT}:role/qnsp/prod/*", "ok", "for ours only"),
        (f"arn:aws:iam::{ACCOUNT}:role/qnsp/other/*", "refused", "on what this plan names: iam:CreateRole"),
        (f"arn:aws:iam::{ACCOUNT}:role/qnsp/prod/qnsp-prod-a", "refused", "iam:CreateRole"),
    ],
    ids=["ours", "of-another", "half-of-ours"],
)
def test_a_role_that_is_limited_to_ours_is_good(resources: str, verdict: str, says: str) -> None:
    """Asked again with the very names that the plan holds: neither unknown nor taken for a yes."""
    actions = [{"unit": "enclave/a", "op": "create", "steps": [{"op": "create", "type": "aws:iam/role:Role"}]}]
    answers = {**GOOD, "simulate_principal_policy": _of_ours("iam:*", resources),
               "get_account_summary": {"SummaryMap": {"Roles": 1, "RolesQuota": 1000}}}  # fmt: skip
    found = preflight([unit(foundation=ROLES)], actions=actions, connect=lambda _: Fake(answers))
    told = next(c for c in found if c.check == "permissions of qnsp-apply")
    assert (told.verdict, says in told.text) == (verdict, True), told


def test_a_role_is_handed_over_only_if_that_very_role_may_be() -> None:
    """iam:PassRole is asked for the roles that the plan hands to services, not for groups."""
    actions = [
        {"unit": "enclave/a", "op": "create", "steps": [{"op": "create", "type": "aws:autoscaling/group:Group"}]}
    ]
    fleet = {**unit()["inputs"]["fleet"], "group": "g", "roleArn": f"arn:aws:iam::{ACCOUNT}:role/qnsp/prod/qnsp-prod-a"}
    limits = {"NumberOfAutoScalingGroups": 0, "MaxNumberOfAutoScalingGroups": 1}
    fake = Fake({**GOOD, "simulate_principal_policy": _of_ours("*", "x"), "describe_account_limits": limits})
    preflight([unit(fleet=fleet)], actions=actions, connect=lambda _: fake)
    asked = [
        more
        for name, more in fake.asked
        if name == "simulate_principal_policy" and more["ActionNames"] == ["iam:PassRole"]
    ]
    assert [more["ResourceArns"] for more in asked] == [[fleet["roleArn"]]]


def test_a_condition_that_a_simulation_cannot_judge_is_no_answer() -> None:
    """Neither yes nor no."""

    def answer(ActionNames: list[str], ResourceArns: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803 - as boto3 names it
        missing = {"EvalDecision": "implicitDeny", "MissingContextValues": ["aws:RequestTag/owner"]}
        return {"EvaluationResults": [{"EvalActionName": name, **missing} for name in ActionNames]}

    assert verdicts({"simulate_principal_policy": answer})["permissions of keys"][0] == "unknown"


@pytest.mark.parametrize(
    ("kind", "answers", "verdict", "says"),
    [
        ("aws:iam/role:Role", {"get_account_summary": {"SummaryMap": {"Roles": 999, "RolesQuota": 1000}}}, "refused", "1000 roles, 999 in use, 2 more needed"),
        ("aws:iam/role:Role", {"get_account_summary": error("AccessDenied")}, "unknown", "AccessDenied"),
        ("aws:iam/instanceProfile:InstanceProfile", {"get_account_summary": {"SummaryMap": {"InstanceProfiles": 1, "InstanceProfilesQuota": 1000}}}, "ok", "2 more needed"),
        ("aws:autoscaling/group:Group", {"describe_account_limits": {"NumberOfAutoScalingGroups": 499, "MaxNumberOfAutoScalingGroups": 500}}, "refused", "499 in use"),
        ("aws:lb/loadBalancer:LoadBalancer", {"describe_account_limits": {"Limits": [{"Name": "network-load-balancers", "Max": "50"}]},
                                             "describe_load_balancers": {"LoadBalancers": [{"Type": "network"}] * 49 + [{"Type": "application"}]}}, "refused", "49 in use"),
        ("aws:lb/targetGroup:TargetGroup", {"describe_account_limits": {"Limits": [{"Name": "target-groups", "Max": "3000"}]},
                                           "describe_target_groups": {"TargetGroups": []}}, "ok", "3000 target groups"),
        ("aws:cloudtrail/trail:Trail", {"describe_trails": {"trailList": [{}] * 4}}, "refused", "5 trails, 4 in use, 2 more needed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_quotas_beside_vcpus(kind: str, answers: dict[str, Any], verdict: str, says: str) -> None:
    """Of what a plan makes anew: room or no room in the service's own figures, and silence is silence."""

    actions = [{"unit": "enclave/a", "op": "create", "steps": [{"op": "create", "type": kind}] * 2}]
    found = preflight(
        [unit(foundation=ROLES)],
        actions=actions,
        connect=lambda _: Fake({**GOOD, **answers, "describe_instances": instances()}),
    )
    told = [c for c in found if c.check.startswith("quota ") and c.check != "quota P"]
    assert [(c.verdict, says in c.text) for c in told] == [(verdict, True)], told
