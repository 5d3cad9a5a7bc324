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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import abi, codes, hcl, leaf, table
from qnsp_policy.kernel.attestation.sev_snp.abi import Line, Report, SigningKey, Tcb
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
    CertificateError,
    Crl,
    certificates_of,
    crl_is_by,
    is_signed_by,
    load_certificate,
    load_crl,
    unknown_critical,
)

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
"""Order n of P-384 (FIPS 186-5, SP 800-186)."""
_SHA384: Final = ec.ECDSA(hashes.SHA384())
_CHAIN_NAMES: Final = frozenset({"vcek", "vlek", "ask", "asvk", "ark", "chain", "vcek-chain", "vlek-chain"})
_TABLE_NAMES: Final = frozenset({"auxblob", "certs", "certificate-table"})
_ISSUING: Final = {SigningKey.VCEK: "VCEK", SigningKey.VLEK: "VLEK"}


@dataclass(frozen=True, slots=True)
class _Given:
    """Certificates by role; `arks` are only those that travelled with the evidence as such."""

    leafs: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...]
    roots: tuple[Certificate, ...]
    arks: tuple[Certificate, ...]
    crls: tuple[bytes, ...]


def _sort(certificates: Iterable[Certificate]) -> tuple[list[Certificate], list[Certificate], list[Certificate]]:
    leafs: list[Certificate] = []
    intermediates: list[Certificate] = []
    roots: list[Certificate] = []
    for certificate in certificates:
        if certificate.subject == certificate.issuer:
            roots.append(certificate)
        elif certificate.subject_cn in ("SEV-VCEK", "SEV-VLEK") or leaf.BOOTLOADER in certificate.extensions:
            leafs.append(certificate)
        elif certificate.subject_cn.startswith("SEV-"):
            intermediates.append(certificate)
    return leafs, intermediates, roots


@lru_cache(maxsize=64)
def _sorted_collateral(
    certificates: tuple[bytes, ...],
) -> tuple[tuple[Certificate, ...], tuple[Certificate, ...], tuple[Certificate, ...]]:
    """Collateral certificates by role; those that cannot be read belong to another kind and are passed over."""
    found: list[Certificate] = []
    for data in certificates:
        try:
            found.append(load_certificate(data))
        except CertificateError:
            continue
    leafs, intermediates, roots = _sort(found)
    return tuple(leafs), tuple(intermediates), tuple(roots)


def _given(evidence: Evidence, collateral: Collateral) -> _Given:
    """Everything that was given, by role; what travelled with the evidence goes first."""
    named: list[tuple[str, bytes]] = []
    crls: list[bytes] = []
    for name, data in evidence.endorsements.items():
        if name in _TABLE_NAMES:
            entries = table.parse(data) if data else {}
            named += [(entry, content) for entry, content in entries.items() if entry in _CHAIN_NAMES]
            crls += [content for entry, content in entries.items() if entry == "crl"]
        elif name in _CHAIN_NAMES:
            named.append((name, data))
        elif name == "crl":
            crls.append(data)
    own: list[Certificate] = []
    arks: list[Certificate] = []
    for name, data in named:
        try:
            certificates = [load_certificate(encoded) for encoded in certificates_of(data)]
        except CertificateError as error:
            raise EvidenceError(codes.ENDORSEMENT, str(error), subject=name) from error
        own += certificates
        if name == "ark":
            arks += certificates
    leafs, intermediates, roots = _sort(own)
    tables = [table.parse(data) for data in collateral.documents.values() if table.is_table(data)]
    tabled = tuple(data for entries in tables for name, data in entries.items() if name in _CHAIN_NAMES)
    crls += [entries["crl"] for entries in tables if "crl" in entries]
    more_leafs, more_intermediates, more_roots = _sorted_collateral((*collateral.certificates, *tabled))
    return _Given(
        (*leafs, *more_leafs),
        (*intermediates, *more_intermediates),
        (*roots, *more_roots),
        tuple(arks),
        (*crls, *collateral.crls),
    )


def _is_vlek(certificate: Certificate) -> bool:
    if certificate.subject_cn in ("SEV-VCEK", "SEV-VLEK"):
        return certificate.subject_cn == "SEV-VLEK"
    return leaf.CSP_ID in certificate.extensions


