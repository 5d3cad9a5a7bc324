"""`attest verify --second-opinion` and `attest collect`: NVIDIA's own tools, out of process, as second verifier and as collector.

Each runs with a deadline, bounded output, an empty folder and an environment that holds nothing of ours. What they answer is read
strictly: whatever is not of its form is no opinion, and an opinion that was asked for and is not there refuses
(`kernel.attestation.second_opinion`). nv-attestation-sdk judges recorded evidence offline, but for revocation; `nvattest` asks NVIDIA's
OCSP service over the network itself.
"""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from qnsp_policy.errors import OperatorError, QnspError
from qnsp_policy.kernel.attestation.batch import Material
from qnsp_policy.kernel.attestation.collectors_edge import (
    NVATTEST,
    SDK,
    bare_environment,
    collect,
    object_of,
    sdk_line,
)
from qnsp_policy.kernel.attestation.needs import needs_of
from qnsp_policy.kernel.attestation.nvidia_gpu import abi
from qnsp_policy.kernel.attestation.second_opinion import NOT_JUDGED, OK, REFUSED, Opinion, Step, steps_of
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind
from qnsp_policy.kernel.attestation.vendors import anchors_of
from qnsp_policy.kernel.attestation.x509 import CertificateError, load_certificate, split_pem
from qnsp_policy.kernel.crypto.canonical import timestamp
from qnsp_policy.kernel.outside_edge import Said, run_outside
from qnsp_policy.workflows.tools import SUPPORT_NOTE, Sdk, find_nvattest, find_sdk

VERIFIERS: Final = (SDK, NVATTEST)
_SECONDS: Final = 120.0
_VERSION: Final = re.compile(rb'colloquialVersion="([^"]{1,64})"')


def second_opinions(
    name: str, material: Material, *, nonce: str | None, tool: Path | None = None, seconds: float = _SECONDS
) -> tuple[Opinion, ...]:
    """What another verifier says of each GPU in the evidence (nv-attestation-sdk of each switch too).

    Args:
        name: one of `VERIFIERS`.
        material: what ours judged.
        nonce: hex, as given; None where none is expected.
        tool: the program instead of the one found (a double in tests): the SDK's interpreter, or `nvattest`.
        seconds: until a program is killed.

    Raises:
        OperatorError: QNSP-OPS-112 the program is not there, -113 nothing in the evidence that it could judge.
    """
    gpus = [
        (f"device {index - 1}" if index else "evidence", one)
        for index, one in enumerate((material.evidence, *material.evidence.devices))
        if one.kind is EvidenceKind.NVIDIA_GPU or (one.kind is EvidenceKind.NVSWITCH and name == SDK)
    ]
    if not gpus:
        raise OperatorError(
            "QNSP-OPS-113",
            f"{name} judges evidence of NVIDIA GPUs{' and switches' if name == SDK else ''}; here is none",
            subject=material.evidence.kind.value,
            next_step="leave --second-opinion out",
        )
    if name == SDK:
        sdk = _sdk(tool)
        return tuple(_of_sdk(sdk, subject, one, material, _own(nonce, subject), seconds) for subject, one in gpus)
    path, version = (tool, "given") if tool else _nvattest()
    return tuple(
        _of_nvattest(path, version, subject, one, material, _own(nonce, subject), seconds) for subject, one in gpus
    )


def _own(nonce: str | None, subject: str) -> str | None:
    """The nonce as it is the evidence's own; that of a bound device is another, which the binding checks."""
    return nonce if subject == "evidence" else None


def _sdk(tool: Path | None) -> Sdk:
    if tool is not None:
        return Sdk(tool, Path("judge.py"))
    found = find_sdk(os.environ)
    if found is None:
        raise OperatorError(
            "QNSP-OPS-112",
            "nv-attestation-sdk is not installed",
            subject=SDK,
            next_step=f"qnsp-policy tools install {SDK}",
        )
    return found


def _nvattest() -> tuple[Path, str]:
    found = find_nvattest(os.environ)
    if found is None:
        raise OperatorError(
            "QNSP-OPS-112",
            "nvattest is not on PATH",
            subject=NVATTEST,
            next_step="install it as NVIDIA describes (docs.nvidia.com/attestation), or use --second-opinion nvidia-sdk",
        )
    return found


