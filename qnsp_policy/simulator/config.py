"""The simulator's configuration file: JSON, strict.

Members: `dir` (folder that it serves), `attester` (`sev-snp` or `tdx`), `gpus` (how many), `gpuArchitecture` (`hopper` or `blackwell`),
`product` (Milan), `image` (path of the guest image), `imageDigest` (what it must be, optional), `vcpus`, `cmdline`, `initdata` (path, optional),
`tcb` (by component, optional), `pki` (folder of `make_pki`), `guestPolicy` (u64, 0x30000), `reportVersion` (3), `vmpl` (0), `guestSvn` (0),
`ready` (file to create, `<dir>/ready`), `exitWithParent` (false).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object
from qnsp_policy.simulator.snp import DEFAULT_POLICY

_MEMBERS: dict[str, type] = {
    "dir": str,
    "attester": str,
    "gpus": int,
    "gpuArchitecture": str,
    "product": str,
    "image": str,
    "imageDigest": str,
    "vcpus": int,
    "cmdline": str,
    "initdata": str,
    "tcb": dict,
    "pki": str,
    "guestPolicy": int,
    "reportVersion": int,
    "vmpl": int,
    "guestSvn": int,
    "ready": str,
    "exitWithParent": bool,
}
_REQUIRED = ("dir", "pki", "image")
_CHOICES = {"attester": ("sev-snp", "tdx"), "gpuArchitecture": ("hopper", "blackwell")}
_MAX_GPUS = 8


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """One simulated member; see the module for the members of the file."""

    folder: Path
    pki: Path
    image: Path
    image_digest: str = ""
    attester: str = "sev-snp"
    gpus: int = 0
    gpu_architecture: str = "hopper"
    product: str = "Milan"
    vcpus: int = 1
    cmdline: str = ""
    initdata: Path | None = None
    tcb: dict[str, int] = field(default_factory=dict)
    guest_policy: int = DEFAULT_POLICY
    report_version: int = 3
    vmpl: int = 0
    guest_svn: int = 0
    ready: Path | None = None
    exit_with_parent: bool = False


def _refuse(message: str) -> OperatorError:
    return OperatorError("QNSP-OPS-045", f"simulator configuration: {message}")


def from_json(data: bytes) -> SimulatorConfig:
    """Reads the file.

    Raises:
        OperatorError: QNSP-OPS-045: a member is missing, unknown or of another type.
    """
    try:
        value: dict[str, Any] = parse_object(data)
    except CanonicalJsonError as error:
        raise _refuse(error.message) from error
    for name, member in value.items():
        wanted = _MEMBERS.get(name)
        if wanted is None:
            raise _refuse(f"unknown member {name}")
        if member is None and name not in _REQUIRED:
            continue
        if not isinstance(member, wanted) or (wanted is int and isinstance(member, bool)):
            raise _refuse(f"{name} is not of type {wanted.__name__}")
    value = {name: member for name, member in value.items() if member is not None}
    missing = [name for name in _REQUIRED if name not in value]
    if missing:
        raise _refuse(f"{', '.join(missing)} missing")
    tcb = value.get("tcb", {})
    if any(not isinstance(part, int) or isinstance(part, bool) or not 0 <= part <= 255 for part in tcb.values()):
        raise _refuse("tcb components are numbers from 0 to 255")
    for name, words in _CHOICES.items():
        if value.get(name, words[0]) not in words:
            raise _refuse(f"{name} is none of {', '.join(words)}")
    if not 0 <= value.get("gpus", 0) <= _MAX_GPUS:
        raise _refuse(f"gpus is a number from 0 to {_MAX_GPUS}")
    return SimulatorConfig(
        folder=Path(value["dir"]),
        pki=Path(value["pki"]),
        image=Path(value["image"]),
        image_digest=value.get("imageDigest", ""),
        attester=value.get("attester", "sev-snp"),
        gpus=value.get("gpus", 0),
        gpu_architecture=value.get("gpuArchitecture", "hopper"),
        product=value.get("product", "Milan"),
        vcpus=value.get("vcpus", 1),
        cmdline=value.get("cmdline", ""),
        initdata=Path(value["initdata"]) if "initdata" in value else None,
        tcb=tcb,
        guest_policy=value.get("guestPolicy", DEFAULT_POLICY),
        report_version=value.get("reportVersion", 3),
        vmpl=value.get("vmpl", 0),
        guest_svn=value.get("guestSvn", 0),
        ready=Path(value["ready"]) if "ready" in value else None,
        exit_with_parent=value.get("exitWithParent", False),
    )


__all__ = ["SimulatorConfig", "from_json"]
