"""A log in a folder: what is appended is durable and provable, crashes lose nothing, tampering is told."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import LockHeld, OperatorError, PeerError
from qnsp_policy.kernel.crypto.keyfile_edge import write_key_file
from qnsp_policy.kernel.crypto.keys import PublicKey, generate
from qnsp_policy.kernel.crypto.signer import JointSigner, SoftwareSigner
from qnsp_policy.kernel.ledger.proof import parse_proof, verify_proof
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import CHECKPOINT, STATEMENT, FileLedger, LedgerReader
from qnsp_policy.kernel.ledger.tree import verify_consistency

ORIGIN = "qnsp.example/quickstart"
NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
SIGNER = SoftwareSigner.of("log", [generate("Ed25519"), generate("ML-DSA-44")])


def record(number: int, **data: Any) -> LedgerRecord:
    return LedgerRecord("release", NOW, "broker/main", "clinic/model/minilm", {"number": number, **data})


def fill(folder: Path, count: int) -> FileLedger:
    log = FileLedger(folder, ORIGIN, SIGNER)
    log.append_many([record(number) for number in range(count)], NOW)
    return log


def test_records_are_appended_read_and_proven(tmp_path: Path) -> None:
    """Every record of a log that crosses tiles is read back and proven offline; the past stays the past."""
    log = FileLedger(tmp_path, ORIGIN, SIGNER)
    heads = [log.append(record(number), NOW).checkpoint for number in range(5)]
    log.append_many([record(number) for number in range(5, 530)], NOW)
    last = log.append(record(530), NOW)
    assert last.index == 530
    reader = LedgerReader(tmp_path, ORIGIN, SIGNER.public_keys)
    assert reader.size == 531
    for index in (0, 4, 255, 256, 511, 512, 530):
        assert reader.read(index).data["number"] == index
        proof = parse_proof(reader.prove(index).to_bytes())
        assert verify_proof(proof, reader.entry(index), ORIGIN, reader.keys).index == index
    for head in heads:
        verify_consistency(head.size, 531, reader.consistency(head.size), head.root, last.checkpoint.root)
    assert [index for index, _ in reader.entries(250, 260)] == list(range(250, 260))
    assert sum(1 for _ in reader.records()) == 531
    assert reader.check() == last.checkpoint


def test_the_layout_is_that_of_tlog_tiles(tmp_path: Path) -> None:
    """Only the tiles of the published size are left, under the specification's names."""
    log = fill(tmp_path, 3)
    log.append_many([record(number) for number in range(300)], NOW)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        ".begun",
        ".lock",
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/47",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/47",
    }


def test_two_writers_take_turns(tmp_path: Path) -> None:
    """A second writer continues where the first stopped, and threads do not interleave."""
    first, second = FileLedger(tmp_path, ORIGIN, SIGNER), FileLedger(tmp_path, ORIGIN, SIGNER)
    threads = [
        threading.Thread(target=lambda log=log: [log.append(record(n), NOW) for n in range(10)])
        for log in (first, second, first)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first.size == 30
    assert first.check() is not None


def test_threads_share_checkpoints(tmp_path: Path) -> None:
    """Many at once get an index each, in one log that checks; an error of the batch reaches everyone who waited."""
    log = FileLedger(tmp_path, ORIGIN, SIGNER)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: log.append(record(number), NOW), range(64)))
    assert sorted(one.index for one in found) == list(range(64))
    assert all(log.read(one.index).data["number"] == number for number, one in enumerate(found))
    assert len({one.checkpoint.size for one in found}) <= 64
    log.check()
    failing = FailingLedger(tmp_path, 0, OSError(errno.ENOSPC, "No space left on device"))
    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(lambda number: _caught(failing, number), range(8)))
    assert set(errors) == {"QNSP-LDG-010"}
    assert log.size == 64


def _caught(log: FileLedger, number: int) -> str:
    with pytest.raises(OperatorError) as caught:
        log.append(record(number), NOW)
    return caught.value.code


def test_a_held_lock_is_told(tmp_path: Path) -> None:
    """Somebody who writes for too long is named, and nothing is written beside them."""
    log = fill(tmp_path, 1)
    with log._locked(), pytest.raises(LockHeld, match="QNSP-LDG-017"):
        FileLedger(tmp_path, ORIGIN, SIGNER, lock_seconds=0.05).append(record(1), NOW)


