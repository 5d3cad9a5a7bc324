"""Steps 3, 4 and 9 of DCAP verification: the PCK chain, its times, its revocation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.dcap import pck
from qnsp_policy.kernel.attestation.dcap.codes import Refusal, Tee, refuse
from qnsp_policy.kernel.attestation.values import Anchor
from qnsp_policy.kernel.attestation.vendors import anchors_of
from qnsp_policy.kernel.attestation.x509 import (
    Certificate,
    CertificateError,
    Crl,
    crl_is_by,
    is_signed_by,
    load_certificate,
    load_crl,
    only_pem,
    split_pem,
    to_pem,
    unknown_critical,
)

_CA_NAMES: Final = ("PCK Platform CA", "PCK Processor CA")
CHAIN_TYPE: Final = 5
"""Certification data type of a PEM chain within the quote."""


@dataclass(frozen=True, slots=True)
class PckChain:
    """A PCK chain whose links, roles and times hold; `anchor` is what its root was found to be."""

    leaf: Certificate
    ca: Certificate
    root: Certificate
    anchor: Anchor
    identity: pck.PckIdentity


def when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def certificates(tee: Tee, certification_type: int, data: bytes, given: bytes | None) -> list[Certificate]:
    """Step 3: leaf, CA and root, in this order.

    Args:
        tee: kind of the quote.
        certification_type: 5 carries the chain; for 1 to 4 `given` stands in.
        data: certification data of the quote.
        given: endorsement `pck-chain`, PEM, or None.
    """
    if certification_type != CHAIN_TYPE:
        if given is None:
            raise refuse(
                tee, Refusal.NO_PCK, subject="certification data type", got=str(certification_type), expected="5"
            )
        data = given
    if not only_pem(data):
        raise refuse(tee, Refusal.PEM, subject="PCK certificate chain")
    try:
        found = [load_certificate(encoded) for encoded in split_pem(data)]
    except CertificateError as error:
        raise refuse(tee, Refusal.PEM, str(error), subject="PCK certificate chain") from error
    if len(found) != 3:
        raise refuse(tee, Refusal.CHAIN_LENGTH, subject="PCK certificate chain", got=str(len(found)), expected="3")
    leaf, ca, root = found
    if pck.SGX_EXTENSION not in leaf.extensions and any(pck.SGX_EXTENSION in other.extensions for other in (ca, root)):
        raise refuse(tee, Refusal.CHAIN_ORDER, subject="PCK certificate chain")
    if root.subject != root.issuer and ca.subject == ca.issuer:
        raise refuse(tee, Refusal.CHAIN_ORDER, subject="PCK certificate chain")
    if sum(pck.SGX_EXTENSION in one.extensions for one in found) > 1:
        raise refuse(tee, Refusal.CHAIN_ORDER, "two PCK certificates", subject="PCK certificate chain")
    return found


def from_collateral(given: Sequence[bytes], fits: Callable[[Certificate], bool]) -> bytes | None:
    """A PCK chain among loose certificates, as PEM: the leaf that `fits`, its CA, its root; None if there is none."""
    loaded: list[Certificate] = []
    for data in given:
        try:
            loaded.append(load_certificate(data))
        except CertificateError:
            continue
    for leaf in loaded:
        if pck.SGX_EXTENSION in leaf.extensions and fits(leaf):
            for ca in loaded:
                for root in loaded:
                    if (
                        root.subject == root.issuer
                        and is_signed_by(leaf, ca)
                        and is_signed_by(ca, root)
                        and ca is not root
                    ):
                        return b"".join(to_pem(one.der) for one in (leaf, ca, root))
    return None


def find_anchor(tee: Tee, root: Certificate, anchors: Sequence[Anchor]) -> Anchor:
    """The anchor whose name and key the root of the chain has; the root must be signed by that key too."""
    candidates: list[tuple[Anchor, Certificate]] = []
    for anchor in anchors_of("intel", anchors):
        try:
            certificate = load_certificate(anchor.certificate)
        except CertificateError:
            continue
        if anchor.vendor == "intel" or "SGX Root CA" in certificate.subject_cn:
            candidates.append((anchor, certificate))
    if not candidates:
        raise refuse(tee, Refusal.NO_ANCHOR)
    for anchor, certificate in candidates:
        if certificate.subject == root.subject and certificate.spki == root.spki and is_signed_by(root, certificate):
            return anchor
    raise refuse(tee, Refusal.FOREIGN_ROOT, subject=root.subject_cn)


def verify(tee: Tee, found: Sequence[Certificate], anchors: Sequence[Anchor], now: datetime) -> PckChain:
    """Step 4: links, roles, extensions and times of the chain."""
    leaf, ca, root = found
    anchor = find_anchor(tee, root, anchors)
    if not is_signed_by(ca, root):
        raise refuse(tee, Refusal.CA_SIGNATURE, subject=ca.subject_cn)
    if not ca.is_ca or ca.may_sign_certificates is False or not ca.subject_cn.endswith(_CA_NAMES) or not root.is_ca:
        raise refuse(tee, Refusal.CA_ROLE, subject=ca.subject_cn)
    if not is_signed_by(leaf, ca):
        raise refuse(tee, Refusal.PCK_SIGNATURE, subject=leaf.subject_cn)
    unknown = unknown_critical(leaf, (pck.SGX_EXTENSION,)) | unknown_critical(ca) | unknown_critical(root)
    if leaf.is_ca or leaf.may_sign_data is False or unknown:
        raise refuse(tee, Refusal.PCK_PROFILE, ", ".join(sorted(unknown)), subject=leaf.subject_cn)
    if p256(leaf) is None:
        raise refuse(tee, Refusal.PCK_PROFILE, "the key is not on P-256", subject=leaf.subject_cn)
    try:
        identity = pck.read(leaf.der)
    except der.DerError as error:
        raise refuse(tee, Refusal.PCK_EXTENSION, str(error), subject=leaf.subject_cn) from error
    for certificate, early, late in (
        (leaf, Refusal.PCK_EARLY, Refusal.PCK_EXPIRED),
        (ca, Refusal.CA_TIME, Refusal.CA_TIME),
        (root, Refusal.CA_TIME, Refusal.CA_TIME),
    ):
        if not certificate.valid_at(now):
            raise refuse(
                tee,
                early if now < certificate.not_before else late,
                subject=certificate.subject_cn,
                expected=f"{when(certificate.not_before)} to {when(certificate.not_after)}",
                got=when(now),
            )
    return PckChain(leaf, ca, root, anchor, identity)


def p256(certificate: Certificate) -> ec.EllipticCurvePublicKey | None:
    """The key of a certificate if it is on P-256."""
    try:
        key = certificate.key()
    except CertificateError:
        return None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    return None


def crl_of(
    tee: Tee, crls: Sequence[Crl], issuer: Certificate, now: datetime, early: Refusal, late: Refusal
) -> tuple[Crl, frozenset[int]] | None:
    """The newest CRL of an issuer that is in force, and the serials of all that have begun; None if none is given."""
    own = [crl for crl in crls if crl.issuer == issuer.subject]
    if not own:
        return None
    signed = [crl for crl in own if crl_is_by(crl, issuer)]
    if not signed or issuer.may_sign_crls is False:
        raise refuse(tee, Refusal.CRL_SIGNATURE, subject=issuer.subject_cn)
    begun = [crl for crl in signed if crl.this_update <= now]
    if not begun:
        raise refuse(tee, early, subject=issuer.subject_cn, expected=when(signed[0].this_update), got=when(now))
    newest = max(begun, key=lambda crl: crl.this_update)
    if newest.next_update is None:
        raise refuse(tee, Refusal.CRL_FORM, "no nextUpdate", subject=issuer.subject_cn)
    if now > newest.next_update:
        raise refuse(tee, late, subject=issuer.subject_cn, expected=when(newest.next_update), got=when(now))
    return newest, frozenset().union(*(crl.serials for crl in begun))


def revocation(
    tee: Tee, chain: PckChain, signers: Sequence[Certificate], crls: Sequence[bytes], now: datetime
) -> tuple[list[Crl], str]:
    """Step 9: root CRL over CA and TCB signers, PCK CRL of the CA over the leaf.

    Returns:
        The CRLs that were relied on, and what is missing ("" if nothing is).
    """
    loaded: list[Crl] = []
    for data in crls:
        try:
            loaded.append(load_crl(data))
        except CertificateError as error:
            raise refuse(tee, Refusal.CRL_FORM, str(error), subject="CRL") from error
    used: list[Crl] = []
    missing: list[str] = []
    of_root = crl_of(tee, loaded, chain.root, now, Refusal.ROOT_CRL_EARLY, Refusal.ROOT_CRL_EXPIRED)
    if of_root is None:
        missing.append("root CA CRL")
    else:
        used.append(of_root[0])
        if chain.ca.serial in of_root[1]:
            raise refuse(tee, Refusal.CA_REVOKED, f"serial {chain.ca.serial:x}", subject=chain.ca.subject_cn)
        for signer in signers:
            if signer.serial in of_root[1]:
                raise refuse(tee, Refusal.TCB_SIGNER_REVOKED, f"serial {signer.serial:x}", subject=signer.subject_cn)
    of_ca = crl_of(tee, loaded, chain.ca, now, Refusal.PCK_CRL_EARLY, Refusal.PCK_CRL_EXPIRED)
    if of_ca is None:
        others = [crl for crl in loaded if b"PCK P" in crl.issuer]
        if others:
            raise refuse(tee, Refusal.CRL_OTHER, subject="PCK CRL", expected=chain.ca.subject_cn)
        missing.append("PCK CRL")
    else:
        used.append(of_ca[0])
        if chain.leaf.serial in of_ca[1]:
            raise refuse(tee, Refusal.PCK_REVOKED, f"serial {chain.leaf.serial:x}", subject=chain.leaf.subject_cn)
    return used, " and ".join(missing)


__all__ = [
    "CHAIN_TYPE",
    "PckChain",
    "certificates",
    "crl_of",
    "find_anchor",
    "from_collateral",
    "p256",
    "revocation",
    "verify",
    "when",
]
