"""A simulated vendor for all service tests, and a broker in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from qnsp_policy.services.guest.rcar import BrokerSession
from qnsp_policy.services.guest.tee_key import new_tee_key
from qnsp_policy.simulator.snp import SnpPki, make_chip, mint_pki
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.services import (
    START,
    Admin,
    BrokerWorld,
    SimulatedMember,
    release_policy,
    tenant_object,
)

RESOURCE = "clinic/model/minilm"
DATA_KEY = bytes(range(32))


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
        return BrokerSession(http, get_report=member.report, new_key=lambda: new_tee_key(key), initdata=initdata)

    return session
