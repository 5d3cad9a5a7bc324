"""Evidence from the kernel's TSM report interface (Linux `configfs-tsm`), or from a folder of the same shape.

`<tsm>/report/<name>/` is made, `inblob` (1 to 64 bytes) is written, `outblob`, `auxblob` and `provider` are read; `generation`
must count exactly the writes of this caller, else somebody else used the entry in between. Source: Linux
`Documentation/ABI/testing/configfs-tsm` (6.7).
"""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.sev_snp import table

KERNEL_FOLDER = Path("/sys/kernel/config/tsm")
"""Where a confidential VM's kernel offers the interface."""

_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class TsmReport:
    """What the interface gave.

    Attributes:
        provider: `sev_guest`, `tdx_guest` or a simulator's word for the same.
        report: the evidence's bytes.
        certificates: by type (vcek, vlek, ask, ark), DER; empty where the platform sends none.
    """

    provider: str
    report: bytes
    certificates: dict[str, bytes]


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


def get_report(folder: Path, report_data: bytes) -> TsmReport:
    """Ask for evidence over `report_data` (padded right with zeros to 64 bytes).

    Raises:
        OperatorError: `QNSP-GST-001`: the interface is not there or does not answer.
        PeerError: `QNSP-GST-003`: another caller changed the entry meanwhile.
    """
    reports = folder / "report"
    if not reports.is_dir():
        raise OperatorError(
            "QNSP-GST-001",
            f"{reports} does not exist: no TEE interface here",
            next_step="run inside a confidential VM, or give the folder of a running simulator in `tsm`",
        )
    entry = reports / f"qnsp-{secrets.token_hex(8)}"
    entry.mkdir()
    try:
        _wait_for(entry / "generation")
        before = int(_read_answer(entry / "generation"))
        padded = report_data.ljust(64, b"\0")
        (entry / "inblob").write_bytes(padded)
        report = _answer_to(entry, padded, before + 1)
        certificates = b""
        with contextlib.suppress(OSError):
            certificates = (entry / "auxblob").read_bytes()
        provider = _read_answer(entry / "provider").decode().strip()
        if int(_read_answer(entry / "generation")) != before + 1:
            raise PeerError("QNSP-GST-003", "the TSM entry was written by somebody else", subject=str(entry))
        found = table.parse(certificates) if certificates and provider == "sev_guest" else {}
        return TsmReport(provider, report, {name: der for name, der in found.items() if not name.startswith("other:")})
    finally:
        _remove(entry)


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


__all__ = ["KERNEL_FOLDER", "TsmReport", "get_report"]
