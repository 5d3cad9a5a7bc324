"""The line of a Nitro fleet as real processes: an image is built, its registers are granted, its guest serves through bridges.

What stands in for AWS: the module behind `/dev/nsm` (a socket of the same messages, showing the registers of the image that was built)
and, for one member, KMS. Broker, guest, gateway and upstream are the ones that run in production.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.client.transport_edge import open_endpoint
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.values import Alternative, Anchor, AssuranceClass, EvidenceKind, Verdict
from qnsp_policy.kernel.crypto.canonical import sha256_digest
from qnsp_policy.kernel.sealed.stream import new_data_key, new_header, seal
from qnsp_policy.services.guest.bridges import Bridge, StreamAddress
from qnsp_policy.simulator import nitro
from qnsp_policy.simulator.nitro_devices import DeviceSocket, SimulatedNsm
from qnsp_policy.simulator.snp import SnpPki
from qnsp_policy.testing.attested_kms import CREDENTIALS, HOST, KEY, AttestedKmsServer
from qnsp_policy.testing.line import RESOURCE, ServiceLine, contents
from qnsp_policy.testing.listening import answering
from qnsp_policy.testing.ports import free_port
from qnsp_policy.workflows.image import build_image

pytestmark = pytest.mark.functional

UPSTREAM = Path(__file__).with_name("tiny_upstream.py").read_bytes()
MODEL = b"weights " * 1000


def registers_of(folder: Path) -> dict[int, bytes]:
    """Builds the fleet's image and says what it will measure as."""
    (folder / "rootfs/upstream").mkdir(parents=True)
    (folder / "rootfs/upstream/app.py").write_bytes(UPSTREAM)
    (folder / "bzImage").write_bytes(b"kernel")
    (folder / "init").write_bytes(b"init")
    recipe = {
        "format": "qnsp.image/v1",
        "kind": "nitro-enclave",
        "name": "tiny",
        "kernel": {"file": "bzImage"},
        "init": {"file": "init"},
        "root": {"folder": "rootfs"},
        "command": ["/usr/bin/python3", "-m", "qnsp_policy.services.guest", "--config", "/etc/qnsp/guest.json"],
    }
    (folder / "recipe.json").write_text(json.dumps(recipe))
    made = build_image(
        folder / "recipe.json",
        folder / "tiny.eif",
        pin=True,
        values=None,
        values_name=None,
        expires=None,
        now=datetime.now(UTC),
        progress=lambda _: None,
    )
    return {int(name.removeprefix("pcr")): bytes.fromhex(value) for name, value in made.registers.items()}


@dataclass(slots=True)
class NitroLine(ServiceLine):
    """A line whose member attests by a Nitro Secure Module and reaches its broker through a bridge of its own."""

    aws: nitro.NitroPki = field(default_factory=lambda: nitro.mint_pki(datetime.now(UTC)))
    registers: dict[int, bytes] = field(default_factory=dict)
    near_port: int = field(default_factory=free_port)
    guest_changes: dict[str, Any] = field(default_factory=dict)
    kms: AttestedKmsServer | None = None

    def objects(self, data_key: bytes, sealed_digest: str) -> dict[str, Any]:
        """Where KMS keeps the model's key, the broker holds neither key nor policy of it."""
        found = super(NitroLine, self).objects(data_key, sealed_digest)
        if self.kms is not None:
            (self.folder / "wrapped").write_bytes(self.kms.wrap(data_key))
            found = {name: value for name, value in found.items() if not name.endswith(f"/{RESOURCE}")}
        return found

    def alternative(self) -> Alternative:
        equals = {f"pcr{index}": value.hex() for index, value in self.registers.items()}
        return Alternative(name="ReferenceValues/tiny#0", kind=EvidenceKind.NITRO_ENCLAVE, equals=equals, floors={})

    def anchor(self) -> Anchor:
        return Anchor("aws", self.aws.bundle[0], AssuranceClass.SIMULATED)

    def _broker_configuration(self, pki: SnpPki) -> dict[str, Any]:
        text = base64.encodebytes(self.aws.bundle[0]).decode()
        pem = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
        common = super(NitroLine, self)._broker_configuration(pki)
        return {**common, "anchors": [{"vendor": "aws", "certificate": pem, "assurance": "simulated"}]}

    def _guest_configuration(self) -> dict[str, Any]:
        value = super(NitroLine, self)._guest_configuration()
        # Nothing is unpacked inside an enclave: its file system is the image, its upstream lies beside the artefacts.
        value = {name: part for name, part in value.items() if name not in {"tsm", "initdata", "image"}}
        (self.folder / "upstream").mkdir(exist_ok=True)
        (self.folder / "upstream/app.py").write_bytes(self.upstream)
        value["broker"]["url"] = f"https://127.0.0.1:{self.near_port}"
        broker = f"tcp://127.0.0.1:{self.broker_port}"
        return {
            **value,
            "attester": "nsm",
            "device": str(self.folder / "nsm.sock"),
            "bind": "127.0.0.1",
            "bridges": [{"arrives": f"tcp://127.0.0.1:{self.near_port}", "leaves": broker}],
            **self.guest_changes,
        }


