"""ReferenceValues documents as alternatives: each complete tuple with its floors, flags and devices.

What the document does not say is filled with the strictest reading (debug and migration denied). A list of chips becomes one
alternative a chip, a dated grace becomes a further alternative with its lower floors that ends with the grace, so
both are seen by the trust diff as what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from qnsp_policy.kernel.attestation.nvidia_gpu.versions import version_number
from qnsp_policy.kernel.attestation.values import Alternative, ClaimValue, EvidenceKind
from qnsp_policy.pipeline.model.kinds.attestation import Alternative as DocumentAlternative
from qnsp_policy.pipeline.model.kinds.attestation import DeviceValues, Enclave, Grace, ReferenceValues
from qnsp_policy.pipeline.model.scalars import Expiry
from qnsp_policy.pipeline.trust.initdata import host_data, initdata_claim
from qnsp_policy.pipeline.trust.values import Origin

USABLE_STATES = frozenset({"active"})

_DENIED: Mapping[EvidenceKind, tuple[str, ...]] = {
    EvidenceKind.SEV_SNP: ("policy.debug", "policy.migrate"),
    EvidenceKind.TDX: ("tdAttributes.debug",),
    EvidenceKind.SGX: ("attributes.debug",),
}
"""Flags that are false unless the document says otherwise; nothing is allowed by being left out."""

_TCB_PARTS = frozenset({"bootloader", "tee", "snp", "microcode", "fmc"})


def ends(expiry: Expiry | None) -> datetime | None:
    """The last moment at which something still holds."""
    return None if expiry is None else expiry.at


def alternatives(
    document: ReferenceValues, enclave: Enclave | None, *, floors: Mapping[str, int], graces: tuple[Grace, ...]
) -> tuple[Alternative, ...]:
    """Every whole way in which evidence of `enclave` may satisfy `document`.

    Args:
        document: the reference values; only an active document admits anything.
        enclave: for the number of devices that each member must prove; None where the document stands alone.
        floors: what the grant asks on top; the higher of both counts.
        graces: dated exceptions of the grant; that of the document is added.
    """
    if document.spec.state not in USABLE_STATES:
        return ()
    found: list[Alternative] = []
    for index, written in enumerate(document.spec.alternatives):
        for whole in _by_chip(_whole(f"{document.address}#{index}", document, written, enclave), written):
            strict = _with_floors(whole, floors)
            found.append(strict)
            exceptions = (*graces, *([document.spec.grace] if document.spec.grace else []))
            found.extend(_graced(strict, grace) for grace in exceptions)
    return tuple(found)


def _whole(name: str, document: ReferenceValues, written: DocumentAlternative, enclave: Enclave | None) -> Alternative:
    kind = EvidenceKind(document.spec.attester)
    equals: dict[str, ClaimValue] = dict.fromkeys(_DENIED.get(kind, ()), False)
    flags = {EvidenceKind.TDX: "tdAttributes", EvidenceKind.SGX: "attributes"}.get(kind, "policy")
    equals |= {f"{flags}.{flag}": _plain(value) for flag, value in written.policy.items()}
    equals |= {claim: str(value) for claim, value in written.measurements.items()}
    if written.vmpl is not None:
        equals["vmpl"] = written.vmpl
    if written.product_line is not None:
        equals["productLine"] = str(written.product_line)
    wanted = list(written.devices)
    if len(wanted) == 1 and enclave is not None and enclave.spec.gpus is not None:
        wanted *= enclave.spec.gpus.count
    return Alternative(
        name=name,
        kind=kind,
        equals=equals,
        floors={floor_claim(kind, component): floor for component, floor in written.floors.items()},
        devices=tuple(_device(f"{name}/device{n}", device) for n, device in enumerate(wanted)),
        not_after=ends(document.spec.expires),
    )


def _plain(value: bool | int | str) -> ClaimValue:
    return value if isinstance(value, bool | int) else str(value)


def floor_claim(kind: EvidenceKind, component: str) -> str:
    """The claim that carries a component's version: `snp` of a document is `tcb.reported.snp` of SNP evidence."""
    if kind is EvidenceKind.SEV_SNP and component in _TCB_PARTS:
        return f"tcb.reported.{component}"
    return component


def _device(name: str, device: DeviceValues) -> Alternative:
    equals: dict[str, ClaimValue] = {"confidentialMode": str(device.mode)}
    architecture = device.architecture or architecture_of(str(device.model))
    equals["architecture"] = architecture  # a report names its chip, never the product: H100 and H200 are one chip
    equals |= {claim: str(value) for claim, value in device.measurements.items()}
    floors = dict(device.floors)
    for component, version in (("vbios", device.vbios), ("driver", device.driver)):
        if version is not None:
            floors[component] = version_number(str(version))
    return Alternative(name, EvidenceKind.NVIDIA_GPU, equals, floors)


def architecture_of(model: str) -> str:
    """The architecture that a product name implies; an unknown product demands itself, which no report shows."""
    name = model.upper().replace("NVIDIA", "").strip(" -_")
    if name.startswith(("H100", "H200", "H800", "H20", "GH200", "GH100")):
        return "hopper"
    if name.startswith(("B100", "B200", "B300", "GB100", "GB200", "GB300", "GB202", "RTX PRO 6000")):
        return "blackwell"
    return name.lower()


def _by_chip(whole: Alternative, written: DocumentAlternative) -> Iterator[Alternative]:
    if not written.chip_ids:
        yield whole
    for number, chip in enumerate(written.chip_ids):
        yield replace(whole, name=f"{whole.name}/chip{number}", equals={**whole.equals, "chipId": str(chip)})


def _with_floors(alternative: Alternative, floors: Mapping[str, int]) -> Alternative:
    named = {floor_claim(alternative.kind, component): floor for component, floor in floors.items()}
    higher = {claim: max(floor, alternative.floors.get(claim, 0)) for claim, floor in named.items()}
    return replace(alternative, floors={**alternative.floors, **higher})


def _graced(alternative: Alternative, grace: Grace) -> Alternative:
    """The same with the lower floors of a grace, until its end; other floors stay."""
    lower = {floor_claim(alternative.kind, component): floor for component, floor in grace.floors.items()}
    end = ends(grace.until)
    known = [moment for moment in (end, alternative.not_after) if moment is not None]
    return replace(
        alternative,
        name=f"{alternative.name}/grace-until-{grace.until}",
        floors={**alternative.floors, **lower},
        not_after=min(known),
    )


def origin(document: ReferenceValues, alternative: Alternative, initdata: bytes) -> Origin:
    """Where an alternative comes from; the initdata counts as an input only where its digest is what was measured."""
    inputs: dict[str, str] = {}
    if document.spec.computed_from is not None:
        written = document.spec.computed_from.model_dump(mode="json", by_alias=True, exclude_none=True)
        inputs = {name: str(value) for name, value in written.items()}
    claim, value = initdata_claim(document.spec.attester, initdata)
    if alternative.equals.get(claim) == value:
        inputs["initdata"] = f"sha256:{host_data(initdata)}"
    return Origin(str(document.address), inputs, document.spec.origin == "trust-on-first-use")


__all__ = ["alternatives", "architecture_of", "ends", "floor_claim", "origin", "version_number"]
