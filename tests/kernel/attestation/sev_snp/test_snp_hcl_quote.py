"""Azure's wrapper with a TPM quote, minted whole: each link from the chip to the PCRs, and what breaks it."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation import tpm
from qnsp_policy.kernel.attestation.batch import Batch
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp.verify import verify
from qnsp_policy.kernel.attestation.values import Anchor, Evidence, EvidenceKind, Verdict, VerifiedClaims
from qnsp_policy.simulator.snp import SnpChip, SnpPki, make_chip

NONCE = b"a nonce of the caller"
PCRS = b"".join(hashlib.sha256(bytes([index])).digest() for index in range(24))


def quote_of(
    *, extra: bytes = NONCE, pcrs: bytes = PCRS, magic: int = 0xFF544347, kind: int = 0x8018, algorithm: int = 0x000B
) -> bytes:
    """TPMS_ATTEST over all 24 PCRs of one bank."""
    digest = hashlib.sha256(pcrs).digest()
    body = struct.pack(">IH", magic, kind) + struct.pack(">H", 34) + bytes(34) + struct.pack(">H", len(extra)) + extra
    body += struct.pack(">QIIBQ", 1, 2, 3, 1, 0x2020) + struct.pack(">IHB", 1, algorithm, 3) + b"\xff\xff\xff"
    return body + struct.pack(">H", len(digest)) + digest


@dataclass(frozen=True)
class Wrapped:
    """One good wrapped machine."""

    chip: SnpChip
    anchor: Anchor
    now: datetime
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def runtime_data(self, **changes: object) -> bytes:
        numbers = self.key.public_key().public_numbers()

        def number(value: int) -> str:
            raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
            return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

        key = {"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": number(numbers.e), "n": number(numbers.n)}
        value = {
            "keys": [{"kid": "other"}, key],
            "vm-configuration": {"secure-boot": True, "vmUniqueId": "X"},
            **changes,
        }
        return json.dumps(value).encode()

    def wrapper(self, runtime: bytes, *, report_data: bytes | None = None, version: int = 1) -> bytes:
        bound = hashlib.sha256(runtime).digest() + bytes(32) if report_data is None else report_data
        header = b"HCLA" + struct.pack("<I", version) + bytes(24)
        return (
            header
            + self.chip.report(bound)
            + struct.pack("<IIIII", 20 + len(runtime), 1, 2, 1, len(runtime))
            + runtime
            + bytes(200)
        )

    def judge(self, data: bytes | None = None, **endorsements: bytes) -> VerifiedClaims:
        given_along = {name.replace("_", "-"): value for name, value in endorsements.items()}
        evidence = Evidence(
            EvidenceKind.SEV_SNP,
            self.wrapper(self.runtime_data()) if data is None else data,
            {**self.chip.certificates(), **given_along},
        )
        return verify(evidence, collateral=Collateral(), anchors=[self.anchor], now=self.now)

    def sign(self, quote: bytes) -> bytes:
        return self.key.sign(quote, padding.PKCS1v15(), hashes.SHA256())

    def refused(self, code: str, data: bytes | None = None, **endorsements: bytes) -> None:
        with pytest.raises(EvidenceError) as caught:
            self.judge(data, **endorsements)
        assert caught.value.code == f"QNSP-ATT-SNP-{code}", caught.value


@pytest.fixture
def wrapped(snp_pki: Callable[[str], SnpPki], snp_anchor: Callable[[str], Anchor], now: datetime) -> Wrapped:
    return Wrapped(make_chip(snp_pki("Milan"), now), snp_anchor("Milan"), now)


def test_quote_binds_nonce_and_pcrs(wrapped: Wrapped) -> None:
    """With a quote the caller's nonce is its extraData, and the PCRs are claims."""
    quote = quote_of()
    for signature in (wrapped.sign(quote), struct.pack(">HHH", 0x0014, 0x000B, 256) + wrapped.sign(quote)):
        claims = wrapped.judge(tpm_quote=quote, tpm_signature=signature, tpm_pcrs=PCRS)
        assert claims.report_data == NONCE
        assert claims.claims["pcr.sha256.4"] == hashlib.sha256(b"\x04").hexdigest()
        assert claims.claims["hcl.secure-boot"] is True
        assert {s.name: s.verdict for s in claims.statements}["tpm-quote"] is Verdict.SIMULATED
    assert "pcr.sha256.0" not in wrapped.judge(tpm_quote=quote, tpm_signature=wrapped.sign(quote)).claims


