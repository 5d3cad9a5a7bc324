"""A real plan of real documents, signed by its author and approved by others, at a broker that verifies it itself."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.crypto.keyfile_edge import write_key_file
from qnsp_policy.kernel.wire.api_auth import sign_request
from qnsp_policy.services.broker.configuration import BrokerConfiguration
from qnsp_policy.services.broker.process_edge import build
from qnsp_policy.testing.clinic import NOW, WORKSPACE_ID, Clinic, _private, approved, signed
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.services import Clock

BASE = "http://127.0.0.1:8555"


class RealBroker:
    """The broker of the clinic's documents."""

    def __init__(self, folder: Path) -> None:
        self.clinic = Clinic()
        self.recorded = self.clinic.genesis()
        self.clock = Clock(NOW)
        self.admin = _private("broker-main", "Ed25519")
        names = {"tls": "ECDSA-P256", "token": "ML-DSA-65", "unwrap": "X-Wing"}
        keys = {use: _private("broker-main", algorithm) for use, algorithm in names.items()}
        write_key_file(folder / "keys.json", "broker-main", tuple(keys.values()))
        _, judge = self.recorded.judge()
        (folder / "root.json").write_bytes(jcs(judge.to_json()))
        configuration = BrokerConfiguration.model_validate(
            {
                "name": "main",
                "listen": "127.0.0.1:8555",
                "database": f"sqlite:///{folder}/broker.db",
                "keys": str(folder / "keys.json"),
                "identity": {use: key.public.to_jwk() for use, key in keys.items()},
                "trustRoot": str(folder / "root.json"),
                "trustRootDigest": judge.digest,
                "workspaceId": WORKSPACE_ID,
                "environment": "development",
                "ledger": {"dir": str(folder / "log"), "origin": "qnsp.example/b", "keys": str(folder / "log.json")},
                "adminKeys": [self.admin.public.to_jwk()],
            }
        )
        self.http = sync_client(build(configuration, clock=self.clock).asgi(), BASE)

    def send(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        url = f"{BASE}/qnsp/v1/admin{path}"
        headers = sign_request(method, url, body, self.admin, self.clock())
        return self.http.request(method, url, content=body, headers=headers)


@pytest.fixture
def broker(tmp_path: Path) -> RealBroker:
    return RealBroker(tmp_path)


def test_the_broker_takes_everything_that_an_approved_plan_authorises(broker: RealBroker) -> None:
    """Every object of the first plan is taken by digest; the policy of another resource under its name is not."""
    plan = broker.clinic.plan(broker.recorded)
    data = approved(signed(plan), broker.recorded, "bob@clinic.example", "carol@research.example")
    accepted = broker.send("POST", "/plans", data)
    assert accepted.status_code == 200, accepted.text
    authorises = accepted.json()["authorises"]
    found = {}
    for unit in plan.units.values():
        holders = [unit.inputs] if "objects" in unit.inputs else []
        for holder in [*holders, *(b for b in unit.inputs.get("brokers", ()) if "objects" in b)]:
            for entry in holder["objects"]:
                found[f"{entry['kind']}/{entry['name']}"] = entry["object"]
    assert set(found) == set(authorises)
    assert any(name.startswith("endpoint/") for name in found)
    for name, value in found.items():
        body = jcs({"object": value, "plan": accepted.json()["plan"]})
        answer = broker.send("PUT", f"/objects/{name}", body)
        assert answer.status_code == 200, answer.text
    policies = [name for name in found if name.startswith("release-policy/")]
    swapped = jcs({"object": found[policies[0]], "plan": accepted.json()["plan"]})
    assert broker.send("PUT", f"/objects/{policies[1]}", swapped).status_code == 403


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("unapproved", "QNSP-PLN-015"),
        ("one-byte", "QNSP-PLN"),
        ("expired", "QNSP-PLN-010"),
        ("not-a-plan", "QNSP-PLN-002"),
    ],
)
def test_the_broker_refuses_a_plan_that_is_not_in_order(broker: RealBroker, how: str, code: str) -> None:
    """It does not take the engine's word for anything."""
    data = signed(broker.clinic.plan(broker.recorded))
    if how != "unapproved":
        data = approved(data, broker.recorded, "bob@clinic.example", "carol@research.example")
    if how == "one-byte":
        value = json.loads(data)
        value["payload"] = value["payload"][:-6] + ("A" if value["payload"][-6] != "A" else "B") + value["payload"][-5:]
        data = json.dumps(value).encode()
    if how == "expired":
        broker.clock.forward(hours=25)
    if how == "not-a-plan":
        data = b"{}"
    answer = broker.send("POST", "/plans", data)
    assert answer.status_code == 403
    assert answer.json()["code"].startswith(code)
    assert broker.send("GET", "/objects").json() == []
