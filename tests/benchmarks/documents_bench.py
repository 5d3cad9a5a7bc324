"""How fast documents are read and validated, beside PyYAML's own C loader on the same bytes in the same run.

`python tests/benchmarks/documents_bench.py [DOCUMENTS]`: each figure is the best of three, in seconds.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import yaml

from qnsp_policy.errors import DocumentErrors
from qnsp_policy.pipeline.documents import parse
from qnsp_policy.pipeline.model import build
from qnsp_policy.testing.generator import DOCUMENT_FAULTS, generated_files, with_faults


def best(work: Callable[[], object], times: int = 3) -> float:
    """The shortest of some runs, in seconds."""
    durations = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        durations.append(time.perf_counter() - started)
    return min(durations)


def measure(documents: int) -> dict[str, float]:
    """Every figure by name: seconds, megabytes, ratios."""
    files = generated_files(documents)
    wrong = with_faults(files, DOCUMENT_FAULTS[:1], share=1, seed=1)

    def refused() -> None:
        try:
            build(wrong)
        except DocumentErrors:
            return
        raise RuntimeError("a wrong workspace was taken")

    workspace = build(files)
    peer = best(lambda: [list(yaml.load_all(data, yaml.CSafeLoader)) for data in files.values()])
    validate = best(lambda: build(files))
    return {
        "documents": len(workspace.documents),
        "megabytes": sum(map(len, files.values())) / 1e6,
        "PyYAML CSafeLoader, values only": peer,
        "parse: values, strict, duplicate keys": best(lambda: [parse(name, data) for name, data in files.items()]),
        "validate: parse, type, resolve": validate,
        "validate, an eighth of the documents wrong": best(refused),
        "digest of all documents": best(workspace.digest),
        "ratio of validate to CSafeLoader": validate / peer,
        "peak memory of this process, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    for name, figure in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000).items():
        sys.stdout.write(f"{name:45} {figure:10.2f}\n")
