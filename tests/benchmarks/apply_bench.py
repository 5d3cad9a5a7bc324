"""How long `apply` takes for the same resources in one unit and in several: `python tests/benchmarks/apply_bench.py 4x50 1x200`.

Resources are real processes (`sleep`) under a real supervisor, made by the real engine, the preview under the lock included;
every figure names its units. Not part of `make bench`: a thousand resources take minutes.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from qnsp_policy.pipeline.engine import toolchain
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.testing import engine_toys as toys


def sleeper(name: str) -> toys.Json:
    """A resource that costs nothing but its making."""
    argv = ["/bin/sleep", "99999"]
    return {"name": name, "argv": argv, "env": {}, "cwd": ".", "restart": "always", "readiness": None, "files": []}


def measure(units: int, each: int, pulumi: Path) -> dict[str, float]:
    """Wall and processor seconds of one apply of `units` units with `each` resources."""
    with tempfile.TemporaryDirectory() as folder, toys.ToyWorkspace.make(Path(folder) / "toy", pulumi).cleared() as toy:
        platform = toys.platform()
        apply(toys.order(toy, [platform], [toys.create(platform)]), settings=toy.settings)
        fleets = [
            toys.enclave(f"e{u}", *[sleeper(f"enclave-e{u}-{n}-guest") for n in range(each)]) for u in range(units)
        ]
        order = toys.order(toy, [platform, *fleets], [toys.create(unit) for unit in fleets])
        started, before = time.perf_counter(), _processor()
        apply(order, settings=toy.settings)
        return {"seconds": time.perf_counter() - started, "processor seconds": _processor() - before}


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Measure each shape of the line."""
    found = toolchain.find("pulumi", environment=os.environ)
    if found is None:
        raise SystemExit("pulumi is not built: make setup")
    for shape in sys.argv[1:] or ["4x50", "1x200"]:
        units, each = (int(word) for word in shape.split("x"))
        figures = measure(units, each, found.path)
        sys.stdout.write(
            f"{units} units of {each}: " + ", ".join(f"{name} {value:.1f}" for name, value in figures.items()) + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
