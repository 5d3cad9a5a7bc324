"""What a reader of a plan, a lock, a log or a list is told, and the exit code that goes with it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.cli.main import main
from qnsp_policy.kernel.ledger.note import NoteKey
from qnsp_policy.kernel.processes_edge import ProcessIdentity
from qnsp_policy.pipeline.engine import lease
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.workflows.runtime import open_backend

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, root: Path, *line: str, code: int = 0) -> str:
    """What one line prints; its exit code must be this."""
    capsys.readouterr()
    got = main(["-C", str(root), *line])
    said = capsys.readouterr()
    assert got == code, said.out[-1500:] + said.err[-1500:]
    return said.out + said.err


def run_json(capsys: Capture, root: Path, *line: str, code: int = 0) -> Any:
    """The JSON twin."""
    return json.loads(run(capsys, root, "--format", "json", *line, code=code))


def test_show_says_what_to_do_next_and_by_its_code_whether_apply_could(
    quickstart_documents: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Waiting for approvals is 0, approved is 0, what apply would refuse for good is 4."""
    ws, plan = quickstart_documents, tmp_path / "a.plan"
    run(capsys, ws, "plan", "--save", str(plan))
    assert f"Next: qnsp-policy approve {plan}" in run(capsys, ws, "show", str(plan))
    assert run_json(capsys, ws, "show", str(plan))["waits"]
    later = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    expired = run(capsys, ws, "--now", later, "show", str(plan), code=4)
    assert "apply would refuse it: QNSP-PLN-010" in expired
    run(capsys, ws, "approve", str(plan), "--as", "bob", "--yes")
    assert f"Next: qnsp-policy apply {plan}" in run(capsys, ws, "show", str(plan))
    file = json.loads(plan.read_bytes())
    file["signatures"][0]["sig"] = file["signatures"][1]["sig"]
    plan.write_text(json.dumps(file))
    assert "NOT OK    signed by its author" in run(capsys, ws, "show", str(plan), code=4)


def test_a_lock_whose_owner_is_gone_is_told_so(quickstart_documents: Path, capsys: Capture) -> None:
    """Held, abandoned by a dead process of this host, free."""
    ws = quickstart_documents
    backend = open_backend(ws, load(ws))
    with lease.Lease.acquire(backend, purpose="apply"):
        assert run_json(capsys, ws, "lock", "list")[0]["state"] == "held"
        found = lease.read(backend)
        assert found is not None
        dead = replace(found[0], token=found[0].token + 1, owner=ProcessIdentity(2**22 - 1, 1, "another boot"))
        backend.put(lease.KEY, json.dumps(dead.to_json()).encode())
        assert "abandoned\nIts owner is gone; the next apply takes it over" in run(capsys, ws, "lock", "list")
        backend.put(lease.KEY, json.dumps(replace(dead, owner=None).to_json()).encode())
    assert run(capsys, ws, "lock", "list") == "nobody holds it\n"


def test_the_keys_of_a_log_are_what_verifies_it(quickstart_documents: Path, capsys: Capture) -> None:
    """C2SP verifier keys that parse, and the key of the stronger statement by its id."""
    found = run_json(capsys, quickstart_documents, "ledger", "keys")
    assert [log["log"] for log in found] == ["workspace"]
    keys = [NoteKey.from_vkey(key["vkey"]) for key in found[0]["keys"] if key["vkey"]]
    assert {key.key.algorithm for key in keys} == {"Ed25519", "ML-DSA-44"}
    assert {key.name for key in keys} == {found[0]["origin"]}
    assert "(checkpoint.dsse.json)" in run(capsys, quickstart_documents, "ledger", "keys")


def test_an_answer_without_a_workspace_asks_for_its_trust(tmp_path: Path, capsys: Capture) -> None:
    """Not "no documents": the way out is the file that a relying party has."""
    answer = tmp_path / "answer.http"
    empty = tmp_path / "empty"
    empty.mkdir()
    sent = {"method": "POST", "url": "https://h/", "headers": [], "body": ""}
    saved = {
        "format": "qnsp.answer/v1",
        "request": sent,
        "response": {"status": 200, "headers": [], "body": ""},
        "evidence": None,
        "receipt": None,
    }
    answer.write_text(json.dumps(saved))
    said = run_json(capsys, empty, "verify-response", str(answer), code=1)["errors"][0]
    assert said["code"] == "QNSP-OPS-069"
    assert "--trust FILE" in said["next"]


def test_rules_are_counted_alike(quickstart_documents: Path, capsys: Capture) -> None:
    """`policy list` lists as many as `check` says it evaluated, and each has its page."""
    listed = run_json(capsys, quickstart_documents, "policy", "list")
    assert len(listed) == run_json(capsys, quickstart_documents, "check")["rulesEvaluated"]
    assert "Waiver that silences nothing" in run(capsys, quickstart_documents, "policy", "explain", "waivers/unused")


def test_a_document_is_explained_without_what_is_not_set(quickstart_documents: Path, capsys: Capture) -> None:
    """One line a field as YAML writes it; members that are not set are left out, long values end in dots."""
    told = run(capsys, quickstart_documents, "explain", "Endpoint/clinic-embeddings")
    assert '  upstream: {command: ["python", "upstream/app.py"], environment: []}\n' in told
    assert '  tls: {mode: "embedded", groups: []}   (default)\n' in told
    assert "null" not in told
    tier = run(capsys, quickstart_documents, "explain", "Tenant/clinic").partition("From tier")[2]
    assert [line for line in tier.split("\n") if line.startswith("  hash: ") and line.endswith("...")]


def test_the_name_of_a_document_alone_finds_its_address(quickstart_documents: Path, capsys: Capture) -> None:
    """Who forgets the kind is told the whole address."""
    told = run(capsys, quickstart_documents, "explain", "clinic-embeddings", code=1)
    assert "did you mean `qnsp-policy explain Endpoint/clinic-embeddings`?" in told


def test_a_type_of_which_there_is_no_record_is_no_empty_ledger(quickstart_documents: Path, capsys: Capture) -> None:
    """`ledger list --type` says that none is of that type; the JSON twin is an empty list."""
    assert "no record is of the type denail" in run(capsys, quickstart_documents, "ledger", "list", "--type", "denail")
    assert run_json(capsys, quickstart_documents, "ledger", "list", "--type", "denial") == []
