"""The example of simulated machines with GPUs, applied: a broker releases to a whole machine and to nothing less."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]

RESOURCE = "clinic/data/scans"


def run(root: Path, *line: str, expected: int | None = 0) -> Any:
    """One command with JSON output; its exit code must be the expected one."""
    command = [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(root), "--format", "json", *line]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    if expected is not None:
        assert done.returncode == expected, f"{line}: {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example, planned, approved and applied; destroyed at the end."""
    root = tmp_path_factory.mktemp("simulated") / "lab"
    line = [sys.executable, "-m", "qnsp_policy.cli.main", "init", "--template", "simulated-gpu", str(root)]
    subprocess.run(line, check=True, capture_output=True)
    run(root, "plan", "--save", str(root / "one.plan"))
    run(root, "approve", str(root / "one.plan"), "--as", "bob", "--yes")
    try:
        applied = run(root, "apply", str(root / "one.plan"))
        assert {unit["status"] for unit in applied["units"]} == {"applied"}
        yield root
    finally:
        run(root, "destroy", "--approve-as", "bob", "--save", str(root / "end.plan"), expected=None)
        left = [process for process in psutil.process_iter() if str(root) in " ".join(_words(process))]
        assert not psutil.wait_procs(left, 60)[1], "destroy leaves no process behind"


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