def _rims(one: Evidence, material: Material) -> dict[str, bytes]:
    """The RIMs of the versions that the report states, signed or not: `driver` and `vbios`."""
    try:
        report = abi.parse(one.data)
    except QnspError:
        return {}
    wanted = {"driver": report.text(abi.DRIVER_VERSION).upper(), "vbios": report.vbios_version().upper()}
    found: dict[str, bytes] = {}
    for data in material.collateral.documents.values():
        match = _VERSION.search(data) if b"SoftwareIdentity" in data[:2048] else None
        for name, version in wanted.items():
            if match and match[1].decode("ascii", "replace").upper() == version:
                found.setdefault(name, data)
    return found


def _pem(der: bytes) -> str:
    text = base64.encodebytes(der).decode("ascii")
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


def _root(vendor: str, chain_or_rim: bytes, material: Material) -> str:
    """The anchor in use: the one that the evidence carries where it is one of ours, else the first."""
    roots = [anchor.certificate for anchor in anchors_of(vendor, material.anchors)]
    bare = b"".join(chain_or_rim.split())
    for der in roots:
        if base64.b64encode(der) in bare:
            return _pem(der)
    return _pem(roots[0]) if roots else ""


def _architecture(one: Evidence) -> str:
    """By the chip that the report names, or else the leaf of its chain; what cannot be read goes over as Hopper's."""
    try:
        chip = abi.parse(one.data).text(abi.CHIP)
        if not chip:
            chip = load_certificate(split_pem(one.endorsements.get("device-chain", b""))[0]).subject_cn
    except (QnspError, CertificateError, IndexError):
        return "hopper"
    return "blackwell" if chip.upper().startswith("GB") else "hopper"


def _of_sdk(sdk: Sdk, subject: str, one: Evidence, material: Material, nonce: str | None, seconds: float) -> Opinion:
    by, note = f"{SDK} {sdk.version}", SUPPORT_NOTE
    chain, rims = one.endorsements.get("device-chain", b""), _rims(one, material)
    request = {
        "op": "judge",
        "switch": one.kind is EvidenceKind.NVSWITCH,
        "now": timestamp(material.now),
        "architecture": _architecture(one),
        "report": base64.b64encode(one.data).decode("ascii"),
        "chain": chain.decode("ascii", "replace"),
        "driverRim": rims["driver"].decode("utf-8", "replace") if "driver" in rims else None,
        "vbiosRim": rims["vbios"].decode("utf-8", "replace") if "vbios" in rims else None,
        "nonce": nonce,
        "deviceRoot": _root("nvidia", chain, material),
        "rimRoot": _root("nvidia-rim", b"".join(rims.values()), material),
    }
    said = _run(sdk_line(sdk.python, sdk.judge), {}, seconds, stdin=json.dumps(request).encode())
    answer, failure = object_of(said, code=0)
    if not failure and "error" in answer:
        failure = str(answer["error"])[:300]
    steps = steps_of(answer.get("steps")) if not failure else None
    if steps is None and not failure:
        failure = "its answer is not of its form"
    return Opinion(by, subject, _merged(steps or ()), failure, note)


