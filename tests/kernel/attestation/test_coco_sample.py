"""CoCo sample evidence is parsed only, never believed, and refused unless declared."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from qnsp_policy.kernel.attestation import registry
from qnsp_policy.kernel.attestation.coco_sample.verify import INSECURE_ANCHOR, verify
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import AssuranceClass, Evidence, EvidenceKind, Verdict, VerifiedClaims

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = {"svn": "1", "report_data": "AAEC"}


def judge(
    value: Any, *, anchors: bool = True, kind: EvidenceKind = EvidenceKind.COCO_SAMPLE, device: bool = False
) -> VerifiedClaims:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    declared = [INSECURE_ANCHOR] if anchors else list(registry.pinned_anchors())
    return verify(
        Evidence(kind, data, {"class": b"gpu"} if device else {}), collateral=Collateral(), anchors=declared, now=NOW
    )


def test_sample_is_simulated_and_checks_nothing() -> None:
    """Every statement says not checked, the class is simulated."""
    claims = judge(GOOD)
    assert (claims.assurance, claims.report_data) == (AssuranceClass.SIMULATED, b"\x00\x01\x02")
    assert {statement.verdict for statement in claims.statements} == {Verdict.NOT_CHECKED}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "003"), (b"\xff\xfe", "003"), (b"[" * 4000, "003"), (b'{"svn":NaN}', "003"), (b'{"svn":"1","svn":"2"}', "003"),
        (b" " * 5000, "002"), (b"x" * 1_000_000, "002"),
        ([GOOD], "004"), ({}, "004"), ({**GOOD, "extra": 1}, "004"), ({"report_data": ""}, "004"),
        ({**GOOD, "svn": 1}, "005"), ({**GOOD, "svn": 1.5}, "005"), ({**GOOD, "svn": None}, "005"), ({**GOOD, "svn": ""}, "005"),
        ({**GOOD, "report_data": "AAEC=="}, "006"), ({**GOOD, "report_data": "-_-_"}, "006"), ({**GOOD, "report_data": "AA"}, "006"),
        ({**GOOD, "report_data": "AA==\n"}, "006"), ({**GOOD, "report_data": "A" * 88}, "006"), ({**GOOD, "report_data": 5}, "006"),
        ({**GOOD, "class": "gpu"}, "007"),
    ],
)  # fmt: skip
def test_malformed_sample(value: Any, code: str) -> None:
    """Loose JSON, loose base64, wrong types, wrong class: each by its own code."""
    with pytest.raises(EvidenceError, match=f"QNSP-ATT-SMP-{code}"):
        judge(value)


def test_sample_needs_a_declaration() -> None:
    """Without the insecure anchor a sample is refused, vendor roots or not."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-SMP-010"):
        judge(GOOD, anchors=False)


def test_sample_labels() -> None:
    """A sample labelled as another kind is refused; a device sample is not a CPU's."""
    for kind in (EvidenceKind.SEV_SNP, EvidenceKind.TDX):
        with pytest.raises(EvidenceError, match="QNSP-ATT-SMP-001"):
            judge(GOOD, kind=kind)
        with pytest.raises(EvidenceError):
            registry.verify_any(
                Evidence(kind, json.dumps(GOOD).encode()), collateral=Collateral(), anchors=[INSECURE_ANCHOR], now=NOW
            )
    with pytest.raises(EvidenceError, match="QNSP-ATT-SMP-007"):
        judge({**GOOD, "class": "cpu"}, device=True)
    assert judge({**GOOD, "class": "gpu"}, device=True).claims["class"] == "gpu"


def test_sample_device_as_attesters_write_it() -> None:
    """CoCo's attester of sample devices writes no class: a device is what it was sent as."""
    assert judge(GOOD, device=True).claims["class"] == "gpu"
    with pytest.raises(EvidenceError, match="QNSP-ATT-SMP-007"):
        verify(
            Evidence(EvidenceKind.COCO_SAMPLE, json.dumps(GOOD).encode(), {"class": b"abacus"}),
            collateral=Collateral(),
            anchors=[INSECURE_ANCHOR],
            now=NOW,
        )
