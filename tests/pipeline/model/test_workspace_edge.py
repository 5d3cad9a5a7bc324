"""Loading a workspace from its folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qnsp_policy.errors import DocumentErrors, OperatorError
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.testing.workspaces import sample_files


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_a_folder_becomes_a_workspace(tmp_path: Path) -> None:
    """Documents and signatures come from the folder; runtime files do not."""
    files = sample_files() | {".qnsp/x.yaml": b"[", "signatures/Tenant.clinic.dsse.json": b"{}"}
    workspace = load(write(tmp_path, files))
    assert workspace.project.name == "quickstart"
    assert workspace.signatures == {"Tenant/clinic": (b"{}",)}


def test_a_folder_without_project_is_the_operators_to_mend(tmp_path: Path) -> None:
    """The error names the way to a workspace."""
    with pytest.raises(OperatorError) as raised:
        load(tmp_path)
    assert raised.value.code == "QNSP-OPS-021"
    assert "init" in (raised.value.next_step or "")


def test_wrong_documents_raise_all_problems(tmp_path: Path) -> None:
    """What `build` finds, `load` raises."""
    files = sample_files() | {"x.yaml": b"a: 1\na: 2\n"}
    with pytest.raises(DocumentErrors):
        load(write(tmp_path, files))


def test_importing_the_pipeline_package_imports_neither_pydantic_nor_yaml() -> None:
    """The command line may import the package of stages without paying for them."""
    code = (
        "import sys, qnsp_policy.pipeline; print([m for m in ('pydantic', 'yaml', 'cryptography') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
