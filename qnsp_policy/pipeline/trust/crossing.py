"""Whether any grant crosses a tenant: for every ordered pair of tenants, a key of one in an enclave that runs for the other.

A statement about declared grants only. What lies outside of the model is named beside it, never left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qnsp_policy.pipeline.model.kinds import Enclave, Platform, Tenant
from qnsp_policy.pipeline.model.kinds.platform import is_simulated
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.trust.values import EffectiveGrant, GuardrailKind, Json


@dataclass(frozen=True, slots=True)
class Crossing:
    """A grant that releases a key of one tenant to an enclave that also runs for others."""

    grant: str
    resource: str
    enclave: str
    tenants: tuple[str, ...]
    place: str

    def to_json(self) -> Json:
        return {
            "grant": self.grant,
            "resource": self.resource,
            "enclave": self.enclave,
            "tenants": list(self.tenants),
            "place": self.place,
        }


@dataclass(frozen=True, slots=True)
class CrossTenant:
    """The proof line.

    Attributes:
        pairs: ordered pairs of different tenants, all of which were looked at.
        crossed: the grants that cross one.
        outside: what this model cannot see, in words.
    """

    pairs: int
    crossed: tuple[Crossing, ...]
    outside: tuple[str, ...]

    def to_json(self) -> Json:
        return {
            "pairs": self.pairs,
            "crossed": [crossing.to_json() for crossing in self.crossed],
            "outside": list(self.outside),
        }


def cross_tenant(workspace: Workspace, grants: Iterable[EffectiveGrant]) -> CrossTenant:
    """Look at every ordered pair of tenants.

    Args:
        workspace: for tenants, the tenants of each enclave and the platforms.
        grants: those in effect.
    """
    tenants = len(workspace.of_kind(Tenant))
    crossed = []
    opaque = set()
    for grant in grants:
        enclave = workspace.find(Address(grant.enclave), Enclave)
        others = tuple(sorted(name.split("/")[-1] for name in enclave.spec.tenants if name != grant.tenant))
        if others:
            crossed.append(Crossing(grant.grant, grant.resource, grant.enclave, others, str(grant.place)))
        opaque |= {rail.values for rail in grant.guardrails if rail.kind is GuardrailKind.OPAQUE}
    outside = _outside(workspace)
    if opaque:
        outside.append(f"{len(opaque)} user rule{'s' if len(opaque) > 1 else ''}")
    return CrossTenant(tenants * (tenants - 1), tuple(crossed), tuple(outside))


def _outside(workspace: Workspace) -> list[str]:
    types = {platform.spec.type for platform in workspace.of_kind(Platform)}
    found = []
    if any(is_simulated(platform.spec) for platform in workspace.of_kind(Platform)):
        found.append("whoever controls this machine: simulated hardware proves nothing")
    if types & {"aws", "gcp", "azure"}:
        found.append("cloud account admins")
    if "kubernetes" in types:
        found.append("cluster admins")
    if "bare-metal" in types:
        found.append("physical access")
    return found


__all__ = ["CrossTenant", "Crossing", "cross_tenant"]
