"""The ledger knows of every apply, also of one that was killed before it could say so; and it notices a state that went back."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.order import ApplyRecord, Status, UnitOutcome
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.values import Op
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.world.recorded import Genesis
from qnsp_policy.testing.generator import generated_files
from qnsp_policy.workflows.journal import Journal, settle, summary
from qnsp_policy.workflows.runtime import open_backend, open_ledger, write_genesis
from qnsp_policy.workflows.state import state_export, state_import

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLAN = "sha256:" + "5" * 64


def applied(serial: int, status: Status = Status.APPLIED, units: int = 1) -> ApplyRecord:
    outcomes = tuple(UnitOutcome(f"enclave/e-{n}", Op.CREATE, status) for n in range(units))
    return ApplyRecord(serial, PLAN, outcomes, NOW, NOW)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a genesis record."""
    folder = tmp_path / "lab"
    folder.mkdir()
    for name, data in generated_files(8).items():
        (folder / name).write_bytes(data)
    workspace = load(folder)
    write_genesis(open_backend(folder, workspace), Genesis("lab", trust_root_value(workspace), NOW))
    return folder


def ran(root: Path, serial: int, *, status: str = records.APPLIED, said: bool = True) -> Workspace:
    """State as an apply leaves it; with what it recorded of itself, or killed before."""
    workspace = load(root)
    backend = open_backend(root, workspace)
    records.write_run(backend, records.RunState(serial, status, PLAN))
    if said:
        records.write_apply(backend, applied(serial))
    return workspace


def noted(root: Path) -> list[tuple[str, dict[str, object]]]:
    return [(record.type, dict(record.data)) for _, record in open_ledger(root, load(root)).log.records()]


def test_an_apply_killed_before_its_record_is_recorded_once(root: Path) -> None:
    """By the next command that holds the lease, as late; a second look adds nothing."""
    workspace = ran(root, 1)
    assert settle(root, workspace, now=NOW) is not None
    left = open_ledger(root, workspace).log.folder / "checkpoint.dsse.json.new"
    left.write_bytes(b"of a writer that was killed behind its checkpoint")
    assert settle(root, workspace, now=NOW) is None
    assert not left.exists()
    assert noted(root) == [("apply", {**summary(applied(1)), "late": True})]


def test_an_apply_killed_at_work_is_recorded_as_interrupted(root: Path) -> None:
    """Nobody knows what it did; that it was there is not lost."""
    settle(root, ran(root, 1, status=records.RUNNING, said=False), now=NOW)
    assert noted(root) == [("apply", {"serial": 1, "interrupted": True, "late": True})]


@pytest.mark.parametrize("destroy", [True, False])
def test_a_destroy_killed_before_it_said_its_end_has_come_to_it(root: Path, *, destroy: bool) -> None:
    """Where no unit is left; an apply that was killed before its first unit has not."""
    workspace = ran(root, 1, status=records.RUNNING, said=False)
    payload = jcs({"formatVersion": "1.0", "options": {"destroy": destroy}})
    envelope = dsse.sign(dsse.PLAN_TYPE, payload, SoftwareSigner("alice", (generate("Ed25519"),)))
    backend = open_backend(root, workspace)
    backend.put(records.plan_key(PLAN), envelope.to_json())
    settle(root, workspace, now=NOW)
    assert records.read_run(backend).status == (records.APPLIED if destroy else records.RUNNING)


def test_an_apply_that_said_so_is_not_recorded_again(root: Path) -> None:
    """The ordinary end."""
    workspace = ran(root, 1)
    Journal(open_ledger(root, workspace), open_backend(root, workspace), "apply", "bob", NOW).ended(applied(1))
    assert settle(root, workspace, now=NOW) is None


def test_very_many_units_fit_into_an_entry(root: Path) -> None:
    """Counted and digested instead of named; those that failed are named."""
    workspace = load(root)
    journal = Journal(open_ledger(root, workspace), open_backend(root, workspace), "apply", "bob", NOW)
    journal.ended(applied(1, units=10_000))
    journal.ended(applied(2, Status.FAILED, units=5_000))
    (_, first), (_, second) = noted(root)
    assert (first["units"], first["counts"]) == ([], {"create applied": 10_000})
    assert isinstance(second["units"], list)
    assert len(second["units"]) == 400


def test_a_state_put_back_by_hand_is_noticed(root: Path, tmp_path: Path) -> None:
    """A copy of an older folder: refused by the next apply; a restore that the ledger knows is not."""
    settle(root, ran(root, 1), now=NOW)
    shutil.copytree(root / ".qnsp/state", tmp_path / "old")
    state_export(root, tmp_path / "old.json", now=NOW)
    settle(root, ran(root, 2), now=NOW)
    shutil.rmtree(root / ".qnsp/state")
    shutil.copytree(tmp_path / "old", root / ".qnsp/state")
    with pytest.raises(OperatorError, match="QNSP-OPS-076"):
        settle(root, load(root), now=NOW)
    with pytest.raises(OperatorError, match="QNSP-OPS-075"):
        state_import(root, tmp_path / "old.json", force=False, now=NOW)
    state_import(root, tmp_path / "old.json", force=True, now=NOW)
    assert settle(root, load(root), now=NOW) is None
    assert noted(root)[-1] == ("restore", {"serial": 1})
