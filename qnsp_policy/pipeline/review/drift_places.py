"""The document line that stands behind what drifted."""

from __future__ import annotations

from qnsp_policy.errors import Place
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.kinds import KeyHierarchy
from qnsp_policy.pipeline.model.scalars import Address

_KINDS = {
    "platform": "Platform",
    "aws-keys": "KeyHierarchy",
    "broker": "KeyBroker",
    "tenant": "Tenant",
    "enclave": "Enclave",
    "endpoint": "Endpoint",
}


def place_of(workspace: Workspace, unit: str, resource: str) -> Place | None:
    """Where the documents say what a unit's resource should be; None where they no longer do.

    Args:
        workspace: the documents.
        unit: its id.
        resource: as a deviation names it.
    """
    kind, _, name = unit.partition("/")
    if kind == "platform" and resource.startswith(("role ", "policy of a role ", "instance profile ")):
        # A role is a fleet's: what it may do follows from its grants.
        fleet = resource.rpartition(" ")[2].removeprefix(f"qnsp-{workspace.project.name}-")
        for address in (Address(f"Enclave/{fleet}"), Address(f"KeyBroker/{fleet}")):
            if address in workspace.documents:
                return workspace.place(address, "metadata", "name")
    address = Address(f"{_KINDS.get(kind, kind)}/{name}")
    if address not in workspace.documents:
        return None
    if kind == "aws-keys":
        hierarchy = workspace.find(address, KeyHierarchy)
        for index, key in enumerate(hierarchy.spec.keys):
            if f"/{key.name}@" in resource or resource.endswith(f"/{key.name}") or f"/{key.name}/v" in resource:
                return workspace.place(address, "spec", "keys", index)
        if "signing-root" in resource:
            return workspace.place(address, "spec", "signingRoot")
    return workspace.place(address, "metadata", "name")


__all__ = ["place_of"]
