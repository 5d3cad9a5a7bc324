"""The whole line on the quickstart with the real engine and real processes: every promise of the demo, and what must be refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulumi_qnsp.supervisor_edge import SupervisorClient, SupervisorFolder
from qnsp_policy.testing.command_line import applied, run

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A quickstart that is planned, approved, interrupted while it is applied, and applied; destroyed at the end."""
    root = tmp_path_factory.mktemp("line") / "lab"
    line = [sys.executable, "-m", "qnsp_policy.cli.main", "init", "--template", "quickstart", str(root)]
    subprocess.run(line, check=True, capture_output=True)
    run(root, "plan", "--save", str(root / "one.plan"), "--detailed-exitcode", expected=2)
    run(root, "apply", str(root / "one.plan"), expected=4)
    run(root, "approve", str(root / "one.plan"), "--as", "alice", "--yes", expected=4)
    assert run(root, "approve", str(root / "one.plan"), "--as", "bob", "--yes")["missing"] == []
    with applied(root, interrupted=interrupted):
        yield root


def interrupted(root: Path) -> None:
    """Ctrl-C ends with 130, frees the lock and loses nothing; the same command goes on from there."""
    line = [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(root), "apply", str(root / "one.plan")]
    with subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        for said in process.stderr:
            if "platform/lab" in said:
                break
        process.send_signal(2)
        rest = process.stderr.read()
        assert process.wait(240) == 130
    assert "interrupted" in rest
    assert run(root, "lock", "list") == []


def test_an_answer_proves_itself(lab: Path, tmp_path: Path) -> None:
    """An embedding comes back signed with ML-DSA-65; the saved answer verifies offline and is refused without the flag."""
    answer = tmp_path / "answer.http"
    said = run(lab, "call", "clinic-embeddings", "--input", "chest pain", "--allow-simulated", "--save", str(answer))
    assert said["accepted"]
    assert said["algorithm"] == "ML-DSA-65"
    assert len(said["answer"]["data"][0]["embedding"]) == 384
    verdicts = {statement["name"]: statement["verdict"] for statement in said["statements"]}
    assert verdicts["signature"] == "ok"
    assert verdicts["evidence"] == "simulated"
    assert verdicts["receipt"] == "ok"
    assert run(lab, "verify-response", str(answer), "--allow-simulated")["accepted"]
    strict = run(lab, "verify-response", str(answer), expected=7)
    assert strict["statements"][0]["code"] == "QNSP-GWY-050"


def test_an_altered_answer_is_refused(lab: Path, tmp_path: Path) -> None:
    """One changed byte of the body, or a changed header, and nothing is accepted."""
    answer = tmp_path / "answer.http"
    run(lab, "call", "clinic-embeddings", "--input", "x", "--allow-simulated", "--save", str(answer))
    value = json.loads(answer.read_bytes())
    value["response"]["status"] = 201
    answer.write_text(json.dumps(value))
    refused = run(lab, "verify-response", str(answer), "--allow-simulated", expected=7)
    assert refused["statements"][0]["verdict"] == "refused"


def test_the_official_client(lab: Path) -> None:
    """The openai client works unchanged through the verifying transport."""
    openai = pytest.importorskip("openai")
    from qnsp_policy.client.transport_edge import open_endpoint
    from qnsp_policy.client.trust import RelyingPartyTrust
    from qnsp_policy.pipeline.model.workspace_edge import load
    from qnsp_policy.workflows.call import api_key, endpoint_url

    trust = RelyingPartyTrust.from_json(json.dumps(run(lab, "trust", "export", "clinic-embeddings")).encode())
    workspace = load(lab)
    key = api_key(lab, workspace, "clinic-embeddings", None)
    endpoint = open_endpoint(endpoint_url(workspace, "clinic-embeddings"), trust, api_key=key, allow_simulated=True)
    with endpoint.client() as http:
        client = openai.OpenAI(base_url=endpoint.base_url, api_key="unused", http_client=http, max_retries=0)
        found = client.embeddings.create(model="minilm", input=["chest pain", "headache"])
        with pytest.raises(openai.NotFoundError):
            client.completions.create(model="minilm", prompt="not an API of this endpoint")
    assert trust.receipts
    assert [len(item.embedding) for item in found.data] == [384, 384]


