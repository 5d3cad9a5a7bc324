"""A simulated vendor for all service tests, and a broker in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.wire.api_auth import sign_request
from qnsp_policy.services.guest.rcar import BrokerSession
from qnsp_policy.services.guest.tee_key import EphemeralTeeKey
from qnsp_policy.simulator.snp import SnpPki, make_chip, mint_pki
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.services import (
    START,
    BrokerWorld,
    SimulatedMember,
    release_policy,
    tenant_object,
)

RESOURCE = "clinic/model/minilm"
DATA_KEY = bytes(range(32))


class Admin:
    """An administrator who signs every request."""

    def __init__(self, world: BrokerWorld, http: httpx.Client) -> None:
        self.world, self.http = world, http

    def send(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        url = f"{self.http.base_url}".rstrip("/") + "/qnsp/v1/admin" + path
        headers = sign_request(method, url, body, self.world.admin, self.world.clock())
        return self.http.request(method, url, content=body, headers=headers)

    def put(self, name: str, value: object, plan: str = "") -> httpx.Response:
        return self.send("PUT", f"/objects/{name}", jcs({"object": value, "plan": plan}))

    def apply(self, objects: dict[str, dict[str, object]], **plan: object) -> str:
        """Accept a plan that authorises exactly `objects`, and put them; returns the plan's digest."""
        digests = {name: sha256_digest(jcs(value)) for name, value in objects.items()}
        envelope = self.world.plans.envelope(digests, **plan)  # type: ignore[arg-type]
        accepted = self.send("POST", "/plans", envelope)
        assert accepted.status_code == 200, accepted.text
        for name, value in objects.items():
            answer = self.put(name, value, accepted.json()["plan"])
            assert answer.status_code == 200, answer.text
        plan_digest: str = accepted.json()["plan"]
        return plan_digest


@pytest.fixture(scope="session")
def pki() -> SnpPki:
    return mint_pki("Milan", START, key_size=4096)


@pytest.fixture
def member(pki: SnpPki) -> SimulatedMember:
    """The guest that the reference values speak of."""
    return SimulatedMember(make_chip(pki, START))


@pytest.fixture
def stranger(pki: SnpPki) -> SimulatedMember:
    """A guest on good hardware that runs other code."""
    return SimulatedMember(make_chip(pki, START), measurement=b"\x99" * 48)


@pytest.fixture
def world(tmp_path: Path, pki: SnpPki) -> BrokerWorld:
    return BrokerWorld(tmp_path, pki)


@pytest.fixture
def http(world: BrokerWorld) -> httpx.Client:
    return sync_client(world.start().asgi())


@pytest.fixture
def admin(world: BrokerWorld, http: httpx.Client) -> Admin:
    return Admin(world, http)


@pytest.fixture
def clinic(admin: Admin, world: BrokerWorld, member: SimulatedMember) -> str:
    """A broker that may release the clinic's model key to `member`; returns the plan's digest."""
    return admin.apply(
        {
            "tenant/clinic": tenant_object("clinic"),
            f"resource/{RESOURCE}": world.sealed_key(RESOURCE, DATA_KEY),
            f"release-policy/{RESOURCE}": release_policy(RESOURCE, member.alternative()),
        }
    )


@pytest.fixture
def guest(http: httpx.Client) -> Callable[..., BrokerSession]:
    """Makes a guest's session from its hardware."""

    def session(member: SimulatedMember, *, initdata: bytes | None = None, key: str = "ML-KEM-768") -> BrokerSession:
        return BrokerSession(http, get_report=member.report, new_key=lambda: EphemeralTeeKey(key), initdata=initdata)

    return session
