"""Verified claims as JSON and back, for the broker's own session store and its own tokens only.

"Only a verifier makes VerifiedClaims": what is read here was written here, by the broker that verified it, into a store or under a
signature that nobody else writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from qnsp_policy.kernel.attestation.values import AssuranceClass, EvidenceKind, Statement, Verdict, VerifiedClaims


def claims_to_json(claims: VerifiedClaims) -> dict[str, Any]:
    """Every member, report data as hex, times in seconds."""
    return {
        "kind": claims.kind.value,
        "assurance": claims.assurance.value,
        "claims": dict(claims.claims),
        "reportData": claims.report_data.hex(),
        "statements": [
            {"name": s.name, "verdict": s.verdict.value, "detail": s.detail, "code": s.code} for s in claims.statements
        ],
        "notAfter": int(claims.not_after.timestamp()),
        "devices": [claims_to_json(device) for device in claims.devices],
    }


def claims_from_json(value: Mapping[str, Any]) -> VerifiedClaims:
    """The inverse of `claims_to_json`."""
    return VerifiedClaims(
        kind=EvidenceKind(value["kind"]),
        assurance=AssuranceClass(value["assurance"]),
        claims=dict(value["claims"]),
        report_data=bytes.fromhex(value["reportData"]),
        statements=tuple(
            Statement(s["name"], Verdict(s["verdict"]), s["detail"], s["code"]) for s in value["statements"]
        ),
        not_after=datetime.fromtimestamp(value["notAfter"], UTC),
        devices=tuple(claims_from_json(device) for device in value["devices"]),
    )


__all__ = ["claims_from_json", "claims_to_json"]
