"""What a run of the line needs of its workspace on disk: backend, ledger, genesis, operator's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file, write_key_file
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import AppendedRecord, FileLedger
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.world.backend import Backend
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedState
from qnsp_policy.workflows.keys import KEYS

LEDGER_KEYS = KEYS / "ledger.json"
LEDGER_ALGORITHMS = ("Ed25519", "ML-DSA-44", "ML-DSA-65")


def open_backend(root: Path, workspace: Workspace) -> Backend:
    """Where the state of this workspace lies.

    Raises:
        OperatorError: a backend of a kind that is not there yet.
    """
    url = str(workspace.project.spec.backend.url)
    scheme, _, path = url.partition("://")
    if scheme != "file":
        raise OperatorError(
            "QNSP-OPS-060",
            f"backends of kind {scheme}:// are not there yet",
            subject=url,
            next_step="use file://.qnsp/state",
        )
    return FileBackend(Path(path) if path.startswith("/") else root / path)


@dataclass(frozen=True, slots=True)
class WorkspaceLedger:
    """The workspace's own log."""

    log: FileLedger

    def note(self, type_: str, *, actor: str, subject: str, data: Mapping[str, Any], now: datetime) -> AppendedRecord:
        """Append one record; durable on return."""
        return self.log.append(LedgerRecord(type_, now, actor, subject, data), now)


def open_ledger(root: Path, workspace: Workspace) -> WorkspaceLedger:
    """The log as its writer; its keys are made at the first use."""
    path = root / LEDGER_KEYS
    if not path.exists():
        write_key_file(path, "ledger", tuple(generate(algorithm) for algorithm in LEDGER_ALGORITHMS))
    found = read_key_file(path)
    spec = workspace.project.spec.ledger
    return WorkspaceLedger(FileLedger(root / str(spec.path), str(spec.origin), SoftwareSigner(found.name, found.keys)))


def write_genesis(backend: Backend, genesis: Genesis) -> None:
    """The record that says who judges the first plan."""
    records.write_genesis(backend, genesis)


def recorded_state(root: Path, workspace: Workspace) -> RecordedState:
    """What was applied; takes no lock, starts nothing."""
    return records.read_state(open_backend(root, workspace))


__all__ = ["LEDGER_KEYS", "WorkspaceLedger", "open_backend", "open_ledger", "recorded_state", "write_genesis"]
