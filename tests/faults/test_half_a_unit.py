"""A provider that fails in the middle of a unit, through the real command line: exit 6, what stands, what does not, how to go on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from qnsp_policy.testing.needed import built_pulumi
from tests.faults.lab import CLINIC, QUICKSTART, Lab

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]
FLEET = "enclave/clinic-enclave"
NAMES = {"broker-main", "enclave-clinic-enclave-0-simulator", "enclave-clinic-enclave-0-guest"}
UNITS = {"platform/lab", "broker/main", "tenant/clinic", FLEET}


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    built_pulumi()
    made = Lab.make(tmp_path_factory.mktemp("half") / "lab")
    made.write(*QUICKSTART, *CLINIC)
    yield made
    made.end()


def test_half_a_unit(lab: Lab) -> None:
    """The guest's settings cannot be written: its simulator stands, the guest does not; the command that is named goes on."""
    plan, told = str(lab.root / "one.plan"), list[str]()
    lab.settled("plan", "--save", plan, "--as", "alice", told=told)
    lab.settled("approve", plan, "--as", "bob", "--yes", told=told)
    stuck = lab.root / ".qnsp/run/cfg/enclave-clinic-enclave-0-guest.json"
    stuck.mkdir(parents=True)
    ended = lab.run("apply", plan)
    lab.decent(ended)
    assert ended.code == 6, ended.said
    failed = next(line for line in ended.said.splitlines() if line.strip().startswith(f"{FLEET}: "))
    assert failed.endswith("(of it stands: enclave-clinic-enclave-0-simulator; not: enclave-clinic-enclave-0-guest)"), (
        failed
    )
    applied = next(line for line in ended.said.splitlines() if "applied and recorded:" in line)
    assert all(unit in applied for unit in UNITS - {FLEET})
    step = next(line for line in ended.said.splitlines() if "= next:" in line)
    command = shlex.split(step.partition(": qnsp-policy ")[2].partition(" (entry ")[0])
    again = lab.run("--format", "json", *command)
    assert (again.code, json.loads(again.said[again.said.index("{") :])["exitCode"]) == (6, 6), again.said
    stuck.rmdir()
    assert lab.run(*command).code == 0
    lab.whole(units=UNITS, names=NAMES)
    lab.settled("destroy", "--approve-as", "bob", "--save", str(lab.root / "end.plan"), told=told)
    lab.whole(units=set(), names=set())
