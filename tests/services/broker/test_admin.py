"""Who may change what a broker releases: approved plans only; an administrator alone reads and tightens."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.wire.api_auth import sign_request
from qnsp_policy.services.guest.rcar import BrokerSession, Denied
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.services import START, Admin, BrokerWorld, SimulatedMember, release_policy, tenant_object

RESOURCE = "clinic/model/minilm"
POLICY = f"release-policy/{RESOURCE}"
Guest = Callable[..., BrokerSession]


def code(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["code"])


def test_the_administrators_signature_alone_sets_no_policy(admin: Admin, member: SimulatedMember) -> None:
    """Without a plan, and with the digest of a plan that this broker never saw."""
    value = release_policy(RESOURCE, member.alternative())
    assert code(admin.put(POLICY, value), 403) == "QNSP-KBS-032"
    assert code(admin.put(POLICY, value, "sha256:" + "1" * 64), 403) == "QNSP-KBS-032"


def test_a_plan_authorises_exactly_its_digests(
    admin: Admin, member: SimulatedMember, stranger: SimulatedMember
) -> None:
    """The policy in the plan is taken; another one under the same name is not, nor the same one under another name."""
    meant = release_policy(RESOURCE, member.alternative())
    plan = admin.apply({POLICY: meant})
    other = release_policy(RESOURCE, stranger.alternative())
    assert code(admin.put(POLICY, other, plan), 403) == "QNSP-KBS-033"
    assert code(admin.put("release-policy/clinic/model/other", meant, plan), 403) == "QNSP-KBS-033"


def test_a_policy_that_would_release_everything_is_refused_even_with_a_plan(
    admin: Admin, member: SimulatedMember
) -> None:
    """The broker is the last to look: no measurement, no policy."""
    from dataclasses import replace

    anybody = replace(member.alternative(), equals={"policy.debug": False, "vmpl": 0})
    value = release_policy(RESOURCE, anybody)
    envelope = admin.world.plans.envelope({POLICY: sha256_digest(jcs(value))})
    plan = admin.send("POST", "/plans", envelope).json()["plan"]
    assert code(admin.put(POLICY, value, plan), 403) == "QNSP-KBS-038"


def test_a_policy_of_another_resource_or_broker_is_refused(admin: Admin, member: SimulatedMember) -> None:
    """What a policy speaks of must be what it is stored as."""
    value = release_policy("research/model/x", member.alternative())
    envelope = admin.world.plans.envelope({POLICY: sha256_digest(jcs(value))})
    plan = admin.send("POST", "/plans", envelope).json()["plan"]
    assert code(admin.put(POLICY, value, plan), 403) == "QNSP-KBS-037"


def test_a_refused_plan_changes_nothing(admin: Admin, member: SimulatedMember) -> None:
    """Whatever its verification says is passed on with its code."""
    admin.world.plans.refuse = "QNSP-PLN-015"
    assert code(admin.send("POST", "/plans", b"{}"), 403) == "QNSP-PLN-015"
    assert admin.send("GET", "/objects").json() == []


def test_an_expired_plan_authorises_nothing(admin: Admin, member: SimulatedMember) -> None:
    """Accepted in time, used too late."""
    value = release_policy(RESOURCE, member.alternative())
    envelope = admin.world.plans.envelope({POLICY: sha256_digest(jcs(value))}, expires=START + timedelta(minutes=5))
    plan = admin.send("POST", "/plans", envelope).json()["plan"]
    admin.world.clock.forward(minutes=6)
    assert code(admin.put(POLICY, value, plan), 403) == "QNSP-KBS-034"


def test_a_superseded_plan_does_not_come_back(admin: Admin, member: SimulatedMember) -> None:
    """An older approved plan cannot undo a newer one, by replay or by an older base."""
    weak = tenant_object("clinic")
    first = admin.world.plans.envelope({"tenant/clinic": sha256_digest(jcs(weak))}, mark="first")
    assert admin.send("POST", "/plans", first).status_code == 200
    admin.apply({"tenant/clinic": {**weak, "tier": "CryptoTier/hip5-tier-3"}}, serial=1)
    assert code(admin.send("POST", "/plans", first), 409) == "QNSP-KBS-031"
    older = admin.world.plans.envelope({}, serial=0, mark="older")
    assert code(admin.send("POST", "/plans", older), 409) == "QNSP-KBS-031"


def test_a_plan_judged_against_other_policies_is_refused(clinic: str, admin: Admin) -> None:
    """The trust diff that people approved must start from what is in force here."""
    held = admin.send("GET", f"/objects/{POLICY}").json()["digest"]
    lying = admin.world.plans.envelope({}, serial=1, base={RESOURCE: "sha256:" + "2" * 64}, mark="lie")
    # The policy of the plan in force counts as progress of that plan; after a later one it no longer does.
    assert admin.send("POST", "/plans", lying).status_code == 200
    again = admin.world.plans.envelope({}, serial=2, base={RESOURCE: "sha256:" + "2" * 64}, mark="again")
    assert code(admin.send("POST", "/plans", again), 409) == "QNSP-KBS-039"
    honest = admin.world.plans.envelope({}, serial=2, base={RESOURCE: held}, mark="honest")
    assert admin.send("POST", "/plans", honest).status_code == 200


def test_old_values_are_admitted_beside_new_ones_until_they_are_retired(
    clinic: str, admin: Admin, guest: Guest, member: SimulatedMember, stranger: SimulatedMember
) -> None:
    """A rollout's overlap: both members get the key in between; afterwards the plan does not bring the old one back."""
    old = admin.send("GET", f"/objects/{POLICY}").json()["digest"]
    both = release_policy(RESOURCE, member.alternative(), stranger.alternative())
    after = release_policy(RESOURCE, stranger.alternative())
    envelope = admin.world.plans.envelope(
        {POLICY: sha256_digest(jcs(after))}, serial=1, base={RESOURCE: old}, between={POLICY: sha256_digest(jcs(both))}
    )
    plan = admin.send("POST", "/plans", envelope).json()["plan"]
    assert admin.put(POLICY, both, plan).status_code == 200
    guest(member).fetch(RESOURCE)
    guest(stranger).fetch(RESOURCE)
    assert admin.put(POLICY, both, plan).status_code == 200
    # Progress of a plan: planning anew on what is held in between is no lie.
    assert admin.put(POLICY, after, plan).status_code == 200
    guest(stranger).fetch(RESOURCE)
    with pytest.raises(Denied):
        guest(member).fetch(RESOURCE)
    assert code(admin.put(POLICY, both, plan), 403) == "QNSP-KBS-033"


