"""The verbs that need documents only: init, validate, fmt, check, trust, explain, key, sign, plan, approve; and what they refuse."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qnsp_policy.cli.main import main
from qnsp_policy.errors import OperatorError
from qnsp_policy.testing.command_line import run_here as run
from qnsp_policy.workflows.archives import folder_files, write_tar
from qnsp_policy.workflows.init import adopt_workspace, init_workspace
from qnsp_policy.workflows.template import fill


@pytest.fixture
def ws(quickstart_documents: Path) -> Path:
    return quickstart_documents


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_init_keeps_every_private_key_to_itself(ws: Path) -> None:
    """Key files are 0600 under .qnsp (0700), which git ignores; no document or signature holds a private member."""
    assert stat.S_IMODE((ws / ".qnsp").stat().st_mode) == 0o700
    for path in (ws / ".qnsp/keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert '"insecure"' in path.read_text()
    assert stat.S_IMODE((ws / ".qnsp/passphrase").stat().st_mode) == 0o600
    assert ".qnsp/" in (ws / ".gitignore").read_text().split("\n")
    for path in [*ws.glob("*.yaml"), *(ws / "signatures").iterdir(), *(ws / "artefacts").glob("*.json")]:
        assert not re.search(r'"(priv|d)":', path.read_text())


def test_the_template_is_valid_yaml_without_any_key(capsys: pytest.CaptureFixture[str]) -> None:
    """The template in the repository is readable YAML; every key and digest is a named place."""
    import yaml

    root = Path(__file__).parents[2] / "examples" / "quickstart"
    for path in root.glob("*.yaml"):
        text = path.read_text()
        assert list(yaml.safe_load_all(text))
        assert "sha256:" not in text
        assert not re.search(r"[A-Za-z0-9_-]{43,}", text), f"{path.name} holds something that looks like a key"


def test_init_refuses_a_folder_that_is_not_empty(ws: Path) -> None:
    """Nothing of the user's is ever overwritten."""
    with pytest.raises(OperatorError, match="not empty"):
        init_workspace(ws, template="quickstart", now=datetime.now(UTC), progress=lambda _: None)
    with pytest.raises(OperatorError, match="no template"):
        init_workspace(ws / "x", template="quickstrat", now=datetime.now(UTC), progress=lambda _: None)


