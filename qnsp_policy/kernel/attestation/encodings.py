"""How evidence lies in a file: the bytes themselves, hex or base64 text of them, or a JSON document around them.

Comes in: the bytes of a file and, if the caller names it, the kind. Goes out: the evidence's bytes and the endorsements that came in the
same document. Text is decoded only where the whole file is that text: a binary report that was damaged stays what it is and fails in its
own verifier. JSON evidence (nras, coco-sample) is never unwrapped. Forms: docs/formats/evidence.md.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from qnsp_policy.kernel.attestation.inspection import recognise
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_json

MAX_FILE: Final = 64 * 1024 * 1024
MAX_TEXT: Final = 1024 * 1024
_HEX: Final = re.compile(rb"(?:0[xX])?((?:[0-9a-fA-F]{2})+)")
_CUT_HEX: Final = re.compile(rb"[0-9a-fA-F]{64,}")
"""Hex text that lost a digit: long, and nothing but hex digits; never base64."""
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_SPACE: Final = bytes.maketrans(b"", b"")
_JSON_KINDS: Final = frozenset({EvidenceKind.NRAS, EvidenceKind.COCO_SAMPLE})
_NAMES: Final = (
    "evidence",
    "hcl_report",
    "attestation_report",
    "attestationReport",
    "report",
    "quote",
    "document",
    "attestation",
)
"""Members of a JSON document that hold evidence, in the order in which they are looked for."""
_CHAINS: Final = ("chain", "certs", "certificate", "certificates", "cert-chain")
_BESIDE: Final = frozenset({"vcek", "vlek", "ask", "asvk", "ark", "certificate"})
"""Members beside the evidence that producers put certificates into."""
_LISTS: Final = ("evidences", "evidence_list")
"""Members that hold one object for each device; read where there is one device."""
_ALIASES: Final[Mapping[EvidenceKind, Mapping[str, str]]] = {
    EvidenceKind.NVIDIA_GPU: dict.fromkeys(_CHAINS, "device-chain"),
    EvidenceKind.NVSWITCH: dict.fromkeys(_CHAINS, "device-chain"),
    EvidenceKind.NITRO_TPM: {"tpm-signature": "tpm-quote-signature", "quote": "tpm-quote"},
    EvidenceKind.TDX: {"ccel": "event-log", "eventlog": "event-log"},
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """Evidence as bytes.

    Attributes:
        data: what the attester made.
        form: raw, hex, base64 or json.
        kind: stated by a JSON document, else None.
        endorsements: what the same document held beside the evidence.
    """

    data: bytes
    form: str = "raw"
    kind: EvidenceKind | None = None
    endorsements: Mapping[str, bytes] = field(default_factory=dict)


def named(kind: EvidenceKind, endorsements: Mapping[str, bytes]) -> dict[str, bytes]:
    """Endorsements by the names that the verifier of a kind reads; a name of its own wins over an alias."""
    aliases = _ALIASES.get(kind, {})
    found = {aliases.get(name, name): data for name, data in endorsements.items()}
    return found | {name: data for name, data in endorsements.items() if name not in aliases}


def text_bytes(text: bytes) -> tuple[bytes, str] | None:
    """The bytes that hex or base64 text stands for and which of both it is; None where it is neither throughout."""
    packed = text.translate(_SPACE, b" \t\r\n")
    if not packed or len(packed) > MAX_FILE:
        return None
    if found := _HEX.fullmatch(packed):
        return bytes.fromhex(found[1].decode("ascii")), "hex"
    if not _BASE64.fullmatch(packed) or _CUT_HEX.fullmatch(packed):
        return None
    bare = packed.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True), "base64"
    except binascii.Error:
        return None


def decode(data: bytes, kind: EvidenceKind | None = None) -> Decoded:
    """What evidence a file holds; bytes of no text form come back as they are."""
    if kind in _JSON_KINDS or (kind is None and recognise(data) is not None):
        return Decoded(data)
    if data[:1] in b"{ \t\r\n" and len(data) <= MAX_TEXT and (found := _document(data, kind)) is not None:
        return found
    if (text := text_bytes(data)) is not None and (kind is not None or recognise(text[0]) is not None):
        return Decoded(*text)
    return Decoded(data)


def _document(data: bytes, kind: EvidenceKind | None) -> Decoded | None:
    try:
        value = parse_json(data, max_bytes=MAX_TEXT)
    except CanonicalJsonError:
        return None
    return _of_object(value, kind, 0) if isinstance(value, dict) else None


def _bytes(value: Any) -> bytes | None:
    """Bytes that a JSON member holds: hex or base64 text, PEM as it is, or a list of byte numbers."""
    if isinstance(value, str) and value.isascii():
        raw = value.encode("ascii")
        if b"-----BEGIN" in raw:
            return raw
        found = text_bytes(raw)
        return found[0] if found else None
    if isinstance(value, list) and value and all(type(item) is int and 0 <= item < 256 for item in value):
        return bytes(value)
    return None


def _of_object(value: Mapping[str, Any], kind: EvidenceKind | None, depth: int) -> Decoded | None:
    stated = value.get("kind")
    if kind is None and isinstance(stated, str) and stated in {one.value for one in EvidenceKind}:
        kind = EvidenceKind(stated)
    along = {
        name: found
        for member in ("endorsements", "certificates")
        if isinstance(value.get(member), dict)
        for name, item in value[member].items()
        if (found := _bytes(item)) is not None
    }
    along |= {name: found for name in sorted(_BESIDE & value.keys()) if (found := _bytes(value[name])) is not None}
    for name in _LISTS:
        listed = value.get(name)
        if isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], dict) and depth < 3:
            return _of_object(listed[0], kind, depth + 1)
    for name in _NAMES:
        member = value.get(name)
        if isinstance(member, dict) and depth < 3:
            inner = _of_object(member, kind, depth + 1) or _quoted(member)
            if inner is not None:
                return Decoded(inner.data, "json", inner.kind or kind, {**along, **inner.endorsements})
        found = _bytes(member)
        if found is not None and (kind is not None or recognise(found) is not None):
            return Decoded(found, "json", kind, along)
    return None


def _quoted(value: Mapping[str, Any]) -> Decoded | None:
    """A NitroTPM document beside the TPM's quote: `{"nitro": {"document"}, "tpm": {<key>: {"attest_data", "signature"}}}`."""
    nitro, tpm = value.get("nitro"), value.get("tpm")
    document = _bytes(nitro.get("document")) if isinstance(nitro, dict) else None
    if document is None:
        return None
    along: dict[str, bytes] = {}
    for quote in tpm.values() if isinstance(tpm, dict) else ():
        attest, signature = (
            (_bytes(quote.get(name)) for name in ("attest_data", "signature"))
            if isinstance(quote, dict)
            else (None, None)
        )
        if attest is not None and signature is not None:
            along = {"tpm-quote": attest, "tpm-quote-signature": signature}
            break
    return Decoded(document, "json", None, along)


__all__ = ["MAX_FILE", "Decoded", "decode", "named", "text_bytes"]
