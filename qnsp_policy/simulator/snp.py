"""Simulated AMD: a PKI shaped like AMD's (ARK, ASK, ASVK, RSA-4096 PSS SHA-384), chips with VCEK or VLEK, and signed reports.

Comes in: product line, TCB, measurement, report data. Goes out: certificates, CRLs and reports that a real verifier can judge.
Insecure by name. The layout is AMD 56860 revision 1.58 table 23, written here anew so that a slip of the verifier's reader shows.
"""

from __future__ import annotations

import base64
import secrets
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.simulator import mint

_AMD: Final = "1.3.6.1.4.1.3704.1."
_CPUID: Final[Mapping[str, tuple[int, int, int]]] = {
    "Milan": (0x19, 0x01, 0x01),
    "Genoa": (0x19, 0x11, 0x01),
    "Siena": (0x19, 0xA0, 0x02),
    "Turin": (0x1A, 0x02, 0x01),
}
_LINES: Final[Mapping[str, str]] = {"Milan": "Milan", "Genoa": "Genoa", "Siena": "Genoa", "Turin": "Turin"}
DEFAULT_TCB: Final[Mapping[str, int]] = {"bootloader": 3, "tee": 0, "snp": 14, "microcode": 209, "fmc": 1}
DEFAULT_POLICY: Final = 0x30000
"""SMT allowed, reserved bit 17 set, no debug, no migration."""
_FILES: Final = ("ark", "ask", "asvk")


@dataclass(frozen=True, slots=True)
class SnpPki:
    """A throw-away vendor: one line's ARK with its ASK (issues VCEKs) and ASVK (issues VLEKs)."""

    product: str
    ark: mint.Authority
    ask: mint.Authority
    asvk: mint.Authority

    @property
    def line(self) -> str:
        return _LINES[self.product]

    @property
    def ark_pem(self) -> str:
        """The anchor that a workspace declares, PEM."""
        return _pem(self.ark.certificate)

    def crl(self, *, this_update: datetime, next_update: datetime, serials: tuple[int, ...] = ()) -> bytes:
        """A CRL by the ARK over intermediates."""
        return mint.crl(self.ark, this_update=this_update, next_update=next_update, serials=serials)


@dataclass(frozen=True, slots=True)
class SnpChip:
    """One simulated chip: the key that signs its reports, and the certificate that the vendor issued for it.

    Attributes:
        certificate: VCEK or VLEK, DER.
        chip_id: 64 bytes (Turin: 8 and zeros; VLEK: zeros).
        tcb: by component; what the certificate was issued for and what reports state.
    """

    pki: SnpPki
    key: ec.EllipticCurvePrivateKey
    certificate: bytes
    chip_id: bytes
    tcb: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_TCB))
    vlek: bool = False

    def report(
        self,
        report_data: bytes,
        *,
        measurement: bytes = bytes(48),
        host_data: bytes = bytes(32),
        policy: int = DEFAULT_POLICY,
        vmpl: int = 0,
        guest_svn: int = 0,
        version: int = 3,
        overrides: Mapping[int, bytes] | None = None,
    ) -> bytes:
        """A signed report of 1184 bytes.

        Args:
            report_data: 64 bytes.
            measurement: 48 bytes.
            host_data: 32 bytes.
            policy: guest policy, u64.
            vmpl: privilege level.
            guest_svn: as the ID block gave it.
            version: of the report, 2 to 5.
            overrides: bytes by offset, written before signing, for what no argument reaches.
        """
        tcb = pack_tcb(self.tcb, self.pki.line)
        out = bytearray(0x2A0)
        struct.pack_into("<IIQ", out, 0x000, version, guest_svn, policy)
        struct.pack_into("<IIQQI", out, 0x030, vmpl, 1, tcb, 0x25, 4 if self.vlek else 0)
        out[0x050:0x090] = report_data.ljust(64, b"\0")[:64]
        out[0x090:0x0C0] = measurement.ljust(48, b"\0")[:48]
        out[0x0C0:0x0E0] = host_data.ljust(32, b"\0")[:32]
        out[0x140:0x160] = secrets.token_bytes(32)
        out[0x160:0x180] = b"\xff" * 32
        struct.pack_into("<Q", out, 0x180, tcb)
        if version >= 3:
            out[0x188:0x18B] = bytes(_CPUID[self.pki.product])
        out[0x1A0:0x1E0] = self.chip_id
        struct.pack_into("<Q", out, 0x1E0, tcb)
        out[0x1E8:0x1F0] = bytes([29, 55, 1, 0]) * 2
        struct.pack_into("<Q", out, 0x1F0, tcb)
        for offset, data in (overrides or {}).items():
            out[offset : offset + len(data)] = data
        return sign_report(bytes(out), self.key)

    def certificates(self) -> dict[str, bytes]:
        """The chain by type, DER: leaf, intermediate, root."""
        if self.vlek:
            return {"vlek": self.certificate, "ask": self.pki.asvk.certificate, "ark": self.pki.ark.certificate}
        return {"vcek": self.certificate, "ask": self.pki.ask.certificate, "ark": self.pki.ark.certificate}


