"""Certificates, CRLs, collateral folders: read strictly, remembered by content, never in time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.collateral_edge import read_folder
from qnsp_policy.kernel.attestation.x509 import (
    CertificateError,
    certificates_of,
    is_signed_by,
    load_certificate,
    load_crl,
    only_pem,
    split_pem,
)
from qnsp_policy.simulator import mint

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FILES = ["snp/ms_milan_ask.pem", "snp/ms_turin_ark.pem", "tdx/gtg_trusted_root.pem", "snp/ms_milan_vcek.pem"]


@pytest.mark.parametrize("name", FILES)
def test_reader_agrees_with_the_library(vector: Callable[[str], bytes], name: str) -> None:
    """Our reader and the library read the same fields, so that serial 0 can be left to ours."""
    (encoded,) = certificates_of(vector(name))[:1]
    ours = load_certificate(encoded)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = library.load_der_x509_certificate(encoded)
    assert ours.subject == theirs.subject.public_bytes()
    assert ours.issuer == theirs.issuer.public_bytes()
    assert (ours.not_before, ours.not_after) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
    assert (ours.serial, ours.signed, ours.signature) == (
        theirs.serial_number,
        theirs.tbs_certificate_bytes,
        theirs.signature,
    )
    assert set(ours.extensions) == {extension.oid.dotted_string for extension in theirs.extensions}


def test_library_still_reads_serial_zero_with_a_warning(vector: Callable[[str], bytes]) -> None:
    """Fires when the library's behaviour on AMD's serial 0 changes; our reader does not depend on it."""
    (encoded,) = split_pem(vector("snp/ms_milan_vcek.pem"))
    with pytest.warns(Warning, match="serial number"):
        library.load_der_x509_certificate(encoded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_certificate.cache_clear()
        assert load_certificate(encoded).serial == 0


def test_link_needs_name_and_signature() -> None:
    """A child is the issuer's only if it names it and carries its signature."""
    root = mint.root(ec.generate_private_key(ec.SECP256R1()), mint.name("R"), not_before=NOW, not_after=NOW + DAY)
    twin = mint.root(ec.generate_private_key(ec.SECP256R1()), mint.name("R"), not_before=NOW, not_after=NOW + DAY)
    renamed = mint.root(root.key, mint.name("S"), not_before=NOW, not_after=NOW + DAY)
    child = load_certificate(
        mint.certificate(
            mint.name("C"), root.key.public_key(), root.name, root.key, serial=5, not_before=NOW, not_after=NOW + DAY
        )
    )
    assert is_signed_by(child, load_certificate(root.certificate))
    assert not is_signed_by(child, load_certificate(twin.certificate))
    assert not is_signed_by(child, load_certificate(renamed.certificate))


def test_validity_includes_both_ends() -> None:
    """Both notBefore and notAfter belong to the validity."""
    root = load_certificate(
        mint.root(
            ec.generate_private_key(ec.SECP256R1()), mint.name("R"), not_before=NOW, not_after=NOW + DAY
        ).certificate
    )
    assert root.valid_at(NOW)
    assert root.valid_at(NOW + DAY)
    assert not root.valid_at(NOW - timedelta(microseconds=1))
    assert not root.valid_at(NOW + DAY + timedelta(microseconds=1))


