"""The resource types: check, diff, create-or-adopt, read, update, delete, as values and against fakes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from pulumi_qnsp.broker import ObjectKind, object_inputs
from pulumi_qnsp.connect_edge import read_guests
from pulumi_qnsp.gateway import EndpointKind
from pulumi_qnsp.kinds import Setting, compare
from pulumi_qnsp.local import ProcessKind, SupervisorKind
from pulumi_qnsp.provider import default_kinds
from pulumi_qnsp.values import plain_map, wrap_map
from qnsp_policy.errors import EngineError, OperatorError, PeerError
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.wire.guest_status import GuestState, GuestStatus
from qnsp_policy.pipeline.world.local import process_inputs
from qnsp_policy.testing.engine_toys import process

URN = "urn:pulumi:tenant.clinic::qnsp::qnsp:broker:Tenant::main/tenant/clinic"
CONNECTION = {"name": "main", "url": "https://127.0.0.1:1", "tls": {"mode": "pinned", "key": {}}, "adminKeyIds": []}


class FakeBroker:
    """Takes an object only under the plan it was shown."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}
        self.plan = ""
        self.puts = 0
        self.down = False

    def digest_of(self, kind: str, name: str) -> str | None:
        if self.down:
            raise ConnectionRefusedError(0, "refused")
        return self.held.get((kind, name))

    def put(self, kind: str, name: str, value: Any, plan_digest: str) -> None:
        if plan_digest != self.plan:
            raise PeerError("QNSP-KBS-032", "this plan is not the one in force here")
        if value == {"name": "forbidden"}:
            raise PeerError("QNSP-KBS-033", "the plan authorises nothing for it")
        self.puts += 1
        self.held[kind, name] = sha256_digest(jcs(value))

    def delete(self, kind: str, name: str) -> None:
        if self.down:
            raise ConnectionRefusedError(0, "refused")
        self.held.pop((kind, name), None)

    def present_plan(self, envelope: bytes) -> None:
        self.plan = sha256_digest(envelope)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    plan = tmp_path / "plan"
    plan.write_bytes(b"envelope")
    return Setting(tmp_path, plan, sha256_digest(b"envelope"))


def an_object(name: str = "clinic", kind: str = "tenant") -> dict[str, Any]:
    value = {"name": name}
    return object_inputs(CONNECTION, {"kind": kind, "name": name, "digest": sha256_digest(jcs(value)), "object": value})


def kind_of(broker: FakeBroker, kind: str = "tenant") -> ObjectKind:
    return ObjectKind(kind, lambda _connection, _setting: broker)


def test_an_object_is_handed_over_with_the_plan_that_authorises_it(broker: FakeBroker, setting: Setting) -> None:
    """A broker that does not know the plan is shown it; what it has already is adopted without a word."""
    kind, inputs = kind_of(broker), an_object()
    assert kind.create(setting, URN, inputs)[0] == "main/tenant/clinic"
    assert broker.held == {("tenant", "clinic"): inputs["digest"]}
    kind.create(setting, URN, inputs)
    assert broker.puts == 1
    assert kind.read(setting, URN, "main/tenant/clinic", inputs) == inputs
    kind.delete(setting, URN, "main/tenant/clinic", inputs)
    kind.delete(setting, URN, "main/tenant/clinic", inputs)
    assert kind.read(setting, URN, "main/tenant/clinic", inputs) is None


def test_without_a_plan_nothing_is_handed_over(broker: FakeBroker, tmp_path: Path) -> None:
    """Refresh and destroy can never widen."""
    with pytest.raises(OperatorError, match="QNSP-APL-012"):
        kind_of(broker).create(Setting(tmp_path), URN, an_object())


def test_a_refusal_of_the_broker_is_not_talked_around(broker: FakeBroker, setting: Setting) -> None:
    """Only "another plan is in force" leads to showing the plan; a refused object stays refused."""
    broker.plan = setting.plan_digest
    with pytest.raises(PeerError, match="QNSP-KBS-033"):
        kind_of(broker).create(setting, URN, an_object("forbidden"))


def test_what_the_broker_holds_otherwise_is_a_difference(broker: FakeBroker, setting: Setting) -> None:
    """Read tells the digest that is there; the diff names it; update puts it right."""
    kind, inputs = kind_of(broker), an_object()
    broker.held["tenant", "clinic"] = "sha256:other"
    state = kind.read(setting, URN, "main/tenant/clinic", inputs)
    assert state is not None
    assert dict(kind.diff(setting, state, inputs).properties) == {"digest": "update"}
    kind.update(setting, URN, state, inputs)
    assert broker.held["tenant", "clinic"] == inputs["digest"]


