"""Verification of a detached EAT of the NVIDIA Remote Attestation Service, against a key set that was fetched on its day.

1. shape, strict JSON   2. header: only kid, alg, typ; ES384   3. the key id is in the key set once
4. its certificate is for this key, pinned, in its 48 hours   5. signature of the overall token and of every device token
6. issuer, nbf and exp   7. the overall token names exactly the device tokens, by SHA-256   8. one nonce, not zero   9. claim names
10. the service's verdicts: overall, and for each device measurements, secure boot, debug, its own checks. A verdict that is not good
is a correctly signed statement: it is returned as `refused`, and `appraise` accepts nothing with a refused statement.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nras import codes
from qnsp_policy.kernel.attestation.nras.keys import decode64, find, public_key
from qnsp_policy.kernel.attestation.refusal import Code, EvidenceError
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
from qnsp_policy.kernel.attestation.vendors import anchors_of

ISSUER: Final = "https://nras.attestation.nvidia.com"
_MAX_BYTES: Final = 1024 * 1024
_MAX_DEVICES: Final = 64
_HEADER: Final = frozenset({"kid", "alg", "typ"})
_SIGNATURE: Final = 96
_CHECKS: Final = (
    "arch-check",
    "attestation-report-parsed",
    "attestation-report-signature-verified",
    "attestation-report-nonce-match",
)
_RIM_CHECKS: Final = ("driver-rim-signature-verified", "vbios-rim-signature-verified", "vbios-index-no-conflict")
_CHAINS: Final = ("attestation-report", "driver-rim", "vbios-rim")
_LATEST: Final = 253_402_300_800  # the year 10000, in seconds
_VERSIONS: Final = frozenset({"2.0", "3.0"})


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _load(data: bytes) -> Any:
    if not 0 < len(data) <= _MAX_BYTES:
        raise EvidenceError(codes.JSON, expected=f"1 to {_MAX_BYTES} bytes", got=f"{len(data)} bytes")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(codes.JSON, str(error)[:120]) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _token(text: Any) -> tuple[Mapping[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, signed bytes and signature of a compact JWS, unverified."""
    parts = text.split(".") if isinstance(text, str) else []
    if len(parts) != 3:
        raise EvidenceError(codes.TOKEN)
    try:
        header, claims, signature = (decode64(part, url=True) for part in parts)
    except ValueError as error:
        raise EvidenceError(codes.TOKEN, str(error)) from error
    head, body = _load(header), _load(claims)
    if not isinstance(head, dict) or not isinstance(body, dict):
        raise EvidenceError(codes.TOKEN, "header or claims are no object")
    return head, body, f"{parts[0]}.{parts[1]}".encode("ascii"), signature


def _shape(data: bytes) -> tuple[str, dict[str, str]]:
    value = _load(data)
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], list) and isinstance(value[1], dict)):
        raise EvidenceError(codes.SHAPE)
    head, devices = value
    if len(head) != 2 or head[0] != "JWT" or not isinstance(head[1], str) or not 1 <= len(devices) <= _MAX_DEVICES:
        raise EvidenceError(codes.SHAPE)
    return head[1], devices


def read_unverified(data: bytes) -> tuple[tuple[str, str, Mapping[str, Any], Mapping[str, Any]], ...]:
    """Name, text, header and claims of every token, for showing only.

    Raises:
        EvidenceError: QNSP-ATT-NRAS-001 to -003.
    """
    overall, devices = _shape(data)
    found = []
    for name, text in (("overall", overall), *devices.items()):
        header, claims, _, _ = _token(text)
        found.append((name, text, header, claims))
    return tuple(found)


def _keys(collateral: Collateral) -> Any:
    """The key set: a document named so, else the one JSON document that has `keys`."""
    for name, data in sorted(collateral.documents.items()):
        if "jwks" in name.lower():
            return _load(data)
    for data in collateral.documents.values():
        if data.lstrip()[:1] == b"{" and b'"keys"' in data:
            return _load(data)
    raise EvidenceError(codes.NO_KEYS)


