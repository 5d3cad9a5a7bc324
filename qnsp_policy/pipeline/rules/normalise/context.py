"""What the parts of the normaliser share: one workspace, one moment, and look-ups made once.

Comes in: `Workspace`, verified signers, `now`. Goes out: answers such as "which tier", "who signed", "which capability".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Generic, NamedTuple, Protocol, TypeVar

from qnsp_policy.pipeline.model import Address, ResolvedTier, Workspace
from qnsp_policy.pipeline.model.kinds import (
    AlgorithmTimeline,
    KeyHierarchy,
    PlatformCapability,
    ReferenceValues,
    Tenant,
)
from qnsp_policy.pipeline.model.kinds.shipped import PlatformCapabilitySpec
from qnsp_policy.pipeline.model.scalars import Moment
from qnsp_policy.pipeline.model.tiers import ROTATIONS
from qnsp_policy.pipeline.rules.algorithms import AlgorithmFacts, facts_of

Path = Sequence[str | int]

APPROVING = frozenset({"security", "operator"})
"""Roles whose holders approve plans that others wrote."""


class Signer(Protocol):
    """Who signed a document, as verified against the TrustRoot."""

    @property
    def identity(self) -> str:
        """The identity's name."""

    @property
    def roles(self) -> Sequence[str]:
        """What the TrustRoot lets it do."""


KEY_CLASSES = (*ROTATIONS, "other")
"""Classes of keys whose life a tier bounds, and all others."""

M = TypeVar("M")


class Located(NamedTuple, Generic[M]):
    """A member of a population and where it stands: its document and the field inside it, empty for the whole."""

    address: Address
    path: Path
    member: M


@dataclass(frozen=True)
class Context:
    """One run's look-ups.

    Attributes:
        workspace: what is judged.
        now: the moment to judge at, Unix seconds.
        signers: verified signers by document.
        rules: ids of every rule of this run.
    """

    workspace: Workspace
    now: int
    signers: Mapping[Address, Sequence[Signer]] = field(repr=False)
    rules: frozenset[str] = frozenset()

    @cached_property
    def production(self) -> bool:
        """Whether the project says so."""
        return self.workspace.project.spec.environment == "production"

    @cached_property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Roles by identity of the Project's TrustRoot."""
        return {str(one.name): tuple(one.roles) for one in self.workspace.trust_root.spec.identities}

    def roles_of(self, identity: str) -> list[str]:
        """Roles of an identity, sorted; empty for one that the TrustRoot does not know."""
        return sorted(self.roles.get(identity, ()))

    def holders(self, *roles: str) -> list[str]:
        """Identities that hold at least one of some roles, sorted."""
        return sorted(name for name, held in self.roles.items() if set(held) & set(roles))

    def signed_by(self, address: Address) -> list[str]:
        """Names of the identities whose signatures on a document were verified, sorted."""
        return sorted({str(signer.identity) for signer in self.signers.get(address, ())})

    def tier_of(self, tenant: Address) -> ResolvedTier:
        """The tier of a tenant, narrowed by its profiles."""
        return self.workspace.tier_of(tenant)

    def tier(self, address: Address) -> ResolvedTier:
        """A tier with what it extends, resolved once."""
        found = self._resolved.get(address)
        if found is None:
            found = self._resolved[address] = self.workspace.tier(address)
        return found

    @cached_property
    def _resolved(self) -> dict[Address, ResolvedTier]:
        return {}

    def bar_of(self, tenant: Address) -> str:
        """The name under which the input's table of tiers holds what a tenant's tier and profiles ask."""
        found = self._bars.get(tenant)
        if found is None:
            spec = self.tenants[tenant].spec
            found = self._bars[tenant] = " & ".join((spec.tier, *spec.profiles))
        return found

    @cached_property
    def _bars(self) -> dict[Address, str]:
        return {}

    def tiers(self, tenants: Sequence[Address]) -> list[ResolvedTier]:
        """The tiers of some tenants."""
        return [self.workspace.tier_of(tenant) for tenant in tenants]

    @cached_property
    def tenants(self) -> Mapping[Address, Tenant]:
        """The user's tenants by address."""
        return {tenant.address: tenant for tenant in self.workspace.of_kind(Tenant)}

    @cached_property
    def hierarchies(self) -> Mapping[Address, tuple[KeyHierarchy, ...]]:
        """Key hierarchies by tenant."""
        found: dict[Address, tuple[KeyHierarchy, ...]] = {}
        for hierarchy in self.workspace.of_kind(KeyHierarchy):
            tenant = hierarchy.spec.tenant
            found[tenant] = (*found.get(tenant, ()), hierarchy)
        return found

    @cached_property
    def reference_values(self) -> Mapping[Address, ReferenceValues]:
        """ReferenceValues by address."""
        return {values.address: values for values in self.workspace.of_kind(ReferenceValues)}

    @cached_property
    def _capabilities(self) -> Mapping[str, PlatformCapabilitySpec]:
        shipped = (d for d in self.workspace.catalog.values() if isinstance(d, PlatformCapability))
        own = self.workspace.of_kind(PlatformCapability)
        return {str(document.spec.platform): document.spec for document in (*shipped, *own)}

    def capability(self, platform_type: str) -> PlatformCapabilitySpec | None:
        """What a platform type can do, by the user's own document if there is one; None if nobody says."""
        return self._capabilities.get(platform_type)

    @cached_property
    def _timelines(self) -> tuple[AlgorithmTimeline, ...]:
        shipped = (d for d in self.workspace.catalog.values() if isinstance(d, AlgorithmTimeline))
        general = tuple(timeline for timeline in shipped if timeline.name.startswith("nist"))
        return (*general, *self.workspace.of_kind(AlgorithmTimeline))

    @cached_property
    def _facts(self) -> dict[str, AlgorithmFacts]:
        return {}

    def algorithm(self, name: str) -> AlgorithmFacts:
        """What is known of an algorithm, with the dates of the time-lines that apply."""
        found = self._facts.get(name)
        if found is None:
            found = self._facts[name] = facts_of(name, self._timelines)
        return found


def seconds(moment: Moment | datetime) -> int:
    """Unix seconds of a document's moment or of an aware datetime."""
    at = moment if isinstance(moment, datetime) else moment.at
    return int(at.timestamp())


def sentence(text: str) -> str:
    """A text of a document as the end of a message: with one full stop; nothing stays nothing."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


__all__ = ["APPROVING", "KEY_CLASSES", "Context", "Located", "Path", "Signer", "seconds", "sentence"]
