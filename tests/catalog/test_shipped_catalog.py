"""What ships as data: published tiers as published, provenance everywhere, and a lattice that never falls."""

from __future__ import annotations

from itertools import pairwise

import pytest

from qnsp_policy.pipeline.model import Address, ResolvedTier, Workspace, build
from qnsp_policy.pipeline.model.catalog_edge import shipped_catalog
from qnsp_policy.pipeline.model.kinds import AlgorithmTimeline, CryptoTier, Framework, PlatformCapability
from qnsp_policy.pipeline.model.lattice import CATEGORY, category, edges, weaker_than_parent
from qnsp_policy.testing.workspaces import sample_files


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return build(sample_files())


def tier(workspace: Workspace, name: str) -> ResolvedTier:
    return workspace.tier(Address(f"CryptoTier/{name}"))


def shipped_tiers() -> list[CryptoTier]:
    return [document for _, document in shipped_catalog().values() if isinstance(document, CryptoTier)]


EDGES = sorted(edges(shipped_tiers()))


def test_the_lattice_has_the_edges_of_the_published_tables() -> None:
    """Every family is a chain of its levels, and our own default lies above both of its sources."""
    chains = [[f"{family}-{n}" for n in range(5)] for family in ("hip5-tier", "lp4100-tier", "default-tier")]
    chains.append(["qnsp-default", "qnsp-strict", "qnsp-maximum", "qnsp-government"])
    chains.append(["cnsa2-hybrid-transport", "cnsa2"])
    wanted = {pair for chain in chains for pair in pairwise(chain)}
    wanted |= {(f"{source}-tier-{n}", f"default-tier-{n}") for source in ("hip5", "lp4100") for n in range(5)}
    assert {(weak.split("/")[1], strong.split("/")[1]) for weak, strong in EDGES} == wanted


@pytest.mark.parametrize(("weak", "strong"), EDGES)
def test_no_edge_of_the_lattice_falls(workspace: Workspace, weak: Address, strong: Address) -> None:
    """From weak to strong no category falls, no protection ends, no key lives longer, nothing is kept softer."""
    assert list(weaker_than_parent(workspace.tier(strong), workspace.tier(weak))) == []


@pytest.mark.parametrize(
    ("weak", "strong"),
    [("qnsp-default", "qnsp-maximum"), ("hip5-tier-0", "hip5-tier-4"), ("lp4100-tier-2", "lp4100-tier-3")],
)
def test_the_monotone_check_sees_a_fall(workspace: Workspace, weak: str, strong: str) -> None:
    """Walking an edge the wrong way is found out."""
    assert list(weaker_than_parent(tier(workspace, weak), tier(workspace, strong)))


@pytest.mark.parametrize("document", shipped_tiers(), ids=lambda document: document.name)
def test_every_tier_resolves_with_admitted_defaults(workspace: Workspace, document: CryptoTier) -> None:
    """Nothing is left open, each default is in its set, each algorithm is known, the source is said."""
    resolved = workspace.tier(document.address)
    for admitted in (resolved.kem, resolved.signature, resolved.aead, resolved.hash):
        assert admitted.default in admitted.allowed
    assert document.spec.source
    assert document.spec.provenance is not None
    if document.spec.family not in ("qnsp-v1", "qnsp-v1-profile"):
        for algorithm in (
            *resolved.kem.allowed,
            *resolved.signature.allowed,
            *resolved.aead.allowed,
            *resolved.hash.allowed,
        ):
            assert category(algorithm) > 0, algorithm


def test_hip5_is_as_published(workspace: Workspace) -> None:
    """HIP-5 uses ML-KEM-768 and ML-DSA-65 in every tier; its protections add up."""
    for level, protection in enumerate((None, "atRest", "cpuTee", "gpuCc", "teeIo")):
        resolved = tier(workspace, f"hip5-tier-{level}")
        assert "ML-KEM-768" in resolved.kem.allowed
        assert resolved.signature.default == "ML-DSA-65"
        assert resolved.hybrid == "required"
        assert resolved.rotation == {"root": 365 * 86400, "model": None, "api": 30 * 86400, "session": None}
        order = ("atRest", "cpuTee", "gpuCc", "teeIo")
        have = [name for name in order if resolved.protections[name]]
        assert have == list(order[:level])
        assert protection is None or protection in have
    assert tier(workspace, "hip5-tier-4").unavailable
    assert not tier(workspace, "hip5-tier-3").unavailable


