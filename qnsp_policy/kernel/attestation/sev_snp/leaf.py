"""The AMD extensions of a VCEK or VLEK certificate.

Comes in: a certificate. Goes out: `LeafIdentity`: product, TCB by component, HWID, CSP id.
Source: AMD Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification (57230), revision 0.5x, tables 8 to 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import codes
from qnsp_policy.kernel.attestation.sev_snp.abi import Line, Tcb
from qnsp_policy.kernel.attestation.x509 import Certificate, load_certificate

AMD: Final = "1.3.6.1.4.1.3704.1."
STRUCTURE_VERSION: Final = AMD + "1"
PRODUCT: Final = AMD + "2"
BOOTLOADER: Final = AMD + "3.1"
TEE: Final = AMD + "3.2"
SNP: Final = AMD + "3.3"
MICROCODE: Final = AMD + "3.8"
SPARE: Final = tuple(f"{AMD}3.{number}" for number in range(4, 8))
FMC: Final = AMD + "3.9"
HWID: Final = AMD + "4"
CSP_ID: Final = AMD + "5"
KNOWN: Final = frozenset({STRUCTURE_VERSION, PRODUCT, BOOTLOADER, TEE, SNP, *SPARE, MICROCODE, FMC, HWID, CSP_ID})
"""What this module reads: critical or not, it is judged."""
_IA5_STRING: Final = 0x16


@dataclass(frozen=True, slots=True)
class LeafIdentity:
    """What a VCEK or VLEK says of its chip; `hwid` is None where the certificate has none (VLEK), `spare` are its SPLs 4 to 7."""

    product: str
    tcb: Tcb
    spare: bytes
    hwid: bytes | None
    csp_id: str


def _spl(certificate: Certificate, name: str) -> int:
    data = certificate.extensions.get(name)
    if data is None:
        raise EvidenceError(codes.LEAF_EXTENSION, "missing", subject=name)
    try:
        value = der.integer(der.whole(data, der.INTEGER))
    except der.DerError as error:
        raise EvidenceError(codes.LEAF_EXTENSION, str(error), subject=name) from error
    if not 0 <= value <= 255:
        raise EvidenceError(codes.LEAF_EXTENSION, subject=name, expected="0 to 255", got=str(value))
    return value


def _text(certificate: Certificate, name: str) -> str:
    data = certificate.extensions.get(name)
    if data is None:
        return ""
    try:
        return der.whole(data, _IA5_STRING).content.decode("ascii")
    except (der.DerError, UnicodeDecodeError) as error:
        raise EvidenceError(codes.LEAF_EXTENSION, str(error), subject=name) from error


def product_of(certificate: Certificate) -> str:
    """The product name ("Milan-B0", "Genoa"), "" where the extension is absent.

    Raises:
        EvidenceError: QNSP-ATT-SNP-060.
    """
    return _text(certificate, PRODUCT)


@lru_cache(maxsize=4096)
def _read(encoded: bytes, line: Line) -> LeafIdentity:
    certificate = load_certificate(encoded)
    tcb = Tcb(
        bootloader=_spl(certificate, BOOTLOADER),
        tee=_spl(certificate, TEE),
        snp=_spl(certificate, SNP),
        microcode=_spl(certificate, MICROCODE),
        fmc=_spl(certificate, FMC) if line is Line.TURIN else None,
    )
    spare = bytes(_spl(certificate, name) if name in certificate.extensions else 0 for name in SPARE)
    return LeafIdentity(
        product_of(certificate), tcb, spare, certificate.extensions.get(HWID), _text(certificate, CSP_ID)
    )


def read(certificate: Certificate, line: Line) -> LeafIdentity:
    """The identity that a leaf certificate states, by the line's set of extensions.

    Raises:
        EvidenceError: QNSP-ATT-SNP-060, naming the OID that is missing or malformed.
    """
    return _read(certificate.der, line)


__all__ = [
    "AMD",
    "BOOTLOADER",
    "CSP_ID",
    "FMC",
    "HWID",
    "KNOWN",
    "MICROCODE",
    "PRODUCT",
    "SNP",
    "SPARE",
    "STRUCTURE_VERSION",
    "TEE",
    "LeafIdentity",
    "product_of",
    "read",
]
