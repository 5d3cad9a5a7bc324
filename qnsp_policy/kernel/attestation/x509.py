"""Certificates and CRLs (RFC 5280) for attestation chains: read once, signature checked once, time never remembered.

Comes in: DER or PEM bytes. Goes out: `Certificate` and `Crl`, frozen. The reader is our own (`der`), because AMD's leaf
certificates have serial number 0; certificates with a positive serial must satisfy the parser of `cryptography` too.
Signatures are checked by `cryptography`. Remembered by content are parsed values and verified links (child, issuer):
never a judgement about validity in time, which the caller makes with its own `now` on each call.
Not checked here: name constraints, policies, revocation by other means than the CRLs that a caller gives.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509 as library
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from qnsp_policy.kernel.attestation import der

MAX_CERTIFICATE: Final = 16 * 1024
"""Bytes; the largest real one of any vendor is below 4 KiB."""
MAX_CRL: Final = 4 * 1024 * 1024
_CACHE: Final = 4096
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/= \t\r\n]*)-----END \1-----")
_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
_ECDSA: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "1.2.840.10045.4.3.2": hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
}
_RSA_PKCS1: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "1.2.840.113549.1.1.11": hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
}
_RSA_PSS: Final = "1.2.840.113549.1.1.10"
_MGF1: Final = "1.2.840.113549.1.1.8"
_COMMON_NAME: Final = "2.5.4.3"
_BASIC_CONSTRAINTS: Final = "2.5.29.19"
_KEY_USAGE: Final = "2.5.29.15"

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class CertificateError(ValueError):
    """Bytes are not a certificate, a CRL or a key that can be used; callers turn it into their own code."""


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A parsed, unverified certificate.

    Attributes:
        der: the bytes it was read from.
        signed: the exact bytes that its signature covers (TBSCertificate).
        serial: serial number, 0 for AMD's VCEK and VLEK.
        subject, issuer: names as DER bytes, compared byte by byte.
        subject_cn, issuer_cn: last common name, "" where there is none.
        not_before, not_after: validity; both moments belong to it.
        is_ca, path_length: basicConstraints (None: no limit given).
        may_sign_certificates, may_sign_crls, may_sign_data: key usage (keyCertSign, cRLSign, digitalSignature); None where the
            extension is absent.
        extensions: value bytes by dotted OID.
        critical: OIDs of critical extensions.
        spki: SubjectPublicKeyInfo as DER bytes.
    """

    der: bytes
    signed: bytes
    signature_algorithm: bytes
    signature: bytes
    serial: int
    subject: bytes
    issuer: bytes
    subject_cn: str
    issuer_cn: str
    not_before: datetime
    not_after: datetime
    is_ca: bool
    path_length: int | None
    may_sign_certificates: bool | None
    may_sign_crls: bool | None
    may_sign_data: bool | None
    extensions: Mapping[str, bytes]
    critical: frozenset[str]
    spki: bytes

    def key(self) -> PublicKey:
        """The public key.

        Raises:
            CertificateError: neither EC nor RSA, or not a point of its curve.
        """
        return _key(self.spki)

    def valid_at(self, now: datetime) -> bool:
        """Whether `now` lies in the validity, both ends included (RFC 5280 section 4.1.2.5)."""
        return self.not_before <= now <= self.not_after


@dataclass(frozen=True, slots=True, eq=False)
class Crl:
    """A parsed, unverified certificate revocation list; `serials` are those it names."""

    der: bytes
    issuer: bytes
    this_update: datetime
    next_update: datetime | None
    serials: frozenset[int]
    number: int | None
    parsed: library.CertificateRevocationList


@lru_cache(maxsize=_CACHE)
def _key(spki: bytes) -> PublicKey:
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("the public key cannot be used") from error
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise CertificateError("the public key is neither EC nor RSA")
    return key


@lru_cache(maxsize=_CACHE)
def _common_name(name: bytes) -> str:
    found = ""
    for relative in der.whole(name, der.SEQUENCE).children():
        for attribute in der.expect(relative, der.SET).children():
            parts = der.expect(attribute, der.SEQUENCE).children()
            if len(parts) != 2:
                raise der.DerError("a name attribute has two parts")
            if der.oid(parts[0]) == _COMMON_NAME:
                found = parts[1].content.decode("utf-8", "replace")
    return found


