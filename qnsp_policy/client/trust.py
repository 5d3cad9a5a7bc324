"""What a relying party trusts: `trust.json`, format `qnsp.relying-party-trust/v1` (docs/formats/answer.md).

Made from an applied workspace (`qnsp-policy trust export`) or written by hand; everything a verification relies on stands in it, so
that verifying needs no network and no other opinion.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.values import Alternative, Anchor, AssuranceClass
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object
from qnsp_policy.pipeline.trust.codec import alternative_from_json, alternative_to_json

FORMAT = "qnsp.relying-party-trust/v1"
_MEMBERS = {
    "format",
    "endpoint",
    "tenant",
    "anchors",
    "alternatives",
    "signatureAlgorithms",
    "models",
    "maxAgeSeconds",
    "receipts",
}


@dataclass(frozen=True, slots=True)
class TrustedModel:
    """A model that this relying party expects behind an endpoint; digests are SHA-256 text, publisher a name."""

    resource: str
    digest: str
    plaintext_digest: str
    publisher: str = ""


@dataclass(frozen=True, slots=True)
class RelyingPartyTrust:
    """Everything that verification relies on.

    Attributes:
        endpoint, tenant: names the evidence must carry; "" accepts any.
        anchors: roots beyond which nothing is asked; the pinned vendor roots count only if they are listed here or `vendor_roots`.
        alternatives: reference values, of which one must hold whole.
        signature_algorithms: what may sign answers, by the tenant's tier; anything else is refused.
        models: expected models by digest; empty means that the model is only claimed.
        max_age: how old a live answer may be.
        receipts: whether an answer without a receipt is refused.
        vendor_roots: whether the pinned vendor roots count.
    """

    endpoint: str
    tenant: str
    anchors: tuple[Anchor, ...]
    alternatives: tuple[Alternative, ...]
    signature_algorithms: frozenset[str]
    models: tuple[TrustedModel, ...] = ()
    max_age: timedelta = timedelta(minutes=5)
    receipts: bool = False
    vendor_roots: bool = True

    def to_json(self) -> dict[str, Any]:
        """The file's JSON."""
        return {
            "format": FORMAT,
            "endpoint": self.endpoint,
            "tenant": self.tenant,
            "anchors": {
                "vendorRoots": self.vendor_roots,
                "declared": [
                    {
                        "vendor": anchor.vendor,
                        "line": anchor.line,
                        "assurance": anchor.assurance.value,
                        "certificate": _pem(anchor.certificate),
                    }
                    for anchor in self.anchors
                ],
            },
            "alternatives": [alternative_to_json(alternative) for alternative in self.alternatives],
            "signatureAlgorithms": sorted(self.signature_algorithms),
            "models": [
                {
                    "resource": m.resource,
                    "digest": m.digest,
                    "plaintextDigest": m.plaintext_digest,
                    "publisher": m.publisher,
                }
                for m in self.models
            ],
            "maxAgeSeconds": int(self.max_age.total_seconds()),
            "receipts": self.receipts,
        }

    @classmethod
    def from_json(cls, data: bytes | Mapping[str, Any]) -> RelyingPartyTrust:
        """Read `trust.json`.

        Raises:
            OperatorError: `QNSP-GWY-060`: malformed, or it would accept anything.
        """
        try:
            value = data if isinstance(data, Mapping) else parse_object(data)
            if set(value) != _MEMBERS or value["format"] != FORMAT:
                raise ValueError(f"not an object of format {FORMAT} with exactly {', '.join(sorted(_MEMBERS))}")
            if not value["alternatives"] or not value["signatureAlgorithms"]:
                raise ValueError("without alternatives and signatureAlgorithms it would accept nothing or anything")
            return cls(
                endpoint=str(value["endpoint"]),
                tenant=str(value["tenant"]),
                anchors=tuple(_anchor(anchor) for anchor in value["anchors"]["declared"]),
                alternatives=tuple(alternative_from_json(a) for a in value["alternatives"]),
                signature_algorithms=frozenset(str(name) for name in value["signatureAlgorithms"]),
                models=tuple(
                    TrustedModel(m["resource"], m["digest"], m["plaintextDigest"], m.get("publisher", ""))
                    for m in value["models"]
                ),
                max_age=timedelta(seconds=int(value["maxAgeSeconds"])),
                receipts=value["receipts"] is True,
                vendor_roots=value["anchors"]["vendorRoots"] is True,
            )
        except (CanonicalJsonError, KeyError, TypeError, ValueError) as error:
            raise OperatorError("QNSP-GWY-060", f"trust file: {error}") from None


def _pem(der: bytes) -> str:
    body = base64.b64encode(der).decode()
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _anchor(value: Mapping[str, Any]) -> Anchor:
    certificate = x509.load_pem_x509_certificate(value["certificate"].encode())
    return Anchor(
        vendor=value["vendor"],
        certificate=certificate.public_bytes(Encoding.DER),
        assurance=AssuranceClass(value["assurance"]),
        line=value.get("line", ""),
    )


__all__ = ["FORMAT", "RelyingPartyTrust", "TrustedModel"]
