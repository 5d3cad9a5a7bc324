"""Verification of DCAP quotes, TDX and SGX: quote, PCS collateral, anchors, `now` -> verified claims.

The steps, in this order; the first that fails is reported:

1. format: header, version, TEE type, key type, vendor, body, every length
2. tail: zero bytes only
3. certification: the PCK chain of three certificates, within the quote (type 5) or given
4. chain: leaf <- Platform or Processor CA <- trust anchor; roles, SGX extension, times at `now`
5. QE report by the PCK   6. attestation key and authentication data bound in the QE report   7. quote by the attestation key
8. TCB info and QE identity: signature by a TCB signing certificate under the same root, issueDate to nextUpdate
9. revocation: root CRL, PCK CRL of the matching CA
10. QE identity   11. FMSPC and PCE-ID   12. TCB level, first in list order   13. TDX module   14. status = the worst
15. claims; an attester that can be debugged is stated as refused

What is not given (TCB info, QE identity, CRLs) is stated as not checked; what is given must hold. Status words other than Revoked are
claims (`tcbStatus`) for appraisal to judge. Still owed by the caller: freshness of report data, and `appraise`.
Not checked, with the reason: platform instance and configuration of the PCK (claims of no use to a policy here); minimum
tcbEvaluationDataNumber (a claim: set a floor); advisories (claims).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from qnsp_policy.kernel.attestation import event_log
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.dcap import chain as pck_chain
from qnsp_policy.kernel.attestation.dcap import documents, tcb
from qnsp_policy.kernel.attestation.dcap.abi import EnclaveReport, Quote, TdReport, parse
from qnsp_policy.kernel.attestation.dcap.chain import PckChain, when
from qnsp_policy.kernel.attestation.dcap.claims import coverage, sgx_claims, td_claims
from qnsp_policy.kernel.attestation.dcap.codes import Refusal, Tee, code, refuse
from qnsp_policy.kernel.attestation.dcap.documents import DocumentFormError, PcsCollateral, Signed
from qnsp_policy.kernel.attestation.dcap.tcb import Level, TcbStatus
from qnsp_policy.kernel.attestation.values import (
    Anchor,
    AssuranceClass,
    ClaimValue,
    Evidence,
    Statement,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.kernel.attestation.x509 import (
    Certificate,
    CertificateError,
    is_signed_by,
    load_certificate,
    unknown_critical,
)

_SHA256: Final = ec.ECDSA(hashes.SHA256())
_OWN_ENDORSEMENTS: Final = frozenset({"pck-chain", "event-log"})
_TCB_SIGNING: Final = "TCB Signing"


@dataclass(frozen=True, slots=True)
class _Documents:
    """TCB info and QE identity whose signatures and times hold, and their signers; None where not given."""

    tcb_info: Signed | None
    qe_identity: Signed | None
    signers: tuple[Certificate, ...]
    next_updates: tuple[datetime, ...]


def _raw_signature(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> bool:
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(der, data, _SHA256)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=4096)
def _by_certificate(certificate: bytes, signature: bytes, data: bytes) -> bool:
    """Whether a raw signature is by a certificate's P-256 key; remembered by content (QE reports, PCS documents)."""
    key = pck_chain.p256(load_certificate(certificate))
    return key is not None and _raw_signature(key, signature, data)


def _attestation_key(tee: Tee, quote: Quote) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.attestation_key)
    except ValueError as error:
        raise refuse(tee, Refusal.AK, subject="attestation key") from error


def _quote_signatures(tee: Tee, quote: Quote, chain: PckChain) -> None:
    """Steps 5, 6 and 7."""
    if not _by_certificate(chain.leaf.der, quote.qe_signature, quote.qe_report.raw):
        raise refuse(tee, Refusal.QE_SIGNATURE, subject="QE report")
    bound = hashlib.sha256(quote.attestation_key + quote.auth).digest()
    if quote.qe_report.report_data[:32] != bound:
        raise refuse(tee, Refusal.QE_BINDING, subject="QE report data")
    if any(quote.qe_report.report_data[32:]):
        raise refuse(tee, Refusal.QE_REPORT_DATA_TAIL, subject="QE report data")
    if not _raw_signature(_attestation_key(tee, quote), quote.signature, quote.signed):
        raise refuse(tee, Refusal.SIGNATURE, subject="quote")


