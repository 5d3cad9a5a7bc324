"""The machine around an apply misbehaves: no descriptors, a clock that jumps back, state that is gone and back, a look in between."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from qnsp_policy.testing.needed import built_pulumi
from tests.faults.lab import QUICKSTART, Lab

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]
UNITS = {"platform/lab", "broker/main", "tenant/clinic"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Applied once."""
    built_pulumi()
    made = Lab.make(tmp_path_factory.mktemp("surroundings") / "lab")
    made.settled("apply", planned(made, 600), told=[])
    yield made
    made.end()


def planned(lab: Lab, requests: int, *options: str) -> str:
    """A signed and approved plan of another quota."""
    lab.write(*QUICKSTART, changed=(("requestsPerMinute: 600", f"requestsPerMinute: {requests}"),))
    plan, told = str(lab.root / "change.plan"), list[str]()
    lab.settled(*options, "plan", "--save", plan, "--as", "alice", told=told)
    lab.settled(*options, "approve", plan, "--as", "bob", "--yes", told=told)
    return plan


def test_too_few_descriptors_stop_an_apply_and_it_goes_on(lab: Lab) -> None:
    """Wherever they run out: a code, a cause, `ulimit -n` as the way on; the same command without the limit ends well."""
    plan = planned(lab, 601)
    for few in (12, 18, 24):
        lab.descriptors = few
        try:
            ended = lab.run("apply", plan)
        finally:
            lab.descriptors = 0
        lab.decent(ended)
        assert ended.code in {0, 1, 6}, ended.said
        assert ended.code == 0 or "ulimit -n" in ended.said, ended.said
    lab.settled("apply", plan, told=[])
    lab.whole(units=UNITS, names={"broker-main"})


def test_a_clock_that_jumps_back_loses_nothing(lab: Lab) -> None:
    """A change planned and applied two hours before the last one: recorded after it, the ledger is whole, the next sees no change."""
    before = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    plan = planned(lab, 602, "--now", before)
    assert lab.run("--now", before, "apply", plan).code == 0
    lab.whole(units=UNITS, names={"broker-main"})
    assert lab.run("plan", "--detailed-exitcode").code == 0


def test_a_state_folder_that_is_gone_and_back(lab: Lab) -> None:
    """Without it nothing is read as applied and nothing is made in its place; when it is back the same plan is applied."""
    plan, state = planned(lab, 603), lab.root / ".qnsp" / "state"
    away = state.with_name("away")
    state.rename(away)
    try:
        for line in (("plan",), ("apply", plan), ("drift",), ("refresh", "--yes"), ("destroy", "--approve-as", "bob")):
            ended = lab.run(*line)
            lab.decent(ended)
            assert ended.code in {1, 4}, (line, ended.said)
            assert "= next:" in ended.said, (line, ended.said)
        assert not state.exists() or not [path for path in state.rglob("units/*") if path.is_file()]
    finally:
        shutil.rmtree(state, ignore_errors=True)
        away.rename(state)
    assert {process.name() for process in lab.of("broker")}, "what ran runs on"
    lab.settled("apply", plan, told=[])
    lab.whole(units=UNITS, names={"broker-main"})


def test_looks_during_an_apply_change_nothing(lab: Lab) -> None:
    """Drift and plan while an apply is at work answer with codes of theirs; two applies at once: one works, the other is told who."""
    plan = planned(lab, 604)
    working = lab.start("apply", plan)
    looks = 0
    try:
        while working.poll() is None:
            for line in (("drift",), ("plan",), ("apply", plan)):
                ended = lab.run(*line)
                lab.decent(ended)
                allowed = {"drift": {0, 2}, "plan": {0, 1, 5}, "apply": {0, 1, 4, 5}}[line[0]]
                assert ended.code in allowed, (line, ended.said)
                looks += 1
    finally:
        said, _ = working.communicate()
    assert looks
    assert working.returncode in {0, 4, 5}, said
    lab.settled("apply", plan, told=[])
    lab.whole(units=UNITS, names={"broker-main"})
    lab.settled("destroy", "--approve-as", "bob", "--save", str(lab.root / "end.plan"), told=[])
    lab.whole(units=set(), names=set())
