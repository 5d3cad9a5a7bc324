"""Attestation results as EAR (draft-ietf-rats-ear-04) with an AR4SI trustworthiness vector (draft-ietf-rats-ar4si-10, section 2.3).

Comes in: an `AttestationResult`. Goes out: the claims set, or a JWT over it signed with ML-DSA (RFC 9964) or ES256. A category about
which nothing was established is absent, never affirmed. Simulated hardware is "unrecognised" (97): contraindicated, whatever else held.
Each submodule carries our own statements in `ear_verifier_claims`, what was not checked with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.appraise import DEBUG_CLAIMS
from qnsp_policy.kernel.attestation.values import AssuranceClass, AttestationResult, Verdict, VerifiedClaims
from qnsp_policy.kernel.crypto.canonical import b64url
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.wire.jwt import issue, verify_token

PROFILE: Final = "tag:ietf.org,2026:rats/ear#04"
DEVELOPER: Final = "qnsp-policy"
LIFETIME: Final = timedelta(minutes=5)
_AFFIRMING: Final = 2
_WARNING: Final = 32
_UNSAFE_CONFIGURATION: Final = 96
_UNRECOGNISED_RUNTIME: Final = 96
_UNRECOGNISED_HARDWARE: Final = 97
_KNOWN_VULNERABILITIES: Final = 32
_UP_TO_DATE: Final = "UpToDate"
_NONCE_TEXT: Final = (8, 88)
"""Length of a nonce as text (RFC 9711, section 4.1)."""
_TIERS: Final = ("none", "affirming", "warning", "contraindicated")
_DEVICE_NAMES: Final = {"nvidia-gpu": "gpu", "nvswitch": "switch", "nras": "nras"}


def tier(value: int) -> int:
    """The AR4SI tier of a value: 0 none, 1 affirming, 2 warning, 3 contraindicated."""
    if -1 <= value <= 1:
        return 0
    if -_WARNING <= value < _WARNING:
        return 1
    return 2 if -_UNSAFE_CONFIGURATION <= value < _UNSAFE_CONFIGURATION else 3


def _hardware(claims: VerifiedClaims, verdicts: Mapping[str, Verdict]) -> int | None:
    if claims.assurance is AssuranceClass.SIMULATED:
        return _UNRECOGNISED_HARDWARE
    status = claims.claims.get("tcbStatus", _UP_TO_DATE)
    if Verdict.REFUSED in (verdicts.get("tcb"), verdicts.get("revocation")) or status == "Revoked":
        return _UNSAFE_CONFIGURATION
    if status != _UP_TO_DATE:  # genuine, and with open advisories, whatever a policy says of it
        return _KNOWN_VULNERABILITIES
    established = verdicts.get("chain") is Verdict.OK and verdicts.get("tcb", Verdict.OK) is Verdict.OK
    return _AFFIRMING if established and verdicts.get("revocation") is Verdict.OK else None


def _vector(
    claims: VerifiedClaims, verdicts: Mapping[str, Verdict], *, matched: bool, accepted: bool
) -> dict[str, int]:
    debug = [claims.claims[name] for name in sorted(DEBUG_CLAIMS & claims.claims.keys())]
    vector: dict[str, int] = {}
    if (hardware := _hardware(claims, verdicts)) is not None:
        vector["hardware"] = hardware
    if debug:
        vector["configuration"] = _AFFIRMING if all(one is False for one in debug) else _UNSAFE_CONFIGURATION
    if matched and verdicts.get("measurements") in (Verdict.OK, Verdict.SIMULATED):
        vector["executables"] = _AFFIRMING
    elif not accepted:
        vector["executables"] = _UNRECOGNISED_RUNTIME
    return vector or {"hardware": 0}  # AR4SI wants one category at least; 0 asserts nothing


def _submodule(claims: VerifiedClaims, result: AttestationResult, policy_id: str, *, primary: bool) -> dict[str, Any]:
    statements = result.statements if primary else claims.statements
    verdicts = {statement.name: statement.verdict for statement in statements}
    vector = _vector(claims, verdicts, matched=primary and bool(result.matched), accepted=result.accepted)
    return {
        "ear_status": _TIERS[max(tier(value) for value in vector.values())],
        "ear_trustworthiness_vector": vector,
        "ear_appraisal_policy_ids": [policy_id],
        "ear_attester_claims": {"kind": claims.kind.value, "assurance": claims.assurance.value, **claims.claims},
        "ear_verifier_claims": {
            "statements": [
                {
                    "name": one.name,
                    "verdict": one.verdict.value,
                    "detail": one.detail,
                    **({"code": one.code} if one.code else {}),
                }
                for one in statements
            ],
            **({"matched": result.matched} if primary and result.matched else {}),
        },
    }


def ear_claims(
    result: AttestationResult, *, policy_id: str, build: str, nonce: bytes = b"", lifetime: timedelta = LIFETIME
) -> dict[str, Any]:
    """The claims set of a result: submodule `cpu` for the evidence itself, `gpu0`, `switch0` and so on for its devices.

    Args:
        result: what `appraise` returned, accepted or not.
        policy_id: names the appraisal policy, e.g. the digest of a release policy.
        build: version of this program.
        nonce: the nonce that was bound; base64url in `eat_nonce`, left out where that is not 8 to 88 characters (RFC 9711).
        lifetime: `exp` is the earlier of `iat` plus this and the end of what the verdict relied on.
    """
    claims, text = result.claims, b64url(nonce)
    name = _DEVICE_NAMES.get(claims.kind.value)
    submods = {f"{name}0" if name else "cpu": _submodule(claims, result, policy_id, primary=True)}
    counts: dict[str, int] = {name: 1} if name else {}
    for device in claims.devices:
        label = _DEVICE_NAMES.get(device.kind.value, "device")
        number = counts.get(label, 0)
        counts[label] = number + 1
        submods[f"{label}{number}"] = _submodule(device, result, policy_id, primary=False)
    worst = max(_TIERS.index(submodule["ear_status"]) for submodule in submods.values())
    if not result.accepted:
        worst = max(worst, _TIERS.index("contraindicated"))
    return {
        "eat_profile": PROFILE,
        "iat": int(result.appraised_at.timestamp()),
        "exp": int(min(result.appraised_at + lifetime, claims.not_after).timestamp()),
        "ear_verifier_id": {"developer": DEVELOPER, "build": build},
        "ear_status": _TIERS[worst],
        **({"eat_nonce": text} if _NONCE_TEXT[0] <= len(text) <= _NONCE_TEXT[1] else {}),
        "submods": submods,
    }


def sign_ear(claims: Mapping[str, Any], key: PrivateKey) -> str:
    """An EAR as a JWT; the algorithm follows from the key (ML-DSA-44/65/87 or ECDSA-P256)."""
    return issue(key, claims)


def verify_ear(token: str, keys: Sequence[PublicKey], *, now: datetime) -> dict[str, Any]:
    """The claims of an EAR that one of `keys` signed.

    Raises:
        PeerError: QNSP-SIG-090 to -092, -001; QNSP-SIG-093 for a token of another profile.
    """
    claims = verify_token(token, keys, now=now)
    if claims.get("eat_profile") != PROFILE or not isinstance(claims.get("submods"), dict):
        raise PeerError("QNSP-SIG-093", "the token is no EAR of the profile that this verifier reads", expected=PROFILE)
    return claims


__all__ = ["DEVELOPER", "LIFETIME", "PROFILE", "ear_claims", "sign_ear", "tier", "verify_ear"]
