"""A log in a folder, in the C2SP tlog-tiles layout that other tools read: `checkpoint`, `tile/<L>/<N>`, `tile/entries/<N>`.

Comes in: records. Goes out: entries, proofs, checkpoints. One writer at a time (a lock file), many readers.
Safe against crashes: tiles are made durable first, the checkpoint is replaced last and in one step; what a crash leaves
beyond the checkpoint was never published and is overwritten. A checkpoint that went back, or whose signature does not
verify, stops the log.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from qnsp_policy.errors import LockHeld, OperatorError, PeerError, QnspError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.crypto.signer import Signer
from qnsp_policy.kernel.files_edge import make_folder, sync_folder
from qnsp_policy.kernel.ledger.checkpoint import (
    Checkpoint,
    log_keys,
    sign_checkpoint,
    verify_checkpoint,
)
from qnsp_policy.kernel.ledger.note import NoteKey, check_name
from qnsp_policy.kernel.ledger.proof import InclusionProof
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.statement import state_checkpoint, stated_checkpoint, strong_keys
from qnsp_policy.kernel.ledger.tiles import (
    ENTRIES,
    WIDTH,
    Edge,
    decode_entries,
    decode_hashes,
    edge_widths,
    grow,
    parse_tile_path,
    tile_path,
)
from qnsp_policy.kernel.ledger.tree import (
    SubtreeHash,
    complete_root,
    consistency_path,
    inclusion_path,
    leaf_hash,
)

CHECKPOINT: Final = "checkpoint"
STATEMENT: Final = "checkpoint.dsse.json"
_LOCK: Final = ".lock"
_BEGUN: Final = ".begun"
_NEW: Final = ".new"
_ORPHANS: Final = ".orphans"


@dataclass(frozen=True, slots=True)
class AppendedRecord:
    """A record that is durable and covered by a published checkpoint.

    Attributes:
        index: of the entry, from 0.
        leaf_hash: 32 bytes.
        checkpoint: the signed tree head that covers it.
    """

    index: int
    leaf_hash: bytes
    checkpoint: Checkpoint


@dataclass(slots=True)
class _Ticket:
    """What one caller waits for."""

    entries: Sequence[bytes]
    now: datetime
    result: tuple[AppendedRecord, ...] = ()
    error: QnspError | None = None
    done: bool = False


class LedgerReader:
    """Reads a log in a folder and trusts nothing in it but what the given keys signed."""

    def __init__(self, folder: Path, origin: str, keys: Sequence[PublicKey]) -> None:
        """Reads nothing yet.

        Args:
            folder: of the log.
            origin: name of the log.
            keys: the log's public keys; those of other algorithms than Ed25519 and ML-DSA-44 are left out.
        """
        self.folder = folder
        self.origin = check_name(origin)
        self.public_keys: tuple[PublicKey, ...] = tuple(keys)
        self.keys: tuple[NoteKey, ...] = log_keys(origin, keys)

    def checkpoint(self) -> Checkpoint | None:
        """The current tree head, verified; None where the log was never begun.

        Raises:
            PeerError: QNSP-LDG-003 to -007.
            OperatorError: QNSP-LDG-010 it cannot be read, QNSP-LDG-014 it is gone from a log that was begun.
        """
        data = self._read(CHECKPOINT)
        if data is None:
            if (self.folder / _BEGUN).exists():
                raise OperatorError(
                    "QNSP-LDG-014",
                    f"the log in {self.folder} was begun but its checkpoint is gone",
                    subject=self.origin,
                    next_step="Restore the file `checkpoint` from a backup; a log is never begun anew over old entries.",
                )
            return None
        return verify_checkpoint(data, self.origin, self.keys).checkpoint

    @property
    def size(self) -> int:
        """Entries in the log."""
        head = self.checkpoint()
        return head.size if head else 0

    def entry(self, index: int) -> bytes:
        """The bytes of one entry.

        Raises:
            OperatorError: QNSP-LDG-013, no such entry.
        """
        size = self.size
        if not 0 <= index < size:
            raise OperatorError("QNSP-LDG-013", f"the log {self.origin} has {size} entries, none with number {index}")
        return self._bundle(index // WIDTH, size)[index % WIDTH]

    def read(self, index: int) -> LedgerRecord:
        """One record; its place in the tree is proven by `prove`, not here."""
        return LedgerRecord.from_bytes(self.entry(index))

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yields (index, entry) of a range, as of the checkpoint at the call."""
        size = self.size
        stop = size if stop is None else min(stop, size)
        for bundle in range(start // WIDTH, -(-stop // WIDTH)):
            for offset, entry in enumerate(self._bundle(bundle, size)):
                if start <= bundle * WIDTH + offset < stop:
                    yield bundle * WIDTH + offset, entry

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, LedgerRecord]]:
        """Yields (index, record) of a range."""
        for index, entry in self.entries(start, stop):
            yield index, LedgerRecord.from_bytes(entry)

    def prove(self, index: int) -> InclusionProof:
        """An offline proof against the current checkpoint.

        Raises:
            OperatorError: QNSP-LDG-013, no such entry.
        """
        head = self.checkpoint()
        if head is None or not 0 <= index < head.size:
            size = head.size if head else 0
            raise OperatorError("QNSP-LDG-013", f"the log {self.origin} has {size} entries, none with number {index}")
        return InclusionProof(index, inclusion_path(index, head.size, self._subtrees(head.size)), head.note)

    def consistency(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        """The RFC 6962 consistency proof from tree size `old` to `new` (default: the current one)."""
        size = self.size
        new = size if new is None else new
        if not 0 <= old <= new <= size:
            raise OperatorError(
                "QNSP-LDG-013", f"the log {self.origin} has {size} entries; sizes {old}, {new} do not fit"
            )
        return consistency_path(old, new, self._subtrees(size))

    def check(self) -> Checkpoint | None:
        """Recomputes the whole log from its entries and compares every tile, the signed root, and the root that was stated.

        Raises:
            PeerError: QNSP-LDG-015 a tile or a root differs from the entries, -018 a later checkpoint was stated, -019 the statement
                is missing or does not verify, and the codes of `checkpoint`.
        """
        stated = self.stated()  # before the checkpoint: somebody may be writing
        head = self.checkpoint()
        if head is None:
            return None
        if stated is not None and stated.size > head.size:
            raise PeerError(
                "QNSP-LDG-018",
                f"the log {self.origin} went back: a later checkpoint was stated",
                expected=f"at least {stated.size} entries",
                got=str(head.size),
            )
        edge = Edge()
        for bundle in range(-(-head.size // WIDTH)):
            entries = self._bundle(bundle, head.size)
            if stated is not None and bundle * WIDTH < stated.size <= bundle * WIDTH + len(entries):
                self._compare_root(grow(edge, entries[: stated.size - bundle * WIDTH]).edge, stated)
            growth = grow(edge, entries)
            edge = growth.edge
            for path, data in growth.files.items():
                if ".p/" not in path and not path.startswith("tile/entries/"):
                    self._compare(path, data)
        for level, index, width in edge_widths(head.size):
            if width:
                self._compare(tile_path(level, index, width), b"".join(edge.levels[level]))
        self._compare_root(edge, head)
        return head

    def _compare_root(self, edge: Edge, head: Checkpoint) -> None:
        if edge.size != head.size or edge.root != head.root:
            raise PeerError("QNSP-LDG-015", f"the entries of the log {self.origin} do not give the signed root")

    def _compare(self, path: str, expected: bytes) -> None:
        found = self._read(path)
        if found is None and ".p/" in path:
            found = (self._read(path.partition(".p/")[0]) or b"")[: len(expected)]
        if found != expected:
            raise PeerError("QNSP-LDG-015", f"{path} of the log {self.origin} is not what its entries give")

    def stated(self) -> Checkpoint | None:
        """The checkpoint that the log's ML-DSA-65 and -87 keys stated, verified; None where it has no such key.

        It is the last one, or after an append that did not end one before it; the next record catches up.

        Raises:
            PeerError: QNSP-LDG-019 it is missing or does not verify, and the codes of `verify_checkpoint`.
        """
        keys = strong_keys(self.public_keys)
        if not keys or self.size == 0:
            return None
        return stated_checkpoint(self._read(STATEMENT) or b"", self.origin, self.keys, keys)

    # Below: files.

    def _read(self, path: str) -> bytes | None:
        try:
            return (self.folder / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _disk(self.folder / path, error) from error

    def _tile(self, level: int, index: int, size: int) -> bytes:
        """A tile as of a tree size: its partial form first, else the full one that came later."""
        whole = size >> (8 * max(level, 0))
        width = min(WIDTH, whole - index * WIDTH)
        for path in dict.fromkeys((tile_path(level, index, width), tile_path(level, index))):
            if (data := self._read(path)) is not None:
                return data
        wider = sorted((self.folder / tile_path(level, index, 1)).parent.glob("*"), key=lambda path: len(path.name))
        for found in wider:
            if found.name.isdigit() and int(found.name) > width:
                return found.read_bytes()
        raise PeerError("QNSP-LDG-016", f"{tile_path(level, index, width)} of the log {self.origin} is missing")

    def _bundle(self, index: int, size: int) -> tuple[bytes, ...]:
        return decode_entries(self._tile(ENTRIES, index, size), min(WIDTH, size - index * WIDTH))

    def _subtrees(self, size: int) -> SubtreeHash:
        tiles: dict[tuple[int, int], tuple[bytes, ...]] = {}

        def subtree(level: int, index: int) -> bytes:
            tile_level, inner = divmod(level, 8)
            first = index << inner
            key = tile_level, first // WIDTH
            if key not in tiles:
                width = min(WIDTH, (size >> (8 * tile_level)) - key[1] * WIDTH)
                tiles[key] = decode_hashes(self._tile(tile_level, key[1], size), width)
            at = first % WIDTH
            return complete_root(tiles[key][at : at + (1 << inner)])

        return subtree


class FileLedger(LedgerReader):
    """The one writer of a log."""

    def __init__(self, folder: Path, origin: str, signer: Signer, *, lock_seconds: float = 10.0) -> None:
        """Makes the folder (0700) if it is not there.

        Args:
            folder: of the log.
            origin: name of the log; its keys are named so, too.
            signer: has an Ed25519 key and should have an ML-DSA-44 key; ML-DSA-65 and -87 keys sign a DSSE statement
                over each checkpoint.
            lock_seconds: how long to wait for another writer.

        Raises:
            OperatorError: QNSP-LDG-010, the folder cannot be made.
        """
        super().__init__(folder, origin, signer.public_keys)
        self._signer, self._lock_seconds = signer, lock_seconds
        self._turn, self._writing = threading.Condition(), False
        self._queue: list[_Ticket] = []
        self._edge: Edge | None = None
        self._head: Checkpoint | None = None
        try:
            make_folder(folder)
            (folder / _LOCK).touch(mode=0o600)
        except OSError as error:
            raise _disk(folder, error) from error

    def append(self, record: LedgerRecord, now: datetime) -> AppendedRecord:
        """Appends one record and publishes a checkpoint that covers it; durable on return.

        Raises:
            OperatorError: QNSP-LDG-010 disk full or not writable (the log stays as it was), -012 too large.
            LockHeld: QNSP-LDG-017, another writer did not finish in time.
            PeerError: the log in the folder is not what was signed.
        """
        return self.append_many((record,), now)[0]

    def append_many(self, records: Sequence[LedgerRecord], now: datetime) -> tuple[AppendedRecord, ...]:
        """Appends records under one checkpoint; all or none.

        Threads that append at the same time share one checkpoint: whoever has the turn writes for all who wait.
        """
        entries = [record.to_bytes() for record in records]
        if not entries:
            return ()
        ticket = _Ticket(entries, now)
        with self._turn:
            self._queue.append(ticket)
            while self._writing and not ticket.done:
                self._turn.wait()
            batch: list[_Ticket] = []
            if not ticket.done:
                self._writing = True
                batch, self._queue = self._queue, []
        if batch:
            try:
                self._append_batch(batch)
            finally:
                with self._turn:
                    self._writing = False
                    self._turn.notify_all()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def _append_batch(self, batch: Sequence[_Ticket]) -> None:
        try:
            with self._locked():
                found = self._append([entry for ticket in batch for entry in ticket.entries], max(t.now for t in batch))
        except OSError as error:
            self._edge = None
            self._settle(batch, (), _disk(self.folder, error))
        except QnspError as error:
            self._settle(batch, (), error)
        except BaseException:
            self._edge = None
            self._settle(
                batch, (), OperatorError("QNSP-LDG-010", "the ledger was interrupted; nothing is known to be recorded")
            )
            raise
        else:
            self._settle(batch, found, None)

    @staticmethod
    def _settle(batch: Sequence[_Ticket], found: Sequence[AppendedRecord], error: QnspError | None) -> None:
        at = 0
        for ticket in batch:
            ticket.result = tuple(found[at : at + len(ticket.entries)])
            ticket.error, ticket.done = error, True
            at += len(ticket.entries)

    def _append(self, entries: Sequence[bytes], now: datetime) -> tuple[AppendedRecord, ...]:
        edge = self._load()
        growth = grow(edge, entries)
        head = sign_checkpoint(self.origin, growth.edge.size, growth.edge.root, self._signer, now)
        statement = state_checkpoint(head, self._signer)
        self._write(growth.files)
        try:
            self._publish(head, statement)
        except OSError as error:
            if not self._stands(head):
                raise
            raise OperatorError(
                "QNSP-LDG-010",
                f"the ledger was written, but the disk did not confirm it: {error.strerror or error}",
                subject=str(self.folder),
                next_step="The records stand. Look after the disk, then `qnsp-policy ledger verify`; do not record them again.",
            ) from error
        self._edge, self._head = growth.edge, head
        for path in growth.superseded:
            with contextlib.suppress(OSError):
                (self.folder / path).unlink(missing_ok=True)
        return tuple(AppendedRecord(edge.size + offset, leaf_hash(entry), head) for offset, entry in enumerate(entries))

    def _stands(self, head: Checkpoint) -> bool:
        """Whether a checkpoint is in its place after all; a disk that cannot even be read leaves that open."""
        try:
            return self._read(CHECKPOINT) == head.note
        except OSError:
            return False

    def _publish(self, head: Checkpoint, statement: bytes | None) -> None:
        files = {CHECKPOINT: head.note} if statement is None else {CHECKPOINT: head.note, STATEMENT: statement}
        # A statement goes after its checkpoint, but for the first: a log that was begun is never without one.
        first = statement is not None and self._read(STATEMENT) is None
        for name in (STATEMENT, CHECKPOINT) if first else tuple(files):
            self._write({name: files[name]})
        self._mark_begun()

    def _mark_begun(self) -> None:
        if not (self.folder / _BEGUN).exists():
            self._write({_BEGUN: b"a log was begun here; without its checkpoint it is damaged, not new\n"})

    def _load(self) -> Edge:
        """The right edge under the published checkpoint; the last one is kept as long as nobody else has written."""
        data = self._read(CHECKPOINT)
        if self._edge is not None and self._head is not None and data == self._head.note:
            return self._edge
        head = self.checkpoint()
        if self._head is not None and (head is None or head.size < self._head.size):
            raise PeerError(
                "QNSP-LDG-018",
                f"the log {self.origin} went back: an old copy was put in its place",
                expected=f"at least {self._head.size} entries",
                got=str(head.size if head else 0),
            )
        self._sweep(head.size if head else 0)
        if head is None:
            return Edge()
        levels = []
        for level, index, width in edge_widths(head.size):
            levels.append(decode_hashes(self._tile(level, index, head.size), width) if width else ())
        tail = head.size % WIDTH
        bundle = self._bundle(head.size // WIDTH, head.size) if tail else ()
        edge = Edge(head.size, tuple(levels), bundle)
        if edge.root != head.root or tuple(leaf_hash(entry) for entry in bundle) != edge.levels[0]:
            raise PeerError("QNSP-LDG-015", f"the right edge of the log {self.origin} does not give the signed root")
        return edge

    def _sweep(self, size: int) -> None:
        """Puts aside what a crash left beyond the checkpoint; aside, not away, as an old checkpoint may have come back."""
        for folder, _, names in os.walk(self.folder / "tile"):
            for name in names:
                path = Path(folder, name)
                if name.endswith(_NEW):
                    path.unlink(missing_ok=True)
                    continue
                where = path.relative_to(self.folder).as_posix()
                try:
                    level, index, width = parse_tile_path(where)
                except PeerError:
                    continue  # not ours, and no reader looks at it
                if index * WIDTH + width > size >> (8 * max(level, 0)):
                    aside = self.folder / _ORPHANS / where.replace("/", "_")
                    aside.parent.mkdir(exist_ok=True)
                    path.replace(aside)
        self._drop_staged()

    def tidy(self) -> None:
        """Ends what a killed writer left undone beside the checkpoint, as the next append would."""
        with self._locked():
            self._drop_staged()
            if self._read(CHECKPOINT) is not None:
                self._mark_begun()

    def _drop_staged(self) -> None:
        for path in self.folder.glob("*" + _NEW):
            path.unlink(missing_ok=True)

    def _write(self, files: Mapping[str, bytes]) -> None:
        """Replaces files durably: all are staged and synced first, then revealed, then their folders are synced."""
        try:
            for path, data in files.items():
                self._stage(path, data)
            folders = dict.fromkeys(self._reveal(path) for path in files)
        except OSError:
            for path in files:
                with contextlib.suppress(OSError):
                    (self.folder / (path + _NEW)).unlink(missing_ok=True)
            raise
        for folder in folders:
            sync_folder(folder)

    def _stage(self, path: str, data: bytes) -> None:
        staged = self.folder / (path + _NEW)
        make_folder(staged.parent)
        with staged.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _reveal(self, path: str) -> Path:
        target = self.folder / path
        (self.folder / (path + _NEW)).replace(target)
        return target.parent

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _disk(self.folder, error) from error
        try:
            deadline = time.monotonic() + self._lock_seconds
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise LockHeld(
                            "QNSP-LDG-017", f"another process writes the log {self.origin}", subject=str(self.folder)
                        ) from None
                    time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)


def _disk(path: Path, error: OSError) -> OperatorError:
    return OperatorError(
        "QNSP-LDG-010",
        f"the ledger cannot be read or written: {error.strerror or error}",
        subject=str(path),
        next_step="Nothing was recorded. Make room or fix the permissions, then run the same command again.",
    )


__all__ = ["CHECKPOINT", "STATEMENT", "AppendedRecord", "FileLedger", "LedgerReader"]
