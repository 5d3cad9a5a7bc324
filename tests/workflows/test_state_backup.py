"""The whole state goes into one file and comes back, into the same backend or another; a drill of losing it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qnsp_policy.errors import LockHeld, OperatorError, QnspError
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.lease import Lease
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedUnit
from qnsp_policy.testing.generator import generated_files
from qnsp_policy.workflows.runtime import open_backend, recorded_state, write_genesis
from qnsp_policy.workflows.state import state_export, state_import, state_list

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def make(root: Path, workspace_id: str = "lab", serial: int = 3) -> Path:
    """A workspace with a recorded unit and something of Pulumi's."""
    for name, data in generated_files(8).items():
        root.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    workspace = load(root)
    backend = open_backend(root, workspace)
    write_genesis(backend, Genesis(workspace_id, trust_root_value(workspace), NOW))
    unit = RecordedUnit("platform/lab", "platform", "sha256:" + "1" * 64, {"a": 1}, plan_digest="sha256:" + "2" * 64)
    records.write_unit(backend, unit)
    records.write_run(backend, records.RunState(serial, records.APPLIED, "sha256:" + "2" * 64, "", None))
    stacks = root / ".qnsp/state/pulumi/.pulumi/stacks/qnsp"
    stacks.mkdir(parents=True)
    (stacks / "platform.lab.json").write_text('{"version": 3}')
    locks = root / ".qnsp/state/pulumi/.pulumi/locks"
    locks.mkdir()
    (locks / "x.json").write_text("{}")
    return root


def test_a_lost_state_folder_is_restored(tmp_path: Path) -> None:
    """Export, lose everything, import: what was recorded is recorded again, Pulumi's own too; locks and lease are not."""
    root = make(tmp_path / "lab")
    before = state_list(root)
    made = state_export(root, tmp_path / "backup.json", now=NOW)
    assert made["units"] == 1
    assert (tmp_path / "backup.json").stat().st_mode & 0o777 == 0o600
    shutil.rmtree(root / ".qnsp/state")
    state_import(root, tmp_path / "backup.json", force=False, now=NOW)
    assert state_list(root) == before
    assert (root / ".qnsp/state/pulumi/.pulumi/stacks/qnsp/platform.lab.json").read_text() == '{"version": 3}'
    assert not (root / ".qnsp/state/pulumi/.pulumi/locks").exists()
    records.read_state(open_backend(root, load(root))).judge()


def test_an_older_state_comes_back_only_by_force(tmp_path: Path) -> None:
    """A newer serial is not overwritten by accident; units that the older state lacks are gone afterwards."""
    root = make(tmp_path / "lab")
    state_export(root, tmp_path / "backup.json", now=NOW)
    backend = open_backend(root, load(root))
    records.write_unit(backend, RecordedUnit("broker/main", "broker", "sha256:" + "3" * 64, {}))
    records.write_run(backend, records.RunState(4, records.APPLIED, "sha256:" + "4" * 64, "", None))
    with pytest.raises(OperatorError, match="QNSP-OPS-075"):
        state_import(root, tmp_path / "backup.json", force=False, now=NOW)
    assert recorded_state(root, load(root)).serial == 4
    state_import(root, tmp_path / "backup.json", force=True, now=NOW)
    assert [unit["id"] for unit in state_list(root)["units"]] == ["platform/lab"]


def test_another_workspace_is_never_overwritten(tmp_path: Path) -> None:
    """Not even by force."""
    state_export(make(tmp_path / "lab"), tmp_path / "backup.json", now=NOW)
    other = make(tmp_path / "other", workspace_id="other", serial=1)
    with pytest.raises(OperatorError, match="QNSP-OPS-075"):
        state_import(other, tmp_path / "backup.json", force=True, now=NOW)


