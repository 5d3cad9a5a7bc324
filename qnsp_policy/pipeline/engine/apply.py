"""Apply: a verified plan becomes the world, under the lease, recorded unit by unit.

1. Take the lease; refuse a plan that was made on another state than the present one.
2. Store the plan's envelope by its digest, so that brokers can be shown it, and note that a run has begun.
3. Preview every unit again, before anything is changed; refuse what the plan does not hold. A unit whose preview needs
   something that an earlier wave makes first is previewed in its wave.
4. Each unit as soon as what it depends on is done, several at once: up, export, record. The members of a fleet are waited for before what
   depends on it (`members.py`); one whose members do not attest goes back to what was applied before. What depends on a failed unit is not started.
5. In a rollout these waves admit old and new values. Only when every member attested, the last wave retires the old ones.
6. Note the end; free the lease.

Killed at any point, the next apply of the same plan goes on: units that were recorded are skipped, creates adopt what
exists, and the engine's own lock and pending operations of the dead run are cleared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from qnsp_policy.errors import EngineError, PlanRefused, QnspError
from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.command import Processes, together
from qnsp_policy.pipeline.engine.deviations import deviations
from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener, ignore, where
from qnsp_policy.pipeline.engine.host import EngineHost
from qnsp_policy.pipeline.engine.lease import Clock, Lease
from qnsp_policy.pipeline.engine.left import take_on_left
from qnsp_policy.pipeline.engine.members import Members
from qnsp_policy.pipeline.engine.order import ApplyFailed, ApplyOrder, ApplyRecord, Status, UnitOutcome
from qnsp_policy.pipeline.engine.programs import outlines
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.pipeline.engine.waves import begin_after, levels, resolve
from qnsp_policy.pipeline.plan.handover import begins_empty
from qnsp_policy.pipeline.plan.values import Action, Op, PlannedStep, Step, Unit
from qnsp_policy.pipeline.world.recorded import RecordedState, RecordedUnit

PROTECTED = frozenset({"qnsp:broker:SealedKey", "aws:kms/key:Key", "aws:s3/bucket:Bucket"})
"""What Pulumi protects until a plan names its destruction (`recoverability`)."""


_WAITS = 16
"""Fleets whose members are waited for at once, beside the units at work."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def apply(
    order: ApplyOrder,
    *,
    settings: EngineSettings,
    events: Listener = ignore,
    clock: Clock = utc_now,
    lock_timeout: float = 0.0,
    begun: Callable[[], None] = lambda: None,
    ended: Callable[[ApplyRecord], None] = lambda _: None,
) -> ApplyRecord:
    """Apply a verified plan.

    Args:
        order: the plan; its signatures and approvals were verified by `pipeline/plan`.
        settings: the workspace's engine.
        events: told of what happens, from several threads.
        clock: gives the time, aware.
        lock_timeout: seconds to wait for the lease.
        begun: called under the lease before anything else.
        ended: given the record of a run that changed something, well or not, under the lease.

    Raises:
        LockHeld: somebody else holds the lease.
        PlanRefused: QNSP-PLN-101 the state is another than planned on, QNSP-PLN-102 the world is; nothing was changed.
        ApplyFailed: some units failed; the rest is done and recorded.
        KeyboardInterrupt: interrupted; state is saved and the lease free.
    """
    with (
        Lease.acquire(
            settings.backend, purpose=f"apply of plan {order.plan_digest[:19]}", wait_seconds=lock_timeout, clock=clock
        ) as lease,
        EngineHost() as host,
    ):
        begun()
        return _Run(order, settings, lease, events, clock, host, ended).run()


