"""Writes a workspace of a given size, clean or with faults: `python -m tests.benchmarks.generate_workspace 10000 DIR --rule-faults 0.05`."""

from __future__ import annotations

import argparse
from pathlib import Path

from qnsp_policy.testing.generator import DOCUMENT_FAULTS, RULE_FAULTS, generated_files, with_faults


def main() -> None:
    """Write at least so many documents below a folder; a share of the lines that can carry a fault gets one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rule-faults", type=float, default=0, metavar="SHARE", help="what `check` refuses")
    parser.add_argument("--document-faults", type=float, default=0, metavar="SHARE", help="what `validate` refuses")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    files = with_faults(generated_files(chosen.documents), RULE_FAULTS, share=chosen.rule_faults, seed=chosen.seed)
    files = with_faults(files, DOCUMENT_FAULTS, share=chosen.document_faults, seed=chosen.seed)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (chosen.folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