def test_removing_tightens_and_needs_no_plan(clinic: str, admin: Admin, guest: Guest, member: SimulatedMember) -> None:
    """The policy goes, the release ends; putting it back takes the plan."""
    session = guest(member)
    session.fetch(RESOURCE)
    assert admin.send("DELETE", f"/objects/{POLICY}").json()["removed"] is True
    with pytest.raises(Denied, match="QNSP-REL-001"):
        session.fetch(RESOURCE)
    assert admin.send("DELETE", f"/objects/{POLICY}").json()["removed"] is False


def test_a_revocation_is_undone_by_a_later_plan_only(clinic: str, admin: Admin) -> None:
    """Not by the administrator, not by the plan that was in force when it was made; by one that no longer holds it."""
    value = {"format": "qnsp.revocation/v1", "claim": "chipId", "values": ["aa"], "reason": "stolen"}
    assert admin.put("revocation/chip", value).status_code == 200
    assert code(admin.send("DELETE", "/objects/revocation/chip"), 403) == "QNSP-KBS-036"
    digest = sha256_digest(jcs(value))
    held = admin.send("GET", f"/objects/{POLICY}").json()["digest"]
    keeping = admin.world.plans.envelope({"revocation/chip": digest}, serial=1, base={RESOURCE: held})
    assert admin.send("POST", "/plans", keeping).status_code == 200
    assert code(admin.send("DELETE", "/objects/revocation/chip"), 403) == "QNSP-KBS-036"
    without = admin.world.plans.envelope({}, serial=2, base={RESOURCE: held})
    assert admin.send("POST", "/plans", without).status_code == 200
    assert admin.send("DELETE", "/objects/revocation/chip").json()["removed"] is True


def test_objects_are_listed_with_digest_and_plan(clinic: str, admin: Admin) -> None:
    """What drift reads."""
    listed = admin.send("GET", "/objects").json()
    assert [(o["kind"], o["name"]) for o in listed] == [
        ("release-policy", RESOURCE),
        ("resource", RESOURCE),
        ("tenant", "clinic"),
    ]
    assert {o["plan"] for o in listed} == {clinic}
    one = admin.send("GET", f"/objects/{POLICY}").json()
    assert sha256_digest(jcs(one["object"])) == one["digest"]
    # The plan, three objects, and that it was handed everything.
    assert admin.send("GET", "/state").json()["version"] == 5


