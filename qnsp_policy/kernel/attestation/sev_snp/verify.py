"""Verification of SEV-SNP evidence: report bytes and certificates -> verified claims.

Comes in: the report (or Azure's HCL wrapper around it), certificates and CRLs that travelled with it or are given as collateral,
trust anchors, `now`. Goes out: `VerifiedClaims`. The steps, in this order; the first that fails is reported:

1. format: 1184 bytes, version 2 to 5, ECDSA P-384 with SHA-384
2. endorsement: VCEK or VLEK as the report says, key on P-384
3. line: Milan, Genoa (Siena, Bergamo) or Turin, by CPUID (version 3 on) or by the leaf's issuer
4. chain: trust anchor (ARK) -> ASK or ASVK -> leaf, CA flags, no unknown critical extension
5. validity at `now` of leaf, intermediate, root; both ends belong to it
6. signature over [0, 0x2A0); the unsigned rest from 0x330 is zero
7. identity: TCB of the leaf is REPORTED_TCB (not CURRENT, COMMITTED or LAUNCH), HWID is CHIP_ID; for HCL its runtime data
8. revocation: CRL of the line's ARK, if one is given; else stated as not checked
9. claims; a guest policy that allows debugging is stated as refused

Still owed by the caller: freshness (REPORT_DATA against its own nonce) and `appraise`.
Not checked, with the reason: revocation of the leaf (AMD publishes none, and every leaf has serial 0); reserved signed bytes
(firmware may give them a meaning without a new version); ID block signatures (the digests of their keys are claims).
Sources: AMD 56860 revision 1.58; AMD 57230.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import abi, codes, hcl, leaf
from qnsp_policy.kernel.attestation.sev_snp.abi import Line, Report, SigningKey, Tcb
from qnsp_policy.kernel.attestation.sev_snp.chain import (
    ISSUING,
    anchors_of_line,
    build_chain,
    check_revocation,
    check_validity,
    choose_leaf,
    given_with,
    hwid_of,
    leaf_key,
    line_of,
    when,
)
from qnsp_policy.kernel.attestation.sev_snp.claims import claims_of, components, coverage
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
from qnsp_policy.kernel.attestation.x509 import (
    Certificate,
)

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
"""Order n of P-384 (FIPS 186-5, SP 800-186)."""
_SHA384: Final = ec.ECDSA(hashes.SHA384())


def _verifies(key: ec.EllipticCurvePublicKey, r: int, s: int, data: bytes) -> bool:
    if not (0 < r < _ORDER and 0 < s < _ORDER):
        return False
    try:
        key.verify(encode_dss_signature(r, s), data, _SHA384)
    except InvalidSignature:
        return False
    return True


def _signature(report: Report, certificate: Certificate, line: Line) -> None:
    """Step 6; a failure is looked at again only to name its likely cause."""
    r_bytes, s_bytes = abi.signature_numbers(report)
    key = leaf_key(certificate)
    if any(r_bytes[48:]) or any(s_bytes[48:]):
        raise EvidenceError(codes.SIGNATURE_FORM, subject="SIGNATURE")
    r, s = int.from_bytes(r_bytes, "little"), int.from_bytes(s_bytes, "little")
    if not (0 < r < _ORDER and 0 < s < _ORDER):
        raise EvidenceError(codes.SIGNATURE_RANGE, subject="SIGNATURE")
    if not _verifies(key, r, s, report.signed):
        if _verifies(key, s, r, report.signed):
            raise EvidenceError(codes.SIGNATURE_SWAPPED, subject="SIGNATURE")
        if _verifies(key, int.from_bytes(r_bytes[:48], "big"), int.from_bytes(s_bytes[:48], "big"), report.signed):
            raise EvidenceError(codes.SIGNATURE_BIG_ENDIAN, subject="SIGNATURE")
        identity = leaf.read(certificate, line)
        if identity.hwid is not None and not _is_chip(identity.hwid, report.chip_id) and any(report.chip_id):
            raise EvidenceError(codes.SIGNATURE_OTHER_CHIP, subject="SIGNATURE")
        if identity.tcb != Tcb.unpack(report.reported_tcb, line):
            raise EvidenceError(codes.SIGNATURE_OTHER_TCB, subject="SIGNATURE")
        raise EvidenceError(codes.SIGNATURE, subject="SIGNATURE")
    if any(report.raw[abi.UNSIGNED_FROM :]):
        raise EvidenceError(codes.UNSIGNED_BYTES, subject="report")


def _is_chip(value: bytes, chip_id: bytes) -> bool:
    hwid = hwid_of(value)
    return len(hwid) > 0 and chip_id == hwid + bytes(max(0, 64 - len(hwid)))


def _identity(report: Report, certificate: Certificate, line: Line) -> leaf.LeafIdentity:
    """Step 7: what the leaf states of chip and TCB is what the report says."""
    identity = leaf.read(certificate, line)
    reported = Tcb.unpack(report.reported_tcb, line)
    if identity.tcb != reported:
        raise EvidenceError(
            codes.TCB, subject="REPORTED_TCB", expected=components(identity.tcb), got=components(reported)
        )
    spare = report.reported_tcb.to_bytes(8, "little")[2:6]
    if line is not Line.TURIN and identity.spare != spare:
        raise EvidenceError(
            codes.TCB, subject="REPORTED_TCB bytes 2 to 5", expected=identity.spare.hex(), got=spare.hex()
        )
    if report.signing_key == SigningKey.VCEK or identity.hwid is not None:
        if identity.hwid is None:
            raise EvidenceError(codes.LEAF_EXTENSION, "missing", subject=leaf.HWID)
        size = 8 if line is Line.TURIN else 64
        if len(hwid_of(identity.hwid)) != size:
            raise EvidenceError(
                codes.HWID_LENGTH, subject="HWID", expected=f"{size} bytes", got=f"{len(hwid_of(identity.hwid))} bytes"
            )
        if not any(report.chip_id):
            raise EvidenceError(codes.CHIP_ID_MASKED, subject="CHIP_ID")
        if not _is_chip(identity.hwid, report.chip_id):
            raise EvidenceError(
                codes.HWID, subject="CHIP_ID", expected=hwid_of(identity.hwid).hex()[:16], got=report.chip_id.hex()[:16]
            )
    return identity


def verify(evidence: Evidence, *, collateral: Collateral, anchors: Sequence[Anchor], now: datetime) -> VerifiedClaims:
    """Verifies SEV-SNP evidence; the numbered steps are those of the module.

    Args:
        evidence: `data` is a report of 1184 bytes or an HCL wrapper; `endorsements` may hold `vcek`, `vlek`, `ask`, `asvk`,
            `ark`, `chain` (DER or PEM), `auxblob` (certificate table), `crl`, and for HCL `tpm-quote`, `tpm-signature`, `tpm-pcrs`.
        collateral: further certificates and CRLs.
        anchors: trust anchors; those of the report's line are used.
        now: aware, UTC.

    Returns:
        The claims, with statements on signature, chain, revocation, freshness, debug and binding.

    Raises:
        EvidenceError: QNSP-ATT-SNP-*, the first failing step.
    """
    # 1 format
    if evidence.kind is not EvidenceKind.SEV_SNP:
        raise EvidenceError(codes.KIND, subject="kind", expected="sev-snp", got=evidence.kind.value)
    wrapper = hcl.parse(evidence.data) if hcl.is_wrapped(evidence.data) else None
    report = abi.parse(wrapper.report if wrapper else evidence.data)
    given = given_with(evidence, collateral)
    # 2 endorsement
    cpu_line = abi.line_of_cpuid(report.cpuid[0], report.cpuid[1]) if report.cpuid else None
    certificate = choose_leaf(report, given, cpu_line)
    # 3 line
    line = line_of(report, certificate)
    fitting = anchors_of_line(anchors_of("amd", anchors), line)
    # 4 chain
    intermediate, anchor, root = build_chain(certificate, line, given, fitting)
    # 5 validity
    check_validity(certificate, intermediate, root, now)
    # 6 signature
    _signature(report, certificate, line)
    # 7 identity
    identity = _identity(report, certificate, line)
    wrapped = hcl.verify(wrapper, report, evidence.endorsements) if wrapper else None
    # 8 revocation
    crl = check_revocation(given.crls, intermediate, root, now)
    # 9 claims
    claims: Mapping[str, ClaimValue] = claims_of(report, line, identity)
    if wrapped:
        claims = {**claims, **wrapped.claims}
    simulated = anchor.assurance is AssuranceClass.SIMULATED
    good = Verdict.SIMULATED if simulated else Verdict.OK
    root_word = f"{'simulated root ' if simulated else ''}{root.subject_cn}"
    statements = [
        Statement("signature", good, f"ECDSA P-384 by the {ISSUING[SigningKey(report.signing_key)]} over the report"),
        Statement("chain", good, f"{certificate.subject_cn} <- {intermediate.subject_cn} <- {root_word}"),
        Statement("revocation", good, f"CRL of {root.subject_cn} until {when(crl.next_update)}")
        if crl is not None and crl.next_update is not None
        else Statement("revocation", Verdict.NOT_CHECKED, "no CRL of this ARK is given"),
        Statement(
            "freshness", Verdict.NOT_CHECKED, "a report holds no time; REPORT_DATA must be compared with a nonce"
        ),
        Statement("tcb", Verdict.CLAIMED, f"REPORTED_TCB {components(identity.tcb)} is the VCEK's or VLEK's"),
        Statement("debug", Verdict.REFUSED, "guest policy bit 19 DEBUG is set", codes.DEBUG.code)
        if report.debug
        else Statement("debug", good, "guest policy bit 19 DEBUG is clear"),
        Statement("measurements", Verdict.CLAIMED, coverage(paravisor=wrapper is not None)),
        *(wrapped.statements(good) if wrapped else ()),
    ]
    ends = [certificate.not_after, intermediate.not_after, root.not_after]
    if crl is not None and crl.next_update is not None:
        ends.append(crl.next_update)
    return VerifiedClaims(
        kind=EvidenceKind.SEV_SNP,
        assurance=anchor.assurance,
        claims=claims,
        report_data=wrapped.report_data if wrapped else report.report_data,
        statements=tuple(statements),
        not_after=min(ends),
    )


__all__ = ["verify"]