def read_extensions(value: der.Value) -> tuple[dict[str, bytes], frozenset[str]]:
    """Values by dotted OID of the extensions within a tagged field, and which of them are critical.

    Raises:
        DerError: not of their form, or one given twice.
    """
    found: dict[str, bytes] = {}
    critical: set[str] = set()
    for extension in der.whole(value.content, der.SEQUENCE).children():
        parts = der.expect(extension, der.SEQUENCE).children()
        if len(parts) not in (2, 3):
            raise der.DerError("an extension has two or three parts")
        name = der.oid(parts[0])
        if name in found:
            raise der.DerError(f"extension {name} is given twice")
        if len(parts) == 3 and der.boolean(parts[1]):
            critical.add(name)
        found[name] = der.expect(parts[-1], der.OCTET_STRING).content
    return found, frozenset(critical)


def _constraints(data: bytes | None) -> tuple[bool, int | None]:
    if data is None:
        return False, None
    parts = der.whole(data, der.SEQUENCE).children()
    is_ca = bool(parts) and parts[0].tag == der.BOOLEAN and der.boolean(parts[0])
    limits = [der.integer(part) for part in parts if part.tag == der.INTEGER]
    if any(part.tag not in (der.BOOLEAN, der.INTEGER) for part in parts) or any(limit < 0 for limit in limits):
        raise der.DerError("basicConstraints is not of its form")
    return is_ca, limits[0] if limits else None


def _usage(data: bytes | None) -> tuple[bool | None, bool | None, bool | None]:
    """Whether bit 5 (keyCertSign), 6 (cRLSign) and 0 (digitalSignature) are set; None each without the extension."""
    if data is None:
        return None, None, None
    content = der.whole(data, der.BIT_STRING).content
    first = content[1] if len(content) > 1 else 0
    return bool(first & 0x04), bool(first & 0x02), bool(first & 0x80)


@lru_cache(maxsize=_CACHE)
def load_certificate(data: bytes) -> Certificate:
    """Reads one certificate from DER.

    Raises:
        CertificateError: not a certificate of RFC 5280, trailing bytes, or larger than `MAX_CERTIFICATE`.
    """
    if len(data) > MAX_CERTIFICATE:
        raise CertificateError(f"a certificate of {len(data)} bytes; at most {MAX_CERTIFICATE} are read")
    try:
        outer = der.whole(data, der.SEQUENCE).children()
        if len(outer) != 3:
            raise der.DerError("a certificate has three parts")
        fields = der.expect(outer[0], der.SEQUENCE).children()
        if len(fields) < 7 or fields[0].tag != 0xA0:
            raise der.DerError("not a version 3 certificate")
        (version,) = fields[0].children()
        if der.integer(version) != 2:
            raise der.DerError("not a version 3 certificate")
        serial, algorithm, issuer, validity, subject, spki = fields[1:7]
        if algorithm.raw != outer[1].raw:
            raise der.DerError("the two signature algorithms differ")
        before, after = der.expect(validity, der.SEQUENCE).children()
        wrapped = [field for field in fields[7:] if field.tag == 0xA3]
        if len(wrapped) > 1 or any(field.tag not in (0x81, 0x82, 0xA3) for field in fields[7:]):
            raise der.DerError("unknown parts after the public key")
        extensions, critical = read_extensions(wrapped[0]) if wrapped else ({}, frozenset())
        is_ca, path_length = _constraints(extensions.get(_BASIC_CONSTRAINTS))
        sign_certificates, sign_crls, sign_data = _usage(extensions.get(_KEY_USAGE))
        number = der.integer(serial)
        certificate = Certificate(
            der=data,
            signed=outer[0].raw,
            signature_algorithm=outer[1].raw,
            signature=der.bits(outer[2]),
            serial=number,
            subject=subject.raw,
            issuer=issuer.raw,
            subject_cn=_common_name(subject.raw),
            issuer_cn=_common_name(issuer.raw),
            not_before=der.time(before),
            not_after=der.time(after),
            is_ca=is_ca,
            path_length=path_length,
            may_sign_certificates=sign_certificates,
            may_sign_crls=sign_crls,
            may_sign_data=sign_data,
            extensions=extensions,
            critical=critical,
            spki=spki.raw,
        )
        if number > 0:
            library.load_der_x509_certificate(data)
    except (
        ValueError,
        IndexError,
        UnsupportedAlgorithm,
    ) as error:  # DerError is a ValueError; a wrong number of parts is one too
        raise CertificateError(f"not a certificate: {error}") from error
    return certificate