def test_lp4100_moves_the_upper_tiers(workspace: Workspace) -> None:
    """LP-4100 tiers 3 and 4 take ML-KEM-1024 and ML-DSA-87 alone; the lower ones are HIP-5's."""
    for level in range(5):
        resolved = tier(workspace, f"lp4100-tier-{level}")
        if level < 3:
            assert resolved.kem == tier(workspace, f"hip5-tier-{level}").kem
        else:
            assert "ML-KEM-768" not in resolved.kem.allowed
            assert resolved.signature.allowed == ("ML-DSA-87",)


def test_families_that_contradict_each_other_say_so() -> None:
    """HIP-5 and LP-4100 name each other at tiers 3 and 4, both ways."""
    conflicts = {
        (document.address, conflict.tier) for document in shipped_tiers() for conflict in document.spec.conflicts
    }
    for level in (3, 4):
        assert (f"CryptoTier/hip5-tier-{level}", f"CryptoTier/lp4100-tier-{level}") in conflicts
    assert all((other, one) in conflicts for one, other in conflicts)


def test_qnsp_v0_is_as_its_services_enforce_it(workspace: Workspace) -> None:
    """Sets, defaults and entropy of the four tiers; MAXIMUM does not admit ML-DSA-65."""
    table = {
        "qnsp-default": (("ML-KEM-512", "ML-KEM-768", "ML-KEM-1024"), "ML-KEM-768", ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87"), "ML-DSA-65", "csprng"),
        "qnsp-strict": (("ML-KEM-768", "ML-KEM-1024"), "ML-KEM-768", ("ML-DSA-65", "ML-DSA-87", "Falcon-1024"), "ML-DSA-65", "csprng"),
        "qnsp-maximum": (("ML-KEM-1024",), "ML-KEM-1024", ("ML-DSA-87", "Falcon-1024", "SLH-DSA-SHAKE-256f"), "ML-DSA-87", "hsm-byo"),
        "qnsp-government": (("ML-KEM-1024",), "ML-KEM-1024", ("ML-DSA-87", "SLH-DSA-SHAKE-256f"), "ML-DSA-87", "hsm-byo"),
    }  # fmt: skip
    for name, (kem, kem_default, signature, signature_default, entropy) in table.items():
        resolved = tier(workspace, name)
        assert resolved.kem.allowed == kem
        assert resolved.kem.default == kem_default
        assert resolved.signature.allowed == signature
        assert resolved.signature.default == signature_default
        assert resolved.entropy == entropy
    assert {str(item.algorithm) for item in tier(workspace, "qnsp-maximum").experimental} == {"Falcon-1024"}


@pytest.mark.parametrize(
    ("profile", "tiers"),
    [("gov-high-assurance", [1]), ("defense-long-life-data", [1, 2]), ("financial-hybrid-pqc", [1, 0, 3]), ("research-eval", [1, 3, 4])],
)  # fmt: skip
def test_qnsp_v1_profiles_are_unions_of_their_tiers(workspace: Workspace, profile: str, tiers: list[int]) -> None:
    """A profile admits what its tiers admit together, with their conditions."""
    whole = tier(workspace, f"qnsp-v1-{profile}")
    parts = [tier(workspace, f"qnsp-v1-tier-{n}") for n in tiers]
    assert set(whole.kem.allowed) == {algorithm for part in parts for algorithm in part.kem.allowed}
    assert set(whole.signature.allowed) == {algorithm for part in parts for algorithm in part.signature.allowed}
    assert whole.expiry_required == any(part.expiry_required for part in parts)
    assert whole.acknowledgement_required == any(part.acknowledgement_required for part in parts)
    assert whole.stateful_guards == any(part.stateful_guards for part in parts)


def test_unsettled_algorithms_have_an_expiry(workspace: Workspace) -> None:
    """An algorithm without a final standard stands in no tier without an experimental entry."""
    unsettled = {
        str(entry.algorithm)
        for _, document in shipped_catalog().values()
        if isinstance(document, AlgorithmTimeline)
        for entry in document.spec.entries
        if entry.status == "experimental"
    }
    assert unsettled >= {"Falcon-1024", "HQC-256"}
    for document in shipped_tiers():
        resolved = workspace.tier(document.address)
        covered = {str(item.algorithm) for item in resolved.experimental}
        assert unsettled & {*resolved.kem.allowed, *resolved.signature.allowed} <= covered


def test_cnsa2_admits_neither_65_nor_768_nor_hybrids(workspace: Workspace) -> None:
    """One parameter set of each kind; hybrids only in the variant that declares them as transport."""
    resolved = tier(workspace, "cnsa2")
    assert resolved.kem.allowed == ("ML-KEM-1024",)
    assert resolved.signature.allowed == ("ML-DSA-87",)
    assert resolved.hybrid == "forbidden"
    assert resolved.tls_groups == ("MLKEM1024",)
    assert tier(workspace, "cnsa2-hybrid-transport").hybrid == "transport-only"


def test_every_shipped_document_says_where_it_comes_from() -> None:
    """Title, version, date, licence and how sure we are; nobody's text under copyright is copied."""
    for source, document in shipped_catalog().values():
        provenance = document.spec.provenance
        assert provenance.title
        assert provenance.version
        assert provenance.licence
        assert str(provenance.retrieved.at.date()) <= "2026-11-21"
        assert source.file.startswith("catalog/")
        if isinstance(document, Framework) and document.spec.text_copyrighted:
            assert all(len(control.summary) <= 160 for control in document.spec.controls)


def test_time_lines_agree_with_the_lattice() -> None:
    """The category of an algorithm is the same in every place that states it, and dates come in order."""
    for _, document in shipped_catalog().values():
        if isinstance(document, AlgorithmTimeline):
            names = [(entry.algorithm, entry.use) for entry in document.spec.entries]
            assert len(names) == len(set(names))
            for entry in document.spec.entries:
                assert entry.category == CATEGORY.get(entry.algorithm, 0)
                dates = [
                    date.at for date in (entry.approved_from, entry.deprecated_after, entry.disallowed_after) if date
                ]
                assert dates == sorted(dates)


def test_every_platform_type_has_its_capabilities() -> None:
    """Each type is described once, and each refused combination names reason and nearest legal choice."""
    found = [document for _, document in shipped_catalog().values() if isinstance(document, PlatformCapability)]
    assert sorted(document.spec.platform for document in found) == [
        "aws", "azure", "bare-metal", "gcp", "kubernetes", "local",
    ]  # fmt: skip
    for document in found:
        ids = [refused.id for refused in document.spec.refused]
        assert len(ids) == len(set(ids))
        assert document.spec.trust_statement
        if document.spec.platform == "local":
            assert {attester.assurance for attester in document.spec.attesters} == {"simulated"}
        else:
            assert "simulated" not in {attester.assurance for attester in document.spec.attesters}


def test_iso_ids_of_2013_are_refused_under_the_2022_label() -> None:
    """Ids of the old edition are known as such, and none stands among the controls."""
    framework = shipped_catalog()[Address("Framework/iso27001-2022")][1]
    assert isinstance(framework, Framework)
    assert set(framework.spec.refused_ids) == {"A.9.1", "A.10.1", "A.12.4", "A.13.1", "A.14.1", "A.18.1"}
    assert not set(framework.spec.refused_ids) & {str(control.control) for control in framework.spec.controls}


def test_control_ids_stand_once() -> None:
    """No framework lists a control twice."""
    for _, document in shipped_catalog().values():
        if isinstance(document, Framework):
            ids = [str(control.control) for control in document.spec.controls]
            assert len(ids) == len(set(ids))
