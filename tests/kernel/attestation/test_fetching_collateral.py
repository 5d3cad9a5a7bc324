"""Collateral from vendors: fetched over loopback in the vendors' shapes, kept by content, carried as a bundle, watched for its end."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import tarfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.x509 import ocsp

from qnsp_policy.cli.main import main
from qnsp_policy.kernel.attestation.collateral_times import window_of
from qnsp_policy.kernel.attestation.needs import ENDPOINTS, needs_of, needs_of_rim
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind
from qnsp_policy.simulator import dcap, nras, nvidia, snp

NOW = datetime(2027, 3, 9, 8, 0, 0, tzinfo=UTC)
BEGIN, END = NOW - timedelta(days=1), NOW + timedelta(days=30)
STAMP = "2027-03-09T08:00:00Z"


class Vendors:
    """One loopback server that answers as AMD, Intel and NVIDIA do, for machines that it minted."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: dict[str, int] = {}
        self.amd = snp.mint_pki("Turin", NOW, key_size=2048)
        self.chip = snp.make_chip(self.amd, NOW)
        self.intel = dcap.mint_intel(NOW)
        self.platform = dcap.make_platform(self.intel, td=True)
        self.nvidia = nvidia.mint_pki(NOW)
        self.gpu = nvidia.make_device(self.nvidia)
        self.nras = nras.mint_pki(NOW)
        vendors = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, body: bytes = b"") -> None:
                vendors.asked.append(self.path)
                status = next((code for part, code in vendors.broken.items() if part in self.path), 0)
                data, headers = vendors.respond(self.path, body) if not status else (b"", {})
                self.send_response(status or 200)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def respond(self, path: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        if body:
            request = ocsp.load_der_ocsp_request(body)
            signers = tuple(reversed(self.nvidia.rim_chain))
            for child, issuer in (*itertools.pairwise(self.gpu.chain[1:]), *itertools.pairwise(signers)):
                answer = nvidia.ocsp_answer(child, issuer, NOW)
                if ocsp.load_der_ocsp_response(answer).serial_number == request.serial_number:
                    return answer, {}
            raise AssertionError("asked about a certificate that is not the device's")
        files = dcap.collateral_files(self.platform, BEGIN, END)
        chain = quote(files["tcb-signing-chain.pem"])
        leaf = f"/vcek/v1/Turin/{self.chip.chip_id[:8].hex()}?fmcSPL=01&blSPL=03&teeSPL=00&snpSPL=14&ucodeSPL=209"
        rims = {f"/v1/rim/{name.removesuffix('.xml')}": data for name, data in nvidia.rims_for(self.gpu).items()}
        if path in rims:
            digest = hashlib.sha256(rims[path]).hexdigest()
            return json.dumps({"id": path, "rim": base64.b64encode(rims[path]).decode(), "sha256": digest}).encode(), {}
        answers: dict[str, tuple[bytes, dict[str, str]]] = {
            leaf: (self.chip.certificate, {}),
            "/vcek/v1/Turin/cert_chain": (nvidia.pem(self.amd.ask.certificate) + self.amd.ark_pem.encode(), {}),
            "/vcek/v1/Turin/crl": (self.amd.crl(this_update=BEGIN, next_update=END), {}),
            f"/tdx/certification/v4/tcb?fmspc={self.platform.fmspc.hex()}": (
                files["tcb-info.json"],
                {"TCB-Info-Issuer-Chain": chain},
            ),
            "/tdx/certification/v4/qe/identity": (
                files["qe-identity.json"],
                {"SGX-Enclave-Identity-Issuer-Chain": chain},
            ),
            "/sgx/certification/v4/pckcrl?ca=platform&encoding=der": (
                files["pck.crl"],
                {"SGX-PCK-CRL-Issuer-Chain": quote(dcap.pem(self.platform.ca.certificate))},
            ),
            "/IntelSGXRootCA.der": (files["root-ca.crl"], {}),
            "/.well-known/jwks.json": (json.dumps({"keys": [nras.jwk(self.nras)]}).encode(), {}),
        }
        return answers[path]


@pytest.fixture
def vendors() -> Iterator[Vendors]:
    made = Vendors()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def room(vendors: Vendors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Evidence of four vendors on disk, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    nonce = bytes(range(32))
    devices = {"GPU-0": nras.device_token(vendors.nras, NOW, nonce)}
    files = {
        "snp": vendors.chip.report(bytes(64), version=5),
        "tdx": vendors.platform.quote(dcap.td_report(report_data=b"")),
        "gpu": vendors.gpu.report(nonce),
        "gpu.pem": vendors.gpu.chain_pem,
        "nras": nras.eat(vendors.nras, NOW, nonce, devices),
        "snp.root": vendors.amd.ark_pem.encode(),
        "tdx.root": dcap.pem(vendors.intel.root.certificate),
        "gpu.root": nvidia.pem(vendors.nvidia.device_root.certificate),
        "rim.root": nvidia.pem(vendors.nvidia.rim_chain[0].certificate),
        "nras.root": nvidia.pem(vendors.nras.intermediate.certificate),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *line: object, code: int = 0) -> Any:
    capsys.readouterr()
    got = main([*map(str, line), "--now", STAMP, "--format", "json"])
    said = capsys.readouterr().out
    assert got == code, said
    return json.loads(said)


def fetched(
    capsys: pytest.CaptureFixture[str], vendors: Vendors, room: Path, name: str, *more: object, code: int = 0
) -> Any:
    endpoints = [word for one in ENDPOINTS for word in ("--endpoint", f"{one}={vendors.url}")]
    along = ["--endorsement", f"device-chain={room / 'gpu.pem'}"] if name == "gpu" else []
    line = ["attest", "collateral", "fetch", room / name, *endpoints, *along, "--out", room / f"{name}.collateral"]
    return run(capsys, *line, *more, code=code)


@pytest.mark.parametrize(
    ("name", "files", "more"),
    [
        ("snp", 3, []),
        ("tdx", 7, []),
        ("gpu", 8, ["--endorsement", "device-chain={room}/gpu.pem", "--anchor", "{room}/rim.root"]),
        ("nras", 1, []),
    ],
)
def test_fetched_collateral_verifies(
    capsys: pytest.CaptureFixture[str], vendors: Vendors, room: Path, name: str, files: int, more: list[str]
) -> None:
    """What was fetched is all that verification needs: nothing about revocation stays unchecked."""
    found = fetched(capsys, vendors, room, name)
    assert len(found["files"]) == files
    assert {one["state"] for one in found["files"]} == {"valid"}
    line = ["attest", "verify", room / name, "--collateral", room / f"{name}.collateral", "--allow-simulated"]
    line += ["--anchor", room / f"{name}.root", *(word.format(room=room) for word in more)]
    demanded = [] if name == "nras" else ["--require-checked", "revocation"]
    demanded += ["--require-checked", "rim-revocation"] if name == "gpu" else []
    answer = run(capsys, *line, *demanded)
    assert answer["verdict"] == "accepted", answer["detail"]
    assert answer["results"]["revocation"] == ("not checked" if name == "nras" else "simulated")


def test_cache_answers_while_it_holds(capsys: pytest.CaptureFixture[str], vendors: Vendors, room: Path) -> None:
    """A second fetch asks nobody; --refresh asks again; a damaged cache is not believed."""
    first = fetched(capsys, vendors, room, "tdx")
    count = len(vendors.asked)
    again = fetched(capsys, vendors, room, "tdx")
    assert len(vendors.asked) == count
    assert [one["sha256"] for one in again["files"]] == [one["sha256"] for one in first["files"]]
    fetched(capsys, vendors, room, "tdx", "--refresh")
    assert len(vendors.asked) == 2 * count
    for blob in (room / "cache/qnsp-policy/collateral/blobs").iterdir():
        blob.write_bytes(b"other")
    fetched(capsys, vendors, room, "tdx")
    assert len(vendors.asked) == 3 * count


@pytest.mark.parametrize(
    ("part", "status", "code"), [("crl", 404, "QNSP-OPS-101"), ("cert_chain", 302, "QNSP-OPS-101")]
)
def test_vendor_that_answers_otherwise(
    capsys: pytest.CaptureFixture[str], vendors: Vendors, room: Path, part: str, status: int, code: str
) -> None:
    """An error or a redirect of a vendor ends the fetch; nothing half-fetched is left to be believed."""
    vendors.broken[part] = status
    assert fetched(capsys, vendors, room, "snp", code=1)["errors"][0]["code"] == code
    assert not (room / "snp.collateral").exists()


def test_vendor_that_is_not_there(capsys: pytest.CaptureFixture[str], room: Path) -> None:
    """Nobody at the address, and an endpoint of an unknown name."""
    line = ["attest", "collateral", "fetch", room / "nras", "--out", room / "x", "--endpoint"]
    assert run(capsys, *line, "nras=http://127.0.0.1:9", code=1)["errors"][0]["code"] == "QNSP-OPS-100"
    assert run(capsys, *line, "abacus=http://127.0.0.1:9", code=1)["errors"][0]["code"] == "QNSP-OPS-104"


def test_bundle_for_an_air_gap(capsys: pytest.CaptureFixture[str], vendors: Vendors, room: Path) -> None:
    """A bundle carries addresses, digests and ends; laid out it verifies as before; altered it is refused whole."""
    fetched(capsys, vendors, room, "snp")
    packed = run(capsys, "attest", "collateral", "bundle", room / "snp.collateral", "--out", room / "b.tar")
    assert all(one["url"].startswith(vendors.url) and one["ends"] for one in packed["files"])
    run(capsys, "attest", "collateral", "bundle", room / "b.tar", "--unpack", room / "laid")
    names = sorted(path.name for path in (room / "laid").iterdir() if not path.name.startswith("."))
    assert names == [one["name"] for one in packed["files"]]
    data = bytearray((room / "b.tar").read_bytes())
    data[len(bytes(data).rstrip(b"\0")) - 1] ^= 1
    (room / "bad.tar").write_bytes(data)
    refused = run(capsys, "attest", "collateral", "bundle", room / "bad.tar", "--unpack", room / "no", code=1)
    assert refused["errors"][0]["code"] == "QNSP-OPS-103"
    assert not (room / "no").exists()


@pytest.mark.parametrize("member", ["../out", "/abs", "link"])
def test_bundle_that_leaves_its_folder(capsys: pytest.CaptureFixture[str], room: Path, member: str) -> None:
    """Names that leave the folder, and links, are refused."""
    with tarfile.open(room / "evil.tar", "w") as archive:
        info = tarfile.TarInfo(member)
        info.type, info.linkname = (tarfile.SYMTYPE, "/etc/passwd") if member == "link" else (tarfile.REGTYPE, "")
        archive.addfile(info, io.BytesIO(b""))
    refused = run(capsys, "attest", "collateral", "bundle", room / "evil.tar", "--unpack", room / "no", code=1)
    assert refused["errors"][0]["code"] == "QNSP-OPS-103"


def test_status_shows_what_ends(capsys: pytest.CaptureFixture[str], vendors: Vendors, room: Path) -> None:
    """Each file with its end; exit code 2 once one has ended."""
    fetched(capsys, vendors, room, "tdx")
    line = ["attest", "collateral", "status", str(room / "tdx.collateral"), "--format", "json"]
    for moment, code in ((END, 0), (END + timedelta(seconds=1), 2), (BEGIN - timedelta(days=2), 2)):
        capsys.readouterr()
        assert main([*line, "--now", moment.strftime("%Y-%m-%dT%H:%M:%SZ")]) == code
        found = json.loads(capsys.readouterr().out)["files"]
        assert any(one["state"] != "valid" for one in found) is (code == 2)


def test_windows_of_files() -> None:
    """What a file is, and that what says nothing of time is unknown, never valid."""
    pki = nvidia.mint_pki(NOW)
    device = nvidia.make_device(pki)
    name, rim = next(iter(nvidia.rims_for(device).items()))
    assert window_of(name, rim).what == "RIM"
    answer = next(iter(nvidia.answers_for(device, NOW).values()))
    assert window_of("1.ocsp", answer).what == "OCSP answer"
    assert window_of("1.ocsp", b"x").what == "unreadable"
    assert window_of("notes.txt", b"x").state(NOW) == "unknown"
    assert window_of("x.json", b"{").what == "other"
    bundle = (Path(__file__).parents[2] / "vectors/tdx/phala_tdx_quote_collateral.json").read_bytes()
    window = window_of("x.json", bundle)
    assert (window.what, str(window.ends)) == ("quote collateral", "2025-07-19 10:00:35+00:00")
    assert window_of("x.json", bundle.replace(b'"pck_crl": "3', b'"pck_crl": "x')).what == "unreadable"


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(EvidenceKind.NVIDIA_GPU, nvidia.make_device(nvidia.mint_pki(NOW)).report(bytes(32))),
        Evidence(EvidenceKind.TDX, b"x"),
        Evidence(EvidenceKind.SEV_SNP, b"x"),
    ],
    ids=["no device chain", "no quote", "no report"],
)
def test_evidence_that_says_too_little(evidence: Evidence) -> None:
    """Evidence that cannot be read needs nothing: it is refused."""
    with pytest.raises(EvidenceError):
        needs_of(evidence)


@pytest.mark.parametrize(
    "document",
    [b"<x/>", b"no XML", nvidia.sign_rim(nvidia.mint_pki(NOW).rim_chain[-1:], nvidia.rim_tree({}, version="1"))],
)
def test_rims_without_signers(document: bytes) -> None:
    """A RIM whose signers cannot be read, or that names one alone, is no reason to ask anybody."""
    with pytest.raises(EvidenceError):
        needs_of_rim(document)


def test_what_needs_nothing() -> None:
    """Nitro documents bring their chain; nothing is fetched for them."""
    assert needs_of(Evidence(EvidenceKind.NITRO_ENCLAVE, b"x")) == ()
