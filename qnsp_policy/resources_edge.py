"""The only reader of data files that ship with the program: rules, tool pins, examples, rule pages.

In a wheel they lie in `_data` beside this file; in a checkout they lie at the repository's root.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_path(*parts: str) -> Path:
    """The path of a shipped file or folder, e.g. `data_path("policies")`.

    Raises:
        FileNotFoundError: nothing of that name was shipped.
    """
    shipped = _PACKAGE / "_data"
    root = shipped if shipped.is_dir() else _PACKAGE.parent
    path = root.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"{'/'.join(parts)} is not part of this installation")
    return path


__all__ = ["data_path"]
