"""The algorithm table: one row per algorithm, the names that documents, wires and files of this project use.

Comes in: a name. Goes out: its kind, NIST category, sizes in bytes, OID, JOSE and COSE identifiers, standard and status.
Sources: FIPS 203, 204, 205 (sizes, categories); the NIST CSOR (OIDs); RFC 9964 (ML-DSA in JOSE and COSE); RFC 8037 and
RFC 9864 (Ed25519); draft-connolly-cfrg-xwing-kem-10; draft-ietf-hpke-pq; draft-ietf-tls-ecdhe-mlkem-04.
A row says what an algorithm is, not that a provider here offers it: see `providers.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from qnsp_policy.errors import PeerError


class Kind(StrEnum):
    """What an algorithm is for."""

    KEM = "kem"
    SIGNATURE = "signature"
    AEAD = "aead"
    HASH = "hash"
    GROUP = "group"


class Status(StrEnum):
    """How settled the standard behind an algorithm is."""

    FINAL = "final"
    DRAFT = "draft"
    EXPERIMENTAL = "experimental"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row.

    Attributes:
        name: the one spelling used everywhere in this project.
        kind: KEM, signature, AEAD, hash or TLS group.
        category: NIST security category 1 to 5 against quantum attack; 0 where Shor's algorithm breaks it.
        post_quantum, classical: which assumption it rests on; both for a hybrid.
        public, private, output: bytes of the public key, of the private key as we store it (the seed), of the
            signature, ciphertext or digest; 0 where the size varies or does not apply.
        oid: dotted object identifier, or "".
        jose: `alg` of a JWK or JWS, or "".
        cose: COSE algorithm number, or None.
        standard: the document that defines it.
        status: final, draft or experimental.
    """

    name: str
    kind: Kind
    category: int
    post_quantum: bool
    classical: bool
    public: int
    private: int
    output: int
    oid: str
    jose: str
    cose: int | None
    standard: str
    status: Status = Status.FINAL

    @property
    def hybrid(self) -> bool:
        """True if breaking it needs both the classical and the post-quantum assumption to fall."""
        return self.post_quantum and self.classical


_NIST: Final = "2.16.840.1.101.3.4"
_K, _S, _A, _H, _G = Kind.KEM, Kind.SIGNATURE, Kind.AEAD, Kind.HASH, Kind.GROUP
_DRAFT, _EXP = Status.DRAFT, Status.EXPERIMENTAL

