"""Which instance type a fleet gets: chosen from what the documents ask, refused where AWS has no such machine.

Sizes of the families that AWS documents for each attester (EC2 instance types, read 2026-11). Whether a zone offers the chosen
type, and whether the account's quota admits it, is asked by `plan --preflight`; nothing here asks anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.pipeline.model.kinds import Enclave

GIB = 2**30

SNP_FAMILIES = ("m6a", "c6a", "r6a")
_MEMORY_PER_VCPU = {"c": 2, "m": 4, "r": 8}
_SIZES = (("large", 2), ("xlarge", 4), ("2xlarge", 8), ("4xlarge", 16), ("8xlarge", 32), ("12xlarge", 48),
          ("16xlarge", 64), ("24xlarge", 96), ("32xlarge", 128))  # fmt: skip
_NO_ENCLAVES = ("t2", "t3", "t3a", "t4g", "mac", "mac1", "mac2", "a1", "g4ad", "p2", "p3", "u-")
"""Families without Nitro Enclaves; bare-metal sizes and sizes with fewer than four vCPUs (Intel, AMD) have none either."""

GPU_TYPES = {
    ("H100", 8): "p5.48xlarge",
    ("H200", 8): "p5en.48xlarge",
    ("A100", 8): "p4d.24xlarge",
    ("L4", 1): "g6.4xlarge",
    ("L4", 4): "g6.24xlarge",
    ("L4", 8): "g6.48xlarge",
    ("L40S", 1): "g6e.4xlarge",
    ("L40S", 4): "g6e.24xlarge",
    ("L40S", 8): "g6e.48xlarge",
    ("A10G", 1): "g5.4xlarge",
    ("A10G", 4): "g5.24xlarge",
    ("A10G", 8): "g5.48xlarge",
}
"""GPU model and count to the type that has exactly those."""
_GPU_FAMILIES = ("p3", "p4d", "p4de", "p5", "p5e", "p5en", "p6", "g4dn", "g5", "g6", "g6e")


@dataclass(frozen=True, slots=True)
class Machine:
    """A chosen type."""

    type: str
    why: str


def machine(enclave: Enclave, place: Place) -> Machine:
    """The instance type of a fleet.

    Raises:
        OperatorError: QNSP-PLN-230 to -234, AWS has no such machine; with the reason and the nearest that works.
    """
    spec = enclave.spec
    gpus = spec.gpus.count if spec.gpus else 0
    written = str(spec.size.instance_type) if spec.size.instance_type else None
    family = written.split(".")[0] if written else None

    def refuse(code: str, message: str, nearest: str) -> OperatorError:
        return OperatorError(code, message, subject=str(enclave.address), place=place, next_step=nearest)

    match spec.attester:
        case "nitro-enclave":
            if gpus:
                raise refuse(
                    "QNSP-PLN-230",
                    "a Nitro Enclave cannot be given a GPU",
                    "use attester: nitro-tpm, whose trust model is weaker (measured boot, no memory encryption)",
                )
            if written is None:
                return _smallest(
                    "m6i", spec.size.vcpus + 2, spec.size.memory.bytes + 2 * GIB, refuse, "leaves the parent"
                )
            if family in _NO_ENCLAVES or ".metal" in written:
                raise refuse("QNSP-PLN-231", f"{written} has no Nitro Enclaves", "use m6i.xlarge or larger")
            if written.endswith((".large", ".medium", ".small", ".micro", ".nano")):
                raise refuse(
                    "QNSP-PLN-231", f"{written} has fewer than four vCPUs, too few for a Nitro Enclave", "use an xlarge"
                )
        case "nitro-tpm":
            if spec.gpus is not None and spec.gpus.confidential_mode != "off":
                raise refuse(
                    "QNSP-PLN-232",
                    f"AWS offers no NVIDIA confidential mode, so it cannot be {spec.gpus.confidential_mode}",
                    'say gpus.confidentialMode: "off" and read the trust model, or use a platform with SEV-SNP or TDX and '
                    "confidential GPUs",
                )
            if spec.gpus is not None:
                chosen = GPU_TYPES.get((str(spec.gpus.model), gpus))
                if written is None and chosen is None:
                    known = ", ".join(f"{count} x {model}" for model, count in GPU_TYPES)
                    raise refuse("QNSP-PLN-232", f"no EC2 type has {gpus} x {spec.gpus.model}", f"use one of: {known}")
                if written is not None and family not in _GPU_FAMILIES:
                    raise refuse("QNSP-PLN-232", f"{written} has no NVIDIA GPU", f"use {chosen or 'g6.4xlarge'}")
                return Machine(written or str(chosen), f"{gpus} x {spec.gpus.model}")
            if written is None:
                return _smallest("m6i", spec.size.vcpus, spec.size.memory.bytes, refuse, "")
        case "sev-snp":
            if gpus:
                raise refuse(
                    "QNSP-PLN-233",
                    "the families with SEV-SNP have no GPU",
                    "use attester: nitro-tpm, whose trust model is weaker",
                )
            if written is None:
                return _smallest("m6a", spec.size.vcpus, spec.size.memory.bytes, refuse, "")
            if family not in SNP_FAMILIES:
                raise refuse(
                    "QNSP-PLN-233",
                    f"{written} has no SEV-SNP; m6a, c6a and r6a have",
                    "use size.instanceType: m6a.xlarge",
                )
        case other:
            nearest = "nitro-tpm, whose trust model is weaker" if other == "tdx" else "nitro-enclave"
            raise refuse("QNSP-PLN-234", f"AWS offers no {other}", f"use attester: {nearest}")
    return Machine(str(written), "as written")


def _smallest(family: str, vcpus: int, memory: int, refuse: object, why: str) -> Machine:
    for size, cores in _SIZES:
        if cores >= max(vcpus, 2) and cores * _MEMORY_PER_VCPU[family[0]] * GIB >= memory:
            if family == "m6i" and why and cores < 4:
                continue
            text = f"the smallest {family} with {vcpus} vCPUs and {memory // GIB} GiB"
            return Machine(f"{family}.{size}", f"{text}; {why}" if why else text)
    raise refuse(  # type: ignore[operator]
        "QNSP-PLN-230",
        f"no {family} has {vcpus} vCPUs and {memory // GIB} GiB",
        "ask for less, or name size.instanceType",
    )


__all__ = ["GPU_TYPES", "SNP_FAMILIES", "Machine", "machine"]
