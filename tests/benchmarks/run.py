"""`make bench`: figures beside named peers in the same run; writes docs/benchmarks.md. No figure here decides a test.

Peers: OpenTofu (whole processes: `tofu validate` over `terraform_data` resources) for documents; each module beside this one names its
own. Absolute times belong to one machine; ratios travel.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from qnsp_policy.pipeline.engine import toolchain
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.world.recorded import Genesis
from qnsp_policy.testing.generator import documents_of, generated_attachments, generated_files
from qnsp_policy.workflows.runtime import open_backend, write_genesis
from tests.benchmarks import applied_bench, apply_bench, attestation_bench, aws_bench, crypto_bench, documents_bench

ROOT = Path(__file__).parents[2]
CONSOLE = Console()
_READING = "Medians; peers ran in the same minutes on the same machine, which was shared: trust ratios, and CPU more than wall time."


@dataclass(frozen=True, slots=True)
class Run:
    """Medians of one command: wall seconds, processor seconds and peak memory (MB) of the process that was started."""

    seconds: float
    megabytes: float
    processor: float

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s, {self.processor:.2f} s CPU, {self.megabytes:.0f} MB"

    def over(self, peer: Run) -> str:
        """Ratios of wall time and of processor time."""
        return f"{self.seconds / peer.seconds:.2f} (CPU {self.processor / peer.processor:.2f})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what, our figure, the peer's, their ratio and what the issue asks."""

    what: str
    ours: str
    peer: str
    ratio: str
    bar: str = ""


_LAUNCHER = """
import os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
took = time.perf_counter() - started
with open(sys.argv[1], "w") as report:
    report.write(f"{os.waitstatus_to_exitcode(status)} {took} {usage.ru_maxrss} {usage.ru_utime + usage.ru_stime}")
"""
"""Starts the command from a small process: a child's peak counts what its parent held when it forked."""


def timed(command: Sequence[str], folder: Path, *, runs: int = 3, expected: tuple[int, ...] = (0,)) -> Run:
    """Starts a command several times and takes medians; another exit code than expected ends the benchmark."""
    walls: list[float] = []
    peaks: list[float] = []
    works: list[float] = []
    for _ in range(runs):
        with tempfile.TemporaryFile() as out, tempfile.NamedTemporaryFile("r") as report:
            line = [sys.executable, "-I", "-S", "-c", _LAUNCHER, report.name, *command]
            subprocess.run(line, cwd=folder, stdout=out, stderr=subprocess.STDOUT, check=True)
            code, wall, kilobytes, processor = report.read().split()
            walls.append(float(wall))
            peaks.append(int(kilobytes) / 1024)
            works.append(float(processor))
            if int(code) not in expected:
                out.seek(0)
                raise SystemExit(f"{' '.join(command)} failed: {out.read()[-2000:].decode(errors='replace')}")
    return Run(statistics.median(walls), statistics.median(peaks), statistics.median(works))


def tofu_folder(tofu: Path, folder: Path, resources: int) -> Path:
    """A configuration of that many `terraform_data` resources, initialised."""
    folder.mkdir()
    blocks = (
        f'resource "terraform_data" "r{n}" {{\n  input = {{ name = "r{n}", tier = "hip5-tier-2" }}\n}}\n'
        for n in range(resources)
    )
    (folder / "main.tf").write_text("".join(blocks))
    subprocess.run([tofu, "init", "-backend=false", "-input=false"], cwd=folder, check=True, capture_output=True)
    return folder


def documents(tofu: Path, work: Path, sizes: Sequence[int], runs: int) -> list[Row]:
    """validate and check of generated workspaces beside `tofu validate` of as many resources."""
    rows: list[Row] = []
    ours = [sys.executable, "-m", "qnsp_policy.cli.main"]
    for size in sizes:
        folder = work / f"documents-{size}"
        folder.mkdir()
        for name, data in generated_files(size).items():
            (folder / name).write_bytes(data)
        peer = timed([str(tofu), "validate"], tofu_folder(tofu, work / f"tofu-{size}", size), runs=runs)
        validate = timed([*ours, "validate"], folder, runs=runs)
        check = timed([*ours, "check"], folder, runs=runs, expected=(0, 3))
        named = f"{size:,} documents"
        bars = ("<= 1, < 600 MB", "< 2") if size == 10_000 else ("", "")
        rows.append(Row(f"`validate` {named}", str(validate), f"`tofu validate` {peer}", validate.over(peer), bars[0]))
        rows.append(Row(f"`check` {named}", str(check), f"`validate` {validate}", check.over(validate), bars[1]))
        CONSOLE.print(rows[-2], rows[-1], sep="\n")
    return rows


