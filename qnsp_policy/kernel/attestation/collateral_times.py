"""From when to when a file of collateral holds: the earliest end of what it contains.

Comes in: name and bytes. Goes out: what it is and its window, unverified: for planning a refresh, never for a verdict.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import InvalidVersion, ocsp
from lxml import etree

from qnsp_policy.kernel.attestation.collateral import Collateral, is_ocsp
from qnsp_policy.kernel.attestation.nras.keys import decode64
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.x509 import CertificateError, load_certificate, load_crl

_X509 = "{http://www.w3.org/2000/09/xmldsig#}X509Certificate"


@dataclass(frozen=True, slots=True)
class Window:
    """What a file is, and when it holds; None where it says nothing of that."""

    what: str
    begins: datetime | None = None
    ends: datetime | None = None

    def state(self, now: datetime) -> str:
        """valid, not yet valid, expired, or unknown."""
        if self.begins is None and self.ends is None:
            return "unknown"
        if self.begins is not None and now < self.begins:
            return "not yet valid"
        return "expired" if self.ends is not None and now > self.ends else "valid"


def window_of(name: str, data: bytes) -> Window:
    """The window of one file."""
    if b"BEGIN%20CERTIFICATE" in data[:256]:  # an issuer chain as a response header carries it
        data = unquote_to_bytes(data)
    try:
        found = Collateral.from_files({name: data})
    except EvidenceError:
        return Window("unreadable")
    if found.crls:
        return _of_crls(found.crls)
    if found.certificates:
        return _of_certificates("certificates", found.certificates)
    if b"SoftwareIdentity" in data[:2048]:
        return _of_rim(data)
    if "ocsp" in name.lower() or is_ocsp(data):
        return _of_ocsp(data)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return Window("other")
    return _of_json(value)


def _of_certificates(what: str, ders: Iterable[bytes]) -> Window:
    try:
        loaded = [load_certificate(der) for der in ders]
    except CertificateError:
        return Window("unreadable")
    return (
        Window(what, max(one.not_before for one in loaded), min(one.not_after for one in loaded))
        if loaded
        else Window(what)
    )


def _of_crls(ders: Iterable[bytes]) -> Window:
    try:
        loaded = [load_crl(der) for der in ders]
    except CertificateError:
        return Window("unreadable")
    ends = [one.next_update for one in loaded if one.next_update is not None]
    return Window("CRL", max(one.this_update for one in loaded), min(ends, default=None))


def _of_rim(data: bytes) -> Window:
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        root = etree.fromstring(data, parser)
        ders = [decode64("".join((node.text or "").split()), url=False) for node in root.iter(_X509)]
    except (etree.XMLSyntaxError, ValueError):
        return Window("unreadable")
    return _of_certificates("RIM", ders)


def _of_ocsp(data: bytes) -> Window:
    try:
        singles = list(ocsp.load_der_ocsp_response(data).responses)
        ends = [one.next_update_utc for one in singles if one.next_update_utc is not None]
        return Window("OCSP answer", max(one.this_update_utc for one in singles), min(ends, default=None))
    except (ValueError, UnsupportedAlgorithm, InvalidVersion):
        return Window("unreadable")


def _of_json(value: Any) -> Window:
    if not isinstance(value, dict):
        return Window("other")
    for member, what in (("tcbInfo", "TCB info"), ("enclaveIdentity", "QE identity")):
        if isinstance(value.get(member), dict):
            return Window(what, _moment(value[member].get("issueDate")), _moment(value[member].get("nextUpdate")))
    if isinstance(value.get("tcb_info"), str):
        return _of_quote_collateral(value)
    if isinstance(value.get("keys"), list):
        try:
            leafs = [decode64(key["x5c"][0], url=False) for key in value["keys"]]
        except (LookupError, TypeError, ValueError):
            return Window("key set")
        return _of_certificates("key set", leafs)
    return Window("other")


def _of_quote_collateral(value: dict[str, Any]) -> Window:
    """All that one quote needs in one document: it ends with the first of its parts."""
    try:
        parts = [
            _of_json({outer: json.loads(value[inner])})
            for outer, inner in (("tcbInfo", "tcb_info"), ("enclaveIdentity", "qe_identity"))
        ]
        parts += [_of_crls([bytes.fromhex(value[name])]) for name in ("pck_crl", "root_ca_crl") if value.get(name)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Window("unreadable")
    begins = [part.begins for part in parts if part.begins is not None]
    ends = [part.ends for part in parts if part.ends is not None]
    return Window("quote collateral", max(begins, default=None), min(ends, default=None))


def _moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found.astimezone(UTC) if found.tzinfo else None


__all__ = ["Window", "window_of"]
