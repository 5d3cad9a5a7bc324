"""The whole line with its state in a bucket: moto's server on loopback, our commands and Pulumi's as processes."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
from qnsp_policy.testing.needed import built_pulumi
from tests.faults.lab import BUCKET_KEYS as KEYS
from tests.faults.lab import QUICKSTART, Lab
from tests.plugins.aws.double import Double

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]

UNITS = {"platform/lab", "broker/main", "tenant/clinic"}


class Server:
    """Can be stopped and started at the same port; what it held is there again (moto keeps it in this process)."""

    def __init__(self) -> None:
        self._running = Double()
        self._running.reset()

    def start(self) -> None:
        self._running.__enter__()
        self._running.port = self.port

    def stop(self) -> None:
        self._running.__exit__()

    @property
    def port(self) -> int:
        return int(self._running.url.rpartition(":")[2])

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    before = {name: os.environ.get(name) for name in KEYS}
    os.environ |= KEYS
    running = Server()
    running.start()
    running.client().create_bucket(Bucket="state")
    yield running
    running.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Lab]:
    """Moved into the bucket by `state export` and `state import`."""
    built_pulumi()
    made = Lab.make(tmp_path_factory.mktemp("buckets") / "lab")
    made.move_to_bucket(server.port, "state")
    yield made
    made.end()


def secrets_of(root: Path) -> list[bytes]:
    """Bytes that no state may hold: private keys and the passphrase, raw and as text."""
    found = [(root / ".qnsp/passphrase").read_bytes().strip()]
    for path in (root / ".qnsp/keys").glob("*.json"):
        for key in read_key_file(path).keys:
            jwk = key.to_jwk_insecure()
            text = str(jwk.get("priv") or jwk.get("d"))
            raw = base64.urlsafe_b64decode(text + "===")
            found += [text.encode(), raw, base64.b64encode(raw), raw.hex().encode()]
    return found


def test_the_whole_line_with_its_state_in_a_bucket(lab: Lab, server: Server, tmp_path: Path) -> None:
    """Applied, unchanged, backed up, its server gone and back, gone on with, destroyed; no secret is in the bucket."""
    told: list[str] = []
    plan, backup = str(lab.root / "one.plan"), str(tmp_path / "backup.json")
    lab.settled("plan", "--save", plan, "--as", "alice", told=told)
    lab.settled("approve", plan, "--as", "bob", "--yes", told=told)
    lab.settled("state", "export", str(tmp_path / "before.json"), told=told)
    lab.settled("apply", plan, told=told)
    lab.whole(units=UNITS, names={"broker-main"})
    assert lab.run("plan", "--detailed-exitcode").code == 0
    client = server.client()
    names = [item["Key"] for item in client.list_objects_v2(Bucket="state")["Contents"]]
    assert any("/pulumi/.pulumi/stacks/" in name for name in names), "Pulumi's own state lies in the same bucket"
    forbidden = secrets_of(lab.root)
    for name in names:
        data = client.get_object(Bucket="state", Key=name)["Body"].read()
        assert not [secret for secret in forbidden if secret in data], name
    lab.settled("state", "export", backup, told=told)
    assert not [secret for secret in forbidden if secret in Path(backup).read_bytes()]
    older = lab.run("state", "import", str(tmp_path / "before.json"))
    assert (older.code, "QNSP-OPS-075" in older.said) == (1, True), older.said

    server.stop()
    for line in (("plan",), ("apply", plan), ("lock", "list")):
        away = lab.run(*line)
        lab.decent(away)
        assert (away.code, "QNSP-ENG-014" in away.said) == (1, True), away.said
        assert "nothing was lost" in away.said
    server.start()
    assert lab.run("plan", "--detailed-exitcode").code == 0
    lab.settled("destroy", "--approve-as", "bob", "--save", str(lab.root / "end.plan"), told=told)
    lab.whole(units=set(), names=set())


WRONG = {
    "none": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "give credentials"),
    "profile": ({"AWS_PROFILE": "nobody"}, "nobody"),
}


@pytest.mark.parametrize("name", WRONG)
def test_credentials_that_are_not_there_are_named(lab: Lab, name: str) -> None:
    """None at all, a profile that does not exist: the cause and the next step, no traceback."""
    changes, cause = WRONG[name]
    before = lab.environment
    lab.environment = {**before, **changes, "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    try:
        ended = lab.run("state", "list")
    finally:
        lab.environment = before
    lab.decent(ended)
    assert ended.code == 1
    assert cause in ended.said
    assert "= next:" in ended.said


@pytest.mark.parametrize("scheme", ["gs", "azblob"])
def test_stores_that_are_not_there_yet_refuse(lab: Lab, scheme: str) -> None:
    """Before anything is read or made."""
    project = lab.documents["Project/quickstart"]
    texts = {**lab.documents, "Project/quickstart": project.replace("s3://state", f"{scheme}://state")}
    before, lab.documents = lab.documents, texts
    lab.write(*QUICKSTART)
    try:
        for line in (("state", "list"), ("plan",)):
            ended = lab.run(*line, "--format", "json")
            assert ended.code == 1
            assert json.loads(ended.said)["errors"], ended.said
            assert scheme in ended.said
    finally:
        lab.documents = before
        lab.write(*QUICKSTART)
