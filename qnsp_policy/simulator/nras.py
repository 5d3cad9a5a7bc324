"""Simulated NRAS: a key set certified under a throw-away intermediate, and detached EATs with any claims.

Comes in: devices and their claims, a nonce, a time. Goes out: tokens and the JWKS that judges them. Insecure by name.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from qnsp_policy.simulator import mint
from qnsp_policy.simulator.nitro import issue, raw_signature

ISSUER: Final = "https://nras.attestation.nvidia.com"
KID: Final = "nv-eat-kid-simulated"
_GPU: Final = "x-nvidia-gpu-"
_GOOD_CHAIN: Final = {"x-nvidia-cert-status": "valid", "x-nvidia-cert-ocsp-status": "good"}
GOOD_DEVICE: Final[Mapping[str, Any]] = {
    "measres": "success",
    "secboot": True,
    "dbgstat": "disabled",
    "hwmodel": "GH100 A01 GSP BROM",
    "x-nvidia-gpu-driver-version": "580.10",
    "x-nvidia-gpu-vbios-version": "96.00.74.00.01",
    **{
        _GPU + name: True
        for name in (
            "arch-check",
            "attestation-report-parsed",
            "attestation-report-signature-verified",
            "attestation-report-nonce-match",
            "driver-rim-signature-verified",
            "vbios-rim-signature-verified",
            "vbios-index-no-conflict",
        )
    },
    **{f"{_GPU}{name}-cert-chain": _GOOD_CHAIN for name in ("attestation-report", "driver-rim", "vbios-rim")},
}


@dataclass(frozen=True, slots=True)
class NrasPki:
    """A throw-away NRAS: the intermediate that a policy pins, and the key of the day (48 hours)."""

    intermediate: mint.Authority
    day: mint.Authority


def mint_pki(now: datetime) -> NrasPki:
    """A new throw-away NRAS."""
    root = mint.root(
        ec.generate_private_key(ec.SECP384R1()),
        mint.name("NRAS intermediate (simulated)"),
        not_before=now - timedelta(days=100),
        not_after=now + timedelta(days=1000),
    )
    day = issue(
        root,
        "NRAS key of the day (simulated)",
        serial=7,
        not_before=now - timedelta(hours=24),
        not_after=now + timedelta(hours=24),
        is_ca=False,
    )
    return NrasPki(root, day)


def encode64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(pki: NrasPki) -> dict[str, Any]:
    """The one key of the set, with its certificates."""
    assert isinstance(pki.day.key, ec.EllipticCurvePrivateKey)
    numbers = pki.day.key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-384",
        "alg": "ES384",
        "kid": KID,
        "x": encode64(numbers.x.to_bytes(48, "big")),
        "y": encode64(numbers.y.to_bytes(48, "big")),
        "x5c": [base64.b64encode(one.certificate).decode() for one in (pki.day, pki.intermediate)],
    }


def token(pki: NrasPki, claims: Mapping[str, Any] | bytes, header: Mapping[str, Any] | None = None) -> str:
    """A compact JWS; claims as they shall be encoded, or the very bytes."""
    encoded = claims if isinstance(claims, bytes) else json.dumps(claims, separators=(",", ":")).encode()
    head = json.dumps({"kid": KID, "alg": "ES384"} if header is None else header).encode()
    signed = f"{encode64(head)}.{encode64(encoded)}"
    return f"{signed}.{encode64(raw_signature(pki.day.key, signed.encode()))}"


def times(now: datetime) -> dict[str, Any]:
    """iss, iat, nbf and exp of a token made at `now`."""
    made = int(now.timestamp())
    return {"iss": ISSUER, "iat": made, "nbf": made, "exp": made + 3600}


def device_token(pki: NrasPki, now: datetime, nonce: bytes, **changes: Any) -> str:
    """A device token that says all is well, with changes; a claim set to None is left out."""
    claims = {**GOOD_DEVICE, **times(now), "eat_nonce": nonce.hex(), **changes}
    return token(pki, {name: value for name, value in claims.items() if value is not None})


def eat(
    pki: NrasPki,
    now: datetime,
    nonce: bytes,
    devices: Mapping[str, str],
    *,
    header: Mapping[str, Any] | None = None,
    **changes: Any,
) -> bytes:
    """A detached EAT over device tokens, with changes to the overall claims; a claim set to None is left out."""
    claims = {
        "sub": "NVIDIA-PLATFORM-ATTESTATION",
        "x-nvidia-ver": "3.0",
        "x-nvidia-overall-att-result": True,
        "eat_nonce": nonce.hex(),
        "submods": {
            name: ["DIGEST", ["SHA-256", hashlib.sha256(text.encode()).hexdigest()]] for name, text in devices.items()
        },
        **times(now),
        **changes,
    }
    overall = token(pki, {name: value for name, value in claims.items() if value is not None}, header)
    return json.dumps([["JWT", overall], dict(devices)]).encode()


__all__ = [
    "GOOD_DEVICE",
    "ISSUER",
    "KID",
    "NrasPki",
    "device_token",
    "eat",
    "encode64",
    "jwk",
    "mint_pki",
    "times",
    "token",
]
