"""One unit's Pulumi stack: preview, up, refresh, destroy, export, through the Automation API with an inline program.

The SDK runs more processes than the work needs (`stack select`, after `up` two `stack output` and one `stack history`); this
drives it without them. Engine processes run in groups of their own, so that a terminal's Ctrl-C reaches us alone and we
decide how they end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnsp_policy.errors import EngineError, OperatorError, QnspError
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.processes_edge import ProcessIdentity, exec_argv, identify, send_signal
from qnsp_policy.pipeline.engine import programs
from qnsp_policy.pipeline.engine.attached import ProviderHost
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener
from qnsp_policy.pipeline.engine.settings import PROJECT, EngineSettings, check_sdk
from qnsp_policy.pipeline.plan.values import Op, PlannedStep, Step, Unit

if TYPE_CHECKING:
    from pulumi import automation as auto
    from pulumi.automation.events import EngineEvent, StepEventMetadata

Json = dict[str, Any]
_MARKUP = re.compile(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m")
_OPS = {
    "create": Op.CREATE,
    "import": Op.CREATE,
    "update": Op.UPDATE,
    "delete": Op.DELETE,
    "replace": Op.REPLACE,
    "create-replacement": Op.REPLACE,
}
_PROGRESS = re.compile(r"(code|stdout|stderr): ?-?\d*$|@ |[-+~]{1,2} +\S+:")
_PASSING = frozenset({"created", "modified", "propertyDependencies"})
STEPS = 32
"""Resources of one stack at work at once: ours wait for processes and brokers, they do not compute."""
_COUNTS = frozenset({"update failed", "preview failed", "destroy failed", "refresh failed"})
_OWN_TYPES = ("pulumi:pulumi:Stack", "pulumi:providers:")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack's exported state.

    Attributes:
        digest: SHA-256 of its canonical form, without times.
        outputs: the stack's outputs.
        resources: type and name of each resource of ours.
        held: broker objects by resource name, with the digest that was handed over.
        pending: operations that an interrupted run left open.
    """

    digest: str
    outputs: Json
    resources: tuple[tuple[str, str], ...]
    held: Mapping[str, str]
    pending: int


