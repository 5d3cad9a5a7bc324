"""The example of simulated machines with GPUs, applied: a broker releases to a whole machine and to nothing less."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnsp_policy.testing.command_line import applied, run

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]

RESOURCE = "clinic/data/scans"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example, planned, approved and applied; destroyed at the end."""
    root = tmp_path_factory.mktemp("simulated") / "lab"
    line = [sys.executable, "-m", "qnsp_policy.cli.main", "init", "--template", "simulated-gpu", str(root)]
    subprocess.run(line, check=True, capture_output=True)
    run(root, "plan", "--save", str(root / "one.plan"))
    run(root, "approve", str(root / "one.plan"), "--as", "bob", "--yes")
    with applied(root):
        yield root


@pytest.mark.parametrize("enclave", ["td-gpus", "snp-gpu"])
def test_a_whole_machine_obtains_the_key(lab: Path, enclave: str) -> None:
    """A TD with two Blackwell GPUs and an SEV-SNP machine with a Hopper GPU: CPU, GPUs, RIMs, OCSP answers, TCB and CRLs all judged."""
    said = run(lab, "attest", "ask", RESOURCE, "--enclave", enclave)
    assert (said["released"], said["bytes"]) == (True, 32)
    released = [record["data"] for record in run(lab, "ledger", "list", "--type", "release")]
    assert (f"Enclave/{enclave}", f"ReferenceValues/{enclave}#0") in {(r["enclave"], r["matched"]) for r in released}


def test_a_machine_without_its_gpus_obtains_nothing(lab: Path) -> None:
    """The TD that has none is told why: other code, and no devices where two are demanded."""
    said = run(lab, "attest", "ask", RESOURCE, "--enclave", "td", expected=7)
    assert said["released"] is False
    assert "devices = 0" in " ".join(said["lines"])


def test_nothing_differs_after_it(lab: Path) -> None:
    """Documents, what was applied and what runs agree."""
    assert run(lab, "plan", "--detailed-exitcode")["changes"] is False
