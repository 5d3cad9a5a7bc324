"""Reads a plain file of bounded size; replaces one whole or not at all, durable on return, and clears up what a killed writer left."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from qnsp_policy.errors import OperatorError

_PART = ".part"
_HELD = ".held"
_swept: set[Path] = set()


def read_plain(path: Path, limit: int) -> bytes:
    """The bytes of a regular file: a device or a pipe might never end.

    Raises:
        OSError: it cannot be read.
        OperatorError: QNSP-OPS-093: it is no regular file, or larger than the limit.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OperatorError("QNSP-OPS-093", f"{path} is not a regular file", subject=str(path))
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OperatorError("QNSP-OPS-093", f"{path} is larger than {limit} bytes", subject=str(path))
    return data


def write_whole(path: Path, data: bytes, *, mode: int = 0o600, before: Callable[[], object] = lambda: None) -> None:
    """Write a file so that a crash, a full disk or a kill leaves the old one or the new one.

    Args:
        path: its folder must exist; a link is followed, a device or a pipe is written to as it is.
        data: the new content.
        mode: of the file, as far as the umask lets it.
        before: called when the content is on the disk and before the file appears under its name.

    Raises:
        OSError: nothing was changed.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        before()
        with path.open("wb") as file:
            file.write(data)
        return
    scratch = scratch_beside(path)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        before()
        scratch.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    sweep(path.parent)


def scratch_beside(path: Path) -> Path:
    """A name beside a file for what will replace it; `sweep` knows whose it was."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}{_PART}")


def sweep(folder: Path) -> None:
    """Remove scratch files whose writer was killed; looks once a folder and process."""
    if folder in _swept:
        return
    _swept.add(folder)
    for left in folder.glob(f".*{_PART}"):
        pid = left.name.removesuffix(_PART).rpartition(".")[2].partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                left.unlink()


@contextlib.contextmanager
def own_folder(prefix: str) -> Iterator[Path]:
    """A private scratch folder for as long as it is held; what processes that were killed left of the same prefix is removed.

    Whose process lives is known by a lock, not by its id: processes of several namespaces may share a scratch folder.
    """
    sweep_own_folders(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    held = os.open(folder / f"{_HELD}.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        (folder / f"{_HELD}.new").rename(folder / _HELD)  # held before anybody sees it
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def sweep_own_folders(prefix: str) -> None:
    """Remove what `own_folder` made for processes that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*/{_HELD}"):
        with contextlib.suppress(OSError):
            _remove_left(left)


def _remove_left(held: Path) -> None:
    descriptor = os.open(held, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid == os.getuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(held.parent, ignore_errors=True)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those that lead to it, 0700 where they are not there; durable on return."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        sync_folder(each.parent)


def sync_file(path: Path) -> None:
    """Make durable what another program wrote."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = [
    "make_folder",
    "own_folder",
    "read_plain",
    "scratch_beside",
    "sweep",
    "sweep_own_folders",
    "sync_file",
    "sync_folder",
    "write_whole",
]