@pytest.mark.parametrize("how", ["unsigned", "other-key", "other-body", "other-path", "old", "replayed"])
def test_an_unsigned_or_bent_admin_request_is_401(admin: Admin, how: str) -> None:
    """Each request proves who, what, when, and that it is new."""
    url = "http://127.0.0.1:8555/qnsp/v1/admin/objects"
    key = generate("ML-DSA-65") if how == "other-key" else admin.world.admin
    when = START - timedelta(minutes=10) if how == "old" else admin.world.clock()
    signed = sign_request("GET", url + ("/x" if how == "other-path" else ""), b"", key, when)
    headers = {} if how == "unsigned" else signed
    if how == "replayed":
        assert admin.http.get(url, headers=headers).status_code == 200
    content = b"{}" if how == "other-body" else b""
    answer = admin.http.request("GET", url, headers=headers, content=content)
    assert answer.status_code == 401
    assert answer.json()["code"].startswith("QNSP-SIG-")


def test_a_restored_old_store_is_noticed_and_does_not_serve(
    clinic: str, admin: Admin, world: BrokerWorld, member: SimulatedMember
) -> None:
    """Yesterday's database under today's ledger: no release, no change, no list; the error says what to do."""
    backup = world.folder / "backup"
    backup.mkdir()
    for file in world.folder.glob("broker.db*"):
        shutil.copy(file, backup)
    value = {"format": "qnsp.revocation/v1", "claim": "measurement", "values": ["11" * 48], "reason": "leaked"}
    assert admin.put("revocation/leak", value).status_code == 200
    for file in world.folder.glob("broker.db*"):
        file.unlink()
    for file in backup.iterdir():
        shutil.copy(file, world.folder)
    http = sync_client(world.start().asgi())
    from qnsp_policy.services.guest.tee_key import EphemeralTeeKey

    session = BrokerSession(http, get_report=member.report, new_key=EphemeralTeeKey, initdata=None)
    with pytest.raises(PeerError, match=r"QNSP-GST-009: .*QNSP-KBS-020"):
        session.fetch(RESOURCE)
    restored = type(admin)(world, http)
    assert code(restored.send("GET", "/objects"), 503) == "QNSP-KBS-020"
    assert code(restored.send("DELETE", f"/objects/{POLICY}"), 503) == "QNSP-KBS-020"


@pytest.mark.parametrize("recorded", [True, False], ids=["after-the-ledger", "before-the-ledger"])
def test_a_crash_between_two_steps_of_a_change_is_finished_or_dropped(
    clinic: str, admin: Admin, world: BrokerWorld, recorded: bool
) -> None:
    """Staged and recorded: taken over at the next start. Staged only: as if it had never been."""
    from qnsp_policy.services.broker.ledger_edge import FileBrokerLedger, open_log_keys
    from qnsp_policy.services.broker.state import Change, StateVersion, digest_after
    from qnsp_policy.services.broker.store_edge import SqlStore

    configuration = world.configuration()
    store = SqlStore(configuration.database)
    ledger = FileBrokerLedger(
        world.folder / "ledger", configuration.ledger.origin, open_log_keys(world.folder / "ledger-keys.json", "main")
    )
    change = Change("tenant", "clinic", None)
    becomes = StateVersion(store.version().version + 1, digest_after(store.objects(), change))
    store.stage(change, becomes)
    if recorded:
        data = {"version": becomes.version, "digest": becomes.digest}
        ledger.record("broker-state", actor="test", subject="tenant/clinic", data=data, now=world.clock())
    store.close()
    again = type(admin)(world, sync_client(world.start().asgi()))
    kinds = {entry["kind"] for entry in again.send("GET", "/objects").json()}
    assert ("tenant" in kinds) is not recorded


def test_many_changes_and_releases_at_once_stay_consistent(
    clinic: str, admin: Admin, guest: Guest, member: SimulatedMember, world: BrokerWorld
) -> None:
    """Two units of one wave write at the same time, while guests ask: nobody sees a half-made change."""
    names = [f"tenant/t{number}" for number in range(8)]
    objects = {name: tenant_object(name.partition("/")[2]) for name in names}
    held = admin.send("GET", f"/objects/{POLICY}").json()["digest"]
    digests = {name: sha256_digest(jcs(value)) for name, value in objects.items()}
    plan = admin.send("POST", "/plans", world.plans.envelope(digests, serial=1, base={RESOURCE: held})).json()["plan"]
    session = guest(member)
    session.attest()
    with ThreadPoolExecutor(6) as pool:
        puts = [pool.submit(admin.put, name, value, plan) for name, value in objects.items()]
        releases = [pool.submit(session.fetch, RESOURCE) for _ in range(10)]
        assert {put.result().status_code for put in puts} == {200}
        assert {len(release.result().data) for release in releases} == {32}
    listed = admin.send("GET", "/objects").json()
    assert {f"{o['kind']}/{o['name']}" for o in listed} >= set(names)
    assert admin.send("GET", "/state").json()["version"] == 5 + 1 + len(names)
