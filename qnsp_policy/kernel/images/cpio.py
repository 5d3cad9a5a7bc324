"""The archive that a Linux kernel unpacks as its first file system: cpio "newc", written so that the same tree gives the same bytes.

Comes in: a `Tree`. Goes out: the archive: root's, without times, entries in the order of their names, inodes counted from 1, padded to
512 bytes, not compressed (a compressor's version would show in the registers). Source: Linux, Documentation/driver-api/early-userspace/
buffer-format.rst.
"""

from __future__ import annotations

import re
from typing import Final

from qnsp_policy.kernel.images.tree import Entry, Tree, TreeError, name_bytes

_MAGIC: Final = b"070701"
_TRAILER: Final = "TRAILER!!!"
_BLOCK: Final = 512
_FIELDS: Final = 13
_DIGITS: Final = re.compile(rb"[0-9a-fA-F]+")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _header(inode: int, mode: int, links: int, size: int, name: str) -> bytes:
    encoded = name_bytes(name) + b"\0"
    fields = (inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(encoded), 0)
    return _padded(_MAGIC + b"".join(b"%08x" % field for field in fields) + encoded)


def write(tree: Tree) -> bytes:
    """The archive of a tree."""
    parts: list[bytes] = []
    for inode, (name, entry) in enumerate(tree, start=1):
        parts.append(_header(inode, entry.mode, 2 if entry.kind == "folder" else 1, len(entry.data), name))
        parts.append(_padded(entry.data))
    parts.append(_header(0, 0, 1, 0, _TRAILER))
    data = b"".join(parts)
    return data + bytes(-len(data) % _BLOCK)


def read(data: bytes) -> Tree:
    """The tree of one archive in this form; what a builder of another kind put into it (times, owners) is not looked at.

    Raises:
        TreeError: not such an archive.
    """
    tree, at = Tree(), 0
    while True:
        head = data[at : at + 6 + 8 * _FIELDS]
        if len(head) != 6 + 8 * _FIELDS or head[:6] != _MAGIC:
            raise TreeError("no cpio archive in the form newc")
        if not _DIGITS.fullmatch(head, 6):
            raise TreeError("a cpio header that holds no numbers")
        values = [int(head[start : start + 8], 16) for start in range(6, len(head), 8)]
        mode, size, name_size = values[1], values[6], values[11]
        at += len(head)
        name = data[at : at + name_size]
        at += name_size + -(len(head) + name_size) % 4
        content = data[at : at + size]
        at += size + -size % 4
        if not name or name[-1:] != b"\0" or len(content) != size:
            raise TreeError("a cpio archive that is cut short")
        path = name[:-1].decode("utf-8", "surrogateescape")
        if path == _TRAILER:
            return tree
        if path == ".":
            continue
        kinds = {0o100000: "file", 0o120000: "link", 0o040000: "folder"}
        kind = kinds.get(mode & 0o170000)
        if kind == "file":
            tree.add(path, Entry("file", content, executable=bool(mode & 0o111)))
        elif kind == "link":
            tree.add(path, Entry("link", content))
        elif kind == "folder":
            tree.add(path, Entry("folder"))
        else:
            raise TreeError(f"{path[:120]!r} is a device or a socket")


__all__ = ["read", "write"]