def split_pem(data: bytes, label: str = "CERTIFICATE") -> list[bytes]:
    """The DER bytes of every PEM block of that label, in order; blocks of other labels are passed over."""
    found: list[bytes] = []
    for match in _PEM.finditer(data):
        if match[1] != label.encode("ascii"):
            continue
        text = b"".join(match[2].split())
        try:
            decoded = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise CertificateError("a PEM block is not base64") from error
        if base64.b64encode(decoded) != text:
            raise CertificateError("a PEM block is not canonical base64")
        found.append(decoded)
    return found


def certificates_of(data: bytes) -> list[bytes]:
    """DER bytes of the certificates in `data`: PEM blocks if there are any, else the bytes themselves."""
    return split_pem(data) if b"-----BEGIN" in data else [data]


def _crl_number(parsed: library.CertificateRevocationList) -> int | None:
    """The number of a CRL whose critical extensions are known; one that speaks for other issuers says so in its entries."""
    number: int | None = None
    for extension in parsed.extensions:
        if isinstance(extension.value, library.CRLNumber):
            number = extension.value.crl_number
        elif extension.critical:
            raise CertificateError(f"a critical CRL extension {extension.oid.dotted_string} is not known")
    for entry in parsed:
        for extension in entry.extensions:
            if extension.critical and not isinstance(extension.value, (library.CRLReason, library.InvalidityDate)):
                raise CertificateError(f"a critical extension {extension.oid.dotted_string} of an entry is not known")
    return number


def _issuer_of(crl: bytes) -> bytes:
    """The issuer's name as it stands in a CRL, whose frame is strict DER.

    The library's own reading of names warns and stumbles over odd ones, and it takes a signature of unused bits.
    """
    body, algorithm, signature = der.whole(crl, der.SEQUENCE).children()
    fields = body.children()
    at = 1 if fields[0].tag == der.INTEGER else 0
    if fields[at].raw != algorithm.raw:
        raise der.DerError("the two signature algorithms differ")
    der.bits(signature)
    return der.expect(fields[at + 1], der.SEQUENCE).raw


@lru_cache(maxsize=256)
def load_crl(data: bytes) -> Crl:
    """Reads a CRL from DER or PEM.

    Raises:
        CertificateError: not a CRL, or larger than `MAX_CRL`.
    """
    if len(data) > MAX_CRL:
        raise CertificateError(f"a CRL of {len(data)} bytes; at most {MAX_CRL} are read")
    try:
        if b"-----BEGIN" in data:
            (data,) = split_pem(data, "X509 CRL")
        parsed = library.load_der_x509_crl(data)
        number = _crl_number(parsed)
        return Crl(
            der=data,
            issuer=_issuer_of(data),
            this_update=parsed.last_update_utc,
            next_update=parsed.next_update_utc,
            serials=frozenset(entry.serial_number for entry in parsed),
            number=number,
            parsed=parsed,
        )
    except CertificateError:
        raise
    except (ValueError, IndexError, UnsupportedAlgorithm, library.DuplicateExtension, library.InvalidVersion) as error:
        raise CertificateError(f"not a CRL: {error}") from error


@lru_cache(maxsize=256)
def _crl_signed_by(crl: bytes, spki: bytes) -> bool:
    try:
        return load_crl(crl).parsed.is_signature_valid(_key(spki))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def crl_is_by(crl: Crl, issuer: Certificate) -> bool:
    """Whether name and signature of a CRL are the issuer's (key usage and times are the caller's to judge)."""
    return crl.issuer == issuer.subject and _crl_signed_by(crl.der, issuer.spki)


