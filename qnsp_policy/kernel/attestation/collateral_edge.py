"""Reads a folder of collateral from disk: files only, with limits, links that leave the folder refused."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from qnsp_policy.errors import OperatorError

MAX_FILES: Final = 4096
MAX_BYTES: Final = 64 * 1024 * 1024


def read_folder(folder: str | Path) -> dict[str, bytes]:
    """Every regular file under `folder` by its relative posix name; hidden files are passed over.

    Raises:
        OperatorError: `QNSP-OPS-041`: no folder, too many files, too many bytes, or something that is not a file.
    """
    root = Path(folder)
    if not root.is_dir():
        raise OperatorError("QNSP-OPS-041", f"no folder of collateral at {root}", subject=str(root))
    base = root.resolve()
    found: dict[str, bytes] = {}
    total = 0
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts):
            continue
        real = path.resolve()
        if not real.is_relative_to(base):
            raise OperatorError("QNSP-OPS-041", f"{relative} leaves the folder of collateral", subject=str(path))
        mode = real.stat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise OperatorError("QNSP-OPS-041", f"{relative} is not a regular file", subject=str(path))
        total += real.stat().st_size
        if len(found) >= MAX_FILES or total > MAX_BYTES:
            raise OperatorError(
                "QNSP-OPS-041", f"more than {MAX_FILES} files or {MAX_BYTES} bytes of collateral", subject=str(root)
            )
        found[relative.as_posix()] = real.read_bytes()
    return found


__all__ = ["MAX_BYTES", "MAX_FILES", "read_folder"]