def _is_tcb_signer(certificate: Certificate) -> bool:
    return (
        certificate.subject_cn.endswith(_TCB_SIGNING)
        and not certificate.is_ca
        and certificate.may_sign_data is not False
        and not unknown_critical(certificate)
    )


def _signer(tee: Tee, document: Signed, given: PcsCollateral, chain: PckChain, now: datetime) -> Certificate:
    """Step 8: the TCB signing certificate of a document, under the root of the PCK chain."""
    try:
        certificates = [load_certificate(data) for data in document.chain] or list(given.certificates)
    except CertificateError as error:
        raise refuse(tee, Refusal.TCB_SIGNER_MISSING, str(error)) from error
    others = [one for one in certificates if one.subject != one.issuer]
    signing = [one for one in others if _is_tcb_signer(one)]
    if not signing:
        if others and any(is_signed_by(one, chain.root) for one in others):
            raise refuse(tee, Refusal.TCB_SIGNER_ROLE, subject=others[0].subject_cn, expected="Intel SGX TCB Signing")
        raise refuse(tee, Refusal.TCB_SIGNER_MISSING)
    rooted = [one for one in signing if is_signed_by(one, chain.root)]
    if not rooted:
        raise refuse(tee, Refusal.TCB_SIGNER_CHAIN, subject=signing[0].subject_cn)
    certificate = next((one for one in rooted if _by_certificate(one.der, document.signature, document.signed)), None)
    if certificate is None:
        refusal = Refusal.TCB_INFO_SIGNATURE if document.what == "tcb" else Refusal.QE_IDENTITY_SIGNATURE
        raise refuse(tee, refusal, subject=rooted[0].subject_cn)
    if not certificate.valid_at(now):
        raise refuse(
            tee,
            Refusal.TCB_SIGNER_TIME,
            subject=certificate.subject_cn,
            expected=f"{when(certificate.not_before)} to {when(certificate.not_after)}",
            got=when(now),
        )
    return certificate


def _window(document: Signed) -> tuple[datetime, datetime]:
    return documents.moment(document.value.get("issueDate")), documents.moment(document.value.get("nextUpdate"))


def _choose(found: Sequence[Signed], what: str, fits: Sequence[Mapping[str, str]], now: datetime) -> Signed | None:
    """The document that meets the most of what is wanted, in force before others, then the newest; None if there is none at all."""
    own = [document for document in found if document.what == what]
    if not own:
        return None

    def rank(document: Signed) -> tuple[int, bool, datetime]:
        value = {"id": tcb.identity_of(document.value), **document.value}
        met = sum(
            all(str(value.get(name, "")).upper() == wish.upper() for name, wish in wanted.items()) for wanted in fits
        )
        begin, end = _window(document)
        return met, begin <= now <= end, begin

    return max(own, key=rank)


def _collateral(tee: Tee, given: PcsCollateral, chain: PckChain, now: datetime) -> _Documents:
    """Step 8: the documents that fit best, their signatures, their times."""
    wanted = {"fmspc": chain.identity.fmspc.hex(), "pceId": chain.identity.pce_id.hex()}
    tcb_info = _choose(given.documents, "tcb", ({"id": tee.prefix}, {"id": tee.prefix, **wanted}), now)
    qe_identity = _choose(given.documents, "qe", ({"id": tee.qe_id},), now)
    signers: list[Certificate] = []
    ends: list[datetime] = []
    for document, early, late in (
        (tcb_info, Refusal.TCB_INFO_EARLY, Refusal.TCB_INFO_EXPIRED),
        (qe_identity, Refusal.QE_IDENTITY_EARLY, Refusal.QE_IDENTITY_EXPIRED),
    ):
        if document is None:
            continue
        signers.append(_signer(tee, document, given, chain, now))
        begin, end = _window(document)
        if not begin <= now <= end:
            raise refuse(
                tee,
                early if now < begin else late,
                subject="issueDate, nextUpdate",
                expected=f"{when(begin)} to {when(end)}",
                got=when(now),
            )
        ends.append(end)
    return _Documents(tcb_info, qe_identity, tuple(signers), tuple(ends))


