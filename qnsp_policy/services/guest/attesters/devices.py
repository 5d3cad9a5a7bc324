"""Evidence of this guest's GPUs: from NVIDIA's tools on hardware, from the simulator's socket where the member is simulated.

What is handed over is the text of the protocol's additional evidence, over a nonce that binds the session's nonce and key; the CPU's
evidence then binds that text.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.collectors_edge import NVATTEST, additional_evidence, collect, sdk_line
from qnsp_policy.resources_edge import data_path
from qnsp_policy.services.guest.configuration import DeviceSettings, GuestConfiguration

GetDevices = Callable[[bytes], str]
"""Additional evidence over a nonce of 32 bytes."""
_SECONDS = 30.0
_LIMIT = 4 * 1024 * 1024


def devices_of(configuration: GuestConfiguration) -> GetDevices | None:
    """The collector that the configuration names; None where this guest has no devices to prove."""
    settings = configuration.devices
    if settings is None:
        return None
    if settings.collector == "simulator":
        return partial(_simulated, Path(configuration.tsm) / "simulator.sock")
    return partial(_collected, settings)


def _collected(settings: DeviceSettings, nonce: bytes) -> str:
    assert settings.program is not None  # the configuration was read
    if settings.collector == NVATTEST:
        return additional_evidence(collect(NVATTEST, [settings.program], nonce))
    judge = data_path("tools", settings.collector, "judge.py")
    return additional_evidence(collect(settings.collector, sdk_line(Path(settings.program), judge), nonce))


def _simulated(path: Path, nonce: bytes) -> str:
    """Asks the simulator beside the TSM folder.

    Raises:
        OperatorError: `QNSP-GST-060`: it is not there, or has no GPUs.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(str(path))
            connection.sendall(json.dumps({"op": "devices", "nonce": nonce.hex()}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline(_LIMIT))
        return additional_evidence(answer["device_evidence_list"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            "QNSP-GST-060",
            f"the simulator gave no evidence of GPUs: {type(error).__name__}",
            subject=str(path),
            next_step="give the simulator `gpus`, or leave `devices` out of the guest's configuration",
        ) from error


__all__ = ["GetDevices", "devices_of"]
