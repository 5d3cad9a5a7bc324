"""The tile layout of C2SP tlog-tiles: paths, entry bundles, and how appending changes the right edge.

Comes in: entries. Goes out: file names with bytes, in the order in which they must be made durable.
A tile holds 256 hashes of 32 bytes; `tile/<L>/<N>` covers level 8L; the last tile of a level is `<N>.p/<W>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.ledger.tree import EMPTY_ROOT, HASH_SIZE, complete_root, leaf_hash, node_hash

WIDTH: Final = 256
MAX_ENTRY: Final = 65535
ENTRIES: Final = -1
"""Level under which entry bundles are kept."""

_PATH = re.compile(r"tile/(entries|\d{1,2})((?:/x\d{3})*/\d{3})(?:\.p/(\d{1,3}))?\Z", re.ASCII)


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-LDG-002", f"malformed tile: {message}")


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """The path of a tile, e.g. `tile/0/x001/x234/067` or `tile/entries/000.p/5`; level `ENTRIES` for bundles."""
    digits = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        digits = f"x{index % 1000:03d}/{digits}"
    name = "entries" if level == ENTRIES else str(level)
    return f"tile/{name}/{digits}" + ("" if width == WIDTH else f".p/{width}")


def parse_tile_path(path: str) -> tuple[int, int, int]:
    """(level, index, width) of a path.

    Raises:
        PeerError: QNSP-LDG-002.
    """
    found = _PATH.match(path)
    if found is None:
        raise _malformed(f"no tile path: {path[:80]!r}")
    level = ENTRIES if found[1] == "entries" else int(found[1])
    index = int(found[2].replace("/", "").replace("x", ""))
    width = int(found[3] or WIDTH)
    if not 1 <= width <= WIDTH or level > 7 or tile_path(level, index, width) != path:
        raise _malformed(f"no canonical tile path: {path[:80]!r}")
    return level, index, width


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry with its u16 length before it.

    Raises:
        ValueError: an entry has more than 65535 bytes.
    """
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise ValueError(f"an entry of {len(entry)} bytes; at most {MAX_ENTRY} fit: log its digest")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def decode_entries(data: bytes, count: int) -> tuple[bytes, ...]:
    """Reads the first `count` entries of a bundle; a wider bundle of a later tree may be given.

    Raises:
        PeerError: QNSP-LDG-002, the bundle holds fewer, or ends within one.
    """
    entries, at = [], 0
    for _ in range(count):
        size = int.from_bytes(data[at : at + 2], "big")
        if at + 2 + size > len(data) or len(data) - at < 2:
            raise _malformed("the entry bundle ends early")
        entries.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return tuple(entries)


def decode_hashes(data: bytes, width: int) -> tuple[bytes, ...]:
    """Reads the first `width` hashes of a tile.

    Raises:
        PeerError: QNSP-LDG-002.
    """
    if len(data) % HASH_SIZE or len(data) < width * HASH_SIZE or len(data) > WIDTH * HASH_SIZE:
        raise _malformed(f"{len(data)} bytes are no tile of at least {width} hashes")
    return tuple(data[at : at + HASH_SIZE] for at in range(0, width * HASH_SIZE, HASH_SIZE))


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree: all that appending needs.

    Attributes:
        size: leaves.
        levels: for each tile level the hashes of its last, partial tile (0 to 255 of them).
        bundle: the entries of the last, partial bundle.
    """

    size: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ()
    bundle: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """Root of the tree."""
        running: bytes | None = None
        for hashes in self.levels:
            end = len(hashes)
            while end:
                width = end & -end
                part = complete_root(hashes[end - width : end])
                running = part if running is None else node_hash(part, running)
                end -= width
        return EMPTY_ROOT if running is None else running


@dataclass(frozen=True, slots=True)
class Growth:
    """What appending writes.

    Attributes:
        edge: the new right edge.
        files: path -> bytes, all of which must be durable before a checkpoint of the new size is published.
        superseded: partial tiles that the new ones replace; they may go once the checkpoint is published.
    """

    edge: Edge
    files: Mapping[str, bytes]
    superseded: tuple[str, ...]


def edge_widths(size: int) -> list[tuple[int, int, int]]:
    """(level, tile index, width) of every partial tile of hashes of a tree."""
    found, level = [], 0
    while size >> (8 * level):
        count = size >> (8 * level)
        found.append((level, count // WIDTH, count % WIDTH))
        level += 1
    return found


def grow(edge: Edge, entries: Sequence[bytes]) -> Growth:
    """Appends entries to a right edge.

    Raises:
        ValueError: an entry has more than 65535 bytes.
    """
    files: dict[str, bytes] = {}
    levels = [list(hashes) for hashes in edge.levels]
    bundle, size = list(edge.bundle), edge.size
    for entry in entries:
        bundle.append(entry)
        size += 1
        if len(bundle) == WIDTH:
            files[tile_path(ENTRIES, size // WIDTH - 1)] = encode_entries(bundle)
            bundle.clear()
        _carry(levels, leaf_hash(entry), size, files)
    if bundle and entries:
        files[tile_path(ENTRIES, size // WIDTH, len(bundle))] = encode_entries(bundle)
    old = {level: (index, width) for level, index, width in edge_widths(edge.size)}
    superseded = [tile_path(level, index, width) for level, (index, width) in old.items() if width]
    if edge.bundle:
        superseded.append(tile_path(ENTRIES, edge.size // WIDTH, len(edge.bundle)))
    for level, index, width in edge_widths(size):
        if width and old.get(level) != (index, width):
            files[tile_path(level, index, width)] = b"".join(levels[level])
    grown = Edge(size, tuple(tuple(hashes) for hashes in levels), tuple(bundle))
    kept = {tile_path(*part) for part in edge_widths(size)}
    if bundle:
        kept.add(tile_path(ENTRIES, size // WIDTH, len(bundle)))
    return Growth(grown, files, tuple(path for path in superseded if path not in kept))


def _carry(levels: list[list[bytes]], value: bytes, size: int, files: dict[str, bytes]) -> None:
    level = 0
    while True:
        if level == len(levels):
            levels.append([])
        levels[level].append(value)
        if len(levels[level]) < WIDTH:
            return
        files[tile_path(level, (size >> (8 * (level + 1))) - 1)] = b"".join(levels[level])
        value = complete_root(levels[level])
        levels[level] = []
        level += 1


__all__ = [
    "ENTRIES",
    "MAX_ENTRY",
    "WIDTH",
    "Edge",
    "Growth",
    "decode_entries",
    "decode_hashes",
    "edge_widths",
    "encode_entries",
    "grow",
    "parse_tile_path",
    "tile_path",
]