def test_a_broker_that_is_down_has_lost_nothing(broker: FakeBroker, setting: Setting) -> None:
    """Unreachable is not gone."""
    broker.down = True
    assert kind_of(broker).read(setting, URN, "main/tenant/clinic", an_object()) == an_object()


def test_a_broker_that_died_is_woken_to_take_back_what_it_holds(broker: FakeBroker, setting: Setting) -> None:
    """After a power cut the supervisor starts it again; where there is none, it cannot be reached."""
    kind, inputs = kind_of(broker), an_object()
    kind.create(setting, URN, inputs)
    broker.down = True
    with pytest.raises(ConnectionError):
        kind.delete(setting, URN, "main/tenant/clinic", inputs)

    def wake(_: Setting) -> bool:
        broker.down = False
        return True

    ObjectKind("tenant", lambda _connection, _setting: broker, wake).delete(setting, URN, "main/tenant/clinic", inputs)
    assert broker.held == {}


@pytest.mark.parametrize("kind", ["revocation", "trust-root"])
def test_what_only_a_plan_may_remove_stays(broker: FakeBroker, setting: Setting, kind: str) -> None:
    """It ends with the broker itself."""
    broker.held[kind, "clinic"] = "sha256:1"
    kind_of(broker, kind).delete(setting, URN, f"main/{kind}/clinic", an_object(kind=kind))
    assert broker.held


@pytest.mark.parametrize(
    ("member", "value", "text"),
    [
        ("kind", "resource", "this resource type holds 'tenant'"),
        ("object", '{"name": "clinic"}', "RFC 8785"),
        ("object", "{", "not JSON"),
        ("digest", "sha256:other", "not the digest of the object"),
        ("connection", "{", "not JSON"),
    ],
)
def test_a_bad_object_is_caught_before_anything_is_sent(broker: FakeBroker, member: str, value: str, text: str) -> None:
    """One mutation of a good object, one failure."""
    kind = kind_of(broker)
    assert kind.check(an_object()) == []
    failures = kind.check({**an_object(), member: value})
    assert any(text in reason for _, reason in failures)


def test_a_new_name_replaces_and_a_new_digest_updates(broker: FakeBroker, setting: Setting) -> None:
    """Names are identity."""
    kind = kind_of(broker)
    assert kind.diff(setting, an_object(), an_object()).properties == {}
    renamed = kind.diff(setting, an_object(), an_object("research"))
    assert renamed.replaces == {"name"}


def test_a_changed_file_of_a_process_is_named(setting: Setting) -> None:
    """Maps are compared member by member."""
    kind = ProcessKind()
    old = {**process_inputs(process("a")), "specDigest": "sha256:whatever"}
    new = process_inputs(process("a", text="new"))
    assert set(kind.diff(setting, old, new).properties) == {'files[".qnsp/run/cfg/a.json"]', "filesDigest"}
    moved = kind.diff(setting, old, process_inputs(process("a")))
    assert dict(moved.properties) == {"specDigest": "update"}
    assert kind.diff(setting, old, process_inputs(process("b"))).replaces == {"name"}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("argv", []),
        ("restart", "sometimes"),
        ("readiness", "{"),
        ("filesDigest", "sha256:x"),
        ("files", {"x": "{"}),
        ("name", "A B"),
    ],
)
def test_a_bad_process_is_caught_before_it_is_started(member: str, value: Any) -> None:
    """One mutation, one failure."""
    assert ProcessKind().check(process_inputs(process("a"))) == []
    assert ProcessKind().check({**process_inputs(process("a")), member: value}) != []


def test_a_path_out_of_the_workspace_is_refused(setting: Setting) -> None:
    """No unit writes or reads elsewhere."""
    for path in ("/etc/passwd", "../x", "a/../../x"):
        with pytest.raises(ValueError, match="leads out of the workspace"):
            setting.path(path)
    assert SupervisorKind().check({"runDir": 1}) != []


def test_an_endpoint_is_waited_for(setting: Setting) -> None:
    """Until it answers; its key is an output."""
    answers: Iterator[Any] = iter(
        [ConnectionRefusedError(0, "refused"), PeerError("QNSP-GWY-020", "not yet"), {"keyId": "k", "assurance": "a"}]
    )

    def read(endpoint: dict[str, Any]) -> dict[str, Any]:
        assert endpoint["tls"] == {"mode": "in-process"}
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    inputs = {"name": "e", "url": "https://127.0.0.1:1", "tlsMode": "in-process", "readinessTimeoutSeconds": 10}
    assert EndpointKind(read).create(setting, URN, inputs) == ("e", {**inputs, "keyId": "k", "assurance": "a"})


