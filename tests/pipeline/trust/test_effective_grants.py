"""Effective grants: what documents together allow, what stands in the way, and what guards it."""

from __future__ import annotations

import cProfile
from datetime import UTC, datetime, timedelta

import pytest

from qnsp_policy.kernel.attestation.values import AssuranceClass, EvidenceKind, VerifiedClaims
from qnsp_policy.pipeline.model import build
from qnsp_policy.pipeline.trust.crossing import cross_tenant
from qnsp_policy.pipeline.trust.decide import decide
from qnsp_policy.pipeline.trust.grants import blocked_grants, effective_grants
from qnsp_policy.pipeline.trust.reference import version_number
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy, release_policies
from qnsp_policy.pipeline.trust.show import trust_show
from qnsp_policy.pipeline.trust.values import EffectiveGrant, GuardrailKind
from qnsp_policy.testing.clinic import NOW, Clinic
from qnsp_policy.testing.generator import generated_files

MODEL = "clinic/model/minilm"
STOLEN = """apiVersion: qnsp.policy/v1
kind: Revocation
metadata: {name: r@}
spec:
  revokes: {type: chip, attester: sev-snp, chipId: "@128"}
  brokers: [KeyBroker/main]
  reason: it was stolen
  responder: bob@clinic.example
  since: 2026-11-01
"""


def grant_of(clinic: Clinic, resource: str = MODEL) -> EffectiveGrant:
    """The one effective grant of a resource."""
    (found,) = [grant for grant in effective_grants(clinic.workspace()) if grant.resource == resource]
    return found


def claims_for(grant: EffectiveGrant, **changes: str | int | bool) -> VerifiedClaims:
    """Claims that meet the first alternative of a grant, but for `changes` (dots of claims written `__`)."""
    alternative = grant.alternatives[0]
    claims = {**alternative.equals, **alternative.floors}
    claims |= {name.replace("__", "."): value for name, value in changes.items()}
    return VerifiedClaims(EvidenceKind.SEV_SNP, AssuranceClass.SIMULATED, claims, b"", (), NOW + timedelta(days=1))


def blocked(clinic: Clinic, *, grant: str = "Grant/clinic-model") -> str:
    """The reason why a grant has no effect; it must have none."""
    workspace = clinic.workspace()
    assert not [found for found in effective_grants(workspace) if found.grant == grant]
    (reason,) = {found.reason for found in blocked_grants(workspace) if found.grant == grant}
    return reason


def test_what_the_clinic_allows() -> None:
    """Two written grants and the implied one of the endpoint; the wildcard is expanded to what is declared."""
    found = [(g.resource, g.enclave, g.grant, g.implicit) for g in effective_grants(Clinic().workspace())]
    assert found == [
        ("clinic/endpoint/embeddings", "Enclave/clinic-cpu", "Endpoint/embeddings", True),
        (MODEL, "Enclave/clinic-cpu", "Grant/clinic-model", False),
        ("research/data/notes", "Enclave/research-cpu", "Grant/research-notes", False),
    ]
    assert blocked_grants(Clinic().workspace()) == ()


def test_an_alternative_is_the_whole_tuple_read_strictly() -> None:
    """Measurements, floors, flags and VMPL of one tuple; debug and migration are denied although nobody said so."""
    (alternative,) = grant_of(Clinic(), "research/data/notes").alternatives
    assert alternative.equals["policy.debug"] is False
    assert alternative.equals["policy.migrate"] is False
    assert set(alternative.equals) == {"policy.debug", "policy.migrate", "measurement", "hostData"}
    assert alternative.floors == {"tcb.reported.snp": 10}
    assert alternative.not_after == datetime(2027, 5, 21, 23, 59, 59, tzinfo=UTC)