def plans(tofu: Path, work: Path, sizes: Sequence[int], runs: int) -> list[Row]:
    """`plan` of workspaces that yield that many new resources, beside `tofu plan` of as many."""
    rows: list[Row] = []
    for size in sizes:
        folder = work / f"plan-{size}"
        units, resources = planned_workspace(folder, size)
        peer_folder = work / f"tofu-{size}"
        if not peer_folder.exists():
            tofu_folder(tofu, peer_folder, size)
        peer = timed([str(tofu), "plan", "-input=false"], peer_folder, runs=runs)
        ours = timed([sys.executable, "-m", "qnsp_policy.cli.main", "plan"], folder, runs=runs, expected=(0, 3))
        bar = {1_000: "< 1.5", 10_000: "<= 1"}.get(size, "")
        what = f"`plan` of {resources:,} new resources in {units:,} units"
        rows.append(Row(what, str(ours), f"`tofu plan` of {size:,} {peer}", ours.over(peer), bar))
        CONSOLE.print(rows[-1])
    return rows


def planned_workspace(folder: Path, resources: int) -> tuple[int, int]:
    """Writes a workspace that yields at least so many resources, with sealed keys and a genesis record.

    Returns:
        How many units and resources a plan of it has.
    """
    documents = documents_of(resources)
    for name, data in {**generated_files(documents), **generated_attachments(documents)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    workspace = load(folder)
    write_genesis(open_backend(folder, workspace), Genesis("bench", trust_root_value(workspace), datetime.now(UTC)))
    line = [sys.executable, "-m", "qnsp_policy.cli.main", "--format", "json", "plan"]
    made = json.loads(subprocess.run(line, cwd=folder, check=False, capture_output=True).stdout)["plan"]
    return len(made["units"]), sum(len(action["steps"]) for action in made["actions"])


def memory(work: Path, sizes: Sequence[int]) -> list[Row]:
    """`validate` of ever more documents: time and memory a document, beside the smallest."""
    rows: list[Row] = []
    first: Run | None = None
    for size in sizes:
        folder = work / f"memory-{size}"
        folder.mkdir()
        for name, data in generated_files(size, files=max(10, size // 1_000)).items():
            (folder / name).write_bytes(data)
        run = timed([sys.executable, "-m", "qnsp_policy.cli.main", "validate"], folder, runs=1)
        first = first or run
        each = f"{run.processor / size * 1e6:.0f} us CPU and {run.megabytes / size * 1e3:.1f} KB a document"
        bar = "< 4 GB, linear" if size == 100_000 else ""
        rows.append(Row(f"`validate` {size:,} documents", str(run), f"{sizes[0]:,} documents {first}", each, bar))
        CONSOLE.print(rows[-1])
    return rows


def applies(tofu: Path, pulumi: Path, shapes: Sequence[tuple[int, int]]) -> list[Row]:
    """`apply` of local processes in several units, beside the same processes as one plain stack and beside OpenTofu."""
    resources = max(units * each for units, each in shapes)
    peer = apply_bench.plain(resources, pulumi)
    rows = []
    for units, each in shapes:
        ours = apply_bench.ours(units, each, pulumi)
        what = f"`apply` of {units * each:,} processes in {units} units of {each}, preview under the lock included"
        bar = {(4, 250): "<= 0.25", (20, 50): "<= 0.5"}.get((units, each), "")
        rows.append(Row(what, str(ours), f"plain Pulumi, one stack of {resources:,}: {peer}", ours.over(peer), bar))
        CONSOLE.print(rows[-1])
    beside = apply_bench.tofu(resources, tofu)
    rows.append(Row(f"the same, beside `tofu apply` of {resources:,}", str(ours), str(beside), ours.over(beside)))
    return rows


def unchanged(tofu: Path, work: Path, resources: int, runs: int) -> list[Row]:
    """`plan` without changes of applied local resources that are read back, beside `tofu plan` without changes."""
    folder = tofu_folder(tofu, work / "unchanged", resources)
    subprocess.run([tofu, "apply", "-auto-approve", "-input=false"], cwd=folder, check=True, capture_output=True)
    with applied_bench.applied(resources) as (root, units, steps):
        peer = timed([str(tofu), "plan", "-input=false", "-detailed-exitcode"], folder, runs=runs)
        line = [sys.executable, "-m", "qnsp_policy.cli.main", "plan", "--detailed-exitcode"]
        ours = timed(line, root, runs=runs)
    what = (
        f"`plan` without changes of {steps:,} applied resources in {units} units, read back from supervisor and broker"
    )
    row = Row(
        what, str(ours), f"`tofu plan` of {resources:,} {peer}", ours.over(peer), "< 2" if resources >= 1_000 else ""
    )
    CONSOLE.print(row)
    return [row]


def start_up() -> list[Row]:
    """`--help` and `version`, beside a bare interpreter."""
    bare = timed([sys.executable, "-c", "pass"], ROOT, runs=7)
    helped = timed([sys.executable, "-m", "qnsp_policy.cli.main", "--help"], ROOT, runs=7)
    return [
        Row(
            "`--help`",
            f"{helped.seconds * 1000:.0f} ms",
            f"`python -c pass` {bare.seconds * 1000:.0f} ms",
            f"{helped.seconds / bare.seconds:.1f}",
            "< 200 ms",
        )
    ]


def table(rows: Sequence[Row]) -> str:
    """The Markdown table."""
    lines = ["| what | ours | peer, same run | ratio | aim |", "|---|---|---|---|---|"]
    return "\n".join(lines + [f"| {row.what} | {row.ours} | {row.peer} | {row.ratio} | {row.bar} |" for row in rows])


def machine() -> str:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, Linux {platform.release().split('-')[0]}"


def figures(measured: Mapping[str, float]) -> str:
    """The figures of one module as a Markdown table."""
    return "\n".join(
        ["| what | figure |", "|---|---|", *(f"| {name} | {value:,.2f} |" for name, value in measured.items())]
    )


def main() -> None:
    """Runs every section and writes docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tofu", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--memory", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--fleet", type=int, default=10_000)
    parser.add_argument("--shapes", nargs="+", default=["4x250", "20x50"], help="units x processes of `apply`")
    parser.add_argument("--applied", type=int, default=1_000, help="resources of the `plan` without changes")
    parser.add_argument("--aws-fleets", type=int, default=100, help="fleets over three regions of the AWS figures")
    parser.add_argument("--runs", type=int, default=3, help="of each command; the median counts")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, one run each: four minutes")
    parser.add_argument("--no-write", action="store_true", help="print only")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.runs, chosen.memory, chosen.fleet = 1, [1_000, 10_000], 1_000
        chosen.shapes, chosen.applied, chosen.aws_fleets = ["4x50", "10x20"], 200, 20
    pulumi = toolchain.find("pulumi", environment=os.environ)
    if pulumi is None:
        raise SystemExit("pulumi is not built: make setup")
    with tempfile.TemporaryDirectory() as name:
        rows = [*start_up(), *documents(chosen.tofu, Path(name), chosen.sizes, chosen.runs)]
        # Before plans are made here: the peak of a started process includes what this one held when it forked.
        grown = memory(Path(name), chosen.memory)
        planned = plans(chosen.tofu, Path(name), chosen.sizes, chosen.runs)
        planned += unchanged(chosen.tofu, Path(name), chosen.applied, chosen.runs)
        done = applies(chosen.tofu, pulumi.path, apply_bench.shapes(chosen.shapes))
    page = "\n\n".join(
        (
            "# Benchmarks",
            f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. {_READING}",
            "## Documents and start-up (whole processes)\n\n" + table(rows),
            "## Plans (whole processes)\n\n" + table(planned),
            "## Applies (processor time of every process that had a part)\n\n" + table(done),
            "## Growth\n\n" + table(grown),
            f"## AWS, {chosen.aws_fleets} fleets over three regions, against a test double (moto)\n\n"
            + figures(aws_bench.measure(chosen.aws_fleets)),
            "## Documents, in process\n\n" + figures(documents_bench.measure(max(chosen.sizes))),
            "## Attestation, and its peer dcap-qvl\n\n" + figures(attestation_bench.measure(chosen.fleet)),
            "## Cryptography\n\n" + figures(crypto_bench.measure()),
        )
    )
    CONSOLE.print(page, markup=False)
    if not chosen.no_write:
        (ROOT / "docs" / "benchmarks.md").write_text(page + "\n")


if __name__ == "__main__":
    main()
