"""Enclave image files, written: header, kernel, command line, metadata, ramdisks, and the signature over PCR0 that makes PCR8.

The layout and the order of sections are those of AWS's own builder (aws-nitro-enclaves-image-format, `src/utils/mod.rs`, format version 4):
the same inputs give the same bytes as `eif_build` gives. A signature is ECDSA P-384 by RFC 6979, so that it is the same every time.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from qnsp_policy.kernel import cbor
from qnsp_policy.kernel.attestation.nitro_enclave import eif

VERSION: Final = 4
ARCHITECTURES: Final[Mapping[str, int]] = {"x86_64": 0, "aarch64": 1}
"""Header flags by architecture."""
DEFAULT_MEMORY: Final = 1024 * 1024 * 1024
DEFAULT_CPUS: Final = 2
_KERNEL, _CMDLINE, _RAMDISK, _SIGNATURE, _METADATA = 1, 2, 3, 4, 5
_SLOTS: Final = 32
_HEAD: Final = struct.Struct(">4sHHQQHH32Q32QI")
_SECTION: Final = struct.Struct(">HHQ")
_ES384: Final = cbor2.dumps({1: -35})
_SIZE: Final = 48


class EifSignatureError(ValueError):
    """A signature section cannot be made, or does not hold; callers turn it into their own code."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs an image: a P-384 key and its certificate (PEM, as it goes into the file)."""

    key: ec.EllipticCurvePrivateKey
    certificate: bytes

    def __post_init__(self) -> None:
        """Refuses a key that is not the certificate's."""
        found = _certificate_key(self.certificate)
        if found.public_numbers() != self.key.public_key().public_numbers():
            raise EifSignatureError("the key is not that of the certificate")


def _certificate_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise EifSignatureError("the certificate cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EifSignatureError("the certificate's key is not P-384")
    return key


def metadata(
    name: str, version: str, *, system: str, kernel: str, tool: tuple[str, str], custom: Mapping[str, Any]
) -> bytes:
    """The metadata section: what an image says of itself; in no register. Its build time is the epoch: an image is its inputs."""
    value = {
        "ImageName": name,
        "ImageVersion": version,
        "BuildMetadata": {
            "BuildTime": "1970-01-01T00:00:00+00:00",
            "BuildTool": tool[0],
            "BuildToolVersion": tool[1],
            "OperatingSystem": system,
            "KernelVersion": kernel,
        },
        "DockerInfo": None,
        "CustomMetadata": custom or None,
    }
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def write(
    kernel: bytes,
    cmdline: str,
    ramdisks: Sequence[bytes],
    described: bytes,
    *,
    architecture: str = "x86_64",
    memory: int = DEFAULT_MEMORY,
    cpus: int = DEFAULT_CPUS,
    signer: Signer | None = None,
) -> bytes:
    """An image.

    Args:
        kernel: bzImage (x86_64) or Image (aarch64).
        cmdline: of the kernel; no NUL.
        ramdisks: the first is the boot ramdisk (PCR1), the others are the application (PCR2).
        described: the metadata section.
        architecture: one of `ARCHITECTURES`.
        memory: bytes that the image asks for where its runner names none.
        cpus: likewise.
        signer: who signs PCR0; None leaves the image unsigned.
    """
    if "\0" in cmdline or not ramdisks or len(ramdisks) + 4 > _SLOTS:
        raise ValueError("an image has a command line without NUL and 1 to 28 ramdisks")
    sections = [(_KERNEL, kernel), (_CMDLINE, cmdline.encode()), (_METADATA, described)]
    sections += [(_RAMDISK, ramdisk) for ramdisk in ramdisks]
    flags = ARCHITECTURES[architecture]
    if signer is not None:
        unsigned = eif.parse(_assembled(sections, flags, memory, cpus))
        sections.append((_SIGNATURE, _signed(signer, eif.pcrs(unsigned)[0])))
    return _assembled(sections, flags, memory, cpus)


def _assembled(sections: Sequence[tuple[int, bytes]], flags: int, memory: int, cpus: int) -> bytes:
    offsets, sizes, at = [0] * _SLOTS, [0] * _SLOTS, eif.HEADER_SIZE
    body: list[bytes] = []
    for index, (kind, data) in enumerate(sections):
        offsets[index], sizes[index] = at, len(data)
        body += [_SECTION.pack(kind, 0, len(data)), data]
        at += _SECTION.size + len(data)
    head = _HEAD.pack(b".eif", VERSION, flags, memory, cpus, 0, len(sections), *offsets, *sizes, 0)
    crc = zlib.crc32(head)
    for part in body:
        crc = zlib.crc32(part, crc)
    return b"".join((head, crc.to_bytes(4, "big"), *body))


def _signed(signer: Signer, pcr0: bytes) -> bytes:
    payload = cbor2.dumps({"register_index": 0, "register_value": list(pcr0)})
    message = cbor2.dumps(["Signature1", _ES384, b"", payload])
    r, s = decode_dss_signature(signer.key.sign(message, ec.ECDSA(hashes.SHA384(), deterministic_signing=True)))
    cose = cbor2.dumps([_ES384, {}, payload, r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big")])
    return cbor2.dumps([{"signing_certificate": list(signer.certificate), "signature": list(cose)}])


def _octets(value: Any) -> bytes:
    """Bytes, or the list of numbers that AWS's builder writes; never a number, which `bytes` would take for a size."""
    if not isinstance(value, (bytes, list)):
        raise TypeError("neither bytes nor a list of numbers")
    return bytes(value)


def verify_signature(image: eif.Image) -> bool:
    """Whether the image is signed; a signature that is there must hold.

    Not checked: who issued the certificate and when it ends; PCR8 is its digest, and a policy names PCR8.

    Raises:
        EifSignatureError: it does not hold, or is over another PCR0.
    """
    sections = image.of("signature")
    if not sections:
        return False
    try:
        (listed,) = cbor.decode(sections[0])
        certificate, cose = _octets(listed["signing_certificate"]), _octets(listed["signature"])
        protected, _, payload, signature = cbor.decode(cose)
        signed = cbor.decode(_octets(payload))
        register, value = signed["register_index"], _octets(signed["register_value"])
    except (cbor.CborError, LookupError, TypeError, ValueError) as error:
        raise EifSignatureError("the signature section cannot be read") from error
    if protected != _ES384 or not isinstance(signature, bytes) or len(signature) != 2 * _SIZE:
        raise EifSignatureError("the signature is not one of ES384")
    r, s = (int.from_bytes(signature[start : start + _SIZE], "big") for start in (0, _SIZE))
    try:
        _certificate_key(certificate).verify(
            encode_dss_signature(r, s),
            cbor2.dumps(["Signature1", protected, b"", payload]),
            ec.ECDSA(hashes.SHA384()),
        )
    except InvalidSignature as error:
        raise EifSignatureError("the signature does not verify with its certificate") from error
    if register != 0 or value != eif.pcrs(image)[0]:
        raise EifSignatureError("the signature is over another PCR0")
    return True


__all__ = [
    "ARCHITECTURES",
    "DEFAULT_CPUS",
    "DEFAULT_MEMORY",
    "EifSignatureError",
    "Signer",
    "metadata",
    "verify_signature",
    "write",
]
