"""The list of what EC2 has and lacks for an attester: every impossible combination refused with what would work, none that is possible."""

from __future__ import annotations

from typing import Any

import pytest

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.pipeline.model.kinds import Enclave
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.lowering.aws_families import GPU_SIZES, GPU_TYPES, gpus_of, without_uefi
from qnsp_policy.pipeline.plan.lowering.aws_machines import machine
from qnsp_policy.testing.aws_examples import initialised

PLACE = Place("fleet.yaml", 9)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Enclave:
    root = initialised(tmp_path_factory.mktemp("machines"), "aws-nitro")
    return next(enclave for enclave in load(root).of_kind(Enclave) if enclave.name == "triage")


def asked(fleet: Enclave, attester: str, **more: Any) -> Enclave:
    """The example's fleet, with another attester, type, size or GPUs."""
    value = fleet.model_dump(mode="json", by_alias=True, exclude_none=True)
    size = {"members": 1, "vcpus": more.get("vcpus", 2), "memory": more.get("memory", "4Gi")}
    if "type" in more:
        size["instanceType"] = more["type"]
    value["spec"] |= {"attester": attester, "size": size}
    if "gpus" in more:
        model, count, *mode = more["gpus"].split("/")
        value["spec"]["gpus"] = {"model": model, "count": int(count), "confidentialMode": mode[0] if mode else "off"}
    return Enclave.model_validate(value)