def started(line: NitroLine) -> Generator[NitroLine]:
    module = SimulatedNsm(line.aws, lambda: datetime.now(UTC), line.registers)
    device = DeviceSocket(line.folder / "nsm.sock", module.exchange)
    line.prepare()
    line.start("broker", "guest")
    try:
        line.wait()
        yield line
    finally:
        line.stop()
        device.close()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NitroLine]:
    folder = tmp_path_factory.mktemp("nitro")
    made = NitroLine(folder, UPSTREAM, MODEL, registers=registers_of(folder))
    # As on AWS: the document names the balancer, which is not the enclave's own address.
    made.endpoint_changes = {"listen": f"triage.clinic.example:{made.endpoint_port}"}
    yield from started(made)


def test_a_client_verifies_the_answer_of_an_enclave(line: NitroLine) -> None:
    """Through the parent's bridge: TLS, signature and evidence are the enclave's."""
    outside = free_port()
    bridge = Bridge(StreamAddress("tcp", "127.0.0.1", outside), StreamAddress("tcp", "127.0.0.1", line.endpoint_port))
    try:
        trust = line.trust(anchors=(line.anchor(),))
        endpoint = open_endpoint(f"https://127.0.0.1:{outside}", trust, api_key=line.api_key, allow_simulated=True)
        kept = []
        with endpoint.client(lambda answer, verified: kept.append(verified)) as http:
            assert http.post("/v1/embeddings", json={"model": "tiny", "input": "chest pain"}).status_code == 200
    finally:
        bridge.close()
    words = {statement.name: statement.verdict for statement in kept[0].statements}
    assert (words["signature"], words["evidence"]) == (Verdict.OK, Verdict.SIMULATED)


def test_a_client_that_expects_another_image_refuses(line: NitroLine) -> None:
    """One register of the relying party's values differs."""
    other = Alternative(
        name="ReferenceValues/other#0",
        kind=EvidenceKind.NITRO_ENCLAVE,
        equals={**line.alternative().equals, "pcr2": "ff" * 48},
        floors={},
    )
    with pytest.raises(PeerError, match="QNSP-"):
        open_endpoint(
            line.url,
            line.trust(anchors=(line.anchor(),), alternatives=(other,)),
            api_key=line.api_key,
            allow_simulated=True,
        )


def test_fetch_over_bridge_and_module(line: NitroLine) -> None:
    """`guest fetch` with the configuration of an enclave; its own bridge must have another place."""
    value = json.loads((line.folder / "guest.json").read_text())
    near = free_port()
    value["bridges"][0]["arrives"] = f"tcp://127.0.0.1:{near}"
    value["broker"]["url"] = f"https://127.0.0.1:{near}"
    (line.folder / "fetch.json").write_text(json.dumps(value))
    status, outcome = line.fetch(RESOURCE, "fetch")
    assert (status, outcome.get("bytes")) == (0, 32)
    status, outcome = line.fetch("research/model/tiny", "fetch")
    assert (status, outcome.get("status")) == (3, 403)


def test_another_image_is_denied(line: NitroLine) -> None:
    """A member whose module shows the registers of another image gets nothing; it is told so and told nothing more."""
    module = SimulatedNsm(line.aws, lambda: datetime.now(UTC), {**line.registers, 2: b"\xff" * 48})
    device = DeviceSocket(line.folder / "other.sock", module.exchange)
    value = json.loads((line.folder / "guest.json").read_text())
    value |= {"device": str(device.path), "bridges": []}
    value["broker"]["url"] = f"https://127.0.0.1:{line.broker_port}"
    (line.folder / "other.json").write_text(json.dumps(value))
    try:
        status, outcome = line.fetch(RESOURCE, "other")
    finally:
        device.close()
    assert (status, outcome["status"]) == (3, 403)
    assert outcome["reason"].startswith("QNSP-REL-")


@pytest.fixture
def parent() -> Iterator[str]:
    """The parent, which hands its role's credentials to whoever asks."""
    listener = StreamAddress("tcp", "127.0.0.1", 0).listen()
    port = listener.getsockname()[1]
    with answering(listener, lambda stream: stream.sendall(json.dumps(CREDENTIALS).encode())):
        yield f"tcp://127.0.0.1:{port}"


