"""Writes the generated pages of documents: `python -m qnsp_policy.pipeline.model.reference_edge FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from qnsp_policy.pipeline.model.reference import reference_markdown
from qnsp_policy.pipeline.model.schema import json_schema


def write_pages(folder: Path) -> None:
    """Write `kinds.md` and `qnsp.policy-v1.json` into a folder."""
    (folder / "kinds.md").write_text(reference_markdown(), encoding="utf-8")
    (folder / "qnsp.policy-v1.json").write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))

__all__ = ["write_pages"]
