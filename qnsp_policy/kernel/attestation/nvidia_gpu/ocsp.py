"""OCSP answers (RFC 6960) as collateral: is a certificate good at `now`, by an answer that its issuer stands behind?

Comes in: DER answers, fetched at another time. Goes out: nothing but a verdict per certificate; any fault raises. Stricter than
the vendor's tool: the certificate id is matched, thisUpdate and nextUpdate must enclose `now`, an answer without nextUpdate is not
of the present, and `certificateHold` is a refusal of its own.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.chains import when
from qnsp_policy.kernel.attestation.nvidia_gpu import codes
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.x509 import (
    Certificate,
    CertificateError,
    is_signed_by,
    load_certificate,
    read_extensions,
    unknown_critical,
)

MAX_ANSWER: Final = 64 * 1024
_MAX_SINGLES: Final = 64
_EXTENDED_KEY_USAGE: Final = "2.5.29.37"
_NONCE: Final = "1.3.6.1.5.5.7.48.1.2"
_EXTENSIONS: Final = 0xA1
_BY_NAME: Final = 0xA1
_BY_KEY: Final = 0xA2


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One parsed, unverified response, what it says of each of its certificates, and who answers.

    Attributes:
        responder: a name, as DER bytes, or the SHA-1 of a key (20 bytes).
    """

    response: ocsp.OCSPResponse
    singles: tuple[ocsp.OCSPSingleResponse, ...]
    responder: bytes

    def is_by(self, certificate: Certificate) -> bool:
        """Whether it names this certificate's holder as who answers."""
        key_hash = hashlib.sha1(_key_bits(certificate), usedforsecurity=False).digest()
        return self.responder in (certificate.subject, key_hash)


_UNREADABLE = (
    ValueError,
    StopIteration,
    TypeError,
    UnsupportedAlgorithm,
    NotImplementedError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
)
"""What the library raises for an answer that it cannot read."""


def _read(answer: bytes) -> bytes:
    """Who answers, read by ourselves: the library warns about odd names.

    Raises:
        ValueError: a critical extension, of the answer or of what it says of one certificate, is not known: it would change its meaning.
    """
    fields = der.whole(answer, der.SEQUENCE).children()
    responses = next(field for field in fields if field.tag == der.SEQUENCE)
    (responder,) = next(field for field in fields if field.tag in (_BY_NAME, _BY_KEY)).children()
    found = [field for field in fields if field.tag == _EXTENSIONS and field.start > responses.start]
    for single in responses.children():
        found += [field for field in single.children()[3:] if field.tag == _EXTENSIONS]  # after id, status, thisUpdate
    for field in found:
        if unknown := read_extensions(field)[1] - {_NONCE}:
            raise ValueError(f"critical extensions {', '.join(sorted(unknown))} are not known")
    return responder.content if responder.tag == der.OCTET_STRING else responder.raw


@lru_cache(maxsize=8192)
def parse(data: bytes) -> Answer:
    """Reads an answer about one certificate or several.

    Raises:
        EvidenceError: QNSP-ATT-NV-036: not DER, not successful, or about none or too many certificates.
    """
    if len(data) > MAX_ANSWER:
        raise EvidenceError(codes.OCSP_FORM, expected=f"at most {MAX_ANSWER} bytes", got=f"{len(data)} bytes")
    try:
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise EvidenceError(codes.OCSP_FORM, f"status {response.response_status.name.lower()}")
        singles = tuple(itertools.islice(response.responses, _MAX_SINGLES + 1))
        if not 1 <= len(singles) <= _MAX_SINGLES:
            raise EvidenceError(codes.OCSP_FORM, f"about {len(singles)} certificates; 1 to {_MAX_SINGLES} are read")
        responder = _read(response.tbs_response_bytes)
        for single in singles:  # the library reads parts only when they are asked for
            _ = single.serial_number, single.issuer_name_hash, single.issuer_key_hash, single.hash_algorithm.name
        return Answer(response, singles, responder)
    except _UNREADABLE as error:
        raise EvidenceError(codes.OCSP_FORM, str(error).splitlines()[0][:120] if str(error) else "") from error


@lru_cache(maxsize=64)
def by_serial(answers: tuple[Answer, ...]) -> Mapping[int, tuple[Answer, ...]]:
    """The answers by the serials that they speak of; a folder may hold those of a whole fleet."""
    found: dict[int, dict[Answer, None]] = {}
    for answer in answers:
        for single in answer.singles:
            found.setdefault(single.serial_number, {})[answer] = None
    return {serial: tuple(own) for serial, own in found.items()}


def _key_bits(issuer: Certificate) -> bytes:
    return der.bits(der.whole(issuer.spki, der.SEQUENCE).children()[1])


def _is_about(single: ocsp.OCSPSingleResponse, child: Certificate, issuer: Certificate) -> bool:
    algorithm = single.hash_algorithm.name
    if algorithm not in ("sha1", "sha256", "sha384", "sha512") or single.serial_number != child.serial:
        return False
    return (
        hashlib.new(algorithm, issuer.subject, usedforsecurity=False).digest() == single.issuer_name_hash
        and hashlib.new(algorithm, _key_bits(issuer), usedforsecurity=False).digest() == single.issuer_key_hash
    )