def test_a_member_whose_key_is_in_kms_serves(tmp_path: Path, parent: str) -> None:
    """Endpoint configuration from the broker, the model's key from KMS as an attested recipient, credentials from the parent."""
    line = NitroLine(tmp_path, UPSTREAM, MODEL, registers=registers_of(tmp_path))
    kms = AttestedKmsServer(tmp_path, line.anchor(), line.registers, RESOURCE)
    kms.start()
    line.guest_changes["kms"] = {
        "endpoint": HOST,
        "via": f"tcp://127.0.0.1:{kms.port}",
        "credentials": parent,
        "allowClassical": True,
        "authorities": str(kms.root),
        "keySize": 2048,
        "keys": [{"resource": RESOURCE, "keyId": KEY, "wrappedKey": str(tmp_path / "wrapped")}],
    }
    line.kms = kms
    running = started(line)
    try:
        next(running)
        trust = line.trust(anchors=(line.anchor(),))
        endpoint = open_endpoint(line.url, trust, api_key=line.api_key, allow_simulated=True)
        with endpoint.client() as http:
            assert http.post("/v1/embeddings", json={"model": "tiny", "input": "x"}).status_code == 200
        assert [operation for operation, _ in kms.asked][:1] == ["Decrypt"]
        ledger = b"".join(data for _, data in contents(tmp_path / "broker-ledger"))
        assert b"clinic/endpoint/clinic-embeddings" in ledger
        assert f'"resource":"{RESOURCE}"'.encode() not in ledger
    finally:
        running.close()
        kms.stop()


def test_a_broker_in_an_enclave_opens_its_keys_by_kms_and_serves(tmp_path: Path, parent: str) -> None:
    """Its private keys lie sealed in the image; KMS releases their key to its registers; they are on no disk in clear."""
    line = NitroLine(tmp_path, UPSTREAM, MODEL, registers=registers_of(tmp_path))
    store = "broker/main/store"
    kms = AttestedKmsServer(tmp_path, line.anchor(), line.registers, store)
    kms.start()
    module = SimulatedNsm(line.aws, lambda: datetime.now(UTC), line.registers)
    device = DeviceSocket(tmp_path / "nsm.sock", module.exchange)
    try:
        line.prepare()
        keys, data_key = (tmp_path / "broker-keys.json").read_bytes(), new_data_key()
        header = new_header(resource=store, version=1, plaintext_digest=sha256_digest(keys), plaintext_size=len(keys))
        (tmp_path / "broker-keys.sealed").write_bytes(b"".join(seal(io.BytesIO(keys), data_key, header)))
        (tmp_path / "wrapped").write_bytes(kms.wrap(data_key))
        (tmp_path / "broker-keys.json").unlink()
        settings = json.loads((tmp_path / "broker.json").read_text())
        (tmp_path / "inside.json").write_text(json.dumps({**settings, "keys": "/proc/self/fd/100"}))
        guest = {
            "name": "broker-0",
            "attester": "nsm",
            "device": str(device.path),
            "workdir": str(tmp_path / "broker-guest"),
            "kms": {
                "endpoint": HOST,
                "via": f"tcp://127.0.0.1:{kms.port}",
                "credentials": parent,
                "allowClassical": True,
                "authorities": str(kms.root),
                "keySize": 2048,
                "keys": [{"resource": store, "keyId": KEY, "wrappedKey": str(tmp_path / "wrapped")}],
            },
            "program": {
                "command": ["python", "-m", "qnsp_policy.services.broker", "--config", str(tmp_path / "inside.json")],
                "environment": {"PYTHONPATH": str(Path(__file__).parents[3])},
                "sealed": [
                    {
                        "resource": store,
                        "file": str(tmp_path / "broker-keys.sealed"),
                        "digest": sha256_digest(keys),
                        "descriptor": 100,
                    }
                ],
            },
        }
        (tmp_path / "broker-guest.json").write_text(json.dumps(guest))
        with (tmp_path / "broker-guest.log").open("wb") as log:
            running = subprocess.Popen(
                [sys.executable, "-m", "qnsp_policy.services.guest", "--config", tmp_path / "broker-guest.json", "run"],
                stderr=log,
            )
        try:
            member = json.loads((tmp_path / "guest.json").read_text()) | {"bridges": []}
            member["broker"]["url"] = f"https://127.0.0.1:{line.broker_port}"
            (tmp_path / "member.json").write_text(json.dumps(member))
            wait_for(line.broker_port, tmp_path / "broker-guest.log")
            status, outcome = line.fetch(RESOURCE, "member")
            assert (status, outcome.get("bytes")) == (0, 32)
            secret = json.loads(keys)["keys"][0]["priv"].encode()
            for path, data in contents(tmp_path):
                assert secret not in data, path
        finally:
            running.terminate()
            assert running.wait(120) == 0
        # The same image on other registers: KMS says no, and the broker does not start.
        module.pcrs = {**line.registers, 0: b"\xff" * 48}
        ended = subprocess.run(
            [sys.executable, "-m", "qnsp_policy.services.guest", "--config", tmp_path / "broker-guest.json", "run"],
            capture_output=True,
            check=False,
            timeout=240,
        )
        assert ended.returncode == 1
        assert b"QNSP-GST-050" in ended.stderr
    finally:
        device.close()
        kms.stop()


def wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