@dataclass(slots=True)
class _Run:
    order: ApplyOrder
    settings: EngineSettings
    lease: Lease
    events: Listener
    clock: Clock
    host: EngineHost
    ended: Callable[[ApplyRecord], None]
    outcomes: dict[str, UnitOutcome] = field(default_factory=dict)
    previewed: set[str] = field(default_factory=set)
    foreseen: set[str] = field(default_factory=set)
    processes: Processes = field(default_factory=Processes)
    plan_file: Path | None = None
    unclean: bool = False
    retiring: bool = False
    waves: int = 0
    members: Members = field(init=False)

    def run(self) -> ApplyRecord:
        started = self.clock()
        backend = self.settings.backend
        self.processes = Processes(self.lease.owns, self.lease.disown, self._cancel)
        self.members = Members(
            self.order, self.settings, self.lease, self.processes, self.events, self.clock, self.outcomes, self._driver
        )
        if self.lease.took_over is not None:
            self.events(Event(EventKind.TAKEOVER, text=self.lease.record.takeover))
        recorded = records.read_state(backend)
        before = records.read_run(backend)
        self.unclean = self.lease.took_over is not None or before.status != records.APPLIED
        self._refuse_stale(recorded, before)
        if self.unclean:
            backend.drop_scratch()
        actions = [action for action in self.order.actions if action.op is not Op.NO_OP and not action.skipped]
        done = [action for action in actions if self._is_done(action, recorded)]
        for action in done:
            outputs = recorded.units[action.unit].outputs if action.unit in recorded.units else {}
            self.outcomes[action.unit] = UnitOutcome(action.unit, action.op, Status.ALREADY, outputs=outputs)
        todo = [action for action in actions if action.unit not in self.outcomes]
        self._store_plan()
        serial = recorded.serial + 1
        run = replace(before, serial=serial, status=records.RUNNING, plan_digest=self.order.plan_digest)
        try:
            if before.status == records.APPLIED and before.plan_digest != self.order.plan_digest:
                # Nothing is written before the refusals below: a refused plan leaves no trace but its envelope.
                self._preview_all(todo, recorded)
                self.lease.check()
                records.write_run(backend, run)
            else:
                self.lease.check()
                records.write_run(backend, run)
                self._preview_all(todo, recorded)
            self._work(todo, recorded)
            self._retire(todo)
        except BaseException:
            self.processes.kill()  # nothing is left to speak to an engine process that were still at work
            self.members.cancel()
            self._settle(run, started, complete=False)
            raise
        self.settings.prune_logs()
        complete = not any(outcome.status in {Status.FAILED, Status.SKIPPED} for outcome in self.outcomes.values())
        record = self._settle(run, started, complete=complete)
        if not complete:
            raise ApplyFailed(record)
        return record

    def _cancel(self) -> None:
        self.host.cancel()
        self.members.cancel()

    # refusals

    def _refuse_stale(self, recorded: RecordedState, before: records.RunState) -> None:
        resumed = before.plan_digest == self.order.plan_digest and before.status != records.APPLIED
        if recorded.genesis is None:
            recorded.judge()
        if not resumed and recorded.serial != self.order.base_serial:
            raise PlanRefused(
                "QNSP-PLN-101",
                f"this plan was made on state {self.order.base_serial}, but the workspace is at {recorded.serial}"
                + (" (this very plan was applied)" if before.plan_digest == self.order.plan_digest else ""),
                expected=str(self.order.base_serial),
                got=str(recorded.serial),
                next_step="plan again",
            )
        for unit_id, digest in sorted(self.order.base_digests.items()):
            unit = recorded.units.get(unit_id)
            if unit is not None and unit.plan_digest == self.order.plan_digest:
                continue
            if (unit.deployment_digest if unit else "") != digest and not (resumed and unit is None):
                raise PlanRefused(
                    "QNSP-PLN-101",
                    f"{unit_id} is not in the state this plan was made on",
                    subject=unit_id,
                    expected=digest,
                    got=unit.deployment_digest if unit else "no state",
                    next_step="plan again",
                )

    def _is_done(self, action: Action, recorded: RecordedState) -> bool:
        unit = recorded.units.get(action.unit)
        if action.op is Op.DELETE:
            return unit is None
        desired = self.order.units[action.unit]
        return unit is not None and unit.plan_digest == self.order.plan_digest and unit.digest == desired.digest

    def _preview_all(self, todo: list[Action], recorded: RecordedState) -> None:
        """Preview every unit that can be before the first change, in parallel."""
        changing = {action.unit for action in todo}

        def one(action: Action) -> None:
            unit = self._unit(action, recorded)
            waits = changing.intersection(unit.depends_on)
            if self._is_between(action, recorded):
                return
            if any(reference.unit in changing for reference in unit.references):
                return
            try:
                self._check_preview(action, self._driver(resolve(unit, recorded.units)), recorded)
            except PlanRefused:
                raise
            except EngineError:
                # It may need what an earlier wave is about to make or mend; its wave previews it again.
                if not waits:
                    raise
                return
            self.previewed.add(action.unit)

        self._together(todo, one)

    def _check_preview(self, action: Action, driver: StackDriver, recorded: RecordedState) -> None:
        before = recorded.units.get(action.unit)
        if not self.retiring and action.unit in self.order.between:
            action = replace(action, steps=_restated(action.steps, driver.unit))
        if action.op is Op.DELETE:
            held = [] if before is None else list(driver.export().resources)
            allowed = {(item.step.type, item.step.name) for item in action.steps}
            # A unit's deletion is told as a whole; its outline lists the resources when the plan could name them.
            found = [
                f"deletion of {kind} {name} is not in the plan" for kind, name in held if (kind, name) not in allowed
            ]
            if not allowed:
                found = []
        elif before is None and (foreseen := driver.foreseen()) is not None:
            found = deviations(action.steps, foreseen, whole=True)
            self.foreseen.add(action.unit)
        else:
            driver.create()
            if any(item.op in {Op.DELETE, Op.REPLACE} for item in action.steps):
                driver.unprotect()
            if (self.unclean or driver.interrupted) and driver.recover():
                before = before or RecordedUnit(action.unit, driver.unit.program, "", {})
            if before is not None and not before.digest:
                take_on_left(driver, self.settings, self.events)
            anew = _made_anew(action, driver.unit)
            if anew and before is not None:
                # What the world lost, to a killed replacement or to whoever, cannot be named to the engine as to be replaced.
                driver.refresh(clear_pending_creates=False)
            steps = driver.preview(refresh=before is not None, replace=_held(anew, driver))
            planned = (*action.steps, *(PlannedStep(Op.REPLACE, step) for step in anew))
            found = deviations(planned, steps, whole=before is None)
        if found:
            raise PlanRefused(
                "QNSP-PLN-102",
                f"{action.unit} would be changed in ways the plan does not hold:\n  " + "\n  ".join(found[:12]),
                subject=action.unit,
                next_step="the world has changed since the plan was made; plan again",
            )

    # work

    def _work(self, todo: list[Action], recorded: RecordedState) -> None:
        """Every unit as soon as what it depends on is done, members of fleets included; deletions when all changes are."""
        begun = [action for action in todo if not self._is_between(action, recorded)]
        waves = self._waves(begun, recorded)
        number = {action.unit: at for at, wave in enumerate(waves, start=self.waves + 1) for action in wave}
        changes = [action for wave in waves for action in wave if action.op is not Op.DELETE]
        deletes = [action for wave in waves for action in wave if action.op is Op.DELETE]
        fleets = self.members.due([action.unit for action in changes], recorded)
        engines, telling, told = threading.Semaphore(self.settings.parallel), threading.Lock(), set[int]()

        def one(action: Action) -> None:
            with engines:
                wave = number[action.unit]
                with telling:
                    if wave not in told:
                        told.add(wave)
                        names = ", ".join(other.unit for other in waves[wave - self.waves - 1])
                        self.events(Event(EventKind.WAVE, wave=wave, text=names, of=len(begun)))
                self._one(action, recorded, wave)
            self.members.ended(action.unit)

        def members(action: Action) -> None:
            wave = number.get(action.unit, self.waves)
            self.members.wait(action, wave)
            self._hand_again(action, recorded, wave)

        after = begin_after(
            {action.unit: self._unit(action, recorded).depends_on for action in changes},
            {action.unit: self.members.first_endpoints(action.unit) for action in fleets},
            {action.unit: self._unit(action, recorded).depends_on for action in deletes},
        )
        jobs: list[Callable[[], None]] = [
            *(partial(one, action) for action in changes),
            *(partial(members, action) for action in fleets),
            lambda: None,
            *(partial(one, action) for action in deletes),
        ]
        threads = self.settings.parallel + min(len(fleets), _WAITS)
        together(jobs, lambda job: job(), self.processes, threads, self.events, after)
        self.waves += len(waves)

    def _one(self, action: Action, recorded: RecordedState, wave: int) -> None:
        unit = self._unit(action, recorded)
        begun = time.monotonic()
        blockers = self._blockers(action, unit, recorded)
        if blockers:
            reason = f"it depends on {', '.join(blockers)}"
            self.outcomes[action.unit] = UnitOutcome(action.unit, action.op, Status.SKIPPED, error=reason)
            self.events(Event(EventKind.UNIT_SKIPPED, action.unit, op=action.op.value, text=reason, wave=wave))
            return
        self.events(Event(EventKind.UNIT_STARTED, action.unit, op=action.op.value, wave=wave))
        if action.op is Op.CREATE and (text := _awaited(unit)):
            self.events(Event(EventKind.MESSAGE, action.unit, op=action.op.value, text=text, wave=wave))
        try:
            outputs = self._do(action, unit, recorded, wave)
        except (QnspError, ValueError, OSError) as error:
            text = error.message if isinstance(error, QnspError) else str(error)
            seconds = time.monotonic() - begun
            self.outcomes[action.unit] = UnitOutcome(action.unit, action.op, Status.FAILED, seconds, error=text)
            self.events(
                Event(EventKind.UNIT_FAILED, action.unit, op=action.op.value, text=text, wave=wave, seconds=seconds)
            )
            return
        seconds = time.monotonic() - begun
        self.outcomes[action.unit] = UnitOutcome(action.unit, action.op, Status.APPLIED, seconds, outputs)
        if self.retiring or not self.members.of(action):
            done = Event(
                EventKind.UNIT_DONE, action.unit, action.op.value, text=where(outputs), wave=wave, seconds=seconds
            )
            self.events(done)

    def _do(self, action: Action, unit: Unit, recorded: RecordedState, wave: int) -> Mapping[str, object]:
        backend = self.settings.backend
        before = recorded.units.get(action.unit)
        unit = resolve(unit, {**recorded.units, **{u.id: u for u in self._now_recorded(unit)}})
        driver = self._driver(unit)
        if action.unit not in self.previewed:
            self._check_preview(action, driver, recorded)
        self.lease.check()
        if action.op is Op.DELETE:
            if before is not None:
                # From here on resources may be gone: one that the documents want again must not pass for untouched.
                records.write_unit(backend, replace(before, digest=""))
            if any(item.step.type in PROTECTED for item in action.steps):
                driver.unprotect()
            driver.destroy()
            self.lease.check()
            records.delete_unit(backend, action.unit)
            return {}
        attempt = RecordedUnit(
            id=unit.id,
            program=unit.program,
            digest="",
            inputs=records.as_far_as(unit.inputs, before.inputs if before else None, {})
            if before is None
            else before.inputs,
            depends_on=unit.depends_on,
            outputs=before.outputs if before else {},
            deployment_digest=before.deployment_digest if before else "",
            plan_digest=self.order.plan_digest,
            applied_at=self.clock(),
        )
        # From here on resources may exist or change: a unit that vanishes from the documents must still be found and
        # deleted, and one that goes back to what it was must not pass for untouched.
        records.write_unit(backend, attempt)
        self.members.begins(action.unit, driver, wave)
        try:
            if action.unit in self.foreseen:
                driver.create()
                driver.up(refresh=False, held=action.steps)
            else:
                driver.up(refresh=before is not None, replace=_held(_made_anew(action, unit), driver))
        except EngineError as error:
            deployment = driver.export()
            error.message = self.members.hopeless(unit) or error.message
            error.message += _half(unit, set(deployment.resources) - driver.failed)
            self.lease.check()
            far = records.as_far_as(unit.inputs, before.inputs if before else None, deployment.held)
            records.write_unit(backend, replace(attempt, inputs=far, deployment_digest=deployment.digest))
            raise
        deployment = driver.export()
        self.lease.check()
        records.write_unit(
            backend,
            replace(
                attempt,
                digest=self._desired(unit.id).digest,
                inputs=unit.inputs,
                outputs=deployment.outputs,
                deployment_digest=deployment.digest,
                applied_at=self.clock(),
            ),
        )
        return deployment.outputs

    # rollouts

    def _hand_again(self, action: Action, recorded: RecordedState, wave: int) -> None:
        """A broker whose new members began with an empty store has its own objects again before anything that depends on it."""
        unit, made = self._unit(action, recorded), self.outcomes[action.unit]
        replaced = action.unit in self.order.back or action.op is Op.REPLACE or begins_empty(unit, action)
        if not replaced or "broker" not in unit.inputs or unit.inputs.get("sharedStore"):
            return
        if made.status not in {Status.APPLIED, Status.ALREADY}:
            return
        begun = time.monotonic()
        try:
            self._do(replace(action, op=Op.UPDATE), unit, records.read_state(self.settings.backend), wave)
        except (QnspError, ValueError, OSError) as error:
            text = f"its new members were not handed everything: {error.message if isinstance(error, QnspError) else error}"
            seconds = made.seconds + time.monotonic() - begun
            self.outcomes[action.unit] = replace(made, status=Status.FAILED, seconds=seconds, outputs={}, error=text)
            failed = Event(EventKind.UNIT_FAILED, action.unit, action.op.value, text=text, wave=wave, seconds=seconds)
            self.events(failed)
        self.members.ended(action.unit)

    def _retire(self, todo: list[Action]) -> None:
        """The last wave of a rollout: old values out, once nothing runs that needs them."""
        again = [action for action in todo if action.unit in self.order.between]
        broken = sorted(name for name, one in self.outcomes.items() if one.status in {Status.FAILED, Status.SKIPPED})
        if again and (broken or self.processes.cancelled.is_set()):
            reason = f"the values of before stay admitted beside the new ones: {', '.join(broken) or 'it'} did not come to its end"
            for action in again:
                if action.unit not in broken:
                    self.outcomes[action.unit] = UnitOutcome(action.unit, action.op, Status.SKIPPED, error=reason)
                    self.events(Event(EventKind.UNIT_SKIPPED, action.unit, op=action.op.value, text=reason))
            return
        self.retiring = True
        self.previewed.difference_update(action.unit for action in again)
        self._work(again, records.read_state(self.settings.backend))

    def _is_between(self, action: Action, recorded: RecordedState) -> bool:
        """Whether an interrupted run of this plan already brought a unit to where it stands in between."""
        unit = recorded.units.get(action.unit)
        return (
            not self.retiring
            and unit is not None
            and action.unit in self.order.between
            and (unit.plan_digest, unit.digest) == (self.order.plan_digest, self.order.between[action.unit].digest)
        )

    def _desired(self, unit_id: str) -> Unit:
        """What a unit is to be in the present wave."""
        units = self.order.units if self.retiring else {**self.order.units, **self.order.between}
        return units[unit_id]

    # helpers

    def _unit(self, action: Action, recorded: RecordedState) -> Unit:
        desired = self._desired(action.unit) if action.unit in self.order.units else None
        if desired is not None and action.op is not Op.DELETE:
            return desired
        before = recorded.units.get(action.unit)
        if before is None:
            return Unit(action.unit, action.unit.split("/")[0], {}, ())
        return Unit(before.id, before.program, dict(before.inputs), before.depends_on)

    def _driver(self, unit: Unit) -> StackDriver:
        return StackDriver(
            self.settings, unit, self.processes, self.events, self.host, self.plan_file, self.order.plan_digest
        )

    def _now_recorded(self, unit: Unit) -> Iterable[RecordedUnit]:
        for reference in unit.references:
            found = records.read_unit(self.settings.backend, reference.unit)
            if found is not None:
                yield found

    def _blockers(self, action: Action, unit: Unit, recorded: RecordedState) -> list[str]:
        if self.processes.cancelled.is_set():
            return ["an interrupted run"]
        broken = {name for name, outcome in self.outcomes.items() if outcome.status in {Status.FAILED, Status.SKIPPED}}
        if action.op is not Op.DELETE:
            found = sorted(broken.intersection(unit.depends_on))
            return [f"{one}, whose members did not attest" if one in self.members.unattested else one for one in found]
        users = {other.id for other in recorded.units.values() if action.unit in other.depends_on}
        return sorted(broken.intersection(users))

    def _waves(self, todo: list[Action], recorded: RecordedState) -> list[list[Action]]:
        """Creates and updates in the order of dependencies, then deletes against it."""
        changes = [action for action in todo if action.op is not Op.DELETE]
        deletes = [action for action in todo if action.op is Op.DELETE]
        forward = levels({a.unit: self._unit(a, recorded).depends_on for a in changes})
        backward = levels({a.unit: self._unit(a, recorded).depends_on for a in deletes})
        by_id = {action.unit: action for action in todo}
        return [[by_id[name] for name in level] for level in [*forward, *reversed(backward)]]

    def _together(self, actions: list[Action], work: Callable[[Action], None]) -> None:
        together(actions, work, self.processes, self.settings.parallel, self.events)

    def _store_plan(self) -> None:
        digest = self.order.plan_digest
        self.settings.backend.put(records.plan_key(digest), self.order.envelope)
        folder = self.settings.folder / "plans"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.plan_file = folder / f"{digest.removeprefix('sha256:')}.dsse.json"
        write_whole(self.plan_file, self.order.envelope)

    def _settle(self, run: records.RunState, started: datetime, *, complete: bool) -> ApplyRecord:
        backend = self.settings.backend
        units = tuple(self.outcomes[name] for name in sorted(self.outcomes))
        record = ApplyRecord(run.serial, run.plan_digest, units, started, self.clock(), self.lease.record.takeover)
        self.lease.check()
        present = records.read_run(backend)
        if present.serial != run.serial:
            # Refused before anything was changed.
            return record
        records.write_apply(backend, record)
        if complete:
            run = replace(
                run,
                status=records.APPLIED,
                trust_root=self.order.trust_root or run.trust_root,
                documents_digest=self.order.documents_digest,
            )
        else:
            run = replace(run, status=records.PARTIAL)
        records.write_run(backend, run)
        self.ended(record)
        return record