def pack_tcb(tcb: Mapping[str, int], line: str) -> int:
    """TCB components as the u64 of a report, by the line's map."""
    if line == "Turin":
        raw = bytes([tcb.get("fmc", 0), tcb["bootloader"], tcb["tee"], tcb["snp"], 0, 0, 0, tcb["microcode"]])
    else:
        raw = bytes([tcb["bootloader"], tcb["tee"], 0, 0, 0, 0, tcb["snp"], tcb["microcode"]])
    return int.from_bytes(raw, "little")


def sign_report(body: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The 1184 bytes of a report from its 672 signed ones: R and S little-endian, 72 bytes each."""
    r, s = decode_dss_signature(key.sign(body, ec.ECDSA(hashes.SHA384())))
    return body + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(0x4A0 - 0x330)


def certificate_table(certificates: Mapping[str, bytes]) -> bytes:
    """The GUID table of an extended report, as `auxblob` holds it."""
    guids = {
        "ark": "c0b406a4a80349529743 3fb6014cd0ae",
        "ask": "4ab7b379bbac4fe4a02f 05aef327c782",
        "vcek": "63da758de6644564adc5 f4b93be8accd",
        "vlek": "a8074bc2a25a483eaae6 39c045a0b8a1",
    }
    offset = 24 * (len(certificates) + 1)
    entries = b""
    for name, data in certificates.items():
        entries += bytes.fromhex(guids[name]) + struct.pack("<II", offset, len(data))
        offset += len(data)
    return entries + bytes(24) + b"".join(certificates.values())


def mint_pki(product: str, now: datetime, *, key_size: int = 4096) -> SnpPki:
    """A new vendor in memory. Slow with 4096 bits: three RSA keys, made side by side."""
    line = _LINES[product]
    begin, end = now - timedelta(days=1), now + timedelta(days=25 * 365)
    with ThreadPoolExecutor(3) as beside:
        ark_key, ask_key, asvk_key = beside.map(lambda size: rsa.generate_private_key(65537, size), [key_size] * 3)
    ark = mint.root(ark_key, mint.name(f"ARK-{line}"), not_before=begin, not_after=end, serial=0x10000)

    def intermediate(key: rsa.RSAPrivateKey, common_name: str, serial: int) -> mint.Authority:
        subject = mint.name(common_name)
        encoded = mint.certificate(
            subject,
            key.public_key(),
            ark.name,
            ark.key,
            serial=serial,
            not_before=begin,
            not_after=end,
            extensions=mint.authority_extensions(0),
        )
        return mint.Authority(key, encoded, subject)

    return SnpPki(
        product, ark, intermediate(ask_key, f"SEV-{line}", 0x10001), intermediate(asvk_key, f"SEV-VLEK-{line}", 0x10002)
    )


def leaf_extensions(
    product: str, tcb: Mapping[str, int], *, hwid: bytes | None, csp_id: str = ""
) -> list[mint.Extension]:
    """The AMD extensions of a VCEK (with `hwid`) or VLEK (with `csp_id`)."""
    line = _LINES[product]
    stated = "Milan-B0" if line == "Milan" and hwid is not None else line
    found = [
        mint.Extension(_AMD + "1", mint.integer(1 if line == "Turin" else 0)),
        mint.Extension(_AMD + "2", mint.ia5(stated)),
        mint.Extension(_AMD + "3.1", mint.integer(tcb["bootloader"])),
        mint.Extension(_AMD + "3.2", mint.integer(tcb["tee"])),
        *(mint.Extension(f"{_AMD}3.{spare}", mint.integer(0)) for spare in (4, 5, 6, 7)),
        mint.Extension(_AMD + "3.3", mint.integer(tcb["snp"])),
        mint.Extension(_AMD + "3.8", mint.integer(tcb["microcode"])),
    ]
    if line == "Turin":
        found.append(mint.Extension(_AMD + "3.9", mint.integer(tcb.get("fmc", 0))))
    if hwid is not None:
        found.append(mint.Extension(_AMD + "4", hwid))
    if csp_id:
        found.append(mint.Extension(_AMD + "5", mint.ia5(csp_id)))
    return found


def make_chip(
    pki: SnpPki,
    now: datetime,
    *,
    tcb: Mapping[str, int] | None = None,
    vlek: bool = False,
    key: ec.EllipticCurvePrivateKey | None = None,
    chip_id: bytes | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> SnpChip:
    """A new chip with a certificate for its TCB; VCEK for 7 years, VLEK for 1."""
    key = key or ec.generate_private_key(ec.SECP384R1())
    versions = {**DEFAULT_TCB, **(tcb or {})}
    if vlek:
        chip_id = bytes(64)
    elif chip_id is None:
        chip_id = (secrets.token_bytes(8) + bytes(56)) if pki.line == "Turin" else secrets.token_bytes(64)
    issuer = pki.asvk if vlek else pki.ask
    hwid = None if vlek else chip_id[:8] if pki.line == "Turin" else chip_id
    encoded = mint.certificate(
        mint.name("SEV-VLEK" if vlek else "SEV-VCEK"),
        key.public_key(),
        issuer.name,
        issuer.key,
        serial=0,
        not_before=not_before or now - timedelta(hours=1),
        not_after=not_after or now + timedelta(days=365 if vlek else 7 * 365),
        extensions=leaf_extensions(pki.product, versions, hwid=hwid, csp_id="CN=simulator.example" if vlek else ""),
    )
    return SnpChip(pki, key, encoded, chip_id, versions, vlek)


def _pem(encoded: bytes, label: str = "CERTIFICATE") -> str:
    text = base64.b64encode(encoded).decode("ascii")
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def _write_private(path: Path, key: mint.PrivateKey) -> None:
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_whole(path, data)


def make_pki(
    folder: str | Path, product: str = "Milan", *, now: datetime | None = None, key_size: int = 4096
) -> SnpPki:
    """The throw-away vendor of a folder: read if it is there, else made and written (keys 0600, insecure by name).

    Args:
        folder: holds `ark.pem`, `ask.pem`, `asvk.pem`, `product` and `*.insecure-key.pem`.
        product: Milan, Genoa, Siena or Turin; must be that of an existing folder.
        now: begin of validity is a day before; the clock if not given.
        key_size: RSA bits; 4096 as AMD's, smaller for tests.

    Raises:
        ValueError: unknown product, or a folder of another product.
    """
    if product not in _LINES:
        raise ValueError(f"no product {product}; one of {', '.join(_LINES)}")
    root = Path(folder)
    if (root / "product").exists():
        return load_pki(root, product)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    pki = mint_pki(product, (now or datetime.now(UTC)).replace(microsecond=0), key_size=key_size)
    for name in _FILES:
        authority: mint.Authority = getattr(pki, name)
        (root / f"{name}.pem").write_text(_pem(authority.certificate), encoding="ascii")
        _write_private(root / f"{name}.insecure-key.pem", authority.key)
    write_whole(root / "product", f"{product}\n".encode())
    return pki


def load_pki(folder: str | Path, product: str | None = None) -> SnpPki:
    """Reads what `make_pki` wrote.

    Raises:
        ValueError: the folder is of another product.
    """
    from qnsp_policy.kernel.attestation.x509 import load_certificate, split_pem  # noqa: PLC0415  reading only

    root = Path(folder)
    stated = (root / "product").read_text(encoding="ascii").strip()
    if product is not None and stated != product:
        raise ValueError(f"{root} is the PKI of {stated}, not of {product}")
    members: list[mint.Authority] = []
    for name in _FILES:
        key = serialization.load_pem_private_key((root / f"{name}.insecure-key.pem").read_bytes(), None)
        if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
            raise ValueError(f"{name}.insecure-key.pem is of another algorithm")  # noqa: TRY004  the file is wrong, not the caller
        (encoded,) = split_pem((root / f"{name}.pem").read_bytes())
        members.append(mint.Authority(key, encoded, load_certificate(encoded).subject))
    return SnpPki(stated, *members)


def load_chip(folder: str | Path, pki: SnpPki, now: datetime, *, tcb: Mapping[str, int] | None = None) -> SnpChip:
    """The chip of a member's folder: key and id are kept there, so that a restart is the same chip; the VCEK is issued anew."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_file, id_file = root / "vcek.insecure-key.pem", root / "chip-id"
    if key_file.exists() and id_file.exists():
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file} is of another algorithm")
        return make_chip(
            pki, now, tcb=tcb, key=loaded, chip_id=bytes.fromhex(id_file.read_text(encoding="ascii").strip())
        )
    chip = make_chip(pki, now, tcb=tcb)
    _write_private(key_file, chip.key)
    # The id stands for both: a simulator that was killed before it makes another chip.
    write_whole(id_file, f"{chip.chip_id.hex()}\n".encode())
    return chip


def with_certificate(chip: SnpChip, certificate: bytes) -> SnpChip:
    """The same chip with another certificate (for planted faults)."""
    return replace(chip, certificate=certificate)


__all__ = [
    "DEFAULT_POLICY",
    "DEFAULT_TCB",
    "SnpChip",
    "SnpPki",
    "certificate_table",
    "leaf_extensions",
    "load_chip",
    "load_pki",
    "make_chip",
    "make_pki",
    "mint_pki",
    "pack_tcb",
    "sign_report",
    "with_certificate",
]
