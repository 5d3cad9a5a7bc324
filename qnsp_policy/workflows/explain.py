"""`explain ADDRESS` and `graph`: what is known of one document; how all of them hang together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnsp_policy.pipeline.model import Address, Workspace
from qnsp_policy.pipeline.model.kinds import Enclave, Endpoint, KeyBroker, Tenant
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.review.graph import Graph
from qnsp_policy.pipeline.review.picture import Picture, picture_of
from qnsp_policy.pipeline.trust.diff import conditions
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.workflows.trust import trust_show


@dataclass(frozen=True, slots=True)
class Explained:
    """One document: as written, as read, and what follows.

    Attributes:
        address, place: which, and where.
        spec: with every default filled in.
        defaults: names of fields that the author left to the default.
        used_by: documents that refer to it.
        tier: of a tenant, or of whatever belongs to one.
        own_tier: whether that tier is a document of the workspace, not of the shipped catalog.
        grants: sentences of trust that it takes part in.
        signers: who verifiably signed it, if it was asked.
    """

    address: str
    place: str
    spec: Mapping[str, Any]
    defaults: tuple[str, ...]
    used_by: tuple[str, ...]
    tier: Mapping[str, Any] | None
    grants: tuple[str, ...]
    own_tier: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "place": self.place,
            "spec": self.spec,
            "defaults": list(self.defaults),
            "usedBy": list(self.used_by),
            "tier": self.tier,
            "grants": list(self.grants),
        }

    def text(self) -> str:
        lines = [f"{self.address}   {self.place}", ""]
        for name, value in self.spec.items():
            note = "   (default)" if name in self.defaults else ""
            lines.append(f"  {name}: {_cut(_flow(value))}{note}")
        if self.tier is not None:
            whose = "your own" if self.own_tier else "of the shipped catalog"
            lines += ["", f"From tier {self.tier['address']} ({whose}):"]
            for name in ("kem", "signature", "aead", "hash", "tls", "hybrid", "custody", "maxLease"):
                if name in self.tier:
                    lines.append(f"  {name}: {_cut(_flow(self.tier[name]))}")
        if self.used_by:
            lines += ["", f"Used by: {', '.join(self.used_by)}"]
        if self.grants:
            lines += ["", "Trust:", *(f"  {grant}" for grant in self.grants)]
        return "\n".join(lines)


def _flow(value: Any) -> str:
    """A value on one line as YAML writes it, members that are not set left out."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items() if inner is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) < 88 else text[:85] + "..."


def explain(root: Path, address: str) -> Explained:
    """What is known of a document of the workspace or of the catalog.

    Raises:
        DocumentError: there is none of that address; names the nearest.
    """
    workspace = load(root)
    found = Address(address)
    document = workspace.get(found)
    tier = workspace.tier_of(found).to_json() if isinstance(document, Tenant) else None
    spec = document.model_dump(mode="json", by_alias=True)["spec"]
    written = workspace.raw(found).get("spec", {})
    written_names = set(written) if isinstance(written, Mapping) else set()
    return Explained(
        address=address,
        place=str(workspace.place(found)),
        spec=spec,
        defaults=tuple(name for name in spec if name not in written_names),
        used_by=tuple(
            str(other) for other in workspace.documents if other != found and _mentions(workspace.raw(other), address)
        ),
        tier=tier,
        own_tier=tier is not None and tier["address"] in workspace.documents,
        grants=tuple(
            f"{grant.enclave} may obtain {grant.resource} under {conditions(grant)}  ({grant.place})"
            for grant in effective_grants(workspace)
            if address in {grant.grant, grant.broker, grant.tenant, grant.enclave}
        ),
    )


def _mentions(value: object, address: str) -> bool:
    if isinstance(value, Mapping):
        return any(_mentions(member, address) for member in value.values())
    if isinstance(value, list):
        return any(_mentions(member, address) for member in value)
    return value == address


def picture_of_workspace(root: Path) -> tuple[Picture, list[str]]:
    """Which enclave may get which key and what it serves, and what holds over all of it."""
    workspace = load(root)
    shown = trust_show(root)
    served = [{"endpoint": {"name": str(e.name), "enclave": str(e.spec.enclave)}} for e in workspace.of_kind(Endpoint)]
    return picture_of(shown.grants, (), served), list(shown.statements)


def graph_of(root: Path) -> Graph:
    """Tenants, brokers, enclaves and endpoints, with the grants between them."""
    workspace: Workspace = load(root)
    nodes: list[tuple[str, str, str]] = []
    edges: list[tuple[str, str, str]] = []
    for kind, group in ((Tenant, "tenants"), (KeyBroker, "brokers"), (Enclave, "enclaves"), (Endpoint, "endpoints")):
        nodes += [(str(document.address), str(document.name), group) for document in workspace.of_kind(kind)]
    for broker in workspace.of_kind(KeyBroker):
        edges += [(str(tenant), str(broker.address), "keys") for tenant in broker.spec.tenants]
    for grant in effective_grants(workspace):
        if not grant.implicit:
            edges.append((grant.broker, grant.enclave, grant.resource))
    for endpoint in workspace.of_kind(Endpoint):
        edges.append(
            (str(endpoint.spec.enclave), str(endpoint.address), str(endpoint.spec.response_signature.algorithm))
        )
        edges += [(str(endpoint.address), str(tenant), "answers") for tenant in endpoint.spec.tenants]
    return Graph(tuple(nodes), tuple(edges))


__all__ = ["Explained", "explain", "graph_of", "picture_of_workspace"]
