"""Evidence made readable, unverified: which kind it is, and its fields with offset and size.

Comes in: bytes. Goes out: the recognised kind and a table of fields. Nothing here is believed by anything: a field of evidence that
was not verified says only what its sender wrote.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from qnsp_policy.kernel.attestation import appraisal_codes as codes
from qnsp_policy.kernel.attestation.dcap import abi as dcap
from qnsp_policy.kernel.attestation.dcap.codes import Tee
from qnsp_policy.kernel.attestation.fields import Field
from qnsp_policy.kernel.attestation.inspectors import nitro_fields, nras_fields, nvidia_fields, sample_fields
from qnsp_policy.kernel.attestation.nvidia_gpu.abi import REQUEST_SIZE, is_switch_framing
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import abi as snp
from qnsp_policy.kernel.attestation.sev_snp import hcl
from qnsp_policy.kernel.attestation.values import EvidenceKind

_SNP_FIELDS: Final = (  # AMD 56860 table 23
    (0x000, 4, "VERSION"),
    (0x004, 4, "GUEST_SVN"),
    (0x008, 8, "POLICY"),
    (0x010, 16, "FAMILY_ID"),
    (0x020, 16, "IMAGE_ID"),
    (0x030, 4, "VMPL"),
    (0x034, 4, "SIGNATURE_ALGO"),
    (0x038, 8, "CURRENT_TCB"),
    (0x040, 8, "PLATFORM_INFO"),
    (0x048, 4, "SIGNING_KEY, MASK_CHIP_KEY, AUTHOR_KEY_EN"),
    (0x050, 64, "REPORT_DATA"),
    (0x090, 48, "MEASUREMENT"),
    (0x0C0, 32, "HOST_DATA"),
    (0x0E0, 48, "ID_KEY_DIGEST"),
    (0x110, 48, "AUTHOR_KEY_DIGEST"),
    (0x140, 32, "REPORT_ID"),
    (0x160, 32, "REPORT_ID_MA"),
    (0x180, 8, "REPORTED_TCB"),
    (0x188, 3, "CPUID family, model, stepping"),
    (0x1A0, 64, "CHIP_ID"),
    (0x1E0, 8, "COMMITTED_TCB"),
    (0x1E8, 3, "CURRENT_BUILD, CURRENT_MINOR, CURRENT_MAJOR"),
    (0x1EC, 3, "COMMITTED_BUILD, COMMITTED_MINOR, COMMITTED_MAJOR"),
    (0x1F0, 8, "LAUNCH_TCB"),
    (0x1F8, 8, "LAUNCH_MIT_VECTOR"),
    (0x200, 8, "CURRENT_MIT_VECTOR"),
    (0x2A0, 72, "SIGNATURE R"),
    (0x2E8, 72, "SIGNATURE S"),
)
_TD_FIELDS: Final = (
    (0, 16, "TEE_TCB_SVN"),
    (16, 48, "MRSEAM"),
    (64, 48, "MRSIGNERSEAM"),
    (112, 8, "SEAMATTRIBUTES"),
    (120, 8, "TDATTRIBUTES"),
    (128, 8, "XFAM"),
    (136, 48, "MRTD"),
    (184, 48, "MRCONFIGID"),
    (232, 48, "MROWNER"),
    (280, 48, "MROWNERCONFIG"),
    (328, 48, "RTMR0"),
    (376, 48, "RTMR1"),
    (424, 48, "RTMR2"),
    (472, 48, "RTMR3"),
    (520, 64, "REPORTDATA"),
    (584, 16, "TEE_TCB_SVN_2"),
    (600, 48, "MRSERVICETD"),
)
_ENCLAVE_FIELDS: Final = (
    (0, 16, "CPUSVN"),
    (16, 4, "MISCSELECT"),
    (32, 16, "ISVEXTPRODID"),
    (48, 16, "ATTRIBUTES"),
    (64, 32, "MRENCLAVE"),
    (128, 32, "MRSIGNER"),
    (192, 64, "CONFIGID"),
    (256, 2, "ISVPRODID"),
    (258, 2, "ISVSVN"),
    (260, 2, "CONFIGSVN"),
    (304, 16, "ISVFAMILYID"),
    (320, 64, "REPORTDATA"),
)


def recognise(data: bytes) -> EvidenceKind | None:
    """The kind of evidence by its framing alone; None if it is of none that is told apart by its bytes."""
    if hcl.is_wrapped(data) or (len(data) == snp.REPORT_SIZE and int.from_bytes(data[:4], "little") in snp.VERSIONS):
        return EvidenceKind.SEV_SNP
    if len(data) > dcap.HEADER_SIZE and data[12:28] == dcap.INTEL_QE:
        _, _, tee = struct.unpack_from("<HHI", data)
        return {Tee.SGX.number: EvidenceKind.SGX, Tee.TDX.number: EvidenceKind.TDX}.get(tee)
    if data[:2] in (b"\x84\x44", b"\xd2\x84"):
        return EvidenceKind.NITRO_TPM if b"nitrotpm_pcrs" in data else EvidenceKind.NITRO_ENCLAVE
    if data[:2] == b"\x11\xe0" and len(data) > REQUEST_SIZE:
        return EvidenceKind.NVSWITCH if is_switch_framing(data) else EvidenceKind.NVIDIA_GPU
    text = data[:4096].lstrip()
    if text[:1] == b"[" and b'"JWT"' in text:
        return EvidenceKind.NRAS
    if text[:1] == b"{" and b'"svn"' in text and b"report_data" in text:
        return EvidenceKind.COCO_SAMPLE
    return None


def _value(data: bytes, offset: int, size: int) -> str:
    raw = data[offset : offset + size]
    return f"{int.from_bytes(raw, 'little')} (0x{raw[::-1].hex()})" if size <= 8 and size != 3 else raw.hex()


def _snp(data: bytes) -> tuple[Field, ...]:
    start, found = 0, []
    report = data
    if hcl.is_wrapped(data):
        wrapper = hcl.parse(data)
        start, report = 0x20, wrapper.report
        found = [
            Field(0x4D4, len(wrapper.runtime_data), "HCL runtime data", wrapper.runtime_data.decode("utf-8", "replace"))
        ]
    parsed = snp.parse(report)
    fields = [Field(start + offset, size, name, _value(report, offset, size)) for offset, size, name in _SNP_FIELDS]
    line = snp.line_of_cpuid(parsed.cpuid[0], parsed.cpuid[1]) if parsed.cpuid else None
    if line is not None:
        for name, value in (
            ("REPORTED_TCB", parsed.reported_tcb),
            ("COMMITTED_TCB", parsed.committed_tcb),
            ("CURRENT_TCB", parsed.current_tcb),
            ("LAUNCH_TCB", parsed.launch_tcb),
        ):
            offset = next(at for at, _, field in _SNP_FIELDS if field == name)
            parts = " ".join(f"{part}={number}" for part, number in snp.Tcb.unpack(value, line).components().items())
            fields.append(Field(start + offset, 8, f"{name} on {line.value}", parts))
    return tuple(fields + found)


def _quote(data: bytes, tee: Tee) -> tuple[Field, ...]:
    quote = dcap.parse(data, tee)
    start = len(quote.signed) - len(quote.body.raw)
    names = _TD_FIELDS if tee is Tee.TDX else _ENCLAVE_FIELDS
    fields = [Field(0, 2, "version", str(quote.version)), Field(4, 4, "TEE type", f"0x{tee.number:x}")]
    fields += [Field(12, 16, "QE vendor id", dcap.INTEL_QE.hex()), Field(28, 20, "user data", quote.user_data.hex())]
    fields += [
        Field(start + offset, size, name, quote.body.raw[offset : offset + size].hex())
        for offset, size, name in names
        if offset + size <= len(quote.body.raw)
    ]
    at = len(quote.signed) + 4
    fields += [
        Field(at, 64, "signature", quote.signature.hex()),
        Field(at + 64, 64, "attestation key", quote.attestation_key.hex()),
    ]
    at += 128 + (6 if quote.version >= 4 else 0)
    fields += [
        Field(at + offset, size, f"QE {name}", quote.qe_report.raw[offset : offset + size].hex())
        for offset, size, name in _ENCLAVE_FIELDS
    ]
    at += 384 + 64 + 2
    fields.append(Field(at, len(quote.auth), "QE authentication data", quote.auth.hex()))
    at += len(quote.auth) + 6
    kind = f"type {quote.certification_type}, {len(quote.certification)} bytes"
    fields.append(Field(at, len(quote.certification), "certification data", kind))
    return tuple(fields)


_INSPECTORS: Final[Mapping[EvidenceKind, Callable[[bytes], tuple[Field, ...]]]] = {
    EvidenceKind.SEV_SNP: _snp,
    EvidenceKind.TDX: lambda data: _quote(data, Tee.TDX),
    EvidenceKind.SGX: lambda data: _quote(data, Tee.SGX),
    EvidenceKind.NITRO_ENCLAVE: lambda data: nitro_fields(data, EvidenceKind.NITRO_ENCLAVE),
    EvidenceKind.NITRO_TPM: lambda data: nitro_fields(data, EvidenceKind.NITRO_TPM),
    EvidenceKind.NVIDIA_GPU: nvidia_fields,
    EvidenceKind.NVSWITCH: nvidia_fields,
    EvidenceKind.NRAS: nras_fields,
    EvidenceKind.COCO_SAMPLE: sample_fields,
}


def inspect(data: bytes, kind: EvidenceKind | None = None) -> tuple[EvidenceKind, tuple[Field, ...]]:
    """Kind and fields of evidence, unverified.

    Args:
        data: the evidence.
        kind: what it is; recognised by its framing if not given.

    Raises:
        EvidenceError: of no kind that can be shown (QNSP-ATT-CMP-001), or malformed (a code of its kind, step 1).
    """
    found = kind or recognise(data)
    if found is None or found not in _INSPECTORS:
        raise EvidenceError(
            codes.UNKNOWN_KIND, "this evidence cannot be shown", subject=found.value if found else f"{len(data)} bytes"
        )
    return found, _INSPECTORS[found](data)


__all__ = ["Field", "inspect", "recognise"]
