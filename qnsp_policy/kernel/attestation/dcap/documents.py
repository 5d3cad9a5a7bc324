"""PCS documents: TCB info and QE identity, as Intel's service, its caches or a collateral bundle give them.

Comes in: `Collateral`. Goes out: signed documents with the exact bytes that their signature covers, CRLs and certificates. Read are:
the PCS body `{"tcbInfo": {...}, "signature": hex}` and `{"enclaveIdentity": {...}, "signature": hex}`; a bundle (quote collateral
version 3) with `tcb_info`, `tcb_info_signature`, `tcb_info_issuer_chain`, `qe_identity`..., `pck_crl` and `root_ca_crl` (hex or PEM), or whole PCS bodies in the
first two, as Intel's library hands them over; issuer
chains from PEM files, bundles, response headers saved beside or with the body (URL-encoded), or any JSON that holds them as text. Source: Intel PCS API version 4.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.x509 import Certificate, CertificateError, load_certificate, split_pem
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object

MAX_DOCUMENT: Final = 1024 * 1024
_MEMBERS: Final = {"tcbInfo": "tcb", "enclaveIdentity": "qe"}
_BODIES: Final = ('{"tcbInfo"', '{"enclaveIdentity"')
_MARKERS: Final = (b'"tcbInfo"', b'"enclaveIdentity"', b'"tcb_info"', b'"qe_identity"')
_DECODER: Final = json.JSONDecoder()


class DocumentFormError(ValueError):
    """A PCS document is not well formed; callers turn it into their own code."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One PCS document: the bytes as signed, the signature (64 bytes raw), the parsed object, and the chain that came with it.

    Attributes:
        what: "tcb" or "qe".
    """

    what: str
    signed: bytes
    signature: bytes
    value: Mapping[str, Any]
    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PcsCollateral:
    """Everything of Intel's in a collateral."""

    documents: tuple[Signed, ...]
    crls: tuple[bytes, ...]
    certificates: tuple[Certificate, ...]


def _signature(text: object) -> bytes:
    if not isinstance(text, str) or len(text) != 128:
        raise DocumentFormError("signature is not 128 hex digits")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise DocumentFormError("signature is not 128 hex digits") from error


@lru_cache(maxsize=512)
def _inner(signed: bytes) -> Mapping[str, Any]:
    try:
        return parse_object(signed, max_bytes=MAX_DOCUMENT)
    except CanonicalJsonError as error:
        raise DocumentFormError(error.message) from error


def _slice(text: str, member: str) -> bytes:
    """The exact text of a top-level member's value, found by reading the object member by member."""
    at = text.index("{") + 1
    while True:
        at = _skip(text, at)
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] != ":":
            raise DocumentFormError("not an object")
        start = _skip(text, at + 1)
        _, at = _DECODER.raw_decode(text, start)
        if name == member:
            return text[start:at].encode()
        at = _skip(text, at)
        if text[at] != ",":
            raise DocumentFormError(f"{member} is missing")
        at += 1


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


