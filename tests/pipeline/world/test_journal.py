"""The journal: what a killed run leaves, and the state that is completed by it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qnsp_policy.pipeline.world.journal import begin_line, completed, end_line, fold, refused_line

ROOT = "urn:pulumi:enclave.a::qnsp::pulumi:pulumi:Stack::qnsp-enclave.a"


def urn(name: str) -> str:
    return f"urn:pulumi:enclave.a::qnsp::qnsp:local:Process::{name}"


def made(*lines: bytes, held: Any = None) -> Any:
    return completed(held or {}, fold(b"".join(lines)), "enclave.a", "qnsp")


def test_what_was_made_joins_a_stack_that_was_never_saved() -> None:
    """Stack, provider and resource, each after the one before, so that nothing is deleted before what needs it."""
    deployment = made(
        begin_line("create", urn("p"), "p", {"name": "p"}),
        end_line(urn("p"), "p", {"pid": 7}),
        begin_line("create", urn("q"), "q", {"name": "q"}),
    )
    root, provider, first, second = deployment["resources"]
    assert root == {"urn": ROOT, "custom": False, "type": "pulumi:pulumi:Stack"}
    assert first["inputs"] == {"name": "p"}
    assert first["outputs"] == {"name": "p", "pid": 7}
    assert first["provider"] == f"{provider['urn']}::{provider['id']}"
    assert (first["dependencies"], second["dependencies"]) == ([ROOT], [urn("p")])
    assert (second["id"], second["type"]) == ("q", "qnsp:local:Process")


def test_a_create_that_was_refused_is_not_ours() -> None:
    """What another resource owns is never taken into the state."""
    assert made(begin_line("create", urn("p"), "p", {}), refused_line(urn("p"))) is None


def test_a_line_that_broke_off_says_nothing_and_takes_no_other_with_it() -> None:
    """A full disk in the middle of a line, then room again."""
    whole = begin_line("create", urn("p"), "p", {"name": "p"})
    for cut in range(len(whole)):
        found = fold(whole[:cut] + begin_line("create", urn("q"), "q", {}))
        assert [item.id for item in found][-1] == "q"
        assert {item.id for item in found} <= {"p", "q"}
    assert fold(whole[:-1]) == ()


@pytest.mark.parametrize("ended", [True, False])
def test_an_update_that_was_lost_remembers_old_and_new_files(ended: bool) -> None:
    """Whichever of the two stands, the next update knows every file that it may have to remove."""
    held = {
        "resources": [
            {"urn": ROOT, "type": "pulumi:pulumi:Stack"},
            {"urn": urn("p"), "id": "p", "inputs": {"files": {"a": "1"}}, "outputs": {"files": {"a": "1"}, "pid": 1}},
        ]
    }
    lines = [begin_line("update", urn("p"), "p", {"files": {"b": "2"}})]
    if ended:
        lines.append(end_line(urn("p"), "p", {"pid": 2}))
    entry = made(*lines, held=held)["resources"][1]
    assert entry["inputs"]["files"] == entry["outputs"]["files"] == {"a": "1", "b": "2"}
    assert entry["outputs"]["pid"] == (2 if ended else 1)


def test_a_replacement_that_was_lost_is_held_under_its_new_id() -> None:
    """The old one went first, so what stands is the new one."""
    held = {"resources": [{"urn": urn("p"), "id": "old", "inputs": {"name": "old"}, "outputs": {"name": "old"}}]}
    entry = made(begin_line("create", urn("p"), "new", {"name": "new"}), held=held)["resources"][0]
    assert (entry["id"], entry["inputs"], entry["outputs"]["name"]) == ("new", {"name": "new"}, "new")


def test_a_state_that_holds_everything_needs_nothing() -> None:
    """The engine saved after all: no import, whatever the journal's order."""
    held = {"resources": [{"urn": urn("p"), "id": "p", "inputs": {"name": "p"}, "outputs": {"name": "p", "pid": 3}}]}
    line = begin_line("create", urn("p"), "p", {"name": "p"})
    assert made(line, end_line(urn("p"), "p", {"pid": 3}), held=held) is None
    assert made(begin_line("update", urn("gone"), "g", {}), held=held) is None
    assert json.loads(line)["at"] == "begin"
