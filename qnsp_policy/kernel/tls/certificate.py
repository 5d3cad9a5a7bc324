"""Certificates for pinned identities: a self-signed leaf of a service's TLS key, and the pin that clients compare.

Comes in: a private key, the names it serves, the time. Goes out: DER. X.509 with ML-DSA after RFC 9881.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey

_HASH: Final[dict[str, hashes.SHA256 | hashes.SHA384]] = {"ECDSA-P256": hashes.SHA256(), "ECDSA-P384": hashes.SHA384()}


def spki_pin(public: PublicKey) -> str:
    """`sha256:<hex>` of the SubjectPublicKeyInfo: what a client pins."""
    return "sha256:" + hashlib.sha256(public.to_spki()).hexdigest()


def self_signed(
    key: PrivateKey, names: Sequence[str], now: datetime, *, lifetime: timedelta = timedelta(days=365)
) -> bytes:
    """A self-signed server certificate (DER), not a CA: good for pins, refused by chain verification.

    Args:
        key: ML-DSA, Ed25519 or ECDSA.
        names: DNS names and IP addresses, the first is the common name.
        now: aware; validity begins five minutes earlier.
        lifetime: of the certificate.

    Raises:
        ValueError: no names, or a key that does not sign.
    """
    if not names:
        raise ValueError("a certificate needs a name")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public.handle)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public.handle), critical=False)
    )
    certificate = built.sign(key.handle, _HASH.get(key.algorithm))
    return certificate.public_bytes(serialization.Encoding.DER)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def certificate_key(der: bytes) -> PublicKey:
    """The public key of a certificate; its signature is not verified here.

    Raises:
        PeerError: QNSP-SIG-005, QNSP-SIG-006.
    """
    return PublicKey.from_handle(x509.load_der_x509_certificate(der).public_key())


__all__ = ["certificate_key", "self_signed", "spki_pin"]
