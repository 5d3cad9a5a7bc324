"""A machine of CPU and GPUs at the broker: released to the whole of it, and to nothing that was put together from parts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.x509 import ocsp

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.collectors_edge import additional_evidence
from qnsp_policy.kernel.attestation.values import Alternative, EvidenceKind
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
from qnsp_policy.kernel.ledger.store_edge import LedgerReader
from qnsp_policy.services.guest.rcar import BrokerSession, Denied
from qnsp_policy.services.guest.tee_key import new_tee_key
from qnsp_policy.simulator import nvidia
from qnsp_policy.simulator.devices import Gpus, make_gpus
from qnsp_policy.simulator.snp import SnpPki
from qnsp_policy.testing.services import START, Admin, BrokerWorld, SimulatedMember, release_policy, tenant_object

RESOURCE = "clinic/model/minilm"
DATA_KEY = bytes(range(32))


@pytest.fixture
def gpus(tmp_path: Path) -> Gpus:
    """Two GPUs of one machine; their RIMs and OCSP answers lie in the broker's folder of collateral."""
    return make_gpus(tmp_path / "pki", 2, "blackwell", START)


@pytest.fixture
def world(tmp_path: Path, pki: SnpPki, gpus: Gpus) -> BrokerWorld:
    """A broker that knows the simulated AMD and NVIDIA."""
    anchors = [{"vendor": "amd", "line": "Milan", "certificate": pki.ark_pem}]
    anchors += [
        {"vendor": vendor, "certificate": (tmp_path / f"pki/nvidia/{name}.pem").read_text()}
        for vendor, name in (("simulated-nvidia", "device_root"), ("simulated-nvidia-rim", "rim0"))
    ]
    settings: dict[str, Any] = {"anchors": anchors, "collateral": str(tmp_path / "pki/collateral")}
    return BrokerWorld(tmp_path, pki, settings=settings)


def alternative(member: SimulatedMember, count: int = 2) -> Alternative:
    """The member's values, with that many Blackwell GPUs in confidential mode."""
    device = Alternative(
        "device", EvidenceKind.NVIDIA_GPU, {"confidentialMode": "on", "architecture": "blackwell"}, {"driver": 580}
    )
    return replace(member.alternative(), devices=(device,) * count)


@pytest.fixture
def clinic(admin: Admin, world: BrokerWorld, member: SimulatedMember) -> None:
    admin.apply(
        {
            "tenant/clinic": tenant_object("clinic"),
            f"resource/{RESOURCE}": world.sealed_key(RESOURCE, DATA_KEY),
            f"release-policy/{RESOURCE}": release_policy(RESOURCE, alternative(member)),
        }
    )


Devices = Callable[[bytes], str]


@pytest.fixture
def session(http: httpx.Client, member: SimulatedMember) -> Callable[[Devices | None], BrokerSession]:
    """The guest's session with whatever stands for its devices."""

    def make(devices: Devices | None) -> BrokerSession:
        return BrokerSession(
            http,
            get_report=member.report,
            new_key=lambda: new_tee_key("ML-KEM-768"),
            initdata=None,
            get_devices=devices,
        )

    return make


def whole(gpus: Gpus) -> Devices:
    return lambda nonce: additional_evidence(gpus.evidence(nonce))


Session = Callable[[Devices | None], BrokerSession]


def records(world: BrokerWorld) -> list[dict[str, Any]]:
    """Every record of the broker's log, oldest first."""
    keys = read_key_file(world.folder / "ledger-keys.json").public_keys
    reader = LedgerReader(world.folder / "ledger", "qnsp.example/test/broker/main", keys)
    return [record.to_json() for _, record in reader.records()]


@pytest.mark.usefixtures("clinic")
def test_the_whole_machine_gets_the_key(session: Session, gpus: Gpus, world: BrokerWorld) -> None:
    """CPU and both GPUs, bound to this nonce and key: released, by the tuple that demands both."""
    assert session(whole(gpus)).fetch(RESOURCE).data == DATA_KEY
    assert records(world)[-1]["data"]["matched"] == "ReferenceValues/test#0"


@pytest.mark.usefixtures("clinic")
@pytest.mark.parametrize(
    ("devices", "code"),
    [
        (lambda gpus: None, "QNSP-REL"),
        (lambda gpus: lambda nonce: additional_evidence(gpus.evidence(nonce)[:1]), "QNSP-REL"),
        (lambda gpus: lambda nonce: additional_evidence(gpus.evidence(nonce) + gpus.evidence(nonce)[:1]), "QNSP-REL"),
    ],
    ids=["no GPU", "one too few", "one too many"],
)
def test_another_set_of_devices_is_denied(
    session: Session, gpus: Gpus, devices: Callable[[Gpus], Devices | None], code: str
) -> None:
    """A machine with fewer or more devices than the values demand verifies, and is denied."""
    with pytest.raises(Denied, match=code):
        session(devices(gpus)).fetch(RESOURCE)


def _recorded(gpus: Gpus) -> Devices:
    text = additional_evidence(gpus.evidence(bytes(range(32))))
    return lambda nonce: text


