"""What is asked of EC2 about a fleet before it is made: type, image, start, room within quotas. Read-only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from qnsp_policy.pipeline.world.aws_calls_edge import Clients

Json = Mapping[str, Any]
Answer = tuple[bool | None, str]
"""Yes, no or not known; and why."""

_PARAMETER = "resolve:ssm:"
_QUOTAS = {"standard": "L-1216C47A", "G and VT": "L-DB2E81BA", "P": "L-417A185B"}
"""vCPUs of running on-demand instances, by class of families (Service Quotas, service code ec2)."""
_STANDARD = "acdhimrtz"


def fleet_questions(aws: Clients, fleet: Json, platform: Json) -> Iterator[tuple[str, Callable[[], Answer]]]:
    """Every question about one fleet."""
    yield "offered", lambda: _offered(aws, fleet, platform)
    yield "machine", lambda: _machine(aws, fleet)
    yield "image", lambda: _image(aws, fleet, platform)
    yield "start", lambda: _start(aws, fleet)


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
            said = ", ".join(features) or "none said"
            return "amd-sev-snp" in features, f"features of {fleet['instanceType']}: {said}"


def _image_id(aws: Clients, fleet: Json) -> str:
    image = str(fleet["imageId"])
    if image.startswith(_PARAMETER):
        return str(aws("ssm").get_parameter(Name=image.removeprefix(_PARAMETER))["Parameter"]["Value"])
    return image


def _image(aws: Clients, fleet: Json, platform: Json) -> Answer:
    chosen = _image_id(aws, fleet)
    found = aws("ec2").describe_images(ImageIds=[chosen])["Images"]
    if not found:
        return False, f"there is no image {chosen}, or it is not shared with this account"
    image = found[0]
    wrong = [] if image.get("Architecture") == "x86_64" else [f"architecture {image.get('Architecture')}"]
    if image.get("State", "available") != "available":
        wrong.append(f"state {image['State']}")
    if fleet["kind"] == "nitro-tpm":
        if image.get("BootMode") != "uefi":
            wrong.append(f"boot mode {image.get('BootMode')}, not uefi")
        if image.get("TpmSupport") != "v2.0":
            wrong.append(f"TPM support {image.get('TpmSupport')}, not v2.0")
    elif fleet["kind"] == "sev-snp" and image.get("BootMode") not in {"uefi", "uefi-preferred"}:
        wrong.append(f"boot mode {image.get('BootMode')}, not uefi")
    owner = str(image.get("OwnerId", "not said"))
    whose = "this account" if owner == platform["account"] else str(image.get("ImageOwnerAlias") or f"account {owner}")
    return not wrong, f"{chosen} of {whose}: {'; '.join(wrong) or 'as needed'}"


def _start(aws: Clients, fleet: Json) -> Answer:
    shape: dict[str, Any] = {"ImageId": _image_id(aws, fleet), "InstanceType": fleet["instanceType"]}
    if fleet["kind"] == "nitro-enclave":
        shape["EnclaveOptions"] = {"Enabled": True}
    elif fleet["kind"] == "sev-snp":
        shape["CpuOptions"] = {"AmdSevSnp": "enabled"}
    try:
        aws("ec2").run_instances(**shape, MinCount=1, MaxCount=1, DryRun=True)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "DryRunOperation":
            return True, "these credentials may start it"
        if code in {"UnauthorizedOperation", "InstanceLimitExceeded", "VcpuLimitExceeded", "Unsupported",
                    "InvalidParameterCombination"}:  # fmt: skip
            return False, f"{code}: {error.response['Error'].get('Message', '')}"
        raise
    return False, "AWS did not treat the question as a question; nothing is known"


def quota_question(aws: Clients, fleets: Sequence[Json]) -> Iterator[tuple[str, Callable[[], Answer]]]:
    """Whether the fleets of one region fit together, by class of families: each with one member more for a rollout."""
    classes: defaultdict[str, list[Json]] = defaultdict(list)
    for fleet in fleets:
        classes[_class(str(fleet["instanceType"]))].append(fleet)
    for name, here in sorted(classes.items()):
        yield name, lambda name=name, here=here: _room(aws, name, here)  # type: ignore[misc]


def _class(instance_type: str) -> str:
    letter = instance_type[0]
    if letter == "g" or instance_type.startswith("vt"):
        return "G and VT"
    return "P" if letter == "p" else "standard" if letter in _STANDARD else "other"


def _room(aws: Clients, name: str, fleets: Sequence[Json]) -> Answer:
    if name not in _QUOTAS:
        return None, f"the quota of {', '.join(str(fleet['instanceType']) for fleet in fleets)} is not known here"
    told = aws("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=_QUOTAS[name])
    most = int(told["Quota"]["Value"])
    types = sorted({str(fleet["instanceType"]) for fleet in fleets})
    cores = {
        one["InstanceType"]: int(one["VCpuInfo"]["DefaultVCpus"])
        for one in aws("ec2").describe_instance_types(InstanceTypes=types)["InstanceTypes"]
    }
    ours = {str(fleet["name"]) for fleet in fleets}
    used = running = 0
    pages = aws("ec2").get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    )  # fmt: skip
    for page in pages:
        for reservation in page["Reservations"]:
            for instance in reservation["Instances"]:
                if _class(str(instance["InstanceType"])) == name:
                    options = instance.get("CpuOptions", {})
                    cpus = int(options.get("CoreCount", 0)) * int(options.get("ThreadsPerCore", 1))
                    used += cpus
                    mine = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}.get("qnsp:fleet") in ours
                    running += cpus if mine else 0
    needed = sum((int(fleet["members"]) + 1) * cores[str(fleet["instanceType"])] for fleet in fleets) - running
    return needed <= most - used, (
        f"{most} vCPUs of class {name}, {used} in use, {max(needed, 0)} more needed (a rollout's member included)"
    )


__all__ = ["Answer", "fleet_questions", "quota_question"]
