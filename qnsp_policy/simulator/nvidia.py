"""Simulated NVIDIA devices: a device PKI, a RIM PKI, SPDM reports of GPUs and switches, signed RIMs and OCSP answers.

Comes in: architecture, versions, measurements, a nonce, a time. Goes out: reports, chains, RIM documents and OCSP answers that a real
verifier can judge. Insecure by name. Hopper leaves carry their firmware id in extension 2.23.133.5.4.1, Blackwell leaves in a
DiceTcbInfo (2.23.133.5.4.1.1) whose second firmware id is zero.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from lxml import etree

from qnsp_policy.simulator import mint
from qnsp_policy.simulator.nitro import raw_signature

_FOREVER: Final = 365 * 50
_SWID: Final = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
_DS: Final = "http://www.w3.org/2000/09/xmldsig#"
_SHA384: Final = "http://www.w3.org/2001/04/xmldsig-more#sha384"
_C14N11: Final = "http://www.w3.org/2006/12/xml-c14n11"
_LEAF_USAGE: Final = mint.Extension(mint.KEY_USAGE, mint.bit_string(b"\x80", 7), critical=True)
_HASH_NAMESPACE: Final = "http://www.w3.org/2001/04/xmlenc#sha384"


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


@dataclass(frozen=True, slots=True)
class NvidiaPki:
    """A throw-away NVIDIA: device identity root and identity CA, RIM root and two intermediates with a signer."""

    now: datetime
    device_root: mint.Authority
    identity: mint.Authority
    rim_chain: tuple[mint.Authority, ...]
    """Root first, the RIM signer last."""


def _issue(
    issuer: mint.Authority,
    common_name: str,
    now: datetime,
    *,
    days: int = _FOREVER,
    leaf: Sequence[mint.Extension] | None = None,
    started: int = 10,
) -> mint.Authority:
    key, subject = _key(), mint.name(common_name)
    extensions = mint.authority_extensions(crl_sign=True) if leaf is None else list(leaf)
    certificate = mint.certificate(
        subject,
        key.public_key(),
        issuer.name,
        issuer.key,
        serial=secrets.randbits(120) | 1,
        not_before=now - timedelta(days=started),
        not_after=now + timedelta(days=days),
        extensions=extensions,
    )
    return mint.Authority(key, certificate, subject)


def mint_pki(now: datetime) -> NvidiaPki:
    """A new throw-away NVIDIA; RIM signers live two years, device certificates as good as for ever."""
    before, after = now - timedelta(days=100), now + timedelta(days=_FOREVER)
    device_root = mint.root(_key(), mint.name("Device Identity CA (simulated)"), not_before=before, not_after=after)
    rims = [mint.root(_key(), mint.name("RIM signing Root CA (simulated)"), not_before=before, not_after=after)]
    rims.append(_issue(rims[-1], "RIM L2 (simulated)", now, days=3650))
    rims.append(_issue(rims[-1], "RIM L3 (simulated)", now, days=900))
    rims.append(_issue(rims[-1], "RIM signer (simulated)", now, days=720, leaf=[_LEAF_USAGE]))
    return NvidiaPki(now, device_root, _issue(device_root, "Identity (simulated)", now), tuple(rims))


def fwid_extension(fwid: bytes, *, blackwell: bool) -> mint.Extension:
    """The firmware id as a leaf of that generation carries it."""
    if not blackwell:
        return mint.Extension("2.23.133.5.4.1", mint.sequence(mint.octets(b"simulated ueid")) + fwid)
    sha384 = mint.oid("2.16.840.1.101.3.4.2.2")
    fwids = mint.tlv(0xA6, mint.sequence(sha384, mint.octets(fwid)), mint.sequence(sha384, mint.octets(bytes(48))))
    texts = (b"NVIDIA", b"simulated GB100", b"1.0", b"\1", b"\2", b"\0")  # vendor, model, version, svn, layer, index
    before = [mint.tlv(0x80 + number, text) for number, text in enumerate(texts)]
    after = [mint.tlv(0x87, bytes.fromhex("0700000000")), mint.tlv(0x88, bytes(16)), mint.tlv(0x89, b"simulated")]
    return mint.Extension("2.23.133.5.4.1.1", mint.sequence(*before, fwids, *after))


@dataclass(frozen=True, slots=True)
class Device:
    """One simulated GPU or switch.

    Attributes:
        chain: leaf, BROM, provisioner, identity, root.
        fwid: firmware id (48 bytes) that the leaf was issued for.
        opaque: fields of its reports by type; tests may replace any.
        measurements: 48-byte values by block index, from 1.
    """

    pki: NvidiaPki
    chain: tuple[mint.Authority, ...]
    fwid: bytes
    opaque: Mapping[int, bytes]
    measurements: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def chain_pem(self) -> bytes:
        """The endorsement `device-chain`."""
        return b"".join(pem(authority.certificate) for authority in self.chain)

    def report(
        self,
        nonce: bytes,
        *,
        opaque: Mapping[int, bytes] | None = None,
        measurements: Mapping[int, bytes] | None = None,
    ) -> bytes:
        """A signed report over a 32-byte nonce."""
        return sign_report(self, body(self, nonce, opaque=opaque, measurements=measurements))


def pem(der: bytes) -> bytes:
    """One certificate as a PEM block."""
    text = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


def make_device(
    pki: NvidiaPki,
    *,
    blackwell: bool = False,
    switch: bool = False,
    driver: str = "580.10",
    vbios: bytes = bytes.fromhex("0074009601000000"),
    extra: Mapping[int, bytes] | None = None,
) -> Device:
    """A new device with its own keys: Hopper by default, else Blackwell or an LS10 switch."""
    name = "LS_10 A01 FSP" if switch else ("GB100 A01 GSP" if blackwell else "GH100 A01 GSP")
    provisioner = _issue(pki.identity, f"{name} Provisioner (simulated)", pki.now)
    brom = _issue(provisioner, f"{name} BROM", pki.now)
    fwid = hashlib.sha384(name.encode() + b" firmware").digest()
    leaf = _issue(brom, f"{name} FMC LF", pki.now, leaf=[_LEAF_USAGE, fwid_extension(fwid, blackwell=blackwell)])
    if switch:
        opaque = {6: b"96.10.74.00.01", 22: secrets.token_bytes(8), 26: bytes(64)}
        count = 31
    else:
        opaque = {
            3: driver.encode() + b"\0",
            6: vbios,
            11: b"\xaa",
            15: b"900\0",
            17: b"G525\0" if blackwell else b"G520\0",  # boards of their own: RIMs of both lie in one folder
            18: b"0200\0",
            20: fwid,
        }
        if blackwell:
            opaque |= {35: b"GB100\0", 36: b"\0"}
        count = 64
    measurements = {index: hashlib.sha384(f"{name} {index}".encode()).digest() for index in range(1, count + 1)}
    chain = (leaf, brom, provisioner, pki.identity, pki.device_root)
    return Device(pki, chain, fwid, opaque | dict(extra or {}), measurements)


def body(
    device: Device,
    nonce: bytes,
    *,
    opaque: Mapping[int, bytes] | None = None,
    measurements: Mapping[int, bytes] | None = None,
) -> bytes:
    """Request and response of a report without its signature."""
    blocks = b"".join(
        bytes([index, 1]) + (51).to_bytes(2, "little") + b"\x01" + (48).to_bytes(2, "little") + value
        for index, value in (device.measurements if measurements is None else measurements).items()
    )
    fields = b"".join(
        kind.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value
        for kind, value in (device.opaque if opaque is None else opaque).items()
    )
    return b"".join(
        (
            bytes.fromhex("11e001ff") + nonce + b"\0",
            bytes.fromhex("11600000") + bytes([len(blocks) // 55]) + len(blocks).to_bytes(3, "little") + blocks,
            secrets.token_bytes(32) + len(fields).to_bytes(2, "little") + fields,
        )
    )


def sign_report(device: Device, signed: bytes) -> bytes:
    """The bytes with the device's signature after them."""
    return signed + raw_signature(device.chain[0].key, signed)


