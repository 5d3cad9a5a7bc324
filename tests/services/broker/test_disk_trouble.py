"""A broker whose ledger or database fails: nothing goes out unrecorded, clients can read the refusal, and it goes on by itself."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.services.broker.store_edge import SqlStore
from qnsp_policy.services.guest.rcar import BrokerSession
from qnsp_policy.testing.services import Admin, BrokerWorld, SimulatedMember, lost, tenant_object

RESOURCE = "clinic/model/minilm"
DATA_KEY = bytes(range(32))
FULL = "database or disk is full"

Guest = Callable[..., BrokerSession]


@contextlib.contextmanager
def table_full(world: BrokerWorld, table: str, *, when: str) -> Iterator[None]:
    """SQLite refuses a statement as it does on a full disk."""
    with contextlib.closing(sqlite3.connect(world.folder / "broker.db")) as db, db:
        db.execute(f"CREATE TRIGGER full BEFORE {when} ON {table} BEGIN SELECT RAISE(ABORT, '{FULL}'); END")
    yield
    with contextlib.closing(sqlite3.connect(world.folder / "broker.db")) as db, db:
        db.execute("DROP TRIGGER full")


def test_nothing_is_released_that_the_ledger_does_not_take(
    clinic: str, guest: Guest, member: SimulatedMember, world: BrokerWorld
) -> None:
    """The attested session stands, its key is refused with a body that clients read, and given once the ledger is back."""
    session = guest(member)
    session.attest()
    with lost(world.folder / "ledger"), pytest.raises(PeerError, match=r"QNSP-GST-009: .*QNSP-LDG-010"):
        session.fetch(RESOURCE)
    assert session.fetch(RESOURCE).data == DATA_KEY


def test_an_attestation_that_is_not_recorded_opens_nothing(
    clinic: str, guest: Guest, member: SimulatedMember, world: BrokerWorld, http: httpx.Client
) -> None:
    """The session's cookie is no credential: the record comes before the session counts."""
    with lost(world.folder / "ledger"), pytest.raises(PeerError, match="refused attest: QNSP-LDG-010"):
        guest(member).attest()
    with contextlib.closing(sqlite3.connect(world.folder / "broker.db")) as db:
        ((session,),) = db.execute("SELECT id FROM session").fetchall()
    answer = http.get(f"/kbs/v0/resource/{RESOURCE}", headers={"cookie": f"kbs-session-id={session}"})
    assert answer.status_code == 401
    assert answer.json()["reason"] == "QNSP-KBS-117"


def test_a_full_database_is_told_without_its_values(http: httpx.Client, world: BrokerWorld) -> None:
    """A handshake that cannot be kept is refused with the protocol's body."""
    body = {"version": "0.4.0", "tee": "snp", "extra-params": {"supported-hash-algorithms": ["sha384"]}}
    with table_full(world, "session", when="INSERT"):
        answer = http.post("/kbs/v0/auth", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (503, "QNSP-KBS-021")
    assert http.post("/kbs/v0/auth", json=body).status_code == 200


def test_a_change_whose_last_step_failed_is_finished(
    clinic: str, admin: Admin, guest: Guest, member: SimulatedMember, world: BrokerWorld
) -> None:
    """The ledger knows the change, the full store does not: once it can, the next request finishes it, without a restart."""
    other = tenant_object("research")
    envelope = world.plans.envelope(
        {"tenant/research": sha256_digest(jcs(other))}, serial=1, mark="more", base=held(admin)
    )
    plan = admin.send("POST", "/plans", envelope).json()["plan"]
    with table_full(world, "state", when="UPDATE"):
        answer = admin.put("tenant/research", other, plan)
        assert (answer.status_code, answer.json()["code"]) == (503, "QNSP-KBS-021")
        assert FULL in answer.text
        with pytest.raises(PeerError, match="QNSP-KBS-021"):
            guest(member).fetch(RESOURCE)
    assert guest(member).fetch(RESOURCE).data == DATA_KEY
    assert admin.send("GET", "/objects/tenant/research").json()["object"] == other


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """At the start, too."""
    path = tmp_path / "broker.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(OperatorError, match="file is not a database") as refused:
        SqlStore(f"sqlite:///{path}")
    assert refused.value.code == "QNSP-KBS-021"


def held(admin: Admin) -> dict[str, str]:
    """The release policies that the broker holds, as a plan's base."""
    found = admin.send("GET", "/objects").json()
    return {one["name"]: one["digest"] for one in found if one["kind"] == "release-policy"}
