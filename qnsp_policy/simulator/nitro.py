"""Simulated AWS Nitro: a PKI shaped like AWS's (root, regional, zonal, instance, leaf), attestation documents and TPM quotes.

Comes in: PCRs, nonce, user data, a time. Goes out: COSE_Sign1 documents that a real verifier can judge. Insecure by name. Documents
are written with an encoder of their own shape, so that a slip of the verifier's reader shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from qnsp_policy.simulator import mint

PROTECTED: Final = cbor2.dumps({1: -35})
_LEAF_USAGE: Final = mint.Extension(mint.KEY_USAGE, mint.bit_string(b"\x80", 7))
_LEAF: Final = (mint.Extension(mint.BASIC_CONSTRAINTS, mint.sequence(), critical=True), _LEAF_USAGE)


@dataclass(frozen=True, slots=True)
class NitroPki:
    """A throw-away AWS: authorities from the root to the instance, which issues leaves.

    Attributes:
        chain: root (path length unlimited), regional (2), zonal (1), instance (0).
        leaf: the key and certificate that sign documents; it lives three hours.
    """

    chain: tuple[mint.Authority, ...]
    leaf: mint.Authority

    @property
    def bundle(self) -> list[bytes]:
        """The cabundle of a document: DER from the root to the leaf's issuer."""
        return [authority.certificate for authority in self.chain]


def issue(
    issuer: mint.Authority,
    common_name: str,
    *,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    path_length: int | None = None,
    is_ca: bool = True,
    curve: ec.EllipticCurve | None = None,
) -> mint.Authority:
    """An authority or, where `is_ca` is False, a leaf, issued by another."""
    key = ec.generate_private_key(curve or ec.SECP384R1())
    subject = mint.name(common_name)
    certificate = mint.certificate(
        subject,
        key.public_key(),
        issuer.name,
        issuer.key,
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        extensions=mint.authority_extensions(path_length, crl_sign=True) if is_ca else _LEAF,
    )
    return mint.Authority(key, certificate, subject)


def mint_pki(now: datetime) -> NitroPki:
    """A new throw-away AWS whose leaf was issued a minute before `now`."""
    root = mint.root(
        ec.generate_private_key(ec.SECP384R1()),
        mint.name("aws.nitro-enclaves (simulated)"),
        not_before=now - timedelta(days=365),
        not_after=now + timedelta(days=3650),
    )
    chain = [root]
    for index, (label, days) in enumerate((("regional", 20), ("zonal", 5), ("instance", 1))):
        chain.append(
            issue(
                chain[-1],
                f"{label}.aws.nitro-enclaves (simulated)",
                serial=100 + index,
                not_before=now - timedelta(hours=1),
                not_after=now + timedelta(days=days),
                path_length=2 - index,
            )
        )
    leaf = issue(
        chain[-1],
        "i-0simulated-enc0.aws (simulated)",
        serial=200,
        not_before=now - timedelta(minutes=1),
        not_after=now + timedelta(hours=3),
        is_ca=False,
    )
    return NitroPki(tuple(chain), leaf)


def payload(
    pki: NitroPki,
    now: datetime,
    *,
    pcrs: Mapping[int, bytes] | None = None,
    tpm: bool = False,
    nonce: bytes | None = None,
    user_data: bytes | None = None,
    public_key: bytes | None = None,
) -> dict[str, Any]:
    """The members of a document; a caller may change any before `sign`."""
    count = 24 if tpm else 16
    values = {index: hashlib.sha384(b"simulated PCR %d" % index).digest() for index in range(count)} | dict(pcrs or {})
    return {
        "module_id": "i-0simulated-tpm0000000000000000" if tpm else "i-0simulated-enc0",
        "digest": "SHA384",
        "timestamp": int(now.timestamp() * 1000),
        "nitrotpm_pcrs" if tpm else "pcrs": values,
        "certificate": pki.leaf.certificate,
        "cabundle": pki.bundle,
        "public_key": public_key,
        "user_data": user_data,
        "nonce": nonce,
    }


def raw_signature(key: mint.PrivateKey, data: bytes) -> bytes:
    """ECDSA with SHA-384 as r || s, each 48 bytes."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def sign(pki: NitroPki, encoded_payload: bytes, *, protected: bytes = PROTECTED) -> bytes:
    """The untagged COSE_Sign1 document over an encoded payload."""
    signed = cbor2.dumps(["Signature1", protected, b"", encoded_payload])
    return cbor2.dumps([protected, {}, encoded_payload, raw_signature(pki.leaf.key, signed)])


def document(pki: NitroPki, now: datetime, **members: Any) -> bytes:
    """A good document; members as `payload` takes them."""
    return sign(pki, cbor2.dumps(payload(pki, now, **members)))


def tpm_quote(
    key: ec.EllipticCurvePrivateKey,
    pcrs: Mapping[int, bytes],
    nonce: bytes,
    *,
    bank: int = 0x000C,
    selected: int = 0xFFFFFF,
) -> tuple[bytes, bytes]:
    """TPMS_ATTEST of the given PCRs and its ECDSA-SHA256 signature (DER)."""
    digest = hashlib.sha256(b"".join(pcrs[index] for index in range(24) if selected >> index & 1)).digest()
    attest = b"".join(
        (
            bytes.fromhex("ff5443478018"),
            (34).to_bytes(2, "big") + b"\x00\x0b" + bytes(32),
            len(nonce).to_bytes(2, "big") + nonce,
            bytes(8) + (1).to_bytes(4, "big") + bytes(4) + b"\x01",
            bytes(8),
            (1).to_bytes(4, "big") + bank.to_bytes(2, "big") + b"\x03" + selected.to_bytes(3, "little"),
            (32).to_bytes(2, "big") + digest,
        )
    )
    return attest, key.sign(attest, ec.ECDSA(hashes.SHA256()))


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The uncompressed point of a key, the form of a NitroTPM document's public_key."""
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


__all__ = [
    "PROTECTED",
    "NitroPki",
    "document",
    "issue",
    "mint_pki",
    "payload",
    "point",
    "raw_signature",
    "sign",
    "tpm_quote",
]
