"""Which verifier judges which kind of evidence, and the pinned anchors of all vendors.

Comes in: evidence of any kind. Goes out: verified claims, devices included. A kind is added by one line in `_VERIFIERS` (module and
function, imported when first used) and one in `_ANCHORS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Final, Protocol, cast

from qnsp_policy.kernel.attestation import appraisal_codes as codes
from qnsp_policy.kernel.attestation import composite
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import Anchor, Evidence, EvidenceKind, VerifiedClaims

_HERE: Final = "qnsp_policy.kernel.attestation"
_VERIFIERS: Final[Mapping[EvidenceKind, str]] = {
    EvidenceKind.SEV_SNP: f"{_HERE}.sev_snp.verify",
    EvidenceKind.NITRO_ENCLAVE: f"{_HERE}.nitro_enclave.verify",
    EvidenceKind.NITRO_TPM: f"{_HERE}.nitro_tpm.verify",
    EvidenceKind.NVIDIA_GPU: f"{_HERE}.nvidia_gpu.verify",
    EvidenceKind.NVSWITCH: f"{_HERE}.nvswitch.verify",
    EvidenceKind.NRAS: f"{_HERE}.nras.verify",
    EvidenceKind.TDX: f"{_HERE}.tdx.verify",
    EvidenceKind.SGX: f"{_HERE}.sgx.verify",
    EvidenceKind.COCO_SAMPLE: f"{_HERE}.coco_sample.verify",
}
"""Module of each kind; its function is `verify(evidence, *, collateral, anchors, now)`."""
_ANCHORS: Final = (
    f"{_HERE}.sev_snp.anchors",
    f"{_HERE}.dcap.anchors",
    f"{_HERE}.nitro_enclave.anchors",
    f"{_HERE}.nvidia_gpu.anchors",
    f"{_HERE}.nras.anchors",
)
"""Modules whose `ANCHORS` are pinned vendor roots."""


class Verifier(Protocol):
    """What every kind offers."""

    def __call__(
        self, evidence: Evidence, *, collateral: Collateral, anchors: Sequence[Anchor], now: datetime
    ) -> VerifiedClaims: ...


@cache
def verifier_of(kind: EvidenceKind) -> Verifier:
    """The verifier of a kind.

    Raises:
        EvidenceError: QNSP-ATT-CMP-001.
    """
    module = _VERIFIERS.get(kind)
    if module is None:
        raise EvidenceError(codes.UNKNOWN_KIND, subject=kind.value)
    return cast("Verifier", import_module(module).verify)


def kinds() -> tuple[EvidenceKind, ...]:
    """The kinds that can be verified."""
    return tuple(_VERIFIERS)


@cache
def pinned_anchors() -> tuple[Anchor, ...]:
    """The pinned roots of all vendors; never one that a workspace declared."""
    return tuple(anchor for module in _ANCHORS for anchor in import_module(module).ANCHORS)


def verify_any(
    evidence: Evidence, *, collateral: Collateral, anchors: Sequence[Anchor], now: datetime
) -> VerifiedClaims:
    """Verifies evidence of any kind and the devices that came with it; one result for a machine.

    Not checked here: that the CPU evidence binds the devices' evidence; the caller holds both report data against
    `composite.primary_report_data` and `composite.device_report_data`.

    Raises:
        EvidenceError: the first failing step, of the CPU evidence before its devices.
    """
    now = now.replace(microsecond=0)  # every validity is of whole seconds, the last of them included
    claims = verifier_of(evidence.kind)(evidence, collateral=collateral, anchors=anchors, now=now)
    if not evidence.devices:
        return claims
    if len(evidence.devices) > composite.MAX_DEVICES:
        raise EvidenceError(
            codes.TOO_MANY_DEVICES, got=str(len(evidence.devices)), expected=f"{composite.MAX_DEVICES} at most"
        )
    devices = tuple(
        verifier_of(device.kind)(device, collateral=collateral, anchors=anchors, now=now) for device in evidence.devices
    )
    return composite.join(claims, devices)


__all__ = ["Verifier", "kinds", "pinned_anchors", "verifier_of", "verify_any"]
