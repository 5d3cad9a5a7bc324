"""`trust show|diff`: grants and their difference, from documents alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.documents.problems import did_you_mean
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.kinds import Enclave, Tenant
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.brokers import Home, broker_grants, homes_of_documents
from qnsp_policy.pipeline.trust.codec import grant_to_json
from qnsp_policy.pipeline.trust.diff import TrustDiff, trust_diff
from qnsp_policy.pipeline.trust.grants import blocked_grants, effective_grants
from qnsp_policy.pipeline.trust.values import BlockedGrant, EffectiveGrant
from qnsp_policy.workflows.revisions import load_side


@dataclass(frozen=True, slots=True)
class TrustShown:
    """Who may get what.

    Attributes:
        grants: in effect.
        blocked: written, but allowing nothing.
        statements: what holds over all of them, in words.
        brokers: who may become each of those that serve the tenants shown.
    """

    grants: tuple[EffectiveGrant, ...]
    blocked: tuple[BlockedGrant, ...]
    statements: tuple[str, ...]
    brokers: tuple[Home, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "formatVersion": "1.0",
            "grants": [
                {
                    "broker": grant.broker,
                    "tenant": grant.tenant,
                    "resource": grant.resource,
                    **grant_to_json(grant),
                    "place": str(grant.place),
                }
                for grant in self.grants
            ],
            "blocked": [
                {
                    "grant": blocked.grant,
                    "resource": blocked.resource,
                    "enclave": blocked.enclave,
                    "reason": blocked.reason,
                    "place": str(blocked.place),
                }
                for blocked in self.blocked
            ],
            "brokers": [{**home.to_json(), "measured": not home.unmeasured} for home in self.brokers],
            "statements": list(self.statements),
        }


def trust_show(root: Path, *, tenant: str | None = None, enclave: str | None = None) -> TrustShown:
    """The grants in effect, narrowed to a tenant or an enclave.

    Raises:
        OperatorError: no such tenant or enclave.
    """
    workspace = load(root)
    wanted_tenant = _address(workspace, "Tenant", tenant, [document.name for document in workspace.of_kind(Tenant)])
    wanted_enclave = _address(workspace, "Enclave", enclave, [document.name for document in workspace.of_kind(Enclave)])
    grants = effective_grants(workspace)
    blocked = blocked_grants(workspace)
    shown = tuple(
        grant
        for grant in grants
        if (not wanted_tenant or grant.tenant == wanted_tenant)
        and (not wanted_enclave or grant.enclave == wanted_enclave)
    )
    statements = [f"blocked: {b.grant} gives {b.resource} to nobody: {b.reason} ({b.place})" for b in blocked]
    narrowed = {grant.broker for grant in shown} if wanted_tenant or wanted_enclave else None
    brokers = tuple(home for home in homes_of_documents(workspace) if narrowed is None or home.broker in narrowed)
    return TrustShown(shown, blocked, (*statements, crossing(workspace, grants)), brokers)


def crossing(workspace: Workspace, grants: Sequence[EffectiveGrant]) -> str:
    """Whether any grant gives a tenant's key to an enclave in which another tenant may run."""
    tenants = [document.address for document in workspace.of_kind(Tenant)]
    pairs = len(tenants) * (len(tenants) - 1)
    crossed = []
    for grant in grants:
        runs = {
            str(t)
            for document in workspace.of_kind(Enclave)
            if document.address == grant.enclave
            for t in document.spec.tenants
        }
        if runs - {grant.tenant}:
            crossed.append(f"{grant.resource} to {grant.enclave} (runs for {', '.join(sorted(runs))})")
    outside = "outside this model: administrators of the machines and clouds"
    if crossed:
        return f"! {len(crossed)} grants cross a tenant: {'; '.join(crossed)} ({outside})"
    return f"no declared grant crosses a tenant ({pairs} of {pairs} pairs; {outside})"


def trust_diff_of(root: Path, base: str, head: str | None) -> dict[str, Any]:
    """The trust diff of two folders or revisions as JSON."""
    before = load_side(root, base)
    after = load(root) if head is None else load_side(root, head)
    return {
        "formatVersion": "1.0",
        "base": base,
        "head": head or str(root),
        **diff_of_documents(before, after).to_json(),
    }


def diff_of_documents(before: Workspace, after: Workspace) -> TrustDiff:
    """The trust diff of two sets of documents: grants, and who may become the brokers that release them."""
    old, new = broker_grants(homes_of_documents(before), homes_of_documents(after))
    return trust_diff((*effective_grants(before), *old), (*effective_grants(after), *new))


def _address(workspace: Workspace, kind: str, name: str | None, known: list[str]) -> str | None:
    if name is None:
        return None
    wanted = name if "/" in name else f"{kind}/{name}"
    if wanted not in workspace.documents:
        raise OperatorError(
            "QNSP-OPS-055",
            f"there is no {wanted}",
            subject=wanted,
            next_step=did_you_mean(name, known),
        )
    return wanted


__all__ = ["TrustShown", "crossing", "diff_of_documents", "trust_diff_of", "trust_show"]
