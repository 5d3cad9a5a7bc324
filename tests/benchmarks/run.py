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
import time
from collections.abc import Callable, Mapping, Sequence
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

_OF_CHECK = (
    "What dominates: `validate` is libyaml's tree (two thirds) and pydantic. What `check` adds for 10,000 documents: the planner's refusals, "
    "grants included (a third), the rules in wasm and their input (a quarter each), the places and words of 7,500 findings (a sixth). Where "
    "no bytecode is kept (docs/adr/0032) compiling the rules adds 0.35 s."
)
_OF_UNCHANGED = (
    "What dominates: loading the program (a third), making the plan with its canonical JSON and digests (a quarter), reading the documents (a "
    "seventh), verifying 500 signatures (a tenth). The supervisor and the brokers are asked one question each."
)
_OF_APPLY = (
    "What dominates: the engine's own start and end for each unit (some 0.5 s of processor time), so many small units cost more than few "
    "large ones; and the start of a thousand processes. `tofu`'s `terraform_data` makes nothing: it is the floor of an engine, not a peer."
)


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


def applies(tofu: Path, pulumi: Path, shapes: Sequence[tuple[int, int]], *, plain: bool) -> list[Row]:
    """`apply` of local processes in several units, beside the same processes as one plain stack and beside OpenTofu."""
    resources = max(units * each for units, each in shapes)
    beside = apply_bench.tofu(resources, tofu)
    peer = apply_bench.plain(resources, pulumi) if plain else None
    rows = []
    for units, each in shapes:
        ours = apply_bench.ours(units, each, pulumi)
        what = f"`apply` of {units * each:,} processes in {units} units of {each}, preview under the lock included"
        if peer is not None:
            bar = {(4, 250): "<= 0.25", (20, 50): "<= 0.5"}.get((units, each), "")
            rows.append(Row(what, str(ours), f"plain Pulumi, one stack of {resources:,}: {peer}", ours.over(peer), bar))
        rows.append(Row(what, str(ours), f"`tofu apply` of {resources:,}: {beside}", ours.over(beside)))
        CONSOLE.print(*rows[-2:], sep="\n")
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


def as_installed() -> None:
    """Leave the bytecode and the compiled rules that an installation has after its first use, whatever this environment says."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, data in generated_files(16).items():
            (folder / file).write_bytes(data)
        for verb in ("validate", "check", "plan"):
            line = [sys.executable, "-m", "qnsp_policy.cli.main", verb]
            subprocess.run(line, cwd=folder, env=environment, check=False, capture_output=True)


@dataclass(frozen=True, slots=True)
class Section:
    """One heading of the page, and what measures the text below it; `name` is what --skip calls it."""

    name: str
    title: str
    measure: Callable[[], str]


def told(section: Section, failures: list[str]) -> str:
    """The section's text; where its measurement fails the page says so, and goes on with the next."""
    started = time.perf_counter()
    try:
        text = section.measure()
    except (Exception, SystemExit) as problem:  # noqa: BLE001 -- one section that cannot be measured must not cost the others
        CONSOLE.print_exception()
        failures.append(section.name)
        text = f"Not measured in this run: {type(problem).__name__}: {str(problem)[:400]}"
    CONSOLE.print(f"{section.name}: {time.perf_counter() - started:.0f} s", highlight=False)
    return f"## {section.title}\n\n{text}"


def main() -> None:
    """Runs every section and writes docs/benchmarks.md; exit code 1 where one could not be measured."""
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
    parser.add_argument(
        "--no-plain", action="store_true", help="without the plain stack of a thousand, a minute by itself"
    )
    parser.add_argument("--skip", nargs="+", default=[], metavar="SECTION", help="leave sections out")
    parser.add_argument("--no-write", action="store_true", help="print only")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.runs, chosen.memory, chosen.fleet = 1, [1_000, 10_000], 1_000
        chosen.shapes, chosen.applied, chosen.aws_fleets = ["4x50", "10x20"], 200, 20
    pulumi = toolchain.find("pulumi", environment=os.environ)
    if pulumi is None:
        raise SystemExit("pulumi is not built: make setup")
    as_installed()
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        wanted = sections(chosen, work, pulumi.path)
        unknown = set(chosen.skip) - {section.name for section in wanted}
        if unknown:
            raise SystemExit(f"no such section: {', '.join(sorted(unknown))}")
        texts = [told(section, failures) for section in wanted if section.name not in chosen.skip]
    page = "\n\n".join(
        ("# Benchmarks", f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. {_READING}", *texts)
    )
    CONSOLE.print(page, markup=False)
    if not chosen.no_write:
        (ROOT / "docs" / "benchmarks.md").write_text(page + "\n")
    if failures:
        raise SystemExit(f"not measured: {', '.join(failures)}")


def sections(chosen: argparse.Namespace, work: Path, pulumi: Path) -> list[Section]:
    """Every section in the order of the page."""
    tofu, runs = chosen.tofu, chosen.runs
    shapes = apply_bench.shapes(chosen.shapes)
    return [
        Section(
            "documents",
            "Documents and start-up (whole processes)",
            lambda: noted(table([*start_up(), *documents(tofu, work, chosen.sizes, runs)]), _OF_CHECK),
        ),
        Section("growth", "Growth", lambda: table(memory(work, chosen.memory))),
        Section("plans", "Plans (whole processes)", lambda: table(plans(tofu, work, chosen.sizes, runs))),
        Section(
            "unchanged",
            "Plans without changes, the world read back (whole processes)",
            lambda: noted(table(unchanged(tofu, work, chosen.applied, runs)), _OF_UNCHANGED),
        ),
        Section(
            "applies",
            "Applies (processor time of every process that had a part)",
            lambda: noted(table(applies(tofu, pulumi, shapes, plain=not chosen.no_plain)), _OF_APPLY),
        ),
        Section(
            "aws",
            f"AWS, {chosen.aws_fleets} fleets over three regions, against a test double (moto)",
            lambda: figures(aws_bench.measure(chosen.aws_fleets)),
        ),
        Section("in-process", "Documents, in process", lambda: figures(documents_bench.measure(max(chosen.sizes)))),
        Section(
            "attestation",
            "Attestation, and its peer dcap-qvl",
            lambda: figures(attestation_bench.measure(chosen.fleet)),
        ),
        Section("cryptography", "Cryptography", lambda: figures(crypto_bench.measure())),
    ]


def noted(text: str, note: str) -> str:
    """A table with what dominates in it."""
    return f"{text}\n\n{note}"


if __name__ == "__main__":
    main()