def _qe(tee: Tee, report: EnclaveReport, value: Mapping[str, object]) -> Level:
    """Step 10."""
    if value.get("id") != tee.qe_id:
        raise refuse(tee, Refusal.QE_ID, subject="id", expected=tee.qe_id, got=str(value.get("id")))
    if value.get("version") != 2:
        raise DocumentFormError("QE identity is not of version 2")
    signer = tcb.hexadecimal(value.get("mrsigner"), 32, "mrsigner")
    if report.mr_signer != signer:
        raise refuse(tee, Refusal.QE_MRSIGNER, subject="MRSIGNER", expected=signer.hex(), got=report.mr_signer.hex())
    product = tcb.integer(value.get("isvprodid"), 65535, "isvprodid")
    if report.isv_prod_id != product:
        raise refuse(tee, Refusal.QE_PRODUCT, subject="ISVPRODID", expected=str(product), got=str(report.isv_prod_id))
    misc, mask = (tcb.hexadecimal(value.get(name), 4, name) for name in ("miscselect", "miscselectMask"))
    own = report.misc_select.to_bytes(4, "big")
    if tcb.masked(own, mask) != tcb.masked(misc, mask):
        raise refuse(tee, Refusal.QE_MISCSELECT, subject="MISCSELECT", expected=misc.hex(), got=own.hex())
    attributes, mask = (tcb.hexadecimal(value.get(name), 16, name) for name in ("attributes", "attributesMask"))
    if tcb.masked(report.attributes, mask) != tcb.masked(attributes, mask):
        raise refuse(
            tee, Refusal.QE_ATTRIBUTES, subject="ATTRIBUTES", expected=attributes.hex(), got=report.attributes.hex()
        )
    level = tcb.isv_level(tcb.listed(value.get("tcbLevels"), "tcbLevels"), report.isv_svn)
    if level is None:
        raise refuse(tee, Refusal.QE_LEVEL, subject="ISVSVN", got=str(report.isv_svn))
    if level.status is TcbStatus.REVOKED:
        raise refuse(tee, Refusal.QE_REVOKED, subject="ISVSVN", got=str(report.isv_svn))
    return level


def _platform(tee: Tee, quote: Quote, chain: PckChain, value: Mapping[str, object]) -> Level:
    """Steps 11 and 12."""
    if tcb.identity_of(value) != tee.prefix:
        raise refuse(tee, Refusal.TCB_INFO_ID, subject="id", expected=tee.prefix, got=str(value.get("id")))
    if value.get("version") not in ((2, 3) if tee is Tee.SGX else (3,)):
        raise DocumentFormError("TCB info is not of version 3 (SGX: 2 or 3)")
    fmspc, pce_id = tcb.hexadecimal(value.get("fmspc"), 6, "fmspc"), tcb.hexadecimal(value.get("pceId"), 2, "pceId")
    if fmspc != chain.identity.fmspc:
        raise refuse(tee, Refusal.FMSPC, subject="FMSPC", expected=fmspc.hex(), got=chain.identity.fmspc.hex())
    if pce_id != chain.identity.pce_id:
        raise refuse(tee, Refusal.PCE_ID, subject="PCE-ID", expected=pce_id.hex(), got=chain.identity.pce_id.hex())
    levels = tcb.listed(value.get("tcbLevels"), "tcbLevels")
    svn = quote.body.tee_tcb_svn if isinstance(quote.body, TdReport) else None
    level = tcb.platform_level(levels, chain.identity.components, chain.identity.pce_svn, svn)
    if level is None:
        raise refuse(tee, Refusal.NO_LEVEL, subject="TCB", got=f"PCESVN {chain.identity.pce_svn}")
    if level.status is TcbStatus.REVOKED:
        raise refuse(tee, Refusal.TCB_REVOKED, subject="TCB", got=level.date)
    return level


