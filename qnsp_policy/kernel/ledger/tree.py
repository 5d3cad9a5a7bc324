"""Merkle tree of RFC 6962: leaf and node hashes, roots, inclusion and consistency proofs, and their verification.

Comes in: leaf hashes, or a function that gives the hash of a complete subtree. Goes out: 32-byte hashes.
Verification follows RFC 9162 sections 2.1.3.2 and 2.1.4.2. All hashes are SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import same

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
HASH_SIZE: Final = 32
MAX_PROOF: Final = 63

SubtreeHash = Callable[[int, int], bytes]
"""(level, index) -> hash of the complete subtree of 2**level leaves that begins at leaf index * 2**level."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def range_hash(start: int, end: int, subtree: SubtreeHash) -> bytes:
    """Hash of leaves start to end-1 as RFC 6962 MTH defines it; start is a multiple of the power of two it needs."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return subtree(level, start >> level)
    split = 1 << ((size - 1).bit_length() - 1)
    return node_hash(range_hash(start, start + split, subtree), range_hash(start + split, end, subtree))


def tree_root(size: int, subtree: SubtreeHash) -> bytes:
    """Root of the tree of `size` leaves."""
    return range_hash(0, size, subtree) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, subtree: SubtreeHash) -> tuple[bytes, ...]:
    """PATH(index, D[size]): sibling hashes from the leaf up.

    Raises:
        ValueError: the index is not in the tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    start, end, path = 0, size, []
    while end - start > 1:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < split:
            path.append(range_hash(split, end, subtree))
            end = split
        else:
            path.append(range_hash(start, split, subtree))
            start = split
    return tuple(reversed(path))


def consistency_path(old: int, new: int, subtree: SubtreeHash) -> tuple[bytes, ...]:
    """PROOF(old, D[new]) of RFC 6962 2.1.2; empty where old is 0 or equal to new.

    Raises:
        ValueError: old is larger than new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} is no prefix of one of {new}")
    if old in {0, new}:
        return ()
    start, end, path, whole = 0, new, [], True
    while old != end:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if old <= split:
            path.append(range_hash(split, end, subtree))
            end = split
        else:
            path.append(range_hash(start, split, subtree))
            start, whole = split, False
    if not whole:
        path.append(range_hash(start, end, subtree))
    return tuple(reversed(path))


def _refuse(what: str) -> PeerError:
    return PeerError("QNSP-LDG-001", f"the {what} proof does not lead to the signed root")


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Verifies that `leaf` (a leaf hash) stands at `index` in the tree of `size` leaves under `root`.

    Raises:
        PeerError: QNSP-LDG-001.
    """
    if not 0 <= index < size:
        raise _refuse("inclusion")
    at, last, running = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise _refuse("inclusion")
        if at & 1 or at == last:
            running = node_hash(sibling, running)
            while at & 1 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            running = node_hash(running, sibling)
        at, last = at >> 1, last >> 1
    if last != 0 or not same(running, root):
        raise _refuse("inclusion")


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Verifies that the tree of `new` leaves continues the one of `old`.

    Raises:
        PeerError: QNSP-LDG-001.
    """
    if not 0 <= old <= new:
        raise _refuse("consistency")
    if old in {0, new}:
        if path or not same(old_root, EMPTY_ROOT if old == 0 else new_root):
            raise _refuse("consistency")
        return
    hashes = list(path)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise _refuse("consistency")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise _refuse("consistency")
        if at & 1 or at == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while at & 1 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        at, last = at >> 1, last >> 1
    if last != 0 or not same(first, old_root) or not same(second, new_root):
        raise _refuse("consistency")


__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "MAX_PROOF",
    "SubtreeHash",
    "complete_root",
    "consistency_path",
    "inclusion_path",
    "leaf_hash",
    "node_hash",
    "range_hash",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
]
