"""Evidence through the kernel's folder: the simulator offers it as plain files, the guest cannot tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.services.guest.attesters.tsm import get_report
from qnsp_policy.simulator.config import SimulatorConfig
from qnsp_policy.simulator.machine import SnpMachine
from qnsp_policy.simulator.tsm import TsmFolder
from qnsp_policy.testing.services import SimulatedMember


@pytest.fixture
def folder(tmp_path: Path, member: SimulatedMember) -> Iterator[Path]:
    """A simulator's folder that is answered by a thread."""
    machine = SnpMachine(
        member.chip, member.measurement, member.host_data, SimulatorConfig(tmp_path, tmp_path, tmp_path)
    )
    served, stop = TsmFolder(tmp_path, machine), threading.Event()

    def answer() -> None:
        while not stop.wait(0.002):
            served.poll()

    thread = threading.Thread(target=answer)
    thread.start()
    yield tmp_path
    stop.set()
    thread.join()


def test_a_report_binds_what_was_asked_and_brings_its_chain(folder: Path, member: SimulatedMember) -> None:
    """48 bytes are padded right to 64; the certificate table is read; the entry is gone afterwards."""
    report = get_report(folder, b"\x07" * 48)
    assert report.kind is EvidenceKind.SEV_SNP
    assert report.data[0x50:0x90] == b"\x07" * 48 + bytes(16)
    assert report.certificates == member.chip.certificates()
    assert list((folder / "report").iterdir()) == []


def test_many_at_once_do_not_mix(folder: Path) -> None:
    """Each caller has an entry of its own."""
    found: dict[int, bytes] = {}

    def ask(number: int) -> None:
        found[number] = get_report(folder, bytes([number]) * 64).data[0x50:0x90]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: bytes([number]) * 64 for number in range(1, 9)}


def test_without_the_interface_it_is_said_what_is_missing(tmp_path: Path) -> None:
    """On an ordinary machine there is no TEE."""
    with pytest.raises(OperatorError, match="QNSP-GST-001") as refused:
        get_report(tmp_path, bytes(64))
    assert "simulator" in (refused.value.next_step or "")