_ROWS: Final[tuple[Algorithm, ...]] = (
    # name, kind, category, pq, classical, public, private, output, oid, jose, cose, standard, status
    Algorithm("ML-DSA-44", _S, 2, True, False, 1312, 32, 2420, f"{_NIST}.3.17", "ML-DSA-44", -48, "FIPS 204"),
    Algorithm("ML-DSA-65", _S, 3, True, False, 1952, 32, 3309, f"{_NIST}.3.18", "ML-DSA-65", -49, "FIPS 204"),
    Algorithm("ML-DSA-87", _S, 5, True, False, 2592, 32, 4627, f"{_NIST}.3.19", "ML-DSA-87", -50, "FIPS 204"),
    Algorithm("Ed25519", _S, 0, False, True, 32, 32, 64, "1.3.101.112", "Ed25519", -19, "RFC 8032"),
    Algorithm("ECDSA-P256", _S, 0, False, True, 64, 32, 64, "1.2.840.10045.4.3.2", "ES256", -7, "FIPS 186-5"),
    Algorithm("ECDSA-P384", _S, 0, False, True, 96, 48, 96, "1.2.840.10045.4.3.3", "ES384", -35, "FIPS 186-5"),
    Algorithm("ssh-ed25519", _S, 0, False, True, 32, 0, 0, "1.3.101.112", "ssh-ed25519", None, "RFC 8709"),
    Algorithm("ecdsa-sha2-nistp256", _S, 0, False, True, 64, 0, 0, "", "ecdsa-sha2-nistp256", None, "RFC 5656"),
    Algorithm("ecdsa-sha2-nistp384", _S, 0, False, True, 96, 0, 0, "", "ecdsa-sha2-nistp384", None, "RFC 5656"),
    Algorithm(
        "sk-ssh-ed25519@openssh.com",
        _S,
        0,
        False,
        True,
        32,
        0,
        0,
        "",
        "sk-ssh-ed25519@openssh.com",
        None,
        "OpenSSH PROTOCOL.u2f",
    ),
    Algorithm(
        "sk-ecdsa-sha2-nistp256@openssh.com",
        _S,
        0,
        False,
        True,
        64,
        0,
        0,
        "",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        None,
        "OpenSSH PROTOCOL.u2f",
    ),
    Algorithm("SLH-DSA-SHA2-128s", _S, 1, True, False, 32, 64, 7856, f"{_NIST}.3.20", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHA2-128f", _S, 1, True, False, 32, 64, 17088, f"{_NIST}.3.21", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHA2-192s", _S, 3, True, False, 48, 96, 16224, f"{_NIST}.3.22", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHA2-192f", _S, 3, True, False, 48, 96, 35664, f"{_NIST}.3.23", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHA2-256s", _S, 5, True, False, 64, 128, 29792, f"{_NIST}.3.24", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHA2-256f", _S, 5, True, False, 64, 128, 49856, f"{_NIST}.3.25", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHAKE-128s", _S, 1, True, False, 32, 64, 7856, f"{_NIST}.3.26", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHAKE-128f", _S, 1, True, False, 32, 64, 17088, f"{_NIST}.3.27", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHAKE-192s", _S, 3, True, False, 48, 96, 16224, f"{_NIST}.3.28", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHAKE-192f", _S, 3, True, False, 48, 96, 35664, f"{_NIST}.3.29", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHAKE-256s", _S, 5, True, False, 64, 128, 29792, f"{_NIST}.3.30", "", None, "FIPS 205"),
    Algorithm("SLH-DSA-SHAKE-256f", _S, 5, True, False, 64, 128, 49856, f"{_NIST}.3.31", "", None, "FIPS 205"),
    Algorithm("Falcon-512", _S, 1, True, False, 897, 1281, 0, "", "", None, "Falcon round 3 (FIPS 206 to come)", _EXP),
    Algorithm(
        "Falcon-1024", _S, 5, True, False, 1793, 2305, 0, "", "", None, "Falcon round 3 (FIPS 206 to come)", _EXP
    ),
    Algorithm("ML-KEM-512", _K, 1, True, False, 800, 64, 768, f"{_NIST}.4.1", "ML-KEM-512", None, "FIPS 203"),
    Algorithm("ML-KEM-768", _K, 3, True, False, 1184, 64, 1088, f"{_NIST}.4.2", "ML-KEM-768", None, "FIPS 203"),
    Algorithm("ML-KEM-1024", _K, 5, True, False, 1568, 64, 1568, f"{_NIST}.4.3", "ML-KEM-1024", None, "FIPS 203"),
    Algorithm(
        "X-Wing", _K, 3, True, True, 1216, 32, 1120, "", "X-Wing", None, "draft-connolly-cfrg-xwing-kem-10", _DRAFT
    ),
    Algorithm(
        "MLKEM1024-P384", _K, 5, True, True, 1665, 32, 1665, "", "MLKEM1024-P384", None, "draft-ietf-hpke-pq", _DRAFT
    ),
    Algorithm("X25519", _K, 0, False, True, 32, 32, 32, "1.3.101.110", "", None, "RFC 7748"),
    Algorithm("HQC-192", _K, 3, True, False, 4522, 0, 9026, "", "", None, "HQC round 4 (selected 2025-03)", _EXP),
    Algorithm("HQC-256", _K, 5, True, False, 7245, 0, 14469, "", "", None, "HQC round 4 (selected 2025-03)", _EXP),
    Algorithm("AES-256-GCM", _A, 5, True, False, 0, 32, 0, f"{_NIST}.1.46", "A256GCM", 3, "NIST SP 800-38D"),
    Algorithm("AES-128-GCM", _A, 1, True, False, 0, 16, 0, f"{_NIST}.1.6", "A128GCM", 1, "NIST SP 800-38D"),
    Algorithm("AES-256-GCM-SIV", _A, 5, True, False, 0, 32, 0, "", "", None, "RFC 8452"),
    Algorithm("ChaCha20-Poly1305", _A, 5, True, False, 0, 32, 0, "", "C20P", 24, "RFC 8439"),
    Algorithm("SHA-256", _H, 2, True, False, 0, 0, 32, f"{_NIST}.2.1", "", -16, "FIPS 180-4"),
    Algorithm("SHA-384", _H, 4, True, False, 0, 0, 48, f"{_NIST}.2.2", "", -43, "FIPS 180-4"),
    Algorithm("SHA-512", _H, 5, True, False, 0, 0, 64, f"{_NIST}.2.3", "", -44, "FIPS 180-4"),
    Algorithm("SHA3-256", _H, 2, True, False, 0, 0, 32, f"{_NIST}.2.8", "", None, "FIPS 202"),
    Algorithm("SHA3-384", _H, 4, True, False, 0, 0, 48, f"{_NIST}.2.9", "", None, "FIPS 202"),
    Algorithm("SHA3-512", _H, 5, True, False, 0, 0, 64, f"{_NIST}.2.10", "", None, "FIPS 202"),
    # Groups of TLS 1.3: public = key share of the client, output = key share of the server.
    Algorithm(
        "X25519MLKEM768", _G, 3, True, True, 1216, 0, 1120, "", "", None, "draft-ietf-tls-ecdhe-mlkem-04", _DRAFT
    ),
    Algorithm(
        "SecP256r1MLKEM768", _G, 3, True, True, 1249, 0, 1153, "", "", None, "draft-ietf-tls-ecdhe-mlkem-04", _DRAFT
    ),
    Algorithm(
        "SecP384r1MLKEM1024", _G, 5, True, True, 1665, 0, 1665, "", "", None, "draft-ietf-tls-ecdhe-mlkem-04", _DRAFT
    ),
    Algorithm("MLKEM768", _G, 3, True, False, 1184, 0, 1088, "", "", None, "draft-ietf-tls-mlkem", _DRAFT),
    Algorithm("MLKEM1024", _G, 5, True, False, 1568, 0, 1568, "", "", None, "draft-ietf-tls-mlkem", _DRAFT),
    Algorithm("secp256r1", _G, 0, False, True, 65, 0, 65, "", "", None, "RFC 8446"),
    Algorithm("secp384r1", _G, 0, False, True, 97, 0, 97, "", "", None, "RFC 8446"),
)

