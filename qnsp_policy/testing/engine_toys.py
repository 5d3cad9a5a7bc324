"""Toy units and orders for tests of the engine: a platform with a supervisor, fleets of tiny processes.

Nothing here is signed; whoever tests signatures makes real plans.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulumi_qnsp.supervisor_edge import SupervisorClient, SupervisorFolder
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.wire.supervisor import ProcessReport
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.order import ApplyOrder
from qnsp_policy.pipeline.engine.programs import outlines
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.plan.values import Action, Op, PlannedStep, Unit
from qnsp_policy.pipeline.trust.trust_root import ApprovalRule, ApprovalRules, TrustRootValue
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
from qnsp_policy.pipeline.world.recorded import Genesis

Json = dict[str, Any]

READY_THEN_SLEEP = """
import pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(sys.argv[2:]))
while True: time.sleep(60)
"""

GATE = "gate"
"""Name of a file in the workspace's folder."""

WHEN_THE_GATE_OPENS = (
    f"""
import pathlib, time
while not pathlib.Path({GATE!r}).exists(): time.sleep(0.02)
"""
    + READY_THEN_SLEEP
)
"""Is not ready before the gate is there: an apply of it cannot end before a test lets it."""


def trust_root() -> TrustRootValue:
    """A TrustRoot of nobody."""
    rule = ApprovalRule(0)
    return TrustRootValue("toy", 1, "development", "high", 86400, {}, 1, {}, ApprovalRules(rule, rule, rule))


@dataclass(frozen=True, slots=True)
class ToyWorkspace:
    """A workspace folder with a backend, a genesis record and an engine."""

    folder: Path
    settings: EngineSettings

    @classmethod
    def make(cls, folder: Path, pulumi: Path, *, environment: Mapping[str, str] | None = None) -> ToyWorkspace:
        private = folder / ".qnsp"
        private.mkdir(mode=0o700, parents=True)
        (private / "passphrase").write_text("toy", encoding="utf-8")
        backend = FileBackend(private / "state")
        records.write_genesis(backend, Genesis("toy", trust_root(), datetime(2026, 11, 21, tzinfo=UTC)))
        return cls(
            folder,
            EngineSettings(
                folder,
                backend,
                pulumi,
                private / "passphrase",
                dict(os.environ) if environment is None else environment,
            ),
        )

    @classmethod
    def open(cls, folder: Path, pulumi: Path) -> ToyWorkspace:
        """One that was made before, as another process sees it."""
        private = folder / ".qnsp"
        backend = FileBackend(private / "state")
        return cls(folder, EngineSettings(folder, backend, pulumi, private / "passphrase", dict(os.environ)))

    def supervisor(self) -> SupervisorClient:
        return SupervisorClient(SupervisorFolder.at(self.folder / ".qnsp" / "run"))

    def open_gate(self) -> None:
        """Let processes of `WHEN_THE_GATE_OPENS` become ready."""
        (self.folder / GATE).touch()

    def running(self) -> dict[str, ProcessReport]:
        """What the supervisor says, by name; empty when there is none."""
        try:
            return {report.name: report for report in self.supervisor().reports()}
        except OSError:
            return {}

    @contextlib.contextmanager
    def cleared(self) -> Iterator[ToyWorkspace]:
        """End everything afterwards."""
        try:
            yield self
        finally:
            with contextlib.suppress(OSError):
                self.supervisor().shutdown()


def platform() -> Unit:
    run = ".qnsp/run"
    supervisor = {
        "runDir": run,
        "socket": f"{run}/supervisor.sock",
        "state": f"{run}/supervisor.json",
        "logs": f"{run}/logs",
    }
    inputs = {"platform": {"name": "lab", "type": "local", "simulated": True}, "supervisor": supervisor}
    return Unit("platform/lab", "platform", inputs, ())


def process(name: str, *words: str, script: str = READY_THEN_SLEEP, timeout: float = 60, text: str = "") -> Json:
    """A Process that writes a file and sleeps."""
    ready = f".qnsp/run/{name}.ready"
    return {
        "name": name,
        "argv": ["{python}", "-c", script, ready, *words],
        "env": {},
        "cwd": ".",
        "restart": "always",
        "readiness": {"http": None, "file": ready, "timeoutSeconds": timeout},
        "files": [{"path": f".qnsp/run/cfg/{name}.json", "mode": "0600", "json": {"text": text}}],
    }


def enclave(name: str, *processes: Json, depends_on: Sequence[str] = ("platform/lab",)) -> Unit:
    return Unit(f"enclave/{name}", "enclave", {"processes": list(processes)}, tuple(depends_on))


def create(unit: Unit) -> Action:
    steps = tuple(PlannedStep(Op.CREATE, step) for step in outlines()[unit.program](unit))
    return Action(unit.id, Op.CREATE, steps=steps)


def delete(unit: Unit) -> Action:
    steps = tuple(PlannedStep(Op.DELETE, step) for step in outlines()[unit.program](unit))
    return Action(unit.id, Op.DELETE, steps=steps)


def order(
    workspace: ToyWorkspace,
    units: Sequence[Unit],
    actions: Sequence[Action],
    *,
    salt: str = "",
    serial: int | None = None,
) -> ApplyOrder:
    """An order on the present state."""
    state = records.read_state(workspace.settings.backend)
    body = {"units": [unit.to_json() for unit in units], "serial": state.serial, "salt": salt}
    return ApplyOrder(
        plan_digest=sha256_digest(jcs(body)),
        envelope=jcs(body),
        units={unit.id: unit for unit in units},
        actions=tuple(actions),
        base_serial=state.serial if serial is None else serial,
        base_digests={unit.id: unit.deployment_digest for unit in state.units.values()},
    )


__all__ = [
    "READY_THEN_SLEEP",
    "WHEN_THE_GATE_OPENS",
    "ToyWorkspace",
    "create",
    "delete",
    "enclave",
    "order",
    "platform",
    "process",
    "trust_root",
]
