"""Tools that tests need and a machine may lack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qnsp_policy.pipeline.engine import toolchain


def built_pulumi() -> Path:
    """The pinned engine; where it is not built, the test that asks is skipped with the way to it."""
    found = toolchain.find("pulumi", environment=os.environ)
    if found is None:
        pytest.skip("pulumi is not built; `make setup` or `qnsp-policy tools install pulumi` builds it")
    return found.path


__all__ = ["built_pulumi"]