def rim_tree(
    active: Mapping[int, Sequence[bytes]],
    *,
    version: str,
    edition: str = "GPU",
    product: str = "GH100",
    count: int = 64,
) -> etree._Element:
    """An unsigned SWID tag; indexes from 0, those not in `active` are inactive."""
    root = etree.Element(f"{{{_SWID}}}SoftwareIdentity", nsmap={"swid": _SWID, "hash": _HASH_NAMESPACE})
    root.set("name", product)
    root.set("tagId", secrets.token_hex(24))
    entity = etree.SubElement(root, f"{{{_SWID}}}Entity")
    entity.set("name", "NVIDIA (simulated)")
    entity.set("role", "softwareCreator tagCreator")
    meta = etree.SubElement(root, f"{{{_SWID}}}Meta")
    for name, value in (("colloquialVersion", version), ("edition", edition), ("product", product)):
        meta.set(name, value)
    payload = etree.SubElement(root, f"{{{_SWID}}}Payload")
    for index in range(count):
        values = active.get(index, [bytes(48)])
        entry = etree.SubElement(payload, f"{{{_SWID}}}Resource")
        entry.set("type", "Measurement")
        entry.set("index", str(index))
        entry.set("active", "True" if index in active else "False")
        entry.set("alternatives", str(len(values)))
        for number, digest in enumerate(values):
            entry.set(f"{{{_HASH_NAMESPACE}}}Hash{number}", digest.hex())
        entry.set("name", f"Measurement_{index}")
        entry.set("size", str(len(values[0])))
    return root


