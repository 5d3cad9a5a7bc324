"""Preflight asks and never takes silence for a yes. Answers are hand-made, in the shape of the EC2 API reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from qnsp_policy.pipeline.world.aws_preflight_edge import preflight

PLATFORM = {"account": "012345678901", "region": "eu-west-1"}


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "said"}}, "operation")


class Fake:
    """Clients whose every call answers what the test says, or raises it."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    def __call__(self, service: str) -> Fake:
        del service
        return self

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            del arguments
            answer = self._answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def unit(kind: str = "nitro-tpm", **more: Any) -> dict[str, Any]:
    fleet = {"kind": kind, "instanceType": "p5.48xlarge", "imageId": "ami-0123456789abcdef0"}
    inputs = {"platform": PLATFORM, "foundation": {}, "keyAdmin": "arn:aws:iam::012345678901:role/keys", "fleet": fleet}
    return {"id": "enclave/a", "program": "aws-enclave", "inputs": {**inputs, **more}}


GOOD: dict[str, Any] = {
    "get_caller_identity": {"Account": "012345678901", "Arn": "arn:aws:sts::012345678901:assumed-role/qnsp-apply/x"},
    "get_role": {"Role": {"Arn": "arn:aws:iam::012345678901:role/keys"}},
    "describe_instance_type_offerings": {
        "InstanceTypeOfferings": [
            {"InstanceType": "p5.48xlarge", "Location": "eu-west-1a"},
            {"InstanceType": "p5.48xlarge", "Location": "eu-west-1b"},
        ]
    },
    "describe_instance_types": {
        "InstanceTypes": [{"NitroTpmSupport": "supported", "NitroEnclavesSupport": "supported"}]
    },
    "describe_images": {
        "Images": [{"BootMode": "uefi", "TpmSupport": "v2.0", "Architecture": "x86_64", "OwnerId": "012345678901"}]
    },
    "run_instances": error("DryRunOperation"),
}


def verdicts(changes: Mapping[str, Any], kind: str = "nitro-tpm") -> dict[str, tuple[str, str]]:
    answers = {**GOOD, **changes}
    return {c.check: (c.verdict, c.text) for c in preflight([unit(kind)], connect=lambda _: Fake(answers))}


def test_everything_in_order() -> None:
    """Six questions, six answers."""
    assert {verdict for verdict, _ in verdicts({}).values()} == {"ok"}
    assert len(verdicts({})) == 6


@pytest.mark.parametrize(
    ("check", "call", "answer", "verdict", "says"),
    [
        ("account", "get_caller_identity", {"Account": "9" * 12, "Arn": "arn:x"}, "refused", "platform is account"),
        ("account", "get_caller_identity", NoCredentialsError(), "unknown", "credentials"),
        ("account", "get_caller_identity", error("ExpiredToken"), "unknown", "ExpiredToken"),
        ("key-admin", "get_role", error("NoSuchEntity"), "refused", "no role"),
        ("key-admin", "get_role", error("AccessDenied"), "unknown", "AccessDenied"),
        ("offered", "describe_instance_type_offerings", {"InstanceTypeOfferings": []}, "refused", "no zone"),
        ("offered", "describe_instance_type_offerings", error("RequestLimitExceeded"), "unknown", "RequestLimitExceeded"),
        ("machine", "describe_instance_types", {"InstanceTypes": [{}]}, "refused", "not said"),
        ("image", "describe_images", {"Images": []}, "refused", "no image"),
        ("image", "describe_images", {"Images": [{"BootMode": "legacy-bios", "Architecture": "x86_64"}]}, "refused", "TPM support None"),
        ("start", "run_instances", error("UnauthorizedOperation"), "refused", "UnauthorizedOperation"),
        ("start", "run_instances", error("VcpuLimitExceeded"), "refused", "VcpuLimitExceeded"),
        ("start", "run_instances", {}, "refused", "nothing is known"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_one_thing_wrong_is_said(check: str, call: str, answer: Any, verdict: str, says: str) -> None:
    """Refused where AWS says no, unknown where it does not say; the others stay as they were."""
    found = verdicts({call: answer})
    assert found[check][0] == verdict
    assert says in found[check][1]
    assert {v for name, (v, _) in found.items() if name != check} == {"ok"}


def test_a_machine_without_snp_is_refused() -> None:
    """The type exists and has no SEV-SNP."""
    assert verdicts({}, kind="sev-snp")["machine"][0] == "refused"


def test_units_elsewhere_are_not_asked_about() -> None:
    """A local plan needs no cloud."""
    assert preflight([{"id": "platform/lab", "program": "platform", "inputs": {}}]) == ()