def _verified(
    text: Any, *, keys: Any, anchors: Sequence[Anchor], now: datetime, subject: str
) -> tuple[dict[str, Any], datetime]:
    """Steps 2 to 6 for one token."""
    header, claims, signed, signature = _token(text)
    if (
        set(header) - _HEADER
        or "kid" not in header
        or header.get("typ", "JWT") != "JWT"
        or not isinstance(header["kid"], str)
    ):
        raise EvidenceError(codes.HEADER, subject=subject, got=", ".join(sorted(map(str, header)))[:80])
    if header.get("alg") != "ES384":
        raise EvidenceError(codes.ALGORITHM, subject=subject, got=str(header.get("alg"))[:40])
    key, until = public_key(find(keys, header["kid"]), anchors=anchors, now=now)
    half = _SIGNATURE // 2
    try:
        if len(signature) != _SIGNATURE:
            raise EvidenceError(codes.SIGNATURE, subject=subject, expected="96 bytes", got=f"{len(signature)} bytes")
        r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature as error:
        raise EvidenceError(codes.SIGNATURE, subject=subject) from error
    return claims, min(until, _times(claims, now, subject))


def _times(claims: Mapping[str, Any], now: datetime, subject: str) -> datetime:
    if claims.get("iss") != ISSUER:
        raise EvidenceError(codes.ISSUER, subject=subject, expected=ISSUER, got=str(claims.get("iss"))[:80])
    moments: list[datetime] = []
    for name in ("iat", "nbf", "exp"):
        value = claims.get(name)
        if type(value) is not int or not 0 < value < _LATEST:
            raise EvidenceError(codes.TIMES, subject=subject)
        moments.append(datetime.fromtimestamp(value, UTC))
    issued, not_before, expires = moments
    if now < max(issued, not_before):
        raise EvidenceError(
            codes.NOT_YET,
            subject=subject,
            expected=f"from {max(issued, not_before):%Y-%m-%dT%H:%M:%SZ}",
            got=f"{now:%Y-%m-%dT%H:%M:%SZ}",
        )
    if now >= expires:  # RFC 7519 section 4.1.4: on or after exp it must not be accepted
        raise EvidenceError(
            codes.EXPIRED,
            subject=subject,
            expected=f"before {expires:%Y-%m-%dT%H:%M:%SZ}",
            got=f"{now:%Y-%m-%dT%H:%M:%SZ}",
        )
    return expires


def _submodules(overall: Mapping[str, Any], devices: Mapping[str, str]) -> None:
    """Step 7."""
    stated = overall.get("submods")
    if not isinstance(stated, dict) or set(stated) != set(devices):
        raise EvidenceError(codes.SUBMODULES)
    for name, token in devices.items():
        digest = hashlib.sha256(token.encode("ascii")).hexdigest()
        if stated[name] != ["DIGEST", ["SHA-256", digest]]:
            raise EvidenceError(codes.DIGEST, subject=name[:40])


def _nonce(tokens: Sequence[Mapping[str, Any]]) -> bytes:
    """Step 8."""
    nonces = {token.get("eat_nonce") if isinstance(token.get("eat_nonce"), str) else None for token in tokens}
    if len(nonces) != 1 or None in nonces:
        raise EvidenceError(codes.NONCE)
    try:
        nonce = bytes.fromhex(str(nonces.pop()))
    except ValueError as error:
        raise EvidenceError(codes.NONCE, "not hex") from error
    if not any(nonce):
        raise EvidenceError(codes.NONCE, "zero")
    return nonce


def _refusals(name: str, claims: Mapping[str, Any], version: str) -> list[tuple[Code, str]]:
    """Steps 9 and 10 for one device."""
    prefix = "x-nvidia-switch-" if name.upper().startswith(("SWITCH", "NVSWITCH")) else "x-nvidia-gpu-"
    old = [
        claim
        for claim in claims
        if claim.startswith(prefix) and claim.endswith(("-cert-validated", "-cert-chain-validated"))
    ]
    new = [claim for claim in claims if claim.startswith(prefix) and claim.endswith("-cert-chain")]
    if (version == "3.0" and old) or (version == "2.0" and new):
        raise EvidenceError(codes.OTHER_VERSION, subject=name[:40], got=(old or new)[0])
    found: list[tuple[Code, str]] = []
    if claims.get("measres") != "success":
        found.append((codes.MEASUREMENTS, f"{name}: measres {claims.get('measres', 'absent')!s:.40}"))
    if claims.get("secboot") is not True:
        found.append((codes.SECURE_BOOT, f"{name}: secboot {claims.get('secboot', 'absent')!s:.40}"))
    if claims.get("dbgstat") != "disabled":
        found.append((codes.DEBUG, f"{name}: dbgstat {claims.get('dbgstat', 'absent')!s:.40}"))
    checks = _CHECKS if prefix == "x-nvidia-switch-" else (*_CHECKS, *_RIM_CHECKS)
    failed = [
        claim.removeprefix(prefix) for claim, value in claims.items() if claim.startswith(prefix) and value is False
    ]
    wanted = [check for check in checks if claims.get(prefix + check) is not True]
    found += [(codes.CHECK, f"{name}: {check}") for check in dict.fromkeys((*wanted, *failed))]
    if version == "3.0":
        for chain in _CHAINS if prefix == "x-nvidia-gpu-" else _CHAINS[:1]:
            stated = claims.get(f"{prefix}{chain}-cert-chain")
            good = isinstance(stated, dict) and (
                stated.get("x-nvidia-cert-status"),
                stated.get("x-nvidia-cert-ocsp-status"),
            ) == ("valid", "good")
            if not good:
                found.append((codes.CHECK, f"{name}: certificates of the {chain}"))
    return found


