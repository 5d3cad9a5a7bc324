"""A toy workspace under the real engine, or a skip that says why there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnsp_policy.pipeline.engine import toolchain
from qnsp_policy.testing.engine_toys import ToyWorkspace


@pytest.fixture(scope="session")
def pulumi() -> Path:
    found = toolchain.find("pulumi", environment=os.environ)
    if found is None:
        pytest.skip("pulumi is not built; `make setup` or `qnsp-policy tools install pulumi` builds it")
    return found.path


@pytest.fixture
def toy(tmp_path: Path, pulumi: Path) -> Iterator[ToyWorkspace]:
    workspace = ToyWorkspace.make(tmp_path / "toy", pulumi)
    with workspace.cleared():
        yield workspace
