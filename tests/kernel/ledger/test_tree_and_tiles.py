"""Merkle maths against a plain definition of RFC 6962, tile paths, and how a tree grows."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.ledger import tiles, tree
from qnsp_policy.kernel.ledger.tiles import ENTRIES, WIDTH, Edge


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, as written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


LEAVES = [bytes([index % 256, index // 256]) for index in range(70)]


def subtree(level: int, index: int) -> bytes:
    return mth(LEAVES[index << level : (index + 1) << level])


def test_known_roots() -> None:
    """The reference tree of certificate transparency implementations."""
    leaves = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    edge = tiles.grow(Edge(), leaves).edge
    assert edge.root.hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"
    assert tiles.grow(Edge(), leaves[:1]).edge.root.hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert Edge().root.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, len(LEAVES) + 1))
def test_every_inclusion_proof(size: int) -> None:
    """Every leaf of every tree proves itself, and nothing else in its place."""
    root = mth(LEAVES[:size])
    for index in range(size):
        path = tree.inclusion_path(index, size, subtree)
        leaf = tree.leaf_hash(LEAVES[index])
        tree.verify_inclusion(leaf, index, size, path, root)
        attacks: list[tuple[bytes, int, int, tuple[bytes, ...]]] = [
            (tree.leaf_hash(b"other"), index, size, path),
            (leaf, index + 1, size, path),
            (leaf, -1, size, path),
            (leaf, index, size, (*path, bytes(32))),
            (leaf, size, size, path),
        ]
        if path:
            attacks += [(leaf, index, size, path[:-1]), (leaf, index, size, (bytes(32), *path[1:]))]
        for wrong in attacks:
            with pytest.raises(PeerError, match="QNSP-LDG-001"):
                tree.verify_inclusion(*wrong, root)


@pytest.mark.parametrize("new", [1, 2, 3, 7, 8, 9, 33, 64, 65, 70])
def test_every_consistency_proof(new: int) -> None:
    """Every prefix is proven; a tree whose past was changed is not."""
    root = mth(LEAVES[:new])
    for old in range(new + 1):
        path = tree.consistency_path(old, new, subtree)
        before = mth(LEAVES[:old])
        tree.verify_consistency(old, new, path, before, root)
        forged = mth([b"forged", *LEAVES[1:old]])
        attacks = [(forged, root, path), (before, root, (*path, bytes(32)))]
        if path:
            attacks += [(before, bytes(32), path), (before, root, path[:-1]), (before, root, ())]
        for first, second, wrong in attacks:
            with pytest.raises(PeerError, match="QNSP-LDG-001"):
                tree.verify_consistency(old, new, wrong, first, second)


def test_proofs_outside_the_tree_are_misuse() -> None:
    """Our own code asks for what exists."""
    with pytest.raises(ValueError, match="not in a tree"):
        tree.inclusion_path(3, 3, subtree)
    with pytest.raises(ValueError, match="no prefix"):
        tree.consistency_path(4, 3, subtree)
    with pytest.raises(PeerError, match="QNSP-LDG-001"):
        tree.verify_consistency(4, 3, (), b"", b"")


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 1234067, 256, "tile/0/x001/x234/067"),
        (1, 1000, 3, "tile/1/x001/000.p/3"),
        (ENTRIES, 999, 256, "tile/entries/999"),
        (ENTRIES, 5, 255, "tile/entries/005.p/255"),
    ],
)
def test_tile_paths(level: int, index: int, width: int, path: str) -> None:
    """The paths of the specification, in both directions."""
    assert tiles.tile_path(level, index, width) == path
    assert tiles.parse_tile_path(path) == (level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/x000/001",
        "tile/8/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/05",
        "../x",
        "tile/0/\u0661\u0661\u0661",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    """One tile, one path."""
    with pytest.raises(PeerError, match="QNSP-LDG-002"):
        tiles.parse_tile_path(path)


@given(st.text(max_size=40))
def test_any_path_raises_only_our_error(path: str) -> None:
    """Text of a peer never becomes a path by accident."""
    with pytest.raises(PeerError, match="QNSP-LDG-002"):
        tiles.parse_tile_path(path)


@given(st.binary(max_size=100), st.integers(0, 4))
def test_any_bundle_raises_only_our_error(data: bytes, count: int) -> None:
    """A torn bundle is refused, never half read."""
    try:
        found = tiles.decode_entries(data, count)
    except PeerError as error:
        assert error.code == "QNSP-LDG-002"  # noqa: PT017  either outcome is right
    else:
        assert data.startswith(tiles.encode_entries(found))
    try:
        tiles.decode_hashes(data, count)
    except PeerError as error:
        assert error.code == "QNSP-LDG-002"  # noqa: PT017  either outcome is right


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=6))
def test_growing_step_by_step_is_growing_at_once(steps: list[int]) -> None:
    """However entries are grouped, the tree and its files are the same."""
    entries = [index.to_bytes(3, "big") for index in range(sum(steps))]
    edge, files, at = Edge(), dict[str, bytes](), 0
    for step in steps:
        growth = tiles.grow(edge, entries[at : at + step])
        files |= growth.files
        for path in growth.superseded:
            files.pop(path, None)
        edge, at = growth.edge, at + step
    once = tiles.grow(Edge(), entries)
    assert edge == once.edge
    assert files == dict(once.files)
    assert edge.root == mth(entries)
    for path, data in files.items():
        level, _, width = tiles.parse_tile_path(path)
        assert level == ENTRIES or len(data) == 32 * width


def test_an_upper_tile_is_full_at_65536() -> None:
    """The second level carries, too."""
    edge = Edge()
    growth = tiles.grow(edge, [b""] * (WIDTH * WIDTH))
    assert "tile/1/000" in growth.files
    assert growth.files["tile/2/000.p/1"] == tree.complete_root([growth.files["tile/1/000"][:32]] * WIDTH)
    assert growth.edge.levels == ((), (), (growth.files["tile/2/000.p/1"],))


def test_entries_have_a_limit() -> None:
    """65535 bytes fit, one more does not."""
    assert tiles.encode_entries([b"x" * 65535])
    with pytest.raises(ValueError, match="log its digest"):
        tiles.encode_entries([b"x" * 65536])
