"""Anything not checked is in the result with its reason, and a policy can require that nothing is unchecked: for every kind, at every door."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.cli.main import main
from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.batch import Batch
from qnsp_policy.kernel.attestation.values import (
    Alternative,
    AppraisalPolicy,
    AssuranceClass,
    EvidenceKind,
    Statement,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.simulator.fleet import KINDS, Fleet, mint_fleet
from qnsp_policy.testing.memory_files import MemoryFiles

NOW = datetime(2027, 5, 4, 3, 2, 1, tzinfo=UTC)
UNCHECKED = "QNSP-ATT-APR-005"


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return mint_fleet(NOW)


@pytest.fixture(scope="module")
def folder(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fleet")
    for name, data in fleet.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def line_of(fleet: Fleet, kind: str) -> dict[str, Any]:
    return dict(next(line for line in fleet.lines if line["kind"] == kind))


def bare(line: Mapping[str, Any]) -> dict[str, Any]:
    """The line without what is not needed to verify: no nonce is known, and no collateral of the kinds that can do without."""
    dropped = {"nonce", "expectedReportData", "machine", "requireChecked", "equals", "floors"}
    if line["kind"] in {"sev-snp", "tdx", "sgx", "nvidia-gpu", "nvswitch"}:
        dropped |= {"collateral"}
    return {name: value for name, value in line.items() if name not in dropped}


def unchecked(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every statement that is not checked, with its reason."""
    for one in (answer, *answer.get("devices", [])):
        for statement in one["statements"]:
            if statement["verdict"] == "not checked":
                yield statement["name"], statement["detail"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_unchecked_statement_can_be_required(fleet: Fleet, kind: str) -> None:
    """What a bare line leaves unchecked has a reason, and a policy that requires it refuses by the code of that."""
    batch, line = Batch(MemoryFiles(fleet.files), NOW), bare(line_of(fleet, kind))
    answer = batch.answer(line)
    if kind in {"sev-snp", "nvidia-gpu", "nvswitch"} and answer["verdict"] == "refused":
        line = {**line, "collateral": line_of(fleet, kind)["collateral"]}  # its chain lies there
        answer = batch.answer(line)
    assert answer["verdict"] == "accepted", answer["detail"]
    left = dict(unchecked(answer))
    assert left
    assert all(left.values())
    for name in (*left, "*"):
        assert batch.answer({**line, "requireChecked": [name]})["code"] == UNCHECKED, name


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_unchecked_means_nothing(fleet: Fleet, kind: str) -> None:
    """A line that is accepted while everything is required has no unchecked statement, of no device either."""
    batch, line = Batch(MemoryFiles(fleet.files), NOW), line_of(fleet, kind)
    answer = batch.answer({**line, "requireChecked": ["*"]})
    left = dict(unchecked(batch.answer(line)))
    assert (answer["verdict"] == "accepted") == (not left)
    if left:
        assert answer["code"] == UNCHECKED


@pytest.mark.parametrize("kind", ["sev-snp", "tdx", "nitro-enclave", "nras"])
def test_the_command_requires_it_too(
    fleet: Fleet, folder: Path, kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A list whose policy requires everything is refused where anything is left unchecked, with exit code 7."""
    line = line_of(fleet, kind)
    listing = folder / f"{kind}.jsonl"
    listing.write_text(json.dumps({**bare(line), "collateral": line.get("collateral", [])}) + "\n")
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"requireChecked": ["*"]}))
    demanding = folder / f"{kind}-demanding.jsonl"
    demanding.write_text(json.dumps({**json.loads(listing.read_text()), "policy": str(policy)}) + "\n")
    codes = []
    for file in (listing, demanding):
        codes.append(main(["attest", "verify", "--batch", str(file), "--format", "json"]))
        (answer,) = json.loads(capsys.readouterr().out)
    assert codes == [0, 7]
    assert answer["code"] == UNCHECKED


def test_devices_of_another_nonce_are_not_fresh() -> None:
    """A nonce that was held against one device says nothing about another's report, unless they answer the same."""
    kind = EvidenceKind.NVIDIA_GPU
    fresh = Statement("freshness", Verdict.NOT_CHECKED, "its nonce must be compared")
    one = VerifiedClaims(kind, AssuranceClass.HARDWARE_TEE, {}, b"n" * 32, (fresh,), NOW)
    policy = AppraisalPolicy(
        (Alternative("any", kind, {}, devices=(Alternative("any", kind, {}),)),),
        frozenset(AssuranceClass),
        frozenset({"freshness"}),
        expected_report_data=b"n" * 32,
    )
    assert appraise(replace(one, devices=(one,)), policy, NOW).accepted
    other = replace(one, devices=(replace(one, report_data=b"m" * 32),))
    assert [found.code for found in appraise(other, policy, NOW).mismatches] == [UNCHECKED]