def _canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=False, with_comments=False)


def sign_rim(
    chain: Sequence[mint.Authority], root: etree._Element, *, algorithm: str = _SHA384, uri: str = ""
) -> bytes:
    """The tag with an enveloped signature by the last of the chain (root first)."""
    digest = base64.b64encode(hashlib.sha384(_canonical(root)).digest()).decode()
    signature = etree.SubElement(root, f"{{{_DS}}}Signature", nsmap={"ds": _DS})
    info = etree.SubElement(signature, f"{{{_DS}}}SignedInfo")
    etree.SubElement(info, f"{{{_DS}}}CanonicalizationMethod").set("Algorithm", _C14N11)
    etree.SubElement(info, f"{{{_DS}}}SignatureMethod").set(
        "Algorithm", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
    )
    reference = etree.SubElement(info, f"{{{_DS}}}Reference")
    reference.set("URI", uri)
    transforms = etree.SubElement(reference, f"{{{_DS}}}Transforms")
    for name in ("http://www.w3.org/2000/09/xmldsig#enveloped-signature", _C14N11):
        etree.SubElement(transforms, f"{{{_DS}}}Transform").set("Algorithm", name)
    etree.SubElement(reference, f"{{{_DS}}}DigestMethod").set("Algorithm", algorithm)
    etree.SubElement(reference, f"{{{_DS}}}DigestValue").text = digest
    value = etree.SubElement(signature, f"{{{_DS}}}SignatureValue")
    data = etree.SubElement(etree.SubElement(signature, f"{{{_DS}}}KeyInfo"), f"{{{_DS}}}X509Data")
    for authority in reversed(chain):
        text = base64.encodebytes(authority.certificate).decode()
        etree.SubElement(data, f"{{{_DS}}}X509Certificate").text = text
    value.text = base64.b64encode(raw_signature(chain[-1].key, _canonical(info))).decode()
    return etree.tostring(root)


