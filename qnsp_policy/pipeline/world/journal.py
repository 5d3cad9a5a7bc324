"""What our provider was about to do and did, one JSON line each, so that an engine run needs no checkpoint after every step.

In: lines that a provider wrote (`pulumi_qnsp/journal_edge.py`). Out: the resources that a run made or may have made and
that the stack's state does not hold, and the state completed by them. What was begun and not ended counts as made: the
refresh of the next run reads whether it is there. Deletes need no trace, because deleting again does nothing.
Format `qnsp.journal/v1` (docs/formats/state.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Json = dict[str, Any]
_STACK = "pulumi:pulumi:Stack"
_PROVIDER = "pulumi:providers:qnsp"


def begin_line(op: str, urn: str, resource_id: str, inputs: Mapping[str, Any]) -> bytes:
    """Said before a resource is touched.

    Args:
        op: create or update.
        urn: the resource's.
        resource_id: the id it has or will have.
        inputs: what it was asked to be.
    """
    return _line({"at": "begin", "op": op, "urn": urn, "id": resource_id, "inputs": dict(inputs)})


def end_line(urn: str, resource_id: str, state: Mapping[str, Any]) -> bytes:
    """Said when it was made or changed; `state` are the members that its inputs do not say."""
    return _line({"at": "end", "urn": urn, "id": resource_id, "state": dict(state)})


def refused_line(urn: str) -> bytes:
    """Said when a create was refused before anything was made."""
    return _line({"at": "refused", "urn": urn})


def _line(value: Json) -> bytes:
    # A line that broke off on a full disk must not take the next one with it.
    return b"\n" + json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Made:
    """A resource as the journal knows it.

    Attributes:
        created: by this run; otherwise it was changed.
        state: its outputs, as far as they were said.
    """

    urn: str
    id: str
    inputs: Json
    state: Json
    created: bool


def fold(data: bytes) -> tuple[Made, ...]:
    """What a journal's lines come to, in the order of their first touch; a line that broke off says nothing."""
    made: dict[str, Made] = {}
    for line in data.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
            at, urn = str(entry["at"]), str(entry["urn"])
            if at == "begin":
                _begin(made, entry, urn)
            elif at == "end" and urn in made:
                made[urn] = replace(made[urn], id=str(entry["id"]), state=made[urn].inputs | entry["state"])
            elif at == "refused":
                made.pop(urn, None)
        except (ValueError, KeyError, TypeError):
            continue
    return tuple(made.values())


def _begin(made: dict[str, Made], entry: Json, urn: str) -> None:
    inputs, before = dict(entry["inputs"]), made.get(urn)
    match entry["op"]:
        case "create":
            made[urn] = Made(urn, str(entry["id"]), inputs, inputs, created=True)
        case "update":
            created = before is not None and before.created
            earlier = before.inputs if before is not None else {}
            both = _united(earlier, inputs)
            made[urn] = Made(urn, str(entry["id"]), both, both, created=created)


def _united(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """New inputs, with the members of maps that only the old ones had: of a change that broke off both may be there."""
    return {
        name: {**old[name], **member} if isinstance(member, dict) and isinstance(old.get(name), dict) else member
        for name, member in new.items()
    }


def completed(deployment: Mapping[str, Any], made: Iterable[Made], stack: str, project: str) -> Json | None:
    """A stack's exported deployment with what its journal adds; None when that is nothing.

    Args:
        deployment: member `deployment` of `stack export`.
        made: from the journal, in order.
        stack: its name in URNs.
        project: its project's name in URNs.
    """
    resources = [dict(item) for item in deployment.get("resources") or []]
    by_urn = {str(item["urn"]): item for item in resources}
    root = f"urn:pulumi:{stack}::{project}::{_STACK}::{project}-{stack}"
    provider = next((item for item in resources if item.get("type") == _PROVIDER), None)
    before = [root]
    changed = False
    for item in made:
        held = by_urn.get(item.urn)
        if held is not None and held.get("id") == item.id and held.get("inputs") == item.inputs:
            continue
        if held is not None:
            # Changed, or deleted and made anew: what the engine last saved is not what was last asked for.
            old = held.get("inputs") or {}
            held["inputs"] = item.inputs if item.created else _united(old, item.inputs)
            held["outputs"] = {**(held.get("outputs") or {}), **_united(old, item.state)}
            held["id"] = item.id
            changed = True
            continue
        if not item.created:
            continue
        if provider is None:
            provider = _provider(stack, project)
            _add(resources, by_urn, root, provider)
        resources.append(_resource(item, root, provider, before))
        by_urn[item.urn] = resources[-1]
        before = [item.urn]
        changed = True
    return {**deployment, "resources": resources} if changed else None


def _add(resources: list[Json], by_urn: dict[str, Json], root: str, provider: Json) -> None:
    if root not in by_urn:
        resources.insert(0, {"urn": root, "custom": False, "type": _STACK})
        by_urn[root] = resources[0]
    resources.insert(1, provider)


def _provider(stack: str, project: str) -> Json:
    return {
        "urn": f"urn:pulumi:{stack}::{project}::{_PROVIDER}::default",
        "custom": True,
        "id": "00000000-0000-4000-8000-000000000000",
        "type": _PROVIDER,
        "inputs": {},
        "outputs": {},
    }


def _resource(item: Made, root: str, provider: Json, before: Sequence[str]) -> Json:
    return {
        "urn": item.urn,
        "custom": True,
        "id": item.id,
        "type": item.urn.split("::")[2].rsplit("$", 1)[-1],
        "inputs": item.inputs,
        "outputs": item.state,
        "parent": root,
        # What it leans on is not known; in the order of their making nothing is deleted before what needs it.
        "dependencies": list(before),
        "provider": f"{provider['urn']}::{provider['id']}",
        "protect": "::qnsp:broker:SealedKey::" in item.urn,
    }


__all__ = ["Made", "begin_line", "completed", "end_line", "fold", "refused_line"]