def is_about_any(answer: Answer, chains: Sequence[Sequence[Certificate]]) -> bool:
    """Whether an answer speaks of a certificate of these chains (leaf first)."""
    return any(
        _is_about(single, child, issuer)
        for chain in chains
        for child, issuer in itertools.pairwise(chain)
        for single in answer.singles
    )


def _responder(answer: Answer, issuer: Certificate, now: datetime) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    """The issuer's own key, or that of a responder that it certified for OCSP signing and that is valid now."""
    if answer.is_by(issuer):
        return issuer.key()
    for certificate in answer.response.certificates:
        loaded = load_certificate(certificate.public_bytes(Encoding.DER))
        good = (
            answer.is_by(loaded)
            and is_signed_by(loaded, issuer)
            and loaded.valid_at(now)
            and loaded.may_sign_data is not False
        )
        if good and not unknown_critical(loaded, (_EXTENDED_KEY_USAGE,)) and _may_answer(certificate):
            return loaded.key()
    raise EvidenceError(codes.OCSP_RESPONDER, "no responder that the issuer authorised")


def _may_answer(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _verify(answer: Answer, issuer: Certificate, now: datetime) -> None:
    response = answer.response
    try:
        key = _responder(answer, issuer, now)
        algorithm = response.signature_hash_algorithm
        if algorithm is None or algorithm.name not in ("sha256", "sha384", "sha512"):
            raise EvidenceError(codes.OCSP_RESPONDER, "the answer is not signed with SHA-2")
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, CertificateError, UnsupportedAlgorithm) as error:
        raise EvidenceError(codes.OCSP_RESPONDER) from error


def check(
    child: Certificate, issuer: Certificate, answers: tuple[Answer, ...], *, now: datetime, nonce: bytes | None = None
) -> datetime | None:
    """Judges one certificate by the answers that are about it.

    Returns:
        The nextUpdate of the answer, or None where no answer is about this certificate.

    Raises:
        EvidenceError: QNSP-ATT-NV-030 to -037; any answer about the certificate that is not good refuses.
    """
    try:
        return _judge(child, issuer, answers, now=now, nonce=nonce)
    except _UNREADABLE as error:  # the library reads an answer's parts only when they are asked for
        raise EvidenceError(codes.OCSP_FORM, type(error).__name__, subject=child.subject_cn) from error


def _judge(
    child: Certificate, issuer: Certificate, answers: tuple[Answer, ...], *, now: datetime, nonce: bytes | None
) -> datetime | None:
    """Judges by the answers of the present; of older ones beside them only a revocation counts, which is for ever."""
    about = [
        (answer, found)
        for answer in by_serial(answers).get(child.serial, ())
        if (found := [single for single in answer.singles if _is_about(single, child, issuer)])
    ]
    present = [all(_is_present(single, now) for single in found) for _, found in about]
    until: datetime | None = None
    for (answer, found), counts in zip(about, present, strict=True):
        if any(present) and not counts:
            _verify(answer, issuer, found[0].this_update_utc)
            if any(_is_revoked(single) for single in found):
                raise EvidenceError(codes.REVOKED, subject=child.subject_cn)
            continue
        _verify(answer, issuer, now)
        if nonce is not None and not _has_nonce(answer, nonce):
            raise EvidenceError(codes.OCSP_NONCE, subject=child.subject_cn)
        following = min(_good(single, child, now) for single in found)
        until = following if until is None else max(until, following)
    return until


def _is_present(single: ocsp.OCSPSingleResponse, now: datetime) -> bool:
    return single.next_update_utc is not None and single.this_update_utc <= now <= single.next_update_utc


def _is_hold(single: ocsp.OCSPSingleResponse) -> bool:
    return single.revocation_reason is x509.ReasonFlags.certificate_hold


def _is_revoked(single: ocsp.OCSPSingleResponse) -> bool:
    return single.certificate_status is ocsp.OCSPCertStatus.REVOKED and not _is_hold(single)


def _good(single: ocsp.OCSPSingleResponse, child: Certificate, now: datetime) -> datetime:
    """The nextUpdate of what is said of a certificate, once it is good and of the present."""
    this, following = single.this_update_utc, single.next_update_utc
    if following is None or not _is_present(single, now):
        raise EvidenceError(
            codes.OCSP_STALE,
            subject=child.subject_cn,
            expected=f"{when(this)} to {when(following)}" if following else "a nextUpdate",
            got=when(now),
        )
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        raise EvidenceError(codes.HOLD if _is_hold(single) else codes.REVOKED, subject=child.subject_cn)
    if single.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise EvidenceError(codes.OCSP_UNKNOWN, subject=child.subject_cn)
    return following


def _has_nonce(answer: Answer, nonce: bytes) -> bool:
    try:
        found = answer.response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except (x509.ExtensionNotFound, ValueError):
        return False
    return found == nonce


__all__ = ["MAX_ANSWER", "Answer", "by_serial", "check", "is_about_any", "parse"]