NITRO, TPM, SNP = "nitro-enclave", "nitro-tpm", "sev-snp"
IMPOSSIBLE: list[tuple[str, dict[str, Any], str, str]] = [
    # No such attester.
    ("tdx", {}, "QNSP-PLN-234", "AWS offers no tdx"),
    ("tdx", {"gpus": "H100/8/on"}, "QNSP-PLN-234", "AWS offers no tdx"),
    ("sgx", {}, "QNSP-PLN-234", "AWS offers no sgx"),
    # GPUs: none in an enclave, none beside SEV-SNP, no confidential mode anywhere, whole instances only.
    (NITRO, {"gpus": "L4/1"}, "QNSP-PLN-230", "cannot be given a GPU"),
    (SNP, {"gpus": "H100/1/on"}, "QNSP-PLN-233", "no GPU"),
    (SNP, {"type": "g6.4xlarge"}, "QNSP-PLN-233", "no SEV-SNP"),
    *((TPM, {"gpus": f"{model}/8/{mode}"}, "QNSP-PLN-232", "confidential mode")
      for model in ("H100", "H200", "B200") for mode in ("on", "ppcie", "devtools")),
    *((TPM, {"gpus": f"H100/{count}"}, "QNSP-PLN-232", f"no EC2 type has {count} x H100") for count in (2, 3, 4, 7, 16)),
    (TPM, {"gpus": "H200/1"}, "QNSP-PLN-232", "no EC2 type has 1 x H200"),
    (TPM, {"gpus": "A100/8"}, "QNSP-PLN-232", "no EC2 type has 8 x A100"),
    (TPM, {"gpus": "A100/8", "type": "p4d.24xlarge"}, "QNSP-PLN-232", "boots no UEFI"),
    (TPM, {"gpus": "A100/8", "type": "p4de.24xlarge"}, "QNSP-PLN-232", "boots no UEFI"),
    (TPM, {"gpus": "L4/4", "type": "g6.48xlarge"}, "QNSP-PLN-232", "8 x L4, all of which its instance gets"),
    (TPM, {"gpus": "H100/8", "type": "g6.48xlarge"}, "QNSP-PLN-232", "8 x L4"),
    (TPM, {"gpus": "H100/8", "type": "m6i.large"}, "QNSP-PLN-232", "no NVIDIA GPU"),
    (TPM, {"gpus": "H100/8", "vcpus": 256}, "QNSP-PLN-232", "192 vCPUs"),
    (TPM, {"gpus": "L4/1", "memory": "128Gi"}, "QNSP-PLN-232", "64 GiB"),
    # NitroTPM: UEFI, the Nitro System, x86.
    *((TPM, {"type": kind}, "QNSP-PLN-232", says) for kind, says in (
        ("m4.large", "not built on the Nitro System"), ("t2.micro", "not built on the Nitro System"),
        ("c4.xlarge", "not built on the Nitro System"), ("i3.large", "not built on the Nitro System"),
        ("p3.16xlarge", "not built on the Nitro System"), ("m6i.metal", "bare metal"), ("c7i.metal-24xl", "bare metal"),
        ("g4dn.metal", "bare metal"), ("m6g.large", "Arm"), ("t4g.micro", "Arm"), ("a1.large", "Arm"), ("c7gn.xlarge", "Arm"),
        ("im4gn.large", "Arm"), ("g5g.xlarge", "Arm"), ("mac2.metal", "Mac"), ("dl1.24xlarge", "boots no UEFI"),
        ("g4ad.xlarge", "boots no UEFI"), ("vt1.3xlarge", "boots no UEFI"), ("u-6tb1.56xlarge", "boots no UEFI"))),
    # What is no type at all, however it is written: in upper case none of the lists above would know it.
    *((attester, {"type": kind}, code, "lower case") for attester, code in ((NITRO, "QNSP-PLN-231"), (TPM, "QNSP-PLN-232"), (SNP, "QNSP-PLN-233"))
      for kind in (
        "T3.xlarge", "M4.large", "P4D.24xlarge", "M6G.large",
        "M6A.xlarge", " m6i.xlarge", "m6i.xlarge ", "m6i_xlarge",
        "m6i", "m6i.XLARGE", "m6i.xlarge.x")),
    *((attester, {"type": kind}, code, "no instance type") for attester, code in ((NITRO, "QNSP-PLN-231"), (TPM, "QNSP-PLN-232"))
      for kind in ("m6i.banana", "m6i.0xlarge", "m6i.double")),
    *((TPM, {"type": kind}, "QNSP-PLN-232", "has no size") for kind in ("m6i.5xlarge", "c7i.20xlarge", "p5en.4xlarge", "g6.3xlarge")),
    *((TPM, {"type": kind, "gpus": gpus}, "QNSP-PLN-232", "has no size") for kind, gpus in (
        ("p5en.4xlarge", "H200/1"), ("p5e.4xlarge", "H200/1"), ("p6-b200.4xlarge", "B200/1"), ("p5.24xlarge", "H100/8"),
        ("g4dn.24xlarge", "T4/1"), ("g5.3xlarge", "A10G/1"))),
    # Nitro Enclaves: types that have none, cores that are whole, a core for the parent.
    *((NITRO, {"type": kind}, "QNSP-PLN-231", says) for kind, says in (
        ("t3.xlarge", "no Nitro Enclaves"), ("t3a.2xlarge", "no Nitro Enclaves"), ("t4g.xlarge", "Arm"), ("m6g.xlarge", "Arm"),
        ("m7i-flex.2xlarge", "no Nitro Enclaves"), ("c7i-flex.xlarge", "no Nitro Enclaves"), ("r7iz.xlarge", "no Nitro Enclaves"),
        ("m7i.24xlarge", "as smaller sizes"), ("c7i.48xlarge", "as smaller sizes"), ("g4ad.4xlarge", "no Nitro Enclaves"),
        ("trn1.2xlarge", "no Nitro Enclaves"), ("vt1.3xlarge", "no Nitro Enclaves"), ("u-12tb1.112xlarge", "no Nitro Enclaves"),
        ("m4.xlarge", "not built on the Nitro System"), ("p2.xlarge", "not built on the Nitro System"),
        ("m6i.metal", "bare metal"), ("m6i.large", "four vCPUs"), ("c6a.large", "four vCPUs"))),
    (NITRO, {"vcpus": 3}, "QNSP-PLN-231", "whole cores"),
    (NITRO, {"vcpus": 4, "type": "m6i.xlarge"}, "QNSP-PLN-231", "parent keeps"),
    (NITRO, {"memory": "64Gi", "type": "m6i.2xlarge"}, "QNSP-PLN-231", "32 GiB"),
    (NITRO, {"vcpus": 128}, "QNSP-PLN-230", "130 vCPUs"),
    # SEV-SNP: three families, up to a size.
    *((SNP, {"type": kind}, "QNSP-PLN-233", says) for kind, says in (
        ("m5.xlarge", "m6a, c6a and r6a have"), ("m7a.xlarge", "m6a, c6a and r6a have"), ("c6ad.xlarge", "m6a, c6a and r6a have"),
        ("m6i.xlarge", "m6a, c6a and r6a have"), ("m6a.12xlarge", "largest m6a that has is m6a.8xlarge"),
        ("m6a.48xlarge", "m6a.8xlarge"), ("c6a.24xlarge", "c6a.16xlarge"), ("r6a.8xlarge", "r6a.4xlarge"),
        ("m6a.metal", "m6a.8xlarge"))),
    (SNP, {"type": "m6a.large", "vcpus": 4}, "QNSP-PLN-231", "2 vCPUs and 8 GiB"),
    (SNP, {"vcpus": 96}, "QNSP-PLN-230", "no m6a or c6a or r6a"),
    (SNP, {"memory": "256Gi"}, "QNSP-PLN-230", "no m6a or c6a or r6a"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("attester", "more", "code", "says"), IMPOSSIBLE,
    ids=[" ".join([attester, *map(str, more.values())]) for attester, more, _, _ in IMPOSSIBLE],
)  # fmt: skip
def test_what_ec2_lacks_is_refused(attester: str, more: dict[str, Any], code: str, says: str, fleet: Enclave) -> None:
    """With the reason, at the line that was handed in, and with what would work."""
    with pytest.raises(OperatorError) as caught:
        machine(asked(fleet, attester, **more), PLACE)
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.place == PLACE
    assert caught.value.next_step


POSSIBLE: list[tuple[str, dict[str, Any], str]] = [
    (NITRO, {}, "m6i.xlarge"),
    (NITRO, {"vcpus": 4, "memory": "8Gi"}, "m6i.2xlarge"),
    (NITRO, {"type": "m7i.xlarge"}, "m7i.xlarge"),
    (NITRO, {"type": "c6a.xlarge"}, "c6a.xlarge"),
    (NITRO, {"type": "p5.48xlarge"}, "p5.48xlarge"),
    (TPM, {}, "m6i.large"),
    (TPM, {"type": "t3.large"}, "t3.large"),
    (TPM, {"type": "m7a.large"}, "m7a.large"),
    (TPM, {"type": "x2idn.16xlarge"}, "x2idn.16xlarge"),
    *((TPM, {"gpus": f"{model}/{count}"}, kind) for (model, count), kind in GPU_TYPES.items()),
    (TPM, {"gpus": "L4/1", "type": "g6.xlarge"}, "g6.xlarge"),
    (TPM, {"gpus": "H200/8", "type": "p5e.48xlarge"}, "p5e.48xlarge"),
    (SNP, {}, "m6a.large"),
    (SNP, {"vcpus": 64}, "c6a.16xlarge"),
    (SNP, {"vcpus": 8, "memory": "128Gi"}, "m6a.8xlarge"),
    (SNP, {"type": "c6a.16xlarge"}, "c6a.16xlarge"),
    (SNP, {"type": "r6a.4xlarge", "memory": "128Gi"}, "r6a.4xlarge"),
]


@pytest.mark.parametrize(
    ("attester", "more", "chosen"), POSSIBLE,
    ids=[" ".join([attester, *map(str, more.values()), chosen]) for attester, more, chosen in POSSIBLE],
)  # fmt: skip
def test_what_ec2_has_is_chosen_or_taken_as_written(
    attester: str, more: dict[str, Any], chosen: str, fleet: Enclave
) -> None:
    """The smallest that holds what was asked; nothing that AWS offers is refused."""
    made = machine(asked(fleet, attester, **more), PLACE)
    assert made.type == chosen
    assert made.why


def test_types_with_gpus_boot_by_uefi_and_have_just_these() -> None:
    """Every type that may be chosen is one that a NitroTPM can stand beside, and its size is known."""
    for (model, count), kind in GPU_TYPES.items():
        assert without_uefi(kind) is None
        assert gpus_of(kind) == (model, count)
    assert set(GPU_SIZES) == set(GPU_TYPES.values())