def _restated(steps: Iterable[PlannedStep], unit: Unit) -> tuple[PlannedStep, ...]:
    """A plan's steps with the security properties that the same resources have in between."""
    shown = {(step.type, step.name): step for step in outlines()[unit.program](unit)}
    return tuple(
        replace(item, step=shown[item.step.type, item.step.name]) if (item.step.type, item.step.name) in shown else item
        for item in steps
    )


def _half(unit: Unit, held: AbstractSet[tuple[str, str]]) -> str:
    """What of a unit that failed stands and what does not."""
    outline = [(step.type, step.name) for step in outlines()[unit.program](unit)]
    sides = {
        "of it stands": [name for kind, name in outline if (kind, name) in held],
        "not": [name for kind, name in outline if (kind, name) not in held],
    }
    told = [f"{how}: {_names(names)}" for how, names in sides.items() if names]
    return f" ({'; '.join(told)})" if told else ""


def _awaited(unit: Unit) -> str:
    """That a new broker is waited for, whose members boot where nobody hears them; "" where none is."""
    broker = unit.inputs.get("broker")
    if not isinstance(broker, Mapping) or not (seconds := broker.get("waitSeconds")):
        return ""
    return f"{unit.id}: once made, its broker is waited for at {broker['url']}, {seconds // 60} min at most (Ctrl-C ends that)"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more


def _made_anew(action: Action, unit: Unit) -> tuple[Step, ...]:
    """The resources of a unit that the plan replaces although nothing about them asks for it (`--replace`)."""
    if action.op is not Op.REPLACE or any(item.op is Op.REPLACE for item in action.steps):
        return ()
    # What is protected stays: a key, or records, made anew would be the loss of the old ones. A component is nothing of its own.
    shown = outlines()[unit.program](unit)
    return tuple(step for step in shown if step.type not in PROTECTED and not step.type.startswith("qnsp:aws:"))


def _held(anew: tuple[Step, ...], driver: StackDriver) -> tuple[Step, ...]:
    """Those that are there to be replaced: an interrupted run may have deleted some, which are then created."""
    held = set(driver.export().resources) if anew else set()
    return tuple(step for step in anew if (step.type, step.name) in held)


__all__ = ["apply", "utc_now"]
