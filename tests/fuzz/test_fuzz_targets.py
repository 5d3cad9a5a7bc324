"""Every fuzz target runs for a moment in every test run, so that none can rot; `make fuzz` runs them for longer, guided by coverage."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.run import main, place_of, tried
from tests.fuzz.targets import CASES, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_damage_are_answered(name: str) -> None:
    """Each seed, and twenty damaged ones: nothing but errors of ours, none slow."""
    target = TARGETS[name]
    for data in target.seeds():
        target(data)
    found = [tried(name, random.Random(seed)) for seed in range(20)]
    assert [one for one in found if one] == []


def test_a_finding_is_told_with_its_place() -> None:
    """An error that is not ours is named by the file and line of the kernel it came from."""
    with pytest.raises(TypeError) as caught:
        TARGETS["certificate"].run("no bytes")  # type: ignore[arg-type]
    assert place_of(caught.value).endswith("-TypeError")
    assert place_of(caught.value).startswith(("der-", "x509-"))


def test_cases_are_good_before_they_are_damaged() -> None:
    """A case that would be refused as it stands would fuzz nothing behind its first step; NRAS has no key set to give."""
    from qnsp_policy.errors import QnspError
    from qnsp_policy.kernel.attestation import registry
    from qnsp_policy.kernel.attestation.collateral import Collateral
    from qnsp_policy.kernel.attestation.values import Evidence

    refused = []
    for name, case in CASES.items():
        parts = case.parts()
        files = dict(zip(case.collateral, parts[1 + len(case.endorsements) :], strict=True))
        evidence = Evidence(case.kind, parts[0], dict(zip(case.endorsements, parts[1:], strict=False)))
        try:
            registry.verify_any(
                evidence,
                collateral=Collateral.from_files(files),
                anchors=registry.pinned_anchors(),
                now=case.now,
            )
        except QnspError:
            refused.append(name)
    assert refused == ["verify-nras"]


def test_the_command_runs_without_atheris(capsys: pytest.CaptureFixture[str]) -> None:
    """`make fuzz` answers for each named target, whether coverage guidance is there or not."""
    assert main(["1", "3", "snp-table"]) == 0
    assert "snp-table: " in capsys.readouterr().out