@lru_cache(maxsize=512)
def _read(data: bytes) -> tuple[tuple[Signed, ...], tuple[bytes, ...], tuple[bytes, ...]]:
    """Signed documents, CRLs and certificates of one file; nothing where the file is something else."""
    if data.lstrip()[:1] != b"{":
        if b"BEGIN%20CERTIFICATE" not in data:
            if any(marker in data for marker in _MARKERS):
                raise DocumentFormError("a document of Intel's members that is no JSON object")
            return (), (), ()
        head, body = _answer(data)
        documents, of_body, beside = _read(body) if body else ((), (), ())
        return documents, of_body, (*_chain(unquote_to_bytes(head)), *beside)
    try:
        value = parse_object(data, max_bytes=MAX_DOCUMENT)
    except CanonicalJsonError as error:
        if any(marker in data for marker in _MARKERS):
            raise DocumentFormError(error.message) from error
        return (), (), ()
    found: list[Signed] = []
    crls: list[bytes] = []
    certificates: list[bytes] = []
    for member, what in _MEMBERS.items():
        if isinstance(value.get(member), dict):
            signed = _slice(data.decode(), member)
            found.append(Signed(what, signed, _signature(value.get("signature")), _inner(signed), ()))
    for member, what in (("tcb_info", "tcb"), ("qe_identity", "qe")):
        if isinstance(value.get(member), str) and not value[member].lstrip().startswith(_BODIES):
            signed = value[member].encode()
            chain = _chain(str(value.get(f"{member}_issuer_chain", "")).encode())
            found.append(
                Signed(what, signed, _signature(value.get(f"{member}_signature")), _inner(signed), tuple(chain))
            )
    if not found and "signature" in value:
        raise DocumentFormError("a signed document that is neither TCB info nor QE identity")
    for member in ("pck_crl", "root_ca_crl"):
        if isinstance(value.get(member), str):
            text = value[member].strip()
            try:
                crls.append(text.encode() if text.startswith("-----BEGIN") else bytes.fromhex(text))
            except ValueError as error:
                raise DocumentFormError(f"{member} is not hex") from error
    for text in _texts(value, 4):
        if "BEGIN%20CERTIFICATE" in text:
            certificates += _chain(unquote_to_bytes(text))
        elif "BEGIN CERTIFICATE" in text:
            certificates += _chain(text.encode())
        elif text.lstrip().startswith(_BODIES):
            inner, inner_crls, inner_certificates = _read(text.encode())
            found += inner
            crls += inner_crls
            certificates += inner_certificates
    return tuple(found), tuple(crls), tuple(certificates)


def _answer(data: bytes) -> tuple[bytes, bytes]:
    """Headers and body of a saved HTTP answer; no body where only the headers were saved."""
    for gap in (b"\r\n\r\n", b"\n\n"):
        head, found, body = data.partition(gap)
        if found and body.lstrip()[:1] == b"{":
            return head, body
    return data, b""


def _texts(value: object, depth: int) -> Iterator[str]:
    """Every text in a JSON value down to a depth; signed documents themselves hold none of interest."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and depth:
        for name, member in value.items():
            if name not in _MEMBERS:
                yield from _texts(member, depth - 1)
    elif isinstance(value, list) and depth:
        for member in value:
            yield from _texts(member, depth - 1)


def _chain(data: bytes) -> list[bytes]:
    try:
        return split_pem(data)
    except CertificateError as error:
        raise DocumentFormError(str(error)) from error


@lru_cache(maxsize=512)
def _loaded(certificates: tuple[bytes, ...]) -> tuple[Certificate, ...]:
    found: list[Certificate] = []
    for data in dict.fromkeys(certificates):
        try:
            found.append(load_certificate(data))
        except CertificateError:
            continue
    return tuple(found)


def read(collateral: Collateral) -> PcsCollateral:
    """Sorts a collateral; documents of other kinds are passed over.

    Raises:
        DocumentFormError: a document of Intel's names is not of their form.
    """
    return _sorted(tuple(collateral.documents.values()), collateral.crls, collateral.certificates)


@lru_cache(maxsize=64)
def _sorted(files: tuple[bytes, ...], crls: tuple[bytes, ...], certificates: tuple[bytes, ...]) -> PcsCollateral:
    documents: list[Signed] = []
    all_crls, all_certificates = list(crls), list(certificates)
    for data in files:
        try:
            some, more_crls, more_certificates = _read(data)
        except (ValueError, IndexError) as error:
            raise DocumentFormError(str(error)) from error
        documents += some
        all_crls += more_crls
        all_certificates += more_certificates
    return PcsCollateral(tuple(documents), tuple(dict.fromkeys(all_crls)), _loaded(tuple(all_certificates)))


def moment(text: object) -> datetime:
    """A time of a PCS document (ISO 8601, Z, seconds).

    Raises:
        DocumentFormError: another form.
    """
    if not isinstance(text, str) or not text.endswith("Z"):
        raise DocumentFormError(f"{text!r:.60} is not a time")
    try:
        return _moment(text)
    except ValueError as error:
        raise DocumentFormError(f"{text!r:.60} is not a time") from error


@lru_cache(maxsize=4096)
def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


__all__ = ["MAX_DOCUMENT", "DocumentFormError", "PcsCollateral", "Signed", "moment", "read"]
