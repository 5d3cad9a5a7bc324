"""The bulk reader of the local platform against fakes: what differs is told, what cannot be read is unknown."""

from __future__ import annotations

import inspect
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.wire.broker_admin import ObjectEntry
from qnsp_policy.kernel.wire.guest_status import GuestState, GuestStatus
from qnsp_policy.kernel.wire.supervisor import ProcessReport, State, answer_line
from qnsp_policy.pipeline.world import broker_edge, gateway_edge, local_edge
from qnsp_policy.pipeline.world.gateway import GatewayStatement
from qnsp_policy.pipeline.world.local import file_bytes, process_inputs, process_spec
from qnsp_policy.pipeline.world.local_edge import LocalReader
from qnsp_policy.pipeline.world.recorded import RecordedUnit
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.listening import answering

CONNECTION = {"name": "main", "url": "https://127.0.0.1:8555", "tls": {"mode": "pinned"}, "adminKeyIds": []}
PROCESS = toys.process("broker-main")


def item(kind: str, name: str, digest: str = "sha256:1") -> dict[str, Any]:
    return {"kind": kind, "name": name, "digest": digest, "object": {}}


def units() -> dict[str, RecordedUnit]:
    platform = toys.platform()
    policy = item("release-policy", "clinic/model/minilm")
    made = [
        RecordedUnit("platform/lab", "platform", "d", platform.inputs),
        RecordedUnit(
            "broker/main",
            "broker",
            "d",
            {"broker": CONNECTION, "processes": [PROCESS], "objects": [item("trust-root", "current")]},
        ),
        RecordedUnit("tenant/clinic", "tenant", "d", {"brokers": [{"broker": CONNECTION, "objects": [policy]}]}),
        RecordedUnit(
            "endpoint/e",
            "endpoint",
            "d",
            {"endpoint": {"name": "e", "url": "https://x", "tls": {"mode": "in-process"}}, "brokers": []},
            outputs={"keyId": "k"},
        ),
    ]
    return {unit.id: unit for unit in made}


class World:
    """A workspace whose supervisor, broker and gateway say what they are told to say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec = process_spec(process_inputs(PROCESS), workspace=folder, python=sys.executable)
        self.processes = [ProcessReport("broker-main", State.READY, spec.digest(), 1)]
        self.objects: list[ObjectEntry] | Exception = [
            ObjectEntry("plan", "current", "sha256:9", "p"),
            ObjectEntry("trust-root", "current", "sha256:1", "p"),
            ObjectEntry("release-policy", "clinic/model/minilm", "sha256:1", "p"),
        ]
        self.gateway: GatewayStatement | Exception = GatewayStatement("k", "sev-snp")
        for entry in PROCESS["files"]:
            path = folder / entry["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file_bytes(entry))

    def read_objects(self, _connection: Mapping[str, Any]) -> list[ObjectEntry]:
        if isinstance(self.objects, Exception):
            raise self.objects
        return self.objects

    def read_gateway(self, _endpoint: Mapping[str, Any]) -> GatewayStatement:
        if isinstance(self.gateway, Exception):
            raise self.gateway
        return self.gateway

    def reader(self) -> LocalReader:
        return LocalReader(self.folder, read_objects=self.read_objects, read_gateway=self.read_gateway)

    def texts(self) -> list[tuple[str, str, str]]:
        return [(d.unit, d.concern.value, d.text) for d in self.reader().observe(units()).deviations]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    run = tmp_path / ".qnsp/run"
    with socket.socket(socket.AF_UNIX) as listener:
        # The folder may lie deeper than the 108 bytes that a socket's address holds.
        folder = os.open(run, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/supervisor.sock")
        os.close(folder)
        listener.listen()

        def reports(stream: socket.socket) -> None:
            if json.loads(stream.makefile("rb").readline())["op"] == "list":
                stream.sendall(answer_line(processes=[report.to_json() for report in world.processes]))

        with answering(listener, reports):
            yield world


def test_a_world_as_applied_shows_nothing(world: World) -> None:
    """Every unit was read; the broker's own bookkeeping is none of ours."""
    seen = world.reader().observe(units())
    assert seen.deviations == ()
    assert seen.unknown == {}
    assert seen.read == ("platform/lab", "broker/main", "tenant/clinic", "endpoint/e")


def test_a_release_policy_that_differs_is_a_matter_of_security(world: World) -> None:
    """With both digests."""
    world.objects = [
        ObjectEntry("trust-root", "current", "sha256:1", "p"),
        ObjectEntry("release-policy", "clinic/model/minilm", "sha256:2", "p"),
    ]
    (found,) = world.reader().observe(units()).deviations
    assert (found.unit, found.concern.value) == ("tenant/clinic", "security")
    assert (found.expected, found.got) == ("sha256:1", "sha256:2")


def test_an_object_that_nobody_applied_is_told(world: World) -> None:
    """A policy beside ours belongs to the broker's unit."""
    assert isinstance(world.objects, list)
    world.objects = [*world.objects, ObjectEntry("release-policy", "clinic/model/other", "sha256:3", "p")]
    assert world.texts() == [
        (
            "broker/main",
            "security",
            "release-policy/clinic/model/other is held by the broker, but was not applied from here",
        )
    ]


