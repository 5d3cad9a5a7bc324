"""Reads a folder of collateral from disk: files only, with limits, links that leave the folder refused."""

from __future__ import annotations

import contextlib
import stat
import threading
from pathlib import Path
from typing import Final

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.collateral import Collateral

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
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # a link to nowhere, or in a circle
            raise OperatorError("QNSP-OPS-041", f"{relative} leads nowhere", subject=str(path)) from error
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


class CollateralFolder:
    """A folder of collateral that others keep fresh: read again when something in it changed.

    Not believed, as all collateral: whoever can write there can withhold or age what vendors signed, and forge nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._held = Collateral()
        self._lock = threading.Lock()

    def current(self) -> Collateral:
        """What the folder holds now; nothing where there is none configured.

        Raises:
            OperatorError: `QNSP-OPS-041`: the folder is not there, or is not one of collateral.
            EvidenceError: QNSP-ATT-CMP-008, a file of PEM certificates that cannot be read.
        """
        if self._folder is None:
            return self._held
        with self._lock:
            stamp = self._seen(self._folder)
            if stamp != self._stamp:
                self._held, self._stamp = Collateral.from_files(read_folder(self._folder)), stamp
            return self._held

    @staticmethod
    def _seen(folder: Path) -> tuple[tuple[str, int, int], ...]:
        found: list[tuple[str, int, int]] = []
        for path in sorted(folder.rglob("*"))[: MAX_FILES + 1]:
            with contextlib.suppress(FileNotFoundError):  # replaced meanwhile: the next look sees it
                status = path.stat()
                found.append((str(path), status.st_mtime_ns, status.st_size))
        return tuple(found)


__all__ = ["MAX_BYTES", "MAX_FILES", "CollateralFolder", "read_folder"]