def test_a_fresh_quickstart_is_clean(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """validate, fmt and check have nothing to say against it but that simulated hardware is simulated."""
    assert run(capsys, ws, "validate")["documents"] == 18
    assert run(capsys, ws, "fmt", "--check")["changed"] == []
    report = run(capsys, ws, "check")
    assert set(report["counts"]) <= {"low", "info"}
    assert report["rulesEvaluated"] >= 30
    assert not report["brokenSignatures"]


def test_all_errors_at_once_with_their_places(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files with three mistakes give three errors with file, line, column and a next step."""
    edit(ws / "endpoints.yaml", "responseSignature:", "responseSignatur:")
    edit(ws / "endpoints.yaml", "Enclave/clinic-enclave", "Enclave/clinic-enclav")
    edit(ws / "tenants.yaml", "kind: Tenant", "kind: Tenent")
    errors = run(capsys, ws, "validate", code=1)["errors"]
    codes = {error["code"] for error in errors}
    assert {"QNSP-DOC-014", "QNSP-DOC-015"} <= codes
    assert {error["file"] for error in errors} >= {"endpoints.yaml", "tenants.yaml"}
    assert all(error["line"] > 0 for error in errors)
    main(["-C", str(ws), "validate"])
    text = capsys.readouterr().err
    assert "did you mean `responseSignature`?" in text
    assert re.search(r"\n\d+ \|   responseSignatur: .*\n +\| +\^{16}", text)


def test_check_against_a_base_shows_new_findings_first(
    ws: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the base has too does not block; what is new does; a baseline file does the same."""
    head = tmp_path / "head"
    shutil.copytree(ws, head)
    edit(head / "keys.yaml", "rotation: 30d", "rotation: 300d")
    found = run(capsys, head, "check", "--base", str(ws), "--fail-on", "medium", code=3)
    assert len(found["new"]) == 1
    assert found["violations"]
    baseline = tmp_path / "baseline.json"
    main(["-C", str(head), "check", "--out", f"json={baseline}"])
    assert run(capsys, head, "check", "--baseline", str(baseline), "--fail-on", "medium")["new"] == []
    assert run(capsys, ws, "check", "--base", str(head), "--fail-on", "medium")["resolved"]


def test_check_writes_every_format_in_one_run(ws: Path, tmp_path: Path) -> None:
    """One evaluation, many outputs."""
    kinds = ("json", "sarif", "sarif-github", "junit", "gitlab", "markdown", "annotations")
    wanted = [word for kind in kinds for word in ("--out", f"{kind}={tmp_path / kind}")]
    assert main(["-C", str(ws), "-q", "check", *wanted]) == 0
    assert all((tmp_path / kind).stat().st_size > 0 for kind in kinds)


def test_a_weakening_is_called_one(ws: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lowered floor is WEAKENED at its line, by folder and by git revision, and fails where asked."""
    git = shutil.which("git")
    assert git
    for line in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]):
        subprocess.run([git, "-C", str(ws), *line], check=True, capture_output=True)
    tracked = subprocess.run([git, "-C", str(ws), "ls-files"], check=True, capture_output=True, text=True).stdout
    assert ".qnsp" not in tracked
    edit(ws / "reference-values.yaml", "microcode: 209", "microcode: 115")
    diff = run(capsys, ws, "trust", "diff", "HEAD", "--fail-on", "weaken", code=3)
    assert {change["direction"] for change in diff["changes"]} == {"weakened"}
    assert all(change["place"].startswith("reference-values.yaml:") for change in diff["changes"])
    main(["-C", str(ws), "trust", "diff", "HEAD"])
    assert "! WEAKENED  clinic-enclave" in capsys.readouterr().out
    assert run(capsys, ws, "check", "--base", "HEAD", "--fail-on", "weaken", code=3)["weakened"]
    for wrong in ("nowhere", "--output=x", "HEAD~9"):
        assert main(["-C", str(ws), "-q", "trust", "diff", "--", wrong]) in {1, 64}


def test_trust_show_narrows(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who may get what, for one tenant or enclave; an unknown one gets a suggestion."""
    shown = run(capsys, ws, "trust", "show", "--tenant", "clinic")
    assert {grant["tenant"] for grant in shown["grants"]} == {"Tenant/clinic"}
    assert "no declared grant crosses a tenant (2 of 2 pairs" in shown["statements"][-1]
    assert "clinic" in run(capsys, ws, "trust", "show", "--tenant", "clinc", code=1)["errors"][0]["next"]


def test_a_changed_document_needs_its_signature_again(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Editing what was signed breaks the signature; `sign` puts it right."""
    edit(ws / "artefacts.yaml", "type: dataset", "type: dataset\n  size: 443")
    broken = run(capsys, ws, "check", code=3)
    assert broken["brokenSignatures"]
    run(capsys, ws, "sign", "artefacts.yaml", "--as", "lab")
    assert not run(capsys, ws, "check")["brokenSignatures"]
    assert "QNSP-KEY-011" in json.dumps(run(capsys, ws, "sign", "artefacts.yaml", "--as", "carol", code=1))


def test_a_rewritten_signature_is_no_signature(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan over documents whose signatures do not verify is not made."""
    path = ws / "signatures" / "ReferenceValues.clinic-1.dsse.json"
    value = json.loads(path.read_text())
    value["signatures"][0]["sig"] = value["signatures"][1]["sig"]
    path.write_text(json.dumps(value))
    assert run(capsys, ws, "plan", code=1)["errors"][0]["code"] == "QNSP-SIG-080"


def test_plan_approve_and_show(ws: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan is signed by its author, approved by another, and `show` says what it is worth; the author cannot approve."""
    plan = tmp_path / "a.plan"
    made = run(capsys, ws, "plan", "--save", str(plan), "--detailed-exitcode", code=2)
    assert made["plan"]["author"] == "alice@clinic.example"
    before = run(capsys, ws, "show", str(plan))
    assert before["authorVerified"]
    assert before["missing"]
    assert (
        run(capsys, ws, "approve", str(plan), "--as", "alice", "--yes", code=4)["errors"][0]["code"] == "QNSP-PLN-016"
    )
    assert run(capsys, ws, "approve", str(plan), "--as", "lab", "--yes", code=4)["errors"][0]["code"] == "QNSP-PLN-040"
    assert run(capsys, ws, "approve", str(plan), "--yes")["missing"] == []
    after = run(capsys, ws, "show", str(plan))
    assert after["approvers"] == ["bob@clinic.example"]
    assert after["refusal"] is None
    types = [entry["type"] for entry in run(capsys, ws, "ledger", "list")]
    assert types == ["genesis", "plan", "approval"]
    run(capsys, ws, "ledger", "verify")
    assert "c2sp.org/tlog-proof" in run(capsys, ws, "ledger", "prove", "1")["proof"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("one byte", "QNSP-PLN-0"),
        ("no plan", "QNSP-PLN-002"),
        ("unapproved", "QNSP-PLN-015"),
        ("expired", "QNSP-PLN-01"),
        ("another workspace", "QNSP-PLN-0"),
    ],
)
def test_apply_refuses(
    name: str, code: str, ws: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], quickstart_template: Path
) -> None:
    """Each cause has its own message and exit code 4; nothing is started."""
    plan = tmp_path / "a.plan"
    run(capsys, ws, "plan", "--save", str(plan))
    now: list[str] = []
    if name != "unapproved":
        run(capsys, ws, "approve", str(plan), "--as", "bob", "--yes")
    if name == "one byte":
        data = bytearray(plan.read_bytes())
        at = data.index(b'"payload":"') + 400
        data[at] = data[at] ^ 1
        plan.write_bytes(bytes(data))
    elif name == "no plan":
        plan.write_text("{}")
    elif name == "expired":
        now = ["--now", (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")]
    elif name == "another workspace":
        other = tmp_path / "other"
        init_workspace(other, template="quickstart", now=datetime.now(UTC), progress=lambda _: None)
        ws = other
    refused = run(capsys, ws, *now, "apply", str(plan), code=4)
    assert refused["errors"][0]["code"].startswith(code)
    assert not (ws / ".qnsp/run").exists()


def test_targets_are_units_or_an_error(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A target takes what it depends on; an unknown one gets a suggestion instead of "no changes"."""
    planned = run(capsys, ws, "plan", "--target", "broker/main")["plan"]
    done = {action["unit"] for action in planned["actions"] if action["op"] == "create" and not action["skipped"]}
    assert done == {"platform/lab", "broker/main"}
    wrong = run(capsys, ws, "plan", "--target", "broker/mian", code=1)["errors"][0]
    assert wrong["code"] == "QNSP-PLN-021"
    assert "broker/main" in wrong["next"]


def test_without_a_genesis_record_nothing_is_planned(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A clone has no genesis record: refused, until it is adopted with the digest that was kept outside."""
    shutil.rmtree(ws / ".qnsp/state")
    refused = run(capsys, ws, "plan", code=1)["errors"][0]
    assert refused["code"] == "QNSP-PLN-001"
    wrong = run(capsys, ws, "init", "--adopt", "sha256:" + "0" * 64, code=1)["errors"][0]
    assert wrong["code"] == "QNSP-OPS-012"
    adopted = adopt_workspace(ws, digest=wrong["got"], now=datetime.now(UTC))
    assert adopted.trust_root_digest == wrong["got"]
    assert adopt_workspace(ws, digest=wrong["got"], now=datetime.now(UTC)) == adopted, "one that was killed goes on"
    assert run(capsys, ws, "plan")["changes"]


def test_explain_fills_in_defaults(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A document with its defaults, its tier, who refers to it and what trust it takes part in."""
    found = run(capsys, ws, "explain", "Tenant/clinic")
    assert "attesters" in found["defaults"]
    assert found["tier"]["address"] == "CryptoTier/hip5-tier-2"
    assert "Enclave/clinic-enclave" in found["usedBy"]
    assert any("clinic/model/minilm" in grant for grant in found["grants"])
    assert "Tenant/clinic" in run(capsys, ws, "explain", "Tenant/clinics", code=1)["errors"][0]["next"]


def test_keys_are_never_overwritten(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new name gets its keys, an old one an error; what is no name is refused before it is a path."""
    made = run(capsys, ws, "key", "new", "carol@clinic.example")
    assert {key["alg"] for key in made["keys"]} == {"ML-DSA-65", "Ed25519"}
    assert run(capsys, ws, "key", "show", "carol")["keyIds"] == made["keyIds"]
    assert run(capsys, ws, "key", "new", "carol@clinic.example", code=1)["errors"][0]["code"] == "QNSP-KEY-005"
    assert run(capsys, ws, "key", "new", "../evil", code=1)["errors"][0]["code"] == "QNSP-KEY-010"


def test_sealing_follows_the_document(ws: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sealed where the document says, to the broker that serves the tenant; the same file never seals to the same bytes."""
    plain = tmp_path / "notes.txt"
    plain.write_text("secret words")
    one = run(capsys, ws, "artefact", "seal", str(plain), "--name", "Artefact/notes")
    two = run(capsys, ws, "artefact", "seal", str(plain), "--name", "notes")
    assert one["plaintextDigest"] == two["plaintextDigest"]
    assert one["digest"] != two["digest"]
    assert b"secret words" not in (ws / "artefacts/notes.sealed").read_bytes()
    assert run(capsys, ws, "artefact", "seal", str(plain), "--name", "clinic-guest", code=1)["errors"]


def test_a_rule_is_explained_from_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rules can be read without a workspace; a mistyped one gets the nearest."""
    assert len(run(capsys, tmp_path, "policy", "list")) >= 30
    page = run(capsys, tmp_path, "policy", "explain", "crypto/signature-below-tier")["page"]
    assert page.startswith("# crypto/signature-below-tier")
    wrong = run(capsys, tmp_path, "policy", "explain", "crypto/signature-below-teir", code=1)["errors"][0]
    assert "signature-below-tier" in wrong["next"]


def test_graphs_and_schema(ws: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both drawings name every enclave; the schema is draft-07."""
    graph = run(capsys, ws, "graph")
    assert {node["group"] for node in graph["nodes"]} == {"tenants", "brokers", "enclaves", "endpoints"}
    assert run(capsys, ws, "schema", "export")["$schema"].startswith("http://json-schema.org/draft-07")


def test_archives_are_the_same_bytes(tmp_path: Path) -> None:
    """A guest image is measured, so equal files give equal bytes, whatever their times and owners."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.py").write_text("x")
    (tmp_path / "a/__pycache__").mkdir()
    (tmp_path / "a/__pycache__/x.pyc").write_text("y")
    for name in ("one.tar", "two.tar"):
        (tmp_path / "a/x.py").touch()
        with (tmp_path / name).open("wb") as sink:
            write_tar(sink, folder_files(tmp_path / "a", "upstream/"))
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert tar.getnames() == ["upstream/x.py"]


def test_template_places_are_values_not_text() -> None:
    """A value is put in as JSON, so nothing of it can become another document; an unknown place is an error."""
    assert fill('a: "{{ x.y }}"', {"x.y": 'b"\n---\nkind: Evil'}) == 'a: "b\\"\\n---\\nkind: Evil"'
    with pytest.raises(KeyError):
        fill('a: "{{ nowhere }}"', {})
