"""The contradictions between the published systems, each refused by a rule or by the model, and its way out passing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from qnsp_policy.errors import DocumentErrors
from qnsp_policy.pipeline.model import build
from qnsp_policy.pipeline.rules.examples import RuleExample
from qnsp_policy.testing.rule_examples import changed, files_of

Judge = Callable[[RuleExample], Any]

AWS = {"Platform/cloud": {"spec": {"type": "aws", "account": "123456789012", "region": "eu-west-1"}}}
TPM = {
    "ReferenceValues/tpm": {
        "spec": {
            "attester": "nitro-tpm",
            "state": "active",
            "expires": "2027-05-21",
            "covers": dict.fromkeys(("firmware", "kernel", "cmdline", "initrd", "rootfs", "workload"), "pcr4"),
            "builders": ["lab", "lab-two"],
            "alternatives": [{"measurements": {"pcr4": "ab" * 48, "pcr12": "cd" * 48}}],
        }
    }
}


def _found(judge: Judge, change: Mapping[str, Any], **more: Any) -> set[str]:
    return {finding.rule for finding in judge(RuleExample("any", "any", change, (), **more)).report.findings}


def _tenant(tier: str, **more: Any) -> dict[str, Any]:
    return {"Tenant/clinic": {"spec": {"tier": f"CryptoTier/{tier}", **more}}}


def test_1_maximum_refuses_ml_dsa_65_and_names_the_way_out(judge: Judge) -> None:
    """Tier, algorithm, admitted set and fix stand in the finding; ML-DSA-87 passes."""
    judged = judge(RuleExample("any", "any", _tenant("qnsp-maximum"), ()))
    finding = next(f for f in judged.report.findings if f.address == "Endpoint/embeddings" and "below" in f.rule)
    assert finding.rule == "crypto/signature-below-tier"
    for words in ("ML-DSA-65", "CryptoTier/qnsp-maximum", "ML-DSA-87", "SLH-DSA-SHAKE-256f", "Tenant/clinic"):
        assert words in finding.message
    assert "ML-DSA-87" in finding.remediation
    fixed = {
        **_tenant("qnsp-maximum"),
        "Endpoint/embeddings": {"spec": {"responseSignature": {"algorithm": "ML-DSA-87"}}},
    }
    report = judge(RuleExample("any", "any", fixed, ())).report
    assert not [f for f in report.findings if f.address == "Endpoint/embeddings" and f.rule == finding.rule]


def test_2_one_level_of_two_families_is_refused(judge: Judge) -> None:
    """HIP-5 tier 3 beside LP-4100 tier 3; tier 2 of both says the same and passes."""
    other = {"Tenant/research": {"spec": {"tier": "CryptoTier/lp4100-tier-3"}}}
    assert "crypto/tier-families-contradict" in _found(judge, {**_tenant("hip5-tier-3"), **other})
    same = {"Tenant/research": {"spec": {"tier": "CryptoTier/lp4100-tier-2"}}}
    assert "crypto/tier-families-contradict" not in _found(judge, {**_tenant("hip5-tier-2"), **same})


def test_3_an_hsm_is_no_cpu_tee(judge: Judge) -> None:
    """Roots in an HSM leave tier 2 unmet on measured boot; and a TEE leaves an HSM custody unmet."""
    moved = {"platform": "Platform/cloud", "attester": "nitro-tpm", "referenceValues": "ReferenceValues/tpm"}
    assert "attestation/assurance-below-tier" in _found(judge, {**AWS, **TPM, "Enclave/clinic": {"spec": moved}})
    software = {"KeyHierarchy/clinic": {"spec": {"signingRoot": {"custody": "software"}}}}
    assert "keys/custody-below-tier" in _found(judge, {**_tenant("qnsp-maximum"), **software})
    assert "keys/custody-below-tier" not in _found(judge, software)


def test_4_only_a_public_artefact_of_tier_0_lies_in_clear_and_it_is_signed(judge: Judge) -> None:
    """In clear, or public under a tier that encrypts, is refused; public in tier 0 passes with a signature only."""
    clear = {"Artefact/minilm": {"spec": {"encryption": None}}}
    public = {"Artefact/minilm": {"spec": {"encryption": None, "public": True}}}
    assert "supply-chain/artefact-in-clear" in _found(judge, {**_tenant("hip5-tier-0"), **clear})
    assert "supply-chain/public-artefact-of-a-tier" in _found(judge, public)
    zero = {**_tenant("hip5-tier-0"), **public}
    assert not {rule for rule in _found(judge, zero) if rule.startswith("supply-chain/")}
    assert "supply-chain/artefact-unsigned" in _found(judge, zero, unsigned=("Artefact/minilm",))


def test_5_a_kem_root_certifies_nothing(judge: Judge) -> None:
    """Wrapping and signing root are of their own kinds."""
    for field, algorithm in (("signingRoot", "ML-KEM-1024"), ("wrappingRoot", "ML-DSA-87")):
        change = {"KeyHierarchy/clinic": {"spec": {field: {"algorithm": algorithm}}}}
        assert "keys/wrapping-root-signs" in _found(judge, change)


def test_6_weights_are_not_encrypted_with_a_kem(judge: Judge) -> None:
    """A KEM wraps the data key, an AEAD carries the bytes."""
    change = {"Artefact/minilm": {"spec": {"encryption": {"cipher": "ML-KEM-1024"}}}}
    assert "crypto/algorithm-of-another-kind" in _found(judge, change)


def test_7_hybrids_under_cnsa_only_as_a_transport_requirement(judge: Judge) -> None:
    """Refused in cnsa2, let through in TLS by cnsa2-hybrid-transport; required and forbidden together is no tier."""
    group = {"Endpoint/embeddings": {"spec": {"tls": {"groups": ["SecP384r1MLKEM1024"]}}}}
    keys = {
        "KeyHierarchy/clinic": {
            "spec": {
                "keys": {"model/minilm": {"wrappedBy": "ML-KEM-1024"}, "data/letters": {"wrappedBy": "ML-KEM-1024"}}
            }
        }
    }
    assert "crypto/hybrid-forbidden" in _found(judge, {**_tenant("cnsa2"), **group, **keys})
    assert "crypto/hybrid-forbidden" not in _found(judge, {**_tenant("cnsa2-hybrid-transport"), **group, **keys})
    assert "crypto/hybrid-forbidden" in _found(judge, {**_tenant("cnsa2-hybrid-transport"), **group})
    assert "crypto/hybrid-required" in _found(
        judge, {"Endpoint/embeddings": {"spec": {"tls": {"groups": ["MLKEM1024"]}}}}
    )
    with pytest.raises(DocumentErrors) as caught:
        build(files_of(changed(_tenant("hip5-tier-2", profiles=["CryptoTier/cnsa2"]))))
    assert {problem.code for problem in caught.value.problems} == {"QNSP-MOD-021"}


@pytest.mark.parametrize("tier", ["hip5-tier-4", "lp4100-tier-4", "default-tier-4"])
def test_8_tier_4_is_refused_on_every_platform(tier: str, judge: Judge) -> None:
    """No evidence kind carries TDISP, and the finding says so."""
    judged = judge(RuleExample("any", "any", _tenant(tier), ()))
    (finding,) = [f for f in judged.report.findings if f.rule == "crypto/tier-needs-tee-io"]
    assert "no evidence kind" in finding.message


@pytest.mark.parametrize(
    ("attester", "mode", "rule"),
    [
        ("sgx", "on", "platform/gpu-outside-confidential-vm"),
        ("sev-snp", "off", "platform/gpu-not-confidential"),
        ("tdx", "devtools", "platform/gpu-not-confidential"),
    ],
)
def test_9_no_cpu_tee_protects_a_gpu_alone(attester: str, mode: str, rule: str, judge: Judge) -> None:
    """GPUs beside SGX are refused; beside SEV-SNP and TDX they need their own confidential mode."""
    gpus = {"model": "H100", "count": 1, "confidentialMode": mode}
    change = {"Enclave/clinic": {"spec": {"attester": attester, "gpus": gpus}}}
    assert rule in _found(judge, change)


def test_9_nor_does_a_nitro_enclave(judge: Judge, examples: Mapping[str, RuleExample]) -> None:
    """A Nitro enclave has no GPU at all."""
    rule = "platform/gpu-outside-confidential-vm"
    assert rule in _found(judge, examples[rule].change)


def test_11_break_glass_is_for_several_people_named_resources_and_a_time(judge: Judge) -> None:
    """One person, a wildcard or an ended preparation is refused."""
    for change, rule in (
        ({"threshold": 1}, "grants/break-glass-threshold"),
        ({"resources": ["clinic/model/*"]}, "grants/break-glass-wildcard"),
        ({"expires": "2026-11-20"}, "grants/break-glass-expired"),
    ):
        assert rule in _found(judge, {"BreakGlass/ward": {"spec": change}})


@pytest.mark.parametrize("control", ["A.9.1", "A.10.1", "A.12.4", "A.13.1", "A.14.1", "A.18.1"])
def test_12_numbers_of_2013_are_refused_under_a_label_of_2022(control: str, judge: Judge) -> None:
    """The finding says which edition the number is of."""
    change = {
        "ComplianceMapping/iso": {"spec": {"controls": [{"control": control, "assertions": ["keys/no-recovery"]}]}}
    }
    judged = judge(RuleExample("any", "any", change, ()))
    (finding,) = [f for f in judged.report.findings if f.rule == "compliance/control-unknown"]
    assert "2013" in finding.message
