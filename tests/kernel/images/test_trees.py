"""Trees, cpio archives and OCI layouts: what goes in comes out, in one order, and nothing leads outside."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.kernel.images import cpio, oci
from qnsp_policy.kernel.images.tree import FOLDER, Entry, Tree, TreeError


def file(data: bytes = b"", *, executable: bool = False) -> Entry:
    return Entry("file", data, executable=executable)


def tree_of(**entries: Entry) -> Tree:
    tree = Tree()
    for path, entry in entries.items():
        tree.add(path.replace("__", "/"), entry)
    return tree


def test_the_order_of_adding_is_nowhere() -> None:
    """Two trees of the same entries are the same archive."""
    entries = {"b/x": file(b"1"), "a": file(b"2", executable=True), "b/c/d": FOLDER, "l": Entry("link", b"a")}
    one, two = Tree(), Tree()
    one.merge(entries)
    two.merge(dict(reversed(entries.items())))
    assert cpio.write(one) == cpio.write(two)


def test_an_archive_is_read_back() -> None:
    """Kinds, data, what may be executed."""
    tree = tree_of(bin__app=file(b"app", executable=True), etc__x=file(b"x" * 7), link=Entry("link", b"/bin/app"))
    assert list(cpio.read(cpio.write(tree))) == list(tree)


@pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio here")
def test_the_system_s_cpio_lists_it() -> None:
    """Another reader of the format."""
    said = subprocess.run(
        ["cpio", "-t", "--quiet"], input=cpio.write(tree_of(a__b=file(b"x"))), capture_output=True, check=True
    )
    assert said.stdout.split() == [b"a", b"a/b"]


def test_the_bytes_of_an_archive_do_not_change() -> None:
    """A golden: registers of images that were built with an older version of this program must stay theirs."""
    tree = tree_of(bin__app=file(b"app", executable=True), etc__x=file(b"x" * 7), link=Entry("link", b"/bin/app"))
    assert hashlib.sha256(cpio.write(tree)).hexdigest() == GOLDEN


GOLDEN = "2787766491d9ca84df8d3dbe727322342c5ae8e19ba3349525faa0b75562f499"


def test_a_name_that_is_no_utf_8_is_carried_through() -> None:
    """Names are bytes: written, read back and sorted as they are (found by fuzzing)."""
    tree = tree_of(z=file(b"1"))
    tree.add(b"a\xff/\x80".decode("utf-8", "surrogateescape"), file(b"2"))
    assert list(cpio.read(cpio.write(tree))) == list(tree)
    assert b"a\xff/\x80\0" in cpio.write(tree)


@pytest.mark.parametrize("path", ["", "/", "..", "a/../../b", "a\0b", "/etc/passwd", "x" * 2000])
def test_a_path_that_leaves_is_refused(path: str) -> None:
    """Relative, downwards, short."""
    with pytest.raises(TreeError):
        Tree().add(path, FOLDER)


def test_a_path_through_a_link_lands_where_the_link_points() -> None:
    """As in a container whose /bin is a link: never outside the tree."""
    tree = tree_of(usr__bin=FOLDER, bin=Entry("link", b"usr/bin"), up=Entry("link", b"../../../.."))
    tree.add("bin/app", file(b"app"))
    tree.add("up/etc/x", file(b"x"))
    assert {path for path, _ in tree} >= {"usr/bin/app", "etc/x"}
    assert tree.get("bin/app") == file(b"app")


def test_links_in_a_circle_are_refused() -> None:
    """Not followed for ever."""
    tree = tree_of(a=Entry("link", b"b"), b=Entry("link", b"a"))
    with pytest.raises(TreeError, match="circle"):
        tree.add("a/x", file())


def test_a_file_has_nothing_under_it() -> None:
    """Neither by an archive's mistake."""
    with pytest.raises(TreeError, match="no folder"):
        tree_of(a=file(b"x")).add("a/b", file())


