"""Verification of NVIDIA device evidence, offline.

1. framing   2. opaque data   3. device chain to a pinned root   4. signature   5. firmware id against the leaf
7. OCSP answers for the device chain and the signers of the RIMs   8. driver and VBIOS RIM (switch: BIOS RIM) of the versions that the report states
9. every measurement that a RIM demands is one of its alternatives

The caller still owes 6 (the request nonce: `nonce`, also `report_data`) and 10 (what a set of devices must satisfy: `machine`).
What was not given is said: no OCSP answer, no RIM, a VBIOS RIM whose name ties it to no board.
A nonce binds neither device nor session; before TDISP the evidence of a GPU can be relayed, so only a CPU quote over it binds it.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from qnsp_policy.kernel.attestation.collateral import Collateral, is_ocsp
from qnsp_policy.kernel.attestation.nvidia_gpu import abi, codes, ocsp
from qnsp_policy.kernel.attestation.nvidia_gpu.chain import LENGTH, leaf_fwid, verify_chain, verify_signature
from qnsp_policy.kernel.attestation.nvidia_gpu.rim import Rim, identify_rim, verify_rim
from qnsp_policy.kernel.attestation.nvidia_gpu.versions import version_number
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import (
    Anchor,
    AssuranceClass,
    ClaimValue,
    Evidence,
    EvidenceKind,
    Statement,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.kernel.attestation.vendors import anchors_of
from qnsp_policy.kernel.attestation.x509 import Certificate, CertificateError, load_certificate, split_pem

CHAIN: Final = "device-chain"
"""Name of the endorsement that holds the device chain, PEM, leaf first."""
OCSP_NONCE: Final = "ocsp-nonce.hex"
"""Name of the collateral document that holds the nonce with which the OCSP answers were asked for."""
_MAX_CHAINS: Final = 4096
_NVDEC_INDEX: Final = 35
_VBIOS_NAME: Final = re.compile(r"([0-9A-Z]{4})_([0-9A-Z]{4})_([0-9A-Z]{3})_([0-9A-F]{10})", re.IGNORECASE)
_ARCHITECTURES: Final = {"GH1": "hopper", "GB1": "blackwell", "GB2": "blackwell", "LS1": "ls10"}
_FEATURES: Final = {b"\0": "spt", b"\1": "mpt", b"\2": "ppcie"}


def _device_chain(evidence: Evidence, report: abi.Report, collateral: Collateral) -> list[bytes]:
    """The chain that came along; else the one of the collateral whose leaf signed the report, or the first."""
    pem = evidence.endorsements.get(CHAIN)
    if pem is not None:
        return _split(pem)
    files = [
        data
        for data in collateral.documents.values()
        if b"-----BEGIN CERTIFICATE-----" in data and not data.lstrip().startswith((b"<", b"{"))
    ]
    counted = [data for data in files if data.count(b"-----BEGIN CERTIFICATE-----") >= LENGTH] or files
    if not counted:
        raise EvidenceError(codes.NO_CHAIN)
    chains = [_split(data) for data in counted]
    return next((chain for chain in chains[:_MAX_CHAINS] if len(chains) > 1 and _is_by(report, chain)), chains[0])


def _split(pem: bytes) -> list[bytes]:
    try:
        return split_pem(pem)
    except CertificateError as error:
        raise EvidenceError(codes.CERTIFICATE, str(error)) from error


def _is_by(report: abi.Report, chain: Sequence[bytes]) -> bool:
    """Whether the first certificate of a chain signed a report; used only to choose among several."""
    try:
        verify_signature(report, load_certificate(chain[0]))
    except (EvidenceError, CertificateError, IndexError):
        return False
    return True


def _firmware(report: abi.Report, leaf: Certificate) -> Statement | None:
    """Step 5; None when the ids agree."""
    stated = report.opaque.get(abi.FWID)
    if stated is None:
        return Statement(
            "firmware-id", Verdict.NOT_CHECKED, "the report states no firmware id (drivers before 550, switches)"
        )
    if not any(stated):
        raise EvidenceError(codes.FWID_ZERO)
    expected = leaf_fwid(leaf)
    if stated != expected:
        raise EvidenceError(codes.FWID, expected=expected.hex(), got=stated.hex()[:96])
    return None


@dataclass(frozen=True, slots=True)
class _Answers:
    """The OCSP answers of a collateral, and the nonce they were asked with."""

    answers: tuple[ocsp.Answer, ...]
    nonce: bytes | None

    @classmethod
    def of(cls, collateral: Collateral) -> _Answers:
        found = tuple(
            ocsp.parse(data)
            for name, data in sorted(collateral.documents.items())
            if name != OCSP_NONCE and ("ocsp" in name.lower() or is_ocsp(data))
        )
        stated = collateral.documents.get(OCSP_NONCE)
        try:
            return cls(found, bytes.fromhex(stated.decode("ascii").strip()) if stated is not None else None)
        except ValueError as error:
            raise EvidenceError(codes.OCSP_FORM, f"{OCSP_NONCE} is not hex") from error

    def check(self, chain: Sequence[Certificate], now: datetime) -> tuple[list[str], list[datetime]]:
        """Who is not answered for, and until when the answers about the others hold."""
        unanswered: list[str] = []
        ends: list[datetime] = []
        for child, issuer in itertools.pairwise(chain):
            until = ocsp.check(child, issuer, self.answers, now=now, nonce=self.nonce)
            if until is None:
                unanswered.append(child.subject_cn)
            else:
                ends.append(until)
        return unanswered, ends


def _revocation(
    chain: Sequence[Certificate], rims: Sequence[Rim], answers: _Answers, now: datetime
) -> tuple[list[Statement], list[datetime]]:
    """Step 7, and the same for the signers of the RIMs: statements on what was not checked, and until when the answers hold.

    The leaf is issued by the device itself and the roots by themselves: none of them has an answer.
    """
    unanswered, ends = answers.check(chain, now)
    unanswered = unanswered[1:] if unanswered[:1] == [chain[0].subject_cn] else unanswered
    members = [chain, *(rim.chain for rim in rims)]
    if unanswered and any(not ocsp.is_about_any(answer, members) for answer in answers.answers):
        raise EvidenceError(codes.OCSP_ID, subject=unanswered[0])
    unknown: list[str] = []
    for rim in rims:
        names, more = answers.check(rim.chain, now)
        unknown += names
        ends += more
    found: list[Statement] = []
    if unanswered:
        about = f"about {', '.join(unanswered)}" if answers.answers else "was given"
        found.append(Statement("revocation", Verdict.NOT_CHECKED, f"no OCSP answer {about}"))
    if unknown:
        who = ", ".join(dict.fromkeys(unknown))
        found.append(Statement("rim-revocation", Verdict.NOT_CHECKED, f"no OCSP answer about {who}"))
    return found, ends


def _rims(
    collateral: Collateral, roots: Sequence[bytes], now: datetime, version: str, edition: str, chip: str
) -> tuple[dict[str, Rim], bool]:
    """Verified RIMs for a version, by file name; whether any RIM of that edition was there at all.

    Of RIMs of one version those of the report's chip count before those of its architecture, before others.

    The signature of each RIM must hold, whatever version it is for; its signer is judged where the RIM applies.
    """
    same_version: list[tuple[str, bytes, str]] = []
    any_of_edition = False
    for name, data in sorted(collateral.documents.items()):
        if b"SoftwareIdentity" not in data[:2048]:
            continue
        stated_version, stated_edition, product = identify_rim(data)
        any_of_edition |= stated_edition == edition
        if stated_edition == edition and stated_version == version.upper():
            same_version.append((name, data, product))
    nearest = max((_likeness(product, chip) for _, _, product in same_version), default=0)
    found = {
        name: verify_rim(data, roots=roots, now=now)
        for name, data, product in same_version
        if _likeness(product, chip) == nearest
    }
    return found, any_of_edition


def _plain(chip: str) -> str:
    return chip.upper().replace("_", "")


def _architecture(chip: str) -> str:
    return _ARCHITECTURES.get(_plain(chip)[:3], _plain(chip).lower())


def _likeness(product: str, chip: str) -> int:
    """2 the same chip, 1 the same architecture, 0 another."""
    return 2 if _plain(product) == _plain(chip) else int(_architecture(product) == _architecture(chip))


def _chip(report: abi.Report, chain: Sequence[Certificate]) -> str:
    """GH100, GB100, LS_10: as the report states it, older drivers only in the name of the leaf."""
    return report.text(abi.CHIP) or chain[0].subject_cn.split(" ")[0]


def _board(name: str, report: abi.Report) -> bool | None:
    """Whether a VBIOS RIM's name fits the board; None when the name says nothing."""
    match = _VBIOS_NAME.search(name)
    if match is None:
        return None
    stated = tuple(report.text(kind).upper() for kind in (abi.PROJECT, abi.PROJECT_SKU, abi.CHIP_SKU))
    return tuple(part.upper() for part in match.groups()[:3]) == stated