BLOCKED = {
    "the broker does not serve the tenant": (
        {"tenants: [Tenant/clinic, Tenant/research]": "tenants: [Tenant/research]"},
        "KeyBroker/main does not serve Tenant/clinic",
    ),
    "nobody who owns it consents": (
        {"consent: [alice@clinic.example]": "consent: [carol@research.example]"},
        "no owner of Tenant/clinic consents",
    ),
    "the platform is elsewhere": (
        {
            "{tier: CryptoTier/plain, regions: [local], owners: [alice": "{tier: CryptoTier/plain, regions: [eu-west-1], owners: [alice"
        },
        "Platform/lab lies in local, which Tenant/clinic does not admit",
    ),
    "the attester is not admitted": (
        {"owners: [alice@clinic.example], quotas": "attesters: [tdx], owners: [alice@clinic.example], quotas"},
        "Tenant/clinic does not admit the attester sev-snp",
    ),
    "the reference values are retired": (
        {
            "state: active\n  expires: 2027-05-21\n  covers: {firmware: measurement, kernel": "state: retired\n  expires: 2027-05-21\n  covers: {firmware: measurement, kernel"
        },
        "ReferenceValues/clinic-1 is retired",
    ),
}


@pytest.mark.parametrize("name", BLOCKED)
def test_what_stands_in_the_way_of_a_grant(name: str) -> None:
    """A grant that cannot be in effect is told with its reason, and so is the endpoint that leans on it."""
    change, reason = BLOCKED[name]
    clinic = Clinic(change=change)
    assert blocked(clinic) == reason
    assert "releases the model" in blocked(clinic, grant="Endpoint/embeddings")


REVOCATION = """---
apiVersion: qnsp.policy/v1
kind: Revocation
metadata: {name: bad}
spec: {revokes: @revokes@, reason: found in the wild, responder: bob@clinic.example, since: 2026-11-20}
"""


def revoking(revokes: str) -> Clinic:
    """The clinic with one revocation."""
    return Clinic(more=REVOCATION.replace("@revokes@", revokes))


@pytest.mark.parametrize(
    "revokes",
    [
        "{type: image, image: Artefact/guest}",
        "{type: key, resource: clinic/model/minilm}",
        "{type: publisher, publisher: lab@research.example}",
    ],
)
def test_a_revoked_image_key_or_publisher_ends_grants(revokes: str) -> None:
    """Nothing is released to or for what is revoked; the reason is told."""
    assert blocked(revoking(revokes)) == "revoked by Revocation/bad: found in the wild"


@pytest.mark.parametrize(
    ("revokes", "claim"),
    [
        (
            "{type: measurement, attester: sev-snp, claim: measurement, value: '"
            + b"clinic".hex().ljust(96, "0")
            + "'}",
            "measurement",
        ),
        ("{type: tcb, attester: sev-snp, below: {snp: 20}}", "tcb.reported.snp"),
        ("{type: chip, attester: sev-snp, chipId: 'abcd'}", "chipId"),
    ],
)
def test_a_revoked_claim_denies_over_every_alternative(revokes: str, claim: str) -> None:
    """Deny wins: evidence that meets the reference values whole is refused when a claim of it is revoked."""
    grant = grant_of(revoking(revokes))
    policy = release_policies([grant])[grant.broker, MODEL]
    decision = decide(policy, claims_for(grant, **({"chipId": "abcd"} if claim == "chipId" else {})), now=NOW)
    assert (decision.allowed, decision.code) == (False, "QNSP-REL-011")
    assert decision.mismatches[0].claim == claim


def test_production_admits_nothing_simulated() -> None:
    """The environment is a guardrail of its own, beside the tier's."""
    grant = grant_of(Clinic(change={"environment: development": "environment: production"}))
    policy = release_policies([grant])[grant.broker, MODEL]
    decision = decide(policy, claims_for(grant), now=NOW)
    assert decision.code == "QNSP-REL-008"
    assert {m.alternative for m in decision.mismatches} == {"Project/clinic", "CryptoTier/plain"}


def test_development_says_that_the_simulator_stands_in() -> None:
    """In development the admitted classes name `simulated` in so many words."""
    rails = {rail.kind: rail for rail in grant_of(Clinic()).guardrails}
    assert rails[GuardrailKind.ASSURANCE].values == ("hardware-tee", "simulated")
    assert rails[GuardrailKind.MAX_LEASE].limit == 86400
    assert rails[GuardrailKind.WRAPPING].values == ("ML-KEM-768", "X-Wing")


