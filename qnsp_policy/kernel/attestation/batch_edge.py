"""The disk behind a batch: names are paths, relative to the folder of the list; whole fleets go over several processes."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from qnsp_policy.kernel.attestation.batch import MAX_LINE, Batch
from qnsp_policy.kernel.attestation.collateral_edge import read_folder
from qnsp_policy.kernel.attestation.registry import pinned_anchors
from qnsp_policy.kernel.attestation.values import Anchor

_CHUNK: Final = 256
MAX_FILE: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DiskFiles:
    """Names of a line are paths under `root`, or absolute."""

    root: Path

    def read(self, name: str) -> bytes:
        path = self.root / name
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would never end
            raise OSError(22, "not a regular file")
        if status.st_size > MAX_FILE:
            raise OSError(27, f"larger than {MAX_FILE} bytes")
        return path.read_bytes()

    def folder(self, name: str) -> Mapping[str, bytes]:
        return read_folder(self.root / name)

    def is_folder(self, name: str) -> bool:
        return (self.root / name).is_dir()


def _some(root: str, now: datetime, anchors: Sequence[Anchor], lines: Sequence[tuple[int, bytes]]) -> list[str]:
    batch = Batch(DiskFiles(Path(root)), now, (*pinned_anchors(), *anchors))
    return [json.dumps(batch.judge_line(line, number), sort_keys=False) for number, line in lines]


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, by number; of a line that is too long only so much that it is refused as such."""
    number = 0
    while line := stream.readline(MAX_LINE + 2):
        number += 1
        rest = line
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE + 2)
        if line.strip():
            yield number, line


def judge_file(
    listing: Path, now: datetime, *, processes: int | None = None, anchors: Sequence[Anchor] = ()
) -> Iterator[str]:
    """One JSON text a line of the list, in order.

    Args:
        listing: file of JSON lines; names in it are relative to its folder.
        now: the time of lines that give none.
        anchors: roots that count beside the pinned ones for lines that give none (simulated).
        processes: how many work at once; as many as there are cores if not given. One process for short lists.
    """
    with listing.open("rb") as stream:
        lines = list(_lines(stream))
    root = str(listing.resolve().parent)
    count = processes or os.cpu_count() or 1
    if count == 1 or len(lines) <= _CHUNK:
        yield from _some(root, now, anchors, lines)
        return
    chunks = [lines[at : at + _CHUNK] for at in range(0, len(lines), _CHUNK)]
    with ProcessPoolExecutor(count) as pool:
        for answers in pool.map(_some, [root] * len(chunks), [now] * len(chunks), [anchors] * len(chunks), chunks):
            yield from answers


__all__ = ["MAX_FILE", "DiskFiles", "judge_file"]
