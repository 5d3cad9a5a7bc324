"""A unit without checkpoints under the real engine: killed anywhere, its state is completed and the world ends as declared."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.command import Processes
from qnsp_policy.pipeline.engine.events import ignore
from qnsp_policy.pipeline.engine.host import EngineHost
from qnsp_policy.pipeline.engine.order import ApplyFailed
from qnsp_policy.pipeline.engine.previews import PulumiPreviews
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.pipeline.plan.values import Action, Op, PreviewRequest, Unit
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace

pytestmark = pytest.mark.engine

SEED = int(os.environ.get("QNSP_SEED", "20261121"))
ROUNDS = 10 if "QNSP_KILL_NOTES" in os.environ else 1
"""Ten in `make kills`."""

RUN = """
import json, sys
from pathlib import Path
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.previews import PulumiPreviews
from qnsp_policy.pipeline.plan.values import Action, Op, PreviewRequest, Unit
from qnsp_policy.testing import engine_toys as toys
workspace = toys.ToyWorkspace.open(Path(sys.argv[1]), Path(sys.argv[2]))
unit, op = Unit.from_json(json.loads(sys.argv[3])), Op(sys.argv[4])
platform, state = toys.platform(), records.read_state(workspace.settings.backend)
before = state.units.get(unit.id)
if op is Op.DELETE:
    actions = [toys.delete(unit)] if before else []
elif op is Op.REPLACE:
    actions = [Action(unit.id, op)]
elif before is None:
    actions = [toys.create(unit)]
else:
    steps = PulumiPreviews(lambda: workspace.settings).preview([PreviewRequest(unit, before)])[unit.id]
    actions = [Action(unit.id, Op.UPDATE, steps=steps)]
print("applying", flush=True)
apply(toys.order(workspace, [platform, unit], actions, salt=sys.argv[5]), settings=workspace.settings)
"""


def fleet(*names: str, text: str = "") -> Unit:
    """Its processes are ready when the gate opens."""
    script = toys.WHEN_THE_GATE_OPENS
    return toys.enclave("a", *[toys.process(f"enclave-a-{n}-guest", script=script, text=text) for n in names])


def start(toy: ToyWorkspace, unit: Unit, op: Op, salt: str = "") -> subprocess.Popen[str]:
    import json

    line = [sys.executable, "-c", RUN, str(toy.folder), str(toy.settings.pulumi), json.dumps(unit.to_json()), op.value]
    return subprocess.Popen([*line, salt], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(toy: ToyWorkspace, unit: Unit, op: Op, salt: str) -> None:
    done = start(toy, unit, op, salt)
    said, _ = done.communicate(timeout=300)
    assert done.returncode == 0, said


def processes(toy: ToyWorkspace) -> list[str]:
    """Names of what really runs in the workspace, by looking at every process of the machine."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if process.cwd() == str(toy.folder) and words[1:2] == ["-c"] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(Path(words[3]).name.removesuffix(".ready"))
        except (psutil.Error, OSError, IndexError):
            continue
    return sorted(found)


