"""Tiers flatten along `extends`, narrow by profiles, and never come to an empty permission."""

from __future__ import annotations

import pytest

from qnsp_policy.errors import DocumentError, DocumentErrors
from qnsp_policy.pipeline.model import Address, Workspace, build
from qnsp_policy.pipeline.model.tiers import MAX_CHAIN, intersect
from qnsp_policy.testing.every_kind import every_kind_files


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return build(every_kind_files())


def test_what_a_tier_does_not_say_is_its_parents(workspace: Workspace) -> None:
    """The user's tier overrides KEM and lease and takes the rest over three levels."""
    tier = workspace.tier(Address("CryptoTier/clinic-tier"))
    assert tier.kem.allowed == ("ML-KEM-1024", "MLKEM1024-P384")
    assert tier.max_lease == 8 * 3600
    assert tier.signature.default == "ML-DSA-65"
    assert tier.rotation == {"root": 365 * 86400, "model": None, "api": 30 * 86400, "session": None}
    assert tier.protections["atRest"]
    assert tier.protections["cpuTee"]
    assert tier.sources[0] == "CryptoTier/clinic-tier"
    assert tier.sources[-1] == "CryptoTier/hip5-tier-0"
    assert tier.families == (("clinic", 1),)


def test_tier_of_a_tenant(workspace: Workspace) -> None:
    """A tenant without profiles has its tier."""
    assert workspace.tier_of(Address("Tenant/clinic")) == workspace.tier(Address("CryptoTier/hip5-tier-2"))


def test_a_profile_narrows_and_never_widens(workspace: Workspace) -> None:
    """Of algorithms what both admit, of everything else the stricter."""
    tier = workspace.tier(Address("CryptoTier/qnsp-default"))
    profile = workspace.tier(Address("CryptoTier/cnsa2"))
    both = intersect(tier, profile)
    assert both.kem.allowed == ("ML-KEM-1024",)
    assert both.kem.default == "ML-KEM-1024"
    assert both.signature.allowed == ("ML-DSA-87",)
    assert both.tls_groups == ("MLKEM1024",)
    assert both.hybrid == "forbidden"
    assert both.custody == "hsm"
    assert both.rotation["api"] == 30 * 86400
    assert both.families == (("qnsp-v0", 0), ("cnsa", 1))
    assert set(both.approver_roles) == {"security"}


@pytest.mark.parametrize(
    ("tier", "profile"),
    [
        ("hip5-tier-2", "cnsa2"),
        ("qnsp-government", "qnsp-v1-tier-4"),
        ("bsi-hybrid", "cnsa2"),
        ("qnsp-v1-tier-0", "fips-only"),
    ],
)
def test_an_empty_intersection_is_an_error(workspace: Workspace, tier: str, profile: str) -> None:
    """Nothing in common is refused with both names, never taken as permission of nothing."""
    with pytest.raises(DocumentError) as raised:
        intersect(workspace.tier(Address(f"CryptoTier/{tier}")), workspace.tier(Address(f"CryptoTier/{profile}")))
    assert raised.value.code == "QNSP-MOD-021"
    assert tier in raised.value.message
    assert profile in raised.value.message


def test_intersection_with_itself_changes_nothing(workspace: Workspace) -> None:
    """A tier is its own profile."""
    for address in workspace.catalog:
        if address.startswith("CryptoTier/"):
            tier = workspace.tier(address)
            both = intersect(tier, tier)
            assert (both.kem, both.signature, both.tls_groups, both.rotation, both.assurance) == (
                tier.kem,
                tier.signature,
                tier.tls_groups,
                tier.rotation,
                tier.assurance,
            )


def test_forbidden_algorithms_leave_and_custom_ones_enter() -> None:
    """customForbidden wins over what a parent admits, customAllowed adds to the kind it belongs to."""
    files = every_kind_files()
    files["governance.yaml"] = files["governance.yaml"].replace(
        b"  maxLease: 8h\n", b"  maxLease: 8h\n  customForbidden: [ML-DSA-65]\n  customAllowed: [SLH-DSA-SHAKE-256f]\n"
    )
    tier = build(files).tier(Address("CryptoTier/clinic-tier"))
    assert tier.signature.allowed == ("ML-DSA-87", "SLH-DSA-SHAKE-256f")
    assert tier.signature.default == "ML-DSA-87"
    assert "SLH-DSA-SHAKE-256f" not in tier.kem.allowed


def test_json_of_a_tier_has_every_member(workspace: Workspace) -> None:
    """Rules get the whole tier with stable names."""
    value = workspace.tier(Address("CryptoTier/qnsp-strict")).to_json()
    assert value["experimental"] == [{"algorithm": "Falcon-1024", "expires": "2027-11-21"}]
    assert value["families"] == [{"family": "qnsp-v0", "level": 1}]
    assert value["protections"] == {
        "atRest": True,
        "cpuTee": True,
        "gpuCc": False,
        "teeIo": False,
        "signedResponses": True,
        "signedDatasets": True,
    }


OWN = b"""---
apiVersion: qnsp.policy/v1
kind: CryptoTier
metadata: {name: clinic-low}
spec:
  family: clinic
  level: 0
  extends: CryptoTier/lp4100-tier-3
  source: "own"
"""


def test_levels_of_a_users_family_are_edges_as_well() -> None:
    """A lower level that is stronger than the next one is found out, without any `extends` between them."""
    files = every_kind_files()
    files["governance.yaml"] += OWN
    with pytest.raises(DocumentErrors) as raised:
        build(files)
    assert {problem.code for problem in raised.value.problems} == {"QNSP-MOD-022"}
    assert (
        "CryptoTier/clinic-tier should be at least as strong as CryptoTier/clinic-low"
        in raised.value.problems[0].message
    )


def test_a_stated_edge_between_families_is_checked() -> None:
    """`strongerThan` is a claim, not a wish."""
    files = every_kind_files()
    stated = b"  stronger" + b"Than: [CryptoTier/cnsa2]\n  maxLease: 8h\n"
    files["governance.yaml"] = files["governance.yaml"].replace(b"  maxLease: 8h\n", stated)
    with pytest.raises(DocumentErrors) as raised:
        build(files)
    assert {problem.code for problem in raised.value.problems} == {"QNSP-MOD-022"}


def _chained(tiers: int) -> dict[str, bytes]:
    """The every-kind workspace with so many more tiers, each of which extends the one before it."""
    documents = [
        f"""apiVersion: qnsp.policy/v1
kind: CryptoTier
metadata: {{name: chained-{number}}}
spec: {{family: chained, level: 1, ordered: false, source: ours, extends: CryptoTier/{before}}}
"""
        for number in range(tiers)
        for before in [f"chained-{number - 1}" if number else "hip5-tier-0"]
    ]
    return {**every_kind_files(), "chained.yaml": "---\n".join(documents).encode()}


def test_a_chain_of_tiers_has_an_end() -> None:
    """A chain that nobody can follow is refused at the first tier that is too far, not worked through for minutes."""
    assert build(_chained(MAX_CHAIN - 1)).tier(Address(f"CryptoTier/chained-{MAX_CHAIN - 2}")).kem.allowed
    with pytest.raises(DocumentErrors) as raised:
        build(_chained(MAX_CHAIN))
    assert [(problem.code, problem.subject) for problem in raised.value.problems] == [
        ("QNSP-MOD-023", f"CryptoTier/chained-{MAX_CHAIN - 1}")
    ]
