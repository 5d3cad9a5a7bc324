"""One target under atheris: `python -m tests.fuzz.one TARGET FOLDER [libFuzzer's options]`; started by `tests.fuzz.run`.

Each finding is written into FOLDER (input, and traceback beside it), one for each place it comes from, and the search goes on.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qnsp_policy.kernel", "cbor2"]):
    from tests.fuzz.run import SLOW_SECONDS, place_of
    from tests.fuzz.targets import TARGETS


def watched(name: str, findings: Path) -> None:
    """Sets the target up, each finding kept."""
    target = TARGETS[name]

    def keep(data: bytes, place: str, text: str) -> None:
        (findings / f"{place}.bin").write_bytes(data)
        (findings / f"{place}.txt").write_text(text)

    def run(data: bytes) -> None:
        started = time.process_time()
        try:
            target(data)
        except Exception as error:  # noqa: BLE001  this is what the search is for
            keep(data, place_of(error), traceback.format_exc())
        if (spent := time.process_time() - started) > SLOW_SECONDS:
            keep(data, "slow", f"{spent:.1f} s")

    atheris.Setup([sys.argv[0], *sys.argv[3:]], run)


if __name__ == "__main__":
    watched(sys.argv[1], Path(sys.argv[2]))
    atheris.Fuzz()
