"""Verification of NVSwitch evidence: the steps of nvidia_gpu with the switch's fields and its one BIOS RIM."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nvidia_gpu.verify import verify_device
from qnsp_policy.kernel.attestation.values import Anchor, Evidence, VerifiedClaims


def verify(evidence: Evidence, *, collateral: Collateral, anchors: Sequence[Anchor], now: datetime) -> VerifiedClaims:
    """Verifies an NVSwitch's report; a GPU's report is refused.

    Claims: `nonce`, `vbiosVersion`, `architecture`, `deviceId`, `pdi` (its own identifier), `gpuPdis` (its NVLink neighbours).
    """
    return verify_device(evidence, collateral=collateral, anchors=anchors, now=now, switch=True)


__all__ = ["verify"]