def test_the_tier_caps_the_lease() -> None:
    """A lease beyond the tier's maximum is cut, and the decision says the shorter one."""
    grant = grant_of(Clinic(change={"maxLease: 24h": "maxLease: 1h"}))
    assert (grant.lease_seconds, grant.lease_limit) == (12 * 3600, 3600)
    policy = release_policies([grant])[grant.broker, MODEL]
    assert decide(policy, claims_for(grant), now=NOW).lease_seconds == 3600


CASES: dict[str, tuple[dict[str, str | int | bool], dict[str, object], str]] = {
    "as it should be": ({}, {}, ""),
    "other code": ({"measurement": "00" * 48}, {}, "QNSP-REL-003"),
    "other initdata": ({"hostData": "00" * 32}, {}, "QNSP-REL-004"),
    "debug": ({"policy__debug": True}, {}, "QNSP-REL-005"),
    "a flag of another type": ({"policy__debug": 0}, {}, "QNSP-REL-015"),
    "old firmware": ({"tcb__reported__snp": 13}, {}, "QNSP-REL-007"),
    "wrapping that the tier does not admit": ({}, {"wrapping": "RSA-OAEP"}, "QNSP-REL-013"),
    "wrapping that it admits": ({}, {"wrapping": "ML-KEM-768"}, ""),
    "reference values out of date": ({}, {"now": datetime(2027, 5, 22, tzinfo=UTC)}, "QNSP-REL-010"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_has_the_code_of_its_cause(name: str) -> None:
    """One deviation from what is demanded, one code; the mismatch names claim, seen and required."""
    claims, asked, code = CASES[name]
    grant = grant_of(Clinic())
    policy = ReleasePolicy.from_json(release_policies([grant])[grant.broker, MODEL].to_json())
    moment = asked.get("now", NOW)
    assert isinstance(moment, datetime)
    wrapping = asked.get("wrapping")
    decision = decide(
        policy, claims_for(grant, **claims), now=moment, wrapping=None if wrapping is None else str(wrapping)
    )
    assert decision.code == code
    assert decision.allowed is not bool(code)
    assert decision.grant == "Grant/clinic-model"
    if name == "old firmware":
        (mismatch,) = decision.mismatches
        assert (mismatch.claim, mismatch.seen, mismatch.required) == ("tcb.reported.snp", "13", "at least 14")


def test_a_policy_without_grants_releases_nothing() -> None:
    """The empty policy is a refusal, never a permission."""
    grant = grant_of(Clinic())
    decision = decide(ReleasePolicy(grant.broker, grant.tenant, MODEL, ()), claims_for(grant), now=NOW)
    assert (decision.allowed, decision.code) == (False, "QNSP-REL-001")


def test_a_grace_is_a_further_alternative_that_ends() -> None:
    """A dated grace lowers its floors until its last day, beside the strict alternative."""
    grace = "lease: 12h\n  appraisal: {grace: {until: 2026-12-01, floors: {snp: 12}, reason: firmware comes late}}"
    grant = grant_of(Clinic(change={"lease: 12h": grace}))
    strict, lenient = grant.alternatives
    assert (strict.floors["tcb.reported.snp"], lenient.floors["tcb.reported.snp"]) == (14, 12)
    policy = release_policies([grant])[grant.broker, MODEL]
    old = claims_for(grant, tcb__reported__snp=12)
    assert decide(policy, old, now=NOW).alternative == lenient.name
    assert not decide(policy, old, now=datetime(2026, 12, 2, tzinfo=UTC)).allowed


def test_a_list_of_chips_is_one_alternative_a_chip() -> None:
    """Chips never combine with another tuple's values."""
    grant = grant_of(Clinic(change={"vmpl: 0": "vmpl: 0\n      chipIds: ['aa', 'bb']"}))
    assert [a.equals["chipId"] for a in grant.alternatives] == ["aa", "bb"]


def test_a_rule_of_the_users_own_refuses_where_nothing_evaluates_it() -> None:
    """An opaque rule passes only where somebody says that it passed, by its digest."""
    clinic = Clinic(change={"lease: 12h": "lease: 12h\n  appraisal: {rego: rules/own.rego}"})
    (grant,) = [
        g
        for g in effective_grants(clinic.workspace(), attachments={"rules/own.rego": b"package x"})
        if g.resource == MODEL
    ]
    (rule,) = next(rail.values for rail in grant.guardrails if rail.kind is GuardrailKind.OPAQUE)
    assert rule.startswith("sha256:")
    policy = release_policies([grant])[grant.broker, MODEL]
    assert decide(policy, claims_for(grant), now=NOW).code == "QNSP-REL-016"
    assert decide(policy, claims_for(grant), now=NOW, passed_rules={rule}).allowed


def test_no_grant_crosses_a_tenant() -> None:
    """The proof line looks at every ordered pair, and names what it cannot see."""
    workspace = Clinic().workspace()
    proof = cross_tenant(workspace, effective_grants(workspace))
    assert (proof.pairs, proof.crossed) == (2, ())
    assert proof.outside == ("whoever controls this machine: simulated hardware proves nothing",)


def test_a_grant_that_crosses_a_tenant_is_named() -> None:
    """A key of the clinic for an enclave that runs for research is a crossing, with its place."""
    workspace = Clinic(change={"to: [Enclave/clinic-cpu]": "to: [Enclave/research-cpu]"}).workspace()
    proof = cross_tenant(workspace, effective_grants(workspace))
    assert [(c.resource, c.enclave, c.tenants) for c in proof.crossed] == [
        (MODEL, "Enclave/research-cpu", ("research",))
    ]
    assert proof.crossed[0].place.startswith("qnsp.yaml:")


def test_trust_show_holds_everything() -> None:
    """The JSON twin has grants with their conditions, what is blocked, and the proof line."""
    shown = trust_show(Clinic().workspace())
    assert [row["resource"] for row in shown["grants"]] == ["clinic/endpoint/embeddings", MODEL, "research/data/notes"]
    assert "snp>=14" in shown["grants"][1]["conditions"]
    assert shown["blocked"] == []


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("96.00.5E.00.01", "96.00.5E.00.02"),
        ("550.54.15", "550.90.07"),
        ("96.00.5E.00.01", "97.00.00.00.00"),
        ("550.9", "550.54"),
    ],
)
def test_versions_order_as_they_read(older: str, newer: str) -> None:
    """VBIOS and driver versions become numbers that a floor can compare."""
    assert version_number(older) < version_number(newer)


