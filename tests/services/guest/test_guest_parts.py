"""The parts of the guest: image, memory file, sealed model, settings, the conversation with a broker that misbehaves."""

from __future__ import annotations

import gc
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from qnsp_policy.errors import EngineError, OperatorError, PeerError
from qnsp_policy.kernel.crypto.canonical import digest_like, sha256_digest, sha384_digest
from qnsp_policy.kernel.sealed.stream import new_data_key, new_header, seal
from qnsp_policy.kernel.wire.endpoint import EndpointConfiguration
from qnsp_policy.services.guest.app import broker_http
from qnsp_policy.services.guest.configuration import BrokerConnection, read_configuration
from qnsp_policy.services.guest.endpoint_run import open_model
from qnsp_policy.services.guest.image import unpack
from qnsp_policy.services.guest.rcar import BrokerSession, Denied
from qnsp_policy.services.guest.tee_key import EphemeralTeeKey
from qnsp_policy.services.guest.workload import Child, UpstreamAddress, memory_file, wait_until_ready
from qnsp_policy.testing.gateway import GatewayWorld
from qnsp_policy.testing.ports import free_port
from qnsp_policy.testing.services import SimulatedMember


def test_a_memory_file_can_be_read_and_never_written() -> None:
    """Sealed against write, grow and shrink: what was verified stays what it is."""
    descriptor = memory_file("test", [b"one ", b"two"])
    try:
        assert os.read(descriptor, 100) == b"one two"
        for change in (lambda: os.write(descriptor, b"x"), lambda: os.ftruncate(descriptor, 1)):
            with pytest.raises(PermissionError):
                change()
    finally:
        os.close(descriptor)