def test_an_import_that_broke_off_is_read_by_nobody_and_done_again(tmp_path: Path) -> None:
    """Between its first write and its last nothing takes what is there for a state; the same command ends it."""
    root = make(tmp_path / "lab")
    before = state_list(root)
    state_export(root, tmp_path / "backup.json", now=NOW)
    records.begin_import(open_backend(root, load(root)))
    with pytest.raises(OperatorError, match="QNSP-ENG-053"):
        state_list(root)
    state_import(root, tmp_path / "backup.json", force=False, now=NOW)
    assert state_list(root) == before


@pytest.mark.parametrize("name", ["run.json", "genesis.json", "units/platform/lab.json"])
def test_a_torn_record_is_replaced_by_a_backup(tmp_path: Path, name: str) -> None:
    """Whatever is torn: who is told to put back a backup can; whose state it is must be said where nothing tells it."""
    root = make(tmp_path / "lab")
    before = state_list(root)
    state_export(root, tmp_path / "backup.json", now=NOW)
    path = root / ".qnsp/state/qnsp" / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(QnspError, match="QNSP-ENG-041"):
        state_list(root)
    if name == "genesis.json":
        with pytest.raises(OperatorError, match="QNSP-OPS-075"):
            state_import(root, tmp_path / "backup.json", force=False, now=NOW)
    state_import(root, tmp_path / "backup.json", force=name == "genesis.json", now=NOW)
    assert state_list(root) == before


@pytest.mark.parametrize("damage", ["torn", "changed", "escape", "format"])
def test_a_damaged_backup_is_refused_before_anything_is_written(tmp_path: Path, damage: str) -> None:
    """Torn, changed, of another format, or naming files outside the backend."""
    root = make(tmp_path / "lab")
    backup = tmp_path / "backup.json"
    state_export(root, backup, now=NOW)
    value = json.loads(backup.read_text())
    if damage == "changed":
        value["files"]["qnsp/genesis.json"] = "e30="
    elif damage == "escape":
        value["files"] = {"../../x": "e30="}
    elif damage == "format":
        value["format"] = "qnsp.state-export/v2"
    text = json.dumps(value)
    backup.write_text(text[: len(text) // 2] if damage == "torn" else text)
    before = open_backend(root, load(root)).files()
    with pytest.raises(OperatorError, match="QNSP-OPS-074"):
        state_import(root, backup, force=True, now=NOW)
    assert open_backend(root, load(root)).files() == before


def test_nothing_is_exported_while_somebody_is_at_work(tmp_path: Path) -> None:
    """A backup is of one moment."""
    root = make(tmp_path / "lab")
    with Lease.acquire(open_backend(root, load(root)), purpose="apply"), pytest.raises(LockHeld):
        state_export(root, tmp_path / "backup.json", now=NOW)
    assert not (tmp_path / "backup.json").exists()


GOLDEN = Path(__file__).parents[1] / "goldens" / "state-v1"


def test_what_the_first_version_exported_is_still_restored(tmp_path: Path) -> None:
    """An export of format v1, with the records of its time, is read, restored and judged by this version."""
    root = tmp_path / "lab"
    root.mkdir()
    for name, data in generated_files(8).items():
        (root / name).write_bytes(data)
    found = state_import(root, GOLDEN / "export.json", force=False, now=NOW)
    assert found["serial"] == 3
    assert state_list(root) == json.loads((GOLDEN / "listed.json").read_bytes())
    unit = recorded_state(root, load(root)).units["enclave/clinic"]
    assert (unit.inputs, unit.depends_on) == ({"processes": []}, ("platform/lab",))
    assert unit.outputs == {"members": []}


def test_a_state_of_a_later_version_is_refused_and_kept(tmp_path: Path) -> None:
    """Records that this program does not know are told, not guessed at, and stay as they are."""
    root = make(tmp_path / "lab")
    path = root / ".qnsp/state/qnsp/run.json"
    later = path.read_bytes().replace(b"/v1", b"/v9")
    assert later != path.read_bytes()
    path.write_bytes(later)
    with pytest.raises(QnspError, match="QNSP-ENG-041"):
        state_list(root)
    assert path.read_bytes() == later
