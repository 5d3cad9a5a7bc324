"""The values of appraisal, shared by every evidence kind: evidence, verified claims, appraisal policy, result.

Comes in: bytes of evidence with their endorsements. Goes out: `VerifiedClaims` (only a verifier makes one) and
`AttestationResult` (only `appraise` makes one). Terms of RFC 9334 (RATS) and draft-ietf-rats-ar4si.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

ClaimValue = str | int | bool
"""A claim: lower-case hex for bytes, int for versions and SVNs, bool for flags, text otherwise."""


class EvidenceKind(StrEnum):
    """Which attester made the evidence; the same words in documents, on the wire of ours and in results."""

    SEV_SNP = "sev-snp"
    TDX = "tdx"
    SGX = "sgx"
    NITRO_ENCLAVE = "nitro-enclave"
    NITRO_TPM = "nitro-tpm"
    NVIDIA_GPU = "nvidia-gpu"
    NVSWITCH = "nvswitch"
    NRAS = "nras"
    COCO_SAMPLE = "coco-sample"


class AssuranceClass(StrEnum):
    """What stands behind an attester; never silently equated. It follows from the root that verified the evidence."""

    HARDWARE_TEE = "hardware-tee"
    PROVIDER_ISOLATION = "provider-isolation"
    MEASURED_BOOT = "measured-boot"
    SIMULATED = "simulated"


class Verdict(StrEnum):
    """What a result may say of one statement; simulated is never ok, and not checked is never a pass."""

    OK = "ok"
    CLAIMED = "claimed"
    SIMULATED = "simulated"
    NOT_CHECKED = "not checked"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an attester sent, unverified.

    Attributes:
        kind: the entry point it must be verified by; bytes of another kind are refused there.
        data: the evidence itself (a 1184-byte SNP report, a quote, a COSE document, SPDM response ...).
        endorsements: certificates and tables that travelled with it, by the names of docs/formats/collateral.md.
        devices: evidence of devices that this evidence binds (GPUs behind a CPU TEE).
    """

    kind: EvidenceKind
    data: bytes
    endorsements: Mapping[str, bytes] = field(default_factory=dict)
    devices: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Anchor:
    """A trust anchor: the one certificate (DER) that a chain must end in, and what it stands for.

    Attributes:
        vendor: "amd", "intel", "aws", "nvidia", "nvidia-rim" or the name a workspace gives its simulator.
        certificate: DER bytes.
        assurance: hardware-tee and so on for pinned vendor roots; simulated for a root that a workspace declares.
        line: product line where the vendor has several roots ("Milan", "Genoa", "Turin"), else "".
    """

    vendor: str
    certificate: bytes
    assurance: AssuranceClass
    line: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One separate thing that a result says, e.g. of the signature, the chain, the freshness, TCB, debug, binding.

    Attributes:
        name: signature, chain, revocation, freshness, tcb, debug, measurements, binding.
        verdict: one of the words; `refused` carries the code of the failing step.
        detail: what was compared; for `not checked` the reason.
        code: stable code of the step (`QNSP-ATT-SNP-007`) or "".
    """

    name: str
    verdict: Verdict
    detail: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """Claims whose signature and chain were verified; only a verifier of `kernel/attestation` makes one.

    Attributes:
        kind: the evidence kind.
        assurance: what stands behind the root that verified it.
        claims: by dotted name, e.g. for sev-snp `measurement` (48 bytes hex), `hostData` (32 bytes hex),
            `reportData`, `vmpl`, `guestSvn`, `policy.debug`, `policy.migrate`, `policy.smt`, `tcb.reported.snp`,
            `tcb.committed.microcode`, `productLine`, `chipId`.
        report_data: the bytes that the attester bound, as the format carries them (64 for SNP and TDX).
        statements: what was verified and what was not, each with its reason.
        not_after: the moment at which this verdict ends (earliest end of what it relied on).
        devices: verified claims of bound devices.
    """

    kind: EvidenceKind
    assurance: AssuranceClass
    claims: Mapping[str, ClaimValue]
    report_data: bytes
    statements: tuple[Statement, ...]
    not_after: datetime
    devices: tuple[VerifiedClaims, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """One complete tuple of measurements plus floors and flags; members of different tuples never combine.

    Attributes:
        name: where it comes from, e.g. `ReferenceValues/clinic-gpu-2026-11#0`.
        kind: the evidence kind it speaks of.
        equals: claims that must be equal (bytes as lower-case hex).
        floors: claims (integers) that must be at least this.
        devices: one alternative per required device, each met by a distinct device.
        not_after: when these values expire, or None where the document gives no date.
    """

    name: str
    kind: EvidenceKind
    equals: Mapping[str, ClaimValue]
    floors: Mapping[str, int] = field(default_factory=dict)
    devices: tuple[Alternative, ...] = ()
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What was declared of a machine's devices.

    Attributes:
        gpus, switches: how many.
        mode: "spt" (one GPU), "mpt" (several, NVLink encrypted) or "ppcie"; "" accepts any, as long as all agree.
        devtools: what the collector said of DEVTOOLS mode, which no report shows; True is refused.
    """

    gpus: int
    switches: int = 0
    mode: str = ""
    devtools: bool = False


@dataclass(frozen=True, slots=True)
class AppraisalPolicy:
    """Alternatives of which one must hold whole, plus what must hold for any of them.

    Attributes:
        alternatives: at least one, else nothing is ever accepted.
        assurance: classes that are acceptable.
        require_checked: names of statements that must not be `not checked`; `*` stands for all that the verifier makes.
        expected_report_data: the bytes the evidence must bind, or None when the caller compares them itself.
        machine: rules for the devices together, or None where nothing is declared of them.
    """

    alternatives: tuple[Alternative, ...]
    assurance: frozenset[AssuranceClass]
    require_checked: frozenset[str] = frozenset()
    expected_report_data: bytes | None = None
    machine: Machine | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why one alternative did not hold: the claim, what was seen, what was required and by which tuple."""

    alternative: str
    claim: str
    seen: str
    required: str
    code: str


@dataclass(frozen=True, slots=True)
class AttestationResult:
    """The outcome of appraisal (RFC 9334 section 8.4).

    Attributes:
        accepted: True only if one alternative held whole and every requirement of the policy was met.
        claims: what was judged.
        matched: the name of the alternative that held, "" if none did.
        mismatches: for a refusal, every claim that kept each alternative from holding.
        statements: the verifier's statements plus those of appraisal (tcb, debug, measurements, freshness).
        appraised_at: the injected `now`.
    """

    accepted: bool
    claims: VerifiedClaims
    matched: str
    mismatches: tuple[Mismatch, ...]
    statements: tuple[Statement, ...]
    appraised_at: datetime


__all__ = [
    "Alternative",
    "Anchor",
    "AppraisalPolicy",
    "AssuranceClass",
    "AttestationResult",
    "ClaimValue",
    "Evidence",
    "EvidenceKind",
    "Machine",
    "Mismatch",
    "Statement",
    "Verdict",
    "VerifiedClaims",
]
