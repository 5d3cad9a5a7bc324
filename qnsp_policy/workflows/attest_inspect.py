"""`attest inspect`: what evidence of any kind says, unverified, field by field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.collateral_times import window_of
from qnsp_policy.kernel.attestation.encodings import MAX_FILE, decode
from qnsp_policy.kernel.attestation.inspection import inspect, recognise
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.kernel.files_edge import read_plain


def inspect_evidence(path: Path, kind: str = "auto") -> dict[str, Any]:
    """Kind, form and fields of evidence; nothing of it is verified.

    Raises:
        OperatorError: the file is too large, or the kind cannot be told from its bytes.
        EvidenceError: the evidence is malformed (a code of its kind).
    """
    raw = read_plain(path, MAX_FILE)
    wanted = None if kind == "auto" else EvidenceKind(kind)
    decoded = decode(raw, wanted)
    found = wanted or decoded.kind or recognise(decoded.data)
    if found is None:
        _refuse_collateral(path, raw)
        raise OperatorError(
            "QNSP-OPS-094",
            f"the kind of {path} cannot be told from its {len(raw)} bytes",
            subject=str(path),
            next_step=f"name it: --kind {'|'.join(EvidenceKind)}",
        )
    shown, fields = inspect(decoded.data, found)
    return {
        "kind": shown.value,
        "form": decoded.form,
        "bytes": len(decoded.data),
        "verified": False,
        "fields": [
            {"name": field.name, "value": field.value, "offset": field.offset, "size": field.size} for field in fields
        ],
        "endorsements": {name: len(data) for name, data in decoded.endorsements.items()},
    }


def _refuse_collateral(path: Path, raw: bytes) -> None:
    """Says of collateral that it is some.

    Raises:
        OperatorError: QNSP-OPS-094, it is collateral of a kind.
    """
    what = window_of(path.name, raw).what
    if what not in {"other", "unreadable"}:
        raise OperatorError(
            "QNSP-OPS-094",
            f"{path} is no evidence but collateral ({what})",
            subject=str(path),
            next_step=f"see when it ends: qnsp-policy attest collateral status {path.parent}; "
            "or give it beside evidence: attest verify EVIDENCE --collateral PATH",
        )


__all__ = ["inspect_evidence"]