class Processes:
    """The engine processes of one run, so that they can be ended together.

    Args:
        began, ended: told of each process, for the lease's record.
        on_cancel: told when the run is to end.
    """

    def __init__(
        self,
        began: Callable[[ProcessIdentity | None], None] = lambda _: None,
        ended: Callable[[ProcessIdentity | None], None] = lambda _: None,
        on_cancel: Callable[[], None] = lambda: None,
    ) -> None:
        self._began, self._ended, self._on_cancel = began, ended, on_cancel
        self._running: set[ProcessIdentity] = set()
        self._lock = threading.Lock()
        self.cancelled = threading.Event()

    @contextlib.contextmanager
    def running(self, pid: int) -> Iterator[None]:
        identity = identify(pid)
        with self._lock:
            if identity is not None:
                self._running.add(identity)
            cancelled = self.cancelled.is_set()
        self._began(identity)
        if cancelled and identity is not None:
            send_signal(identity, signal.SIGINT)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(identity) if identity else None
            self._ended(identity)

    def cancel(self) -> None:
        """Ask every engine process to finish what is in flight, save its state and end."""
        self.cancelled.set()
        self._on_cancel()
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End every engine process now; the next run clears up."""
        self.cancelled.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            for identity in self._running:
                send_signal(identity, number)


@dataclass(slots=True)
class StackDriver:
    """Drives the stack of one unit.

    Args:
        settings: the workspace's engine.
        unit: what it should be.
        processes: where engine processes are registered.
        listener: told of steps.
        plan: file of the plan's envelope that authorises this run.
        plan_digest: its digest.
        host: serves providers within this process; None lets the engine start plugins from PATH.
    """

    settings: EngineSettings
    unit: Unit
    processes: Processes
    listener: Listener
    plan: Path | None = None
    plan_digest: str = ""
    host: ProviderHost | None = None
    _attached: str = ""
    _code: int = 0
    _errors: list[str] = field(default_factory=list)
    _stack: Any = None
    _loops: list[asyncio.AbstractEventLoop] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.unit.id.replace("/", ".")

    def create(self) -> None:
        """Make the stack; nothing happens if it exists."""
        from pulumi.automation.errors import StackAlreadyExistsError

        stack = self._open()
        with contextlib.suppress(StackAlreadyExistsError):
            self._locking("stack init", lambda: stack.workspace.create_stack(self.name))

    def preview(self, *, refresh: bool, replace: Sequence[Step] = ()) -> tuple[PlannedStep, ...]:
        """What an `up` would do, unchanged resources left out.

        Args:
            refresh: read the world first.
            replace: resources to be made anew whatever they are.

        Raises:
            EngineError: QNSP-ENG-032, the preview failed.
        """
        steps: list[PlannedStep] = []
        ended: list[bool] = []

        def on_event(event: EngineEvent) -> None:
            self._diagnostic(event)
            if event.resource_pre_event is not None:
                planned = _planned(event.resource_pre_event.metadata)
                if planned is not None:
                    steps.append(planned)
            if event.summary_event is not None:
                ended.append(True)

        urns = self._urns(replace)
        stack = self._open()
        self._locking(
            "preview",
            lambda: stack.preview(
                on_event=on_event, refresh=refresh, replace=urns, color="never", suppress_outputs=True
            ),
        )
        if not ended:
            raise EngineError("QNSP-ENG-033", f"the preview of {self.unit.id} ended without a summary")
        return merge_replacements(steps)

    def up(self, *, refresh: bool, replace: Sequence[Step] = ()) -> None:
        """Make the stack what the program says.

        Raises:
            EngineError: QNSP-ENG-032, a step failed; what was done is in the stack's state.
        """
        urns = self._urns(replace)
        stack = self._open()
        self._locking(
            "up",
            lambda: stack.up(
                on_event=self._step,
                refresh=refresh,
                replace=urns,
                parallel=STEPS,
                color="never",
                suppress_outputs=True,
            ),
        )

    def refresh(self, *, clear_pending_creates: bool) -> None:
        """Take what the world says into the stack's state."""
        stack = self._open()
        self._locking(
            "refresh",
            lambda: stack.refresh(on_event=self._step, color="never", clear_pending_creates=clear_pending_creates),
        )

    def destroy(self) -> None:
        """Remove every resource, then the stack."""
        from pulumi.automation.errors import StackNotFoundError

        stack = self._open()
        try:
            self._locking("destroy", lambda: stack.destroy(on_event=self._step, color="never"))
            with self._told("stack rm"):
                stack.workspace.remove_stack(self.name, force=False)
        except StackNotFoundError:
            return

    def recover(self) -> bool:
        """Clear what a killed run left in the stack: the engine's own lock, operations it never saw the end of.

        Only the holder of the lease may call this. Every create of ours adopts what exists, so a pending create can be
        forgotten: the next `up` finds the resource or makes it.

        Returns:
            Whether an operation was pending.
        """
        if not self.export().pending:
            return False
        self.refresh(clear_pending_creates=True)
        return True

    def unprotect(self) -> None:
        """Lift Pulumi's protection from every resource; only for what a plan destroys by name."""
        from pulumi.automation.errors import StackNotFoundError

        with contextlib.suppress(StackNotFoundError), self._told("state unprotect"):
            self._open().run(["state", "unprotect", "--all", "--yes"])

    def export(self) -> Deployment:
        """The stack's state as it is; empty for a stack that is gone, as a destroy that was killed leaves it."""
        from pulumi.automation.errors import StackNotFoundError

        try:
            with self._told("stack export"):
                text = self._open().run(["stack", "export"])
        except StackNotFoundError:
            return deployment_of({})
        return deployment_of(json.loads(text))

    def _open(self) -> Any:
        if self._stack is None:
            check_sdk()
            self.settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._stack = _open_stack(self)
        return self._stack

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn the SDK's errors into ours, with the engine's own diagnostics instead of its whole output."""
        from pulumi.automation.errors import CommandError, StackAlreadyExistsError, StackNotFoundError

        self._errors.clear()
        try:
            yield
        except (StackAlreadyExistsError, StackNotFoundError):
            raise
        except CommandError as error:
            said = [text for text in dict.fromkeys(self._errors) if text not in _COUNTS] or self._errors
            said = said or _last_lines(str(error), self._code)
            if self.processes.cancelled.is_set():
                raise EngineError(
                    "QNSP-ENG-034", f"{what} of {self.unit.id} was interrupted; its state is saved"
                ) from error
            raise EngineError(
                "QNSP-ENG-032", f"{what} of {self.unit.id} failed: " + "; ".join(said)[:2000], subject=self.unit.id
            ) from error
        except QnspError:
            raise
        except OSError as error:
            raise OperatorError("QNSP-ENG-035", f"{what} of {self.unit.id}: {error.strerror or error}") from error
        finally:
            self._close_loops()

    def _program(self) -> Callable[[], None]:
        program = programs.program(self.unit)

        def noted() -> None:
            self._loops.append(asyncio.get_running_loop())
            program()

        return noted

    def _close_loops(self) -> None:
        """Close the event loop of a program that failed; the SDK forgets it, with two sockets each."""
        deadline = time.monotonic() + 1
        while self._loops:
            loop = self._loops[-1]
            if loop.is_running() and time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            self._loops.pop()
            if not loop.is_running():
                loop.close()

    def _urns(self, steps: Sequence[Step]) -> list[str] | None:
        return [f"urn:pulumi:{self.name}::{PROJECT}::{step.type}::{step.name}" for step in steps] or None

    def _locking(self, what: str, call: Callable[[], object]) -> None:
        """Run an operation that takes the engine's own lock; free that lock first if a dead run left it.

        Whoever gets here holds the lease and has ended the processes of whoever held it before, so no living run of
        ours can own the engine's lock.
        """
        from pulumi.automation.errors import ConcurrentUpdateError

        with self._told(what), self._providers():
            try:
                call()
            except ConcurrentUpdateError:
                if self.processes.cancelled.is_set():
                    raise
                self._errors.clear()
                self._open().run(["cancel", "--yes"])
                call()

    @contextlib.contextmanager
    def _providers(self) -> Iterator[None]:
        if self.host is None:
            yield
            return
        environment = self.settings.process_environment(plan=self.plan, plan_digest=self.plan_digest)
        with self.host.attached(environment) as addresses:
            self._attached = addresses
            try:
                yield
            finally:
                self._attached = ""

    def _diagnostic(self, event: EngineEvent) -> None:
        diagnostic = event.diagnostic_event
        if diagnostic is None or diagnostic.ephemeral:
            return
        text = _MARKUP.sub("", diagnostic.message).strip()
        if diagnostic.severity == "error" and text:
            self._errors.append(_without_boilerplate(text))
        elif diagnostic.severity == "warning" and text and not text.startswith("using pulumi-resource-"):
            self.listener(Event(EventKind.MESSAGE, self.unit.id, text=text))

    def _step(self, event: EngineEvent) -> None:
        self._diagnostic(event)
        for kind, found in (
            (EventKind.STEP_STARTED, event.resource_pre_event),
            (EventKind.STEP_DONE, event.res_outputs_event),
            (EventKind.STEP_FAILED, event.res_op_failed_event),
        ):
            if found is not None:
                planned = _planned(found.metadata)
                if planned is not None:
                    resource = f"{planned.step.type} {planned.step.name}"
                    self.listener(Event(kind, self.unit.id, op=planned.op.value, resource=resource))


def _open_stack(driver: StackDriver) -> Any:
    from pulumi import automation as auto
    from pulumi.automation._cmd import CommandResult
    from pulumi.automation.errors import create_command_error
    from semver import VersionInfo

    settings = driver.settings
    environment = settings.process_environment(plan=driver.plan, plan_digest=driver.plan_digest)
    work_dir = settings.folder / "stacks" / driver.name
    work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    class Command(auto.PulumiCommand):
        """Runs the CLI with our environment only, in a group of its own, bound to the life of this process."""

        def __init__(self) -> None:
            self.command = str(settings.pulumi)
            self.version = VersionInfo(3, 250, 0)

        def run(
            self,
            args: list[str],
            cwd: str,
            additional_env: Mapping[str, str],
            on_output: Callable[[str], Any] | None = None,
            on_error: Callable[[str], Any] | None = None,
        ) -> CommandResult:
            del on_output, on_error
            env = {**additional_env, **environment, "PULUMI_AUTOMATION_API": "true"}
            if driver._attached:  # noqa: SLF001 - one class in two functions
                env["PULUMI_DEBUG_PROVIDERS"] = driver._attached  # noqa: SLF001
            argv = exec_argv([self.command, "--non-interactive", *args])
            with (
                subprocess.Popen(  # noqa: S603 - the pinned CLI
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=cwd,
                    env=env,
                    start_new_session=True,
                    encoding="utf-8",
                    errors="replace",
                ) as process,
                driver.processes.running(process.pid),
            ):
                stdout, stderr = process.communicate()
            driver._code = process.returncode  # noqa: SLF001 - one class in two functions
            result = CommandResult(stdout=stdout.rstrip("\n"), stderr=stderr.rstrip("\n"), code=process.returncode)
            if result.code != 0:
                raise create_command_error(result)
            return result

    class Stack(auto.Stack):
        """Without the processes that only fill values nobody reads."""

        def __init__(self, name: str, workspace: auto.LocalWorkspace) -> None:
            self.name = name
            self.workspace = workspace

        def outputs(self) -> dict[str, Any]:
            return {}

        def info(self, show_secrets: bool = True) -> auto.UpdateSummary:
            del show_secrets
            now = datetime.now(UTC)
            return auto.UpdateSummary("update", now, "", {}, {}, "succeeded", now)

        def run(self, args: list[str]) -> str:
            return str(self._run_pulumi_cmd_sync(args).stdout)

    workspace = auto.LocalWorkspace(
        work_dir=str(work_dir),
        pulumi_home=str(settings.folder / "home"),
        program=driver._program(),  # noqa: SLF001 - one class in two functions
        secrets_provider=settings.secrets_provider or None,
        project_settings=auto.ProjectSettings(name=PROJECT, runtime="python"),
        pulumi_command=Command(),
    )
    return Stack(driver.name, workspace)


def deployment_of(exported: Any) -> Deployment:
    """Read `pulumi stack export`."""
    deployment = exported.get("deployment") or {}
    resources = deployment.get("resources") or []
    outputs: Json = {}
    ours = []
    held = {}
    for resource in resources:
        kind = str(resource.get("type", ""))
        if kind == "pulumi:pulumi:Stack":
            outputs = dict(resource.get("outputs") or {})
        elif not kind.startswith(_OWN_TYPES):
            name = str(resource["urn"]).rsplit("::", 1)[-1]
            ours.append((kind, name))
            if kind.startswith("qnsp:broker:"):
                held[name] = str((resource.get("outputs") or {}).get("digest", ""))
    pending = len(deployment.get("pending_operations") or [])
    return Deployment(sha256_digest(jcs(_lasting(deployment))), outputs, tuple(ours), held, pending)


def _lasting(deployment: Json) -> Json:
    """A deployment without what changes when nothing does: its manifest, times, and dependencies that a refresh drops."""
    resources = [
        {name: member for name, member in resource.items() if name not in _PASSING}
        for resource in deployment.get("resources") or []
    ]
    return {name: member for name, member in deployment.items() if name != "manifest"} | {"resources": resources}


def _planned(metadata: StepEventMetadata) -> PlannedStep | None:
    op = _OPS.get(str(getattr(metadata.op, "value", metadata.op)))
    if op is None or metadata.type.startswith(_OWN_TYPES):
        return None
    state = metadata.new or metadata.old
    parts = metadata.urn.split("::")
    parents = parts[2].split("$")[:-1]
    parent = (
        state.parent.rsplit("::", 1)[-1]
        if state and state.parent and parents and "pulumi:pulumi:Stack" not in parents[-1]
        else None
    )
    inputs = own_inputs((state.inputs if state else None) or {})
    changed = sorted({path.split("[")[0] for path in (metadata.detailed_diff or {})} | set(metadata.diffs or []))
    properties = tuple(changed) if op in {Op.UPDATE, Op.REPLACE} else ()
    return PlannedStep(op, Step(metadata.type, parts[-1], parent, inputs), properties)


def own_inputs(value: Any) -> Any:
    """Inputs without the marks (`__defaults`) that bridged providers put into every object of theirs."""
    if isinstance(value, Mapping):
        return {name: own_inputs(member) for name, member in value.items() if name != "__defaults"}
    return [own_inputs(item) for item in value] if isinstance(value, list) else value


def merge_replacements(steps: list[PlannedStep]) -> tuple[PlannedStep, ...]:
    """One step a resource: the engine tells a replacement as up to three."""
    merged: dict[tuple[str, str], PlannedStep] = {}
    for planned in steps:
        key = (planned.step.type, planned.step.name)
        present = merged.get(key)
        if present is None or planned.op is Op.REPLACE:
            merged[key] = (
                planned
                if present is None or planned.properties
                else PlannedStep(planned.op, planned.step, present.properties)
            )
    return tuple(merged.values())


def _without_boilerplate(text: str) -> str:
    """An error's own words without the engine's counting around them."""
    # Of a program's traceback the first line names the error.
    text = text.partition("Traceback (most recent call last)")[0].strip() or text.strip().splitlines()[-1]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("sdk-v2/", "* ")) and "error occurred:" not in line]
    starred = [line.removeprefix("* ").strip() for line in lines if line.startswith("* ")]
    return " ".join([*kept, *starred]) or text


def _last_lines(text: str, code: int) -> list[str]:
    """What an engine that gave no diagnostics said in the end, without its progress."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return [f"the engine process was ended by {signal.Signals(-code).name}"]
    lines = [line.strip() for line in _MARKUP.sub("", text).splitlines() if line.strip()]
    lines = [line for line in lines if not _PROGRESS.match(line)]
    said = [line for line in lines if line.lower().startswith("error")] or lines[-3:]
    return said or [f"the engine ended with exit code {code} and said nothing"]


__all__ = ["Deployment", "Processes", "StackDriver", "deployment_of", "merge_replacements"]