def _module(tee: Tee, report: TdReport, value: Mapping[str, object]) -> tuple[Level | None, str]:
    """Step 13: the TDX module by its identity; the major version is byte 1 of TEE_TCB_SVN, the SVN byte 0."""
    svn, major = report.tee_tcb_svn[0], report.tee_tcb_svn[1]
    if major == 0:
        identity, name = tcb.member(value, "tdxModule"), "TDX"
    else:
        name = f"TDX_{major:02X}"
        identities = tcb.listed(value.get("tdxModuleIdentities") or [], "tdxModuleIdentities")
        found = [one for one in identities if str(one.get("id", "")).upper() == name]
        if len(found) != 1:
            raise refuse(tee, Refusal.MODULE_UNKNOWN, subject="tdxModuleIdentities", expected=name)
        identity = found[0]
    signer = tcb.hexadecimal(identity.get("mrsigner"), 48, "mrsigner")
    if report.mr_signer_seam != signer:
        raise refuse(
            tee, Refusal.MODULE_SIGNER, subject="MRSIGNERSEAM", expected=signer.hex(), got=report.mr_signer_seam.hex()
        )
    attributes, mask = (tcb.hexadecimal(identity.get(member), 8, member) for member in ("attributes", "attributesMask"))
    if tcb.masked(report.seam_attributes, mask) != tcb.masked(attributes, mask):
        raise refuse(
            tee,
            Refusal.MODULE_ATTRIBUTES,
            subject="SEAMATTRIBUTES",
            expected=attributes.hex(),
            got=report.seam_attributes.hex(),
        )
    if major == 0:
        return None, name
    level = tcb.isv_level(tcb.listed(identity.get("tcbLevels"), "tcbLevels"), svn)
    if level is None:
        raise refuse(tee, Refusal.MODULE_LEVEL, subject="TEE_TCB_SVN", got=str(svn))
    if level.status is TcbStatus.REVOKED:
        raise refuse(tee, Refusal.MODULE_REVOKED, subject="TEE_TCB_SVN", got=str(svn))
    return level, name


@dataclass(frozen=True, slots=True)
class _Standing:
    """What steps 10 to 14 found: claims and one statement."""

    claims: Mapping[str, ClaimValue]
    checked: bool
    detail: str


def _standing(tee: Tee, quote: Quote, chain: PckChain, found: _Documents) -> _Standing:
    """Steps 10 to 14."""
    levels: list[Level] = []
    claims: dict[str, ClaimValue] = {}
    missing: list[str] = []
    if found.qe_identity is None:
        missing.append("QE identity")
    else:
        level = _qe(tee, quote.qe_report, found.qe_identity.value)
        levels.append(level)
        claims["qe.status"] = level.status.value
    if found.tcb_info is None:
        missing.append("TCB info")
    else:
        value = found.tcb_info.value
        level = _platform(tee, quote, chain, value)
        levels.append(level)
        claims["tcb.platformStatus"] = level.status.value
        claims["tcb.date"] = level.date
        if isinstance(quote.body, TdReport):
            module, name = _module(tee, quote.body, value)
            claims["moduleId"] = name
            if module is not None:
                levels.append(module)
                claims["module.status"] = module.status.value
    numbers = [
        tcb.integer(document.value.get("tcbEvaluationDataNumber"), 2**31, "tcbEvaluationDataNumber")
        for document in (found.tcb_info, found.qe_identity)
        if document is not None
    ]
    if numbers:
        claims["tcb.evaluationDataNumber"] = min(numbers)
    advisories = sorted({advisory for level in levels for advisory in level.advisories})
    if missing:
        return _Standing(claims, checked=False, detail=f"{' and '.join(missing)} not given")
    status = tcb.converge([level.status for level in levels])
    claims["tcbStatus"] = status.value
    claims["tcb.statusLevel"] = tcb.rank(status)
    claims["tcb.advisories"] = " ".join(advisories)
    return _Standing(claims, checked=True, detail=f"{status.value}{': ' if advisories else ''}{', '.join(advisories)}")


