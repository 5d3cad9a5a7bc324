"""The simulated GPUs of one member: evidence over a nonce, as the KBS protocol's attesters send it, and the collateral that fits them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from qnsp_policy.simulator import nvidia
from qnsp_policy.simulator.kept import nvidia_of, put

NONCE_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs of a member."""

    devices: Sequence[nvidia.Device]
    architecture: str

    def evidence(self, nonce: bytes) -> list[dict[str, Any]]:
        """One entry a GPU, of the form of `device_evidence_list`.

        Raises:
            ValueError: another length than a GPU takes.
        """
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"a nonce of {len(nonce)} bytes; a GPU takes {NONCE_SIZE}")
        return [
            {
                "arch": self.architecture.upper(),
                "evidence": base64.b64encode(device.report(nonce)).decode("ascii"),
                "certificate": base64.b64encode(device.chain_pem).decode("ascii"),
            }
            for device in self.devices
        ]


def make_gpus(pki: Path, count: int, architecture: str, now: datetime) -> Gpus:
    """New GPUs of the folder's simulated vendor; RIMs and OCSP answers for them go to `<pki>/collateral`."""
    vendor = nvidia_of(pki / "nvidia", now)
    blackwell = architecture == "blackwell"
    mode = {36: b"\1" if count > 1 else b"\0"} if blackwell else {}
    devices = [nvidia.make_device(vendor, blackwell=blackwell, extra=mode) for _ in range(count)]
    for device in devices:
        files = nvidia.rims_for(device)
        for data in nvidia.answers_for(device, now).values():
            files[f"{hashlib.sha256(data).hexdigest()[:16]}.ocsp"] = data
        for name, data in files.items():
            put(pki / "collateral" / name, data)
    return Gpus(devices, architecture)


__all__ = ["NONCE_SIZE", "Gpus", "make_gpus"]
