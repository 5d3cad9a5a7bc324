"""The bytes of the shipped catalog."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent


def catalog_files() -> Mapping[str, bytes]:
    """Bytes of every shipped file by its path below `catalog/`."""
    return {path.relative_to(_FOLDER).as_posix(): path.read_bytes() for path in sorted(_FOLDER.rglob("*.yaml"))}


__all__ = ["catalog_files"]
