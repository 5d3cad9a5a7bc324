"""Which instance type a fleet gets: chosen from what the documents ask, refused where AWS has no such machine.

Sizes of the families that AWS documents for each attester (EC2 instance types, read 2026-11). Whether a zone offers the chosen
type, and whether the account's quota admits it, is asked by `plan --preflight`; nothing here asks anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.pipeline.model.kinds import Enclave

GIB = 2**30

SNP_FAMILIES = ("m6a", "c6a", "r6a")
_MEMORY_PER_VCPU = {"c": 2, "m": 4, "r": 8}
_SIZES = (("large", 2), ("xlarge", 4), ("2xlarge", 8), ("4xlarge", 16), ("8xlarge", 32), ("12xlarge", 48),
          ("16xlarge", 64), ("24xlarge", 96), ("32xlarge", 128))  # fmt: skip
_CORES = dict(_SIZES)
_STANDARD = re.compile(r"([cmr])[5-9][a-z]*\.(\w+)")
"""Families whose memory per vCPU is that of their letter."""
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
_GPU_FAMILIES = {"p4d": "A100", "p4de": "A100", "p5": "H100", "p5e": "H200", "p5en": "H200", "p6-b200": "B200",
                 "p6-b300": "B300", "g4dn": "T4", "g5": "A10G", "g6": "L4", "g6e": "L40S"}  # fmt: skip
"""Family to the GPU that all its sizes have. P3 has no UEFI boot, so no NitroTPM."""
_GPUS_OF_SIZE = {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}
"""GPUs of the sizes of g5, g6 and g6e; smaller sizes have one. A size of p4d and later has eight, but p5.4xlarge has one."""


def gpus_of(written: str) -> tuple[str, int] | None:
    """GPU model and count of an instance type; None where it has none that could stand beside a NitroTPM."""
    family, _, size = written.partition(".")
    model = _GPU_FAMILIES.get(family)
    if model is None:
        return None
    if family.startswith("p"):
        return model, 1 if size == "4xlarge" else 8
    if family == "g4dn":
        return model, {"12xlarge": 4, "metal": 8}.get(size, 1)
    return model, _GPUS_OF_SIZE.get(size, 1)


Refuse = Callable[[str, str, str], OperatorError]


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
    mode = spec.gpus.confidential_mode if spec.gpus else "off"
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
            if spec.size.vcpus % 2:
                raise refuse(
                    "QNSP-PLN-231",
                    f"an enclave is given whole cores of two vCPUs, so it cannot have {spec.size.vcpus}",
                    f"say vcpus: {spec.size.vcpus + 1}",
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
            _fits(written, spec.size.vcpus + 2, spec.size.memory.bytes, refuse, "and a core that its parent keeps")
        case "nitro-tpm":
            if mode != "off":
                raise refuse(
                    "QNSP-PLN-232",
                    f"AWS offers no NVIDIA confidential mode, so it cannot be {mode}",
                    'say gpus.confidentialMode: "off" and read the trust model, or use a platform with SEV-SNP or TDX and '
                    "confidential GPUs",
                )
            if spec.gpus is not None:
                chosen = GPU_TYPES.get((str(spec.gpus.model), gpus))
                if written is None and chosen is None:
                    known = ", ".join(f"{count} x {model}" for model, count in GPU_TYPES)
                    raise refuse("QNSP-PLN-232", f"no EC2 type has {gpus} x {spec.gpus.model}", f"use one of: {known}")
                held = gpus_of(written) if written else None
                if written is not None and held is None:
                    raise refuse(
                        "QNSP-PLN-232",
                        f"{written} has no NVIDIA GPU beside a NitroTPM",
                        f"use {chosen or 'g6.4xlarge'}",
                    )
                if held is not None and held != (str(spec.gpus.model), gpus):
                    raise refuse(
                        "QNSP-PLN-232",
                        f"{written} has {held[1]} x {held[0]}, all of which its instance gets, not {gpus} x {spec.gpus.model}",
                        f"say gpus: {{model: {held[0]}, count: {held[1]}}}" + (f", or use {chosen}" if chosen else ""),
                    )
                return Machine(written or str(chosen), f"{gpus} x {spec.gpus.model}")
            if written is None:
                return _smallest("m6i", spec.size.vcpus, spec.size.memory.bytes, refuse, "")
            _fits(written, spec.size.vcpus, spec.size.memory.bytes, refuse, "")
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
            _fits(written, spec.size.vcpus, spec.size.memory.bytes, refuse, "")
        case other:
            nearest = "nitro-tpm, whose trust model is weaker" if other == "tdx" else "nitro-enclave"
            raise refuse("QNSP-PLN-234", f"AWS offers no {other}", f"use attester: {nearest}")
    return Machine(str(written), "as written")


def _fits(written: str, vcpus: int, memory: int, refuse: Refuse, beside: str) -> None:
    """A type that was written is at least as large as the rest of the document wants."""
    known = _STANDARD.fullmatch(written)
    cores = _CORES.get(known[2]) if known else None
    if known is None or cores is None:
        return
    most = cores * _MEMORY_PER_VCPU[known[1]] * GIB
    if cores < vcpus or most < memory:
        raise refuse(
            "QNSP-PLN-231",
            f"{written} has {cores} vCPUs and {most // GIB} GiB; wanted are {vcpus} vCPUs{' ' + beside if beside else ''} "
            f"and {-(-memory // GIB)} GiB",
            "use a larger size, or leave instanceType out and have one chosen",
        )


def _smallest(family: str, vcpus: int, memory: int, refuse: Refuse, why: str) -> Machine:
    for size, cores in _SIZES:
        if cores >= max(vcpus, 2) and cores * _MEMORY_PER_VCPU[family[0]] * GIB >= memory:
            if family == "m6i" and why and cores < 4:
                continue
            text = f"the smallest {family} with {vcpus} vCPUs and {memory // GIB} GiB"
            return Machine(f"{family}.{size}", f"{text}; {why}" if why else text)
    raise refuse(
        "QNSP-PLN-230",
        f"no {family} has {vcpus} vCPUs and {memory // GIB} GiB",
        "ask for less, or name size.instanceType",
    )


__all__ = ["GPU_TYPES", "SNP_FAMILIES", "Machine", "gpus_of", "machine"]
