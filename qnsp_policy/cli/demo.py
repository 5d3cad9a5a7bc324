"""`make demo`: the main job on a copy of the quickstart, told as it goes. Every step is a command that a user would type."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qnsp_policy.cli.exits import CHANGES, OK, UNPROVEN, VIOLATIONS
from qnsp_policy.pipeline.review.fit import fit

_RUN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the story.

    Attributes:
        title: what it is.
        says: what to look at.
        line: the command, without program and folder.
        expected: the exit code that the story needs; another one ends it.
        tail: how many lines of the output to show, 0 for all.
    """

    title: str
    says: str
    line: tuple[str, ...]
    expected: int = OK
    tail: int = 0


def story() -> tuple[Step, ...]:
    """The main job, in order; every command runs in the workspace's folder."""
    plan, answer, weaker = "change.plan", "answer.http", "../weaker"
    return (
        Step("validate", "Every document against its schema, every reference resolved.", ("validate",)),
        Step(
            "check",
            "More than a hundred rules, compiled from Rego, over all documents.",
            ("check", "--fail-on", "high"),
            tail=1,
        ),
        Step("trust show", "Who may get which key, under which evidence.", ("trust", "show")),
        Step(
            "review",
            "Somebody proposes to accept older firmware. One line of YAML; the review calls it what it is and fails.",
            ("trust", "diff", ".", weaker, "--fail-on", "weaken"),
            VIOLATIONS,
        ),
        Step(
            "plan",
            "Infrastructure and trust in one view, signed by alice with ML-DSA-65 and Ed25519. Exit 2: there are changes.",
            ("plan", "--save", plan, "--as", "alice", "--detailed-exitcode"),
            CHANGES,
        ),
        Step("approve", "bob reads and signs; alice could not.", ("approve", plan, "--as", "bob", "--yes")),
        Step(
            "apply",
            "The real Pulumi engine: a key broker, two enclaves (simulated SEV-SNP), an endpoint. The guest attests to the "
            "broker, gets the model key, opens the model in memory.",
            ("apply", plan),
        ),
        Step(
            "call",
            "An embedding from inside the enclave; the answer is signed and everything behind it is checked.",
            ("call", "clinic-embeddings", "--input", "chest pain", "--allow-simulated", "--save", answer),
        ),
        Step("verify", "The saved answer, offline.", ("verify-response", answer, "--allow-simulated")),
        Step(
            "verify, strictly",
            "The same without --allow-simulated: simulated hardware proves nothing, so it is refused. Exit 7.",
            ("verify-response", answer),
            UNPROVEN,
        ),
        Step(
            "another tenant asks",
            "An enclave of research, correctly attested, asks for the clinic's model key. Refused; the ledger says why. Exit 7.",
            ("attest", "ask", "clinic/model/minilm", "--enclave", "research-enclave"),
            UNPROVEN,
        ),
        Step("drift", "The running world against what was applied; reads only.", ("drift",)),
        Step("ledger", "Every log recomputed from its entries.", ("ledger", "verify")),
        Step(
            "destroy",
            "The end, by a plan like any other.",
            ("destroy", "--as", "alice", "--approve-as", "bob", "--save", "end.plan"),
            tail=9,
        ),
    )


def main() -> int:
    """Run the story; the folder is removed if it went well and kept if not."""
    console = Console(highlight=False)
    started = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="qnsp-demo-"))
    root = folder / "lab"
    times: list[tuple[str, float]] = []
    try:
        _tell(console, 0, "init", "A workspace of two tenants: throw-away keys, a sealed model, signed documents.")
        times.append(("init", _run(console, ("init", "--template", "quickstart", str(root)), None, OK, 4)))
        _weaker_copy(root, folder / "weaker")
        for number, step in enumerate(story(), start=1):
            _tell(console, number, step.title, step.says)
            times.append((step.title, _run(console, step.line, root, step.expected, step.tail)))
    except (_StoryEnds, KeyboardInterrupt) as end:
        console.print(Text(f"\nThe demo ended early: {end or 'interrupted'}", style="bold red"))
        _clean_up(console, root)
        console.print(f"The workspace is kept in {root}; logs are under .qnsp/run/logs.")
        return 130 if isinstance(end, KeyboardInterrupt) else 1
    shutil.rmtree(folder, ignore_errors=True)
    _summary(console, times, time.perf_counter() - started)
    return 0


class _StoryEnds(Exception):  # noqa: N818 -- ends the demo, no fault of its own
    """A step did not end as the story needs."""


def _tell(console: Console, number: int, title: str, says: str) -> None:
    console.print()
    console.rule(Text(f" {number}  {title} ", style="bold cyan"), align="left", style="cyan")
    console.print(Text(says, style="italic"))


def _run(console: Console, line: tuple[str, ...], root: Path | None, expected: int, tail: int) -> float:
    """Run one command; its output as it comes, or only the end of it."""
    shown = " ".join(f'"{word}"' if " " in word else word for word in line)
    console.print(Text(f"$ qnsp-policy {shown}", style="bold"))
    color = "always" if console.is_terminal else "never"
    command = [sys.executable, "-m", "qnsp_policy.cli.main", "--color", color, *line]
    begun = time.perf_counter()
    try:
        done = subprocess.run(  # noqa: S603 -- our own command line
            command,
            cwd=root,
            check=False,
            timeout=_RUN_SECONDS,
            text=True,
            stdout=subprocess.PIPE if tail else None,
            stderr=subprocess.STDOUT if tail else None,
        )
    except subprocess.TimeoutExpired:
        raise _StoryEnds(f"{line[0]} did not end within {_RUN_SECONDS} s") from None
    seconds = time.perf_counter() - begun
    if tail:
        lines = (done.stdout or "").rstrip().split("\n")
        skipped = len(lines) - tail
        if done.returncode != expected:
            skipped = 0
        if skipped > 0:
            console.print(Text(f"... {skipped} lines above", style="dim"))
        for text in lines[max(0, skipped) :]:
            sys.stdout.write((fit(text, console.width) if console.is_terminal else text) + "\n")
        sys.stdout.flush()
    if done.returncode != expected:
        raise _StoryEnds(f"{line[0]} ended with {done.returncode}, not {expected}")
    return seconds


def _weaker_copy(root: Path, target: Path) -> None:
    """The documents with one floor lowered: what a careless pull request looks like."""
    target.mkdir()
    for path in root.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        if path.name == "reference-values.yaml":
            text = text.replace("microcode: 209", "microcode: 115", 1)
        (target / path.name).write_text(text, encoding="utf-8")


def _clean_up(console: Console, root: Path) -> None:
    """End what the demo started."""
    if not (root / ".qnsp/run/supervisor.sock").exists():
        return
    console.print("Ending the processes that were started ...")
    for line in (("destroy", "--approve-as", "bob", "--save", str(root / "end.plan")),):
        command = [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(root), "-q", *line]
        subprocess.run(command, cwd=root, check=False, capture_output=True, timeout=_RUN_SECONDS)  # noqa: S603


def _summary(console: Console, times: list[tuple[str, float]], total: float) -> None:
    console.print()
    table = Table(
        title=f"The whole line in {total:.1f} s", title_justify="left", show_header=False, box=None, padding=(0, 2)
    )
    for title, seconds in times:
        table.add_row(title, f"{seconds:5.1f} s")
    console.print(table)
    console.print(
        "\nNow by yourself:  [bold].venv/bin/qnsp-policy init --template quickstart lab[/bold]   and read lab/*.yaml"
    )


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["Step", "main", "story"]
