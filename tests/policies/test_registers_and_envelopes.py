"""Registers of no image and classical envelopes of a KMS: which workspaces are told, which are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from qnsp_policy.pipeline.rules.examples import RuleExample

Judge = Callable[[RuleExample], Any]


def blank(judge: Judge, attester: str, measurements: Mapping[str, str], origin: str = "computed") -> list[str]:
    """The placeholder registers that a ReferenceValues document of these is told to have."""
    values = {
        "attester": attester,
        "state": "active",
        "origin": origin,
        "expires": "2027-05-21",
        "covers": dict.fromkeys(
            ("firmware", "kernel", "cmdline", "initrd", "rootfs", "workload"), next(iter(measurements))
        ),
        "builders": ["lab", "lab-two"],
        "alternatives": [{"measurements": dict(measurements)}],
    }
    found = judge(RuleExample("any", "any", {"ReferenceValues/new": {"spec": values}}, ())).report.findings
    told = [f for f in found if f.rule == "attestation/placeholder-registers" and f.address == "ReferenceValues/new"]
    return [word for finding in told for word in finding.message.split(" are ")[0].split(", ")]


REGISTERS = {"pcr0": "a0" * 48, "pcr1": "a1" * 48, "pcr2": "a2" * 48}


@pytest.mark.parametrize(
    ("attester", "measurements", "origin", "told"),
    [
        ("nitro-enclave", REGISTERS, "computed", []),
        ("nitro-enclave", {**REGISTERS, "pcr1": "0" * 96}, "computed", ["pcr1"]),
        ("nitro-enclave", REGISTERS, "placeholder", ["pcr0", "pcr1", "pcr2"]),
        ("nitro-tpm", {"pcr4": "b4" * 48, "pcr12": "0" * 96}, "computed", []),
        ("nitro-tpm", {"pcr4": "0" * 96, "pcr12": "0" * 96}, "computed", ["pcr4"]),
    ],
    ids=["measured", "debug-zeros", "declared", "no-command-line-added", "no-boot"],
)
def test_registers_of_no_image_are_told(
    judge: Judge, attester: str, measurements: dict[str, str], origin: str, told: list[str]
) -> None:
    """Zeros where none can be, and whatever says of itself that it is a placeholder."""
    assert blank(judge, attester, measurements, origin) == told


def envelopes(judge: Judge, tier: str) -> set[str]:
    change: dict[str, Any] = {
        "Tenant/clinic": {"spec": {"tier": f"CryptoTier/{tier}"}},
        "KeyHierarchy/clinic": {"spec": {"keys": {"data/letters": {"custody": "kms"}}}},
        "KeyBroker/main": {
            "spec": {
                "tenants": ["Tenant/clinic"],
                "unsealing": {"method": "attested-kms", "key": "alias/x", "threshold": None, "custodians": None},
            }
        },
    }
    rules = {"crypto/kms-envelope-is-classical", "keys/broker-unsealing-classical"}
    return rules & {finding.rule for finding in judge(RuleExample("any", "any", change, ())).report.findings}


@pytest.mark.parametrize("tier", ["hip5-tier-2", "bsi-hybrid", "cnsa2", "fips-only"])
def test_tiers_that_forbid_classical_key_agreement_refuse_a_kms_envelope(judge: Judge, tier: str) -> None:
    """Hybrid required, pure post-quantum, hybrid in transport only."""
    assert envelopes(judge, tier) == {"crypto/kms-envelope-is-classical", "keys/broker-unsealing-classical"}


@pytest.mark.parametrize("tier", ["eu-dora", "qnsp-default"])
def test_tiers_that_merely_allow_hybrids_pass(judge: Judge, tier: str) -> None:
    """What they rest on is said by the plan's trust statement."""
    assert envelopes(judge, tier) == set()
