"""A toy workspace under the real engine, or a skip that says why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qnsp_policy.testing.engine_toys import ToyWorkspace
from qnsp_policy.testing.needed import built_pulumi


@pytest.fixture(scope="session")
def pulumi() -> Path:
    return built_pulumi()


@pytest.fixture
def toy(tmp_path: Path, pulumi: Path) -> Iterator[ToyWorkspace]:
    workspace = ToyWorkspace.make(tmp_path / "toy", pulumi)
    with workspace.cleared():
        yield workspace