def begun(toy: ToyWorkspace, count: int = 1) -> None:
    """Wait until so many processes run."""
    deadline = time.monotonic() + 240
    while len(processes(toy)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_engines(toy: ToyWorkspace) -> None:
    for engine in engines(toy):
        with contextlib.suppress(psutil.NoSuchProcess):
            engine.kill()


def engines(toy: ToyWorkspace) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("QNSP_WORKSPACE") == str(toy.folder) and process.cmdline()[:1] == [
                str(toy.settings.pulumi)
            ]:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def held(toy: ToyWorkspace, unit: Unit) -> set[str]:
    """Names that the stack's state holds."""
    with EngineHost() as host:
        driver = StackDriver(toy.settings, unit, Processes(), ignore, host)
        return {name for _, name in driver.export().resources}


def platform(toy: ToyWorkspace) -> None:
    unit = toys.platform()
    apply(toys.order(toy, [unit], [toys.create(unit)]), settings=toy.settings)


def test_what_a_killed_engine_made_is_in_the_state_and_goes_when_it_is_not_wanted_any_more(toy: ToyWorkspace) -> None:
    """SIGKILL of the engine in a first apply: the command itself completes the state, and a later plan removes what stands."""
    platform(toy)
    whole = fleet("0", "1", "2", "3", "4", "5")
    run = start(toy, whole, Op.CREATE)
    begun(toy)
    kill_engines(toy)
    toy.open_gate()
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 1, said
    assert "SIGKILL" in said
    stand = set(processes(toy))
    assert stand
    assert stand <= held(toy, whole)
    # The documents go back on the unit before anybody applied it again.
    small = fleet("9")
    finish(toy, small, Op.UPDATE, "other")
    assert processes(toy) == ["enclave-a-9-guest"]
    assert held(toy, small) == {"enclave-a-9-guest"}


def test_a_unit_that_vanishes_after_the_command_was_killed_leaves_nothing(toy: ToyWorkspace) -> None:
    """SIGKILL of the command, then a plan that deletes the unit: the journal tells what has to go."""
    platform(toy)
    unit = fleet("0", "1", "2")
    run = start(toy, unit, Op.CREATE)
    begun(toy, 2)
    run.kill()
    run.communicate()
    toy.open_gate()
    assert processes(toy)
    finish(toy, unit, Op.DELETE, "gone")
    assert processes(toy) == []
    assert records.read_unit(toy.settings.backend, "enclave/a") is None
    assert engines(toy) == []
    assert list(toy.folder.glob(".qnsp/state/pulumi/journal/*")) == []


def test_a_process_that_runs_for_another_unit_is_left_alone(toy: ToyWorkspace) -> None:
    """Same name, other unit: refused, still running for the first; deleting the second stops nothing of the first."""
    platform(toy)
    first = toys.enclave("a", toys.process("enclave-x-0-guest", text="first"))
    apply(toys.order(toy, [toys.platform(), first], [toys.create(first)]), settings=toy.settings)
    running = toy.running()["enclave-x-0-guest"].pid
    second = toys.enclave("b", toys.process("enclave-x-0-guest", text="second"))
    order = toys.order(toy, [toys.platform(), first, second], [toys.create(second)])
    with pytest.raises(ApplyFailed, match="QNSP-APL-016"):
        apply(order, settings=toy.settings)
    assert held(toy, second) == set()
    file = toy.folder / ".qnsp/run/cfg/enclave-x-0-guest.json"
    assert b"first" in file.read_bytes()
    apply(toys.order(toy, [toys.platform(), first], [Action("enclave/b", Op.DELETE)]), settings=toy.settings)
    assert toy.running()["enclave-x-0-guest"].pid == running
    assert b"first" in file.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_killed_at_random_through_a_whole_life(toy: ToyWorkspace, round_: int) -> None:
    """Create, update, replace, delete, each killed once at a random moment, command or engine, and done again."""
    dice = random.Random(f"{SEED}/{round_}")
    sys.stdout.write(f"QNSP_SEED={SEED} round {round_}\n")
    platform(toy)
    toy.open_gate()
    life = [
        (fleet("0", "1", "2"), Op.CREATE),
        (fleet("1", "2", "3", text="new"), Op.UPDATE),
        (fleet("1", "2", "3", text="new"), Op.REPLACE),
        (fleet("1", "2", "3", text="new"), Op.DELETE),
    ]
    for number, (unit, op) in enumerate(life):
        run = start(toy, unit, op, str(number))
        assert run.stdout is not None
        while (line := run.stdout.readline()) and "applying" not in line:
            pass
        time.sleep(dice.uniform(0.05, 2.5))
        if dice.random() < 0.5:
            run.send_signal(signal.SIGKILL)
        else:
            kill_engines(toy)
        run.communicate(timeout=300)
        # Done, or not even begun: another plan. Else the same one goes on.
        done = records.read_state(toy.settings.backend).unfinished == ""
        finish(toy, unit, op, f"{number} again" if done else str(number))
        wanted = sorted(p["name"] for p in unit.inputs["processes"]) if op is not Op.DELETE else []
        assert processes(toy) == wanted
        if op is not Op.DELETE:
            assert held(toy, unit) == set(wanted)
            for name in wanted:
                text = (toy.folder / f".qnsp/run/cfg/{name}.json").read_text()
                assert ("new" in text) == (op is not Op.CREATE)
        assert engines(toy) == []
    assert list(toy.folder.glob(".qnsp/run/cfg/enclave-*")) == []


def test_a_refused_preview_of_an_unfinished_unit_names_what_stands(toy: ToyWorkspace) -> None:
    """Between a kill and the next apply, a plan's preview shows the rest; nothing is written by it."""
    platform(toy)
    unit = fleet("0", "1")
    run = start(toy, unit, Op.CREATE)
    begun(toy)
    run.kill()
    run.communicate()
    toy.open_gate()
    before = records.read_unit(toy.settings.backend, "enclave/a")
    assert before is not None
    assert before.digest == ""
    deadline = time.monotonic() + 240
    while engines(toy):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    steps = PulumiPreviews(lambda: toy.settings).preview([PreviewRequest(unit, before)])["enclave/a"]
    assert {step.op for step in steps} <= {Op.CREATE, Op.UPDATE}
    finish(toy, unit, Op.UPDATE, "")
    assert processes(toy) == ["enclave-a-0-guest", "enclave-a-1-guest"]
