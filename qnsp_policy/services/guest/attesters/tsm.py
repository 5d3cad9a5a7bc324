"""Evidence from the kernel's TSM report interface (Linux `configfs-tsm`), or from a folder of the same shape.

`<tsm>/report/<name>/` is made, `inblob` (1 to 64 bytes) is written, `outblob`, `auxblob` and `provider` are read; `generation`
must count exactly the writes of this caller, else somebody else used the entry in between. Source: Linux
`Documentation/ABI/testing/configfs-tsm` (6.7).
"""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.sev_snp import table
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.services.guest.attesters.report import AttesterReport

KERNEL_FOLDER = Path("/sys/kernel/config/tsm")
"""Where a confidential VM's kernel offers the interface."""

_WAIT_SECONDS = 10.0


_KINDS = {"sev_guest": EvidenceKind.SEV_SNP, "tdx_guest": EvidenceKind.TDX}


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise OperatorError(
                "QNSP-GST-001", f"no {path.name} appeared in {path.parent} within {_WAIT_SECONDS:.0f} s"
            )
        time.sleep(0.01)


def _read_answer(path: Path) -> bytes:
    """Read an attribute; a simulator behind a plain folder may need a moment where a kernel answers within the call."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            data = path.read_bytes()
            if data:
                return data
        if time.monotonic() > deadline:
            raise OperatorError("QNSP-GST-001", f"{path} stayed empty for {_WAIT_SECONDS:.0f} s")
        time.sleep(0.01)


def get_report(folder: Path, report_data: bytes) -> AttesterReport:
    """Ask for evidence over `report_data` (padded right with zeros to 64 bytes).

    Raises:
        OperatorError: `QNSP-GST-001`: the interface is not there or does not answer.
        OperatorError: `QNSP-GST-005`: it is of a provider that nothing here speaks for.
        PeerError: `QNSP-GST-003`: another caller changed the entry meanwhile.
    """
    entry = _new_entry(folder)
    try:
        _wait_for(entry / "generation")
        before = int(_read_answer(entry / "generation"))
        padded = report_data.ljust(64, b"\0")
        (entry / "inblob").write_bytes(padded)
        report = _answer_to(entry, padded, before + 1)
        certificates = b""
        with contextlib.suppress(OSError):
            certificates = (entry / "auxblob").read_bytes()
        kind = _provider(entry)
        if int(_read_answer(entry / "generation")) != before + 1:
            raise PeerError("QNSP-GST-003", "the TSM entry was written by somebody else", subject=str(entry))
        found = table.parse(certificates) if certificates and kind is EvidenceKind.SEV_SNP else {}
        return AttesterReport(kind, report, {name: der for name, der in found.items() if not name.startswith("other:")})
    finally:
        _remove(entry)


def _new_entry(folder: Path) -> Path:
    reports = folder / "report"
    if not reports.is_dir():
        raise OperatorError(
            "QNSP-GST-001",
            f"{reports} does not exist: no TEE interface here",
            next_step="run inside a confidential VM, or give the folder of a running simulator in `tsm`",
        )
    entry = reports / f"qnsp-{secrets.token_hex(8)}"
    entry.mkdir()
    return entry


def kind_of(folder: Path) -> EvidenceKind:
    """Which TEE stands behind the folder, before any report is asked for; raises as `get_report`."""
    entry = _new_entry(folder)
    try:
        _wait_for(entry / "provider")
        return _provider(entry)
    finally:
        _remove(entry)


def _provider(entry: Path) -> EvidenceKind:
    provider = _read_answer(entry / "provider").decode("ascii", "replace").strip()
    if provider not in _KINDS:
        raise OperatorError(
            "QNSP-GST-005", f"evidence of provider {provider[:40]!r} is not spoken here", subject=provider[:40]
        )
    return _KINDS[provider]


def _answer_to(entry: Path, report_data: bytes, generation: int) -> bytes:
    """The outblob that answers the write just made: in a plain folder an older one may stand there for a moment."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        if int(_read_answer(entry / "generation")) >= generation:
            report = _read_answer(entry / "outblob")
            if report_data in report:
                return report
        if time.monotonic() > deadline:
            raise OperatorError("QNSP-GST-001", f"{entry} did not take the request within {_WAIT_SECONDS:.0f} s")
        time.sleep(0.01)


def _remove(entry: Path) -> None:
    """Remove an entry: configfs does it with its attributes by rmdir; a plain folder has to be emptied first."""
    with contextlib.suppress(OSError):
        entry.rmdir()
        return
    with contextlib.suppress(OSError):
        for attribute in entry.iterdir():
            attribute.unlink(missing_ok=True)
        entry.rmdir()


__all__ = ["KERNEL_FOLDER", "get_report", "kind_of"]
