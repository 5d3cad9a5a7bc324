"""A bucket that is slow, refuses for a while, goes away while an apply is at work, and commands that are killed over it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import boto3
import pytest

from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.testing.needed import built_pulumi
from qnsp_policy.workflows.runtime import open_backend
from tests.faults.lab import BUCKET_KEYS, QUICKSTART, Lab
from tests.plugins.aws.double import Double, Fault

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]

UNITS = {"platform/lab", "broker/main", "tenant/clinic"}


@pytest.fixture(scope="module")
def server() -> Iterator[Double]:
    with pytest.MonkeyPatch.context() as patch, Double() as running:
        running.reset()  # moto keeps what an earlier server of this process held
        for name, value in BUCKET_KEYS.items():
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=running.url, region_name="us-east-1").create_bucket(Bucket="state")
        yield running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, server: Double) -> Iterator[Lab]:
    built_pulumi()
    made = Lab.make(tmp_path_factory.mktemp("bucket-faults") / "lab")
    made.move_to_bucket(int(server.url.rpartition(":")[2]), "state")
    yield made
    made.end()


def planned(lab: Lab, requests: int) -> str:
    lab.write(*QUICKSTART, changed=(("requestsPerMinute: 600", f"requestsPerMinute: {requests}"),))
    plan, told = str(lab.root / "change.plan"), list[str]()
    lab.settled("plan", "--save", plan, "--as", "alice", told=told)
    lab.settled("approve", plan, "--as", "bob", "--yes", told=told)
    return plan


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def at_work(lab: Lab) -> bool:
    backend = open_backend(lab.root, load(lab.root))
    return records.read_run(backend).status == records.RUNNING and bool(lab.of("engine"))


def test_a_bucket_that_is_slow_and_refuses_now_and_then(lab: Lab, server: Double) -> None:
    """Every answer late and a few 503: waited out, by our own client and by Pulumi's; locks of starts that were killed are freed."""
    plan = planned(lab, 601)
    lock = f"team/{lab.root.name}/pulumi/.pulumi/locks/organization/qnsp/tenant.clinic/9d4f5e1c.json"
    held = {"pid": 1, "username": "gone", "hostname": "gone", "timestamp": "2026-11-21T12:00:00Z"}
    s3 = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1")
    s3.put_object(Bucket="state", Key=lock, Body=json.dumps(held).encode())
    server.latency = 0.05
    server.faults += [Fault("s3:*", "SlowDown", times=1, after=after, status=503) for after in (3, 20, 50)]
    try:
        lab.settled("apply", plan, told=[])
    finally:
        server.latency = 0.0
        server.faults.clear()
    lab.whole(units=UNITS, names={"broker-main"})


@pytest.mark.parametrize("how", ["refuses", "is killed over"])
def test_an_apply_whose_bucket_goes_away_or_that_is_killed_goes_on(lab: Lab, server: Double, how: str) -> None:
    """In the middle of its work: the cause is told, nothing hangs, and the same command goes on over what was saved."""
    plan = planned(lab, 602 if how == "refuses" else 603)
    working = lab.start("apply", plan)
    until(lambda: at_work(lab) or working.poll() is not None)
    try:
        if how == "refuses":
            server.faults.append(Fault("s3:*", "ServiceUnavailable", status=503))
            said, _ = working.communicate(timeout=200)
            assert working.returncode in {1, 6}, said
            assert "ServiceUnavailable" in said or "503" in said, said
            assert "Traceback" not in said
        else:
            working.kill()
            working.communicate()
    finally:
        server.faults.clear()
    lab.quiet()
    lab.settled("apply", plan, told=[])
    lab.whole(units=UNITS, names={"broker-main"})
    assert lab.run("plan", "--detailed-exitcode").code == 0


def test_the_end_over_a_bucket(lab: Lab) -> None:
    """A destroy that is killed with its engine goes on, and nothing is left."""
    line = ("destroy", "--approve-as", "bob", "--save", str(lab.root / "end.plan"))
    working = lab.start(*line)
    until(lambda: bool(lab.of("engine")) or working.poll() is not None)
    for process in lab.of("engine"):
        process.kill()
    working.communicate()
    lab.settled(*line, told=[])
    lab.whole(units=set(), names=set())