@pytest.mark.parametrize(
    "data",
    [b"", b"070701", b"070702" + b"0" * 104, b"070701" + b"z" * 104, cpio.write(tree_of(a=file(b"x" * 99)))[:200]],
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    """Cut, of another form, without numbers."""
    with pytest.raises(TreeError):
        cpio.read(data)


@pytest.mark.parametrize("number", [b"-0000001", b"+0000001", b" 0000001", b"0000_001", b"0x000001"])
def test_a_number_of_another_form_is_refused(number: bytes) -> None:
    """A size below zero would lead backwards for ever."""
    data = bytearray(cpio.write(tree_of(a=file(b"x"))))
    data[6 + 6 * 8 : 6 + 7 * 8] = number
    with pytest.raises(TreeError, match="no numbers"):
        cpio.read(bytes(data))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_tree_error(data: bytes) -> None:
    """A reader raises only its own error."""
    with pytest.raises(TreeError):
        cpio.read(b"070701" + data)


def layer(*members: tuple[str, bytes | str | None], zipped: bool = False) -> bytes:
    """A layer: bytes are a file, text is a link, None a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return gzip.compress(buffer.getvalue()) if zipped else buffer.getvalue()


def layout(*layers: bytes, change: str = "") -> tuple[bytes, str]:
    """An OCI layout in a tar and its manifest's digest."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    settings = {"Entrypoint": ["/bin/app"], "Cmd": ["serve"], "Env": ["LANG=C.UTF-8"]}
    config = blob(
        json.dumps({"architecture": "amd64", "config": settings}).encode(), "application/vnd.oci.image.config.v1+json"
    )
    kind = "application/vnd.oci.image.layer.v1.tar" + (
        "+zstd" if change == "zstd" else "+gzip" if change != "plain" else ""
    )
    listed = [blob(one, kind) for one in layers]
    manifest = blob(
        json.dumps({"config": config, "layers": listed}).encode(), "application/vnd.oci.image.manifest.v1+json"
    )
    index = {"manifests": [] if change == "no-manifest" else [manifest]}
    if change == "blob":
        first = str(listed[0]["digest"]).removeprefix("sha256:")
        blobs[first] = blobs[first] + b"\0"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in {
            "index.json": json.dumps(index).encode(),
            **{f"blobs/sha256/{d}": b for d, b in blobs.items()},
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue(), str(manifest["digest"])


def test_layers_are_laid_over_each_other() -> None:
    """Whiteouts take away, opaque folders are emptied, links of a lower layer are followed, later files win."""
    first = layer(
        ("usr/bin", None), ("bin", "usr/bin"), ("bin/app", b"old"), ("tmp/a", b"a"), ("etc/x", b"x"), zipped=True
    )
    second = layer(("bin/app", b"new"), ("etc/.wh.x", b""), ("tmp/.wh..wh..opq", b""), ("tmp/b", b"b"), zipped=True)
    image = oci.read(*layout(first, second))
    files = {path: entry.data for path, entry in image.tree if entry.kind == "file"}
    assert files == {"usr/bin/app": b"new", "tmp/b": b"b"}
    assert (image.command, image.environment) == (("/bin/app", "serve"), ("LANG=C.UTF-8",))


def test_plain_layers_are_read_too() -> None:
    """Not every builder compresses."""
    assert oci.read(*layout(layer(("a", b"a")), change="plain")).tree.get("a") == file(b"a", executable=True)


BENT: dict[str, dict[str, object]] = {
    "config-as-text": {"config": "x"},
    "layers-as-object": {"layers": {}},
    "layer-as-text": {"layers": ["x"]},
    "digest-as-number": {"config": {"digest": 1}},
    "digest-leads-outside": {"config": {"digest": "sha256:../../../etc/passwd"}},
}


@pytest.mark.parametrize("name", BENT)
def test_a_manifest_of_another_shape_is_refused(name: str) -> None:
    """Whatever JSON it is."""
    manifest = json.dumps({"config": {"digest": "sha256:" + "0" * 64}, "layers": [{}], **BENT[name]}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    index = json.dumps({"manifests": [{"digest": f"sha256:{digest}"}]}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in {"index.json": index, f"blobs/sha256/{digest}": manifest}.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(TreeError):
        oci.read(buffer.getvalue(), f"sha256:{digest}")


@pytest.mark.parametrize("change", ["blob", "no-manifest", "zstd"])
def test_a_layout_that_is_not_what_it_says_is_refused(change: str) -> None:
    """Every blob is held to its digest before it is read."""
    with pytest.raises(TreeError):
        oci.read(*layout(layer(("a", b"a"), zipped=True), change=change))


@pytest.mark.parametrize("data", [b"", b"x" * 2000, layer(("index.json", b"[]")), layer(("index.json", b"{"))])
def test_what_is_no_layout_is_refused(data: bytes) -> None:
    """Nothing but a tree error."""
    with pytest.raises(TreeError):
        oci.read(data, "sha256:" + "0" * 64)


def test_a_device_is_refused_outside_dev() -> None:
    """Under dev/ it is left out: init mounts the kernel's own."""

    def with_device(name: str) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo(name)
            info.type = tarfile.CHRTYPE
            archive.addfile(info)
        return gzip.compress(buffer.getvalue())

    assert list(oci.read(*layout(with_device("dev/null"))).tree) == []
    with pytest.raises(TreeError, match="device"):
        oci.read(*layout(with_device("etc/null")))


def test_a_folder_of_this_machine(tmp_path: Path) -> None:
    """Read by the workflow: see tests/workflows/test_image.py; here only that a link to outside stays a link."""
    (tmp_path / "l").symlink_to("/etc/passwd")
    from qnsp_policy.workflows.image import read_folder

    assert list(read_folder(tmp_path)) == [("l", Entry("link", b"/etc/passwd"))]
