"""Drift and ledger as text: what counts, what is folded, who is named."""

from __future__ import annotations

from typing import Any

from qnsp_policy.pipeline.review.drift_text import render_drift
from qnsp_policy.pipeline.review.ledger_text import render_records


def drift(*classes: str) -> dict[str, Any]:
    return {"units": 7, "drift": [{"class": name, "unit": f"unit/{name}", "text": "x"} for name in classes]}


def test_what_is_renewed_by_itself_is_no_drift() -> None:
    """Told, below everything else, and not counted."""
    said = render_drift(drift("refreshed")).splitlines()
    assert said[0].startswith("refreshed")
    assert said[1:] == [
        "no drift in 7 units; nothing was changed.",
        "What was renewed by itself is no drift; `qnsp-policy refresh` records it.",
    ]
    both = render_drift(drift("refreshed", "security")).splitlines()
    assert both[0].startswith("security")
    assert both[2:] == ["1 security in 7 units; nothing was changed.", "Next: qnsp-policy drift --heal-plan fix.plan"]
    assert render_drift(drift("security"), healed_by="fix.plan").endswith("\nNext: qnsp-policy approve fix.plan")


def record(index: int, **changes: Any) -> dict[str, Any]:
    denied = {
        "code": "QNSP-REL-003",
        "mismatches": [{"claim": "snp", "seen": 13, "required": ">= 14", "setBy": "R/x#0"}],
    }
    return {
        "log": "broker main",
        "index": index,
        "time": f"2026-11-21T10:00:{index:02}Z",
        "type": "denial",
        "subject": "clinic/model/minilm",
        "actor": "session-1",
        "data": denied,
        **changes,
    }


def test_a_denial_that_repeats_is_one_line() -> None:
    """With how often and since when; another session or another reason is another line."""
    said = render_records([record(1), record(2), record(3), record(4, actor="session-2")])
    assert said.count("claim     snp = 13") == 2
    assert "session-1   3 times since 2026-11-21T10:00:01Z" in said
    assert said.splitlines()[0].startswith("2026-11-21T10:00:03Z  broker main     3")


def test_digests_and_thumbprints_are_cut_and_names_are_not() -> None:
    """A key that has an owner is told by the owner's name."""
    applied = record(1, type="apply", subject="sha256:" + "ab" * 32, actor="k" * 43, data={})
    assert "sha256:abababab...  key kkkkkkkk..." in render_records([applied])
    assert "bob@clinic.example" in render_records([applied | {"actorName": "bob@clinic.example"}])
    assert "clinic/endpoint/clinic-embeddings" in render_records(
        [record(1, subject="clinic/endpoint/clinic-embeddings")]
    )
