"""`init` of a cloud template: keys, a sealed sample, documents and signatures; nothing is asked of any cloud.

Measurements in these templates belong to no real image: whoever uses one builds an image and writes what it measures.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.workflows.sealing import seal_sample

CLOUD_TEMPLATES = ("aws-nitro", "aws-nitrotpm-gpu", "aws-snp")
_SAMPLE = "a sample in the place of a model; seal your own: qnsp-policy artefact seal\n"


def cloud_values(directory: Path, keys: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What a cloud template is filled with, beside keys and dates; seals a sample model to the broker."""
    sample = seal_sample(
        _SAMPLE,
        directory,
        "triage",
        broker=PublicKey.from_jwk(keys["broker.unwrap"]),
        resource="clinic/model/triage",
        tier="CryptoTier/eu-dora",
    )
    return {
        **sample,
        "grants-end": (now + timedelta(days=90)).strftime("%Y-%m-%d"),
        "waivers-end": (now + timedelta(days=60)).strftime("%Y-%m-%d"),
    }


__all__ = ["CLOUD_TEMPLATES", "cloud_values"]
