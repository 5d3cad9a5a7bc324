"""What EC2's families and sizes are and lack, as far as an attester of ours asks: values only, nothing here asks anybody.

Sources (EC2 and Nitro Enclaves user guides, read 2026-11): "AMD SEV-SNP for Amazon EC2 instances" (sizes), "Requirements to launch an EC2
instance in UEFI boot mode" (every Nitro type but bare metal, DL1, G4ad, P4, U-*tb1 and VT1), "What is Nitro Enclaves?" (types without).
"""

from __future__ import annotations

import re

GIB = 2**30

SNP_LARGEST = {"m6a": "8xlarge", "c6a": "16xlarge", "r6a": "4xlarge"}
"""Families with SEV-SNP, and the largest size that has it."""
SIZES = (("large", 2), ("xlarge", 4), ("2xlarge", 8), ("4xlarge", 16), ("8xlarge", 32), ("12xlarge", 48),
         ("16xlarge", 64), ("24xlarge", 96), ("32xlarge", 128))  # fmt: skip
"""Sizes and their vCPUs, of families whose memory follows from their letter."""
CORES = dict(SIZES)
MEMORY_PER_VCPU = {"c": 2, "m": 4, "r": 8}
STANDARD = re.compile(r"([cmr])[5-9][a-z]*\.(\w+)")
"""Types whose memory per vCPU is that of their letter."""

