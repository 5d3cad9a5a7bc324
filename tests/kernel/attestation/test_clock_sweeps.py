"""The verdict changes exactly where the material says: at each beginning and end of every certificate, list, document and token.

The moments are read out of the bytes themselves, by readers that judge nothing; they are not written down here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.x509 import ocsp

from qnsp_policy.kernel.attestation.batch import Batch
from qnsp_policy.kernel.attestation.collateral import is_ocsp
from qnsp_policy.kernel.attestation.x509 import CertificateError, load_certificate, load_crl, split_pem
from qnsp_policy.simulator.fleet import Fleet, mint_fleet
from qnsp_policy.testing.memory_files import MemoryFiles
from tests.kernel.attestation.recorded import RECORDED

SECOND = timedelta(seconds=1)
NOW = datetime(2027, 5, 4, 3, 2, 1, tzinfo=UTC)
Window = tuple[datetime, datetime]
_TIME = re.compile(rb'"(issueDate|nextUpdate)":"([0-9TZ:-]+)"')
_XML = re.compile(rb"X509Certificate>([^<]+)<")
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{20,}\.([A-Za-z0-9_-]{20,})\.[A-Za-z0-9_-]{20,}")
_X5C = re.compile(rb'"(MII[A-Za-z0-9+/=]{200,})"')


def _certificates(data: bytes) -> Iterator[Window]:
    """Certificates within any bytes: DER as it lies there, PEM, base64 in XML and in key sets."""
    encoded = split_pem(data)
    encoded += [base64.b64decode(found) for found in (*_XML.findall(data), *_X5C.findall(data))]
    for match in re.finditer(b"\x30\x82", data):
        size = 4 + int.from_bytes(data[match.end() : match.end() + 2], "big")
        encoded.append(data[match.start() : match.start() + size])
    for one in encoded:
        try:
            certificate = load_certificate(one)
        except CertificateError:
            continue
        yield certificate.not_before, certificate.not_after


def _lists(data: bytes) -> Iterator[Window]:
    """CRLs: the whole of the bytes, or hex within JSON."""
    for one in (data, *(bytes.fromhex(found.decode()) for found in re.findall(rb'"((?:[0-9a-f]{2}){100,})"', data))):
        try:
            crl = load_crl(one)
        except CertificateError:
            continue
        assert crl.next_update is not None
        yield crl.this_update, crl.next_update


def _documents(data: bytes) -> Iterator[Window]:
    """TCB info and QE identity: their two times follow one another."""
    times = [datetime.fromisoformat(text.decode()) for _, text in _TIME.findall(data)]
    yield from zip(times[::2], times[1::2], strict=True)


def _answers(data: bytes) -> Iterator[Window]:
    if is_ocsp(data):
        answer = ocsp.load_der_ocsp_response(data)
        assert answer.next_update_utc is not None
        yield answer.this_update_utc, answer.next_update_utc


def _tokens(data: bytes) -> Iterator[Window]:
    """JWTs: `exp` itself is outside (RFC 7519 section 4.1.4)."""
    for part in _TOKEN.findall(data):
        claims = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
        begin, end = (datetime.fromtimestamp(claims[name], UTC) for name in ("nbf", "exp"))
        yield begin, end - SECOND


def windows(parts: Iterable[bytes]) -> list[Window]:
    """Every beginning and end in the material."""
    found: list[Window] = []
    for part in parts:
        text = part.replace(b"\\n", b"\n").replace(b'\\"', b'"') if part[:1] == b"{" else part
        for reader in (_certificates, _lists, _documents, _answers, _tokens):
            found += reader(text)
    return list(dict.fromkeys(found))


def moments(found: list[Window]) -> tuple[datetime, datetime, list[datetime]]:
    """When all of it holds, and each moment at which something could change, a second before and after it too."""
    begin, end = max(one[0] for one in found), min(one[1] for one in found)
    edges = {edge for window in found for edge in window}
    around = {edge + step for edge in edges for step in (-SECOND, 0 * SECOND, SECOND) if edge.year < 9999}
    return begin, end, sorted(around)


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_evidence_holds_exactly_while_all_of_it_does(name: str) -> None:
    """A real piece of evidence is accepted at each moment within the intersection of all its windows, and at none outside."""
    recorded = RECORDED[name]()
    begin, end, around = moments(windows((*recorded.parts().values(), *recorded.beside.values())))
    assert begin <= recorded.now <= end
    for moment in around:
        assert (recorded.judge(now=moment) is not None) is (begin <= moment <= end), moment


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return mint_fleet(NOW)


def material(fleet: Fleet, line: Mapping[str, Any]) -> list[bytes]:
    """Evidence, endorsements and collateral of a line of the fleet."""
    files = MemoryFiles(fleet.files)
    named = line.get("collateral", [])
    collateral = files.folder(named).values() if isinstance(named, str) else [files.read(name) for name in named]
    return [files.read(name) for name in (line["evidence"], *line.get("endorsements", {}).values())] + list(collateral)


@pytest.mark.parametrize(
    "kind", ["sev-snp", "tdx", "sgx", "nitro-enclave", "nitro-tpm", "nvidia-gpu", "nvswitch", "nras"]
)
def test_minted_evidence_holds_exactly_while_all_of_it_does(fleet: Fleet, kind: str) -> None:
    """The same for minted evidence of each kind, with its whole collateral, judged as lines of a batch."""
    line = next(line for line in fleet.lines if line["kind"] == kind)
    begin, end, around = moments(windows(material(fleet, line)))
    batch = Batch(MemoryFiles(fleet.files), NOW)
    assert begin <= NOW <= end
    for moment in around:
        answer = batch.answer({**line, "now": moment.isoformat()})
        assert (answer["verdict"] == "accepted") is (begin <= moment <= end), (moment, answer["detail"])