def _foreign() -> Devices:
    pki = nvidia.mint_pki(START)
    return whole(Gpus([nvidia.make_device(pki, blackwell=True) for _ in range(2)], "blackwell"))


def _flipped(gpus: Gpus, nonce: bytes) -> str:
    first, second = gpus.evidence(nonce)
    raw = bytearray(base64.b64decode(first["evidence"]))
    raw[-1] ^= 1
    return additional_evidence([{**first, "evidence": base64.b64encode(raw).decode()}, second])


def _swapped(gpus: Gpus, nonce: bytes) -> str:
    first, second = gpus.evidence(nonce)
    return additional_evidence([{**first, "certificate": second["certificate"]}, second])


BAD: dict[str, tuple[Callable[[Gpus], Devices], str]] = {
    "another nonce": (lambda gpus: lambda nonce: additional_evidence(gpus.evidence(bytes(32))), "QNSP-KBS-111"),
    "recorded before": (_recorded, "QNSP-KBS-111"),
    "one of another nonce": (
        lambda gpus: lambda nonce: additional_evidence([gpus.evidence(nonce)[0], gpus.evidence(bytes(32))[1]]),
        "QNSP-KBS-111",
    ),
    "a foreign vendor": (lambda gpus: _foreign(), "QNSP-ATT-NV-015"),
    "a report that was changed": (lambda gpus: lambda nonce: _flipped(gpus, nonce), "QNSP-ATT-NV-019"),
    "the chain of the other GPU": (lambda gpus: lambda nonce: _swapped(gpus, nonce), "QNSP-ATT-NV-019"),
    "no list": (lambda gpus: lambda nonce: '{"nvidia": {}}', "QNSP-ATT-CMP-009"),
    "another device": (lambda gpus: lambda nonce: '{"abacus": {}}', "QNSP-ATT-CMP-001"),
    "a sample among hardware": (
        lambda gpus: lambda nonce: '{"sample_device": {"svn": "1", "report_data": ""}}',
        "QNSP-ATT",
    ),
    "far too many": (lambda gpus: lambda nonce: additional_evidence(gpus.evidence(nonce) * 17), "QNSP-ATT-CMP-005"),
}


@pytest.mark.usefixtures("clinic")
@pytest.mark.parametrize("name", BAD)
def test_parts_of_elsewhere_are_refused(session: Session, gpus: Gpus, world: BrokerWorld, name: str) -> None:
    """Devices of another session, vendor or form end the handshake, with the code of the step in the ledger only."""
    make, code = BAD[name]
    with pytest.raises(PeerError, match="refused attest"):
        session(make(gpus)).fetch(RESOURCE)
    assert records(world)[-1]["data"]["code"].startswith(code)


@pytest.mark.usefixtures("clinic")
def test_devices_that_the_cpu_does_not_bind(http: httpx.Client, member: SimulatedMember, gpus: Gpus) -> None:
    """Good GPU evidence slipped in beside a CPU report over other text is refused."""
    texts = iter([additional_evidence(gpus.evidence(bytes(32)))])

    class Slipped(BrokerSession):
        def _send(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
            if path == "/attest" and body is not None:
                value = json.loads(body)
                value["tee-evidence"]["additional_evidence"] = next(texts)
                body = json.dumps(value).encode()
            return super()._send(method, path, body)

    slipped = Slipped(http, get_report=member.report, new_key=lambda: new_tee_key("ML-KEM-768"), initdata=None)
    with pytest.raises(PeerError, match="refused attest"):
        slipped.fetch(RESOURCE)


@pytest.mark.usefixtures("clinic")
def test_revoked_device(session: Session, gpus: Gpus, tmp_path: Path) -> None:
    """An OCSP answer that arrives in the folder works from the next handshake on: no restart."""
    assert session(whole(gpus)).fetch(RESOURCE).data == DATA_KEY
    device = gpus.devices[0]
    for path in (tmp_path / "pki/collateral").glob("*.ocsp"):
        path.unlink()
    for one in gpus.devices:
        for index, (child, issuer) in enumerate(zip(one.chain[1:4], one.chain[2:5], strict=True)):
            revoked = one is device and index == 0
            status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
            data = nvidia.ocsp_answer(child, issuer, START, status=status)
            (tmp_path / f"pki/collateral/{id(one)}-{index}.ocsp").write_bytes(data)
    with pytest.raises(PeerError, match="refused attest"):
        session(whole(gpus)).fetch(RESOURCE)


@pytest.mark.usefixtures("clinic")
def test_collateral_that_went_away(session: Session, gpus: Gpus, world: BrokerWorld, tmp_path: Path) -> None:
    """A configured folder that is gone refuses every handshake: what it would have said is unknown."""
    assert session(whole(gpus)).fetch(RESOURCE).data == DATA_KEY
    (tmp_path / "pki/collateral").rename(tmp_path / "pki/elsewhere")
    with pytest.raises(PeerError, match="refused attest"):
        session(whole(gpus)).fetch(RESOURCE)
    assert records(world)[-1]["data"]["code"] == "QNSP-OPS-041"
    (tmp_path / "pki/elsewhere").rename(tmp_path / "pki/collateral")
    assert session(whole(gpus)).fetch(RESOURCE).data == DATA_KEY
