"""Azure's HCL wrapper: an SNP report with the runtime data of the paravisor's vTPM.

Comes in: the bytes of the vTPM's HCL report (NV index 0x01400001). Goes out: the report, the runtime data, and, where a TPM quote is
given, the PCRs that it covers. All integers little-endian. Source: Azure documentation "Guest attestation for confidential VMs" and
real reports: "HCLA", version u32, size and request type (u32 each, not read: nothing signs them), status and reserved
(16 bytes, zero), report at 0x20, at 0x4C0 five u32 (size of what follows incl. themselves, version, type 2 SNP or
4 TDX, hash 1 SHA-256, length of the data), JSON, zero padding.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from qnsp_policy.kernel.attestation import tpm
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import codes
from qnsp_policy.kernel.attestation.sev_snp.abi import REPORT_SIZE, Report
from qnsp_policy.kernel.attestation.values import ClaimValue, Statement, Verdict
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object, unb64url

_MAGIC: Final = b"HCLA"
_STATUS_AT: Final = 0x10
_REPORT_AT: Final = 0x20
_DATA_AT: Final = 0x4D4
_HEADER: Final = struct.Struct("<IIIII")
_SNP: Final = 2
_SHA256: Final = 1
MAX_WRAPPER: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A parsed, unverified HCL report: the SNP report's bytes and the JSON as sent."""

    report: bytes
    runtime_data: bytes


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What the wrapper adds once verified.

    Attributes:
        claims: `hcl.*` claims, and `pcr.sha256.<n>` where a TPM quote covers them.
        report_data: the TPM quote's extraData where there is a quote, else the report's own (a hash of the runtime data).
        quoted: whether a TPM quote was given and verified.
    """

    claims: Mapping[str, ClaimValue]
    report_data: bytes
    quoted: bool

    def statements(self, good: Verdict) -> tuple[Statement, ...]:
        return (
            Statement(
                "binding", good, "REPORT_DATA is the SHA-256 of the HCL runtime data, which holds the vTPM's key"
            ),
            Statement("tpm-quote", good, "TPM quote signed by HCLAkPub; extraData is the caller's nonce to compare")
            if self.quoted
            else Statement("tpm-quote", Verdict.NOT_CHECKED, "no TPM quote is given"),
        )


def is_wrapped(data: bytes) -> bool:
    return data[:4] == _MAGIC


def parse(data: bytes) -> Wrapper:
    """Reads a wrapper; what stands behind the runtime data must be zero.

    Raises:
        EvidenceError: QNSP-ATT-SNP-090 or -091.
    """
    if not _DATA_AT <= len(data) <= MAX_WRAPPER:
        raise EvidenceError(codes.HCL_FORM, f"{len(data)} bytes", subject="HCL report")
    version = int.from_bytes(data[4:8], "little")
    size, _, kind, algorithm, length = _HEADER.unpack_from(data, _REPORT_AT + REPORT_SIZE)
    if version not in (1, 2):
        raise EvidenceError(codes.HCL_FORM, subject="version", expected="1 or 2", got=str(version))
    if kind != _SNP:
        raise EvidenceError(codes.HCL_TYPE, subject="report type", expected=str(_SNP), got=str(kind))
    if algorithm != _SHA256:
        raise EvidenceError(codes.HCL_FORM, subject="hash type", expected=str(_SHA256), got=str(algorithm))
    if size != _HEADER.size + length or _DATA_AT + length > len(data):
        raise EvidenceError(codes.HCL_FORM, "lengths do not agree", subject="runtime data")
    if any(data[_STATUS_AT:_REPORT_AT]):
        raise EvidenceError(codes.HCL_FORM, "status or reserved bytes of the header are not zero", subject="HCL report")
    if any(data[_DATA_AT + length :]):
        raise EvidenceError(codes.HCL_FORM, "the padding is not zero", subject="HCL report")
    return Wrapper(data[_REPORT_AT : _REPORT_AT + REPORT_SIZE], data[_DATA_AT : _DATA_AT + length])


def _attestation_key(runtime: Mapping[str, Any]) -> rsa.RSAPublicKey:
    keys = runtime.get("keys")
    for key in keys if isinstance(keys, list) else []:
        if isinstance(key, dict) and key.get("kid") == "HCLAkPub" and key.get("kty") == "RSA":
            try:
                n, e = (int.from_bytes(unb64url(key.get(member)), "big") for member in ("n", "e"))
                return rsa.RSAPublicNumbers(e, n).public_key()
            except (CanonicalJsonError, ValueError) as error:
                raise EvidenceError(codes.HCL_KEY, str(error), subject="HCLAkPub") from error
    raise EvidenceError(codes.HCL_KEY, subject="HCLAkPub")


def verify(wrapper: Wrapper, report: Report, endorsements: Mapping[str, bytes]) -> Wrapped:
    """Binds runtime data to the verified report and, where given, a TPM quote to the runtime data's key.

    Args:
        wrapper: what `parse` returned.
        report: the report within, its signature already verified.
        endorsements: `tpm-quote` (TPMS_ATTEST), `tpm-signature` (raw RSA signature or TPMT_SIGNATURE) and `tpm-pcrs` (the 24
            SHA-256 values in order, 768 bytes) or none of them.

    Raises:
        EvidenceError: QNSP-ATT-SNP-092 to -096.
    """
    expected = hashlib.sha256(wrapper.runtime_data).digest() + bytes(32)
    if report.report_data != expected:
        raise EvidenceError(codes.HCL_BINDING, subject="REPORT_DATA")
    try:
        runtime = parse_object(wrapper.runtime_data, max_bytes=MAX_WRAPPER)
    except CanonicalJsonError as error:
        raise EvidenceError(codes.HCL_FORM, error.message, subject="runtime data") from error
    key = _attestation_key(runtime)
    configuration = runtime.get("vm-configuration")
    claims: dict[str, ClaimValue] = {"hcl.runtimeDataDigest": hashlib.sha256(wrapper.runtime_data).hexdigest()}
    for name in ("secure-boot", "tpm-enabled", "console-enabled", "vmUniqueId", "tpm-persisted"):
        value = configuration.get(name) if isinstance(configuration, dict) else None
        if isinstance(value, (bool, str)):
            claims[f"hcl.{name}"] = value
    quote = endorsements.get("tpm-quote")
    if quote is None:
        return Wrapped(claims, report.report_data, quoted=False)
    try:
        attested = tpm.parse_quote(quote)
        signature = tpm.rsa_signature(endorsements.get("tpm-signature", b""))
    except tpm.QuoteError as error:
        raise EvidenceError(codes.TPM_FORM, str(error), subject="TPM quote") from error
    if not tpm.is_signed_by_rsa(quote, signature, key):
        raise EvidenceError(codes.TPM_SIGNATURE, subject="TPM quote")
    claims["tpm.extraData"] = attested.extra_data.hex()
    values = endorsements.get("tpm-pcrs")
    if values is not None:
        try:
            pcrs = tpm.selected_values(attested, values, tpm.SHA256)
        except tpm.QuoteError as error:
            raise EvidenceError(codes.TPM_PCRS, str(error), subject="PCR values") from error
        claims |= {f"pcr.sha256.{index}": value.hex() for index, value in pcrs.items()}
    return Wrapped(claims, attested.extra_data, quoted=True)


__all__ = ["MAX_WRAPPER", "Wrapped", "Wrapper", "is_wrapped", "parse", "verify"]