def _line_of_leaf(certificate: Certificate) -> Line | None:
    return abi.line_of_product(certificate.issuer_cn) or abi.line_of_product(leaf.product_of(certificate))


def _fits(report: Report, certificate: Certificate, line: Line | None) -> bool:
    """Whether this leaf states the report's chip and TCB; used only to choose among several."""
    line = line or _line_of_leaf(certificate)
    if line is None:
        return False
    try:
        identity = leaf.read(certificate, line)
    except EvidenceError:
        return False
    same_chip = identity.hwid is None or _hwid(identity.hwid)[:8] == report.chip_id[:8]
    return same_chip and identity.tcb == Tcb.unpack(report.reported_tcb, line)


def _choose_leaf(report: Report, given: _Given, line: Line | None) -> Certificate:
    """Step 2: the certificate of the key that the report names."""
    key = report.signing_key
    if key == SigningKey.NONE:
        raise EvidenceError(codes.MASKED_CHIP_KEY, subject="SIGNING_KEY")
    if key not in (SigningKey.VCEK, SigningKey.VLEK):
        raise EvidenceError(codes.SIGNING_KEY, subject="SIGNING_KEY", expected="0 (VCEK) or 1 (VLEK)", got=str(key))
    wanted = [candidate for candidate in given.leafs if _is_vlek(candidate) == (key == SigningKey.VLEK)]
    if not wanted and given.leafs:
        code = codes.VLEK_WITH_VCEK if key == SigningKey.VLEK else codes.VCEK_WITH_VLEK
        raise EvidenceError(code, subject=given.leafs[0].subject_cn)
    if not wanted:
        raise EvidenceError(codes.NO_LEAF, subject=_ISSUING[SigningKey(key)])
    chosen = wanted[0]
    if len(wanted) > 1:
        chosen = next((candidate for candidate in wanted if _fits(report, candidate, line)), chosen)
    _leaf_key(chosen)
    return chosen


