"""A simulated fleet on paper: evidence, endorsements, collateral and roots of machines of every kind, and a batch list that judges them.

Comes in: a time and how many machines of each kind. Goes out: files by name and the lines of a list (docs/formats/attest-batch.md).
Insecure by name: every root is thrown away with the process.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from qnsp_policy.simulator import dcap, nitro, nras, nvidia, snp

KINDS: Final = ("sev-snp", "tdx", "sgx", "nitro-enclave", "nitro-tpm", "nvidia-gpu", "nvswitch", "nras", "coco-sample")
_DAYS: Final = timedelta(days=30)


@dataclass
class Fleet:
    """Files by name, and one line for each machine.

    Attributes:
        files: bytes by posix name, relative to the list.
        lines: the list, good machines only; `now` of each is the fleet's.
    """

    now: datetime
    files: dict[str, bytes] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def add(self, folder: str, files: Mapping[str, bytes]) -> None:
        self.files |= {f"{folder}/{name}": data for name, data in files.items()}

    def line(self, kind: str, evidence: str, **members: Any) -> None:
        self.lines.append(
            {
                "id": evidence,
                "kind": kind,
                "evidence": evidence,
                "now": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                **members,
            }
        )

    @property
    def listing(self) -> bytes:
        """The list as a file holds it."""
        return b"".join(json.dumps(line).encode() + b"\n" for line in self.lines)


def _snp(fleet: Fleet, count: int) -> None:
    for product in ("Milan", "Genoa", "Turin"):
        pki = snp.mint_pki(product, fleet.now, key_size=2048)
        crl = pki.crl(this_update=fleet.now - timedelta(days=1), next_update=fleet.now + _DAYS)
        fleet.add(f"snp/{product}", {"ark.pem": pki.ark_pem.encode(), "certs/ask.der": pki.ask.certificate})
        fleet.add(f"snp/{product}/certs", {"asvk.der": pki.asvk.certificate, "amd.crl": crl})
        for number in range(count):
            chip = snp.make_chip(pki, fleet.now, vlek=bool(number % 2))
            name, nonce = f"snp/{product}/{number}.bin", secrets.token_bytes(64)
            fleet.files[name] = chip.report(nonce, version=5 if product == "Turin" else 3)
            fleet.files[name + ".certs"] = snp.certificate_table(chip.certificates())
            fleet.line(
                "sev-snp",
                name,
                endorsements={"auxblob": name + ".certs"},
                collateral=f"snp/{product}/certs",
                anchors=[{"certificate": f"snp/{product}/ark.pem", "line": pki.line}],
                expectedReportData=nonce.hex(),
                requireChecked=["revocation"],
            )


def _dcap(fleet: Fleet, count: int, *, td: bool) -> None:
    kind = "tdx" if td else "sgx"
    pki = dcap.mint_intel(fleet.now)
    fleet.add(kind, {"root.pem": dcap.pem(pki.root.certificate)})
    for number in range(count):
        platform = dcap.make_platform(pki, td=td, fmspc=secrets.token_bytes(6))
        fleet.add(f"{kind}/{number}", dcap.collateral_files(platform, fleet.now - timedelta(days=1), fleet.now + _DAYS))
        nonce = secrets.token_bytes(32)
        extended = td and number % 2 == 1
        body = dcap.td_report(report_data=nonce, extended=extended) if td else dcap.enclave_report(report_data=nonce)
        fleet.files[f"{kind}/{number}.quote"] = platform.quote(body, version=5 if extended else 4 if td else 3)
        fleet.line(
            kind,
            f"{kind}/{number}.quote",
            collateral=f"{kind}/{number}",
            anchors=[f"{kind}/root.pem"],
            nonce=nonce.hex(),
            equals={"tcbStatus": "UpToDate"},
            requireChecked=["revocation", "tcb"],
        )


def _nitro(fleet: Fleet, count: int, *, tpm: bool) -> None:
    kind = "nitro-tpm" if tpm else "nitro-enclave"
    pki = nitro.mint_pki(fleet.now)
    fleet.add(kind, {"root.pem": nvidia.pem(pki.chain[0].certificate)})
    for number in range(count):
        name, nonce = f"{kind}/{number}.cose", secrets.token_bytes(20)
        key = ec.generate_private_key(ec.SECP256R1())
        public = nitro.point(key) if tpm else None
        fleet.files[name] = nitro.document(pki, fleet.now, tpm=tpm, nonce=nonce, public_key=public)
        members: dict[str, Any] = {}
        if tpm:
            pcrs = nitro.payload(pki, fleet.now, tpm=True)["nitrotpm_pcrs"]
            fleet.files[name + ".quote"], fleet.files[name + ".signature"] = nitro.tpm_quote(key, pcrs, nonce)
            members = {
                "endorsements": {"tpm-quote": name + ".quote", "tpm-quote-signature": name + ".signature"},
                "requireChecked": ["binding"],
            }
        fleet.line(kind, name, anchors=[f"{kind}/root.pem"], nonce=nonce.hex(), **members)


def _nvidia(fleet: Fleet, count: int) -> None:
    pki = nvidia.mint_pki(fleet.now)
    roots = {"device.pem": pki.device_root.certificate, "rim.pem": pki.rim_chain[0].certificate}
    fleet.add("nvidia", {name: nvidia.pem(data) for name, data in roots.items()})
    for number in range(count):
        for kind in ("nvidia-gpu", "nvswitch"):
            device = nvidia.make_device(
                pki, switch=kind == "nvswitch", blackwell=kind == "nvidia-gpu" and number % 2 == 1
            )
            name, nonce = f"nvidia/{kind}-{number}", secrets.token_bytes(32)
            fleet.files[f"{name}.txt"] = device.report(nonce).hex().encode()
            fleet.files[f"{name}.pem"] = device.chain_pem
            fleet.add(name, {**nvidia.rims_for(device), **nvidia.answers_for(device, fleet.now)})
            fleet.line(
                kind,
                f"{name}.txt",
                endorsements={"device-chain": f"{name}.pem"},
                collateral=name,
                anchors=["nvidia/device.pem", "nvidia/rim.pem"],
                nonce=nonce.hex(),
                requireChecked=["revocation", "measurements"],
            )


def _nras(fleet: Fleet, count: int) -> None:
    pki = nras.mint_pki(fleet.now)
    fleet.add("nras", {"intermediate.pem": nvidia.pem(pki.intermediate.certificate)})
    fleet.files["nras/jwks.json"] = json.dumps({"keys": [nras.jwk(pki)]}).encode()
    for number in range(count):
        nonce = secrets.token_bytes(32)
        devices = {"GPU-0": nras.device_token(pki, fleet.now, nonce)}
        fleet.files[f"nras/{number}.json"] = nras.eat(pki, fleet.now, nonce, devices)
        fleet.line(
            "nras",
            f"nras/{number}.json",
            collateral=["nras/jwks.json"],
            anchors=["nras/intermediate.pem"],
            nonce=nonce.hex(),
        )


def _sample(fleet: Fleet, count: int) -> None:
    for number in range(count):
        fleet.files[f"sample/{number}.json"] = b'{"svn":"1","report_data":"AAECAw=="}'
        fleet.line(
            "coco-sample",
            f"sample/{number}.json",
            anchors=[{"vendor": "coco-sample-insecure"}],
            expectedReportData="00010203",
        )


_MAKERS: Final[tuple[Callable[[Fleet, int], None], ...]] = (
    _snp,
    lambda fleet, count: _dcap(fleet, count, td=True),
    lambda fleet, count: _dcap(fleet, count, td=False),
    lambda fleet, count: _nitro(fleet, count, tpm=False),
    lambda fleet, count: _nitro(fleet, count, tpm=True),
    _nvidia,
    _nras,
    _sample,
)


def mint_fleet(now: datetime, count: int = 2) -> Fleet:
    """Machines of every kind, all good at `now`; `count` of each kind, for SNP of each product line."""
    fleet = Fleet(now)
    for make in _MAKERS:
        make(fleet, count)
    return fleet


__all__ = ["KINDS", "Fleet", "mint_fleet"]
