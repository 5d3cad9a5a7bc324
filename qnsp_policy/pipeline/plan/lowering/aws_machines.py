"""Which instance type a fleet gets: chosen from what the documents ask, refused where AWS has no such machine.

What families have stands in `aws_families.py`. Whether a zone offers the chosen
type, and whether the account's quota admits it, is asked by `plan --preflight`; nothing here asks anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.pipeline.model.kinds import Enclave
from qnsp_policy.pipeline.plan.lowering.aws_families import (
    CORES,
    GIB,
    GPU_SIZES,
    GPU_TYPES,
    MEMORY_PER_VCPU,
    SNP_LARGEST,
    STANDARD,
    gpus_of,
    smallest,
    without_enclaves,
    without_snp,
    without_uefi,
)

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
                return _smallest(("m6i",), spec.size.vcpus + 2, spec.size.memory.bytes + 2 * GIB, refuse, least=4)
            if why := without_enclaves(written):
                raise refuse("QNSP-PLN-231", why, "use m6i.xlarge or larger")
            _fits(written, spec.size.vcpus + 2, spec.size.memory.bytes, refuse, "and a core that its parent keeps")
        case "nitro-tpm":
            if mode != "off":
                raise refuse(
                    "QNSP-PLN-232",
                    f"AWS offers no NVIDIA confidential mode, so it cannot be {mode}",
                    'say gpus.confidentialMode: "off" and read the trust model, or use a platform with SEV-SNP or TDX and '
                    "confidential GPUs",
                )
            if written is not None and (why := without_uefi(written)):
                raise refuse("QNSP-PLN-232", why, "use m6i.xlarge, or with GPUs p5.48xlarge or g6.4xlarge")
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
                taken = written or str(chosen)
                if taken in GPU_SIZES:
                    _holds(taken, *GPU_SIZES[taken], spec.size.vcpus, spec.size.memory.bytes, refuse, "QNSP-PLN-232")
                return Machine(taken, f"{gpus} x {spec.gpus.model}")
            if written is None:
                return _smallest(("m6i",), spec.size.vcpus, spec.size.memory.bytes, refuse)
            _fits(written, spec.size.vcpus, spec.size.memory.bytes, refuse, "")
        case "sev-snp":
            if gpus:
                raise refuse(
                    "QNSP-PLN-233",
                    "the families with SEV-SNP have no GPU",
                    "use attester: nitro-tpm, whose trust model is weaker",
                )
            if written is None:
                return _smallest(tuple(SNP_LARGEST), spec.size.vcpus, spec.size.memory.bytes, refuse)
            if why := without_snp(written):
                raise refuse("QNSP-PLN-233", why, "use size.instanceType: m6a.xlarge")
            _fits(written, spec.size.vcpus, spec.size.memory.bytes, refuse, "")
        case other:
            nearest = "nitro-tpm, whose trust model is weaker" if other == "tdx" else "nitro-enclave"
            raise refuse("QNSP-PLN-234", f"AWS offers no {other}", f"use attester: {nearest}")
    return Machine(str(written), "as written")


def _fits(written: str, vcpus: int, memory: int, refuse: Refuse, beside: str) -> None:
    """A type that was written is at least as large as the rest of the document wants."""
    known = STANDARD.fullmatch(written)
    cores = CORES.get(known[2]) if known else None
    if known is None or cores is None:
        return
    _holds(written, cores, cores * MEMORY_PER_VCPU[known[1]], vcpus, memory, refuse, "QNSP-PLN-231", beside)


def _holds(
    taken: str, cores: int, gibibytes: int, vcpus: int, memory: int, refuse: Refuse, code: str, beside: str = ""
) -> None:
    if cores < vcpus or gibibytes * GIB < memory:
        raise refuse(
            code,
            f"{taken} has {cores} vCPUs and {gibibytes} GiB; wanted are {vcpus} vCPUs{' ' + beside if beside else ''} "
            f"and {-(-memory // GIB)} GiB",
            "use a larger size, or leave instanceType out and have one chosen",
        )


def _smallest(families: tuple[str, ...], vcpus: int, memory: int, refuse: Refuse, *, least: int = 2) -> Machine:
    wanted = f"{vcpus} vCPUs and {memory // GIB} GiB"
    chosen = smallest(families, vcpus, memory, least=least)
    if chosen is None:
        raise refuse(
            "QNSP-PLN-230",
            f"no {' or '.join(families)} that serves here has {wanted}",
            "ask for less, or name size.instanceType",
        )
    left = "; leaves the parent a core" if least > 2 else ""
    return Machine(chosen, f"the smallest {chosen.partition('.')[0]} with {wanted}{left}")


__all__ = ["Machine", "machine"]