class FailingLedger(FileLedger):
    """Stops at the n-th step (staging or revealing a file), as a full disk or a crash would."""

    def __init__(self, folder: Path, after: int, error: BaseException) -> None:
        super().__init__(folder, ORIGIN, SIGNER)
        self.left, self.error = after, error

    def _step(self) -> None:
        if self.left == 0:
            raise self.error
        self.left -= 1

    def _stage(self, path: str, data: bytes) -> None:
        try:
            self._step()
        except BaseException:
            super()._stage(path, data[: len(data) // 2])
            raise
        super()._stage(path, data)

    def _reveal(self, path: str) -> Path:
        self._step()
        return super()._reveal(path)


@pytest.mark.parametrize("before", [0, 3, 254, 255, 256])
@pytest.mark.parametrize("after", range(10))
def test_a_crash_at_any_write_loses_nothing(tmp_path: Path, before: int, after: int) -> None:
    """Whatever was published before stays readable and provable, and appending goes on with other records."""
    if before:
        fill(tmp_path, before)
    crashing = FailingLedger(tmp_path, after, KeyboardInterrupt())
    try:
        crashing.append_many([record(number) for number in range(900, 907)], NOW)
        published = before + 7
    except KeyboardInterrupt:
        published = before if LedgerReader(tmp_path, ORIGIN, SIGNER.public_keys).size == before else before + 7
    log = FileLedger(tmp_path, ORIGIN, SIGNER)
    assert log.size == published
    for number in range(3):
        log.append(record(1000 + number), NOW)
    assert log.size == published + 3
    assert [log.read(published + number).data["number"] for number in range(3)] == [1000, 1001, 1002]
    log.check()
    assert not list(tmp_path.rglob("*.new"))


def test_a_disk_that_fails_after_the_checkpoint_stands_is_told_so(tmp_path: Path) -> None:
    """The record is there, so the error does not say that nothing was recorded; it is not to be repeated."""

    class Unconfirmed(FileLedger):
        def _reveal(self, path: str) -> Path:
            folder = super()._reveal(path)
            if path == CHECKPOINT:
                raise OSError(errno.EIO, "Input/output error")
            return folder

    fill(tmp_path, 5)
    with pytest.raises(OperatorError, match="QNSP-LDG-010") as caught:
        Unconfirmed(tmp_path, ORIGIN, SIGNER).append(record(5), NOW)
    assert "The records stand" in str(caught.value.next_step)
    log = FileLedger(tmp_path, ORIGIN, SIGNER)
    assert log.size == 6
    log.check()


@pytest.mark.parametrize("after", range(6))
def test_a_full_disk_is_an_operators_error(tmp_path: Path, after: int) -> None:
    """ENOSPC names the ledger and the next step; the same process can go on once there is room."""
    fill(tmp_path, 5)
    log = FailingLedger(tmp_path, after, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OperatorError, match="QNSP-LDG-010") as caught:
        log.append(record(5), NOW)
    assert caught.value.next_step is not None
    log.left = 100
    assert log.append(record(5), NOW).index == 5
    log.check()


def test_a_killed_process(tmp_path: Path) -> None:
    """SIGKILL in the middle of appending leaves a log that checks and goes on."""
    keys = tmp_path / "keys.json"
    write_key_file(keys, "log", SIGNER.keys)
    program = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file\n"
        "from qnsp_policy.kernel.crypto.signer import JointSigner, SoftwareSigner\n"
        "from qnsp_policy.kernel.ledger.record import LedgerRecord\n"
        "from qnsp_policy.kernel.ledger.store_edge import FileLedger\n"
        "now = datetime(2026, 11, 21, tzinfo=UTC)\n"
        f"log = FileLedger(Path({str(tmp_path / 'log')!r}), {ORIGIN!r}, SoftwareSigner.of('log', read_key_file(Path({str(keys)!r})).keys))\n"
        "for number in range(100000):\n"
        "    print(log.append(LedgerRecord('release', now, 'a', 'b', {'number': number}), now).index, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = -1
    stop = random.Random(7).randrange(20, 60)
    for text in child.stdout:
        said = int(text)
        if said == stop:
            child.kill()
            break
    child.stdout.close()
    child.wait()
    log = FileLedger(tmp_path / "log", ORIGIN, SIGNER)
    assert log.size >= said + 1
    log.append(record(1), NOW)
    log.check()


def test_a_changed_entry_is_told(tmp_path: Path) -> None:
    """Whoever edits an entry, a tile or the checkpoint is found out by `check`."""
    for path in ("tile/entries/000", "tile/0/000", "tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1"):
        folder = tmp_path / hashlib.sha256(path.encode()).hexdigest()[:8]
        fill(folder, 300)
        data = bytearray((folder / path).read_bytes())
        data[-2] ^= 1
        (folder / path).write_bytes(bytes(data))
        with pytest.raises(PeerError, match=r"QNSP-LDG-015"):
            LedgerReader(folder, ORIGIN, SIGNER.public_keys).check()


def test_a_changed_checkpoint_stops_reader_and_writer(tmp_path: Path) -> None:
    """Nothing is appended to a log whose head does not verify."""
    fill(tmp_path, 3)
    head = tmp_path / "checkpoint"
    head.write_text(head.read_text().replace("\n3\n", "\n2\n", 1))
    with pytest.raises(PeerError, match="QNSP-LDG-007"):
        LedgerReader(tmp_path, ORIGIN, SIGNER.public_keys).checkpoint()
    with pytest.raises(PeerError, match="QNSP-LDG-007"):
        FileLedger(tmp_path, ORIGIN, SIGNER).append(record(3), NOW)
    other = SoftwareSigner.of("x", [generate("Ed25519"), generate("ML-DSA-44")])
    with pytest.raises(PeerError, match=r"QNSP-LDG-00[67]"):
        FileLedger(tmp_path, ORIGIN, other).append(record(3), NOW)


def test_a_log_that_went_back_is_told(tmp_path: Path) -> None:
    """An old copy under a running writer is refused, not continued."""
    log = fill(tmp_path / "log", 3)
    shutil.copytree(tmp_path / "log", tmp_path / "old")
    log.append(record(3), NOW)
    shutil.rmtree(tmp_path / "log")
    shutil.move(tmp_path / "old", tmp_path / "log")
    with pytest.raises(PeerError, match="QNSP-LDG-018"):
        log.append(record(3), NOW)


def test_a_lost_checkpoint_is_no_new_log(tmp_path: Path) -> None:
    """A log that was begun is never begun again over its entries."""
    log = fill(tmp_path, 3)
    (tmp_path / "checkpoint").unlink()
    with pytest.raises(OperatorError, match="QNSP-LDG-014"):
        log.append(record(3), NOW)
    with pytest.raises(OperatorError, match="QNSP-LDG-014"):
        LedgerReader(tmp_path, ORIGIN, SIGNER.public_keys).checkpoint()


def test_a_lost_tile_is_told(tmp_path: Path) -> None:
    """A hole in the log is an error that names the file."""
    fill(tmp_path, 300)
    (tmp_path / "tile" / "entries" / "000").unlink()
    with pytest.raises(PeerError, match="QNSP-LDG-016"):
        LedgerReader(tmp_path, ORIGIN, SIGNER.public_keys).read(3)


def test_a_reader_with_an_older_checkpoint(tmp_path: Path) -> None:
    """A reader that took the checkpoint just before the writer went on finds its entries in the wider tiles."""
    log = fill(tmp_path, 3)
    old = (tmp_path / "checkpoint").read_bytes()
    log.append_many([record(number) for number in range(3, 8)], NOW)
    (tmp_path / "checkpoint").write_bytes(old)
    reader = LedgerReader(tmp_path, ORIGIN, SIGNER.public_keys)
    assert reader.read(2).data["number"] == 2
    assert verify_proof(reader.prove(1), reader.entry(1), ORIGIN, reader.keys).index == 1
    with pytest.raises(OperatorError, match="QNSP-LDG-013"):
        reader.read(3)


def test_an_empty_log(tmp_path: Path) -> None:
    """Nothing is there yet, and that is no error."""
    reader = LedgerReader(tmp_path / "none", ORIGIN, SIGNER.public_keys)
    assert reader.checkpoint() is None
    assert reader.check() is None
    assert list(reader.entries()) == []
    for ask in (reader.read, reader.prove):
        with pytest.raises(OperatorError, match="QNSP-LDG-013"):
            ask(0)
    with pytest.raises(OperatorError, match="QNSP-LDG-013"):
        reader.consistency(1)
    assert FileLedger(tmp_path, ORIGIN, SIGNER).append_many([], NOW) == ()


def _strong(folder: Path, count: int) -> tuple[FileLedger, LedgerReader]:
    signer = SoftwareSigner.of("log", [*SIGNER.keys, generate("ML-DSA-87")])
    log = FileLedger(folder, ORIGIN, signer)
    for number in range(count):
        log.append(record(number), NOW)
    return log, LedgerReader(folder, ORIGIN, signer.public_keys)


def test_strong_keys_state_every_checkpoint(tmp_path: Path) -> None:
    """An ML-DSA-87 key of the log signs a DSSE statement over each checkpoint, which reading verifies."""
    log, reader = _strong(tmp_path, 1)
    assert reader.stated() == reader.check() == log.checkpoint()
    for number in range(1, 300):
        log.append(record(number), NOW)
    stated = reader.stated()
    assert stated is not None
    assert stated.size == 300


def test_a_statement_that_was_left_behind_covers_what_it_covers(tmp_path: Path) -> None:
    """An append that ended between checkpoint and statement: the older statement holds, and the next record renews it."""
    log, reader = _strong(tmp_path, 5)
    old = (tmp_path / STATEMENT).read_bytes()
    log.append(record(5), NOW)
    (tmp_path / STATEMENT).write_bytes(old)
    head, stated = reader.check(), reader.stated()
    assert (head and head.size, stated and stated.size) == (6, 5)
    log.append(record(6), NOW)
    assert reader.stated() == reader.check()


@pytest.mark.parametrize("damage", ["gone", "bit", "another key", "not JSON"])
def test_a_statement_that_does_not_verify_is_told(damage: str, tmp_path: Path) -> None:
    """Missing, altered, by another key, unreadable: the log is not whole."""
    _, reader = _strong(tmp_path / "log", 2)
    path = tmp_path / "log" / STATEMENT
    if damage == "gone":
        path.unlink()
    elif damage == "another key":
        _strong(tmp_path / "other", 2)
        path.write_bytes((tmp_path / "other" / STATEMENT).read_bytes())
    else:
        data = path.read_bytes()
        path.write_bytes(b"{" if damage == "not JSON" else data.replace(b'"sig":"', b'"sig":"A', 1))
    with pytest.raises(PeerError, match="QNSP-LDG-019"):
        reader.check()


def test_a_log_that_went_back_behind_what_was_stated(tmp_path: Path) -> None:
    """The file keys alone could sign a shorter or another history; the statement gives it away."""
    log, reader = _strong(tmp_path / "log", 3)
    early = (tmp_path / "log" / CHECKPOINT).read_bytes()
    log.append(record(3), NOW)
    (tmp_path / "log" / CHECKPOINT).write_bytes(early)
    with pytest.raises(PeerError, match="QNSP-LDG-018"):
        reader.check()
    forged = FileLedger(tmp_path / "forged", ORIGIN, SIGNER)
    forged.append_many([record(number, forged=True) for number in range(4)], NOW)
    shutil.copy(tmp_path / "log" / STATEMENT, tmp_path / "forged" / STATEMENT)
    with pytest.raises(PeerError, match="QNSP-LDG-015"):
        LedgerReader(tmp_path / "forged", ORIGIN, reader.public_keys).check()


def test_nothing_is_written_when_a_key_elsewhere_does_not_sign(tmp_path: Path) -> None:
    """A KMS that cannot be asked: the record is refused before the log changes, and goes through later."""

    class Away(SoftwareSigner):
        away = True

        def sign_with(self, key: PublicKey, data: bytes) -> bytes:
            if Away.away and key.algorithm == "ML-DSA-65":
                raise OperatorError("QNSP-KEY-021", "AWS KMS did not sign")
            return SoftwareSigner.sign_with(self, key, data)

    signer = JointSigner("log", (SIGNER, Away("kms", (generate("ML-DSA-65"),))))
    log = FileLedger(tmp_path, ORIGIN, signer)
    with pytest.raises(OperatorError, match="QNSP-KEY-021"):
        log.append(record(0), NOW)
    assert log.size == 0
    Away.away = False
    log.append(record(0), NOW)
    assert LedgerReader(tmp_path, ORIGIN, signer.public_keys).check() == log.checkpoint()


def test_a_read_only_folder(tmp_path: Path) -> None:
    """A folder that cannot be made is an operator's error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="QNSP-LDG-010"):
        FileLedger(tmp_path / "file" / "log", ORIGIN, SIGNER)


def test_records_have_one_form() -> None:
    """Canonical JSON of at most 65535 bytes, and nothing else is read as a record."""
    good = record(1)
    assert LedgerRecord.from_bytes(good.to_bytes()) == good
    with pytest.raises(OperatorError, match="QNSP-LDG-012"):
        record(1, text="x" * 65536).to_bytes()
    for data in (
        b"",
        b"[]",
        b"{}",
        good.to_bytes() + b" ",
        good.to_bytes().replace(b"release", b"Release"),
        os.urandom(9),
    ):
        with pytest.raises(PeerError, match=r"QNSP-LDG-008"):
            LedgerRecord.from_bytes(data)
    with pytest.raises(ValueError, match="lower-case"):
        LedgerRecord("Release", NOW, "a", "b", {})
    with pytest.raises(ValueError, match="zone"):
        LedgerRecord("release", datetime(2026, 1, 1), "a", "b", {})  # noqa: DTZ001