def test_waiting_for_an_endpoint_ends_with_its_time_or_the_run(tmp_path: Path) -> None:
    """The last reason is told; a cancelled run does not sit it out."""

    def silent(_endpoint: dict[str, Any]) -> dict[str, Any]:
        raise ConnectionRefusedError(0, "nobody listens")

    inputs = {"name": "e", "url": "https://127.0.0.1:1", "tlsMode": "in-process", "readinessTimeoutSeconds": 0}
    with pytest.raises(EngineError, match="nobody listens"):
        EndpointKind(silent).create(Setting(tmp_path), URN, inputs)
    cancelled = Event()
    timer = Timer(0.2, cancelled.set)
    timer.start()
    with pytest.raises(EngineError, match="QNSP-APL-013"):
        EndpointKind(silent).create(
            Setting(tmp_path, cancelled=cancelled), URN, {**inputs, "readinessTimeoutSeconds": 600}
        )
    timer.join()


GUESTS = {
    "denied": (
        GuestState.DENIED,
        1,
        "QNSP-APL-014",
        "the broker denied clinic/model/minilm: QNSP-REL-003 (decision 5f2a)",
    ),
    "cannot start": (GuestState.FAILED, 2, "QNSP-APL-015", "cannot start it: denied clinic/model/minilm"),
    "failed to start once": (GuestState.FAILED, 1, "QNSP-APL-013", "its guest says: denied clinic/model/minilm"),
    "cannot reach the broker": (GuestState.WAITING, 9, "QNSP-APL-013", "its guest says: denied clinic/model/minilm"),
}


@pytest.mark.parametrize("name", GUESTS)
def test_what_a_guest_says_ends_the_wait(tmp_path: Path, name: str) -> None:
    """A denial and a start that fails twice end it at once, whatever time is left; anything else is quoted at its end."""
    state, times, code, told = GUESTS[name]
    ends = code != "QNSP-APL-013"

    def silent(_endpoint: dict[str, Any]) -> dict[str, Any]:
        raise ConnectionRefusedError(111, "Connection refused")

    asked = datetime.now(UTC) + timedelta(hours=1)
    status = GuestStatus("e", state, asked, times, "QNSP-REL-003", "denied clinic/model/minilm: QNSP-REL-003", "5f2a")
    folder = tmp_path / ".qnsp/run/guest/clinic-0/status"
    folder.mkdir(parents=True)
    (folder / "e.json").write_bytes(status.to_bytes())
    (folder / "other.json").write_bytes(b"{}")
    inputs = {"name": "e", "url": "https://127.0.0.1:1", "readinessTimeoutSeconds": 600 if ends else 0}
    with pytest.raises(EngineError, match=code) as caught:
        EndpointKind(silent, read_guests).create(Setting(tmp_path), URN, inputs)
    assert told in caught.value.message


def test_what_a_guest_said_before_is_no_news(tmp_path: Path) -> None:
    """A denial of before this apply's objects reached the broker, a damaged file, and another guest that still tries."""
    folder = tmp_path / ".qnsp/run/guest"
    long_ago, later = datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(hours=1)
    for guest, data in {
        "a-0": GuestStatus("e", GuestState.DENIED, later, 1).to_bytes(),
        "a-1": GuestStatus("e", GuestState.DENIED, long_ago, 7).to_bytes(),
        "a-2": b'{"format": "qnsp.guest-status/v1"}',
    }.items():
        (folder / guest / "status").mkdir(parents=True)
        (folder / guest / "status" / "e.json").write_bytes(data)
    answers: Iterator[Any] = iter([False, {"keyId": "k", "assurance": "a"}])

    def second(_endpoint: dict[str, Any]) -> dict[str, Any]:
        answer = next(answers)
        if not answer:
            raise ConnectionRefusedError(111, "Connection refused")
        return dict(answer)

    inputs = {"name": "e", "url": "https://127.0.0.1:1", "readinessTimeoutSeconds": 600}
    assert EndpointKind(second, read_guests).create(Setting(tmp_path), URN, inputs)[1]["keyId"] == "k"


def test_values_cross_pulumi_and_come_back() -> None:
    """Texts, lists, maps, numbers and truth values."""
    value = {"a": "x", "b": [1, 2.5, True, None], "c": {"d": {}}}
    assert plain_map(wrap_map(value)) == value


def test_compare_sees_what_was_not_there(setting: Setting) -> None:
    """Additions and deletions within a map."""
    assert dict(compare({"m": {"a": 1}}, {"m": {"b": 1}, "n": 2}).properties) == {
        'm["a"]': "delete",
        'm["b"]': "add",
        "n": "add",
    }


def test_every_type_has_a_kind() -> None:
    """Ten types, one package."""
    assert len(default_kinds()) == 10
    assert all(token.startswith("qnsp:") for token in default_kinds())