def _pss(parameters: der.Value) -> tuple[hashes.HashAlgorithm, int]:
    """Hash and salt length of RSASSA-PSS parameters (RFC 4055 section 3.1); MGF1 must use the same hash."""
    hash_name = mask_name = ""
    salt = 20
    for field in der.expect(parameters, der.SEQUENCE).children():
        (inner,) = field.children()
        if field.tag == 0xA0:
            hash_name = der.oid(inner.children()[0])
        elif field.tag == 0xA1:
            mask, mask_hash = inner.children()
            if der.oid(mask) != _MGF1:
                raise CertificateError("the mask of RSASSA-PSS is not MGF1")
            mask_name = der.oid(mask_hash.children()[0])
        elif field.tag == 0xA2:
            salt = der.integer(inner)
        elif field.tag != 0xA3 or der.integer(inner) != 1:
            raise CertificateError("RSASSA-PSS parameters are not of RFC 4055")
    if hash_name not in _HASHES or mask_name != hash_name or not 0 <= salt <= 64:
        raise CertificateError("RSASSA-PSS with a hash that is not accepted")
    return _HASHES[hash_name], salt


def _check(certificate: Certificate, key: PublicKey) -> None:
    parts = der.whole(certificate.signature_algorithm, der.SEQUENCE).children()
    name = der.oid(parts[0])
    if isinstance(key, ec.EllipticCurvePublicKey):
        if name not in _ECDSA:
            raise CertificateError(f"signature algorithm {name} does not fit an EC key")
        key.verify(certificate.signature, certificate.signed, ec.ECDSA(_ECDSA[name]))
    elif name == _RSA_PSS and len(parts) == 2:
        algorithm, salt = _pss(parts[1])
        key.verify(certificate.signature, certificate.signed, padding.PSS(padding.MGF1(algorithm), salt), algorithm)
    elif name in _RSA_PKCS1:
        key.verify(certificate.signature, certificate.signed, padding.PKCS1v15(), _RSA_PKCS1[name])
    else:
        raise CertificateError(f"signature algorithm {name} does not fit an RSA key")


@lru_cache(maxsize=_CACHE)
def _signed_by(child: bytes, spki: bytes) -> bool:
    try:
        _check(load_certificate(child), _key(spki))
    except (
        InvalidSignature,
        ValueError,
        IndexError,
        UnsupportedAlgorithm,
    ):  # IndexError: a SEQUENCE with too few members
        return False
    return True


def is_signed_by(child: Certificate, issuer: Certificate) -> bool:
    """Whether `child` names `issuer` and carries its signature; SHA-2 only. Says nothing of validity or CA flags."""
    return child.issuer == issuer.subject and _signed_by(child.der, issuer.spki)


def unknown_critical(certificate: Certificate, known: Iterable[str] = ()) -> frozenset[str]:
    """Critical extensions that neither this module nor the caller judges."""
    return certificate.critical - {_BASIC_CONSTRAINTS, _KEY_USAGE, *known}


def only_pem(data: bytes) -> bool:
    """Whether nothing but PEM blocks of certificates, line ends and closing NULs stand in `data`."""
    rest = _PEM.sub(lambda match: b"" if match[1] == b"CERTIFICATE" else match[0], data)
    return not rest.rstrip(b"\0").strip(b"\r\n")


def to_pem(encoded: bytes) -> bytes:
    """One certificate as a PEM block."""
    text = base64.b64encode(encoded)
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"\n-----END CERTIFICATE-----\n"


__all__ = [
    "MAX_CERTIFICATE",
    "MAX_CRL",
    "Certificate",
    "CertificateError",
    "Crl",
    "PublicKey",
    "certificates_of",
    "crl_is_by",
    "is_signed_by",
    "load_certificate",
    "load_crl",
    "only_pem",
    "read_extensions",
    "split_pem",
    "to_pem",
    "unknown_critical",
]
