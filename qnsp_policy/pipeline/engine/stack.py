"""One unit's Pulumi stack: preview, up, refresh, destroy, export, each one run of the engine's command line.

A unit that declares its resources is registered without Pulumi's SDK (`registration.py`); any other runs its program in it.
Where all resources are of our own package there is no checkpoint after every step either:
our provider keeps a journal instead, which completes the stack's state when a run was killed (docs/adr/0030-journal-instead-of-checkpoints.md).
Of every other unit, those on AWS included, the engine saves the state after every step.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qnsp_policy.errors import EngineError, OperatorError, QnspError
from qnsp_policy.kernel.files_edge import sync_file, sync_folder, write_whole
from qnsp_policy.pipeline.engine import programs, scratch
from qnsp_policy.pipeline.engine.command import (
    CommandFailed,
    Processes,
    StackExists,
    StackLocked,
    StackMissing,
    run_command,
)
from qnsp_policy.pipeline.engine.deployment import (
    MARKUP,
    Deployment,
    deployment_of,
    last_lines,
    merge_replacements,
    planned_step,
    with_found,
    without_boilerplate,
)
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener
from qnsp_policy.pipeline.engine.host import EngineHost
from qnsp_policy.pipeline.engine.settings import PROJECT, EngineSettings, check_sdk
from qnsp_policy.pipeline.engine.silence import listening
from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Op, PlannedStep, Step, Unit
from qnsp_policy.pipeline.world import journal

Json = dict[str, Any]
STEPS = 32
"""Resources of one stack at work at once: ours wait for processes and brokers, they do not compute."""
_COUNTS = frozenset({"update failed", "preview failed", "destroy failed", "refresh failed"})
_ANSWERED = frozenset({"stack init", "stack export", "destroy", "state unprotect"})
"""What is asked knowing that the stack may or may not be there."""
_OURS = ("qnsp:local:", "qnsp:broker:", "qnsp:gateway:")
_STEP_EVENTS = (
    (EventKind.STEP_STARTED, "resourcePreEvent"),
    (EventKind.STEP_DONE, "resOutputsEvent"),
    (EventKind.STEP_FAILED, "resOpFailedEvent"),
)


@dataclass(slots=True)
class StackDriver:
    """Drives the stack of one unit.

    Args:
        settings: the workspace's engine.
        unit: what it should be.
        processes: where engine processes are registered.
        listener: told of steps.
        host: serves what an engine run needs of this process.
        plan: file of the plan's envelope that authorises this run.
        plan_digest: its digest.
    """

    settings: EngineSettings
    unit: Unit
    processes: Processes
    listener: Listener
    host: EngineHost
    plan: Path | None = None
    plan_digest: str = ""
    failed: set[tuple[str, str]] = field(default_factory=set)
    """Resources, by type and name, whose step failed: they may be there, but are not what they should be."""
    _errors: list[str] = field(default_factory=list)
    _cancels: list[Callable[[], None]] = field(default_factory=list)
    _given_up: bool = False
    _ours: bool | None = None

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.unit.id.replace("/", ".")

    @property
    def ours(self) -> bool:
        """Whether every resource is of our own package, declared and held, and the state lies on this machine.

        Then a create adopts what a killed run left, and the journal lies beside the state.
        """
        if self._ours is None:
            held = {kind for kind, _ in self.export().resources} if self._folder is not None else set()
            declared = self._declaration()
            kinds = held | {item.type for item in declared.resources} if declared is not None else {"?"}
            self._ours = self._folder is not None and all(kind.startswith(_OURS) for kind in kinds)
        return self._ours

    def foreseen(self) -> tuple[PlannedStep, ...] | None:
        """What the first `up` of a new unit of ours does, which no engine has to be asked; None if it has to be.

        A stack without state can only have created what its declaration holds, with the inputs that it holds.
        """
        declared = self._declaration()
        if declared is None or not self.ours or self.interrupted or self.export().resources:
            return None
        return tuple(
            PlannedStep(Op.CREATE, Step(item.type, item.name, None, dict(item.inputs))) for item in declared.resources
        )

    def create(self) -> None:
        """Make the stack; nothing happens if it exists."""
        if self._make_file():
            return
        provider = ["--secrets-provider", self.settings.secrets_provider] if self.settings.secrets_provider else []
        with contextlib.suppress(StackExists):
            self._locking("stack init", lambda: self._run("stack", "init", "--no-select", *provider, self.name))

    def _free(self) -> None:
        """Remove the engine's own locks, as `pulumi cancel` does, but also of a stack that is not there; only for the holder of the lease."""
        self.settings.backend.drop_files(f"pulumi/.pulumi/locks/organization/{PROJECT}/{self.name}")

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

        def told(event: Json) -> None:
            self._diagnostic(event)
            if found := event.get("resourcePreEvent"):
                planned = planned_step(found["metadata"])
                if planned is not None:
                    steps.append(planned)
            if event.get("summaryEvent"):
                ended.append(True)

        self._operate("preview", [*self._urns(replace), *(["--refresh"] if refresh else [])], told, program=True)
        if not ended:
            raise self._no_engine(f"the preview of {self.unit.id} ended without a summary")
        return merge_replacements(steps)

    def up(self, *, refresh: bool, replace: Sequence[Step] = (), held: Sequence[PlannedStep] | None = None) -> None:
        """Make the stack what the program says.

        Args:
            refresh: read the world first.
            replace: resources to be made anew whatever they are.
            held: of a new unit, the only steps that its provider takes.

        Raises:
            EngineError: QNSP-ENG-032, a step failed; what was done is in the stack's state.
        """
        words = ["--yes", "--skip-preview", *self._urns(replace), *(["--refresh"] if refresh else [])]
        bounds = None
        if held is not None:
            bounds = self._work_folder() / "held.json"
            steps = [{"type": item.step.type, "name": item.step.name, "security": item.step.security} for item in held]
            write_whole(bounds, json.dumps(steps).encode())
        self._operate("up", [*words, "--parallel", str(STEPS)], self._step, program=True, held=bounds)
        held_now = set(self.export().resources)
        outline = programs.outlines()[self.unit.program](self.unit)
        self._as_it_says([f"{s.type} {s.name}" for s in outline if (s.type, s.name) not in held_now], "lacks")

    def give_up(self) -> None:
        """What our providers wait for in this stack will not come: its runs end as if its time were over."""
        self._given_up = True
        for cancel in list(self._cancels):
            cancel()

    def _waits(self, cancel: Callable[[], None]) -> None:
        self._cancels.append(cancel)
        if self._given_up:
            cancel()

    def refresh(self, *, clear_pending_creates: bool) -> None:
        """Take what the world says into the stack's state."""
        self._settle_journal()
        pending = ["--clear-pending-creates"] if clear_pending_creates else []
        self._operate("refresh", ["--yes", "--skip-preview", *pending], self._step)

    def destroy(self) -> None:
        """Remove every resource, then the stack."""
        self._settle_journal()
        try:
            self._operate("destroy", ["--yes", "--skip-preview", "--remove", "--parallel", str(STEPS)], self._step)
        except StackMissing:
            # A run that was killed behind its last step took the stack away and left its lock.
            self._free()
        self._as_it_says([" ".join(resource) for resource in self.export().resources], "still holds")

    def _as_it_says(self, wrong: Sequence[str], how: str) -> None:
        """An engine that ends well without having done its work is none: another program in its place, or a broken one."""
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            said = f"the engine said that {self.unit.id} is done, but its state {how} {', '.join(wrong[:5])}{more}"
            raise self._no_engine(said)

    def _no_engine(self, text: str) -> EngineError:
        return EngineError(
            "QNSP-ENG-033",
            f"{text}; see whether {self.settings.pulumi} is pulumi",
            subject=self.unit.id,
            next_step="`qnsp-policy doctor` says which engine is used; then run the same command again",
        )

    @property
    def interrupted(self) -> bool:
        """Whether a run that was killed left a journal."""
        return self._journal.exists()

    def recover(self) -> bool:
        """Clear what a killed run left in the stack: the engine's own lock, operations it never saw the end of.

        Only the holder of the lease may call this. Every create of ours adopts what exists, so a pending create can be
        forgotten: the next `up` finds the resource or makes it.

        Returns:
            Whether something was left.
        """
        left = self._settle_journal()
        if not self.export().pending:
            return left
        self.refresh(clear_pending_creates=True)
        return True

    def take_on(self, found: Mapping[tuple[str, str], str]) -> None:
        """Put resources that exist into the stack's state, by type and name -> id; the next `up` reads them and makes them right.

        Raises:
            EngineError: QNSP-ENG-046, the stack has no place for them yet.
        """
        exported = json.loads(self._told("stack export", lambda: self._run("stack", "export", *self._named)))
        outline = programs.outlines()[self.unit.program](self.unit)
        try:
            deployment = with_found(exported.get("deployment") or {}, found, outline, self._made_by())
        except ValueError as error:
            raise EngineError(
                "QNSP-ENG-046",
                f"{self.unit.id}: {error}",
                subject=self.unit.id,
                next_step="apply the plan once, so that its stack is begun, then say it again",
            ) from error
        file = self._work_folder() / "found.json"
        write_whole(file, json.dumps({"version": 3, "deployment": deployment}).encode())
        self._locking("stack import", lambda: self._run("stack", "import", "--file", str(file), *self._named))
        file.unlink()

    def unprotect(self) -> None:
        """Lift Pulumi's protection from every resource; only for what a plan destroys by name."""
        with contextlib.suppress(StackMissing):
            self._locking("state unprotect", lambda: self._run("state", "unprotect", "--all", "--yes", *self._named))

    def export(self) -> Deployment:
        """The stack's state as it is; empty for a stack that is gone, as a destroy that was killed leaves it."""
        return deployment_of(self._exported())

    # the engine's files

    @property
    def _folder(self) -> Path | None:
        """Where the engine keeps its state, if that is a folder of this machine in the layout that it writes itself."""
        return None if self.settings.secrets_provider else self._state

    @property
    def _state(self) -> Path | None:
        """Where the engine keeps its state, if that is a folder of this machine."""
        url = urllib.parse.urlsplit(self.settings.backend.url)
        if url.scheme != "file":
            return None
        return Path(os.fsdecode(urllib.parse.unquote_to_bytes(url.path)))  # as `as_uri` wrote it, in any locale

    @property
    def _journal(self) -> Path:
        folder = self._folder
        return (folder or self.settings.folder) / "journal" / f"{self.name}.jsonl"

    def _stack_file(self, folder: Path) -> Path:
        return folder / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json"

    def _make_file(self) -> bool:
        """An empty stack as the engine would write it, where it lies on this machine; saves a run of the command line."""
        folder = self._folder
        if folder is None or not (folder / ".pulumi" / "meta.yaml").is_file():
            return False
        file = self._stack_file(folder)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            empty = {"version": 3, "checkpoint": {"stack": f"organization/{PROJECT}/{self.name}"}}
            write_whole(file, json.dumps(empty).encode())
        return True

    def _exported(self) -> Any:
        folder = self._folder
        if folder is not None:
            try:
                held = json.loads(self._stack_file(folder).read_bytes())
            except FileNotFoundError:
                return {}
            except OSError:
                held = None  # the engine says what is wrong with it
            except ValueError as error:
                file = self._stack_file(folder)
                raise EngineError(
                    "QNSP-ENG-041",
                    f"the engine's state of {self.unit.id}, {file}, cannot be read: it is torn",
                    subject=self.unit.id,
                    next_step=f"put back a backup (`qnsp-policy state import`), or {file.name}.bak beside it, which is one "
                    "change older; then plan again",
                ) from error
            if isinstance(held, dict) and held.get("version") == _CHECKPOINT_VERSION:
                return {"deployment": held["checkpoint"].get("latest")}
        try:
            return json.loads(self._told("stack export", lambda: self._run("stack", "export", *self._named)))
        except StackMissing:
            return {}

    def _settle_journal(self) -> bool:
        """Complete the stack's state by the journal that a run which was killed left; true if there was one."""
        path = self._journal
        try:
            made = journal.fold(path.read_bytes())
        except FileNotFoundError:
            return False
        if made:
            self.create()
            exported = json.loads(self._told("stack export", lambda: self._run("stack", "export", *self._named)))
            deployment = journal.completed(exported.get("deployment") or {}, made, self.name, PROJECT)
            if deployment is not None:
                file = self._work_folder() / "completed.json"
                write_whole(file, json.dumps({"version": 3, "deployment": deployment}).encode())
                self._locking("stack import", lambda: self._run("stack", "import", "--file", str(file), *self._named))
                self._told("stack import", self._sync_state)
                file.unlink()
        path.unlink()
        return True

    # runs

    @property
    def _named(self) -> list[str]:
        return ["--stack", self.name]

    def _declaration(self) -> Declaration | None:
        try:
            return programs.declaration(self.unit)
        except (KeyError, TypeError, ValueError):
            # A unit that is only known by its name has no inputs to declare anything from.
            return None

    def _made_by(self) -> Mapping[tuple[str, str], str]:
        """Name of the provider of each resource that is declared under one."""
        declared = self._declaration()
        items = declared.resources if declared is not None else ()
        names = {item.known_as: item.name for item in items}
        return {(item.type, item.name): names[item.provider] for item in items if item.provider}

    def _work_folder(self) -> Path:
        passphrase = not self.settings.secrets_provider
        return scratch.stack_folder(self.settings.folder / "stacks", self.name, passphrase=passphrase)

    def _run(self, *words: str, **more: str) -> str:
        check_sdk()
        if self._state is not None:
            scratch.mend_backend(self._state, self.name)
        environment = self.settings.process_environment(plan=self.plan, plan_digest=self.plan_digest) | more
        return run_command(
            self.settings.pulumi, words, folder=self._work_folder(), environment=environment, processes=self.processes
        )

    def _operate(
        self,
        what: str,
        words: Sequence[str],
        told: Callable[[Json], None],
        *,
        program: bool = False,
        held: Path | None = None,
    ) -> None:
        """Run an operation with providers, events and, where it is asked for, the unit's program."""
        settle = self.ours and what != "preview"
        more = {}
        if settle:
            self._journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            more = {
                "QNSP_JOURNAL": str(self._journal),
                "PULUMI_SKIP_CHECKPOINTS": "true",
                "PULUMI_EXPERIMENTAL": "true",
            }
        if held is not None:
            more["QNSP_HELD"] = str(held)
        environment = self.settings.process_environment(plan=self.plan, plan_digest=self.plan_digest) | more
        line = [what, *words, "--color", "never", *self._named]
        try:
            with contextlib.ExitStack() as stack:
                if addresses := stack.enter_context(self.host.attached(environment, self._waits)):
                    more["PULUMI_DEBUG_PROVIDERS"] = addresses
                heard = stack.enter_context(listening(lambda seconds: self._silent(what, seconds)))

                def hears(event: Json) -> None:
                    heard()
                    told(event)

                line += ["--event-log", stack.enter_context(self.host.events(hears))]
                if program:
                    address = stack.enter_context(self._program())
                    line += ["--suppress-outputs", f"--client={address}", "--exec-kind", "auto.inline"]
                self._locking(what, lambda: self._run(*line, **more))
        except EngineError:
            # Providers have ended, with what they had in hand: nothing is written any more.
            if settle:
                self._settle_journal()
            raise
        if what != "preview":
            self._told(what, self._sync_state)
        if settle:
            # It ended in order, so its state is saved whole, and on the disk.
            self._journal.unlink(missing_ok=True)

    def _silent(self, what: str, seconds: float) -> None:
        text = f"nothing heard of the {what} of {self.unit.id} for {seconds / 60:.0f} min; it goes on waiting (Ctrl-C ends it)"
        self.listener(Event(EventKind.MESSAGE, self.unit.id, text=text))

    def _sync_state(self) -> str:
        """What the engine saved, onto the disk: it leaves that to the system."""
        if self._state is not None:
            file = self._stack_file(self._state)
            with contextlib.suppress(FileNotFoundError):
                sync_file(file)
            with contextlib.suppress(FileNotFoundError):
                sync_folder(file.parent)
        return ""

    @contextlib.contextmanager
    def _program(self) -> Iterator[str]:
        declared = self._declaration()
        if declared is not None:
            with self.host.program(declared) as address:
                yield address
            return
        with _sdk_program(programs.program(self.unit)) as address:
            yield address

    def _urns(self, steps: Sequence[Step]) -> list[str]:
        above = (
            {s.name: s.type for s in programs.outlines()[self.unit.program](self.unit) if s.parent is None}
            if steps
            else {}
        )
        words: list[str] = []
        for step in steps:
            # A resource of a component is named with the component's type.
            kind = f"{above[step.parent]}${step.type}" if step.parent else step.type
            words += ["--replace", f"urn:pulumi:{self.name}::{PROJECT}::{kind}::{step.name}"]
        return words

    def _locking(self, what: str, call: Callable[[], str]) -> str:
        """Run an operation that takes the engine's own lock; free that lock first if a dead run left it.

        Whoever gets here holds the lease and has ended the processes of whoever held it before, so no living run of
        ours can own the engine's lock.
        """

        def unlocked() -> str:
            if self._folder is not None and what != "preview":
                scratch.drop_torn_locks(self._folder, self.name)
            try:
                return call()
            except StackLocked:
                if self.processes.cancelled.is_set():
                    raise
                self._errors.clear()
                self._free()
                return call()

        return self._told(what, unlocked)

    def _told(self, what: str, call: Callable[[], str]) -> str:
        """Turn the command line's failures into ours, with the engine's own diagnostics instead of its whole output."""
        self._errors.clear()
        try:
            return call()
        except CommandFailed as error:
            if isinstance(error, StackExists | StackMissing) and what in _ANSWERED:
                raise
            said = [text for text in dict.fromkeys(self._errors) if text not in _COUNTS] or self._errors
            said = said or last_lines(str(error), error.code)
            if self.processes.cancelled.is_set():
                raise EngineError(
                    "QNSP-ENG-034", f"{what} of {self.unit.id} was interrupted; its state is saved"
                ) from error
            raise EngineError(
                "QNSP-ENG-032",
                f"{what} of {self.unit.id} failed: " + "; ".join(said)[:2000],
                subject=self.unit.id,
                next_step="run the same command again; `qnsp-policy doctor` says which engine is used",
            ) from error
        except QnspError:
            raise
        except OSError as error:
            first = "raise `ulimit -n`" if error.errno in {errno.EMFILE, errno.ENFILE} else "mend the cause"
            raise OperatorError(
                "QNSP-ENG-035",
                f"{what} of {self.unit.id}: {error.strerror or error}",
                subject=self.unit.id,
                next_step=f"{first} and run the same command again; it goes on from there",
            ) from error

    def _diagnostic(self, event: Json) -> None:
        diagnostic = event.get("diagnosticEvent")
        if not diagnostic or diagnostic.get("ephemeral"):
            return
        text = MARKUP.sub("", str(diagnostic.get("message", ""))).strip()
        severity = diagnostic.get("severity")
        if severity == "error" and text:
            self._errors.append(without_boilerplate(text))
        elif severity == "warning" and text and not text.startswith("using pulumi-resource-"):
            self.listener(Event(EventKind.MESSAGE, self.unit.id, text=text))

    def _step(self, event: Json) -> None:
        self._diagnostic(event)
        for kind, name in _STEP_EVENTS:
            if found := event.get(name):
                planned = planned_step(found["metadata"])
                if planned is not None:
                    if kind is EventKind.STEP_FAILED:
                        self.failed.add((planned.step.type, planned.step.name))
                    resource = f"{planned.step.type} {planned.step.name}"
                    self.listener(Event(kind, self.unit.id, op=planned.op.value, resource=resource))


_CHECKPOINT_VERSION = 3


@contextlib.contextmanager
def _sdk_program(program: Callable[[], None]) -> Iterator[str]:
    """Serve a program that needs Pulumi's SDK, in threads of its own."""
    import grpc
    from pulumi.automation._server import LanguageServer
    from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
    from pulumi.runtime.proto import language_pb2_grpc

    loops: list[asyncio.AbstractEventLoop] = []

    def noted() -> None:
        loops.append(asyncio.get_running_loop())
        program()

    server = grpc.server(ThreadPoolExecutor(4), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(noted), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0)
        _close(loops)


def _close(loops: list[asyncio.AbstractEventLoop]) -> None:
    """Close the event loop of a program that failed; the SDK forgets it, with two sockets each."""
    deadline = time.monotonic() + 1
    while loops:
        loop = loops[-1]
        if loop.is_running() and time.monotonic() < deadline:
            time.sleep(0.01)
            continue
        loops.pop()
        if not loop.is_running():
            loop.close()


__all__ = ["StackDriver"]