def test_an_object_that_is_gone(world: World) -> None:
    """It releases nothing any more: availability."""
    assert isinstance(world.objects, list)
    world.objects = world.objects[:2]
    assert world.texts() == [("tenant/clinic", "availability", "release-policy/clinic/model/minilm at main is gone")]


def test_a_broker_that_cannot_be_read_is_unknown_never_unchanged(world: World) -> None:
    """Plan previews what is unknown."""
    world.objects = ConnectionRefusedError(111, "refused")
    seen = world.reader().observe(units())
    assert seen.deviations == ()
    assert set(seen.unknown) == {"broker/main", "tenant/clinic"}
    assert "could not be read" in seen.drifted["tenant/clinic"][0]
    assert seen.read == ("platform/lab", "endpoint/e")


def test_processes_that_are_missing_other_or_more(world: World) -> None:
    """Absent, with another command, not ready, or declared by nobody."""
    ready = world.processes[0]
    world.processes = []
    assert world.texts() == [("broker/main", "availability", "process broker-main does not run")]
    world.processes = [ProcessReport("broker-main", State.READY, "sha256:other", 1)]
    assert "another command or configuration" in world.texts()[0][2]
    world.processes = [ProcessReport("broker-main", State.BACKOFF, ready.digest, None, reason="ended with exit code 1")]
    assert world.texts() == [("broker/main", "availability", "process broker-main is backoff: ended with exit code 1")]
    world.processes = [ready, ProcessReport("miner", State.READY, "sha256:x", 2)]
    assert world.texts() == [("platform/lab", "security", "process miner runs, but nobody declared it")]


def test_a_configuration_file_that_was_changed_on_disk(world: World) -> None:
    """Even though the process has not read it yet."""
    (world.folder / PROCESS["files"][0]["path"]).write_text("{}")
    assert world.texts() == [
        (
            "broker/main",
            "security",
            f"file {PROCESS['files'][0]['path']} of process broker-main is not what was applied",
        )
    ]


def test_an_endpoint_that_is_silent_or_has_another_key(world: World) -> None:
    """Silence is a matter of availability; a new key after a restart is told, but harmless."""
    world.gateway = ConnectionRefusedError(111, "refused")
    assert world.texts()[0][:2] == ("endpoint/e", "availability")
    status = world.folder / ".qnsp/run/guest/c-0/status/e.json"
    status.parent.mkdir(parents=True)
    status.write_bytes(GuestStatus("e", GuestState.DENIED, datetime.now(UTC), text="denied x: QNSP-REL-003").to_bytes())
    assert world.texts()[0][2].endswith("its guest says: denied x: QNSP-REL-003")
    status.write_bytes(b"damaged")
    assert "guest says" not in world.texts()[0][2]
    world.gateway = GatewayStatement("other", "sev-snp")
    assert world.texts()[0][:2] == ("endpoint/e", "refreshed")
    assert world.reader().observe(units()).drifted == {}


@pytest.mark.parametrize("sized", ["enclave", "fleet"])
def test_another_member_of_the_fleet_may_answer_as_the_endpoint(world: World, sized: str) -> None:
    """Each has a key of its own, and its evidence holds, here and on AWS; a key that no attested member has is told."""
    held = units()
    endpoint = held["endpoint/e"]
    inputs = {**endpoint.inputs, "endpoint": {**endpoint.inputs["endpoint"], "enclave": "e"}}
    held["endpoint/e"] = replace(endpoint, inputs=inputs)
    held["enclave/e"] = RecordedUnit("enclave/e", "enclave", "d", {sized: {"members": 2}, "processes": []})
    world.gateway = GatewayStatement("other", "nitro-enclave")
    assert world.reader().observe(held).deviations == ()
    world.gateway = PeerError("QNSP-GWY-053", "its evidence binds other keys")
    (found,) = world.reader().observe(held).deviations
    assert (found.unit, found.concern.value) == ("endpoint/e", "security")


def test_a_foreign_gateway_on_the_port_is_a_matter_of_security(world: World) -> None:
    """It answers, but its evidence is not the endpoint's."""
    world.gateway = PeerError("QNSP-GWY-052", "its evidence names another configurationDigest")
    assert world.texts()[0][:2] == ("endpoint/e", "security")
    assert "is not it" in world.texts()[0][2]


def test_no_supervisor(tmp_path: Path) -> None:
    """Told once for the platform and once a process."""
    world = World(tmp_path)
    assert [text for _, _, text in world.texts()] == ["the supervisor does not run", "process broker-main does not run"]


def test_the_readers_cannot_write() -> None:
    """No module of the reading side names a request that changes something."""
    for module in (local_edge, broker_edge, gateway_edge):
        source = inspect.getsource(module)
        for word in (
            "put_object",
            "delete_object",
            "submit_plan",
            '"ensure"',
            '"stop"',
            '"shutdown"',
            "write_",
            '"PUT"',
            '"POST"',
        ):
            assert word not in source, (module.__name__, word)
