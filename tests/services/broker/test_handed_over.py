"""A broker whose store began empty says `not yet` of what it was not handed yet: a denial would have guests stop what runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.services.guest.rcar import BrokerSession, Denied
from qnsp_policy.testing.services import Admin, BrokerWorld, SimulatedMember, release_policy, tenant_object

RESOURCE = "clinic/model/minilm"
POLICY = f"release-policy/{RESOURCE}"
Guest = Callable[..., BrokerSession]


def _refused(session: BrokerSession, resource: str = RESOURCE) -> PeerError:
    with pytest.raises(PeerError) as caught:
        session.fetch(resource)
    return caught.value


def test_what_is_not_there_yet_is_not_denied(
    admin: Admin, guest: Guest, member: SimulatedMember, world: BrokerWorld
) -> None:
    """Before any plan, and until all that the plan authorises was there once; then it is released, and what is unknown is denied."""
    session = guest(member)
    assert _refused(session).code == "QNSP-GST-009"
    objects = {
        "tenant/clinic": tenant_object("clinic"),
        POLICY: release_policy(RESOURCE, member.alternative()),
        f"resource/{RESOURCE}": world.sealed_key(RESOURCE, b"k" * 32),
    }
    digests = {name: sha256_digest(jcs(value)) for name, value in objects.items()}
    plan = admin.send("POST", "/plans", world.plans.envelope(digests)).json()["plan"]
    for name, value in objects.items():
        refused = _refused(session)
        assert (refused.code, isinstance(refused, Denied)) == ("QNSP-GST-009", False)
        assert "was not handed everything yet" in refused.message
        assert admin.put(name, value, plan).status_code == 200
    assert session.fetch(RESOURCE).data == b"k" * 32
    assert isinstance(_refused(session, "clinic/model/other"), Denied)


def test_what_is_taken_away_is_denied_at_once(clinic: str, admin: Admin, guest: Guest, member: SimulatedMember) -> None:
    """An administrator tightens, and running guests stop."""
    assert clinic
    session = guest(member)
    assert session.fetch(RESOURCE).data
    assert admin.send("DELETE", f"/objects/{POLICY}").json()["removed"] is True
    assert isinstance(_refused(session), Denied)


def test_what_is_taken_away_before_all_was_there_is_denied_as_well(
    admin: Admin, guest: Guest, member: SimulatedMember, world: BrokerWorld
) -> None:
    """Whatever is still missing: somebody said no."""
    value = release_policy(RESOURCE, member.alternative())
    digests = {POLICY: sha256_digest(jcs(value)), "tenant/clinic": sha256_digest(jcs(tenant_object("clinic")))}
    plan = admin.send("POST", "/plans", world.plans.envelope(digests)).json()["plan"]
    assert admin.put(POLICY, value, plan).status_code == 200
    assert admin.send("DELETE", f"/objects/{POLICY}").json()["removed"] is True
    assert isinstance(_refused(guest(member)), Denied)


def test_a_store_that_is_in_use_denies_while_another_plan_comes(
    clinic: str, admin: Admin, guest: Guest, member: SimulatedMember, world: BrokerWorld
) -> None:
    """A later plan with more in it does not turn denials into promises."""
    assert clinic
    held = admin.send("GET", f"/objects/{POLICY}").json()["digest"]
    more = sha256_digest(jcs(release_policy("clinic/model/other", member.alternative())))
    digests = {POLICY: held, "release-policy/clinic/model/other": more}
    assert (
        admin.send("POST", "/plans", world.plans.envelope(digests, serial=1, base={RESOURCE: held})).status_code == 200
    )
    assert isinstance(_refused(guest(member), "clinic/model/other"), Denied)