def test_plain_curl(lab: Path) -> None:
    """A plain HTTPS client gets embeddings with a token; without one it gets nothing."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    from qnsp_policy.pipeline.model.workspace_edge import load
    from qnsp_policy.workflows.call import endpoint_url

    url = f"{endpoint_url(load(lab), 'clinic-embeddings')}/v1/embeddings"
    token = run(lab, "key", "token", "clinic-app", "--endpoint", "clinic-embeddings")["token"]
    body = '{"model":"minilm","input":"chest pain"}'
    line = [
        curl,
        "-sk",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "Content-Type: application/json",
        "-d",
        body,
        url,
    ]
    refused = subprocess.run(line, capture_output=True, text=True, check=False)
    if refused.returncode in {35, 52, 56}:
        pytest.skip("this curl's TLS library knows no hybrid key exchange")
    assert refused.stdout == "401"
    line[1:1] = ["-H", f"Authorization: Bearer {token}"]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "200"


def test_any_curl_through_the_door(lab: Path) -> None:
    """Through `connect` an old curl gets verified answers; the door signs and verifies, curl knows nothing of it."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    line = [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(lab), "--format", "ndjson", "connect"]
    line += ["clinic-embeddings", "--allow-simulated", "--listen"]
    with subprocess.Popen([*line, "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as door:
        try:
            assert door.stdout is not None
            url = json.loads(door.stdout.readline())["url"]
            body = '{"model":"minilm","input":"chest pain"}'
            ask = [curl, "-sf", "--max-time", "240", "-H", "Content-Type: application/json", "-d", body]
            done = subprocess.run([*ask, f"{url}/v1/embeddings"], capture_output=True, text=True, check=True)
            taken = subprocess.run([*line, url.removeprefix("http://")], capture_output=True, text=True, check=False)
        finally:
            door.send_signal(2)
            assert door.wait(120) == 130
    assert len(json.loads(done.stdout)["data"][0]["embedding"]) == 384
    assert (taken.returncode, json.loads(taken.stdout)["errors"][0]["code"]) == (1, "QNSP-OPS-079")


def test_another_tenant_is_refused_with_the_reason(lab: Path) -> None:
    """An attested enclave of research cannot obtain the clinic's key; the ledger says claim, value, demand and author."""
    own = run(lab, "attest", "ask", "research/data/notes", "--enclave", "research-enclave")
    assert own["released"]
    denied = run(lab, "attest", "ask", "clinic/model/minilm", "--enclave", "research-enclave", expected=7)
    assert not denied["released"]
    assert denied["reason"].startswith("QNSP-REL-")
    record = run(lab, "ledger", "list", "--type", "denial")[-1]
    mismatch = record["data"]["mismatches"][0]
    assert mismatch["claim"] == "hostData"
    assert mismatch["seen"] != mismatch["required"]
    assert mismatch["setBy"].startswith("ReferenceValues/clinic-1")


def test_a_clean_world_has_no_drift_and_no_changes(lab: Path) -> None:
    """Right after apply, drift finds nothing and a plan changes nothing."""
    assert run(lab, "drift")["drift"] == []
    assert run(lab, "plan", "--detailed-exitcode")["changes"] is False
    assert len(run(lab, "state", "list")["units"]) == 7
    assert run(lab, "lock", "list") == []
    assert all(log["size"] > 0 for log in run(lab, "ledger", "verify"))


def test_the_same_plan_is_never_applied_twice(lab: Path) -> None:
    """An applied plan is stale: exit 4, nothing happens."""
    refused = run(lab, "apply", str(lab / "one.plan"), expected=4)
    assert refused["errors"][0]["code"].startswith("QNSP-PLN-")


def test_a_killed_guest_is_drift_and_comes_back(lab: Path) -> None:
    """The supervisor starts a killed process anew; the endpoint answers again."""
    supervisor = SupervisorClient(SupervisorFolder.at(lab / ".qnsp" / "run"))
    (guest,) = supervisor.reports(["enclave-clinic-enclave-0-guest"])
    assert guest.pid is not None
    os.kill(guest.pid, signal.SIGKILL)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        command = [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(lab), "--format", "json", "call"]
        line = [*command, "clinic-embeddings", "--input", "x", "--allow-simulated"]
        if subprocess.run(line, capture_output=True, check=False).returncode == 0:
            break
        time.sleep(0.5)
    else:
        pytest.fail("the endpoint did not come back")
    seen = run(lab, "drift")  # exit code 0: a new response key after a start is as it should be
    assert [item["class"] for item in seen["drift"]] == ["refreshed"]
    assert not seen["drifted"]
    assert run(lab, "plan", "--detailed-exitcode")["changes"] is False


def test_a_change_reaches_the_broker_only_approved(lab: Path) -> None:
    """A shorter lease is planned as strengthened trust, needs bob, and is in force after apply."""
    grants = lab / "grants.yaml"
    grants.write_text(grants.read_text().replace("lease: 12h", "lease: 6h"))
    run(lab, "sign", "grants.yaml", "--as", "alice")
    made = run(lab, "plan", "--save", str(lab / "two.plan"))
    changes = made["plan"]["trust"]["diff"]["changes"]
    assert {change["direction"] for change in changes} == {"strengthened"}
    run(lab, "apply", str(lab / "two.plan"), expected=4)
    run(lab, "approve", str(lab / "two.plan"), "--as", "bob", "--yes")
    run(lab, "apply", str(lab / "two.plan"))
    state = run(lab, "state", "show", "tenant/clinic")
    assert '"leaseSeconds": 21600' in json.dumps(state)
