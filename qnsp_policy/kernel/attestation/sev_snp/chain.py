"""Steps 2 to 5 and 8 of SNP verification: which certificate, which line, its chain to the anchor, times, revocation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import abi, codes, leaf, table
from qnsp_policy.kernel.attestation.sev_snp.abi import Line, Report, SigningKey, Tcb
from qnsp_policy.kernel.attestation.values import (
    Anchor,
    Evidence,
)
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

_CHAIN_NAMES: Final = frozenset({"vcek", "vlek", "ask", "asvk", "ark", "chain", "vcek-chain", "vlek-chain"})
_TABLE_NAMES: Final = frozenset({"auxblob", "certs", "certificate-table"})
_AMD: Final = b"Advanced Micro Devices"
_QUOTE_NAMES: Final = frozenset({"tpm-quote", "tpm-signature", "tpm-pcrs"})
ISSUING: Final = {SigningKey.VCEK: "VCEK", SigningKey.VLEK: "VLEK"}


@dataclass(frozen=True, slots=True)
class Given:
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
        else:
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


def given_with(evidence: Evidence, collateral: Collateral) -> Given:
    """Everything that was given, by role; what travelled with the evidence goes first."""
    named: list[tuple[str, bytes]] = []
    crls: list[bytes] = []
    others: dict[str, bytes] = {}
    for name, data in evidence.endorsements.items():
        if name in _TABLE_NAMES:
            entries = table.parse(data) if data else {}
            named += [(entry, content) for entry, content in entries.items() if entry in _CHAIN_NAMES]
            crls += [content for entry, content in entries.items() if entry == "crl"]
        elif name in _CHAIN_NAMES:
            named.append((name, data))
        elif name == "crl":
            crls.append(data)
        elif name not in _QUOTE_NAMES:
            others[name] = data
    if others:
        collateral = collateral.joined(Collateral.from_files(others))
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
    return Given(
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
    same_chip = identity.hwid is None or hwid_of(identity.hwid)[:8] == report.chip_id[:8]
    return same_chip and identity.tcb == Tcb.unpack(report.reported_tcb, line)


def choose_leaf(report: Report, given: Given, line: Line | None) -> Certificate:
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
        raise EvidenceError(codes.NO_LEAF, subject=ISSUING[SigningKey(key)])
    chosen = wanted[0]
    if len(wanted) > 1:
        chosen = next((candidate for candidate in wanted if _fits(report, candidate, line)), chosen)
    leaf_key(chosen)
    return chosen


def leaf_key(certificate: Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = certificate.key()
    except CertificateError as error:
        raise EvidenceError(codes.LEAF_KEY, str(error), subject=certificate.subject_cn) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceError(codes.LEAF_KEY, subject=certificate.subject_cn)
    return key


def line_of(report: Report, certificate: Certificate) -> Line:
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


def anchors_of_line(anchors: Sequence[Anchor], line: Line) -> list[tuple[Anchor, Certificate]]:
    """The anchors of one line; an anchor without a line is placed by its common name, for any line if that names none."""
    found: list[tuple[Anchor, Certificate]] = []
    for anchor in anchors:
        if anchor.line == line.value:
            found.append((anchor, _anchor_certificate(anchor.certificate)))
        elif not anchor.line:
            try:
                certificate = load_certificate(anchor.certificate)
            except CertificateError:
                continue
            named = abi.line_of_product(certificate.subject_cn) if certificate.subject_cn.startswith("ARK-") else None
            if named is line or (named is None and anchor.vendor == "amd"):
                found.append((anchor, _anchor_certificate(anchor.certificate)))
    if not found:
        raise EvidenceError(codes.NO_ANCHOR, subject=line.value)
    return found


def build_chain(
    certificate: Certificate, line: Line, given: Given, anchors: Sequence[tuple[Anchor, Certificate]]
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
    if _is_vlek(certificate) != ("VLEK" in intermediate.subject_cn):
        raise EvidenceError(
            codes.ISSUER_ROLE,
            subject=certificate.subject_cn,
            got=intermediate.subject_cn,
            expected="SEV-VLEK-" if _is_vlek(certificate) else "SEV-",
        )
    if certificate.is_ca or certificate.may_sign_data is False:
        raise EvidenceError(codes.LEAF_IS_CA, subject=certificate.subject_cn)
    for member in (certificate, intermediate, root):
        unknown = unknown_critical(member, leaf.KNOWN)
        if unknown:
            raise EvidenceError(codes.LEAF_CRITICAL, ", ".join(sorted(unknown)), subject=member.subject_cn)
    return intermediate, anchor, root


def when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def check_validity(certificate: Certificate, intermediate: Certificate, root: Certificate, now: datetime) -> None:
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
                expected=f"{when(member.not_before)} to {when(member.not_after)}",
                got=when(now),
            )


def hwid_of(value: bytes) -> bytes:
    """HWID stands raw in the extension; some certificates wrap it in a DER OCTET STRING."""
    if len(value) in (10, 66) and value[0] == 0x04 and value[1] == len(value) - 2:
        return value[2:]
    return value


def check_revocation(crls: Sequence[bytes], intermediate: Certificate, root: Certificate, now: datetime) -> Crl | None:
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
            others = others or b"ARK-" in crl.issuer or _AMD in crl.issuer
    if not own:
        if others:
            raise EvidenceError(codes.CRL_OTHER, subject="CRL", expected=root.subject_cn)
        return None
    signed = [crl for crl in own if crl_is_by(crl, root)]
    if not signed or root.may_sign_crls is False:
        raise EvidenceError(codes.CRL_SIGNATURE, subject="CRL")
    begun = [crl for crl in signed if crl.this_update <= now]
    if not begun:
        raise EvidenceError(codes.CRL_EARLY, subject="CRL", expected=when(signed[0].this_update), got=when(now))
    newest = max(begun, key=lambda crl: crl.this_update)
    if newest.next_update is None:
        raise EvidenceError(codes.CRL_FORM, "no nextUpdate", subject="CRL")
    if now > newest.next_update:
        raise EvidenceError(codes.CRL_EXPIRED, subject="CRL", expected=when(newest.next_update), got=when(now))
    if any(intermediate.serial in crl.serials for crl in begun):
        raise EvidenceError(codes.REVOKED, f"serial {intermediate.serial}", subject=intermediate.subject_cn)
    return newest


__all__ = [
    "ISSUING",
    "Given",
    "anchors_of_line",
    "build_chain",
    "check_revocation",
    "check_validity",
    "choose_leaf",
    "given_with",
    "hwid_of",
    "leaf_key",
    "line_of",
    "when",
]
