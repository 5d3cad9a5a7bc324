"""The rules, loaded once, and judged workspaces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from qnsp_policy.pipeline.engine.toolchain import require
from qnsp_policy.pipeline.model import Address, Workspace, build
from qnsp_policy.pipeline.model.signers import VerifiedSigner
from qnsp_policy.pipeline.rules.evaluate import evaluate
from qnsp_policy.pipeline.rules.examples import RuleExample
from qnsp_policy.pipeline.rules.findings import RulesReport
from qnsp_policy.pipeline.rules.wasm_edge import WasmEngine, shipped_rules
from qnsp_policy.testing.rule_examples import NOW, changed, files_of, shipped_examples, signers_of


@dataclass(frozen=True)
class Judged:
    """A changed workspace and what the rules say of it."""

    workspace: Workspace
    signers: Mapping[Address, tuple[VerifiedSigner, ...]]
    report: RulesReport
    now: datetime = field(default=NOW)


Judge = Callable[[RuleExample], Judged]


@pytest.fixture(scope="session")
def wasm() -> Iterator[WasmEngine]:
    """The shipped rules, loaded once."""
    with WasmEngine([shipped_rules()]) as engine:
        yield engine


@pytest.fixture(scope="session")
def examples() -> dict[str, RuleExample]:
    """Every rule's executable example."""
    return shipped_examples()


@pytest.fixture(scope="session")
def opa() -> Path:
    """The pinned `opa`; built if this machine has none."""
    return require("opa", environment=os.environ).path


@pytest.fixture(scope="session")
def judge(wasm: WasmEngine) -> Judge:
    """Judges the good workspace after an example's change."""

    def run(example: RuleExample) -> Judged:
        workspace = build(files_of(changed(example.change)))
        signers = signers_of(workspace, example)
        now = datetime.fromisoformat(example.now) if example.now else NOW
        return Judged(workspace, signers, evaluate(workspace, engine=wasm, now=now, signers=signers), now)

    return run
