"""What every attester gives: evidence of a kind over the report data that it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from qnsp_policy.kernel.attestation.values import EvidenceKind


@dataclass(frozen=True, slots=True)
class AttesterReport:
    """Evidence as the hardware gave it, unverified.

    Attributes:
        kind: of evidence.
        data: its bytes.
        certificates: by type (vcek, vlek, ask, ark), DER; empty where the platform sends none.
    """

    kind: EvidenceKind
    data: bytes
    certificates: dict[str, bytes] = field(default_factory=dict)


GetReport = Callable[[bytes], AttesterReport]
"""Evidence over report data of 1 to 64 bytes; each attester fits it to its own field."""

__all__ = ["AttesterReport", "GetReport"]