def image(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_an_image_is_unpacked(tmp_path: Path) -> None:
    """Plain files in folders, for the guest alone; what can be run can be run."""
    program, empty = tarfile.TarInfo("./bin/run"), tarfile.TarInfo("data")
    program.mode, empty.type = 0o6777, tarfile.DIRTYPE
    unpack(image((tarfile.TarInfo("upstream/app.py"), b"print()"), (program, b"#!"), (empty, b"")), tmp_path / "out")
    assert (tmp_path / "out/upstream/app.py").read_bytes() == b"print()"
    modes = {name: (tmp_path / "out" / name).stat().st_mode & 0o7777 for name in ("upstream/app.py", "bin/run")}
    assert modes == {"upstream/app.py": 0o600, "bin/run": 0o700}
    assert list((tmp_path / "out/data").iterdir()) == []


def test_an_image_that_is_not_the_planned_one_is_not_unpacked(tmp_path: Path) -> None:
    """Its digest is the plan's, by whatever algorithm; nothing of another one is written."""
    with pytest.raises(OperatorError, match="QNSP-GST-020") as caught:
        unpack(b"another", tmp_path / "out", digest=sha256_digest(b"planned"))
    with pytest.raises(OperatorError, match="QNSP-GST-020"):
        unpack(b"another", tmp_path / "out", digest=sha384_digest(b"planned"))
    with pytest.raises(ValueError, match="no digest algorithm"):
        digest_like("md5:00", b"another")
    assert (caught.value.expected, caught.value.got) == (sha256_digest(b"planned"), sha256_digest(b"another"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "data",
    [
        image((tarfile.TarInfo("../outside"), b"x")),
        image((tarfile.TarInfo("a/../../outside"), b"x")),
        image((tarfile.TarInfo("/etc/outside"), b"x")),
        image((tarfile.TarInfo("whole"), b"x" * 20_000))[:-25_000],
        image((link("a", "/etc"), b"")),
        image((tarfile.TarInfo("a"), b"x"), (tarfile.TarInfo("a/b"), b"x")),
        image((tarfile.TarInfo("a/b"), b"x"), (tarfile.TarInfo("a"), b"x")),
        image((tarfile.TarInfo("."), b"x")),
        b"not a tar at all" * 100,
    ],
    ids=[
        "leaves-the-folder",
        "leaves-it-later",
        "absolute",
        "cut",
        "link",
        "file-as-folder",
        "folder-as-file",
        "itself",
        "no-tar",
    ],
)
def test_an_image_with_anything_else_is_refused(tmp_path: Path, data: bytes) -> None:
    """Nothing lands outside; the error has a code."""
    with pytest.raises(OperatorError, match="QNSP-GST-020"):
        unpack(data, tmp_path / "inner" / "out")
    assert not (tmp_path / "inner" / "outside").exists()


@pytest.fixture
def sealed(tmp_path: Path, member: SimulatedMember) -> tuple[EndpointConfiguration, bytes, Path]:
    """An endpoint whose model lies sealed in `tmp_path`, with its key."""
    model, key = b"weights" * 1000, new_data_key()
    header = new_header(
        resource="clinic/model/tiny", version=1, plaintext_digest=sha256_digest(model), plaintext_size=len(model)
    )
    (tmp_path / "tiny.sealed").write_bytes(b"".join(seal(io.BytesIO(model), key, header)))
    world = GatewayWorld(tmp_path, member)
    object_ = world.endpoint()
    object_["model"]["plaintextDigest"] = sha256_digest(model)
    return EndpointConfiguration.from_json(object_), key, tmp_path


def test_a_sealed_model_is_opened_into_memory(sealed: tuple[EndpointConfiguration, bytes, Path]) -> None:
    """The right key, the right artefact."""
    descriptor = open_model(*sealed)
    assert os.read(descriptor, 7) == b"weights"
    os.close(descriptor)


@pytest.mark.parametrize("how", ["other-key", "one-byte", "cut", "other-artefact", "absent"])
def test_a_model_that_is_not_the_meant_one_is_never_served(
    sealed: tuple[EndpointConfiguration, bytes, Path], how: str
) -> None:
    """Altered, truncated, exchanged, sealed otherwise, or not there: an error, and no descriptor left."""
    endpoint, key, folder = sealed
    file = folder / "tiny.sealed"
    data = bytearray(file.read_bytes())
    if how == "one-byte":
        data[-5] ^= 1
    file.write_bytes(data[:-1] if how == "cut" else data)
    if how == "absent":
        file.unlink()
    if how == "other-artefact":
        value = dict(endpoint.raw)
        value["model"] = {**value["model"], "plaintextDigest": "sha256:" + "1" * 64}
        endpoint = EndpointConfiguration.from_json(value)
    gc.collect()  # what earlier tests left open
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises((PeerError, OperatorError), match=r"QNSP-SIG-07|QNSP-GST-021"):
        open_model(endpoint, new_data_key() if how == "other-key" else key, folder)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    "script", ["raise SystemExit(3)", "import time; time.sleep(600)"], ids=["ends", "never-listens"]
)
def test_an_upstream_that_does_not_come_up_is_said(tmp_path: Path, script: str) -> None:
    """It ended, with its status; or it did not answer in time."""
    import sys

    child = Child("upstream", [sys.executable, "-c", script], cwd=tmp_path, environment={"PATH": os.environ["PATH"]})
    try:
        with pytest.raises(EngineError, match="QNSP-GST-031"):
            wait_until_ready(child, UpstreamAddress(str(tmp_path / "s"), free_port()), 1.5)
    finally:
        child.stop()


def session(answer: Callable[[httpx.Request], httpx.Response], member: SimulatedMember) -> BrokerSession:
    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://broker")
    return BrokerSession(http, get_report=member.report, new_key=EphemeralTeeKey, initdata=None)


def test_a_broker_that_always_says_401_is_asked_three_times(member: SimulatedMember) -> None:
    """A new handshake each time, then the refusal is handed on."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("/auth"):
            return httpx.Response(200, json={"nonce": "bm9uY2U=", "extra-params": ""})
        if request.url.path.endswith("/attest"):
            return httpx.Response(200, json={"token": "t"})
        return httpx.Response(401, json={"type": "x", "detail": "again"})

    with pytest.raises(Denied) as denied:
        session(answer, member).fetch("a/b/c")
    assert denied.value.status == 401
    assert asked.count("/kbs/v0/attest") == 3


@pytest.mark.parametrize("status", [500, 503])
def test_a_brokers_own_trouble_is_no_denial(member: SimulatedMember, status: int) -> None:
    """A denial ends what serves, at once; a broker with a full disk does not."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth"):
            return httpx.Response(200, json={"nonce": "bm9uY2U=", "extra-params": ""})
        if request.url.path.endswith("/attest"):
            return httpx.Response(200, json={"token": "t"})
        return httpx.Response(status, json={"type": "x", "detail": "this broker does not serve"})

    with pytest.raises(PeerError, match="QNSP-GST-009: the broker does not serve a/b/c") as said:
        session(answer, member).fetch("a/b/c")
    assert not isinstance(said.value, Denied)


