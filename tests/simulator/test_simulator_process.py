"""The simulator as a process: the folder and the socket that a guest sees, start, restart and end."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation import registry
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, Evidence, EvidenceKind, VerifiedClaims
from qnsp_policy.kernel.crypto.canonical import sha256_digest
from qnsp_policy.simulator import host_data, make_pki, measure, snp
from qnsp_policy.simulator.config import from_json
from qnsp_policy.simulator.machine import launch

pytestmark = pytest.mark.functional


class Running:
    """A running simulator."""

    def __init__(self, root: Path, **members: Any) -> None:
        self.root = root
        self.folder = root / "member"
        (root / "image.tar").write_bytes(b"an image")
        (root / "initdata.toml").write_bytes(b"init data")
        self.pki = make_pki(root / "pki", key_size=2048)
        config = {
            "dir": str(self.folder),
            "pki": str(root / "pki"),
            "image": str(root / "image.tar"),
            "product": "Milan",
            "vcpus": 2,
            "cmdline": "console=ttyS0",
            "initdata": str(root / "initdata.toml"),
            **members,
        }
        (root / "config.json").write_text(json.dumps(config), encoding="utf-8")
        self.start()

    def start(self) -> None:
        argv = [sys.executable, "-m", "qnsp_policy.simulator", "--config", str(self.root / "config.json")]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while not (self.folder / "ready").exists():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        _, _ = self.process.communicate(timeout=120)
        return self.process.returncode

    def ask(self, name: str, report_data: bytes, *, privilege: str | None = None) -> tuple[bytes, bytes]:
        """What a guest does with configfs-tsm."""
        entry = self.folder / "report" / name
        entry.mkdir(exist_ok=True)
        generation = entry / "generation"
        before = int(generation.read_text()) if generation.exists() else 0
        if privilege is not None:
            (entry / "privlevel").write_text(privilege)
        (entry / "inblob").write_bytes(report_data)
        deadline = time.monotonic() + 120
        while not generation.exists() or int(generation.read_text()) == before:
            if (entry / "error").exists():
                raise OSError((entry / "error").read_text())
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert (entry / "provider").read_text().strip() == "sev_guest"
        return (entry / "outblob").read_bytes(), (entry / "auxblob").read_bytes()

    def verify(self, report: bytes, table: bytes) -> VerifiedClaims:
        anchor = Anchor("lab", self.pki.ark.certificate, AssuranceClass.SIMULATED, "Milan")
        return registry.verify_any(
            Evidence(EvidenceKind.SEV_SNP, report, {"auxblob": table}),
            collateral=Collateral(),
            anchors=[*registry.pinned_anchors(), anchor],
            now=datetime.now(UTC),
        )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    simulator = Running(tmp_path)
    yield simulator
    if simulator.process.poll() is None:
        simulator.stop()


def test_folder_answers_like_configfs(running: Running) -> None:
    """A report over the guest's 64 bytes, with the certificate table, measured as computed beforehand."""
    claims = running.verify(*running.ask("one", b"\x09" * 64))
    assert claims.assurance is AssuranceClass.SIMULATED
    assert claims.report_data == b"\x09" * 64
    assert claims.claims["measurement"] == measure(b"an image", 2, "console=ttyS0").hex()
    assert claims.claims["hostData"] == host_data(b"init data").hex()
    again = running.verify(*running.ask("one", b"\x0a" * 64))
    assert again.report_data == b"\x0a" * 64
    assert int((running.folder / "report/one/generation").read_text()) == 2


def test_privilege_level(running: Running) -> None:
    """A guest may ask for a lower privilege, not for one that does not exist."""
    assert running.verify(*running.ask("low", bytes(64), privilege="2")).claims["vmpl"] == 2
    with pytest.raises(OSError, match="EINVAL"):
        running.ask("wrong", bytes(64), privilege="7")


def test_wrong_length_is_refused(running: Running) -> None:
    """More than 64 bytes are EINVAL."""
    with pytest.raises(OSError, match="EINVAL"):
        running.ask("long", bytes(65))


def test_socket(running: Running) -> None:
    """The socket gives the same report, identity, and an error for anything else; it is the user's alone."""
    path = running.folder / "simulator.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        stream = client.makefile("rwb")

        def ask(line: bytes) -> dict[str, Any]:
            stream.write(line + b"\n")
            stream.flush()
            answer: dict[str, Any] = json.loads(stream.readline())
            return answer

        request = {"op": "report", "reportData": base64.b64encode(b"\x01" * 64).decode()}
        answer = ask(json.dumps(request).encode())
        claims = running.verify(base64.b64decode(answer["outblob"]), base64.b64decode(answer["auxblob"]))
        assert claims.report_data == b"\x01" * 64
        assert ask(b'{"op":"identity"}')["measurement"] == claims.claims["measurement"]
        for bad in (b"{", b"[]", b'{"op":"other"}', b'{"op":"report","reportData":"AA=="}', b'{"op":"report"}'):
            assert "error" in ask(bad)