def verify(evidence: Evidence, *, collateral: Collateral, anchors: Sequence[Anchor], now: datetime) -> VerifiedClaims:
    """Verifies a detached EAT; the key set is a document of the collateral whose name contains `jwks`.

    Claims: `overall`, `nonce`, `version`, `devices` (count), `debug`, and per device `<name>.measres`, `.secboot`, `.dbgstat`,
    `.hwmodel`, `.driverVersion`, `.vbiosVersion`, `.ueid` where stated. `report_data` is the nonce.

    Raises:
        EvidenceError: QNSP-ATT-NRAS-001 to -023; the verdicts (-030 on) are statements.
    """
    overall_text, device_texts = _shape(evidence.data)
    keys = _keys(collateral)
    overall, until = _verified(overall_text, keys=keys, anchors=anchors, now=now, subject="overall")
    devices: dict[str, dict[str, Any]] = {}
    for name, text in device_texts.items():
        devices[name], end = _verified(text, keys=keys, anchors=anchors, now=now, subject=name[:40])
        until = min(until, end)
    _submodules(overall, device_texts)
    nonce = _nonce([overall, *devices.values()])
    version = overall.get("x-nvidia-ver")
    if not isinstance(version, str) or version not in _VERSIONS:
        raise EvidenceError(codes.VERSION, got=str(version)[:20])
    result = overall.get("x-nvidia-overall-att-result")
    if not isinstance(result, bool):
        raise EvidenceError(
            codes.CLAIM_TYPE, subject="x-nvidia-overall-att-result", expected="true or false", got=repr(result)[:20]
        )
    refused = [] if result else [(codes.OVERALL, "overall")]
    for name, claims in devices.items():
        refused += _refusals(name, claims, str(version))
    simulated = any(anchor.assurance is AssuranceClass.SIMULATED for anchor in anchors_of("nras", anchors))
    good = Verdict.SIMULATED if simulated else Verdict.OK
    return VerifiedClaims(
        kind=EvidenceKind.NRAS,
        assurance=AssuranceClass.SIMULATED if simulated else AssuranceClass.HARDWARE_TEE,
        claims=_claims(result=result, nonce=nonce, version=str(version), devices=devices),
        report_data=nonce,
        statements=(
            Statement("signature", good, f"ES384, overall and {len(devices)} device tokens"),
            Statement("chain", good, "the key of the day is certified by a pinned intermediate"),
            Statement(
                "revocation",
                Verdict.NOT_CHECKED,
                "no revocation list of the service's keys is known; its leafs live two days",
            ),
            Statement("freshness", Verdict.NOT_CHECKED, "the tokens are in their hour; their nonce must be compared"),
            Statement("measurements", Verdict.CLAIMED, "the service compared them; the tokens carry its word only"),
            *(Statement("verdict", Verdict.REFUSED, detail, code.code) for code, detail in refused),
            *(() if refused else (Statement("verdict", Verdict.CLAIMED, "the service says that every check passed"),)),
        ),
        not_after=until,
    )


def _claims(
    *, result: bool, nonce: bytes, version: str, devices: Mapping[str, Mapping[str, Any]]
) -> dict[str, ClaimValue]:
    found: dict[str, ClaimValue] = {
        "overall": result,
        "nonce": nonce.hex(),
        "version": version,
        "devices": len(devices),
    }
    found["debug"] = any(claims.get("dbgstat") != "disabled" for claims in devices.values())
    names = {
        "measres": "measres",
        "secboot": "secboot",
        "dbgstat": "dbgstat",
        "hwmodel": "hwmodel",
        "ueid": "ueid",
        "x-nvidia-gpu-driver-version": "driverVersion",
        "x-nvidia-gpu-vbios-version": "vbiosVersion",
    }
    for name, claims in devices.items():
        for theirs, ours in names.items():
            value = claims.get(theirs)
            if isinstance(value, (str, bool)):
                found[f"{name}.{ours}"] = value
    return found


__all__ = ["ISSUER", "read_unverified", "verify"]
