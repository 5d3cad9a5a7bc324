"""What a preview never asks AWS, asked before anything is made; read-only, every answer one of ok, refused, unknown.

Asked: whose credentials these are; whether each fleet's type is offered in its zones and is what its attester needs; what the
image is (boot mode, TPM support, architecture); whether the key administrator's role exists; whether a start would be permitted
(EC2 DryRun). Unreachable or not permitted is `unknown` and told so: never taken for a yes. Not asked: quotas (Service Quotas counts
by family and region in units that do not map onto fleets one to one) and the simulation of IAM policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from qnsp_policy.pipeline.world.aws_edge import Clients, clients

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checked:
    """One answer: `verdict` is ok, refused or unknown."""

    unit: str
    check: str
    verdict: str
    text: str

    def to_json(self) -> dict[str, str]:
        return {"unit": self.unit, "check": self.check, "verdict": self.verdict, "text": self.text}


def preflight(units: Sequence[Json], *, connect: Callable[[Json], Clients] = clients) -> tuple[Checked, ...]:
    """Ask about every unit of a plan that is on AWS.

    Args:
        units: the `units` of a plan's payload.
        connect: makes the clients of one platform; replaceable by fakes.
    """
    found: list[Checked] = []
    for unit in units:
        if str(unit["program"]).startswith("aws-"):
            aws = connect(unit["inputs"]["platform"])
            found += [_asked(unit["id"], *question) for question in _questions(aws, unit["inputs"])]
    return tuple(found)


Answer = tuple[bool, str]


def _asked(unit: str, check: str, ask: Callable[[], Answer]) -> Checked:
    try:
        good, text = ask()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return Checked(
            unit, check, "unknown", f"AWS did not say ({code}): {error.response['Error'].get('Message', '')}"
        )
    except BotoCoreError as error:
        return Checked(unit, check, "unknown", f"AWS could not be asked: {error}")
    return Checked(unit, check, "ok" if good else "refused", text)


def _questions(aws: Clients, inputs: Json) -> Iterator[tuple[str, Callable[[], Answer]]]:
    platform = inputs["platform"]
    if "foundation" in inputs:
        yield "account", lambda: _account(aws, platform)
    if inputs.get("keyAdmin"):
        yield "key-admin", lambda: _role(aws, inputs["keyAdmin"])
    fleet = inputs.get("fleet")
    if fleet is not None:
        yield "offered", lambda: _offered(aws, fleet, platform)
        yield "machine", lambda: _machine(aws, fleet)
        if str(fleet["imageId"]).startswith("ami-"):
            yield "image", lambda: _image(aws, fleet)
            yield "start", lambda: _start(aws, fleet)


def _account(aws: Clients, platform: Json) -> Answer:
    held = aws("sts").get_caller_identity()
    good = held["Account"] == platform["account"]
    return good, f"the credentials are of {held['Arn']}" + (
        "" if good else f"; the platform is account {platform['account']}"
    )


def _role(aws: Clients, arn: str) -> Answer:
    name = arn.rsplit("/", 1)[-1]
    try:
        found = aws("iam").get_role(RoleName=name)["Role"]["Arn"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return False, f"there is no role {arn}; KMS refuses a key policy that names it"
    return found == arn, f"role {found}"


def _offered(aws: Clients, fleet: Json, platform: Json) -> Answer:
    wanted = platform.get("zones") or [f"{platform['region']}a", f"{platform['region']}b"]
    answer = aws("ec2").describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [fleet["instanceType"]]}]
    )
    zones = {
        item["Location"] for item in answer["InstanceTypeOfferings"] if item["InstanceType"] == fleet["instanceType"]
    }
    missing = sorted(set(wanted) - zones)
    where = ", ".join(sorted(zones)) or "no zone of this region"
    return not missing, f"{fleet['instanceType']} is offered in {where}" + (
        f", not in {', '.join(missing)}" if missing else ""
    )


def _machine(aws: Clients, fleet: Json) -> Answer:
    found = aws("ec2").describe_instance_types(InstanceTypes=[fleet["instanceType"]])["InstanceTypes"]
    if not found:
        return False, f"AWS knows no type {fleet['instanceType']}"
    told = found[0]
    match fleet["kind"]:
        case "nitro-enclave":
            has = told.get("NitroEnclavesSupport")
            return has == "supported", f"Nitro Enclaves on {fleet['instanceType']}: {has or 'not said'}"
        case "nitro-tpm":
            has = told.get("NitroTpmSupport")
            return has == "supported", f"NitroTPM on {fleet['instanceType']}: {has or 'not said'}"
        case _:
            features = told.get("ProcessorInfo", {}).get("SupportedFeatures", [])
            return (
                "amd-sev-snp" in features,
                f"features of {fleet['instanceType']}: {', '.join(features) or 'none said'}",
            )


def _image(aws: Clients, fleet: Json) -> Answer:
    found = aws("ec2").describe_images(ImageIds=[fleet["imageId"]])["Images"]
    if not found:
        return False, f"there is no image {fleet['imageId']}"
    image = found[0]
    wrong = [] if image.get("Architecture") == "x86_64" else [f"architecture {image.get('Architecture')}"]
    if fleet["kind"] == "nitro-tpm":
        if image.get("BootMode") != "uefi":
            wrong.append(f"boot mode {image.get('BootMode')}, not uefi")
        if image.get("TpmSupport") != "v2.0":
            wrong.append(f"TPM support {image.get('TpmSupport')}, not v2.0")
    elif fleet["kind"] == "sev-snp" and image.get("BootMode") not in {"uefi", "uefi-preferred"}:
        wrong.append(f"boot mode {image.get('BootMode')}, not uefi")
    return not wrong, f"{fleet['imageId']} of {image.get('OwnerId')}: {'; '.join(wrong) or 'as needed'}"


def _start(aws: Clients, fleet: Json) -> Answer:
    try:
        aws("ec2").run_instances(
            ImageId=fleet["imageId"], InstanceType=fleet["instanceType"], MinCount=1, MaxCount=1, DryRun=True
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "DryRunOperation":
            return True, "these credentials may start it"
        if code in {"UnauthorizedOperation", "InstanceLimitExceeded", "VcpuLimitExceeded", "Unsupported"}:
            return False, f"{code}: {error.response['Error'].get('Message', '')}"
        raise
    return False, "AWS did not treat the question as a question; nothing is known"


__all__ = ["Checked", "preflight"]
