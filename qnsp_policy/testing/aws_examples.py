"""The examples on AWS, initialised and planned as a stranger would: through the workflows, in a folder of the test's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from qnsp_policy.pipeline.engine.programs import outlines
from qnsp_policy.pipeline.model.build import build
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.plan import make as making
from qnsp_policy.pipeline.plan.lowering.lower import attachments_needed
from qnsp_policy.pipeline.plan.make import Circumstances, Plan, make_plan
from qnsp_policy.pipeline.plan.values import Previews, Unit
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedState
from qnsp_policy.testing.clinic import WORKSPACE_ID, FakePreviews
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


@dataclass(frozen=True)
class Cloud:
    """An example on AWS in memory, planned without an engine; `change` replaces text in it, as somebody would.

    Attributes:
        texts: documents by file.
        attachments: files that documents name.
        change: old text to new.
    """

    texts: Mapping[str, str]
    attachments: Mapping[str, bytes]
    change: Mapping[str, str] = field(default_factory=dict)

    def but(self, change: Mapping[str, str]) -> Cloud:
        """The same with other texts."""
        return replace(self, change=change)

    @cached_property
    def workspace(self) -> Workspace:
        """The documents."""
        texts = dict(self.texts)
        for old, new in self.change.items():
            if not any(old in text for text in texts.values()):
                raise ValueError(f"{old!r} is not in the documents")
            texts = {name: text.replace(old, new) for name, text in texts.items()}
        return build({name: text.encode() for name, text in texts.items()})

    def genesis(self) -> RecordedState:
        """The state right after `init`."""
        return RecordedState(Genesis(WORKSPACE_ID, trust_root_value(self.workspace), NOW))

    def plan(
        self,
        recorded: RecordedState,
        *,
        previews: Previews | None = None,
        circumstances: Circumstances | None = None,
        **options: Any,
    ) -> Plan:
        """A plan of these documents against `recorded`; destroying the broker's store is allowed."""
        return make_plan(
            self.workspace,
            effective_grants(self.workspace),
            recorded,
            previews or FakePreviews(),
            outlines(),
            (),
            now=NOW,
            author="alice@clinic.example",
            options=making.PlanOptions(destroy_keys=("broker/main/store",), **options),
            circumstances=circumstances or Circumstances(attachments=self.attachments),
        )


def in_memory(root: Path) -> Cloud:
    """An initialised example."""
    found = Cloud({path.name: path.read_text(encoding="utf-8") for path in root.glob("*.yaml")}, {})
    return replace(
        found, attachments={name: (root / name).read_bytes() for name in attachments_needed(found.workspace)}
    )


NETWORK = {"vpc": "vpc-0123", "subnets": ["subnet-a", "subnet-b"], "storagePrefixList": "pl-6da54004"}

__all__ = ["CLOUD_TEMPLATES", "NETWORK", "NOW", "Cloud", "in_memory", "initialised", "planned", "resolved", "units_of"]
