"""The folder of a new workspace appears whole: it is made in a hidden folder within and moved out when it is on the disk.

An `init` that is killed leaves the hidden folder and nothing else; the next one begins anew, or, where everything was made,
moves out what is left. One that fails leaves what it found.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.files_edge import sync_file, sync_folder

_MAKING, _MADE = ".init.making", ".init.made"
_LAST = "qnsp.yaml"
"""A folder without it is no workspace."""


@contextlib.contextmanager
def new_folder(directory: Path) -> Iterator[Path | None]:
    """Where to make a workspace; after the block it stands in `directory`.

    Yields:
        A folder to make everything in; None where an earlier `init` had made it all, so that only moving is left.

    Raises:
        OperatorError: QNSP-OPS-011, the folder is not empty, or another `init` is at work in it.
    """
    new = not directory.exists()
    if not new and not directory.is_dir():
        raise _taken(directory)
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _alone(directory, descriptor)
        if (directory / _MADE).exists():
            yield None
        else:
            yield from _anew(directory, new=new)
        _move_out(directory)
    finally:
        os.close(descriptor)


def _alone(directory: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _taken(directory, "another init is at work in it; ") from None


def _anew(directory: Path, *, new: bool) -> Iterator[Path]:
    making = directory / _MAKING
    if any(path.name != _MAKING for path in directory.iterdir()):
        raise _taken(directory)
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        yield making
        for folder, _, names in os.walk(making):
            for name in names:
                sync_file(Path(folder, name))
            sync_folder(Path(folder))
        making.rename(directory / _MADE)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        if new:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise


def _move_out(directory: Path) -> None:
    made = directory / _MADE
    for path in sorted(made.iterdir(), key=lambda path: path.name == _LAST):
        path.rename(directory / path.name)
    made.rmdir()
    sync_folder(directory)


def _taken(directory: Path, why: str = "") -> OperatorError:
    return OperatorError(
        "QNSP-OPS-011",
        f"{directory} exists and is not empty; {why}init writes into new or empty folders only",
        subject=str(directory),
        next_step="name another folder",
    )


__all__ = ["new_folder"]