def test_sigterm_ends_clean_and_restart_is_the_same_chip(running: Running) -> None:
    """SIGTERM ends with 0 and leaves no ready file or socket; a restart is the same chip."""
    chip = running.verify(*running.ask("one", bytes(64))).claims["chipId"]
    assert running.stop() == 0
    assert not (running.folder / "ready").exists()
    assert not (running.folder / "simulator.sock").exists()
    running.start()
    assert running.verify(*running.ask("two", bytes(64))).claims["chipId"] == chip


def test_end_of_the_parent(tmp_path: Path) -> None:
    """With exitWithParent the simulator ends when whoever started it does."""
    simulator = Running(tmp_path, exitWithParent=True)
    assert simulator.stop() == 0
    argv = [sys.executable, "-m", "qnsp_policy.simulator", "--config", str(tmp_path / "config.json")]
    code = f"import subprocess,sys,time; p=subprocess.Popen({argv!r}); print(p.pid, flush=True); sys.stdin.read()"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 120
    while not (tmp_path / "member/ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    parent.kill()
    parent.communicate()
    while (tmp_path / "member/ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while Path(f"/proc/{child}").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_keys_are_private_and_named_insecure(tmp_path: Path) -> None:
    """The throw-away PKI's keys are 0600 and say insecure; a second call reads the same, another product is refused."""
    one = make_pki(tmp_path / "pki", key_size=2048)
    assert make_pki(tmp_path / "pki").ark.certificate == one.ark.certificate
    keys = sorted((tmp_path / "pki").glob("*key*"))
    assert len(keys) == 3
    assert all(key.stat().st_mode & 0o777 == 0o600 and "insecure" in key.name for key in keys)
    with pytest.raises(ValueError, match="not of Genoa"):
        make_pki(tmp_path / "pki", "Genoa")
    with pytest.raises(ValueError, match="no product"):
        make_pki(tmp_path / "other", "Rome")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"dir":"a","pki":"b"}', '{"dir":"a","pki":"b","image":5}', '{"dir":"a","pki":"b","image":"c","extra":1}',
     '{"dir":"a","pki":"b","image":"c","vcpus":true}', '{"dir":"a","pki":"b","image":"c","tcb":{"snp":256}}'],
)  # fmt: skip
def test_wrong_configuration(text: str) -> None:
    """A member missing, unknown or of another type is the operator's error."""
    with pytest.raises(OperatorError, match="QNSP-OPS-045"):
        from_json(text.encode())


def test_missing_image_is_said(tmp_path: Path) -> None:
    """A missing image ends with 1 and a word, no traceback."""
    make_pki(tmp_path / "pki", key_size=2048)
    config = {"dir": str(tmp_path / "m"), "pki": str(tmp_path / "pki"), "image": str(tmp_path / "none")}
    (tmp_path / "c.json").write_text(json.dumps(config), encoding="utf-8")
    argv = [sys.executable, "-m", "qnsp_policy.simulator", "--config", str(tmp_path / "c.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "QNSP-OPS-046" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_image_in_the_place_of_the_planned_one_is_not_started(tmp_path: Path) -> None:
    """What would be measured is not what the plan names, so nothing attests with it."""
    (tmp_path / "image.tar").write_bytes(b"another")
    wanted = sha256_digest(b"planned")
    told = {"dir": str(tmp_path / "m"), "pki": str(tmp_path / "pki"), "image": str(tmp_path / "image.tar")}
    config = from_json(json.dumps({**told, "imageDigest": wanted}).encode())
    with pytest.raises(OperatorError, match=wanted) as caught:
        launch(config, datetime.now(UTC))
    assert caught.value.code == "QNSP-OPS-046"


def test_measurement_depends_on_all_three() -> None:
    """Image, vCPUs and command line each change the measurement."""
    base = measure(b"a", 1, "c")
    assert len(base) == 48
    assert len({base, measure(b"b", 1, "c"), measure(b"a", 2, "c"), measure(b"a", 1, "d")}) == 4
    assert host_data(b"") == bytes(32)


@pytest.mark.parametrize("left", ["an empty key", "a key and no id"])
def test_a_simulator_that_was_killed_before_its_chip_was_whole_makes_another(tmp_path: Path, left: str) -> None:
    """The id is written last and whole; without it there was no chip yet."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    pki = snp.mint_pki("Milan", now, key_size=2048)
    first = snp.load_chip(tmp_path / "a", pki, now)
    assert snp.load_chip(tmp_path / "a", pki, now).chip_id == first.chip_id
    (tmp_path / "a" / "chip-id").unlink()
    if left == "an empty key":
        (tmp_path / "a" / "vcek.insecure-key.pem").write_bytes(b"")
    again = snp.load_chip(tmp_path / "a", pki, now)
    assert len(again.chip_id) == 64
    assert again.chip_id != first.chip_id
    assert snp.load_chip(tmp_path / "a", pki, now).chip_id == again.chip_id