def _compare(report: abi.Report, rims: Sequence[Rim]) -> int:
    """Step 9; how many measurements were compared."""
    demanded: dict[int, frozenset[bytes]] = {}
    for rim in rims:
        for index, values in rim.active.items():
            if index in demanded:
                raise EvidenceError(codes.RIM_CONFLICT, subject=f"index {index}")
            demanded[index] = values
    if report.flag(abi.NVDEC0) is False:
        demanded.pop(_NVDEC_INDEX, None)
    for index, values in sorted(demanded.items()):
        measured = report.measurements.get(index + 1)
        if measured is None:
            raise EvidenceError(codes.MEASUREMENT_MISSING, subject=f"index {index}")
        if measured not in values:
            raise EvidenceError(
                codes.MEASUREMENT, subject=f"index {index}", expected=f"one of {len(values)} values", got=measured.hex()
            )
    return len(demanded)


def _gpu_rims(
    report: abi.Report, chip: str, collateral: Collateral, roots: Sequence[bytes], now: datetime
) -> tuple[list[Rim], list[str]]:
    """Step 8 for a GPU: the RIMs that apply, and what is missing."""
    driver, vbios = report.text(abi.DRIVER_VERSION), report.vbios_version()
    chosen: list[Rim] = []
    missing: list[str] = []
    drivers, some = _rims(collateral, roots, now, driver, "GPU", chip)
    boards, _ = _rims(collateral, roots, now, vbios, "GPU", chip)
    if some and not drivers and not boards:
        raise EvidenceError(codes.RIM_VERSION, expected=f"driver {driver} or VBIOS {vbios}")
    if drivers:
        chosen.append(next(iter(drivers.values())))
    else:
        missing.append(f"no RIM for driver {driver or '(not stated)'}")
    fitting = {name: rim for name, rim in boards.items() if _board(name, report) is not False}
    if boards and not fitting:
        stated = "_".join(report.text(kind) for kind in (abi.PROJECT, abi.PROJECT_SKU, abi.CHIP_SKU))
        raise EvidenceError(codes.RIM_SKU, expected=stated, got=next(iter(boards)))
    if fitting:
        named = [name for name in fitting if _board(name, report)]
        chosen.append(fitting[named[0]] if named else next(iter(fitting.values())))
        if not named:
            missing.append("the VBIOS RIM's name ties it to no board (project, SKU)")
    else:
        missing.append(f"no RIM for VBIOS {vbios or '(not stated)'}")
    return chosen, missing


