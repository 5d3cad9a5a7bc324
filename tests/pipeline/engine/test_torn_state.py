"""State that broke off anywhere is an error with a next step; it is never taken for nothing, for less, or for another."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.kernel.processes_edge import ProcessIdentity, identify
from qnsp_policy.pipeline.engine import lease, records
from qnsp_policy.pipeline.engine.order import ApplyRecord
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedUnit
from qnsp_policy.testing.engine_toys import trust_root

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    """One of every record."""
    store = FileBackend(tmp_path)
    records.write_genesis(store, Genesis("toy", trust_root(), NOW))
    records.write_run(store, records.RunState(3, records.APPLIED, "sha256:1", "sha256:2", trust_root()))
    records.write_unit(store, RecordedUnit("platform/lab", "platform", "sha256:1", {"a": [1]}, applied_at=NOW))
    records.write_apply(store, ApplyRecord(3, "sha256:1", (), NOW, NOW))
    return store


@pytest.mark.parametrize("key", ["genesis.json", "run.json", "units/platform/lab.json", "applies/3.json"])
def test_a_record_that_broke_off_anywhere_is_told(backend: FileBackend, tmp_path: Path, key: str) -> None:
    """At every offset, the empty file included; only the last line break may be missing."""
    found = backend.get(key)
    assert found is not None
    whole = found[0]
    for length in range(len(whole) - 1):
        (tmp_path / "qnsp" / key).write_bytes(whole[:length])
        with pytest.raises(EngineError, match="QNSP-ENG-041") as caught:
            records.read_apply(backend, 3) if key.startswith("applies/") else records.read_state(backend)
        assert caught.value.subject == key
        assert caught.value.next_step
    backend.put(key, whole)
    assert records.read_state(backend).serial == 3


def test_a_lease_that_broke_off_anywhere_is_not_free(backend: FileBackend) -> None:
    """Whoever cannot read who holds it does not hold it."""
    with lease.Lease.acquire(backend, purpose="apply"):
        held = backend.get(lease.KEY)
    assert held is not None
    for length in range(0, len(held[0]) - 2, 3):
        backend.put(lease.KEY, held[0][:length])
        with pytest.raises(OperatorError, match="QNSP-LCK-003"):
            lease.Lease.acquire(backend, purpose="apply")


@pytest.mark.parametrize("change", ["another process with its id", "before the last boot"])
def test_a_process_id_that_was_used_again_is_not_the_owner(backend: FileBackend, change: str) -> None:
    """Our own id with another start, or of another boot, is nobody: the lease is taken over and says so."""
    me = identify(os.getpid())
    assert me is not None
    other = (
        ProcessIdentity(me.pid, me.start - 1, me.boot)
        if change.startswith("another")
        else ProcessIdentity(me.pid, me.start, "00000000-0000-0000-0000-000000000000")
    )
    with lease.Lease.acquire(backend, purpose="apply") as held:
        record = held.record
    dead = lease.LeaseRecord(record.token, record.user, record.host, other, "apply", NOW, NOW.replace(year=2099))
    backend.put(lease.KEY, lease._bytes(dead))
    with lease.Lease.acquire(backend, purpose="apply") as mine:
        assert mine.took_over == dead
        assert "taken over from" in mine.record.takeover


def test_foreign_files_in_the_store_are_no_state(backend: FileBackend, tmp_path: Path) -> None:
    """What lies about beside our records is not read; a record under units/ that is none stops everything."""
    (tmp_path / "qnsp" / "foreign.json").write_text("{}")
    assert list(records.read_state(backend).units) == ["platform/lab"]
    backend.put("units/x/foreign.json", b"{}")
    with pytest.raises(EngineError, match="QNSP-ENG-041"):
        records.read_state(backend)
