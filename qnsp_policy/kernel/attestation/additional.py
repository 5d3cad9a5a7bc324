"""Device evidence within the additional evidence of a KBS session: the text as sent, to evidence by device.

Comes in: the text that CPU evidence binds, a JSON object of device TEE to its evidence. Goes out: one `Evidence` a device, so that what is
judged is what was bound. Source: CoCo KBS attestation protocol 0.4.0; guest-components, attester `nvidia` (`device_evidence_list` of
`arch`, `uuid`, `evidence` and `certificate`, base64 around bytes or around hex text) and `sample_device`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from qnsp_policy.kernel.attestation import appraisal_codes as codes
from qnsp_policy.kernel.attestation.composite import MAX_DEVICES
from qnsp_policy.kernel.attestation.encodings import text_bytes
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object

_SWITCH: Final = "LS10"


def devices_of(text: str) -> tuple[Evidence, ...]:
    """The devices of additional evidence; "" holds none.

    Raises:
        EvidenceError: QNSP-ATT-CMP-009 not of its form, -005 too many, -001 a device of no known kind.
    """
    if not text:
        return ()
    try:
        value = parse_object(text)
    except CanonicalJsonError as error:
        raise EvidenceError(codes.ADDITIONAL, error.message) from error
    found = tuple(device for name, member in value.items() for device in _of_attester(name, member))
    if len(found) > MAX_DEVICES:
        raise EvidenceError(codes.TOO_MANY_DEVICES, expected=f"{MAX_DEVICES} at most", got=str(len(found)))
    return found


def _of_attester(name: str, member: Any) -> Iterator[Evidence]:
    if isinstance(member, str) and member.startswith("{"):
        try:
            member = parse_object(member)
        except CanonicalJsonError as error:
            raise EvidenceError(codes.ADDITIONAL, error.message, subject=name) from error
    if not isinstance(member, dict):
        raise EvidenceError(codes.ADDITIONAL, "no object", subject=name)
    if name in {"sampledevice", "sample_device"}:
        yield Evidence(EvidenceKind.COCO_SAMPLE, json.dumps(member).encode(), {"class": b"gpu"})
        return
    if name not in {"nvidia", "nvgpu"}:
        raise EvidenceError(codes.UNKNOWN_KIND, subject=name[:40])
    listed = member.get("device_evidence_list")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise EvidenceError(codes.ADDITIONAL, "device_evidence_list is no list of objects", subject=name)
    for entry in listed:
        yield _device(entry)


def _device(entry: Mapping[str, Any]) -> Evidence:
    report, chain = (_decoded(entry, member) for member in ("evidence", "certificate"))
    switch = str(entry.get("arch", "")).upper() == _SWITCH
    return Evidence(EvidenceKind.NVSWITCH if switch else EvidenceKind.NVIDIA_GPU, report, {"device-chain": chain})


def _decoded(entry: Mapping[str, Any], member: str) -> bytes:
    value = entry.get(member)
    raw = value.encode("ascii", "replace") if isinstance(value, str) else b""
    if b"-----BEGIN" in raw:
        return raw
    found = text_bytes(raw)
    if found is None:
        raise EvidenceError(codes.ADDITIONAL, "neither base64 nor hex", subject=member)
    return found[0]


__all__ = ["devices_of"]