def _switch_rims(
    report: abi.Report, chip: str, collateral: Collateral, roots: Sequence[bytes], now: datetime
) -> tuple[list[Rim], list[str]]:
    version = report.vbios_version()
    found, some = _rims(collateral, roots, now, version, "SWITCH", chip)
    if some and not found:
        raise EvidenceError(codes.RIM_VERSION, expected=f"BIOS {version}")
    return (list(found.values())[:1], []) if found else ([], [f"no RIM for BIOS {version or '(not stated)'}"])


def _number(name: str, version: str) -> dict[str, ClaimValue]:
    """A version as a number that a floor can be held against; left out where the text is no such version."""
    try:
        return {name: version_number(version)} if version else {}
    except ValueError:
        return {}


def _claims(report: abi.Report, chain: Sequence[Certificate], *, switch: bool) -> dict[str, ClaimValue]:
    chip = _chip(report, chain)
    claims: dict[str, ClaimValue] = {
        "nonce": report.nonce.hex(),
        "vbiosVersion": report.vbios_version(),
        "deviceId": hashlib.sha256(
            chain[1].spki
        ).hexdigest(),  # the BROM key is the device's own, whatever firmware it runs
        "chip": chip,
        "architecture": _architecture(chip),
    }
    claims |= _number("vbios", report.vbios_version())
    if switch:
        claims["pdi"] = ",".join(sorted(report.pdis(abi.PDI)))
        claims["gpuPdis"] = ",".join(sorted(report.pdis(abi.SWITCH_GPU_PDIS, limit=8)))
        return claims
    claims["driverVersion"] = report.text(abi.DRIVER_VERSION)
    claims |= _number("driver", report.text(abi.DRIVER_VERSION))
    for name, kind in (("project", abi.PROJECT), ("projectSku", abi.PROJECT_SKU), ("chipSku", abi.CHIP_SKU)):
        claims[name] = report.text(kind)
    if (fwid := report.opaque.get(abi.FWID)) is not None:
        claims["fwid"] = fwid.hex()
    if (ppcie := report.flag(abi.PPCIE)) is not None:
        claims["ppcie"] = ppcie
    if (feature := report.opaque.get(abi.FEATURE)) is not None:
        mode = _FEATURES.get(feature[:1]) if feature and not any(feature[1:]) else None
        if mode is None:
            raise EvidenceError(
                codes.OPAQUE_FIELD, subject="opaque type 36", expected="0 SPT, 1 MPT or 2 PPCIE", got=feature[:8].hex()
            )
        claims["mode"] = mode
    claims["confidentialMode"] = "ppcie" if claims.get("mode") == "ppcie" or ppcie else "on"
    claims["switchPdis"] = ",".join(sorted(report.pdis(abi.PDI)))
    return claims


