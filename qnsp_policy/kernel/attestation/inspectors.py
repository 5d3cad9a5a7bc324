"""Fields of the kinds whose evidence is CBOR, SPDM or JSON, with offset and size in the bytes as sent.

Comes in: evidence that its own parser accepts. Goes out: fields, unverified. Offsets of members within JSON tokens are those of the token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import cbor2

from qnsp_policy.kernel.attestation.coco_sample import codes as sample_codes
from qnsp_policy.kernel.attestation.coco_sample.verify import MAX_SAMPLE
from qnsp_policy.kernel.attestation.fields import Field
from qnsp_policy.kernel.attestation.nitro_enclave import abi as nitro
from qnsp_policy.kernel.attestation.nras.verify import read_unverified
from qnsp_policy.kernel.attestation.nvidia_gpu import abi as nvidia
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.kernel.attestation.x509 import CertificateError, load_certificate
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_json

_OPAQUE: Final[Mapping[int, str]] = {
    3: "driver version",
    4: "GPU info",
    6: "VBIOS version",
    11: "NVDEC0 status",
    12: "measurement counts",
    13: "CPR info",
    14: "board id",
    15: "chip SKU",
    16: "chip SKU mod",
    17: "project",
    18: "project SKU",
    19: "project SKU mod",
    20: "FWID",
    21: "protected PCIe status",
    22: "switch PDIs (GPU), PDI (switch)",
    26: "GPU PDIs",
    34: "opaque data version",
    35: "chip",
    36: "feature flag",
}


def _der_name(data: bytes) -> str:
    try:
        certificate = load_certificate(data)
    except CertificateError:
        return "certificate that cannot be read"
    return f"{certificate.subject_cn}, {certificate.not_before:%Y-%m-%dT%H:%M:%SZ} to {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}"


def nitro_fields(data: bytes, kind: EvidenceKind) -> tuple[Field, ...]:
    """Members of a Nitro attestation document."""
    document = nitro.parse(data, kind)
    start = data.find(document.payload)
    fields = [
        Field(data.find(document.protected), len(document.protected), "protected header", document.protected.hex()),
        Field(start, len(document.payload), "payload", f"{len(document.payload)} bytes of CBOR"),
    ]

    def add(name: str, value: Any, shown: str, *, key: Any = None, after: int = 0, raw: int | None = None) -> int:
        encoded = cbor2.dumps(name if key is None else key)
        found = data.find(encoded + cbor2.dumps(value), max(start, after))
        size = len(cbor2.dumps(value)) if raw is None else raw
        at = found + len(encoded) + len(cbor2.dumps(value)) - size if found >= 0 else start
        fields.append(Field(at, size, name, shown))
        return at

    milliseconds = round(document.timestamp.timestamp() * 1000)
    add("module_id", document.module_id, document.module_id, raw=len(document.module_id.encode()))
    add("timestamp", milliseconds, f"{milliseconds} ({document.timestamp:%Y-%m-%dT%H:%M:%S.%fZ})")
    pcrs = data.find(cbor2.dumps("pcrs" if kind is EvidenceKind.NITRO_ENCLAVE else "nitrotpm_pcrs"), start)
    for index in sorted(document.pcrs):
        add(f"PCR{index}", document.pcrs[index], document.pcrs[index].hex(), key=index, after=pcrs, raw=nitro.PCR_SIZE)
    fields.append(
        Field(
            data.find(document.certificate), len(document.certificate), "certificate", _der_name(document.certificate)
        )
    )
    for index, certificate in enumerate(document.bundle):
        fields.append(Field(data.find(certificate), len(certificate), f"cabundle[{index}]", _der_name(certificate)))
    for name, value in (
        ("public_key", document.public_key),
        ("user_data", document.user_data),
        ("nonce", document.nonce),
    ):
        if value is None:
            add(name, None, "null")
        else:
            add(name, value, value.hex(), raw=len(value))
    fields.append(Field(len(data) - len(document.signature), 96, "signature (r, s)", document.signature.hex()))
    return tuple(sorted(fields, key=lambda field: (field.offset, -field.size)))


def nvidia_fields(data: bytes) -> tuple[Field, ...]:
    """Request, measurement blocks, opaque fields and signature of an SPDM report; offsets are those of the raw bytes."""
    report = nvidia.parse(data)
    raw = report.signed + report.signature
    length = int.from_bytes(raw[42:45], "little")
    fields = [
        Field(0, 4, "GET_MEASUREMENTS", raw[:4].hex()),
        Field(4, 32, "request nonce", report.nonce.hex()),
        Field(36, 1, "slot", str(raw[36])),
        Field(37, 4, "MEASUREMENTS", raw[37:41].hex()),
        Field(41, 1, "number of blocks", str(raw[41])),
        Field(42, 3, "record length", str(length)),
    ]
    at = 45
    while at < 45 + length:
        fields.append(Field(at + 7, 48, f"measurement {raw[at]}", raw[at + 7 : at + 55].hex()))
        at += 55
    fields.append(Field(at, 32, "responder nonce", report.responder_nonce.hex()))
    size = int.from_bytes(raw[at + 32 : at + 34], "little")
    fields.append(Field(at + 32, 2, "opaque length", str(size)))
    at, end = at + 34, at + 34 + size
    while at < end:
        kind, size = int.from_bytes(raw[at : at + 2], "little"), int.from_bytes(raw[at + 2 : at + 4], "little")
        value = raw[at + 4 : at + 4 + size]
        fields.append(
            Field(at + 4, size, f"opaque {kind} {_OPAQUE.get(kind, '')}".rstrip(), _opaque(report, kind, value))
        )
        at += 4 + size
    fields.append(Field(end, 96, "signature (r, s)", report.signature.hex()))
    return tuple(fields)


def _opaque(report: nvidia.Report, kind: int, value: bytes) -> str:
    if kind == nvidia.VBIOS_VERSION:
        return report.vbios_version()
    text = value.rstrip(b"\0")
    printable = len(text) >= 2 and text.isascii() and text.decode("ascii").isprintable()
    return text.decode("ascii") if printable else value.hex()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def nras_fields(data: bytes) -> tuple[Field, ...]:
    """Headers and claims of the overall and of each device token."""
    fields: list[Field] = []
    for name, text, header, claims in read_unverified(data):
        at = data.find(text.encode("ascii"))
        fields += [Field(at, len(text), f"{name} header {member}", _shown(value)) for member, value in header.items()]
        fields += [Field(at, len(text), f"{name} {member}", _shown(value)) for member, value in claims.items()]
    return tuple(fields)


def sample_fields(data: bytes) -> tuple[Field, ...]:
    """Members of CoCo sample evidence."""
    try:
        value = parse_json(data, max_bytes=MAX_SAMPLE)
    except CanonicalJsonError as error:
        raise EvidenceError(sample_codes.JSON, error.message) from error
    members = value.items() if isinstance(value, dict) else ()
    return tuple(Field(max(0, data.find(json.dumps(name).encode())), 0, name, _shown(item)) for name, item in members)


__all__ = ["nitro_fields", "nras_fields", "nvidia_fields", "sample_fields"]