def test_evidence_that_was_judged_and_refused_is_a_denial(member: SimulatedMember) -> None:
    """With a decision id the broker's ledger explains it; without one nothing was judged."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth"):
            return httpx.Response(200, json={"nonce": "bm9uY2U=", "extra-params": ""})
        return httpx.Response(401, json={"type": "x", "detail": "attestation refused", "decision_id": "5f2a"})

    with pytest.raises(Denied, match="QNSP-GST-006: the broker refused attest") as denied:
        session(answer, member).fetch("a/b/c")
    assert (denied.value.status, denied.value.decision_id) == (401, "5f2a")


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (httpx.Response(200, content=b"<html>"), "QNSP-KBS-101"),
        (httpx.Response(200, json={"nonce": 7}), "QNSP-KBS-101"),
        (httpx.Response(200, json={"nonce": "x", "extra-params": {"selected-hash-algorithm": "md5"}}), "QNSP-KBS-101"),
        (httpx.Response(500, text="oops"), "QNSP-GST-006"),
        (httpx.Response(401, json={"detail": "no"}), "QNSP-GST-006"),
    ],
    ids=["html", "nonce-no-text", "md5", "500", "401"],
)
def test_a_broken_broker_is_an_error_with_a_code(member: SimulatedMember, response: httpx.Response, code: str) -> None:
    """Whatever comes back."""
    with pytest.raises(PeerError, match=code):
        session(lambda _: response, member).fetch("a/b/c")


def test_an_unreachable_broker_is_said_after_some_tries(member: SimulatedMember) -> None:
    """The next step names what to look at."""
    tries: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(1)
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(PeerError, match="QNSP-GST-007"):
        session(answer, member).fetch("a/b/c")
    assert len(tries) == 5


GOOD: dict[str, Any] = {
    "name": "x-0",
    "broker": {"url": "http://127.0.0.1:1", "tls": {"mode": "insecure-plaintext"}},
    "workdir": "w",
}


@pytest.mark.parametrize(
    "bend",
    [
        {"unknown": 1},
        {"workdir": None},
        {"broker": {"url": "https://x", "tls": {"mode": "pinned"}}},
        {"teeKey": "RSA"},
    ],
    ids=["unknown-member", "no-workdir", "pin-without-key", "rsa"],
)
def test_wrong_settings_are_refused(bend: dict[str, Any]) -> None:
    """One good file, one mutation."""
    assert read_configuration(json.dumps(GOOD).encode()).tee_key == "ML-KEM-768"
    with pytest.raises(OperatorError, match="QNSP-GST-000"):
        read_configuration(json.dumps({**GOOD, **bend}).encode())


def test_plain_http_and_a_pinned_mode_do_not_go_together() -> None:
    """A pin over http:// would pin nothing."""
    from qnsp_policy.kernel.crypto.keys import generate

    key = generate("ECDSA-P256").public.to_jwk()
    for value in (
        {"url": "http://127.0.0.1:1", "tls": {"mode": "pinned", "key": key}},
        {"url": "https://127.0.0.1:1", "tls": {"mode": "insecure-plaintext"}},
    ):
        with pytest.raises(OperatorError, match="QNSP-GST-004"):
            broker_http(BrokerConnection.model_validate(value))