def test_runtime_data(wrapped: Wrapped) -> None:
    """Runtime data that are not bound, no JSON, or without the key are refused, each by its own code."""
    wrapped.refused("092", wrapped.wrapper(wrapped.runtime_data(), report_data=bytes(64)))
    padded = hashlib.sha256(wrapped.runtime_data()).digest() + b"\x01" * 32
    wrapped.refused("092", wrapped.wrapper(wrapped.runtime_data(), report_data=padded))
    wrapped.refused("090", wrapped.wrapper(b"not JSON"))
    for keys in (
        [],
        [{"kid": "HCLAkPub", "kty": "EC"}],
        [{"kid": "HCLAkPub", "kty": "RSA", "n": "!", "e": "AQAB"}],
        "x",
    ):
        wrapped.refused("093", wrapped.wrapper(wrapped.runtime_data(keys=keys)))
    wrapped.refused("090", wrapped.wrapper(wrapped.runtime_data(), version=9))


def test_quote_signature_and_form(wrapped: Wrapped) -> None:
    """A quote by another key, of another type, cut or with trailing bytes is refused."""
    quote = quote_of()
    stranger = replace(wrapped, key=rsa.generate_private_key(65537, 2048))
    wrapped.refused("095", tpm_quote=quote, tpm_signature=stranger.sign(quote))
    wrapped.refused("095", tpm_quote=quote_of(extra=b"other"), tpm_signature=wrapped.sign(quote))
    for bad in (quote_of(magic=0), quote_of(kind=0x8017), quote[:-1], quote + b"\0", b""):
        wrapped.refused("094", tpm_quote=bad, tpm_signature=wrapped.sign(bad))
    wrapped.refused("094", tpm_quote=quote)
    wrapped.refused(
        "094", tpm_quote=quote, tpm_signature=struct.pack(">HHH", 0x0014, 0x0004, 256) + wrapped.sign(quote)
    )


def test_pcr_values(wrapped: Wrapped) -> None:
    """PCR values of another digest, number or bank are refused."""
    quote = quote_of()
    for values in (PCRS[:-1] + b"\0", PCRS[:32], PCRS + b"x", b""):
        wrapped.refused("096", tpm_quote=quote, tpm_signature=wrapped.sign(quote), tpm_pcrs=values)
    other = quote_of(algorithm=0x000C)
    wrapped.refused("096", tpm_quote=other, tpm_signature=wrapped.sign(other), tpm_pcrs=PCRS)


@given(st.binary(max_size=300))
def test_quote_parser_raises_only_its_error(data: bytes) -> None:
    """On any bytes the TPM parsers raise only their own error."""
    for head in (b"", struct.pack(">IH", 0xFF544347, 0x8018)):
        try:
            tpm.parse_quote(head + data)
        except tpm.QuoteError:
            continue
    for parse in (tpm.ecdsa_signature, tpm.rsa_signature):
        try:
            parse(data)
        except tpm.QuoteError:
            continue


@dataclass
class Files:
    """Files of a batch in memory."""

    held: dict[str, bytes]

    def read(self, name: str) -> bytes:
        return self.held[name]

    def folder(self, name: str) -> dict[str, bytes]:
        raise NotADirectoryError(name)

    def is_folder(self, name: str) -> bool:
        return name not in self.held


@pytest.mark.parametrize(
    ("nonce", "code"), [(NONCE, ""), (b"another nonce", "QNSP-ATT-APR-010"), (NONCE[::-1], "QNSP-ATT-APR-011")]
)
def test_a_batch_compares_the_nonce_that_the_tpm_quoted(wrapped: Wrapped, nonce: bytes, code: str) -> None:
    """`nonce` of a line is held against extraData as it is: it is not padded as report data are."""
    quote = quote_of()
    along = {**wrapped.chip.certificates(), "tpm-quote": quote, "tpm-signature": wrapped.sign(quote), "tpm-pcrs": PCRS}
    evidence = wrapped.wrapper(wrapped.runtime_data())
    line = {"evidence": "e", "endorsements": {name: name for name in along}, "nonce": nonce.hex()}
    batch = Batch(Files({"e": evidence, **along}), wrapped.now, [wrapped.anchor])
    assert batch.judge_line(json.dumps(line).encode())["code"] == code
