"""Unpacking the measured image's payload: a tar, into a folder of the guest's own, refusing everything but plain files and folders."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.canonical import digest_like

_LIMIT = 1 << 30
_MEMBERS = 10_000


def unpack(image: bytes, folder: Path, *, digest: str | None = None) -> None:
    """Unpack `image` into `folder`, which must be empty or absent.

    Raises:
        OperatorError: `QNSP-GST-020`: not the one of this digest, not a tar, a link or device, a path that leaves the folder, or too large.
    """
    if digest is not None and (found := digest_like(digest, image)) != digest:
        raise OperatorError("QNSP-GST-020", "the image is not the planned one", expected=digest, got=found)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(image), mode="r:*") as archive:
            members = archive.getmembers()
            if len(members) > _MEMBERS:
                raise OperatorError("QNSP-GST-020", f"the image holds more than {_MEMBERS} members")
            for member in members:
                total += member.size
                if not (member.isfile() or member.isdir()):
                    raise OperatorError("QNSP-GST-020", f"the image holds a link or device: {member.name!r}")
                if total > _LIMIT:
                    raise OperatorError("QNSP-GST-020", f"the image unpacks to more than {_LIMIT} bytes")
            for member in members:
                _place(archive, member, folder)
    except (tarfile.TarError, FileExistsError, IsADirectoryError, NotADirectoryError, ValueError) as error:
        raise OperatorError("QNSP-GST-020", f"the image cannot be unpacked: {error}") from None


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one file or folder; `tarfile`'s own filters are not in Python 3.11.0 to 3.11.3. No link was made that it could follow."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise OperatorError("QNSP-GST-020", f"the image holds a path that leaves it: {member.name!r}")
    path = folder / name
    if member.isdir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = archive.extractfile(member)
    assert source is not None
    with source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    path.chmod(0o700 if member.mode & 0o100 else 0o600)


__all__ = ["unpack"]
