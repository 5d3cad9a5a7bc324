"""`guest run`, the loopback of an enclave, and configurations whose parts do not go together."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.canonical import sha256_digest
from qnsp_policy.kernel.sealed.stream import new_data_key, new_header, seal
from qnsp_policy.services.guest.app import main
from qnsp_policy.services.guest.configuration import Program, SealedFile, read_configuration
from qnsp_policy.services.guest.key_source import NoBroker
from qnsp_policy.services.guest.loopback import bring_up
from qnsp_policy.services.guest.program import open_at, run
from qnsp_policy.services.guest.rcar import Released

RESOURCE = "broker/main/store"
PLAIN = b"private keys"
KEY = new_data_key()


class Keys:
    """Releases one key."""

    def fetch(self, resource: str) -> Released:
        assert resource == RESOURCE
        return Released(KEY, 60)


@pytest.fixture
def sealed(tmp_path: Path) -> SealedFile:
    header = new_header(resource=RESOURCE, version=1, plaintext_digest=sha256_digest(PLAIN), plaintext_size=len(PLAIN))
    (tmp_path / "sealed").write_bytes(b"".join(seal(io.BytesIO(PLAIN), KEY, header)))
    return SealedFile(resource=RESOURCE, file=str(tmp_path / "sealed"), digest=sha256_digest(PLAIN), descriptor=150)


def script(text: str) -> tuple[str, ...]:
    return ("python", "-c", text)


def test_a_program_finds_its_file_open_and_private(sealed: SealedFile) -> None:
    """At the descriptor that was named, mode 0600, sealed; its status is the guest's."""
    text = "import os; d = open('/proc/self/fd/150','rb').read(); raise SystemExit(len(d) + (os.fstat(150).st_mode & 0o77))"
    assert run(Program(command=script(text), sealed=(sealed,)), Keys(), threading.Event()) == len(PLAIN)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(150)


def test_a_program_that_is_killed_or_stopped() -> None:
    """128 and the signal's number; 0 where it was stopped as asked."""
    killed = Program(command=script("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert run(killed, Keys(), threading.Event()) == 137
    stopping = threading.Event()
    threading.Timer(0.3, stopping.set).start()
    assert run(Program(command=script("import time; time.sleep(600)")), Keys(), stopping) == 0


def test_a_sealed_file_that_is_not_there_or_another(sealed: SealedFile, tmp_path: Path) -> None:
    """Refused before anything starts."""
    with pytest.raises(OperatorError, match="QNSP-GST-059"):
        open_at(sealed.model_copy(update={"file": str(tmp_path / "nothing")}), Keys())
    with pytest.raises(PeerError, match="QNSP-SIG-072"):
        open_at(sealed.model_copy(update={"digest": sha256_digest(b"other")}), Keys())


def test_a_descriptor_that_is_taken_is_refused(sealed: SealedFile) -> None:
    """It is nobody's to close."""
    os.dup2(0, 150)
    try:
        with pytest.raises(OperatorError, match="QNSP-GST-060"):
            open_at(sealed, Keys())
    finally:
        os.close(150)


def test_a_guest_without_broker_says_so() -> None:
    """For a resource that KMS does not keep."""
    with pytest.raises(OperatorError, match="QNSP-GST-061"):
        NoBroker().fetch("clinic/model/x")


def configuration(**changes: Any) -> dict[str, Any]:
    kms = {
        "endpoint": "kms.eu-west-1.amazonaws.com",
        "via": "vsock://parent:8000",
        "credentials": "vsock://parent:8001",
    }
    value = {"name": "x", "attester": "nsm", "workdir": "/run/qnsp", "kms": {**kms, "allowClassical": True}, **changes}
    return {name: part for name, part in value.items() if part is not None}


BROKER = {"url": "https://127.0.0.1:1", "tls": {"mode": "pinned", "key": {}}}
BAD: dict[str, dict[str, Any]] = {
    "kms-unacknowledged": {"kms": {"endpoint": "e", "via": "v", "credentials": "c"}},
    "kms-classical-denied": {"kms": {"endpoint": "e", "via": "v", "credentials": "c", "allowClassical": False}},
    "kms-on-tsm": {"attester": "tsm"},
    "device-on-tsm": {"attester": "tsm", "kms": None, "broker": BROKER, "device": "/dev/nsm"},
    "initdata-on-nsm": {"initdata": "initdata.toml"},
    "nobody-for-keys": {"kms": None},
    "endpoint-without-broker": {"endpoints": [{"name": "e", "resource": "t/endpoint/e"}]},
    "descriptor-of-stdin": {
        "program": {
            "command": ["x"],
            "sealed": [{"resource": "r", "file": "f", "digest": "sha256:" + "0" * 64, "descriptor": 0}],
        }
    },
    "no-command": {"program": {"command": []}},
}


@pytest.mark.parametrize("name", BAD)
def test_a_configuration_whose_parts_do_not_go_together(name: str) -> None:
    """Classical key transport above all must be acknowledged by name."""
    assert read_configuration(json.dumps(configuration()).encode()).kms
    with pytest.raises(OperatorError, match="QNSP-GST-000"):
        read_configuration(json.dumps(configuration(**BAD[name])).encode())


def test_run_without_a_program_or_a_module(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Exit status 1 and what is missing."""
    path = tmp_path / "guest.json"
    path.write_text(json.dumps(configuration()))
    assert main(["--config", str(path), "run"]) == 1
    path.write_text(json.dumps(configuration(program={"command": ["true"]}, device=str(tmp_path / "nsm"))))
    assert main(["--config", str(path), "run"]) == 1
    assert "QNSP-GST-062" in caplog.text
    assert "QNSP-GST-043" in caplog.text


def test_the_loopback_is_left_alone_where_it_is_up() -> None:
    """And an interface that is not there is said."""
    assert bring_up() is False
    with pytest.raises(OperatorError, match="QNSP-GST-049"):
        bring_up(b"qnsp-none")


def test_the_loopback_of_a_new_network_is_brought_up() -> None:
    """As in an enclave, whose kernel leaves it down."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    text = "from qnsp_policy.services.guest.loopback import bring_up; print(bring_up(), bring_up())"
    said = subprocess.run([unshare, "-n", sys.executable, "-c", text], check=True, capture_output=True, text=True)
    assert said.stdout.split() == ["True", "False"]