@pytest.mark.parametrize("text", ["", "1.2.3.4.5.6", "a.b", "1024.0"])
def test_what_is_no_version_is_refused(text: str) -> None:
    """A version that does not fit is an error, never a low number."""
    with pytest.raises(ValueError, match=r"."):
        version_number(text)


def test_what_many_brokers_cost_grows_with_them() -> None:
    """A grant to each of so many brokers of one tenant, as many chips revoked for another: counted in calls, which no machine slows down."""

    def calls(count: int) -> int:
        files = {name: data.decode() for name, data in generated_files(12, files=1).items()}
        platform, broker = files["platform.yaml"].split("---\n")
        grant = next(text for text in files["tenants-000.yaml"].split("---\n") if "kind: Grant" in text)
        more = [platform, broker]
        for n in range(count):
            more.append(broker.replace("name: main", f"name: b{n}").replace(":8555", f":{9000 + n}"))
            more.append(grant.replace("grant-00000", f"g{n}").replace("KeyBroker/main", f"KeyBroker/b{n}"))
            more.append(STOLEN.replace("@128", f"{n:0128x}").replace("@", str(n), 1))
        files["platform.yaml"] = "---\n".join(more)
        workspace = build({name: text.encode() for name, text in files.items()})
        profile = cProfile.Profile()
        grants = profile.runcall(effective_grants, workspace)
        assert len(grants) == 2 * (count + 1)
        return sum(entry.callcount for entry in profile.getstats())

    _, few, more, most = calls(5), calls(10), calls(30), calls(50)
    assert most - more < 1.5 * (more - few)
