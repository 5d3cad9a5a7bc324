"""Files of a batch that are held in memory, as a minted fleet has them."""

from __future__ import annotations

from collections.abc import Mapping


class MemoryFiles:
    """The port `batch.Files` over a mapping of names to bytes."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def read(self, name: str) -> bytes:
        return self._files[name]

    def folder(self, name: str) -> Mapping[str, bytes]:
        return {path: data for path, data in self._files.items() if path.startswith(f"{name}/")}

    def is_folder(self, name: str) -> bool:
        return bool(self.folder(name))


__all__ = ["MemoryFiles"]
