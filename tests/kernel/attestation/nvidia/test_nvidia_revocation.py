"""OCSP answers in the forms that RFC 6960 gives them, for devices and for the signers of RIMs; folders of a whole fleet."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.encodings import decode, named
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.registry import verify_any
from qnsp_policy.kernel.attestation.values import (
    Anchor,
    AssuranceClass,
    Evidence,
    EvidenceKind,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.simulator import mint, nvidia

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED
Device = nvidia.Device


@pytest.fixture(scope="module")
def pki() -> nvidia.NvidiaPki:
    return nvidia.mint_pki(NOW)


@pytest.fixture(scope="module")
def device(pki: nvidia.NvidiaPki) -> Device:
    return nvidia.make_device(pki)


def files_of(device: Device) -> dict[str, bytes]:
    return {**nvidia.rims_for(device), **nvidia.answers_for(device, NOW)}


def judge(device: Device, files: Mapping[str, bytes]) -> VerifiedClaims:
    roots = (device.pki.device_root, device.pki.rim_chain[0])
    return verify_any(
        Evidence(EvidenceKind.NVIDIA_GPU, device.report(bytes(range(32))), {"device-chain": device.chain_pem}),
        collateral=Collateral.from_files(files),
        anchors=[Anchor("simulator", root.certificate, AssuranceClass.SIMULATED) for root in roots],
        now=NOW,
    )


def verdicts(claims: VerifiedClaims) -> dict[str, Verdict]:
    return {one.name: one.verdict for one in claims.statements}


Said = tuple[mint.Authority, mint.Authority, ocsp.OCSPCertStatus, hashes.HashAlgorithm]


def body_about(signer: mint.Authority, said: Said) -> list[der.Value]:
    """The members of a signed response body about one certificate."""
    child, issuer, status, algorithm = said
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=x509.load_der_x509_certificate(child.certificate),
        issuer=x509.load_der_x509_certificate(issuer.certificate),
        algorithm=algorithm,
        cert_status=status,
        this_update=NOW,
        next_update=NOW + timedelta(days=1),
        revocation_time=NOW if status is REVOKED else None,
        revocation_reason=None,
    )
    by = x509.load_der_x509_certificate(signer.certificate)
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    answer = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, by).sign(signer.key, hashes.SHA384())
    return der.whole(answer.tbs_response_bytes, der.SEQUENCE).children()


def several(signer: mint.Authority, about: list[Said], *, of_each: bytes = b"", of_all: bytes = b"") -> bytes:
    """One answer about several certificates, each by a hash of its own; with extensions if given."""
    bodies = [body_about(signer, said) for said in about]
    singles = [next(part for part in body if part.tag == der.SEQUENCE).content for body in bodies]
    if of_each:
        singles = [mint.sequence(der.whole(single, der.SEQUENCE).content, of_each) for single in singles]
    head = b"".join(part.raw for part in bodies[0] if part.tag != der.SEQUENCE)
    basic = mint.signed(signer.key, mint.sequence(head, mint.sequence(*singles), of_all))
    wrapped = mint.sequence(mint.oid("1.3.6.1.5.5.7.48.1.1"), mint.octets(basic))
    return mint.sequence(mint.tlv(0x0A, b"\0"), mint.tlv(0xA0, wrapped))


def test_an_answer_about_several_certificates(device: Device) -> None:
    """Whatever else an answer speaks of, what it says of this chain counts, by SHA-1, SHA-256 or SHA-384."""
    other = nvidia.make_device(device.pki)
    _, brom, provisioner, _, _ = device.chain
    about: list[Said] = [
        (other.chain[1], other.chain[2], REVOKED, hashes.SHA256()),
        (brom, provisioner, GOOD, hashes.SHA1()),
        (brom, provisioner, GOOD, hashes.SHA256()),
    ]
    files = {**files_of(device), "0.ocsp": several(provisioner, about)}
    assert verdicts(judge(device, files))["revocation"] is Verdict.SIMULATED
    about[2] = (brom, provisioner, REVOKED, hashes.SHA256())
    with pytest.raises(EvidenceError, match="QNSP-ATT-NV-030"):
        judge(device, {**files, "0.ocsp": several(provisioner, about)})


def test_a_responder_of_an_odd_name(device: Device) -> None:
    """A name that no certificate should have (92 characters, none) is nobody's, and is told as such, without a warning of the library."""
    _, brom, provisioner, _, _ = device.chain
    _, made, responses = body_about(provisioner, (brom, provisioner, GOOD, hashes.SHA256()))
    for common_name in ("x" * 92, ""):
        body = mint.sequence(mint.tlv(0xA1, mint.name(common_name)), made.raw, responses.raw)
        wrapped = mint.sequence(mint.oid("1.3.6.1.5.5.7.48.1.1"), mint.octets(mint.signed(provisioner.key, body)))
        answer = mint.sequence(mint.tlv(0x0A, b"\0"), mint.tlv(0xA0, wrapped))
        with pytest.raises(EvidenceError, match="QNSP-ATT-NV-035"):
            judge(device, {**files_of(device), "0.ocsp": answer})


