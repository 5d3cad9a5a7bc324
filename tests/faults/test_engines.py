"""Engines that are not what they should be: each ends a command of ours in bounded time with a code, a cause and a next step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qnsp_policy.pipeline.engine import records, toolchain
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.testing.needed import built_pulumi
from qnsp_policy.workflows.runtime import open_backend
from tests.faults.lab import QUICKSTART, Ended, Lab

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """With a plan that is ready to be applied."""
    built_pulumi()
    made = Lab.make(tmp_path_factory.mktemp("engines") / "lab")
    made.write(*QUICKSTART)
    plan = str(made.root / "one.plan")
    assert made.run("plan", "--save", plan, "--as", "alice").code == 0
    assert made.run("approve", plan, "--as", "bob", "--yes").code == 0
    yield made
    made.end()


def apply_with(lab: Lab, program: bytes, cache: Path, *, mode: int = 0o755) -> Ended:
    """Apply with this program in pulumi's place."""
    path = toolchain.tool_root(toolchain.TOOLS["pulumi"], cache / "qnsp-policy") / "bin" / "pulumi"
    path.parent.mkdir(parents=True)
    path.write_bytes(program)
    path.chmod(mode)
    before = lab.environment
    lab.environment = {**before, "XDG_CACHE_HOME": str(cache), "PATH": "/usr/bin:/bin"}
    try:
        return lab.run("apply", str(lab.root / "one.plan"))
    finally:
        lab.environment = before


PROGRAMS = {
    "another version": (b"#!/bin/sh\necho v3.249.0\n", "QNSP-ENG-020"),
    "another program": (b"#!/bin/sh\necho hello\n", "QNSP-ENG-021"),
    "another architecture": (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00\x01", "Exec format error"),
    "refuses": (b'#!/bin/sh\n[ "$1" = version ] && exec echo v3.250.0\necho nonsense; exit 3\n', "failed: nonsense"),
    "crashes": (b'#!/bin/sh\n[ "$1" = version ] && exec echo v3.250.0\nkill -SEGV $$\n', "SIGSEGV"),
    "floods its version": (b"#!/bin/sh\nexec yes v3.250.0\n", "QNSP-ENG-021"),
    "floods": (b'#!/bin/sh\n[ "$1" = version ] && exec echo v3.250.0\nexec yes\n', "wrote more than"),
    "does nothing and is content": (b"#!/bin/sh\necho v3.250.0\n", "see whether"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_not_pulumi_applies_nothing(lab: Lab, tmp_path: Path, name: str) -> None:
    """Whatever stands in pulumi's place: the cause is named, nothing is recorded as applied, and the real one goes on."""
    program, cause = PROGRAMS[name]
    ended = apply_with(lab, program, tmp_path / "cache")
    lab.decent(ended)
    assert ended.code in {1, 6}, ended.said
    assert cause in ended.said
    assert "= next:" in ended.said
    state = records.read_state(open_backend(lab.root, load(lab.root)))
    assert not any(unit.digest for unit in state.units.values())
    assert lab.processes() == []


def test_a_pulumi_that_may_not_be_run_is_named(lab: Lab, tmp_path: Path) -> None:
    """Without the execute bit."""
    ended = apply_with(lab, b"#!/bin/sh\necho v3.250.0\n", tmp_path / "cache", mode=0o644)
    assert (ended.code, "Permission denied" in ended.said) == (1, True), ended.said


def test_without_pulumi_and_go_the_way_to_them_is_told(lab: Lab, tmp_path: Path) -> None:
    """Neither on PATH nor in the cache, and nothing to build it with."""
    before = lab.environment
    lab.environment = {**before, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/nowhere"}
    try:
        ended = lab.run("apply", str(lab.root / "one.plan"))
    finally:
        lab.environment = before
    assert ended.code == 1
    assert "QNSP-ENG-023" in ended.said
    assert "https://go.dev/dl" in ended.said


def test_the_real_one_goes_on(lab: Lab) -> None:
    """The same command with the right engine, after all of that."""
    told: list[str] = []
    lab.settled("apply", str(lab.root / "one.plan"), told=told)
    lab.whole(units={"platform/lab", "broker/main", "tenant/clinic"}, names={"broker-main"})
    stack = lab.root / ".qnsp/state/pulumi/.pulumi/stacks/qnsp/tenant.clinic.json"
    whole = stack.read_bytes()
    stack.write_bytes(whole[: len(whole) // 2])
    torn = lab.run("plan", "--replace", "tenant/clinic")
    lab.decent(torn)
    assert (torn.code, "QNSP-ENG-041" in torn.said, ".bak" in torn.said) == (1, True, True), torn.said
    stack.write_bytes(whole)
    lab.settled("destroy", "--approve-as", "bob", "--save", str(lab.root / "end.plan"), told=told)
    lab.whole(units=set(), names=set())
