"""Unpacking the measured image's payload: a tar, into a folder of the guest's own, refusing everything but plain files and folders."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from qnsp_policy.errors import OperatorError

_LIMIT = 1 << 30
_MEMBERS = 10_000


def unpack(image: bytes, folder: Path) -> None:
    """Unpack `image` into `folder`, which must be empty or absent.

    Raises:
        OperatorError: `QNSP-GST-020`: not a tar, a link or device, a path that leaves the folder, or too large.
    """
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
            archive.extractall(folder, members=members, filter="data")
    except tarfile.TarError as error:
        raise OperatorError("QNSP-GST-020", f"the image cannot be unpacked: {error}") from None


__all__ = ["unpack"]