GPU_TYPES = {
    ("H100", 1): "p5.4xlarge",
    ("H100", 8): "p5.48xlarge",
    ("H200", 8): "p5en.48xlarge",
    ("B200", 8): "p6-b200.48xlarge",
    ("B300", 8): "p6-b300.48xlarge",
    ("T4", 1): "g4dn.4xlarge",
    ("T4", 4): "g4dn.12xlarge",
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
"""GPU model and count to the type that has exactly those and boots by UEFI."""
GPU_SIZES = {
    "p5.4xlarge": (16, 256), "p5.48xlarge": (192, 2048), "p5en.48xlarge": (192, 2048), "p6-b200.48xlarge": (192, 2048),
    "p6-b300.48xlarge": (192, 4096), "g4dn.4xlarge": (16, 64), "g4dn.12xlarge": (48, 192), "g6.4xlarge": (16, 64),
    "g6.24xlarge": (96, 384), "g6.48xlarge": (192, 768), "g6e.4xlarge": (16, 128), "g6e.24xlarge": (96, 768),
    "g6e.48xlarge": (192, 1536), "g5.4xlarge": (16, 64), "g5.24xlarge": (96, 384), "g5.48xlarge": (192, 768),
}  # fmt: skip
"""vCPUs and GiB of these types."""
_GPU_FAMILIES = {"p5": "H100", "p5e": "H200", "p5en": "H200", "p6-b200": "B200", "p6-b300": "B300",
                 "g4dn": "T4", "g5": "A10G", "g6": "L4", "g6e": "L40S"}  # fmt: skip
"""Family to the GPU that all its sizes have, of families that boot by UEFI: P4 and G4ad do not, P3 and older are no Nitro types."""
_ONE = ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
_GPUS_OF_SIZE = {
    "p5": {"4xlarge": 1, "48xlarge": 8},
    **{family: {"48xlarge": 8} for family in ("p5e", "p5en", "p6-b200", "p6-b300")},
    "g4dn": {**dict.fromkeys(_ONE, 1), "12xlarge": 4},
    **{
        family: {**dict.fromkeys(_ONE, 1), "12xlarge": 4, "24xlarge": 4, "48xlarge": 8}
        for family in ("g5", "g6", "g6e")
    },
}
"""GPUs of every size that these families have."""
_TYPE = re.compile(r"[a-z]+[0-9]*[a-z0-9-]*\.[a-z0-9-]+")
_SIZE_WORDS = re.compile(r"nano|micro|small|medium|large|[1-9][0-9]*xlarge|xlarge|metal(-[1-9][0-9]*xl)?")

_LARGER = frozenset({"3xlarge", "6xlarge", "9xlarge", "10xlarge", "18xlarge", "48xlarge", "56xlarge", "96xlarge"})
"""Sizes of some families of these letters beyond those whose memory follows from the letter."""
_XEN = frozenset({"c1", "c3", "c4", "cc2", "cr1", "d2", "f1", "g2", "g3", "g3s", "h1", "hs1", "i2", "i3", "m1", "m2", "m3",
                  "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e"})  # fmt: skip
_NO_UEFI = frozenset({"dl1", "g4ad", "p4d", "p4de", "vt1"})
_NO_ENCLAVES = frozenset({"g4ad", "r7iz", "t3", "t3a", "trn1", "trn1n", "vt1"})
_TOO_LARGE_FOR_ENCLAVES = re.compile(r"[cmr]7i\.(24|48)xlarge")
_TOO_SMALL_FOR_ENCLAVES = (".large", ".medium", ".small", ".micro", ".nano")


def gpus_of(written: str) -> tuple[str, int] | None:
    """GPU model and count of an instance type; None where it has none that could stand beside a NitroTPM."""
    family, _, size = written.partition(".")
    count = _GPUS_OF_SIZE.get(family, {}).get(size)
    return None if count is None else (_GPU_FAMILIES[family], count)


def unfit(written: str) -> str | None:
    """Why no attester of ours runs on a type; None where it may."""
    family, _, size = written.partition(".")
    if not _TYPE.fullmatch(written) or not _SIZE_WORDS.fullmatch(size):
        return f"{written} is no instance type: EC2 writes family.size in lower case, as m6i.xlarge"
    if family in _GPUS_OF_SIZE and not size.startswith("metal") and size not in _GPUS_OF_SIZE[family]:
        return f"{family} has no size {size}"
    standard = STANDARD.fullmatch(written)
    if standard and size.endswith("xlarge") and size not in CORES and size not in _LARGER:
        return f"{family} has no size {size}"
    suffix = re.fullmatch(r"[a-z]+\d+(.*)", family)
    if family == "a1" or (suffix is not None and "g" in suffix[1]):
        return f"{written} is an Arm type, and images are measured for x86_64"
    if family.startswith("mac"):
        return f"{written} is a Mac"
    if size.startswith("metal"):
        return f"{written} is bare metal: no Nitro hypervisor stands under it"
    if family in _XEN:
        return f"{written} is not built on the Nitro System"
    return None


def without_uefi(written: str) -> str | None:
    """Why a type boots no UEFI image, and so has no NitroTPM and no SEV-SNP; None where it does."""
    family = written.partition(".")[0]
    if family in _NO_UEFI or re.fullmatch(r"u-\d+tb1", family):
        return f"{written} boots no UEFI image, so it has no NitroTPM"
    return unfit(written)


def without_enclaves(written: str) -> str | None:
    """Why a type has no Nitro Enclaves; None where it has."""
    family = written.partition(".")[0]
    if why := unfit(written):
        return why
    if family in _NO_ENCLAVES or family.startswith("u") or family.endswith("-flex"):
        return f"{written} has no Nitro Enclaves"
    if _TOO_LARGE_FOR_ENCLAVES.fullmatch(written):
        return f"{written} has no Nitro Enclaves, as smaller sizes of its family have"
    if written.endswith(_TOO_SMALL_FOR_ENCLAVES):
        return f"{written} has fewer than four vCPUs, too few for a Nitro Enclave"
    return None


def without_snp(written: str) -> str | None:
    """Why a type has no SEV-SNP; None where it has."""
    family, _, size = written.partition(".")
    if not _TYPE.fullmatch(written):
        return unfit(written)
    if family not in SNP_LARGEST:
        return f"{written} has no SEV-SNP; m6a, c6a and r6a have"
    if CORES.get(size, 10**6) > CORES[SNP_LARGEST[family]]:
        return f"{written} has no SEV-SNP; the largest {family} that has is {family}.{SNP_LARGEST[family]}"
    return None


def smallest(families: tuple[str, ...], vcpus: int, memory: int, *, least: int = 2) -> str | None:
    """The first size, family by family, that holds so many vCPUs and bytes; None where none does."""
    for family in families:
        largest = CORES[SNP_LARGEST[family]] if family in SNP_LARGEST else max(CORES.values())
        for size, cores in SIZES:
            if max(vcpus, least) <= cores <= largest and cores * MEMORY_PER_VCPU[family[0]] * GIB >= memory:
                return f"{family}.{size}"
    return None


__all__ = [
    "CORES",
    "GIB",
    "GPU_SIZES",
    "GPU_TYPES",
    "MEMORY_PER_VCPU",
    "SNP_LARGEST",
    "STANDARD",
    "gpus_of",
    "smallest",
    "unfit",
    "without_enclaves",
    "without_snp",
    "without_uefi",
]
