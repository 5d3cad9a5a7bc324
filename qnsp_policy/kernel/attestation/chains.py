"""What every chain of certificates must hold, whoever the vendor is: links, CA flags, path lengths, the leaf's role, times.

Comes in: certificates, leaf first, up to the anchor (which the caller has chosen). Goes out: nothing; the first fault raises, and the
caller gives it its own code. Source: RFC 5280 section 6.1, without name constraints and policies, which no vendor here uses.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from qnsp_policy.kernel.attestation.x509 import Certificate, CertificateError, is_signed_by, unknown_critical

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class Fault(Enum):
    """Which rule a chain breaks."""

    LINK = auto()
    CA = auto()
    PATH_LENGTH = auto()
    CRITICAL = auto()
    LEAF = auto()
    LEAF_KEY = auto()
    TIME = auto()


class ChainError(ValueError):
    """A chain does not hold; callers turn it into their own code.

    Attributes:
        fault: the rule.
        subject: common name of the certificate at fault.
        expected, got: in the words of an error, "" where there is nothing to add.
    """

    def __init__(self, fault: Fault, certificate: Certificate, detail: str, expected: str = "", got: str = "") -> None:
        super().__init__(detail)
        self.fault, self.detail, self.expected, self.got = fault, detail, expected, got
        self.subject = certificate.subject_cn


def when(moment: datetime) -> str:
    return moment.strftime(_TIME)


def check_links(chain: Sequence[Certificate], *, known_critical: Iterable[str] = ()) -> None:
    """Each signed by the next, which may sign it; a leaf that is no CA and may sign data; no critical extension unknown.

    Says nothing of time or of the last certificate's standing.

    Raises:
        ChainError: LINK, CA, PATH_LENGTH, CRITICAL or LEAF.
    """
    known = frozenset(known_critical)
    if len({certificate.der for certificate in chain}) != len(chain):
        raise ChainError(Fault.LINK, chain[0], "a certificate is given twice")
    for below, (child, issuer) in enumerate(itertools.pairwise(chain)):
        if not is_signed_by(child, issuer):
            raise ChainError(Fault.LINK, child, "not signed by the next")
        if not issuer.is_ca or issuer.may_sign_certificates is False:
            raise ChainError(Fault.CA, issuer, "not a certification authority that may sign certificates")
        if issuer.path_length is not None and issuer.path_length < below:
            raise ChainError(Fault.PATH_LENGTH, issuer, "path length", f"at most {issuer.path_length}", str(below))
    for certificate in chain:
        if unknown := unknown_critical(certificate, known):
            raise ChainError(Fault.CRITICAL, certificate, f"unknown critical extension {', '.join(sorted(unknown))}")
    if chain[0].is_ca or chain[0].may_sign_data is False:
        raise ChainError(Fault.LEAF, chain[0], "the leaf is a certification authority, or may not sign data")


def check_window(chain: Iterable[Certificate], now: datetime) -> None:
    """Every certificate is valid at `now`, both ends included; the whole last second belongs to it.

    Raises:
        ChainError: TIME.
    """
    moment = now.replace(microsecond=0)
    for certificate in chain:
        if not certificate.valid_at(moment):
            span = f"{when(certificate.not_before)} to {when(certificate.not_after)}"
            raise ChainError(Fault.TIME, certificate, "", span, when(now))


def p384_key(leaf: Certificate) -> ec.EllipticCurvePublicKey:
    """The key of a leaf, which must be on P-384.

    Raises:
        ChainError: LEAF_KEY.
    """
    try:
        key = leaf.key()
    except CertificateError as error:
        raise ChainError(Fault.LEAF_KEY, leaf, str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ChainError(Fault.LEAF_KEY, leaf, "the key is not on P-384")
    return key


__all__ = ["ChainError", "Fault", "check_links", "check_window", "p384_key", "when"]