def rims_for(device: Device) -> dict[str, bytes]:
    """The RIMs that fit a device, by the names under which NVIDIA serves them."""
    switch = 26 in device.opaque
    values = {index - 1: [value] for index, value in device.measurements.items()}
    if switch:
        tree = rim_tree(values, version="96.10.74.00.01", edition="SWITCH", product="LS10")
        return {"NV_SWITCH_BIOS_5612_0002_890_9610740001.xml": sign_rim(device.pki.rim_chain, tree)}
    driver = device.opaque[3].rstrip(b"\0").decode()
    firmware = {index: value for index, value in values.items() if index < 12}
    rest = {index: [bytes(48), *value] for index, value in values.items() if index >= 12}
    raw = device.opaque[6]
    vbios = f"{raw[3]:02X}.{raw[2]:02X}.{raw[1]:02X}.{raw[0]:02X}.{raw[4]:02X}"
    board = "_".join(device.opaque[kind].rstrip(b"\0").decode() for kind in (17, 18, 15))
    chip = device.opaque[35].rstrip(b"\0").decode() if 35 in device.opaque else "GH100"
    return {
        f"NV_GPU_DRIVER_{chip}_{driver}.xml": sign_rim(
            device.pki.rim_chain, rim_tree(rest, version=driver, product=chip)
        ),
        f"NV_GPU_VBIOS_{board}_{vbios.replace('.', '')}.xml": sign_rim(
            device.pki.rim_chain, rim_tree(firmware, version=vbios, product=chip)
        ),
    }


def ocsp_answer(
    child: mint.Authority,
    issuer: mint.Authority,
    now: datetime,
    *,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    reason: x509.ReasonFlags | None = None,
    signer: mint.Authority | None = None,
    certificates: Sequence[mint.Authority] = (),
    days: int = 7,
    nonce: bytes | None = None,
) -> bytes:
    """One OCSP answer about a certificate, DER; by the issuer itself unless another signer is given."""
    by = signer or issuer
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=x509.load_der_x509_certificate(child.certificate),
            issuer=x509.load_der_x509_certificate(issuer.certificate),
            algorithm=hashes.SHA384(),
            cert_status=status,
            this_update=now - timedelta(hours=1),
            next_update=now + timedelta(days=days),
            revocation_time=now - timedelta(days=1) if revoked else None,
            revocation_reason=reason,
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, x509.load_der_x509_certificate(by.certificate))
    )
    if certificates:
        builder = builder.certificates([x509.load_der_x509_certificate(one.certificate) for one in certificates])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    assert isinstance(by.key, ec.EllipticCurvePrivateKey)
    return builder.sign(by.key, hashes.SHA384()).public_bytes(Encoding.DER)


def responder(issuer: mint.Authority, now: datetime, *, authorised: bool = True) -> mint.Authority:
    """A delegated OCSP responder; without `authorised` its certificate lacks the OCSP signing usage."""
    usage = mint.Extension("2.5.29.37", mint.sequence(mint.oid("1.3.6.1.5.5.7.3.9")))
    return _issue(
        issuer, "OCSP responder (simulated)", now, days=30, leaf=[_LEAF_USAGE, *([usage] if authorised else [])]
    )


def answers_for(device: Device, now: datetime) -> dict[str, bytes]:
    """Good OCSP answers for all that have one: BROM, provisioner and identity, and the signers of RIMs."""
    signers = tuple(reversed(device.pki.rim_chain))
    pairs = (*itertools.pairwise(device.chain[1:5]), *itertools.pairwise(signers))
    return {f"{index}.ocsp": ocsp_answer(child, issuer, now) for index, (child, issuer) in enumerate(pairs)}


__all__ = [
    "Device",
    "NvidiaPki",
    "answers_for",
    "body",
    "fwid_extension",
    "make_device",
    "mint_pki",
    "ocsp_answer",
    "pem",
    "responder",
    "rim_tree",
    "rims_for",
    "sign_report",
    "sign_rim",
]
