"""How long `apply` takes for the same resources in several units, beside one plain Pulumi stack and OpenTofu in the same run.

`python -m tests.benchmarks.apply_bench 4x250 20x50`: resources are real processes (`sleep`) under a real supervisor, made by
the real engine, the preview under the lock included. The plain stack is what a user of Pulumi would write for the same
processes: a program in Pulumi's SDK, our plugin from PATH, `up` by the Automation API, without a preview.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from qnsp_policy.pipeline.engine import toolchain
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.programs import program
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.testing import engine_toys as toys


@dataclass(frozen=True, slots=True)
class Took:
    """Wall seconds, and processor seconds of all processes that had a part in it."""

    seconds: float
    processor: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.processor:.1f} s CPU"

    def over(self, peer: Took) -> str:
        """Ratios of wall time and of processor time."""
        return f"{self.seconds / peer.seconds:.2f} (CPU {self.processor / peer.processor:.2f})"


def sleeper(name: str) -> toys.Json:
    """A resource that costs nothing but its making."""
    argv = ["/bin/sleep", "99999"]
    return {"name": name, "argv": argv, "env": {}, "cwd": ".", "restart": "always", "readiness": None, "files": []}


def fleets(units: int, each: int) -> list[Unit]:
    """So many units of so many processes."""
    return [toys.enclave(f"e{u}", *[sleeper(f"enclave-e{u}-{n}-guest") for n in range(each)]) for u in range(units)]


def ours(units: int, each: int, pulumi: Path) -> Took:
    """One apply of `units` units with `each` resources."""
    with _toy(pulumi) as toy:
        order = toys.order(toy, [toys.platform(), *(made := fleets(units, each))], [toys.create(unit) for unit in made])
        took = _timed(toy, lambda: apply(order, settings=toy.settings))
        _expect(toy, units * each)
        return took


def plain(resources: int, pulumi: Path) -> Took:
    """The same resources as one stack of a plain Pulumi program."""
    from pulumi import automation as auto

    with _toy(pulumi) as toy:
        (unit,) = fleets(1, resources)
        environment = toy.settings.process_environment(plan=None, plan_digest="")
        work = toy.folder / "plain"
        work.mkdir()
        options = auto.LocalWorkspaceOptions(
            work_dir=str(work),
            pulumi_home=environment["PULUMI_HOME"],
            pulumi_command=auto.PulumiCommand(root=str(pulumi.parents[1])),
            env_vars=environment,
        )
        stack = auto.create_stack("plain", project_name="plain", program=program(unit), opts=options)
        took = _timed(toy, lambda: stack.up(parallel=32))
        _expect(toy, resources)
        return took


def tofu(resources: int, binary: Path) -> Took:
    """As many `terraform_data` resources by `tofu apply`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        blocks = (f'resource "terraform_data" "r{n}" {{\n  input = {{ name = "r{n}" }}\n}}\n' for n in range(resources))
        (folder / "main.tf").write_text("".join(blocks))
        subprocess.run([str(binary), "init", "-input=false"], cwd=folder, check=True, capture_output=True)
        command = [str(binary), "apply", "-auto-approve", "-input=false"]
        return _timed(None, lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True))


class _toy:  # noqa: N801 - used as a statement
    """A workspace with its supervisor running, removed afterwards."""

    def __init__(self, pulumi: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self._toy = toys.ToyWorkspace.make(self._folder / "toy", pulumi)

    def __enter__(self) -> toys.ToyWorkspace:
        platform = toys.platform()
        apply(toys.order(self._toy, [platform], [toys.create(platform)]), settings=self._toy.settings)
        return self._toy

    def __exit__(self, *_: object) -> None:
        with self._toy.cleared():
            pass
        shutil.rmtree(self._folder, ignore_errors=True)


def _timed(toy: toys.ToyWorkspace | None, work: Callable[[], object]) -> Took:
    pid = toy.supervisor().ping() if toy is not None else None
    supervisor = psutil.Process(pid) if pid is not None else None
    before, started = _processor(supervisor), time.perf_counter()
    work()
    return Took(time.perf_counter() - started, _processor(supervisor) - before)


def _processor(supervisor: psutil.Process | None) -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own = sum(each.ru_utime + each.ru_stime for each in used)
    if supervisor is None:
        return own
    times = supervisor.cpu_times()
    return own + times.user + times.system


def _expect(toy: toys.ToyWorkspace, resources: int) -> None:
    running = len(toy.running())
    if running != resources:
        raise SystemExit(f"{running} processes run, not {resources}")


def shapes(words: Sequence[str]) -> list[tuple[int, int]]:
    """`4x250` as numbers."""
    return [(int(units), int(each)) for units, _, each in (word.partition("x") for word in words)]


def main() -> None:
    """Measure each shape of the line, then the same resources as one plain stack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=["4x50"])
    parser.add_argument("--no-plain", action="store_true")
    chosen = parser.parse_args()
    found = toolchain.find("pulumi", environment=os.environ)
    if found is None:
        raise SystemExit("pulumi is not built: make setup")
    wanted = shapes(chosen.shapes)
    peer = None if chosen.no_plain else plain(max(u * n for u, n in wanted), found.path)
    if peer is not None:
        sys.stdout.write(f"one plain stack: {peer}\n")
    for units, each in wanted:
        took = ours(units, each, found.path)
        sys.stdout.write(f"{units} units of {each}: {took}" + (f", {took.over(peer)}" if peer else "") + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
