"""CoCo sample evidence: `{"svn": "1", "report_data": base64}`, unsigned. Insecure: anybody can write it.

Comes in: the JSON bytes. Goes out: claims of assurance class simulated whose signature and chain are stated as not checked.
It is read at all only where an `Anchor` of vendor `coco-sample-insecure` declares it, an explicit switch that no vendor root gives.
Source: guest-components `attester/src/sample`, `sample_device`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from qnsp_policy.kernel.attestation.coco_sample import codes
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import (
    Anchor,
    AssuranceClass,
    ClaimValue,
    Evidence,
    EvidenceKind,
    Statement,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_json, unb64

INSECURE_VENDOR: Final = "coco-sample-insecure"
"""The vendor of the anchor that switches sample evidence on; its certificate is empty."""
INSECURE_ANCHOR: Final = Anchor(vendor=INSECURE_VENDOR, certificate=b"", assurance=AssuranceClass.SIMULATED)
MAX_SAMPLE: Final = 4096
_CLASSES: Final = ("cpu", "gpu")
_FAR: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def verify(
    evidence: Evidence,
    *,
    collateral: Collateral,  # noqa: ARG001  one shape for all kinds; a sample has no collateral
    anchors: Sequence[Anchor],
    now: datetime,  # noqa: ARG001  a sample has no times
) -> VerifiedClaims:
    """Parses sample evidence; "verified" here means only that it is well formed, and the statements say so.

    Raises:
        EvidenceError: QNSP-ATT-SMP-*.
    """
    if evidence.kind is not EvidenceKind.COCO_SAMPLE:
        raise EvidenceError(codes.KIND, subject="kind", expected="coco-sample", got=evidence.kind.value)
    if len(evidence.data) > MAX_SAMPLE:
        raise EvidenceError(codes.SIZE, expected=f"{MAX_SAMPLE} bytes at most", got=f"{len(evidence.data)} bytes")
    try:
        value = parse_json(evidence.data, max_bytes=MAX_SAMPLE)
    except CanonicalJsonError as error:
        raise EvidenceError(codes.JSON, error.message) from error
    if not isinstance(value, dict) or "svn" not in value or not value.keys() <= {"svn", "report_data", "class"}:
        raise EvidenceError(codes.MEMBERS)
    wanted = evidence.endorsements.get("class", b"cpu").decode("ascii", "replace")
    stated = value.get("class", wanted)  # attesters write none: then it is what it was sent as
    if wanted not in _CLASSES or stated != wanted:
        raise EvidenceError(codes.CLASS, subject="class", expected=wanted, got=str(stated)[:16])
    svn = value["svn"]
    if not isinstance(svn, str) or not svn.isascii() or not svn.isdigit() or len(svn) > 8:
        raise EvidenceError(codes.SVN, subject="svn")
    try:
        report_data = unb64(value.get("report_data", ""), "report_data")
    except CanonicalJsonError as error:
        raise EvidenceError(codes.REPORT_DATA, error.message, subject="report_data") from error
    if len(report_data) > 64:
        raise EvidenceError(
            codes.REPORT_DATA, subject="report_data", expected="64 bytes at most", got=str(len(report_data))
        )
    if not any(anchor.vendor == INSECURE_VENDOR for anchor in anchors):
        raise EvidenceError(codes.NOT_DECLARED)
    claims: dict[str, ClaimValue] = {"svn": int(svn), "reportData": report_data.hex(), "class": wanted}
    unsigned = "sample evidence is not signed"
    return VerifiedClaims(
        kind=EvidenceKind.COCO_SAMPLE,
        assurance=AssuranceClass.SIMULATED,
        claims=claims,
        report_data=report_data,
        statements=(
            Statement("signature", Verdict.NOT_CHECKED, unsigned),
            Statement("chain", Verdict.NOT_CHECKED, unsigned),
            Statement("revocation", Verdict.NOT_CHECKED, unsigned),
            Statement(
                "freshness", Verdict.NOT_CHECKED, "report_data must be compared with a nonce, and anybody can write it"
            ),
            Statement("debug", Verdict.NOT_CHECKED, unsigned),
            Statement("measurements", Verdict.NOT_CHECKED, "sample evidence holds none; init data are not bound"),
        ),
        not_after=_FAR,
    )


__all__ = ["INSECURE_ANCHOR", "INSECURE_VENDOR", "MAX_SAMPLE", "verify"]
