"""How long an apply still takes: by this run's units, by earlier applies, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime

from qnsp_policy.pipeline.engine.events import Event, EventKind
from qnsp_policy.pipeline.engine.order import ApplyRecord, Status, UnitOutcome
from qnsp_policy.pipeline.plan.values import Op
from qnsp_policy.workflows.estimate import Estimate

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Run:
    """An estimate of some units with a clock of its own; `left` is what the last event said."""

    def __init__(self, *units: str, earlier: tuple[ApplyRecord, ...] = (), parallel: int = 1) -> None:
        self.now = 0.0
        self.heard: list[Event] = []
        work = dict.fromkeys(units, "create")
        self.tell = Estimate(work, earlier, parallel=parallel, events=self.heard.append, clock=lambda: self.now)

    @property
    def left(self) -> float:
        return self.heard[-1].left

    def begin(self, unit: str) -> None:
        self.tell(Event(EventKind.UNIT_STARTED, unit, "create"))

    def end(self, unit: str, seconds: float) -> None:
        self.now += seconds
        self.tell(Event(EventKind.UNIT_DONE, unit, "create", seconds=seconds))


def applied(**seconds: float) -> ApplyRecord:
    """The record of an apply in which enclaves of these names took so long, and one failed."""
    units = [UnitOutcome(f"enclave/{name}", Op.CREATE, Status.APPLIED, took) for name, took in seconds.items()]
    failed = UnitOutcome("enclave/b", Op.CREATE, Status.FAILED, 999)
    return ApplyRecord(1, "sha256:0", (*units, failed), NOON, NOON)


def test_nothing_known_is_told_as_nothing() -> None:
    """The first unit of a first apply has nothing to be measured by."""
    run = Run("enclave/a", "enclave/b")
    run.begin("enclave/a")
    assert run.left == 0


def test_units_of_this_run_tell_of_the_others() -> None:
    """Units of the same kind count; where there are none, any of this run."""
    run = Run("tenant/a", "enclave/a", "enclave/b", "enclave/c")
    run.begin("tenant/a")
    run.end("tenant/a", 2)
    assert run.left == 6
    run.begin("enclave/a")
    run.end("enclave/a", 30)
    assert run.left == 60


def test_an_earlier_apply_of_the_same_unit_counts_before_the_first_end() -> None:
    """The unit itself before its kind; failed units say nothing."""
    run = Run("enclave/a", "enclave/b", earlier=(applied(a=100, c=20),))
    run.begin("enclave/a")
    assert run.left == 100 + 60


def test_an_estimate_shrinks_with_the_clock_and_is_withdrawn_when_it_was_wrong() -> None:
    """A unit that takes longer than it should leaves no estimate, not one second for ever."""
    run = Run("enclave/a", earlier=(applied(a=100),))
    run.begin("enclave/a")
    run.now = 40
    run.tell(Event(EventKind.MESSAGE, text="still there"))
    assert run.left == 60
    run.now = 130
    run.tell(Event(EventKind.MESSAGE, text="still there"))
    assert run.left == 0


def test_units_side_by_side_take_as_long_as_the_longest_at_least() -> None:
    """Four at a time are done in a quarter, but never before the longest of them."""
    run = Run("enclave/a", "enclave/c", "enclave/d", "enclave/e", earlier=(applied(a=100, c=4, d=4, e=4),), parallel=4)
    run.begin("enclave/a")
    assert run.left == 100


def test_other_units_than_planned_are_not_estimated() -> None:
    """A run that goes on after a failure works at fewer units than the plan names: it says no time."""
    run = Run("enclave/a", "enclave/b", earlier=(applied(a=100, b=100),))
    run.tell(Event(EventKind.WAVE, wave=1, of=1))
    run.begin("enclave/b")
    assert run.left == 0


def test_the_end_leaves_nothing() -> None:
    """No estimate stands behind the last unit."""
    run = Run("enclave/a", earlier=(applied(a=100),))
    run.begin("enclave/a")
    run.end("enclave/a", 0.1)
    assert run.left == 0