def verify(
    tee: Tee, evidence: Evidence, *, collateral: Collateral, anchors: Sequence[Anchor], now: datetime
) -> VerifiedClaims:
    """Verifies a quote of one kind; the numbered steps are those of the module.

    Raises:
        EvidenceError: QNSP-ATT-TDX-* or QNSP-ATT-SGX-*, the first failing step.
    """
    if evidence.kind is not tee.kind:
        raise refuse(tee, Refusal.KIND, subject="kind", expected=tee.kind.value, got=evidence.kind.value)
    # 1, 2 format and tail
    quote = parse(evidence.data, tee)
    # 3, 4 PCK chain
    supplied = evidence.endorsements.get("pck-chain")
    if supplied is None and quote.certification_type != pck_chain.CHAIN_TYPE:
        supplied = pck_chain.from_collateral(
            collateral.certificates, lambda leaf: _by_certificate(leaf.der, quote.qe_signature, quote.qe_report.raw)
        )
    found = pck_chain.certificates(tee, quote.certification_type, quote.certification, supplied)
    chain = pck_chain.verify(tee, found, anchors, now)
    # 5, 6, 7 signatures
    _quote_signatures(tee, quote, chain)
    if evidence.endorsements.keys() - _OWN_ENDORSEMENTS:
        given_along = {name: data for name, data in evidence.endorsements.items() if name not in _OWN_ENDORSEMENTS}
        collateral = collateral.joined(Collateral.from_files(given_along))
    try:
        # 8 collateral
        given = documents.read(collateral)
        signed = _collateral(tee, given, chain, now)
        # 9 revocation
        crls, missing = pck_chain.revocation(tee, chain, signed.signers, given.crls, now)
        # 10 to 14 TCB
        standing = _standing(tee, quote, chain, signed)
    except DocumentFormError as error:
        raise refuse(tee, Refusal.COLLATERAL_FORM, str(error)) from error
    except tcb.UnknownStatusError as error:
        raise refuse(tee, Refusal.UNKNOWN_STATUS, str(error), subject="tcbStatus") from error
    # 15 claims
    body = quote.body
    claims = td_claims(body) if isinstance(body, TdReport) else sgx_claims(body)
    log = _event_log(tee, body, evidence.endorsements.get("event-log")) if isinstance(body, TdReport) else None
    claims |= {
        "version": quote.version,
        "fmspc": chain.identity.fmspc.hex(),
        "pceId": chain.identity.pce_id.hex(),
        "pceSvn": chain.identity.pce_svn,
        "ppid": chain.identity.ppid.hex(),
        "sgxType": chain.identity.sgx_type,
        "pckCa": chain.ca.subject_cn.rsplit(" ", 2)[-2].lower(),
        "qe.isvSvn": quote.qe_report.isv_svn,
        **standing.claims,
    }
    simulated = chain.anchor.assurance is AssuranceClass.SIMULATED
    good = Verdict.SIMULATED if simulated else Verdict.OK
    debug = claims["tdAttributes.debug" if tee is Tee.TDX else "attributes.debug"]
    ends = [chain.leaf.not_after, chain.ca.not_after, chain.root.not_after, *signed.next_updates]
    ends += [signer.not_after for signer in signed.signers]
    ends += [crl.next_update for crl in crls if crl.next_update is not None]
    statements = (
        Statement("signature", good, "quote by the attestation key, which the QE report binds, which the PCK signed"),
        Statement(
            "chain",
            good,
            f"{chain.leaf.subject_cn} <- {chain.ca.subject_cn} <- {'simulated root ' if simulated else ''}{chain.root.subject_cn}",
        ),
        Statement("revocation", Verdict.NOT_CHECKED, f"no {missing} given")
        if missing
        else Statement("revocation", good, "root CA CRL and PCK CRL"),
        Statement("freshness", Verdict.NOT_CHECKED, "a quote holds no time; report data must be compared with a nonce"),
        Statement("tcb", Verdict.CLAIMED if standing.checked else Verdict.NOT_CHECKED, standing.detail),
        Statement(
            "debug",
            Verdict.REFUSED,
            "DEBUG or another attribute of a TD under debug is set" if tee is Tee.TDX else "the DEBUG attribute is set",
            code(tee, Refusal.DEBUG).code,
        )
        if debug
        else Statement("debug", good, "the DEBUG attribute is clear"),
        Statement("measurements", Verdict.CLAIMED, coverage(tee)),
        *((Statement("event-log", good, f"{log} events add up to RTMR0 to RTMR3"),) if log is not None else ()),
    )
    return VerifiedClaims(
        kind=tee.kind,
        assurance=chain.anchor.assurance,
        claims=claims,
        report_data=body.report_data,
        statements=statements,
        not_after=min(ends),
    )


def _event_log(tee: Tee, body: TdReport, data: bytes | None) -> int | None:
    """Step 15: a log that came along must add up to the verified RTMRs; returns the number of its events."""
    if data is None:
        return None
    try:
        events = event_log.parse(data)
    except event_log.EventLogError as error:
        raise refuse(tee, Refusal.EVENT_LOG_FORM, str(error), subject="event log") from error
    for index, (own, replayed) in enumerate(zip(body.rtmrs, event_log.replay(events), strict=True)):
        if own != replayed:
            raise refuse(tee, Refusal.EVENT_LOG, subject=f"RTMR{index}", expected=own.hex(), got=replayed.hex())
    return len(events)


__all__ = ["verify"]
