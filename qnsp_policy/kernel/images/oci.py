"""An OCI image layout in a tar (what `skopeo copy ... oci-archive:` writes): the one manifest that a digest names, its layers as a tree.

Comes in: the tar's bytes and the manifest's digest. Goes out: a `Tree`, and what the image says to run. Every blob is held to its digest
before it is read. Source: OCI image specification 1.1 (layout, manifest, layers and whiteouts).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from qnsp_policy.kernel.images.tree import MAX_TOTAL, Entry, Tree, TreeError, name_bytes

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_MAX_JSON: Final = 4 * 1024 * 1024
_LAYERS: Final = frozenset(
    {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    }
)


@dataclass(frozen=True, slots=True)
class OciImage:
    """An image: its files, and its own words for what to run.

    Attributes:
        command: entrypoint and arguments.
        environment: `NAME=value` words.
        architecture: in Go's words (amd64, arm64).
    """

    tree: Tree
    command: tuple[str, ...]
    environment: tuple[str, ...]
    architecture: str


def manifests(layout: bytes) -> tuple[str, ...]:
    """Digests of the manifests that a layout's index names.

    Raises:
        TreeError: not a layout.
    """
    index = _json(_Layout(layout).file("index.json"))
    return tuple(str(one.get("digest")) for one in _list_of(index, "manifests", dict))


def read(layout: bytes, digest: str) -> OciImage:
    """The image whose manifest has this digest.

    Raises:
        TreeError: it is not there, a blob is not what its digest says, or a layer holds what a tree cannot.
    """
    files = _Layout(layout)
    named = manifests(layout)
    if digest not in named:
        raise TreeError(f"the layout holds {', '.join(named) or 'no manifest'}, not {digest}")
    manifest = _json(files.blob(digest))
    layers = _list_of(manifest, "layers", dict)
    if not layers:
        raise TreeError("the manifest names no layers (an index of several platforms: name one platform's manifest)")
    config = _json(files.blob(str(_object(manifest, "config").get("digest"))))
    tree = Tree()
    for layer in layers:
        if layer.get("mediaType") not in _LAYERS:
            raise TreeError(f"layers of type {layer.get('mediaType')!r} are not read; gzip and plain tar are")
        _apply(tree, files.blob(str(layer.get("digest"))))
    settings = _object(config, "config")
    command = (*_list_of(settings, "Entrypoint", str), *_list_of(settings, "Cmd", str))
    return OciImage(tree, command, tuple(_list_of(settings, "Env", str)), str(config.get("architecture", "")))


T = TypeVar("T")


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name) or {}
    if not isinstance(found, dict):
        raise TreeError(f"{name} is no object")
    return found


def _list_of(value: Mapping[str, Any], name: str, kind: type[T]) -> list[T]:
    found = value.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, kind) for one in found):
        raise TreeError(f"{name} is no list of {kind.__name__}")
    return found


class _Layout:
    def __init__(self, data: bytes) -> None:
        try:
            self._archive = tarfile.open(fileobj=io.BytesIO(data), mode="r:")  # noqa: SIM115 - lives in memory
            self._members = {member.name.removeprefix("./"): member for member in self._archive.getmembers()}
        except (tarfile.TarError, EOFError) as error:
            raise TreeError(f"not a tar: {error}") from error

    def file(self, name: str) -> bytes:
        member = self._members.get(name)
        if member is None or not member.isfile() or member.size > MAX_TOTAL:
            raise TreeError(f"the layout holds no file {name[:120]!r}")
        opened = self._archive.extractfile(member)
        assert opened is not None
        return opened.read()

    def blob(self, digest: str) -> bytes:
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64:
            raise TreeError(f"a blob is named {digest[:80]!r}; SHA-256 is read")
        data = self.file(f"blobs/sha256/{value}")
        if hashlib.sha256(data).hexdigest() != value:
            raise TreeError(f"the blob {digest} holds something else")
        return data


def _json(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data) if len(data) <= _MAX_JSON else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise TreeError("a JSON document of the layout cannot be read")
    return value


def _apply(tree: Tree, layer: bytes) -> None:
    if layer[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(layer)) as stream:
                layer = stream.read(MAX_TOTAL + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise TreeError(f"a layer cannot be unpacked: {error}") from error
        if len(layer) > MAX_TOTAL:
            raise TreeError(f"a layer unpacks to more than {MAX_TOTAL} bytes")
    try:
        with tarfile.open(fileobj=io.BytesIO(layer), mode="r:") as archive:
            for member in archive:
                _apply_member(tree, archive, member)
    except tarfile.TarError as error:
        raise TreeError(f"a layer is no tar: {error}") from error


def _apply_member(tree: Tree, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    path = member.name.lstrip("/").removeprefix("./").rstrip("/")
    if path in {"", "."}:
        return
    folder, _, name = path.rpartition("/")
    if name == _OPAQUE:
        tree.clear(folder)
    elif name.startswith(_WHITEOUT):
        tree.remove(f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"))
    elif member.isdir():
        tree.add(path, Entry("folder"))
    elif member.issym():
        tree.add(path, Entry("link", name_bytes(member.linkname)))
    elif member.islnk():
        target = tree.get(member.linkname.lstrip("/").removeprefix("./"))
        if target is None or target.kind == "folder":
            raise TreeError(f"{path[:120]!r} is a hard link to what is not there")
        tree.add(path, target)
    elif member.isfile():
        opened = archive.extractfile(member)
        assert opened is not None
        tree.add(path, Entry("file", opened.read(), executable=bool(member.mode & 0o111)))
    elif not path.startswith("dev/"):  # init mounts the kernel's own /dev over whatever an image has there
        raise TreeError(f"{path[:120]!r} is a device or a pipe")


__all__ = ["OciImage", "manifests", "read"]