@pytest.mark.parametrize("moment", [datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)])
def test_both_forms_of_time(moment: datetime) -> None:
    """UTCTime up to 2049 and GeneralizedTime after are read."""
    root = mint.root(ec.generate_private_key(ec.SECP256R1()), mint.name("R"), not_before=NOW, not_after=moment)
    assert load_certificate(root.certificate).not_after == moment


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x05\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x00",
        b"\x1f\x01\x00",
        bytes(20_000),
    ],
)
def test_malformed_der(data: bytes) -> None:
    """Cut, indefinite, non-minimal, overlong or empty DER is refused."""
    with pytest.raises(CertificateError):
        load_certificate(data)
    with pytest.raises(CertificateError):
        load_crl(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_der_reader_raises_only_its_own_error(data: bytes) -> None:
    """On any bytes the reader of DER raises only its own error."""
    for tag in (der.SEQUENCE, der.INTEGER, der.OID, der.BIT_STRING):
        try:
            value = der.whole(data, tag)
            for reader in (der.integer, der.boolean, der.oid, der.time, der.bits):
                try:
                    reader(value)
                except der.DerError:
                    continue
        except der.DerError:
            continue


@given(st.integers(-(2**80), 2**80))
def test_integers_survive(number: int) -> None:
    """What the minting side writes, the reading side reads."""
    assert der.integer(der.whole(mint.integer(number), der.INTEGER)) == number


@pytest.mark.parametrize("dotted", ["1.2.840.113741.1.13.1.2.18", "2.5.29.19", "1.3.6.1.4.1.3704.1.3.8", "0.9.2342"])
def test_object_identifiers_survive(dotted: str) -> None:
    """Arcs of any size survive."""
    assert der.oid(der.whole(mint.oid(dotted), der.OID)) == dotted


def test_pem_is_canonical(vector: Callable[[str], bytes]) -> None:
    """Loose base64 in PEM is refused; text beside the blocks is noticed."""
    text = vector("snp/ms_milan_ask.pem")
    assert only_pem(text)
    assert only_pem(text.replace(b"\n", b"\r\n") + b"\0")
    assert split_pem(text.replace(b"\n", b" \t\r\n")) == split_pem(text)
    assert not only_pem(text + b"x")
    assert not only_pem(text + text.replace(b"CERTIFICATE", b"X509 CRL"))
    assert not only_pem(text + b"\0x")
    with pytest.raises(CertificateError):
        split_pem(b"-----BEGIN CERTIFICATE-----\nAB==\n-----END CERTIFICATE-----\n")


def crl_with(entry: library.RevokedCertificate) -> bytes:
    builder = library.CertificateRevocationListBuilder().issuer_name(library.Name([])).last_update(NOW)
    key = ec.generate_private_key(ec.SECP256R1())
    signed = builder.next_update(NOW + DAY).add_revoked_certificate(entry).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def test_crl_entries_of_unknown_meaning() -> None:
    """A CRL whose entry has a critical extension that is not known (it may speak for another issuer) is not used."""
    entry = library.RevokedCertificateBuilder().serial_number(7).revocation_date(NOW)
    reason = entry.add_extension(library.CRLReason(library.ReasonFlags.superseded), critical=True)
    assert load_crl(crl_with(reason.build())).serials == {7}
    issuer = library.CertificateIssuer([library.DirectoryName(library.Name([]))])
    with pytest.raises(CertificateError, match=r"2\.5\.29\.29"):
        load_crl(crl_with(entry.add_extension(issuer, critical=True).build()))


def test_folder_is_sorted_by_content(tmp_path: Path, vector: Callable[[str], bytes]) -> None:
    """Certificates, CRLs (DER and hex) and other documents are told apart; hidden files are passed over."""
    crl = vector("snp/kds_milan_20260819.crl.der")
    for name, data in (
        ("a.pem", vector("snp/gsg_ask_ark_milan_vlek.pem")),
        ("milan.crl.der", crl),
        ("deep/again_crl.txt", crl.hex().encode()),
        ("tcb.json", b"{}"),
        (".hidden", b"x"),
        ("no-suffix", vector("snp/gsg_vcek.testcer")),
        ("no-name", crl),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    found = Collateral.from_files(read_folder(tmp_path))
    assert len(found.certificates) == 3
    assert found.crls == (crl,)
    assert set(found.documents) == {"a.pem", "tcb.json"}


def test_folder_refuses_what_is_no_file(tmp_path: Path) -> None:
    """A missing folder, a link that leaves it, one to nowhere or to itself, a FIFO: refused for the operator."""
    import os

    with pytest.raises(OperatorError, match="QNSP-OPS-041"):
        read_folder(tmp_path / "none")
    folders = [tmp_path / name for name in ("one", "two", "three", "four")]
    for folder in folders:
        folder.mkdir()
    one, two, three, four = folders
    (one / "link").symlink_to("/etc/hostname")
    os.mkfifo(two / "pipe")
    (three / "circle").symlink_to("circle")
    (four / "gone").symlink_to("nowhere")
    for folder in folders:
        with pytest.raises(OperatorError, match="QNSP-OPS-041"):
            read_folder(folder)


def test_joined_keeps_both() -> None:
    """Two collaterals join without doubles; the other's documents win."""
    one = Collateral((b"a",), (b"x",), {"n": b"1", "m": b"1"})
    assert one.joined(Collateral((b"a", b"b"), (), {"n": b"2"})) == Collateral(
        (b"a", b"b"), (b"x",), {"n": b"2", "m": b"1"}
    )
