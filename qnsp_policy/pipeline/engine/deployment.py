"""What the engine says, as values of ours: a stack's exported state, the steps of a preview. Values only."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.pipeline.plan.values import Op, PlannedStep, Step

Json = dict[str, Any]
MARKUP = re.compile(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m")
_OPS = {
    "create": Op.CREATE,
    "import": Op.CREATE,
    "update": Op.UPDATE,
    "delete": Op.DELETE,
    "replace": Op.REPLACE,
    "create-replacement": Op.REPLACE,
}
_PROGRESS = re.compile(r"@ |[-+~]{1,2} +\S+:")
_PASSING = frozenset({"created", "modified", "propertyDependencies"})
_OWN_TYPES = ("pulumi:pulumi:Stack", "pulumi:providers:")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack's exported state.

    Attributes:
        digest: SHA-256 of its canonical form, without times.
        outputs: the stack's outputs.
        resources: type and name of each resource of ours.
        held: broker objects by resource name, with the digest that was handed over.
        pending: operations that an interrupted run left open.
        ids: of each resource of ours, by type and name.
    """

    digest: str
    outputs: Json
    resources: tuple[tuple[str, str], ...]
    held: Mapping[str, str]
    pending: int
    ids: Mapping[tuple[str, str], str] = field(default_factory=dict)


def deployment_of(exported: Any) -> Deployment:
    """Read `pulumi stack export`."""
    deployment = exported.get("deployment") or {}
    resources = deployment.get("resources") or []
    outputs: Json = {}
    ours = []
    held, ids = {}, {}
    for resource in resources:
        kind = str(resource.get("type", ""))
        if kind == "pulumi:pulumi:Stack":
            outputs = dict(resource.get("outputs") or {})
        elif not kind.startswith(_OWN_TYPES):
            name = str(resource["urn"]).rsplit("::", 1)[-1]
            ours.append((kind, name))
            ids[kind, name] = str(resource.get("id", ""))
            if kind.startswith("qnsp:broker:"):
                held[name] = str((resource.get("outputs") or {}).get("digest", ""))
    pending = len(deployment.get("pending_operations") or [])
    return Deployment(sha256_digest(jcs(_lasting(deployment))), outputs, tuple(ours), held, pending, ids)


def _lasting(deployment: Json) -> Json:
    """A deployment without what changes when nothing does: its manifest, times, and dependencies that a refresh drops."""
    resources = [
        {name: member for name, member in resource.items() if name not in _PASSING}
        for resource in deployment.get("resources") or []
    ]
    return {name: member for name, member in deployment.items() if name != "manifest"} | {"resources": resources}


def with_found(
    deployment: Json,
    found: Mapping[tuple[str, str], str],
    outline: Sequence[Step],
    made_by: Mapping[tuple[str, str], str],
) -> Json:
    """An exported deployment with resources that exist, which its provider has yet to read.

    Args:
        deployment: member `deployment` of `stack export`.
        found: type and name -> id.
        outline: of the unit, which says what stands under what.
        made_by: name of the provider that each resource is declared under, by type and name.

    Raises:
        ValueError: the outline has no such resource, or its component or provider is not in the stack yet.
    """
    resources = [*(deployment.get("resources") or [])]
    by_name = {str(item["urn"]).rsplit("::", 1)[-1]: item for item in resources}
    root = next((item for item in resources if item["type"] == "pulumi:pulumi:Stack"), None)
    providers = {
        str(item["urn"]).rsplit("::", 1)[-1]: item for item in resources if item["type"] == "pulumi:providers:aws"
    }
    steps = {(step.type, step.name): step for step in outline}
    for (kind, name), id_ in sorted(found.items()):
        step = steps.get((kind, name))
        if step is None:
            raise ValueError(f"its plan holds no {kind} {name}")
        parent = by_name.get(step.parent) if step.parent else root
        only = next(iter(providers.values()), None) if len(providers) == 1 else None
        provider = providers.get(made_by.get((kind, name), ""), only)
        if parent is None or root is None or provider is None:
            raise ValueError(f"its stack has no place for {name} yet")
        stack, project, under = str(parent["urn"]).split("::")[:3]
        token = f"{under}${kind}" if step.parent else kind
        resources.append(
            {
                "urn": f"{stack}::{project}::{token}::{name}",
                "custom": True,
                "id": id_,
                "type": kind,
                "inputs": {},
                "outputs": {},
                "parent": parent["urn"],
                "provider": f"{provider['urn']}::{provider['id']}",
            }
        )
    return {**deployment, "resources": resources}


def planned_step(metadata: Mapping[str, Any]) -> PlannedStep | None:
    """The step of an engine event's `metadata`; None for what changes nothing and for the engine's own resources."""
    op, kind = _OPS.get(str(metadata.get("op", ""))), str(metadata.get("type", ""))
    if op is None or kind.startswith(_OWN_TYPES):
        return None
    state: Mapping[str, Any] = metadata.get("new") or metadata.get("old") or {}
    parts = str(metadata["urn"]).split("::")
    parents = parts[2].split("$")[:-1]
    above = str(state.get("parent") or "")
    parent = above.rsplit("::", 1)[-1] if above and parents and "pulumi:pulumi:Stack" not in parents[-1] else None
    inputs = own_inputs(state.get("inputs") or {})
    paths = {str(path).split("[")[0] for path in (metadata.get("detailedDiff") or {})}
    properties = tuple(sorted(paths | set(metadata.get("diffs") or [])))
    return PlannedStep(op, Step(kind, parts[-1], parent, inputs), properties if op in {Op.UPDATE, Op.REPLACE} else ())


def own_inputs(value: Any) -> Any:
    """Inputs without the marks (`__defaults`) that bridged providers put into every object of theirs."""
    if isinstance(value, Mapping):
        return {name: own_inputs(member) for name, member in value.items() if name != "__defaults"}
    return [own_inputs(item) for item in value] if isinstance(value, list) else value


def merge_replacements(steps: list[PlannedStep]) -> tuple[PlannedStep, ...]:
    """One step a resource: the engine tells a replacement as up to three."""
    merged: dict[tuple[str, str], PlannedStep] = {}
    for planned in steps:
        key = (planned.step.type, planned.step.name)
        present = merged.get(key)
        if present is None or planned.op is Op.REPLACE:
            merged[key] = (
                planned
                if present is None or planned.properties
                else PlannedStep(planned.op, planned.step, present.properties)
            )
    return tuple(merged.values())


def without_boilerplate(text: str) -> str:
    """An error's own words without the engine's counting around them."""
    # Of a program's traceback the first line names the error.
    text = text.partition("Traceback (most recent call last)")[0].strip() or text.strip().splitlines()[-1]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("sdk-v2/", "* ")) and "error occurred:" not in line]
    starred = [line.removeprefix("* ").strip() for line in lines if line.startswith("* ")]
    return " ".join([*kept, *starred]) or text


def last_lines(text: str, code: int) -> list[str]:
    """What an engine that gave no diagnostics said in the end, without its progress."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return [f"the engine process was ended by {signal.Signals(-code).name}"]
    lines = [line.strip() for line in MARKUP.sub("", text).splitlines() if line.strip()]
    lines = [line for line in lines if not _PROGRESS.match(line)]
    said = [line for line in lines if line.lower().startswith("error")] or lines[-3:]
    return said or [f"the engine ended with exit code {code} and said nothing"]


__all__ = [
    "MARKUP",
    "Deployment",
    "deployment_of",
    "last_lines",
    "merge_replacements",
    "own_inputs",
    "planned_step",
    "with_found",
    "without_boilerplate",
]
