"""Attestation results become EARs that never affirm what was not checked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.ear import PROFILE, ear_claims, sign_ear, tier, verify_ear
from qnsp_policy.kernel.attestation.registry import pinned_anchors, verify_any
from qnsp_policy.kernel.attestation.values import Alternative, AppraisalPolicy, AssuranceClass, Evidence, EvidenceKind
from qnsp_policy.kernel.crypto.keys import generate


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (1, 0),
        (-1, 0),
        (2, 1),
        (31, 1),
        (-2, 1),
        (-32, 1),
        (32, 2),
        (95, 2),
        (-33, 2),
        (96, 3),
        (127, 3),
        (-97, 3),
        (-128, 3),
    ],
)
def test_ar4si_tiers(value: int, expected: int) -> None:
    """The tiers of draft-ietf-rats-ar4si, section 2.3.2, at their borders."""
    assert tier(value) == expected


@pytest.fixture
def result(vector: Callable[[str], bytes]) -> Any:
    evidence = Evidence(
        EvidenceKind.SEV_SNP, vector("snp/ms_milan_attestation_report.bin"), {"vcek": vector("snp/ms_milan_vcek.pem")}
    )
    collateral = Collateral.from_files({"ask.pem": vector("snp/ms_milan_ask.pem")})
    now = datetime(2026, 9, 1, tzinfo=UTC)
    claims = verify_any(evidence, collateral=collateral, anchors=pinned_anchors(), now=now)

    def judge(measurement: str) -> Any:
        wanted = Alternative(
            "values", EvidenceKind.SEV_SNP, {"measurement": measurement or claims.claims["measurement"]}
        )
        return appraise(claims, AppraisalPolicy((wanted,), frozenset(AssuranceClass)), now)

    return judge


def test_ear_affirms_only_what_was_established(result: Callable[[str], Any]) -> None:
    """Unchecked revocation leaves hardware without a word; a measurement that no tuple holds is contraindicated."""
    good = ear_claims(result(""), policy_id="sha256:00", build="0")
    assert good["eat_profile"] == PROFILE
    vector = good["submods"]["cpu"]["ear_trustworthiness_vector"]
    assert vector == {"configuration": 2, "executables": 2}
    assert good["ear_status"] == "affirming"
    bad = ear_claims(result("00" * 48), policy_id="sha256:00", build="0")
    assert bad["ear_status"] == "contraindicated"
    assert bad["submods"]["cpu"]["ear_trustworthiness_vector"]["executables"] == 96


@pytest.mark.parametrize("algorithm", ["ML-DSA-65", "ECDSA-P256"])
def test_ear_is_signed(result: Callable[[str], Any], algorithm: str) -> None:
    """An EAR verifies under the key that signed it, in its minutes, and under no other."""
    key, stranger = generate(algorithm), generate(algorithm)
    claims = ear_claims(result(""), policy_id="sha256:00", build="0", nonce="bm9uY2U=")
    token = sign_ear(claims, key)
    now = datetime(2026, 9, 1, 0, 4, 59, tzinfo=UTC)
    assert verify_ear(token, [key.public], now=now) == claims
    for keys, moment in (([stranger.public], now), ([key.public], datetime(2026, 9, 1, 0, 6, tzinfo=UTC))):
        with pytest.raises(PeerError):
            verify_ear(token, keys, now=moment)
    other = sign_ear(claims | {"eat_profile": "tag:example.com,2026:other"}, key)
    with pytest.raises(PeerError) as caught:
        verify_ear(other, [key.public], now=now)
    assert caught.value.code == "QNSP-SIG-093"
