"""The broker's main promise: a key goes to the guest that the policy means, and to no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qnsp_policy.services.guest.rcar import BrokerSession, Denied
from qnsp_policy.testing.services import Admin, BrokerWorld, SimulatedMember

RESOURCE = "clinic/model/minilm"
DATA_KEY = bytes(range(32))

Guest = Callable[..., BrokerSession]


def test_a_guest_that_meets_the_policy_gets_the_key(clinic: str, guest: Guest, member: SimulatedMember) -> None:
    """The whole handshake with ML-KEM, real evidence and a real chain ends in the sealed data key."""
    released = guest(member).fetch(RESOURCE)
    assert released.data == DATA_KEY
    assert 0 < released.lease_seconds <= 43200


def test_other_code_is_denied_and_the_ledger_says_why(
    clinic: str, guest: Guest, stranger: SimulatedMember, world: BrokerWorld
) -> None:
    """The wire carries a code and a decision id; claim, seen, required and who set it stand in the ledger."""
    with pytest.raises(Denied) as denied:
        guest(stranger).fetch(RESOURCE)
    assert (denied.value.status, denied.value.code) == (403, "QNSP-REL-003")
    assert "9999" not in str(denied.value)
    record = records(world)[-1]
    assert record["type"] == "denial"
    assert record["subject"] == RESOURCE
    assert record["data"]["decision"] == denied.value.decision_id
    mismatch = record["data"]["mismatches"][0]
    assert mismatch["claim"] == "measurement"
    assert mismatch["seen"] == "99" * 48
    assert mismatch["required"] == "11" * 48
    assert mismatch["setBy"] == "ReferenceValues/test#0"
    assert record["data"]["plan"] == clinic


def test_another_tenants_path_is_denied(clinic: str, guest: Guest, member: SimulatedMember) -> None:
    """A guest of one tenant learns nothing about another's resources, not even whether they exist."""
    with pytest.raises(Denied) as denied:
        guest(member).fetch("research/model/minilm")
    assert (denied.value.status, denied.value.code) == (403, "QNSP-REL-001")


def test_a_floor_that_is_not_met_is_named_in_the_ledger(
    admin: Admin, guest: Guest, member: SimulatedMember, world: BrokerWorld
) -> None:
    """The example of the design: an old SNP version is refused as such."""
    from qnsp_policy.testing.services import release_policy, tenant_object

    admin.apply(
        {
            "tenant/clinic": tenant_object("clinic"),
            f"resource/{RESOURCE}": world.sealed_key(RESOURCE, DATA_KEY),
            f"release-policy/{RESOURCE}": release_policy(RESOURCE, member.alternative({"tcb.reported.snp": 15})),
        }
    )
    with pytest.raises(Denied, match="QNSP-REL-007"):
        guest(member).fetch(RESOURCE)
    mismatch = records(world)[-1]["data"]["mismatches"][0]
    assert (mismatch["claim"], mismatch["seen"]) == ("tcb.reported.snp", "14")
    assert "15" in mismatch["required"]


@pytest.mark.parametrize("algorithm", ["X-Wing", "ML-KEM-1024"])
def test_a_tier_above_the_protocol_is_served_by_hpke(
    clinic: str, guest: Guest, member: SimulatedMember, algorithm: str
) -> None:
    """The protocol's own JWE ends at ML-KEM-768; what a tier asks beyond it is wrapped by HPKE, and judged by its name."""
    assert guest(member, key=algorithm).fetch(RESOURCE).data == DATA_KEY
    with pytest.raises(Denied, match="QNSP-REL-013"):
        guest(member, key="MLKEM1024-P384").fetch(RESOURCE)


def test_a_classical_key_is_refused_where_the_tier_demands_post_quantum(
    clinic: str, guest: Guest, member: SimulatedMember
) -> None:
    """No silent classical fallback: P-256 wrapping is denied by the tier's guardrail."""
    with pytest.raises(Denied, match="QNSP-REL-013"):
        guest(member, key="ECDH-P256").fetch(RESOURCE)


def test_absent_is_told_only_to_whom_the_policy_admits(
    admin: Admin, guest: Guest, member: SimulatedMember, stranger: SimulatedMember
) -> None:
    """404 comes after the policy: a stranger cannot probe what is stored."""
    from qnsp_policy.testing.services import release_policy, tenant_object

    admin.apply(
        {
            "tenant/clinic": tenant_object("clinic"),
            f"release-policy/{RESOURCE}": release_policy(RESOURCE, member.alternative()),
        }
    )
    with pytest.raises(Denied) as absent:
        guest(member).fetch(RESOURCE)
    assert absent.value.status == 404
    with pytest.raises(Denied) as forbidden:
        guest(stranger).fetch(RESOURCE)
    assert forbidden.value.status == 403


def test_a_release_is_recorded_with_what_allowed_it(
    clinic: str, guest: Guest, member: SimulatedMember, world: BrokerWorld
) -> None:
    """Grant, enclave, matched tuple, plan, assurance: an auditor needs no other source. No key bytes."""
    guest(member).fetch(RESOURCE)
    record = records(world)[-1]
    assert record["type"] == "release"
    assert record["data"]["matched"] == "ReferenceValues/test#0"
    assert record["data"]["plan"] == clinic
    assert record["data"]["assurance"] == "simulated"
    assert record["data"]["wrapping"] == "ML-KEM-768+A192KW"
    assert DATA_KEY.hex() not in str(records(world))


def test_the_same_release_is_recorded_once_a_session(
    clinic: str, guest: Guest, member: SimulatedMember, world: BrokerWorld
) -> None:
    """A guest that looks again and again leaves one record; a new session leaves another."""
    session = guest(member)
    first = [session.fetch(RESOURCE) for _ in range(3)]
    assert {released.data for released in first} == {DATA_KEY}
    guest(member).fetch(RESOURCE)
    assert [record["type"] for record in records(world)].count("release") == 2


def test_a_revocation_works_at_once_with_the_administrators_signature_alone(
    clinic: str, admin: Admin, guest: Guest, member: SimulatedMember
) -> None:
    """Tightening needs no plan; the same session loses the resource."""
    session = guest(member)
    assert session.fetch(RESOURCE).data == DATA_KEY
    value = {"format": "qnsp.revocation/v1", "claim": "measurement", "values": ["11" * 48], "reason": "CVE"}
    assert admin.put("revocation/cve", value).status_code == 200
    with pytest.raises(Denied, match="QNSP-REL-011"):
        session.fetch(RESOURCE)
    assert admin.send("DELETE", "/objects/revocation/cve").status_code == 403


def test_simulated_hardware_is_refused_in_production(world: BrokerWorld) -> None:
    """A declared anchor and environment production do not go together: the configuration is refused."""
    with pytest.raises(ValueError, match="declared"):
        world.configuration(environment="production", tls={"mode": "in-process"})


def records(world: BrokerWorld) -> list[dict[str, Any]]:
    """Every record of the broker's log, oldest first."""
    from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
    from qnsp_policy.kernel.ledger.store_edge import LedgerReader

    keys = read_key_file(world.folder / "ledger-keys.json").public_keys
    reader = LedgerReader(world.folder / "ledger", "qnsp.example/test/broker/main", keys)
    reader.check()
    return [record.to_json() for _, record in reader.records()]
