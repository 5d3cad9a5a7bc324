"""Writes a valid workspace of a given size: `python tests/benchmarks/generate_workspace.py 10000 DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

from qnsp_policy.testing.generator import generated_files


def main(documents: int, folder: Path) -> None:
    """Write at least `documents` documents below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in generated_files(documents).items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
