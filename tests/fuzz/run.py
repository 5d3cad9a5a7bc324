"""Fuzzes the attestation kernel for a bounded time: coverage-guided by atheris where it is installed, else by plain random damage.

`python -m tests.fuzz.run [SECONDS] [SEED] [TARGET...]`: SECONDS for each target, all of `tests/fuzz/targets.py` unless some are named.
A finding (any error that is not ours, more than five seconds, more than 2 GiB) is printed with the input that leads to it; exit code 1.
"""

from __future__ import annotations

import hashlib
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

from tests.fuzz.damage import damaged

SLOW_SECONDS: Final = 5
_MEMORY_MIB: Final = 2048
_MAX_INPUT: Final = 64 * 1024


def place_of(error: BaseException) -> str:
    """Where an error of ours came from, as a file name: the innermost file and line of the kernel, and the type."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "qnsp_policy" in frame.filename]
    where = f"{Path(frames[-1].filename).stem}-{frames[-1].lineno}" if frames else "outside"
    return f"{where}-{type(error).__name__}"


def guided(name: str, seconds: int, seed: int) -> bool:
    """One target under libFuzzer, in a process of its own; whether it found nothing."""
    from tests.fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder:
        corpus, findings = Path(folder, "corpus"), Path(folder, "findings")
        corpus.mkdir()
        findings.mkdir()
        for data in TARGETS[name].seeds():
            (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        options = {
            "max_total_time": seconds,
            "seed": seed,
            "max_len": _MAX_INPUT,
            "rss_limit_mb": _MEMORY_MIB,
            "print_final_stats": 1,
        }
        flags = [f"-{option}={value}" for option, value in options.items()]
        command = [sys.executable, "-m", "tests.fuzz.one", name, str(findings), *flags, str(corpus)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        runs = next((line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "?")
        found = sorted(findings.glob("*.bin"))
        sys.stdout.write(f"{name}: {runs} inputs, {len(found)} findings\n")
        if done.returncode:
            sys.stdout.write(done.stdout[-2000:] + done.stderr[-4000:])
        for path in found:
            sys.stdout.write(f"{path.with_suffix('.txt').read_text()}\ninput: {path.read_bytes().hex()}\n")
        sys.stdout.flush()
        return not done.returncode and not found


def tried(name: str, dice: random.Random) -> str:
    """One damaged seed of a target; what was found, "" if nothing."""
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    data = damaged(dice.choice(target.seeds()), dice)
    started = time.process_time()
    try:
        target(data)
    except Exception:  # noqa: BLE001  this is what the search is for
        return f"{traceback.format_exc()}\n{data.hex()}"
    spent = time.process_time() - started
    return f"{spent:.1f} s\n{data.hex()}" if spent > SLOW_SECONDS else ""


def unguided(name: str, seconds: int, seed: int) -> bool:
    """One target under random damage; whether it found nothing."""
    tries, findings, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        if found := tried(name, random.Random(seed + tries)):
            findings += 1
            sys.stdout.write(f"{name}, seed {seed + tries}: {found}\n")
        tries += 1
    sys.stdout.write(f"{name}: {tries} inputs, {findings} findings\n")
    return not findings


def main(arguments: list[str]) -> int:
    """Runs the targets one after the other; 1 if any found something."""
    from tests.fuzz.targets import TARGETS

    seconds = int(arguments[0]) if arguments else 60
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    names = arguments[2:] or list(TARGETS)
    search = guided
    if importlib.util.find_spec("atheris") is None:
        sys.stdout.write(
            "atheris is not installed here (make fuzz says why): random damage without coverage guidance\n"
        )
        search = unguided
    good = [search(name, seconds, seed) for name in names]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
