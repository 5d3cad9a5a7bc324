"""Evidence of this machine's NVIDIA GPUs over a nonce, taken by a program of others that runs out of process.

Comes in: which collector, where its program is, the nonce. Goes out: entries of `device_evidence_list`, the form of the KBS protocol's
additional evidence. nv-attestation-sdk is asked through `tools/nvidia-sdk/judge.py` in its own environment, `nvattest` by its command
line. What they answer is read strictly and not believed: the verifier judges it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.outside_edge import Said, run_outside

SDK: Final = "nvidia-sdk"
NVATTEST: Final = "nvattest"
NONCE_SIZE: Final = 32
_MEMBERS: Final = ("arch", "evidence", "certificate")
_MAX_DEVICES: Final = 32
_SECONDS: Final = 60.0


def bare_environment(folder: Path) -> dict[str, str]:
    """What a program of others sees of our environment: where programs are, and nothing else."""
    return {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}


def object_of(said: Said, *, code: int | None) -> tuple[dict[str, Any], str]:
    """The JSON object that a program printed, or why there is none; `code` is the one it must end with."""
    if said.failure:
        return {}, said.failure
    if code is not None and said.code != code:
        last = (said.errors.strip().split("\n") or [""])[-1]
        return {}, f"ended with {said.code}: {last[:200]}"
    try:
        value = json.loads(said.output)
    except (ValueError, RecursionError):
        return {}, "its answer is not JSON"
    return (value, "") if isinstance(value, dict) else ({}, "its answer is not of its form")


def sdk_line(python: Path, judge: Path) -> list[str]:
    """How the SDK's interpreter runs our program."""
    return [str(python), "-I", str(judge)]


def collect(by: str, line: Sequence[str], nonce: bytes, *, seconds: float = _SECONDS) -> list[dict[str, str]]:
    """One entry a GPU.

    Args:
        by: `SDK` or `NVATTEST`.
        line: the program: `sdk_line`, or the path of `nvattest`.
        nonce: 32 bytes.
        seconds: until the program is killed.

    Raises:
        OperatorError: QNSP-OPS-114 it collected nothing, -115 a nonce of another length.
    """
    if len(nonce) != NONCE_SIZE:
        raise OperatorError("QNSP-OPS-115", "a nonce of 32 bytes is wanted, 64 hex digits", subject="nonce")
    if by == SDK:
        stdin = json.dumps({"op": "collect", "nonce": nonce.hex()}).encode()
        answer, failure = object_of(_run(line, stdin, seconds), code=0)
        devices = answer.get("devices")
    else:
        asked = [*line, "collect-evidence", "--device", "gpu", "--nonce", nonce.hex(), "--format", "json"]
        answer, failure = object_of(_run([*asked, "--log-level", "off"], b"", seconds), code=None)
        devices = answer.get("evidences")
        failure = failure or ("" if answer.get("result_code") == 0 else str(answer.get("result_message", "no result")))
    failure = failure or str(answer.get("error", ""))
    if not failure and not _are_devices(devices):
        failure = "its answer is not of its form"
    if failure:
        raise OperatorError(
            "QNSP-OPS-114",
            f"{by} collected no evidence: {failure}"[:500],
            subject=by,
            next_step="run it with a GPU in confidential mode, its driver, and access to it",
        )
    return [{member: one[member] for member in _MEMBERS} for one in devices or ()]


def additional_evidence(devices: Sequence[Mapping[str, str]]) -> str:
    """The text that a session sends and the CPU's evidence binds."""
    return json.dumps({"nvidia": {"device_evidence_list": list(devices)}}, separators=(",", ":"))


def _run(line: Sequence[str], stdin: bytes, seconds: float) -> Said:
    with tempfile.TemporaryDirectory(prefix="qnsp-collect-") as name:
        folder = Path(name)
        return run_outside(line, folder=folder, environment=bare_environment(folder), stdin=stdin, seconds=seconds)


def _are_devices(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _MAX_DEVICES
        and all(isinstance(one, dict) and all(isinstance(one.get(name), str) for name in _MEMBERS) for one in value)
    )


__all__ = [
    "NONCE_SIZE",
    "NVATTEST",
    "SDK",
    "additional_evidence",
    "bare_environment",
    "collect",
    "object_of",
    "sdk_line",
]
