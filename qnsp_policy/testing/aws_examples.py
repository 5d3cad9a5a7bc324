"""The examples on AWS, initialised and planned as a stranger would: through the workflows, in a folder of the test's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.workflows.init import init_workspace
from qnsp_policy.workflows.init_cloud import CLOUD_TEMPLATES
from qnsp_policy.workflows.plan import MadePlan, PlanOptions, make

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def _silent(text: str) -> None:
    del text


def initialised(folder: Path, template: str) -> Path:
    """A workspace of one template."""
    root = folder / template
    init_workspace(root, template=template, now=NOW, progress=_silent)
    return root


def planned(root: Path, *, now: datetime = NOW, changes: Mapping[str, Callable[[str], str]] | None = None) -> MadePlan:
    """The plan of a workspace, nothing signed; `changes` edits files first and takes the signatures over them away."""
    if changes:
        shutil.rmtree(root / "signatures")
    for name, change in (changes or {}).items():
        path = root / name
        before = path.read_text(encoding="utf-8")
        after = change(before)
        if after == before:
            raise ValueError(f"the change of {name} changes nothing")
        path.write_text(after, encoding="utf-8")
    return make(root, PlanOptions(), now=now, progress=_silent)


def units_of(plan: MadePlan) -> dict[str, Unit]:
    """Units by id."""
    return {value["id"]: Unit.from_json(value) for value in plan.payload["units"]}


def resolved(unit: Unit, network: Mapping[str, Any]) -> Unit:
    """A unit as it is once its platform is there."""
    if "network" not in unit.inputs:
        return unit
    return Unit(unit.id, unit.program, {**unit.inputs, "network": dict(network)}, unit.depends_on)


NETWORK = {"vpc": "vpc-0123", "subnets": ["subnet-a", "subnet-b"], "storagePrefixList": "pl-6da54004"}

__all__ = ["CLOUD_TEMPLATES", "NETWORK", "NOW", "initialised", "planned", "resolved", "units_of"]