def _merged(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Its steps under our names: reading the certificates is part of `chain`."""
    return tuple(Step("chain", one.verdict, one.detail) if one.step == "certificates" else one for one in steps)


def _of_nvattest(
    path: Path, version: str, subject: str, one: Evidence, material: Material, nonce: str | None, seconds: float
) -> Opinion:
    by = f"{NVATTEST} {version}"
    try:
        report = abi.parse(one.data)
        names = [need.name.removesuffix(".xml") for need in needs_of(one) if need.form == "rim"]
    except QnspError as error:
        return Opinion(by, subject, (), f"the report cannot be handed over: {error.message}")
    rims = _rims(one, material)
    files: dict[str, bytes] = {}
    for name, kind in zip(names, ("driver", "vbios"), strict=False):
        if kind in rims:
            files |= {f"rims/{name}{suffix}": rims[kind] for suffix in (".xml", ".swidtag")}
    chain = one.endorsements.get("device-chain", b"")
    entry = {
        "version": "1.0",
        "arch": _architecture(one).upper(),
        "nonce": nonce or report.nonce.hex(),
        "vbios_version": report.vbios_version(),
        "driver_version": report.text(abi.DRIVER_VERSION),
        "evidence": base64.b64encode(one.data).decode("ascii"),
        "certificate": base64.b64encode(chain).decode("ascii"),
    }
    files["evidence.json"] = json.dumps([entry]).encode()
    store = ["--rim-store", "dir", "--rim-dir", "rims"] if len(rims) == 2 else ["--rim-store", "remote"]
    line = [str(path), "attest", "--device", "gpu", "--verifier", "local", "--gpu-evidence-source", "file"]
    line += ["--gpu-evidence-file", "evidence.json", "--nonce", entry["nonce"], *store]
    answer, failure = object_of(_run([*line, "--format", "json", "--log-level", "off"], files, seconds), code=None)
    code, claims = answer.get("result_code"), answer.get("claims")
    if not failure and (type(code) is not int or "result_message" not in answer):
        failure = "its answer is not of its form"
    if failure:
        return Opinion(by, subject, (), failure)
    return Opinion(by, subject, tuple(_claimed(code, str(answer["result_message"]), claims)), "")


_CLAIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "framing": ("x-nvidia-gpu-attestation-report-parsed",),
    "signature": ("x-nvidia-gpu-attestation-report-signature-verified",),
    "firmware-id": ("x-nvidia-gpu-attestation-report-cert-chain-fwid-match",),
    "freshness": ("x-nvidia-gpu-attestation-report-nonce-match",),
    "rim": (
        "x-nvidia-gpu-driver-rim-signature-verified",
        "x-nvidia-gpu-driver-rim-version-match",
        "x-nvidia-gpu-vbios-rim-signature-verified",
        "x-nvidia-gpu-vbios-rim-version-match",
    ),
}
"""Claims of version 3 by our step; another version's absent claims are not judged."""


def _claimed(code: Any, message: str, claims: object) -> Iterator[Step]:
    first = claims[0] if isinstance(claims, list) and claims and isinstance(claims[0], dict) else {}
    for step, names in _CLAIMS.items():
        values = [first[name] for name in names if name in first]
        if values:
            bad = [name for name in names if first.get(name, True) is not True]
            yield Step(step, REFUSED if bad else OK, ", ".join(bad))
    chain = first.get("x-nvidia-gpu-attestation-report-cert-chain")
    if isinstance(chain, dict):
        for step, name, good in (
            ("chain", "x-nvidia-cert-status", "valid"),
            ("revocation", "x-nvidia-cert-ocsp-status", "good"),
        ):
            yield Step(step, OK if chain.get(name) == good else REFUSED, f"{name} {chain.get(name)}"[:200])
    result = first.get("measres")
    verdict = NOT_JUDGED if result is None else OK if result == "success" else REFUSED
    yield Step("measurements", verdict, f"measres {result}"[:80])
    yield Step("overall", OK if code == 0 else REFUSED, f"result {code}: {message}"[:200])


def _run(line: list[str], files: Mapping[str, bytes], seconds: float, *, stdin: bytes = b"") -> Said:
    with tempfile.TemporaryDirectory(prefix="qnsp-opinion-") as name:
        folder = Path(name)
        for path, data in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(data)
        return run_outside(line, folder=folder, environment=bare_environment(folder), stdin=stdin, seconds=seconds)


def collect_gpus(name: str, nonce: str, *, tool: Path | None = None) -> dict[str, Any]:
    """Evidence of this machine's GPUs over a nonce, in the form of the KBS protocol's additional evidence.

    Args:
        name: one of `VERIFIERS`.
        nonce: 32 bytes, hex.
        tool: a program instead of the one found.

    Raises:
        OperatorError: QNSP-OPS-112 the program is not there, -114 it collected nothing, -115 a nonce of another length.
    """
    raw = bytes.fromhex(nonce) if re.fullmatch("([0-9a-fA-F]{2})*", nonce) else b""
    if name == SDK:
        sdk = _sdk(tool)
        line, by, note = sdk_line(sdk.python, sdk.judge), f"{SDK} {sdk.version}", SUPPORT_NOTE
    else:
        path, version = (tool, "given") if tool else _nvattest()
        line, by, note = [str(path)], f"{NVATTEST} {version}", ""
    found = collect(name, line, raw)
    return {"by": by, "note": note, "nonce": nonce.lower(), "nvidia": {"device_evidence_list": found}}


__all__ = ["VERIFIERS", "collect_gpus", "second_opinions"]
