"""What a verifier needs beside evidence and anchors: intermediates, CRLs, TCB info, QE identity, RIMs, OCSP answers, key sets.

Comes in: bytes, by the names under which vendors serve them. Goes out: one frozen `Collateral`. Nothing is believed here: each
verifier picks what fits its evidence and checks it. What is absent is stated by the verifier ("revocation not checked"), never
passed over. The names are listed in docs/formats/collateral.md; a folder is read by `collateral_edge`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from qnsp_policy.kernel.attestation import appraisal_codes as codes
from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.x509 import CertificateError, certificates_of, load_certificate, load_crl

_CERTIFICATE_SUFFIXES = frozenset({".pem", ".der", ".crt", ".cer", ".testcer"})


@dataclass(frozen=True, slots=True)
class Collateral:
    """Input of a verifier that is neither evidence nor anchor.

    Attributes:
        certificates: DER bytes of intermediates and leaf certificates that did not travel with the evidence.
        crls: DER bytes.
        documents: everything else by file name (PCS JSON, RIM XML, OCSP DER, JWKS, certificate tables).
    """

    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    documents: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Collateral:
        """Sorts files by what they are: PEM blocks and DER certificates, CRLs, and other documents by name.

        Raises:
            EvidenceError: QNSP-ATT-CMP-008, a file of PEM certificates is not base64.
        """
        certificates: list[bytes] = []
        crls: list[bytes] = []
        documents: dict[str, bytes] = {}
        for name, data in sorted(files.items()):
            crl = _as_crl(name, data)
            if crl is not None:
                crls.append(crl)
            elif b"-----BEGIN CERTIFICATE-----" in data and not data.lstrip().startswith((b"{", b"<")):
                try:
                    certificates += certificates_of(data)
                except CertificateError as error:
                    raise EvidenceError(codes.COLLATERAL_FILE, str(error), subject=name) from error
                documents[name] = data
            elif _is_certificate(name, data):
                certificates.append(data)
            else:
                documents[name] = data
        return cls(tuple(dict.fromkeys(certificates)), tuple(dict.fromkeys(crls)), documents)

    def joined(self, other: Collateral) -> Collateral:
        """Both; on two documents of one name the other's stays."""
        return Collateral(
            tuple(dict.fromkeys(self.certificates + other.certificates)),
            tuple(dict.fromkeys(self.crls + other.crls)),
            {**self.documents, **other.documents},
        )


def _is_certificate(name: str, data: bytes) -> bool:
    if is_ocsp(data):
        return False
    if PurePath(name).suffix.lower() in _CERTIFICATE_SUFFIXES:
        return True
    if data[:2] != b"\x30\x82":
        return False
    try:
        load_certificate(data)
    except CertificateError:
        return False
    return True


def is_ocsp(data: bytes) -> bool:
    """Whether bytes are framed as an OCSP answer (RFC 6960): a SEQUENCE that begins with an ENUMERATED."""
    try:
        outer = der.read(data, 0, len(data))
        return outer.tag == der.SEQUENCE and der.read(data, outer.body, outer.end).tag == der.ENUMERATED
    except der.DerError:
        return False


def _as_crl(name: str, data: bytes) -> bytes | None:
    """The DER of a CRL given as DER, PEM or hex; None where the file is something else."""
    named = "crl" in name.lower()
    if b"-----BEGIN X509 CRL-----" not in data and data[:1] != b"\x30" and not named:
        return None
    hexadecimal = data.strip()
    if named and len(hexadecimal) > 64 and hexadecimal[:2] == b"30" and re.fullmatch(rb"[0-9a-fA-F]+", hexadecimal):
        data = bytes.fromhex(hexadecimal.decode("ascii"))
    try:
        return load_crl(data).der
    except CertificateError:
        return data if name.lower().endswith((".crl", ".crl.der", ".crl.pem")) else None


__all__ = ["Collateral", "is_ocsp"]