def test_older_answers_beside_one_of_the_present(device: Device) -> None:
    """A folder that is filled again and again: what has ended no longer counts beside a newer answer, unless it said revoked."""
    _, brom, provisioner, _, _ = device.chain
    files = files_of(device)
    then = NOW - timedelta(days=30)
    old = nvidia.ocsp_answer(brom, provisioner, then)
    assert verdicts(judge(device, {**files, "old.ocsp": old}))["revocation"] is Verdict.SIMULATED
    hold = nvidia.ocsp_answer(brom, provisioner, then, status=REVOKED, reason=x509.ReasonFlags.certificate_hold)
    assert verdicts(judge(device, {**files, "old.ocsp": hold}))["revocation"] is Verdict.SIMULATED
    for name, said, code in (
        ("old.ocsp", nvidia.ocsp_answer(brom, provisioner, then, status=REVOKED), "030"),
        ("old.ocsp", nvidia.ocsp_answer(brom, provisioner, then, signer=device.chain[3]), "035"),
        ("0.ocsp", old, "033"),
    ):
        with pytest.raises(EvidenceError, match=f"QNSP-ATT-NV-{code}"):
            judge(device, {**files, name: said})


@pytest.mark.parametrize("place", ["of_each", "of_all"])
def test_answers_of_unknown_meaning(device: Device, place: str) -> None:
    """A critical extension that is not known, of an answer or of what it says of one certificate, makes it unreadable."""
    about: list[Said] = [(device.chain[1], device.chain[2], GOOD, hashes.SHA256())]
    for critical, verdict in ((b"", None), (b"\x01\x01\xff", "QNSP-ATT-NV-036")):
        extension = mint.sequence(mint.oid("1.2.3.4"), critical, mint.octets(b"\x05\x00"))
        extensions = mint.tlv(0xA1, mint.sequence(extension))
        answer = several(device.chain[2], about, **{place: extensions})
        files = {**files_of(device), "0.ocsp": answer}
        if verdict is None:
            assert verdicts(judge(device, files))["revocation"] is Verdict.SIMULATED
        else:
            with pytest.raises(EvidenceError, match=verdict):
                judge(device, files)


def test_signers_of_rims_are_judged_too(device: Device) -> None:
    """A RIM whose signer or any issuer of it is revoked is refused; without answers about them that is said, apart."""
    files = files_of(device)
    assert verdicts(judge(device, files))["rim-revocation"] is Verdict.SIMULATED
    signers = tuple(reversed(device.pki.rim_chain))
    for child, issuer in itertools.pairwise(signers):
        with pytest.raises(EvidenceError, match="QNSP-ATT-NV-030"):
            judge(device, {**files, "9.ocsp": nvidia.ocsp_answer(child, issuer, NOW, status=REVOKED)})
    only = {name: data for name, data in files.items() if name in {"0.ocsp", "1.ocsp", "2.ocsp"} or ".xml" in name}
    found = verdicts(judge(device, only))
    assert found["revocation"] is Verdict.SIMULATED
    assert found["rim-revocation"] is Verdict.NOT_CHECKED


def test_answers_of_any_name_are_found(device: Device) -> None:
    """An answer is told by its framing; a suffix of certificates does not hide it."""
    files = {name.replace(".ocsp", ".der"): data for name, data in files_of(device).items()}
    assert verdicts(judge(device, files))["revocation"] is Verdict.SIMULATED


def test_responder_that_may_not_sign(device: Device) -> None:
    """A delegated responder without digitalSignature, or with a critical extension that is not known, does not answer."""
    _, brom, provisioner, _, _ = device.chain
    usage = mint.Extension("2.5.29.37", mint.sequence(mint.oid("1.3.6.1.5.5.7.3.9")))
    for extension in (
        mint.Extension("2.5.29.15", mint.bit_string(b"\x02", 1), critical=True),
        mint.Extension("1.2.3.4", b"\x05\x00", critical=True),
    ):
        key, name = ec.generate_private_key(ec.SECP384R1()), mint.name("responder")
        encoded = mint.certificate(
            name,
            key.public_key(),
            provisioner.name,
            provisioner.key,
            serial=5,
            not_before=NOW - timedelta(days=1),
            not_after=NOW + timedelta(days=1),
            extensions=[usage, extension],
        )
        helper = mint.Authority(key, encoded, name)
        answer = nvidia.ocsp_answer(brom, provisioner, NOW, signer=helper, certificates=[helper])
        with pytest.raises(EvidenceError, match="QNSP-ATT-NV-035"):
            judge(device, {**files_of(device), "0.ocsp": answer})


def test_rims_of_the_own_chip_come_first(pki: nvidia.NvidiaPki) -> None:
    """One driver version has a RIM for each chip: that of the report's chip counts, whatever the files are called."""
    device = nvidia.make_device(pki, blackwell=True)
    files = files_of(device)
    driver = device.opaque[3].rstrip(b"\0").decode()
    wrong = {index: [b"\7" * 48] for index in range(12, 64)}
    other = nvidia.sign_rim(pki.rim_chain, nvidia.rim_tree(wrong, version=driver, product="GH100"))
    assert verdicts(judge(device, {"A_FIRST.xml": other, **files}))["measurements"] is Verdict.SIMULATED


