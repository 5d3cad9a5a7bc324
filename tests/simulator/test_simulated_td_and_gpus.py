"""A simulated TD with GPUs as a process of its own: its folder and socket answer, and a broker releases to the whole machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.kernel.attestation.values import Alternative, EvidenceKind
from qnsp_policy.services.guest.attesters import tsm
from qnsp_policy.services.guest.attesters.devices import devices_of
from qnsp_policy.services.guest.configuration import read_configuration
from qnsp_policy.services.guest.rcar import BrokerSession, Denied
from qnsp_policy.services.guest.tee_key import new_tee_key
from qnsp_policy.simulator import host_data, measure
from qnsp_policy.simulator.snp import mint_pki
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.services import START, Admin, BrokerWorld, release_policy, tenant_object

RESOURCE = "clinic/model/minilm"
DATA_KEY = bytes(range(32))
INITDATA = b'version = "0.1.0"\nalgorithm = "sha256"\n[data]\n"qnsp.toml" = "x"\n'

pytestmark = pytest.mark.functional


def configuration(tmp_path: Path, **changes: Any) -> Path:
    (tmp_path / "image.tar").write_bytes(b"image")
    (tmp_path / "initdata.toml").write_bytes(INITDATA)
    value = {
        "dir": str(tmp_path / "member"),
        "pki": str(tmp_path / "pki"),
        "image": str(tmp_path / "image.tar"),
        "initdata": str(tmp_path / "initdata.toml"),
        "vcpus": 4,
        "cmdline": "ro",
        "attester": "tdx",
        "gpus": 2,
        **changes,
    }
    path = tmp_path / "simulator.json"
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Path]:
    """The folder of a running member."""
    line = [sys.executable, "-m", "qnsp_policy.simulator", "--config", str(configuration(tmp_path))]
    with subprocess.Popen(line, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())}) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "member/ready").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield tmp_path / "member"
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


@pytest.fixture
def world(tmp_path: Path, member: Path) -> BrokerWorld:
    """A broker that knows the simulated vendors of the member, and their collateral."""
    roots = {"intel": "intel/root", "nvidia": "nvidia/device_root", "nvidia-rim": "nvidia/rim0"}
    anchors = [
        {"vendor": f"simulated-{vendor}", "certificate": (tmp_path / f"pki/{path}.pem").read_text()}
        for vendor, path in roots.items()
    ]
    settings: dict[str, Any] = {"anchors": anchors, "collateral": str(tmp_path / "pki/collateral")}
    (tmp_path / "broker").mkdir()
    return BrokerWorld(tmp_path / "broker", mint_pki("Milan", START, key_size=2048), settings=settings)


def values(count: int) -> Alternative:
    device = Alternative("device", EvidenceKind.NVIDIA_GPU, {"confidentialMode": "on", "architecture": "hopper"})
    measured = {"mrTd": measure(b"image", 4, "ro").hex(), "mrConfigId": host_data(INITDATA).ljust(48, b"\0").hex()}
    return Alternative(
        "ReferenceValues/test#0", EvidenceKind.TDX, {**measured, "tcbStatus": "UpToDate"}, devices=(device,) * count
    )


def session(world: BrokerWorld, member: Path, alternative: Alternative, *, devices: bool = True) -> BrokerSession:
    """A guest's session with a broker that may release to the alternative."""
    http = sync_client(world.start().asgi())
    Admin(world, http).apply(
        {
            "tenant/clinic": tenant_object("clinic"),
            f"resource/{RESOURCE}": world.sealed_key(RESOURCE, DATA_KEY),
            f"release-policy/{RESOURCE}": release_policy(RESOURCE, alternative),
        }
    )
    value: dict[str, Any] = {"name": "m", "broker": {"url": "http://x", "tls": {"mode": "insecure-plaintext"}}}
    value |= {"tsm": str(member), "workdir": "w", **({"devices": {"collector": "simulator"}} if devices else {})}
    return BrokerSession(
        http,
        get_report=lambda data: tsm.get_report(member, data),
        new_key=lambda: new_tee_key("ML-KEM-768"),
        initdata=INITDATA,
        kind=lambda: tsm.kind_of(member),
        get_devices=devices_of(read_configuration(json.dumps(value).encode())),
    )


def test_released_to_the_td_with_its_gpus(world: BrokerWorld, member: Path) -> None:
    """TDX quote with full collateral, two GPUs with RIMs and OCSP answers, one binding: the key."""
    assert session(world, member, values(2)).fetch(RESOURCE).data == DATA_KEY


def test_denied_without_the_gpus_and_with_other_values(world: BrokerWorld, member: Path) -> None:
    """The same TD without its GPUs, or of another MRTD, gets nothing."""
    with pytest.raises(Denied):
        session(world, member, values(2), devices=False).fetch(RESOURCE)


def test_a_td_alone(world: BrokerWorld, member: Path) -> None:
    """Values that demand no device are met by the TD alone, and not by another TD."""
    assert session(world, member, values(0), devices=False).fetch(RESOURCE).data == DATA_KEY


def test_the_socket_says_what_it_is(member: Path) -> None:
    """Identity and devices over the socket; nonsense is an error, and the process lives on."""
    import socket

    asked = [b'{"op": "identity"}', b'{"op": "devices", "nonce": "00"}', b'{"op": "devices", "nonce": "zz"}', b"{"]
    asked += [
        b'{"op": "report", "reportData": "AA==", "vmpl": 1}',
        b'{"op": "devices", "nonce": "' + b"ab" * 32 + b'"}',
    ]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(member / "simulator.sock"))
        stream = connection.makefile("rwb")
        answers = []
        for line in asked:
            stream.write(line + b"\n")
            stream.flush()
            answers.append(json.loads(stream.readline()))
    assert (answers[0]["provider"], answers[0]["mrTd"]) == ("tdx_guest", measure(b"image", 4, "ro").hex())
    assert all("error" in answer for answer in answers[1:5])
    assert len(answers[5]["device_evidence_list"]) == 2


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"attester": "sgx"}, "attester"), ({"gpus": 9}, "0 to 8"), ({"gpuArchitecture": "ampere"}, "gpuArchitecture")],
)
def test_what_is_not_simulated(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    """Another attester, too many GPUs, another architecture: it does not start."""
    line = [sys.executable, "-m", "qnsp_policy.simulator", "--config", str(configuration(tmp_path, **changes))]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    assert (done.returncode, text in done.stderr) == (1, True)