def _leaf_key(certificate: Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = certificate.key()
    except CertificateError as error:
        raise EvidenceError(codes.LEAF_KEY, str(error), subject=certificate.subject_cn) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceError(codes.LEAF_KEY, subject=certificate.subject_cn)
    return key


def _line(report: Report, certificate: Certificate) -> Line:
    """Step 3: the line by CPUID where the report has it, and the leaf's line, which must be the same."""
    own = _line_of_leaf(certificate)
    if report.cpuid is None:
        if own is None:
            raise EvidenceError(codes.LINE_UNKNOWN, subject=certificate.issuer_cn)
        line = own
    else:
        family, model, _ = report.cpuid
        found = abi.line_of_cpuid(family, model)
        if found is None:
            raise EvidenceError(codes.LINE_UNKNOWN, f"CPUID family 0x{family:02X} model 0x{model:02X}", subject="CPUID")
        line = found
    product = leaf.product_of(certificate)
    stated = abi.line_of_product(product) if product else line
    if own is not line or stated is not line:
        raise EvidenceError(
            codes.LINE_DIFFERS, subject=certificate.issuer_cn, expected=line.value, got=own.value if own else product
        )
    return line


@lru_cache(maxsize=256)
def _anchor_certificate(data: bytes) -> Certificate:
    """A trust anchor, read; it must be signed by itself and may sign certificates."""
    try:
        certificate = load_certificate(data)
    except CertificateError as error:
        raise EvidenceError(codes.ANCHOR, str(error), subject="ARK") from error
    if (
        not is_signed_by(certificate, certificate)
        or certificate.may_sign_certificates is False
        or not certificate.is_ca
    ):
        raise EvidenceError(codes.ANCHOR, subject=certificate.subject_cn)
    return certificate


def _anchors_of(anchors: Sequence[Anchor], line: Line) -> list[tuple[Anchor, Certificate]]:
    """The anchors of one line; an anchor without a line is placed by its common name."""
    found: list[tuple[Anchor, Certificate]] = []
    for anchor in anchors:
        if anchor.line == line.value:
            found.append((anchor, _anchor_certificate(anchor.certificate)))
        elif not anchor.line:
            try:
                certificate = load_certificate(anchor.certificate)
            except CertificateError:
                continue
            if certificate.subject_cn.startswith("ARK-") and abi.line_of_product(certificate.subject_cn) is line:
                found.append((anchor, _anchor_certificate(anchor.certificate)))
    if not found:
        raise EvidenceError(codes.NO_ANCHOR, subject=line.value)
    return found


def _chain(
    certificate: Certificate, line: Line, given: _Given, anchors: Sequence[tuple[Anchor, Certificate]]
) -> tuple[Certificate, Anchor, Certificate]:
    """Step 4: intermediate, anchor and the anchor's certificate that stand behind the leaf."""
    known = {root.der for _, root in anchors}
    for ark in given.arks:
        if ark.der not in known:
            raise EvidenceError(codes.FOREIGN_ROOT, subject=ark.subject_cn)
    candidates = [candidate for candidate in given.intermediates if candidate.subject == certificate.issuer]
    if not candidates:
        others = [abi.line_of_product(candidate.subject_cn) for candidate in given.intermediates]
        if others and line not in others:
            raise EvidenceError(codes.OTHER_LINE, subject=given.intermediates[0].subject_cn, expected=line.value)
        raise EvidenceError(codes.NO_INTERMEDIATE, subject=certificate.issuer_cn)
    links = [
        (candidate, anchor, root)
        for candidate in candidates
        for anchor, root in anchors
        if is_signed_by(candidate, root)
    ]
    if not links:
        for root in given.roots:
            if root.der not in known and any(is_signed_by(candidate, root) for candidate in candidates):
                raise EvidenceError(codes.FOREIGN_ROOT, subject=root.subject_cn)
        raise EvidenceError(codes.INTERMEDIATE_SIGNATURE, subject=candidates[0].subject_cn)
    signing = [link for link in links if is_signed_by(certificate, link[0])]
    intermediate, anchor, root = (signing or links)[0]
    if not intermediate.is_ca or intermediate.may_sign_certificates is False:
        raise EvidenceError(codes.INTERMEDIATE_NOT_CA, subject=intermediate.subject_cn)
    if not signing:
        raise EvidenceError(codes.LEAF_SIGNATURE, subject=certificate.subject_cn)
    if certificate.is_ca:
        raise EvidenceError(codes.LEAF_IS_CA, subject=certificate.subject_cn)
    for member in (certificate, intermediate, root):
        unknown = unknown_critical(member)
        if unknown:
            raise EvidenceError(codes.LEAF_CRITICAL, ", ".join(sorted(unknown)), subject=member.subject_cn)
    return intermediate, anchor, root


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _validity(certificate: Certificate, intermediate: Certificate, root: Certificate, now: datetime) -> None:
    """Step 5; both ends of a validity belong to it."""
    for member, early, late in (
        (certificate, codes.LEAF_EARLY, codes.LEAF_EXPIRED),
        (intermediate, codes.INTERMEDIATE_TIME, codes.INTERMEDIATE_TIME),
        (root, codes.ANCHOR_TIME, codes.ANCHOR_TIME),
    ):
        if not member.valid_at(now):
            raise EvidenceError(
                early if now < member.not_before else late,
                subject=member.subject_cn,
                expected=f"{_when(member.not_before)} to {_when(member.not_after)}",
                got=_when(now),
            )


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
    key = _leaf_key(certificate)
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


def _hwid(value: bytes) -> bytes:
    """HWID stands raw in the extension; some certificates wrap it in a DER OCTET STRING."""
    if len(value) in (10, 66) and value[0] == 0x04 and value[1] == len(value) - 2:
        return value[2:]
    return value


def _is_chip(value: bytes, chip_id: bytes) -> bool:
    hwid = _hwid(value)
    return len(hwid) > 0 and chip_id == hwid + bytes(max(0, 64 - len(hwid)))


def _identity(report: Report, certificate: Certificate, line: Line) -> leaf.LeafIdentity:
    """Step 7: what the leaf states of chip and TCB is what the report says."""
    identity = leaf.read(certificate, line)
    reported = Tcb.unpack(report.reported_tcb, line)
    if identity.tcb != reported:
        raise EvidenceError(
            codes.TCB, subject="REPORTED_TCB", expected=_components(identity.tcb), got=_components(reported)
        )
    if report.signing_key == SigningKey.VCEK:
        if identity.hwid is None:
            raise EvidenceError(codes.LEAF_EXTENSION, "missing", subject=leaf.HWID)
        size = 8 if line is Line.TURIN else 64
        if len(_hwid(identity.hwid)) != size:
            raise EvidenceError(
                codes.HWID_LENGTH, subject="HWID", expected=f"{size} bytes", got=f"{len(_hwid(identity.hwid))} bytes"
            )
        if not any(report.chip_id):
            raise EvidenceError(codes.CHIP_ID_MASKED, subject="CHIP_ID")
        if not _is_chip(identity.hwid, report.chip_id):
            raise EvidenceError(
                codes.HWID, subject="CHIP_ID", expected=_hwid(identity.hwid).hex()[:16], got=report.chip_id.hex()[:16]
            )
    return identity


def _components(tcb: Tcb) -> str:
    return " ".join(f"{name}={value}" for name, value in tcb.components().items())


def _revocation(crls: Sequence[bytes], intermediate: Certificate, root: Certificate, now: datetime) -> Crl | None:
    """Step 8: the newest CRL of this root that is in force; None where no CRL of AMD's form is given."""
    own: list[Crl] = []
    others = False
    for data in crls:
        try:
            crl = load_crl(data)
        except CertificateError as error:
            raise EvidenceError(codes.CRL_FORM, str(error), subject="CRL") from error
        if crl.issuer == root.subject:
            own.append(crl)
        else:
            others = others or b"ARK-" in crl.issuer
    if not own:
        if others:
            raise EvidenceError(codes.CRL_OTHER, subject="CRL", expected=root.subject_cn)
        return None
    signed = [crl for crl in own if crl_is_by(crl, root)]
    if not signed or root.may_sign_crls is False:
        raise EvidenceError(codes.CRL_SIGNATURE, subject="CRL")
    begun = [crl for crl in signed if crl.this_update <= now]
    if not begun:
        raise EvidenceError(codes.CRL_EARLY, subject="CRL", expected=_when(signed[0].this_update), got=_when(now))
    newest = max(begun, key=lambda crl: crl.this_update)
    if newest.next_update is None:
        raise EvidenceError(codes.CRL_FORM, "no nextUpdate", subject="CRL")
    if now > newest.next_update:
        raise EvidenceError(codes.CRL_EXPIRED, subject="CRL", expected=_when(newest.next_update), got=_when(now))
    if any(intermediate.serial in crl.serials for crl in begun):
        raise EvidenceError(codes.REVOKED, f"serial {intermediate.serial}", subject=intermediate.subject_cn)
    return newest


def _claims(report: Report, line: Line, identity: leaf.LeafIdentity) -> dict[str, ClaimValue]:
    policy, platform = report.policy, report.platform_info
    claims: dict[str, ClaimValue] = {
        "version": report.version,
        "productLine": line.value,
        "product": identity.product,
        "measurement": report.measurement.hex(),
        "hostData": report.host_data.hex(),
        "reportData": report.report_data.hex(),
        "familyId": report.family_id.hex(),
        "imageId": report.image_id.hex(),
        "idKeyDigest": report.id_key_digest.hex(),
        "authorKeyDigest": report.author_key_digest.hex(),
        "authorKeyEnabled": report.author_key_enabled,
        "reportId": report.report_id.hex(),
        "reportIdMa": report.report_id_ma.hex(),
        "chipId": report.chip_id.hex(),
        "chipKeyMasked": report.chip_key_masked,
        "vmpl": report.vmpl,
        "guestSvn": report.guest_svn,
        "signingKey": _ISSUING[SigningKey(report.signing_key)].lower(),
        "cspId": identity.csp_id,
        "policy.raw": f"0x{policy:016x}",
        "policy.abiMinor": policy & 0xFF,
        "policy.abiMajor": policy >> 8 & 0xFF,
        "policy.smt": bool(policy >> 16 & 1),
        "policy.migrate": bool(policy >> 18 & 1),
        "policy.debug": bool(policy >> 19 & 1),
        "policy.singleSocket": bool(policy >> 20 & 1),
        "policy.cxlAllowed": bool(policy >> 21 & 1),
        "policy.memAes256Xts": bool(policy >> 22 & 1),
        "policy.raplDisabled": bool(policy >> 23 & 1),
        "policy.ciphertextHidingDram": bool(policy >> 24 & 1),
        "policy.pageSwapDisabled": bool(policy >> 25 & 1),
        "platform.raw": f"0x{platform:016x}",
        "platform.smtEnabled": bool(platform & 1),
        "platform.tsmeEnabled": bool(platform >> 1 & 1),
        "platform.eccEnabled": bool(platform >> 2 & 1),
        "platform.raplDisabled": bool(platform >> 3 & 1),
        "platform.ciphertextHidingDram": bool(platform >> 4 & 1),
        "platform.aliasCheckComplete": bool(platform >> 5 & 1),
        "platform.sevTio": bool(platform >> 7 & 1),
        "build.current": f"{report.current_build[2]}.{report.current_build[1]}.{report.current_build[0]}",
        "build.committed": f"{report.committed_build[2]}.{report.committed_build[1]}.{report.committed_build[0]}",
    }
    for name, value in (
        ("reported", report.reported_tcb),
        ("committed", report.committed_tcb),
        ("current", report.current_tcb),
        ("launch", report.launch_tcb),
    ):
        for part, number in Tcb.unpack(value, line).components().items():
            claims[f"tcb.{name}.{part}"] = number
    if report.cpuid is not None:
        claims["cpuid.family"], claims["cpuid.model"], claims["cpuid.stepping"] = report.cpuid
    if report.version >= 5:
        claims["mitigations.launch"] = f"0x{report.launch_mitigations:016x}"
        claims["mitigations.current"] = f"0x{report.current_mitigations:016x}"
    return claims


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
    given = _given(evidence, collateral)
    # 2 endorsement
    cpu_line = abi.line_of_cpuid(report.cpuid[0], report.cpuid[1]) if report.cpuid else None
    certificate = _choose_leaf(report, given, cpu_line)
    # 3 line
    line = _line(report, certificate)
    fitting = _anchors_of(anchors_of("amd", anchors), line)
    # 4 chain
    intermediate, anchor, root = _chain(certificate, line, given, fitting)
    # 5 validity
    _validity(certificate, intermediate, root, now)
    # 6 signature
    _signature(report, certificate, line)
    # 7 identity
    identity = _identity(report, certificate, line)
    wrapped = hcl.verify(wrapper, report, evidence.endorsements) if wrapper else None
    # 8 revocation
    crl = _revocation(given.crls, intermediate, root, now)
    # 9 claims
    claims: Mapping[str, ClaimValue] = _claims(report, line, identity)
    if wrapped:
        claims = {**claims, **wrapped.claims}
    simulated = anchor.assurance is AssuranceClass.SIMULATED
    good = Verdict.SIMULATED if simulated else Verdict.OK
    root_word = f"{'simulated root ' if simulated else ''}{root.subject_cn}"
    statements = [
        Statement("signature", good, f"ECDSA P-384 by the {_ISSUING[SigningKey(report.signing_key)]} over the report"),
        Statement("chain", good, f"{certificate.subject_cn} <- {intermediate.subject_cn} <- {root_word}"),
        Statement("revocation", good, f"CRL of {root.subject_cn} until {_when(crl.next_update)}")
        if crl is not None and crl.next_update is not None
        else Statement("revocation", Verdict.NOT_CHECKED, "no CRL of this ARK is given"),
        Statement(
            "freshness", Verdict.NOT_CHECKED, "a report holds no time; REPORT_DATA must be compared with a nonce"
        ),
        Statement("tcb", Verdict.CLAIMED, f"REPORTED_TCB {_components(identity.tcb)} is the VCEK's or VLEK's"),
        Statement("debug", Verdict.REFUSED, "guest policy bit 19 DEBUG is set", codes.DEBUG.code)
        if report.debug
        else Statement("debug", good, "guest policy bit 19 DEBUG is clear"),
        Statement("measurements", Verdict.CLAIMED, _coverage(wrapper is not None)),
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


def _coverage(paravisor: bool) -> str:
    if paravisor:
        return "the launch digest covers the paravisor; kernel and root filesystem are in the vTPM's PCRs only"
    return "the launch digest covers the initial memory: firmware, and kernel, command line and initrd only if it hashes them"


__all__ = ["verify"]
