"""Attestation results become EARs that never affirm what was not checked."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import joserfc.jwk
import joserfc.jwt
import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.ear import PROFILE, ear_claims, sign_ear, tier, verify_ear
from qnsp_policy.kernel.attestation.registry import pinned_anchors, verify_any
from qnsp_policy.kernel.attestation.values import (
    Alternative,
    Anchor,
    AppraisalPolicy,
    AssuranceClass,
    Evidence,
    EvidenceKind,
)
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.simulator import dcap

CATEGORIES = {
    "instance-identity",
    "configuration",
    "executables",
    "file-system",
    "hardware",
    "runtime-opaque",
    "storage-opaque",
    "sourced-data",
}
SUBMODULE = {
    "type": "object",
    "required": ["ear_status"],
    "properties": {
        "ear_status": {"enum": ["none", "affirming", "warning", "contraindicated"]},
        "ear_trustworthiness_vector": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"enum": sorted(CATEGORIES)},
            "additionalProperties": {"type": "integer", "minimum": -128, "maximum": 127},
        },
        "ear_appraisal_policy_ids": {"type": "array", "minItems": 1, "items": {"type": "string"}},
    },
}
EAR = {
    "type": "object",
    "required": ["eat_profile", "iat", "ear_verifier_id", "submods"],
    "properties": {
        "eat_profile": {"type": "string", "format": "uri"},
        "iat": {"type": "integer"},
        "exp": {"type": "integer"},
        "eat_nonce": {"type": "string", "minLength": 8, "maxLength": 88},
        "ear_verifier_id": {
            "type": "object",
            "required": ["developer", "build"],
            "properties": {"developer": {"type": "string"}, "build": {"type": "string"}},
            "additionalProperties": False,
        },
        "submods": {"type": "object", "minProperties": 1, "additionalProperties": SUBMODULE},
    },
}
"""The claims set in the words of JSON Schema, after the CDDL of draft-ietf-rats-ear and RFC 9711."""


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
    claims = ear_claims(result(""), policy_id="sha256:00", build="0", nonce=b"nonce of the session")
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


def by_hand(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, what is signed and the signature, read with the standard library alone."""
    header, claims, signature = token.split(".")
    raw = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (header, claims, signature)]
    return json.loads(raw[0]), json.loads(raw[1]), f"{header}.{claims}".encode(), raw[2]


def test_another_library_reads_it(result: Callable[[str], Any]) -> None:
    """An EAR signed with ES256 is a JWT to another library, and its claims have the types of the draft."""
    key = generate("ECDSA-P256")
    token = sign_ear(ear_claims(result(""), policy_id="sha256:00", build="0", nonce=bytes(64)), key)
    jwk: dict[str, str | list[str]] = {**key.public.to_jwk()}
    public = joserfc.jwk.ECKey.import_key(jwk)
    found = joserfc.jwt.decode(token, public, algorithms=["ES256"])
    jsonschema.validate(found.claims, EAR)
    assert (found.header["alg"], found.claims["eat_nonce"]) == ("ES256", "A" * 86)


def test_read_without_us(result: Callable[[str], Any]) -> None:
    """One signed with ML-DSA verifies with nothing of ours: base64url, JSON, and the key's own bytes."""
    key = generate("ML-DSA-65")
    header, claims, signed, signature = by_hand(sign_ear(ear_claims(result(""), policy_id="x", build="0"), key))
    jsonschema.validate(claims, EAR)
    assert (header["alg"], header["typ"]) == ("ML-DSA-65", "JWT")
    public = key.public.to_jwk()["pub"]
    raw = base64.urlsafe_b64decode(public + "=" * (-len(public) % 4))
    mldsa.MLDSA65PublicKey.from_public_bytes(raw).verify(signature, signed)


def test_open_advisories_are_a_warning() -> None:
    """Hardware with a status below UpToDate is genuine with known vulnerabilities, even where a policy accepts it; debug counts for TDX too."""
    now = datetime(2027, 3, 9, 8, tzinfo=UTC)
    platform = dcap.make_platform(dcap.mint_intel(now), td=True)
    begin, end = now - timedelta(days=1), now + timedelta(days=1)
    anchor = Anchor("simulated", platform.pki.root.certificate, AssuranceClass.HARDWARE_TEE)

    def judged(status: str, td_attributes: int) -> dict[str, Any]:
        level = dcap.tcb_level(status, tdx=(5, 0, 2, *((0,) * 13)), advisories=["INTEL-SA-90003"])
        files = dcap.collateral_files(platform, begin, end, info=dcap.tcb_info(platform, begin, end, [level]))
        quote = platform.quote(dcap.td_report(report_data=b"", td_attributes=td_attributes))
        claims = verify_any(
            Evidence(EvidenceKind.TDX, quote), collateral=Collateral.from_files(files), anchors=[anchor], now=now
        )
        wanted = Alternative(
            "v",
            EvidenceKind.TDX,
            {"mrTd": "00" * 48, "tcbStatus": status, "tdAttributes.debug": bool(td_attributes & 1)},
        )
        found = appraise(claims, AppraisalPolicy((wanted,), frozenset(AssuranceClass)), now)
        assert found.accepted, found.mismatches
        vector: dict[str, Any] = ear_claims(found, policy_id="x", build="0")["submods"]["cpu"][
            "ear_trustworthiness_vector"
        ]
        return vector

    assert judged("UpToDate", 0x10000000) == {"hardware": 2, "configuration": 2, "executables": 2}
    assert judged("OutOfDate", 0x10000000)["hardware"] == 32
    assert judged("SWHardeningNeeded", 0x10000001)["configuration"] == 96
