"""What a resource type must be able to do, and the setting it does it in. Plain JSON in and out, blocking, no Pulumi."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from qnsp_policy.errors import QnspError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and for whom a provider works; given by the engine for one run, never part of a plan or of state.

    Attributes:
        workspace: absolute path of the workspace's folder; every path of a unit is relative to it.
        plan: file of the plan's envelope that authorises this run, None when nothing may be widened (destroy, refresh).
        plan_digest: its digest, "" without one.
        operator_key: file of the private key that signs admin requests, None when the run has none.
        journal: file that says what was done, None where the engine saves its state after every step.
        held: what a new unit may create and with which security properties, by type and name; None without such a bound.
        cancelled: set when the run is to end; waiting stops then.
    """

    workspace: Path
    plan: Path | None = None
    plan_digest: str = ""
    operator_key: Path | None = None
    journal: Path | None = None
    held: Mapping[tuple[str, str], Json] | None = None
    cancelled: Event = field(default_factory=Event)

    def path(self, relative: str) -> Path:
        """An absolute path of a workspace-relative one.

        Raises:
            ValueError: it leads out of the workspace.
        """
        path = Path(relative)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{relative!r} leads out of the workspace")
        return self.workspace / path


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between recorded state and new inputs.

    Attributes:
        properties: path -> kind: add, delete or update.
        replaces: paths that cannot be changed in place.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    replaces: frozenset[str] = frozenset()


class InitFailed(QnspError):  # noqa: N818 - named as the engine names this outcome
    """The resource was made but is not fit for use; it is recorded, so that the next run updates or deletes it."""

    def __init__(self, code: str, message: str, resource_id: str, outputs: Json) -> None:
        super().__init__(code, message)
        self.resource_id = resource_id
        self.outputs = outputs


class NotOurs(QnspError):  # noqa: N818 - says what stands there
    """What stands at the place of a resource was not made for it; it was left alone."""


class Kind(Protocol):
    """One resource type. Every create adopts what is there already if it was made for the same resource.

    `urn` names the resource: stack, type and name.
    """

    def identity(self, inputs: Json) -> str:
        """The id that a resource of these inputs has or will have."""

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What is wrong with inputs, as (property, reason)."""

    def diff(self, setting: Setting, old: Json, new: Json) -> Changes:
        """State against new inputs."""

    def create(self, setting: Setting, urn: str, inputs: Json) -> tuple[str, Json]:
        """Make or adopt it; returns its id and its state."""

    def read(self, setting: Setting, urn: str, resource_id: str, state: Json) -> Json | None:
        """Its state as it is now, or None if it is gone or another resource's."""

    def update(self, setting: Setting, urn: str, old: Json, new: Json) -> Json:
        """Change it in place; returns its state."""

    def delete(self, setting: Setting, urn: str, resource_id: str, state: Json) -> None:
        """Remove it; nothing happens if it is gone or another resource's."""


def compare(
    old: Json, new: Json, *, frozen: frozenset[str] = frozenset(), unseen: frozenset[str] = frozenset()
) -> Changes:
    """Compare inputs member by member; maps one level down, so that a changed file is named.

    Args:
        old: state; members that are no inputs are ignored.
        new: inputs.
        frozen: members that need a replacement.
        unseen: members whose change alone is no change.
    """
    properties: dict[str, str] = {}
    for name in sorted(new):
        if name in unseen:
            continue
        before, after = old.get(name), new[name]
        if isinstance(before, dict) and isinstance(after, dict):
            for key in sorted({*before, *after}):
                if before.get(key) != after.get(key):
                    path = f'{name}["{key}"]'
                    properties[path] = "add" if key not in before else "delete" if key not in after else "update"
        elif before != after:
            properties[name] = "add" if name not in old else "update"
    return Changes(properties, frozenset(path for path in properties if path.split("[")[0] in frozen))


__all__ = ["Changes", "InitFailed", "Json", "Kind", "NotOurs", "Setting", "compare"]
