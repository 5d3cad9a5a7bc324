"""DCAP quotes: bytes -> header, body, signature data, certification data.

Comes in: bytes of a quote, version 3, 4 or 5. Goes out: `Quote`, nothing verified. All integers little-endian; signatures are raw
r || s, big-endian. Sources: Intel SGX ECDSA QuoteLibReference DCAP API (version 3), Intel TDX DCAP Quoting Library API (versions 4
and 5), Intel TDX Module ABI (TD report).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qnsp_policy.kernel.attestation.dcap.codes import Refusal, Tee, refuse

MAX_QUOTE: Final = 64 * 1024
MAX_TAIL: Final = 16 * 1024
INTEL_QE: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
HEADER_SIZE: Final = 48
ENCLAVE_SIZE: Final = 384
_BODY_SIZES: Final[Mapping[int, tuple[Tee, int]]] = {1: (Tee.SGX, 384), 2: (Tee.TDX, 584), 3: (Tee.TDX, 648)}
_KEY_P256: Final = 2
_TYPE_CHAIN: Final = 5
_TYPE_QE: Final = 6


@dataclass(frozen=True, slots=True)
class EnclaveReport:
    """An SGX report body, 384 bytes."""

    raw: bytes
    cpu_svn: bytes
    misc_select: int
    isv_ext_prod_id: bytes
    attributes: bytes
    mr_enclave: bytes
    mr_signer: bytes
    config_id: bytes
    isv_prod_id: int
    isv_svn: int
    config_svn: int
    isv_family_id: bytes
    report_data: bytes


@dataclass(frozen=True, slots=True)
class TdReport:
    """A TD report body: TD 1.0 (584 bytes) or 1.5 (648 bytes, which adds the last two)."""

    raw: bytes
    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    tee_tcb_svn2: bytes | None
    mr_service_td: bytes | None


@dataclass(frozen=True, slots=True)
class Quote:
    """A parsed, unverified quote.

    Attributes:
        signed: header and body, the bytes that the attestation key signs.
        signature, attestation_key: 64 bytes each.
        qe_report: of the quoting enclave, with its signature by the PCK (64 bytes) and its authentication data.
        certification_type, certification: what stands for the PCK.
        tail: number of zero bytes behind the quote.
    """

    tee: Tee
    version: int
    user_data: bytes
    body: EnclaveReport | TdReport
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: EnclaveReport
    qe_signature: bytes
    auth: bytes
    certification_type: int
    certification: bytes
    tail: int


def _enclave(raw: bytes) -> EnclaveReport:
    return EnclaveReport(
        raw=raw,
        cpu_svn=raw[0:16],
        misc_select=int.from_bytes(raw[16:20], "little"),
        isv_ext_prod_id=raw[32:48],
        attributes=raw[48:64],
        mr_enclave=raw[64:96],
        mr_signer=raw[128:160],
        config_id=raw[192:256],
        isv_prod_id=int.from_bytes(raw[256:258], "little"),
        isv_svn=int.from_bytes(raw[258:260], "little"),
        config_svn=int.from_bytes(raw[260:262], "little"),
        isv_family_id=raw[304:320],
        report_data=raw[320:384],
    )


def _td(raw: bytes) -> TdReport:
    extended = len(raw) == 648
    return TdReport(
        raw=raw,
        tee_tcb_svn=raw[0:16],
        mr_seam=raw[16:64],
        mr_signer_seam=raw[64:112],
        seam_attributes=raw[112:120],
        td_attributes=raw[120:128],
        xfam=raw[128:136],
        mr_td=raw[136:184],
        mr_config_id=raw[184:232],
        mr_owner=raw[232:280],
        mr_owner_config=raw[280:328],
        rtmrs=(raw[328:376], raw[376:424], raw[424:472], raw[472:520]),
        report_data=raw[520:584],
        tee_tcb_svn2=raw[584:600] if extended else None,
        mr_service_td=raw[600:648] if extended else None,
    )


class _Cursor:
    """Takes fields one after the other; whatever ends behind `end` is refused with the given code."""

    def __init__(self, tee: Tee, data: bytes, start: int, end: int) -> None:
        self.tee, self.data, self.at, self.end = tee, data, start, end

    def take(self, size: int, refusal: Refusal, subject: str) -> bytes:
        if self.at + size > self.end:
            raise refuse(self.tee, refusal, subject=subject, expected=f"{size} bytes", got=f"{self.end - self.at} left")
        part = self.data[self.at : self.at + size]
        self.at += size
        return part

    def number(self, size: int, refusal: Refusal, subject: str) -> int:
        return int.from_bytes(self.take(size, refusal, subject), "little")


def parse(data: bytes, tee: Tee) -> Quote:
    """Reads a quote of the given kind; zero bytes behind it are padding, anything else is refused.

    Raises:
        EvidenceError: QNSP-ATT-TDX-002 to -012, or the same numbers of SGX.
    """
    if not HEADER_SIZE + ENCLAVE_SIZE + 4 <= len(data) <= MAX_QUOTE:
        raise refuse(
            tee, Refusal.LENGTH, subject="quote", got=f"{len(data)} bytes", expected=f"436 to {MAX_QUOTE} bytes"
        )
    version, key_type, tee_type = struct.unpack_from("<HHI", data)
    if tee_type not in (Tee.SGX.number, Tee.TDX.number) or (version == 3 and tee_type != Tee.SGX.number):
        raise refuse(tee, Refusal.TEE_TYPE, subject="TEE type", got=f"0x{tee_type:X}", expected=f"0x{tee.number:X}")
    if tee_type != tee.number:
        raise refuse(tee, Refusal.TEE_TYPE, subject="TEE type", got=f"0x{tee_type:X}", expected=f"0x{tee.number:X}")
    if version not in ((3, 4, 5) if tee is Tee.SGX else (4, 5)):
        raise refuse(
            tee,
            Refusal.VERSION,
            subject="version",
            got=str(version),
            expected="3, 4 or 5" if tee is Tee.SGX else "4 or 5",
        )
    if key_type != _KEY_P256:
        raise refuse(tee, Refusal.KEY_TYPE, subject="attestation key type", got=str(key_type), expected=str(_KEY_P256))
    if data[12:28] != INTEL_QE:
        raise refuse(tee, Refusal.VENDOR, subject="QE vendor id", got=data[12:28].hex(), expected=INTEL_QE.hex())
    start = HEADER_SIZE
    size = ENCLAVE_SIZE if tee is Tee.SGX else 584
    if version == 5:
        body_type, size = struct.unpack_from("<HI", data, start)
        start += 6
        if _BODY_SIZES.get(body_type) != (tee, size):
            raise refuse(tee, Refusal.BODY, subject="body", got=f"type {body_type}, {size} bytes")
    outer = _Cursor(tee, data, start, len(data))
    raw = outer.take(size, Refusal.LENGTH, "body")
    signed = data[: outer.at]
    length = outer.number(4, Refusal.LENGTH, "signature data length")
    if length > len(data) - outer.at:
        raise refuse(
            tee,
            Refusal.SIGNATURE_LENGTH,
            subject="signature data",
            got=f"{len(data) - outer.at} left",
            expected=f"{length} bytes",
        )
    tail = data[outer.at + length :]
    inner = _Cursor(tee, data, outer.at, outer.at + length)
    signature = inner.take(64, Refusal.SIGNATURE_LENGTH, "signature")
    key = inner.take(64, Refusal.SIGNATURE_LENGTH, "attestation key")
    if version >= 4:
        wrapped = inner.number(2, Refusal.SIGNATURE_LENGTH, "certification data type")
        wrapped_size = inner.number(4, Refusal.SIGNATURE_LENGTH, "certification data length")
        if wrapped != _TYPE_QE:
            raise refuse(
                tee, Refusal.CERTIFICATION_TYPE, subject="certification data type", got=str(wrapped), expected="6"
            )
        if inner.at + wrapped_size != inner.end:
            raise refuse(
                tee,
                Refusal.SIGNATURE_LENGTH,
                subject="QE certification data",
                got=f"{inner.end - inner.at} left",
                expected=f"{wrapped_size} bytes",
            )
    qe_report = inner.take(ENCLAVE_SIZE, Refusal.SIGNATURE_LENGTH, "QE report")
    qe_signature = inner.take(64, Refusal.SIGNATURE_LENGTH, "QE report signature")
    auth_size = inner.number(2, Refusal.AUTH_LENGTH, "QE authentication data length")
    auth = inner.take(auth_size, Refusal.AUTH_LENGTH, "QE authentication data")
    kind = inner.number(2, Refusal.CERTIFICATION_LENGTH, "certification data type")
    amount = inner.number(4, Refusal.CERTIFICATION_LENGTH, "certification data length")
    if inner.at + amount != inner.end:
        raise refuse(
            tee,
            Refusal.CERTIFICATION_LENGTH,
            subject="certification data",
            got=f"{inner.end - inner.at} left",
            expected=f"{amount} bytes",
        )
    certification = inner.take(amount, Refusal.CERTIFICATION_LENGTH, "certification data")
    if not 1 <= kind <= _TYPE_CHAIN:
        raise refuse(
            tee, Refusal.CERTIFICATION_TYPE, subject="certification data type", got=str(kind), expected="1 to 5"
        )
    if any(tail) or len(tail) > MAX_TAIL:
        raise refuse(tee, Refusal.TAIL, subject="quote", got=f"{len(tail)} bytes")
    return Quote(
        tee=tee,
        version=version,
        user_data=data[28:48],
        body=_enclave(raw) if tee is Tee.SGX else _td(raw),
        signed=signed,
        signature=signature,
        attestation_key=key,
        qe_report=_enclave(qe_report),
        qe_signature=qe_signature,
        auth=auth,
        certification_type=kind,
        certification=certification,
        tail=len(tail),
    )


__all__ = [
    "ENCLAVE_SIZE",
    "HEADER_SIZE",
    "INTEL_QE",
    "MAX_QUOTE",
    "MAX_TAIL",
    "EnclaveReport",
    "Quote",
    "TdReport",
    "parse",
]
