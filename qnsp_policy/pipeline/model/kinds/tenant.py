"""Tenant: whose data it is, which tier protects it, what it may use, who owns it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qnsp_policy.pipeline.model.kinds.base import Attester, Document
from qnsp_policy.pipeline.model.kinds.checks import distinct
from qnsp_policy.pipeline.model.references import TierRef
from qnsp_policy.pipeline.model.scalars import (
    Duration,
    Expiry,
    IdentityName,
    Int,
    Jwk,
    Name,
    Part,
    Quantity,
    Size,
    Word,
)


class Quotas(Part):
    """What a tenant, or one endpoint, may use; nothing said means no bound here."""

    requests_per_minute: Quantity | None = None
    tokens_per_day: Quantity | None = None
    gpus: Int | None = None
    keys: Int | None = None
    storage: Size | None = None


class ApiKey(Part):
    """A public key whose holder may call the tenant's endpoints."""

    name: Name
    key: Jwk
    expires: Expiry
    scopes: tuple[Name, ...] = ()
    """Names of endpoints; empty means all of the tenant's."""


class TenantSpec(Part):
    """One party whose data and models are kept apart from all others'."""

    tier: TierRef
    profiles: tuple[TierRef, ...] = ()
    """Further tiers that must hold as well; what is admitted is what all of them admit."""
    regions: Annotated[tuple[Word, ...], Field(min_length=1)]
    data_classes: tuple[Name, ...] = ()
    hosting: Literal["local", "on-premises", "vpc", "sovereign-cloud"] | None = None
    attesters: tuple[Attester, ...] = ()
    """Attesters that may hold its data; empty means what the tier admits."""
    owners: Annotated[tuple[IdentityName, ...], Field(min_length=1)]
    quotas: Quotas = Quotas()
    audit_retention: Duration = Duration("180d")
    api_keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> TenantSpec:
        distinct((key.name for key in self.api_keys), "API key")
        distinct(self.owners, "owner")
        return self


class Tenant(Document):
    """Whose data it is."""

    kind: Literal["Tenant"]
    spec: TenantSpec


__all__ = ["ApiKey", "Quotas", "Tenant", "TenantSpec"]
