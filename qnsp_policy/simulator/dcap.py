"""Simulated Intel: a PKI shaped like Intel's SGX one, platforms with PCK certificates, TDX and SGX quotes, PCS collateral.

Comes in: FMSPC, SVNs, measurements, dates. Goes out: quotes and collateral that a real verifier can judge, planted faults included.
Insecure by name. Layouts are those of Intel's DCAP documents, written here anew so that a slip of the verifier's reader shows.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from qnsp_policy.simulator import mint

_SGX: Final = "1.2.840.113741.1.13.1"
_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_QE_SIGNER: Final = hashlib.sha256(b"qnsp-policy simulator QE signer").digest()
ZERO48: Final = bytes(48)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def raw_sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """An ECDSA P-256 SHA-256 signature as r || s, big-endian."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _raw_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return point[1:]


def pem(*certificates: bytes) -> bytes:
    """PEM blocks, one after the other."""
    blocks = []
    for encoded in certificates:
        text = base64.b64encode(encoded).decode("ascii")
        lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
        blocks.append(f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
    return "".join(blocks).encode("ascii")


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class IntelPki:
    """A throw-away vendor: root, both PCK CAs, TCB signing."""

    root: mint.Authority
    platform_ca: mint.Authority
    processor_ca: mint.Authority
    tcb_signing: mint.Authority
    begin: datetime
    end: datetime

    def issue(
        self,
        issuer: mint.Authority,
        common_name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        serial: int | None = None,
        extensions: Sequence[mint.Extension] = (),
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> bytes:
        """A certificate by one of the authorities."""
        return mint.certificate(
            mint.name(common_name),
            key.public_key(),
            issuer.name,
            issuer.key,
            serial=serial or secrets.randbits(63) + 1,
            not_before=not_before or self.begin,
            not_after=not_after or self.end,
            extensions=extensions,
        )


def validity(now: datetime) -> tuple[datetime, datetime]:
    """From when until when certificates of a vendor made at `now` hold."""
    return now - timedelta(days=1), now + timedelta(days=3650)


def mint_intel(now: datetime) -> IntelPki:
    """A new vendor in memory."""
    begin, end = validity(now)
    root = mint.root(_key(), mint.name("Intel SGX Root CA"), not_before=begin, not_after=end, path_length=1)

    def authority(common_name: str, serial: int, extensions: Sequence[mint.Extension]) -> mint.Authority:
        key = _key()
        encoded = mint.certificate(
            mint.name(common_name),
            key.public_key(),
            root.name,
            root.key,
            serial=serial,
            not_before=begin,
            not_after=end,
            extensions=extensions,
        )
        return mint.Authority(key, encoded, mint.name(common_name))

    ca = mint.authority_extensions(0, crl_sign=True)
    signing = [mint.Extension(mint.KEY_USAGE, mint.bit_string(b"\xc0", 6), critical=True)]
    return IntelPki(
        root,
        authority("Intel SGX PCK Platform CA", 0x2001, ca),
        authority("Intel SGX PCK Processor CA", 0x2002, ca),
        authority("Intel SGX TCB Signing", 0x2003, signing),
        begin,
        end,
    )


def pck_extension(
    *,
    fmspc: bytes,
    pce_id: bytes,
    components: Sequence[int],
    pce_svn: int,
    drop: str = "",
    sgx_type: int = 0,
    ppid: bytes = bytes(16),
) -> mint.Extension:
    """The SGX extension of a PCK certificate; `drop` leaves out one member by its last arcs ("1", "4", "2.17")."""

    def entry(name: str, value: bytes) -> bytes:
        return mint.sequence(mint.oid(f"{_SGX}.{name}"), value)

    tcb = {f"2.{index + 1}": mint.integer(value) for index, value in enumerate(components)}
    tcb |= {"2.17": mint.integer(pce_svn), "2.18": mint.octets(bytes(components))}
    top = {
        "1": mint.octets(ppid),
        "2": mint.sequence(*(entry(name, value) for name, value in tcb.items() if name != drop)),
        "3": mint.octets(pce_id),
        "4": mint.octets(fmspc),
        "5": mint.tlv(0x0A, bytes([sgx_type])),
    }
    return mint.Extension(_SGX, mint.sequence(*(entry(name, value) for name, value in top.items() if name != drop)))


def enclave_report(
    *,
    report_data: bytes,
    mr_enclave: bytes = bytes(32),
    mr_signer: bytes = _QE_SIGNER,
    attributes: bytes = bytes.fromhex("1100000000000000") + bytes(8),
    misc_select: int = 0,
    isv_prod_id: int = 1,
    isv_svn: int = 8,
    cpu_svn: bytes = bytes(16),
) -> bytes:
    """An SGX report body, 384 bytes."""
    out = bytearray(384)
    out[0:16] = cpu_svn
    out[16:20] = misc_select.to_bytes(4, "little")
    out[48:64] = attributes
    out[64:96] = mr_enclave
    out[128:160] = mr_signer
    out[256:260] = struct.pack("<HH", isv_prod_id, isv_svn)
    out[320:384] = report_data.ljust(64, b"\0")
    return bytes(out)


def td_report(
    *,
    report_data: bytes,
    tee_tcb_svn: bytes = bytes([5, 0, 3]) + bytes(13),
    td_attributes: int = 0x10000000,
    mr_td: bytes = ZERO48,
    mr_config_id: bytes = ZERO48,
    rtmrs: Sequence[bytes] = (ZERO48,) * 4,
    mr_signer_seam: bytes = ZERO48,
    seam_attributes: bytes = bytes(8),
    extended: bool = False,
) -> bytes:
    """A TD report body: TD 1.0, or TD 1.5 where `extended`."""
    out = (
        tee_tcb_svn
        + ZERO48
        + mr_signer_seam
        + seam_attributes
        + td_attributes.to_bytes(8, "little")
        + bytes.fromhex("e700060000000000")
    )
    out += mr_td + mr_config_id + ZERO48 * 2 + b"".join(rtmrs) + report_data.ljust(64, b"\0")
    return out + (bytes(64) if extended else b"")


@dataclass(frozen=True, slots=True)
class IntelPlatform:
    """One simulated platform: PCK, quoting enclave, attestation key.

    Attributes:
        pck: PCK certificate, DER; `ca` is its issuer.
        td: whether the quoting enclave is that of TDX.
    """

    pki: IntelPki
    ca: mint.Authority
    pck_key: ec.EllipticCurvePrivateKey
    pck: bytes
    attestation_key: ec.EllipticCurvePrivateKey
    td: bool
    fmspc: bytes
    pce_id: bytes
    auth: bytes = bytes(range(32))
    qe: Mapping[str, Any] = field(default_factory=dict)

    def chain(self) -> bytes:
        return pem(self.pck, self.ca.certificate, self.pki.root.certificate)

    def quote(
        self,
        body: bytes,
        *,
        version: int = 4,
        body_type: int | None = None,
        body_size: int | None = None,
        vendor: bytes = _VENDOR,
        key_type: int = 2,
        tee_type: int | None = None,
        qe_report_data: bytes | None = None,
        certification_type: int = 5,
        certification: bytes | None = None,
        tail: bytes = b"",
    ) -> bytes:
        """A signed quote over a body.

        Args:
            body: what `td_report` or `enclave_report` made.
            version: 3 (SGX only), 4 or 5.
            body_type: of a version 5 quote, by the body if not given.
            body_size: of a version 5 quote, by the body if not given.
            vendor: QE vendor id.
            key_type: attestation key type.
            tee_type: TEE type, by the platform if not given.
            qe_report_data: 64 bytes; the binding if not given.
            certification_type: of the certification data.
            certification: certification data; the PCK chain if not given.
            tail: bytes behind the quote.
        """
        tee = tee_type if tee_type is not None else 0x81 if self.td else 0
        header = struct.pack("<HHI", version, key_type, tee) + bytes(4) + vendor + bytes(20)
        if version == 5:
            kind = body_type if body_type is not None else {384: 1, 584: 2, 648: 3}[len(body)]
            header += struct.pack("<HI", kind, len(body) if body_size is None else body_size)
        signed = header + body
        point = _raw_point(self.attestation_key)
        bound = hashlib.sha256(point + self.auth).digest() if qe_report_data is None else qe_report_data
        qe_fields: dict[str, Any] = {"isv_prod_id": 2 if self.td else 1, **self.qe}
        report = enclave_report(report_data=bound, **qe_fields)
        data = self.chain() + b"\0" if certification is None else certification
        inner = report + raw_sign(self.pck_key, report) + struct.pack("<H", len(self.auth)) + self.auth
        inner += struct.pack("<HI", certification_type, len(data)) + data
        if version >= 4:
            inner = struct.pack("<HI", 6, len(inner)) + inner
        signature = raw_sign(self.attestation_key, signed) + point + inner
        return signed + struct.pack("<I", len(signature)) + signature + tail


DEFAULT_COMPONENTS: Final = (5, 5, 2, 2, 3, 1, 0, 5, *((0,) * 8))


def make_platform(
    pki: IntelPki,
    *,
    td: bool,
    fmspc: bytes = bytes.fromhex("a0b0c0d0e0f0"),
    pce_id: bytes = b"\0\0",
    components: Sequence[int] = DEFAULT_COMPONENTS,
    pce_svn: int = 11,
    processor: bool = False,
    drop: str = "",
    serial: int | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    extensions: Sequence[mint.Extension] = (),
    **other: Any,
) -> IntelPlatform:
    """A new platform with its PCK certificate."""
    ca = pki.processor_ca if processor else pki.platform_ca
    key = _key()
    extension = pck_extension(fmspc=fmspc, pce_id=pce_id, components=components, pce_svn=pce_svn, drop=drop)
    encoded = pki.issue(
        ca,
        "Intel SGX PCK Certificate",
        key,
        serial=serial,
        extensions=[extension, *extensions],
        not_before=not_before,
        not_after=not_after,
    )
    return IntelPlatform(pki, ca, key, encoded, _key(), td, fmspc, pce_id, **other)


def tcb_level(
    status: str,
    *,
    components: Sequence[int] = DEFAULT_COMPONENTS,
    pce_svn: int = 11,
    tdx: Sequence[int] | None = None,
    advisories: Sequence[str] = (),
) -> dict[str, Any]:
    """One level of TCB info."""
    tcb: dict[str, Any] = {"sgxtcbcomponents": [{"svn": svn} for svn in components], "pcesvn": pce_svn}
    if tdx is not None:
        tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in tdx]
    level: dict[str, Any] = {"tcb": tcb, "tcbDate": "2025-01-01T00:00:00Z", "tcbStatus": status}
    if advisories:
        level["advisoryIDs"] = list(advisories)
    return level


def tcb_info(
    platform: IntelPlatform, issue: datetime, update: datetime, levels: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """TCB info that fits a platform, unsigned; change it before `sign_document`."""
    td = platform.td
    value: dict[str, Any] = {
        "id": "TDX" if td else "SGX",
        "version": 3,
        "issueDate": iso(issue),
        "nextUpdate": iso(update),
        "fmspc": platform.fmspc.hex().upper(),
        "pceId": platform.pce_id.hex(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": 19,
    }
    if td:
        identity = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        value["tdxModule"] = identity
        value["tdxModuleIdentities"] = [
            {
                "id": "TDX_01",
                **identity,
                "tcbLevels": [
                    {"tcb": {"isvsvn": 4}, "tcbDate": "2025-01-01T00:00:00Z", "tcbStatus": "UpToDate"},
                    {
                        "tcb": {"isvsvn": 2},
                        "tcbDate": "2024-01-01T00:00:00Z",
                        "tcbStatus": "OutOfDate",
                        "advisoryIDs": ["INTEL-SA-90001"],
                    },
                    {"tcb": {"isvsvn": 1}, "tcbDate": "2023-01-01T00:00:00Z", "tcbStatus": "Revoked"},
                ],
            }
        ]
    tdx = (5, 0, 2, *((0,) * 13)) if td else None
    value["tcbLevels"] = copy.deepcopy(list(levels)) if levels is not None else [tcb_level("UpToDate", tdx=tdx)]
    return value


def qe_identity(platform: IntelPlatform, issue: datetime, update: datetime) -> dict[str, Any]:
    """QE identity that fits a platform, unsigned."""
    return {
        "id": "TD_QE" if platform.td else "QE",
        "version": 2,
        "issueDate": iso(issue),
        "nextUpdate": iso(update),
        "tcbEvaluationDataNumber": 19,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11" + "00" * 15,
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": _QE_SIGNER.hex().upper(),
        "isvprodid": 2 if platform.td else 1,
        "tcbLevels": [
            {"tcb": {"isvsvn": 8}, "tcbDate": "2025-01-01T00:00:00Z", "tcbStatus": "UpToDate"},
            {
                "tcb": {"isvsvn": 6},
                "tcbDate": "2024-01-01T00:00:00Z",
                "tcbStatus": "OutOfDate",
                "advisoryIDs": ["INTEL-SA-90002"],
            },
            {"tcb": {"isvsvn": 4}, "tcbDate": "2023-01-01T00:00:00Z", "tcbStatus": "Revoked"},
        ],
    }


def sign_document(
    pki: IntelPki, member: str, value: Mapping[str, Any], *, signer: mint.Authority | None = None
) -> bytes:
    """A PCS body: `{"tcbInfo": {...}, "signature": hex}`, signed over the exact bytes of the inner object."""
    inner = json.dumps(value, separators=(",", ":")).encode()
    key = (signer or pki.tcb_signing).key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("TCB signing keys are on P-256")
    return b'{"' + member.encode() + b'":' + inner + b',"signature":"' + raw_sign(key, inner).hex().encode() + b'"}'


def collateral_files(
    platform: IntelPlatform,
    begin: datetime,
    end: datetime,
    *,
    info: Mapping[str, Any] | None = None,
    identity: Mapping[str, Any] | None = None,
    pck_serials: Sequence[int] = (),
    root_serials: Sequence[int] = (),
) -> dict[str, bytes]:
    """Everything a verifier needs beside quote and anchor, by file name."""
    pki = platform.pki
    return {
        "tcb-info.json": sign_document(pki, "tcbInfo", info or tcb_info(platform, begin, end)),
        "qe-identity.json": sign_document(pki, "enclaveIdentity", identity or qe_identity(platform, begin, end)),
        "tcb-signing-chain.pem": pem(pki.tcb_signing.certificate, pki.root.certificate),
        "pck.crl": mint.crl(platform.ca, this_update=begin, next_update=end, serials=tuple(pck_serials)),
        "root-ca.crl": mint.crl(pki.root, this_update=begin, next_update=end, serials=tuple(root_serials)),
    }


__all__ = [
    "DEFAULT_COMPONENTS",
    "IntelPki",
    "IntelPlatform",
    "collateral_files",
    "enclave_report",
    "iso",
    "make_platform",
    "mint_intel",
    "pck_extension",
    "pem",
    "qe_identity",
    "raw_sign",
    "sign_document",
    "tcb_info",
    "tcb_level",
    "td_report",
    "validity",
]
