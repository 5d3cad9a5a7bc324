"""NitroTPM's document through an NV index, against a simulated TPM that counts every byte, and against one that lies."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cbor2
import pytest

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nitro_tpm.verify import verify
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, Evidence, EvidenceKind
from qnsp_policy.services.guest.attesters import nitro_tpm
from qnsp_policy.simulator import nitro
from qnsp_policy.simulator.nitro_devices import DeviceSocket, SimulatedNsm, SimulatedTpm

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def pki() -> nitro.NitroPki:
    return nitro.mint_pki(NOW)


@pytest.fixture
def tpm(pki: nitro.NitroPki) -> SimulatedTpm:
    return SimulatedTpm(SimulatedNsm(pki, lambda: NOW, tpm=True))


def test_a_document_verifies_and_nothing_is_left_in_the_tpm(tpm: SimulatedTpm, pki: nitro.NitroPki) -> None:
    """The NV index that carried it is gone afterwards."""
    report = nitro_tpm.get_report(tpm.transmit, b"\x07" * 48)
    anchor = Anchor("aws", pki.bundle[0], AssuranceClass.SIMULATED)
    claims = verify(Evidence(report.kind, report.data), collateral=Collateral(), anchors=[anchor], now=NOW)
    assert (claims.kind, claims.report_data) == (EvidenceKind.NITRO_TPM, b"\x07" * 48)
    assert tpm.indices == {}


@pytest.mark.parametrize("piece", [64, 333, 1024, 2048, 8192])
def test_pieces_of_any_size(tpm: SimulatedTpm, piece: int) -> None:
    """Request and answer cross in as many pieces as the TPM wants."""
    tpm.piece = piece
    document = nitro_tpm.attestation_document(tpm.transmit, user_data=b"u" * 512, public_key=b"\xff" * 1024)
    payload = cbor2.loads(cbor2.loads(document)[2])
    assert (payload["user_data"], payload["public_key"]) == (b"u" * 512, b"\xff" * 1024)


def test_through_a_socket(tpm: SimulatedTpm, tmp_path: Path) -> None:
    """The stream that swtpm offers too."""
    served = DeviceSocket(tmp_path / "tpm", tpm.transmit, stream=True)
    try:
        assert nitro_tpm.get_report(nitro_tpm.transmit_with(served.path), bytes(48)).data
    finally:
        served.close()


def test_an_index_that_is_taken_in_between_is_passed_over(tpm: SimulatedTpm) -> None:
    """Another program defined it after we looked."""
    refusals = [b"\x80\x01\0\0\0\x0a\0\0\x01\x4c"]

    def transmit(command: bytes) -> bytes:
        if command[6:10] == bytes.fromhex("0000012a") and refusals:
            return refusals.pop()
        return tpm.transmit(command)

    assert nitro_tpm.get_report(transmit, bytes(48)).data
    assert not refusals


class Refusing(SimulatedNsm):
    """A module that fails."""

    def exchange(self, request: bytes) -> bytes:
        return cbor2.dumps({"Error": "InternalError"})


def test_a_refusal_of_the_module_is_told_and_the_index_is_freed(tpm: SimulatedTpm) -> None:
    """An error answer is shorter than the request whose place it takes: what follows it is not looked at."""
    tpm.module = Refusing(tpm.module.pki, tpm.module.clock)
    with pytest.raises(PeerError, match=r"QNSP-GST-042: .*InternalError"):
        nitro_tpm.get_report(tpm.transmit, bytes(48))
    assert tpm.indices == {}


def answered(code: int, answer: bytes) -> Callable[[SimulatedTpm], Callable[[bytes], bytes]]:
    def lying(tpm: SimulatedTpm) -> Callable[[bytes], bytes]:
        return lambda command: answer if command[6:10] == code.to_bytes(4, "big") else tpm.transmit(command)

    return lying


def response(parameters: bytes, *, tag: int = 0x8002, code: int = 0) -> bytes:
    return struct.pack(">HII", tag, 10 + len(parameters), code) + parameters


LIES = {
    "no-nitro-tpm": (answered(0x20000001, response(b"", tag=0x8001, code=0x143)), "QNSP-GST-045.*0x143"),
    "locked-out": (answered(0x137, response(b"", tag=0x8001, code=0x921)), "QNSP-GST-045.*NV_Write"),
    "no-nv-left": (answered(0x12A, response(b"", tag=0x8001, code=0x14B)), "QNSP-GST-045"),
    "empty-answer": (answered(0x17A, b""), "QNSP-GST-044"),
    "cut-header": (answered(0x17A, b"\x80\x01\0"), "QNSP-GST-044"),
    "another-size": (answered(0x17A, response(b"", tag=0x8001)[:-4] + b"\0\0\0\0\0"), "QNSP-GST-044"),
    "another-tag": (answered(0x17A, response(bytes(17))), "QNSP-GST-044"),
    "capability-cut": (answered(0x17A, response(b"\0\0\0\0\6", tag=0x8001)), "QNSP-GST-044"),
    "capability-longer-than-it-says": (
        answered(0x17A, response(struct.pack(">BII", 0, 6, 9) + bytes(8), tag=0x8001)),
        "QNSP-GST-044",
    ),
    "piece-of-nothing": (
        answered(0x17A, response(struct.pack(">BIIII", 0, 6, 1, 0x12C, 0), tag=0x8001)),
        "QNSP-GST-044",
    ),
    "parameters-past-the-end": (answered(0x14E, response(struct.pack(">I", 999))), "QNSP-GST-044"),
    "read-of-another-size": (answered(0x14E, response(struct.pack(">IH", 2, 0) + bytes(5))), "QNSP-GST-044"),
    "read-that-lies-about-its-size": (answered(0x14E, response(struct.pack(">IH", 3, 9) + b"x")), "QNSP-GST-044"),
    "too-long": (answered(0x14E, response(bytes(5000))), "QNSP-GST-044"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_tpm_that_lies_is_refused(tpm: SimulatedTpm, name: str) -> None:
    """Every answer is held to its own lengths."""
    lie, code = LIES[name]
    with pytest.raises(PeerError, match=code):
        nitro_tpm.get_report(lie(tpm), bytes(48))


def test_a_device_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    """A missing device says what an instance needs; a plain file is none; another device is no TPM."""
    with pytest.raises(OperatorError, match="QNSP-GST-046") as refused:
        nitro_tpm.transmit_with(tmp_path / "tpmrm0")
    assert "TPM support" in (refused.value.next_step or "")
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match=r"QNSP-GST-046: .* neither"):
        nitro_tpm.transmit_with(tmp_path / "file")
    with pytest.raises(PeerError, match="QNSP-GST-044"):
        nitro_tpm.get_report(nitro_tpm.transmit_with(Path("/dev/null")), bytes(48))