def test_stray_bits_in_a_rim() -> None:
    """Base64 that could be written otherwise is refused, in the certificates of a RIM too, which nothing signs."""
    found = None
    while found is None:  # a certificate's length is by chance: in most chains there is one whose base64 is padded
        device = nvidia.make_device(nvidia.mint_pki(NOW))
        files = files_of(device)
        name = next(name for name in files if "DRIVER" in name)
        text = files[name].decode()
        found = re.search(r"[A-Za-z0-9+/](?==+\s*</[a-z:]*X509Certificate>)", text)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stray = text[: found.start()] + alphabet[alphabet.index(found[0]) + 1] + text[found.end() :]
    with pytest.raises(EvidenceError, match="QNSP-ATT-NV-040"):
        judge(device, {**files, name: stray.encode()})


def test_chain_among_those_of_a_whole_fleet(pki: nvidia.NvidiaPki) -> None:
    """Where a folder holds the chains of many devices, the one whose leaf signed the report is taken."""
    devices = [nvidia.make_device(pki) for _ in range(3)]
    chains = {f"{index}.pem": one.chain_pem for index, one in enumerate(devices)}
    roots = (pki.device_root, pki.rim_chain[0])
    for device in devices:
        claims = verify_any(
            Evidence(EvidenceKind.NVIDIA_GPU, device.report(bytes(range(32)))),
            collateral=Collateral.from_files({**chains, **nvidia.rims_for(device)}),
            anchors=[Anchor("simulator", root.certificate, AssuranceClass.SIMULATED) for root in roots],
            now=NOW,
        )
        assert verdicts(claims)["signature"] is Verdict.SIMULATED


@pytest.mark.parametrize("member", ["evidences", "evidence_list"])
def test_one_device_as_collectors_write_it(device: Device, member: str) -> None:
    """The JSON of a collector, a list of one device with its certificates, is read; a list of two is not guessed at."""
    one = {
        "arch": "HOPPER",
        "certificate": base64.b64encode(device.chain_pem).decode(),
        "evidence": base64.b64encode(device.report(bytes(32))).decode(),
    }
    found = decode(json.dumps({member: [one], "result_code": 0}).encode())
    assert found.data == base64.b64decode(one["evidence"])
    assert found.endorsements == {"certificate": device.chain_pem}
    assert named(EvidenceKind.NVIDIA_GPU, found.endorsements) == {"device-chain": device.chain_pem}
    assert decode(json.dumps({member: [one, one]}).encode()).form == "raw"


def test_a_revoked_device_among_the_answers_of_a_fleet(device: Device) -> None:
    """However many answers a folder holds, the one about this device is found."""
    _, brom, provisioner, _, _ = device.chain
    others = {f"{index:03}.ocsp": answer_about(index, provisioner) for index in range(300)}
    files = {**nvidia.rims_for(device), **others}
    files["zzz.ocsp"] = nvidia.ocsp_answer(brom, provisioner, NOW, status=REVOKED)
    with pytest.raises(EvidenceError, match="QNSP-ATT-NV-030"):
        judge(device, files)


def answer_about(serial: int, issuer: mint.Authority) -> bytes:
    """A good answer about some other certificate of the issuer."""
    name, key = mint.name(f"other {serial}"), issuer.key.public_key()
    begin, end = NOW - timedelta(days=1), NOW + timedelta(days=1)
    encoded = mint.certificate(name, key, issuer.name, issuer.key, serial=serial + 1, not_before=begin, not_after=end)
    return nvidia.ocsp_answer(mint.Authority(issuer.key, encoded, name), issuer, NOW)


def test_rim_without_a_canonical_form(device: Device) -> None:
    """A relative namespace, which canonical XML does not have, is refused like any other form that a RIM cannot have."""
    files = files_of(device)
    name = next(name for name in files if "DRIVER" in name)
    odd = files[name].replace(b"http://www.w3.org/2001/04/xmlenc#sha384", b"httq//www.w3.org/2001/04/xmlenc#sha384")
    with pytest.raises(EvidenceError, match="QNSP-ATT-NV-040"):
        judge(device, {**files, name: odd})


def test_firmware_id_in_a_critical_extension(pki: nvidia.NvidiaPki) -> None:
    """DICE asks that TcbInfo be critical; it is read here, so either way is taken."""
    device = nvidia.make_device(pki, blackwell=True)
    own, issuer = device.chain[0], device.chain[1]
    info = nvidia.fwid_extension(device.fwid, blackwell=True)
    encoded = mint.certificate(
        own.name,
        own.key.public_key(),
        issuer.name,
        issuer.key,
        serial=7,
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=1),
        extensions=[mint.Extension(info.oid, info.value, critical=True)],
    )
    chain = (mint.Authority(own.key, encoded, own.name), *device.chain[1:])
    assert verdicts(judge(replace(device, chain=chain), files_of(device)))["firmware-id"] is Verdict.SIMULATED
