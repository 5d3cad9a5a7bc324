"""Tar files that are the same bytes whenever their files are: sorted names, no times, no owners."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO


def write_tar(sink: IO[bytes], files: Mapping[str, Path | bytes]) -> None:
    """Write files (by their name inside) as an uncompressed USTAR archive."""
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            content = files[name]
            entry = tarfile.TarInfo(name)
            entry.mode = 0o644
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                entry.size = content.stat().st_size
                with content.open("rb") as source:
                    archive.addfile(entry, source)


def folder_files(folder: Path, prefix: str) -> dict[str, Path | bytes]:
    """The plain files under a folder by their names inside an archive; caches and hidden files are left out."""
    found: dict[str, Path | bytes] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in relative.parts):
            found[f"{prefix}{relative.as_posix()}"] = path
    return found


__all__ = ["folder_files", "write_tar"]
