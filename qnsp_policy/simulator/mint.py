"""Mints X.509 certificates and CRLs of any shape, malformed ones on purpose too (serial 0, foreign extensions, wrong dates).

Comes in: names, keys, dates, extensions. Goes out: DER. Insecure by name: only for throw-away vendor PKIs of the simulator and of
tests. Exists because certificate builders refuse what AMD's leaf certificates have: serial 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

BASIC_CONSTRAINTS: Final = "2.5.29.19"
KEY_USAGE: Final = "2.5.29.15"
CRL_NUMBER: Final = "2.5.29.20"
_ORGANISATION: Final = "qnsp-policy simulator (throw-away, insecure)"


@dataclass(frozen=True, slots=True)
class Extension:
    """One certificate extension: dotted OID, value bytes, criticality."""

    oid: str
    value: bytes
    critical: bool = False


@dataclass(frozen=True, slots=True)
class Authority:
    """A key with its certificate, able to issue others."""

    key: PrivateKey
    certificate: bytes
    name: bytes


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER value of that tag around the parts."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = (len(body).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(body).to_bytes(size, "big") + body


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    magnitude = value if value >= 0 else ~value
    return tlv(0x02, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def octets(value: bytes) -> bytes:
    return tlv(0x04, value)


def bit_string(value: bytes, unused: int = 0) -> bytes:
    return tlv(0x03, bytes([unused]) + value)


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    arcs = [int(arc) for arc in dotted.split(".")]
    body = b""
    for arc in (40 * arcs[0] + arcs[1], *arcs[2:]):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return tlv(0x06, body)


def ia5(text: str) -> bytes:
    return tlv(0x16, text.encode("ascii"))


def time(moment: datetime) -> bytes:
    """UTCTime up to 2049, GeneralizedTime from then on (RFC 5280 section 4.1.2.5)."""
    if moment.year < 2050:
        return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def name(common_name: str, *, organisation: str = _ORGANISATION) -> bytes:
    """A distinguished name of O and CN."""

    def attribute(kind: str, text: str) -> bytes:
        return tlv(0x31, sequence(oid(kind), tlv(0x0C, text.encode())))

    return sequence(attribute("2.5.4.10", organisation), attribute("2.5.4.3", common_name))


def spki(key: PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


_SHA384: Final = sequence(oid("2.16.840.1.101.3.4.2.2"))
_PSS_SHA384: Final = sequence(
    oid("1.2.840.113549.1.1.10"),
    sequence(
        tlv(0xA0, _SHA384),
        tlv(0xA1, sequence(oid("1.2.840.113549.1.1.8"), _SHA384)),
        tlv(0xA2, integer(48)),
    ),
)


def _algorithm(key: PrivateKey) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return _PSS_SHA384
    return sequence(oid("1.2.840.10045.4.3.3" if key.key_size == 384 else "1.2.840.10045.4.3.2"))


def _sign(key: PrivateKey, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())
    return key.sign(data, ec.ECDSA(hashes.SHA384() if key.key_size == 384 else hashes.SHA256()))


def signed(key: PrivateKey, body: bytes) -> bytes:
    """SEQUENCE of a body, its algorithm and its signature: the form of certificates and CRLs."""
    return sequence(body, _algorithm(key), bit_string(_sign(key, body)))


def authority_extensions(
    path_length: int | None = None, *, crl_sign: bool = False, is_ca: bool = True
) -> list[Extension]:
    """BasicConstraints and keyUsage of a CA, both critical."""
    limit = b"" if path_length is None else integer(path_length)
    usage = bytes([0x06]) if crl_sign else bytes([0x04])
    constraints = sequence(tlv(0x01, b"\xff"), limit) if is_ca else sequence()
    return [
        Extension(BASIC_CONSTRAINTS, constraints, critical=True),
        Extension(KEY_USAGE, bit_string(usage, 1 if crl_sign else 2), critical=True),
    ]


def certificate(
    subject: bytes,
    public_key: PublicKey,
    issuer: bytes,
    issuer_key: PrivateKey,
    *,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    extensions: Iterable[Extension] = (),
) -> bytes:
    """One certificate, version 3, DER."""
    listed = [
        sequence(oid(item.oid), tlv(0x01, b"\xff") if item.critical else b"", octets(item.value)) for item in extensions
    ]
    body = sequence(
        tlv(0xA0, integer(2)),
        integer(serial),
        _algorithm(issuer_key),
        issuer,
        sequence(time(not_before), time(not_after)),
        subject,
        spki(public_key),
        tlv(0xA3, sequence(*listed)) if listed else b"",
    )
    return signed(issuer_key, body)


def root(
    key: PrivateKey,
    subject: bytes,
    *,
    not_before: datetime,
    not_after: datetime,
    serial: int = 1,
    path_length: int | None = None,
) -> Authority:
    """A self-signed authority that may sign certificates and CRLs."""
    encoded = certificate(
        subject,
        key.public_key(),
        subject,
        key,
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        extensions=authority_extensions(path_length, crl_sign=True),
    )
    return Authority(key, encoded, subject)


def crl(
    issuer: Authority,
    *,
    this_update: datetime,
    next_update: datetime,
    serials: Sequence[int] = (),
    number: int = 1,
) -> bytes:
    """A CRL, version 2, DER."""
    revoked = sequence(*(sequence(integer(serial), time(this_update)) for serial in serials)) if serials else b""
    body = sequence(
        integer(1),
        _algorithm(issuer.key),
        issuer.name,
        time(this_update),
        time(next_update),
        revoked,
        tlv(0xA0, sequence(sequence(oid(CRL_NUMBER), octets(integer(number))))),
    )
    return signed(issuer.key, body)


__all__ = [
    "Authority",
    "Extension",
    "PrivateKey",
    "PublicKey",
    "authority_extensions",
    "bit_string",
    "certificate",
    "crl",
    "ia5",
    "integer",
    "name",
    "octets",
    "oid",
    "root",
    "sequence",
    "signed",
    "spki",
    "time",
    "tlv",
]
