"""SEV-SNP evidence as Confidential Containers attesters send it inside `primary_evidence`, to and from the report's bytes.

Comes in: the JSON object `{"attestation_report": ..., "cert_chain": [...]}`. Goes out: the 1184 bytes of the report and its
certificates by type, or the reverse. The member `attestation_report` is the typed form that the `sev` crate serialises
(numbers, arrays of bytes, TCB versions by component; report versions 2 to 5, Turin included), in the older spelling
(`_author_key_en`, `current_build`) too, or the base64 text of the 1184 bytes. Nothing is verified here: the bytes that come out
are what `kernel.attestation.sev_snp` verifies, so a wrong field shows as a wrong signature.
Layout: AMD SEV Secure Nested Paging Firmware ABI Specification (56860) revision 1.58, table 23.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from qnsp_policy.errors import PeerError

REPORT_SIZE = 1184
"""Bytes of an attestation report with its signature."""

_TURIN_FAMILY = 0x1A
_PLAIN_ARRAYS = (  # member, offset, size in bytes
    ("family_id", 0x010, 16),
    ("image_id", 0x020, 16),
    ("report_data", 0x050, 64),
    ("measurement", 0x090, 48),
    ("host_data", 0x0C0, 32),
    ("id_key_digest", 0x0E0, 48),
    ("author_key_digest", 0x110, 48),
    ("report_id", 0x140, 32),
    ("report_id_ma", 0x160, 32),
    ("chip_id", 0x1A0, 64),
)
_TCB_VERSIONS = (("current_tcb", 0x038), ("reported_tcb", 0x180), ("committed_tcb", 0x1E0), ("launch_tcb", 0x1F0))
_NUMBERS = (  # member, offset, size in bytes, little-endian
    ("version", 0x000, 4),
    ("guest_svn", 0x004, 4),
    ("policy", 0x008, 8),
    ("vmpl", 0x030, 4),
    ("sig_algo", 0x034, 4),
    ("plat_info", 0x040, 8),
)
_CPUID = (("cpuid_fam_id", 0x188), ("cpuid_mod_id", 0x189), ("cpuid_step", 0x18A))
_FIRMWARE = (("current", 0x1E8), ("committed", 0x1EC))  # build, minor, major: one byte each
_MITIGATIONS = (("launch_mit_vector", 0x1F8), ("current_mit_vector", 0x200))
_SIGNATURE = (("r", 0x2A0, 72), ("s", 0x2E8, 72))


def _refuse(message: str, subject: str) -> PeerError:
    return PeerError("QNSP-ATT-SNP-101", f"SNP evidence: {subject}: {message}", subject=subject)


def _number(value: object, size: int, subject: str) -> bytes:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << (8 * size):
        raise _refuse(f"expected an unsigned number of {size} bytes", subject)
    return value.to_bytes(size, "little")


def _octets(value: object, size: int, subject: str) -> bytes:
    if isinstance(value, str):
        try:
            raw = bytes.fromhex(value) if len(value) == 2 * size else base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            raise _refuse(f"expected {size} bytes", subject) from None
    elif isinstance(value, list) and all(
        isinstance(b, int) and not isinstance(b, bool) and 0 <= b < 256 for b in value
    ):
        raw = bytes(value)
    else:
        raise _refuse(f"expected an array of {size} bytes", subject)
    if len(raw) != size:
        raise _refuse(f"expected {size} bytes, got {len(raw)}", subject)
    return raw


def _tcb_to_bytes(value: object, *, turin: bool, subject: str) -> bytes:
    if isinstance(value, int) and not isinstance(value, bool):
        return _number(value, 8, subject)
    if not isinstance(value, Mapping):
        raise _refuse("expected an object with bootloader, tee, snp and microcode", subject)
    part = {
        name: _number(value.get(name) or 0, 1, f"{subject}.{name}")[0]
        for name in ("bootloader", "tee", "snp", "microcode", "fmc")
    }
    if turin:
        return bytes([part["fmc"], part["bootloader"], part["tee"], part["snp"], 0, 0, 0, part["microcode"]])
    return bytes([part["bootloader"], part["tee"], 0, 0, 0, 0, part["snp"], part["microcode"]])


def _tcb_to_json(raw: bytes, *, turin: bool) -> dict[str, int | None]:
    if turin:
        return {"fmc": raw[0], "bootloader": raw[1], "tee": raw[2], "snp": raw[3], "microcode": raw[7]}
    return {"fmc": None, "bootloader": raw[0], "tee": raw[1], "snp": raw[6], "microcode": raw[7]}


def report_from_json(report: object) -> bytes:
    """The 1184 bytes of a report from its typed JSON form, or from base64 text of the bytes.

    Raises:
        PeerError: `QNSP-ATT-SNP-101`, naming the member that is missing or has the wrong size.
    """
    if isinstance(report, str):
        return _octets(report, REPORT_SIZE, "attestation_report")
    if not isinstance(report, Mapping):
        raise _refuse("expected an object or base64 text", "attestation_report")
    out = bytearray(REPORT_SIZE)

    def member(name: str) -> object:
        if name not in report:
            raise _refuse("missing", name)
        return report[name]

    for name, offset, size in _NUMBERS:
        out[offset : offset + size] = _number(member(name), size, name)
    author = report.get("key_info", report.get("_author_key_en"))
    out[0x048:0x04C] = _number(author, 4, "key_info")
    for name, offset, size in _PLAIN_ARRAYS:
        out[offset : offset + size] = _octets(member(name), size, name)
    version = int.from_bytes(out[0:4], "little")
    if version >= 3:
        for name, offset in _CPUID:
            out[offset : offset + 1] = _number(report.get(name) or 0, 1, name)
    turin = version >= 3 and out[0x188] >= _TURIN_FAMILY
    for name, offset in _TCB_VERSIONS:
        out[offset : offset + 8] = _tcb_to_bytes(member(name), turin=turin, subject=name)
    for name, offset in _FIRMWARE:
        parts = report.get(name)
        if not isinstance(parts, Mapping):
            parts = {part: report.get(f"{name}_{part}") for part in ("build", "minor", "major")}
        for index, part in enumerate(("build", "minor", "major")):
            out[offset + index : offset + index + 1] = _number(parts.get(part), 1, f"{name}.{part}")
    for name, offset in _MITIGATIONS:
        if report.get(name) is not None:
            out[offset : offset + 8] = _number(report[name], 8, name)
    signature = member("signature")
    if not isinstance(signature, Mapping):
        raise _refuse("expected an object with r and s", "signature")
    for name, offset, size in _SIGNATURE:
        out[offset : offset + size] = _octets(signature.get(name), size, f"signature.{name}")
    return bytes(out)


def report_to_json(raw: bytes) -> dict[str, Any]:
    """The typed JSON form of a report's bytes, as current attesters write it.

    Raises:
        PeerError: `QNSP-ATT-SNP-101`: not 1184 bytes.
    """
    if len(raw) != REPORT_SIZE:
        raise _refuse(f"expected {REPORT_SIZE} bytes, got {len(raw)}", "attestation_report")
    out: dict[str, Any] = {
        name: int.from_bytes(raw[offset : offset + size], "little") for name, offset, size in _NUMBERS
    }
    version: int = out["version"]
    turin = version >= 3 and raw[0x188] >= _TURIN_FAMILY
    out["key_info"] = int.from_bytes(raw[0x048:0x04C], "little")
    for name, offset, size in _PLAIN_ARRAYS:
        out[name] = list(raw[offset : offset + size])
    for name, offset in _TCB_VERSIONS:
        out[name] = _tcb_to_json(raw[offset : offset + 8], turin=turin)
    for name, offset in _CPUID:
        out[name] = raw[offset] if version >= 3 else None
    for name, offset in _FIRMWARE:
        out[name] = {"major": raw[offset + 2], "minor": raw[offset + 1], "build": raw[offset]}
    for name, offset in _MITIGATIONS:
        out[name] = int.from_bytes(raw[offset : offset + 8], "little") if version >= 5 else None
    out["signature"] = {name: list(raw[offset : offset + size]) for name, offset, size in _SIGNATURE}
    return out


def evidence_from_json(primary: object) -> tuple[bytes, dict[str, bytes]]:
    """Report bytes and certificates (by lower-case type: vcek, vlek, ask, asvk, ark; DER) of a `primary_evidence` value.

    Raises:
        PeerError: `QNSP-ATT-SNP-101`: a member is missing, unknown or of the wrong size.
    """
    if not isinstance(primary, Mapping):
        raise _refuse("expected an object", "primary_evidence")
    report = report_from_json(primary.get("attestation_report"))
    certificates: dict[str, bytes] = {}
    chain = primary.get("cert_chain") or []
    if not isinstance(chain, Sequence) or isinstance(chain, str):
        raise _refuse("expected an array", "cert_chain")
    for index, entry in enumerate(chain):
        subject = f"cert_chain[{index}]"
        if not isinstance(entry, Mapping):
            raise _refuse("expected an object with cert_type and data", subject)
        kind, data = entry.get("cert_type"), entry.get("data")
        if isinstance(kind, Mapping):  # {"OTHER": "<uuid>"}: a certificate type that SNP evidence does not need
            continue
        if not isinstance(kind, str):
            raise _refuse("expected a certificate type", f"{subject}.cert_type")
        if isinstance(data, str):
            try:
                raw = base64.b64decode(data, validate=True)
            except (ValueError, binascii.Error):
                raise _refuse("expected base64 text", f"{subject}.data") from None
        elif isinstance(data, list) and all(
            isinstance(b, int) and not isinstance(b, bool) and 0 <= b < 256 for b in data
        ):
            raw = bytes(data)
        else:
            raise _refuse("expected an array of bytes", f"{subject}.data")
        if kind.lower() in certificates:
            raise _refuse(f"{kind} is given twice", subject)
        certificates[kind.lower()] = raw
    return report, certificates


def evidence_to_json(report: bytes, certificates: Mapping[str, bytes]) -> dict[str, Any]:
    """The `primary_evidence` value for report bytes and certificates (DER by type), as a CoCo attester would send it."""
    return {
        "attestation_report": report_to_json(report),
        "cert_chain": [{"cert_type": kind.upper(), "data": list(der)} for kind, der in certificates.items()],
    }


__all__ = ["REPORT_SIZE", "evidence_from_json", "evidence_to_json", "report_from_json", "report_to_json"]
