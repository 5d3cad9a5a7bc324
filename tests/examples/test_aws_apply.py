"""A stranger's way with an example on AWS: init, plan, approve, apply, plan again, drift, against an AWS-shaped server on loopback.

The server is a test double (moto), the plugin a stand-in, and the broker's Nitro enclave a process on this machine with the broker's keys: what
is shown is that plan, engine, broker and tenant units fit together, not that AWS behaves so.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.model.kinds import KeyBroker
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.lowering.brokers import broker_unit
from qnsp_policy.pipeline.plan.lowering.context import Lowering
from qnsp_policy.testing.needed import built_pulumi
from qnsp_policy.testing.ports import free_port
from qnsp_policy.workflows.runtime import recorded_state
from tests.plugins.aws.double import Double
from tests.plugins.aws.stand_in import install

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]

TARGETS = ("--target", "tenant/clinic", "--target", "aws-keys/clinic")


class Shell:
    """Commands in a workspace, with the double as their AWS."""

    def __init__(self, root: Path, double: Double, plugins: Path) -> None:
        self.root, self.double = root, double
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
            "PATH": f"{plugins}{os.pathsep}{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": double.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "eu-west-1",
        }

    def __call__(self, *line: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(self.root), "--format", "json", *line]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1000, env=self._environment)
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return json.loads(done.stdout) if done.stdout.strip() else None


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _edited(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def _broker(root: Path) -> subprocess.Popen[bytes]:
    """What would run in the enclave: the broker with the configuration that it is lowered to, and its pinned TrustRoot."""
    workspace = load(root)
    recorded = recorded_state(root, workspace)
    genesis, judge = recorded.judge()
    context = Lowering(
        workspace=workspace, policies={}, recorded=recorded, judge=judge, proposed=judge,
        workspace_id=genesis.workspace_id, attachments={},
    )  # fmt: skip
    (process,) = broker_unit(context, workspace.of_kind(KeyBroker)[0]).inputs["processes"]
    for file in process["files"]:
        path = root / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jcs(file["json"]))
        path.chmod(0o600)
    argv = [sys.executable if word == "{python}" else word for word in process["argv"]]
    return subprocess.Popen(argv, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    built_pulumi()
    root, port = tmp_path / "prod", free_port()
    line = [sys.executable, "-m", "qnsp_policy.cli.main", "init", "--template", "aws-nitro", str(root)]
    subprocess.run(line, check=True, capture_output=True)
    # The name leads to this machine; moto has no ML-DSA keys.
    _edited(root / "platform.yaml", "broker.clinic.example:8555", f"127.0.0.1:{port}")
    _edited(root / "keys.yaml", "algorithm: ML-DSA-87, custody: kms", "algorithm: ML-DSA-87, custody: enclave")
    broker = _broker(root)
    try:
        deadline = time.monotonic() + 240
        while not _answers(port):
            assert broker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        with Double() as double:
            yield Shell(root, double, install(tmp_path / "plugins"))
    finally:
        broker.terminate()
        broker.wait(timeout=120)


def test_broker_keys_and_tenant_are_applied(shell: Shell) -> None:
    """Fleet, load balancer, store key and trust root of the broker; keys of the tenant; its policies at the broker."""
    shell("plan", *TARGETS, "--save", str(shell.root / "one.plan"))
    shell("approve", str(shell.root / "one.plan"), "--as", "bob", "--yes")
    applied = shell("apply", str(shell.root / "one.plan"))
    assert {unit["unit"]: unit["status"] for unit in applied["units"]} == dict.fromkeys(
        ("platform/cloud", "aws-keys/clinic", "broker/main", "tenant/clinic"), "applied"
    )
    outputs = {unit["unit"]: unit["outputs"] for unit in applied["units"]}
    assert outputs["broker/main"]["reachedAt"].endswith(".amazonaws.com")
    assert outputs["platform/cloud"]["organisationPolicies"].keys() == {"serviceControlPolicy", "resourceControlPolicy"}

    # A second plan over the same documents does nothing, and nothing has drifted.
    again = shell("plan", *TARGETS)
    assert again["changes"] is False, again["plan"]["actions"]
    drift = shell("drift")
    assert drift["drift"] == []

    # The store key is opened by the broker's own fleet, and by nothing that the tenant runs.
    keys = {unit["id"]: unit["inputs"].get("keys", []) for unit in again["plan"]["units"]}
    assert [key["resource"] for key in keys["broker/main"]] == ["broker/main/store"]
    roles = {
        statement["Principal"]["AWS"]
        for statement in keys["broker/main"][0]["policy"]["Statement"]
        if statement["Sid"].startswith("Release")
    }
    assert roles == {"arn:aws:iam::012345678901:role/qnsp/aws-nitro/qnsp-aws-nitro-main"}
