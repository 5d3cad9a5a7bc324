"""A file tree as a value: what a root file system holds, without who made it and when.

Modes are reduced to what an enclave can tell apart, where everything is root's: 0755 for folders and whatever may be executed, 0644 for the
rest. Links stay links; a path that leads through one is followed, as a container's file system follows it. Devices and sockets are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

MAX_TOTAL: Final = 2 * 1024 * 1024 * 1024
MAX_ENTRIES: Final = 200_000
_MAX_LINKS: Final = 40
_MAX_PATH: Final = 1024


class TreeError(ValueError):
    """A tree cannot hold this; callers turn it into their own code."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: a file with its data, a link with its target (as data), a folder with none."""

    kind: Literal["file", "link", "folder"]
    data: bytes = b""
    executable: bool = False

    @property
    def mode(self) -> int:
        """The type and permission bits of `st_mode`."""
        if self.kind == "link":
            return 0o120777
        if self.kind == "folder":
            return 0o040755
        return 0o100755 if self.executable else 0o100644


FOLDER: Final = Entry("folder")


def name_bytes(name: str) -> bytes:
    """A name as a file system holds it: names are bytes, and those that are no UTF-8 are carried through."""
    return name.encode("utf-8", "surrogateescape")


def parts_of(path: str) -> tuple[str, ...]:
    """The names of a relative path.

    Raises:
        TreeError: it leaves its folder, or holds what no name may.
    """
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if path.startswith("/") or ".." in parts or "\0" in path or not parts or len(name_bytes(path)) > _MAX_PATH:
        raise TreeError(f"the path {path[:120]!r} does not stay inside")
    return parts


class Tree:
    """Entries by path; folders on the way are made as they are needed."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self.total = 0

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        """All entries, every folder before what it holds, in the order of their names' bytes."""
        return iter(sorted(self._entries.items(), key=lambda item: tuple(map(name_bytes, item[0].split("/")))))

    def get(self, path: str) -> Entry | None:
        """The entry at a path, links on the way followed."""
        return self._entries.get(self._resolved(parts_of(path)))

    def add(self, path: str, entry: Entry) -> None:
        """Put an entry at a path, in place of whatever was there.

        Raises:
            TreeError: the path leaves the tree, leads through a file, or the tree becomes too large.
        """
        parts = parts_of(path)
        where = self._resolved(parts[:-1]) if len(parts) > 1 else ""
        self._make_folders(where)
        full = f"{where}/{parts[-1]}" if where else parts[-1]
        before = self._entries.get(full)
        if before is not None and before.kind == "folder":
            if entry.kind == "folder":
                return
            self.remove(full)
        self._entries[full] = entry
        self.total += len(entry.data) - (len(before.data) if before is not None else 0)
        if len(self._entries) > MAX_ENTRIES or self.total > MAX_TOTAL:
            raise TreeError(f"more than {MAX_ENTRIES} entries or {MAX_TOTAL} bytes")

    def remove(self, path: str) -> None:
        """Take an entry out, and everything under it; nothing happens where there is none."""
        full = self._resolved(parts_of(path), follow_last=False)
        for name in [name for name in self._entries if name == full or name.startswith(full + "/")]:
            self.total -= len(self._entries.pop(name).data)

    def clear(self, path: str) -> None:
        """Take out what is under a folder, and keep the folder ("" is the whole tree)."""
        full = self._resolved(parts_of(path)) if path else ""
        for name in [name for name in self._entries if not full or name.startswith(full + "/")]:
            self.total -= len(self._entries.pop(name).data)

    def merge(self, other: Mapping[str, Entry] | Tree) -> None:
        """Add all of another's entries."""
        for path, entry in other.items() if isinstance(other, Mapping) else other:
            self.add(path, entry)

    def _make_folders(self, path: str) -> None:
        parts = path.split("/") if path else []
        for count in range(1, len(parts) + 1):
            name = "/".join(parts[:count])
            entry = self._entries.setdefault(name, FOLDER)
            if entry.kind != "folder":
                raise TreeError(f"{name[:120]!r} is no folder, and something stands under it")

    def _resolved(self, parts: tuple[str, ...], *, follow_last: bool = True) -> str:
        """The path without links; a link's absolute target begins at the root of this tree."""
        left, done, followed = list(parts), list[str](), 0
        while left:
            part = left.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            name = "/".join((*done, part))
            entry = self._entries.get(name)
            if entry is None or entry.kind != "link" or (not left and not follow_last):
                done.append(part)
                continue
            followed += 1
            if followed > _MAX_LINKS:
                raise TreeError(f"links lead in a circle at {name[:120]!r}")
            target = entry.data.decode("utf-8", "surrogateescape")
            if target.startswith("/"):
                done = []
            left = [one for one in target.split("/") if one not in {"", "."}] + left
        return "/".join(done)


__all__ = ["FOLDER", "MAX_TOTAL", "Entry", "Tree", "TreeError", "name_bytes", "parts_of"]
