"""State in a folder: `file://` backends.

A write goes to a scratch file, is synced, and replaces the old one under a lock of the whole store, so that a crash or a
full disk leaves the old content or the new one and a conditional write is one step for every process of this host.
Network file systems whose locks or renames are not atomic are not supported.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.files_edge import make_folder, sweep, sync_folder, write_whole
from qnsp_policy.pipeline.world.backend import ABSENT, Absent, Conflict, check_key


class FileBackend:
    """A folder as state store: ours in `<root>/qnsp`, Pulumi's own in `<root>/pulumi`.

    Args:
        root: the folder of the backend's URL; made with mode 0700 when it is first written to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._store = self._root / "qnsp"

    @property
    def url(self) -> str:
        """The URL that Pulumi is given; the folder exists afterwards."""
        folder = self._root / "pulumi"
        with _as_ours(folder):
            self._make(folder)
        return folder.as_uri()

    def get(self, key: str) -> tuple[bytes, str] | None:
        path = self._path(key)
        with _as_ours(path):
            try:
                data = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return data, _etag(data)

    def put(self, key: str, data: bytes, *, if_match: str | Absent | None = None) -> str:
        path = self._path(key)
        with _as_ours(path), self._locked():
            self._hold(key, if_match)
            self._make(path.parent)
            write_whole(path, data)
        return _etag(data)

    def list(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted; leftovers of interrupted writes are not among them."""
        with _as_ours(self._store):
            found = [
                (Path(folder) / name).relative_to(self._store).as_posix()
                for folder, _, names in os.walk(self._store)
                for name in names
                if not name.startswith(".")
            ]
        return sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        path = self._path(key)
        with _as_ours(path), self._locked():
            if if_match is not None:
                self._hold(key, if_match)
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_folder(path.parent)
                sweep(path.parent)

    def files(self) -> Mapping[str, bytes]:
        """Everything below the root, ours and Pulumi's, by path relative to it; locks and scratch files are left out."""
        with _as_ours(self._root):
            paths = [Path(folder) / name for folder, _, names in os.walk(self._root) for name in names]
            return {
                path.relative_to(self._root).as_posix(): path.read_bytes()
                for path in sorted(paths)
                if path.name != ".lock" and not path.name.endswith(".part")
            }

    def put_files(self, files: Mapping[str, bytes]) -> None:
        """Write what `files` gave, each whole or not at all."""
        for name, data in files.items():
            path = self._root / name
            if ".." in path.parts:
                raise ValueError(name)
            with _as_ours(path), self._locked():
                self._make(path.parent)
                write_whole(path, data)

    def drop_files(self, folder: str) -> None:
        where = self._root / folder
        with _as_ours(where):
            for path in where.glob("*"):
                path.unlink(missing_ok=True)

    def drop_scratch(self) -> None:
        with _as_ours(self._root):
            for folder, _, names in os.walk(self._root / "pulumi"):
                for name in names:
                    if name.endswith(".tmp"):
                        (Path(folder) / name).unlink(missing_ok=True)

    def _make(self, folder: Path) -> None:
        """Make a folder of ours and those between it and the root; `parents` alone would leave them open to others."""
        if not self._root.parent.exists():
            self._root.parent.mkdir(parents=True, exist_ok=True)
        make_folder(folder)

    def _path(self, key: str) -> Path:
        return self._store / check_key(key)

    def _hold(self, key: str, condition: str | Absent | None) -> None:
        if condition is None:
            return
        present = self.get(key)
        if (present is None) if condition is ABSENT else (present is not None and present[1] == condition):
            return
        raise Conflict(key)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._make(self._store)
        descriptor = os.open(self._store / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _etag(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


_CAUSES = {
    errno.ENOSPC: ("QNSP-ENG-011", "the disk is full", "free space and run the command again; nothing was lost"),
    errno.EDQUOT: (
        "QNSP-ENG-011",
        "the disk quota is used up",
        "free space and run the command again; nothing was lost",
    ),
    errno.EROFS: ("QNSP-ENG-012", "the disk is read-only", "make it writable and run the command again"),
    errno.EACCES: ("QNSP-ENG-012", "no permission", "run as the owner of the state folder"),
    errno.EPERM: ("QNSP-ENG-012", "no permission", "run as the owner of the state folder"),
    errno.EMFILE: ("QNSP-ENG-013", "no file descriptors are left", "raise `ulimit -n` and run the command again"),
    errno.ENFILE: ("QNSP-ENG-013", "no file descriptors are left", "raise the limit of the system and run again"),
}


@contextlib.contextmanager
def _as_ours(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code, what, next_step = _CAUSES.get(
            error.errno or 0, ("QNSP-ENG-010", error.strerror or str(error), "see that the state folder can be used")
        )
        raise OperatorError(code, f"state at {path}: {what}", subject=str(path), next_step=next_step) from error


__all__ = ["FileBackend"]
