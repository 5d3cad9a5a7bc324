"""Declared anchors, from the JSON of a TrustRoot value to what verifiers take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.coco_sample.verify import INSECURE_ANCHOR, INSECURE_VENDOR
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass


def declared_anchors(declared: Iterable[Mapping[str, Any]]) -> tuple[Anchor, ...]:
    """Anchors that a workspace declares beside the pinned vendor roots.

    Raises:
        OperatorError: QNSP-KBS-004, one is no certificate.
    """
    found = []
    for anchor in declared:
        vendor, line = str(anchor["vendor"]), str(anchor.get("line", ""))
        if vendor == INSECURE_VENDOR:
            found.append(INSECURE_ANCHOR)
            continue
        try:
            certificate = x509.load_pem_x509_certificate(str(anchor["certificate"]).encode())
        except ValueError:
            raise OperatorError("QNSP-KBS-004", f"the anchor of {vendor} {line} is no certificate") from None
        assurance = AssuranceClass(str(anchor.get("assurance", AssuranceClass.SIMULATED.value)))
        found.append(Anchor(vendor, certificate.public_bytes(Encoding.DER), assurance, line))
    return tuple(found)


__all__ = ["declared_anchors"]
