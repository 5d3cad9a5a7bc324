"""Which anchors may judge which vendor's evidence: a vendor's own, and those that a workspace names after its own simulator.

A pinned root of another vendor never counts, so that a chain of one vendor cannot stand in for another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qnsp_policy.kernel.attestation.values import Anchor

_KNOWN: Final = frozenset({"amd", "intel", "aws", "nvidia", "nvidia-rim", "nras", "coco-sample-insecure"})


def anchors_of(vendor: str, anchors: Sequence[Anchor]) -> tuple[Anchor, ...]:
    """The anchors that count for a vendor's evidence, in their order."""
    return tuple(anchor for anchor in anchors if anchor.vendor == vendor or anchor.vendor not in _KNOWN)


__all__ = ["anchors_of"]