def verify_device(
    evidence: Evidence, *, collateral: Collateral, anchors: Sequence[Anchor], now: datetime, switch: bool
) -> VerifiedClaims:
    """Steps 1 to 5 and 7 to 9 for a GPU or a switch.

    Raises:
        EvidenceError: QNSP-ATT-NV-001 to -052, the first failing step.
    """
    report = abi.parse(evidence.data)
    roots, rim_anchors = anchors_of("nvidia", anchors), anchors_of("nvidia-rim", anchors)
    if abi.is_switch(report.opaque) is not switch:
        raise EvidenceError(codes.DEVICE, expected="NVSwitch" if switch else "GPU")
    chain = verify_chain(
        _device_chain(evidence, report, collateral), roots=[anchor.certificate for anchor in roots], now=now
    )
    root = next(anchor for anchor in roots if anchor.certificate == chain[-1].der)
    verify_signature(report, chain[0])
    firmware = _firmware(report, chain[0])
    answers = _Answers.of(collateral)
    answers.check(chain, now)  # a revoked device is told before its RIMs are read
    choose = _switch_rims if switch else _gpu_rims
    rims, missing = choose(
        report, _chip(report, chain), collateral, [anchor.certificate for anchor in rim_anchors], now
    )
    unchecked, answered = _revocation(chain, rims, answers, now)
    compared = _compare(report, rims)
    simulated = root.assurance is AssuranceClass.SIMULATED or (
        bool(rims) and any(anchor.assurance is AssuranceClass.SIMULATED for anchor in rim_anchors)
    )
    good = Verdict.SIMULATED if simulated else Verdict.OK
    asked = ("revocation", "rim-revocation") if rims else ("revocation",)
    measured = f"{compared} measurements are among the alternatives of {len(rims)} RIMs"
    statements = (
        Statement("signature", good, "SPDM 1.1 measurements, ECDSA P-384, by the device's leaf"),
        Statement("chain", good, f"five certificates to {root.line or root.vendor}"),
        firmware or Statement("firmware-id", good, "the report's firmware id is the leaf's"),
        Statement("freshness", Verdict.NOT_CHECKED, "a report holds no time; its request nonce must be compared"),
        *unchecked,
        *(Statement(name, good, "OCSP: good") for name in asked if name not in {one.name for one in unchecked}),
        Statement("measurements", Verdict.NOT_CHECKED, "; ".join((*missing, measured)) if rims else "; ".join(missing))
        if missing
        else Statement("measurements", good, measured),
    )
    ends = [certificate.not_after for certificate in chain] + [rim.not_after for rim in rims] + answered
    return VerifiedClaims(
        kind=EvidenceKind.NVSWITCH if switch else EvidenceKind.NVIDIA_GPU,
        assurance=AssuranceClass.SIMULATED if simulated else root.assurance,
        claims=_claims(report, chain, switch=switch),
        report_data=report.nonce,
        statements=statements,
        not_after=min(ends),
    )


def verify(evidence: Evidence, *, collateral: Collateral, anchors: Sequence[Anchor], now: datetime) -> VerifiedClaims:
    """Verifies a GPU's report; endorsement `device-chain` (PEM, leaf first) or the one PEM chain of the collateral.

    Claims: `nonce`, `driverVersion`, `vbiosVersion` (and as comparable numbers `driver`, `vbios`), `chip`, `architecture`, `deviceId` (SHA-256 of the device's own key), `project`,
    `projectSku`, `chipSku`, and where stated `fwid`, `ppcie`, `mode` (spt, mpt, ppcie), `confidentialMode` (on, ppcie), `switchPdis`.
    """
    return verify_device(evidence, collateral=collateral, anchors=anchors, now=now, switch=False)


def claims_of(devices: Sequence[VerifiedClaims], name: str) -> list[ClaimValue | None]:
    """One claim of each device, in order."""
    return [device.claims.get(name) for device in devices]


def parsed_list(claims: Mapping[str, ClaimValue], name: str) -> frozenset[str]:
    """A comma-separated claim as a set."""
    return frozenset(part for part in str(claims.get(name, "")).split(",") if part)


__all__ = ["CHAIN", "OCSP_NONCE", "claims_of", "parsed_list", "verify", "verify_device"]
