"""The entry point of SGX evidence; see `dcap.verify` for the steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.dcap import verify as dcap
from qnsp_policy.kernel.attestation.dcap.codes import Tee
from qnsp_policy.kernel.attestation.values import Anchor, Evidence, VerifiedClaims


def verify(evidence: Evidence, *, collateral: Collateral, anchors: Sequence[Anchor], now: datetime) -> VerifiedClaims:
    """Verifies a SGX quote.

    Args:
        evidence: the quote; endorsement `pck-chain` (PEM) stands in where the quote carries no chain, further endorsements are
            collateral by file name.
        collateral: TCB info, QE identity, issuer chains, CRLs.
        anchors: trust anchors; Intel's SGX root or a declared simulator's.
        now: aware, UTC.

    Raises:
        EvidenceError: QNSP-ATT-SGX-*, the first failing step.
    """
    return dcap.verify(Tee.SGX, evidence, collateral=collateral, anchors=anchors, now=now)


__all__ = ["verify"]
