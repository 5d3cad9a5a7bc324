"""Who is at the other end: pins and private CAs, decided on what the handshake measured.

Comes in: a `Handshake`, the pins or CA certificates that were configured, the name that was dialled, the time.
Goes out: nothing, or an error. A pin is enough by itself (validity dates of a pinned certificate are not looked at: the
pin is renewed through signed documents); a CA is verified with `cryptography`'s path verifier.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.tls.engine import PQ_GROUPS, Handshake

_MAX_CHAIN: Final = 10


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """What a client accepts.

    Attributes:
        pins: `sha256:<hex>` of accepted SubjectPublicKeyInfos; more than one while a key rotates.
        authorities: DER certificates of private CAs, asked only where no pin is given.
        groups: accepted key exchange groups; hybrid ones unless a document says otherwise.
    """

    pins: tuple[str, ...] = ()
    authorities: tuple[bytes, ...] = ()
    groups: frozenset[str] = PQ_GROUPS

    def __post_init__(self) -> None:
        if not self.pins and not self.authorities:
            raise ValueError("a TLS peer is pinned or certified by a named CA; public CAs are not asked")


def pin_of(certificate: bytes) -> str:
    """`sha256:<hex>` of a certificate's SubjectPublicKeyInfo.

    Raises:
        PeerError: QNSP-SIG-064.
    """
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise PeerError("QNSP-SIG-064", "the peer's certificate cannot be read") from None
    return "sha256:" + hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def shown_leaf(handshake: Handshake, groups: frozenset[str], host: str) -> bytes:
    """The certificate that a server showed, over a key exchange of an accepted group; whose it is, is not judged.

    Raises:
        PeerError: QNSP-SIG-062 the group is not accepted, -064 no certificate.
    """
    if handshake.group not in groups:
        raise PeerError(
            "QNSP-SIG-062",
            "the TLS key exchange is not of the accepted kind",
            subject=host,
            expected=", ".join(sorted(groups)),
            got=handshake.group or "unknown",
        )
    if not handshake.certificates or len(handshake.certificates) > _MAX_CHAIN:
        raise PeerError("QNSP-SIG-064", "the peer showed no certificate", subject=host)
    return handshake.certificates[0]


def verify_peer(handshake: Handshake, identity: PeerIdentity, host: str, now: datetime) -> None:
    """Verifies group and identity of a server.

    Raises:
        PeerError: QNSP-SIG-060 another key than the pinned ones, -062 the group is not accepted, -064 no certificate or
            the chain does not lead to the CA.
    """
    leaf = shown_leaf(handshake, identity.groups, host)
    if identity.pins:
        found = pin_of(leaf)
        if found not in identity.pins:
            raise PeerError(
                "QNSP-SIG-060",
                f"{host} answers with another key than the pinned one",
                subject=host,
                expected=" or ".join(identity.pins),
                got=found,
                next_step="If the key was rotated, the signed documents must say so first.",
            )
        return
    _verify_chain(handshake.certificates, identity.authorities, host, now)


def _verify_chain(chain: Sequence[bytes], authorities: Sequence[bytes], host: str, now: datetime) -> None:
    try:
        name: x509.DNSName | x509.IPAddress = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        name = x509.DNSName(host)
    try:
        leaf, *rest = (x509.load_der_x509_certificate(der) for der in chain)
        store = Store([x509.load_der_x509_certificate(der) for der in authorities])
        PolicyBuilder().store(store).time(now).build_server_verifier(name).verify(leaf, rest)
    except (ValueError, VerificationError, UnsupportedAlgorithm) as error:
        raise PeerError(
            "QNSP-SIG-064", f"the certificate of {host} is not by the named CA: {error}", subject=host
        ) from None


__all__ = ["PeerIdentity", "pin_of", "shown_leaf", "verify_peer"]