ALGORITHMS: Final = MappingProxyType({row.name: row for row in _ROWS})
"""Every row by name. The group X25519 of TLS shares the name and the row of the KEM."""

SIGNING: Final = ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87", "Ed25519", "ECDSA-P256", "ECDSA-P384")
"""Signature algorithms whose private keys this program can hold itself."""

SSH: Final = (
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-ed25519",
)
"""Signature algorithms whose private keys stay with an SSH agent or a security key; signatures are SSHSIG blobs."""

STATEMENTS: Final = ("ML-DSA-65", "ML-DSA-87")
"""Signature algorithms of the stronger statements over a ledger's checkpoints."""

KEMS: Final = ("X-Wing", "MLKEM1024-P384", "ML-KEM-1024", "ML-KEM-768")
"""KEMs that this program can seal to and open with, by HPKE."""

_BY_COSE: Final = {row.cose: row for row in _ROWS if row.cose is not None and row.kind is Kind.SIGNATURE}

HTTP_SIGNATURE_NAMES: Final = MappingProxyType(
    {
        "ml-dsa-44": "ML-DSA-44",
        "ml-dsa-65": "ML-DSA-65",
        "ml-dsa-87": "ML-DSA-87",
        "ed25519": "Ed25519",
        "ecdsa-p256-sha256": "ECDSA-P256",
        "ecdsa-p384-sha384": "ECDSA-P384",
    }
)
"""`alg` values of RFC 9421 and C2SP httpsig-pq v1.0.0, compared whole and case-sensitively."""


def algorithm(name: str) -> Algorithm:
    """The row of that name.

    Raises:
        PeerError: QNSP-SIG-005, no such algorithm.
    """
    row = ALGORITHMS.get(name)
    if row is None:
        ours = next((row.name for row in ALGORITHMS.values() if row.jose == name), "")
        raise PeerError(
            "QNSP-SIG-005",
            f"unknown algorithm {name!r}",
            subject=name,
            next_step=f"write it as the documents do: {ours}" if ours else f"one of: {', '.join(ALGORITHMS)}",
        )
    return row


def by_cose(number: int) -> Algorithm:
    """The signature algorithm with that COSE number.

    Raises:
        PeerError: QNSP-SIG-005.
    """
    row = _BY_COSE.get(number)
    if row is None:
        raise PeerError("QNSP-SIG-005", f"unknown COSE signature algorithm {number}", subject=str(number))
    return row


__all__ = [
    "ALGORITHMS",
    "HTTP_SIGNATURE_NAMES",
    "KEMS",
    "SIGNING",
    "SSH",
    "STATEMENTS",
    "Algorithm",
    "Kind",
    "Status",
    "algorithm",
    "by_cose",
]
