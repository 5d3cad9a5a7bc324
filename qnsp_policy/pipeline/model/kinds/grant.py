"""Grant: one sentence of trust: this broker may release these resources to these enclaves on such evidence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qnsp_policy.pipeline.model.kinds.attestation import Grace
from qnsp_policy.pipeline.model.kinds.base import Assurance, Document, Floors
from qnsp_policy.pipeline.model.references import BrokerRef, EnclaveRef
from qnsp_policy.pipeline.model.scalars import (
    Duration,
    Expiry,
    IdentityName,
    Moment,
    Part,
    Quantity,
    RelativePath,
    ResourcePath,
    Word,
)


class Appraisal(Part):
    """What evidence must show on top of the enclave's reference values."""

    floors: Floors = Field(default_factory=dict)
    assurance: tuple[Assurance, ...] = ()
    """Classes that are good enough; empty means what the tenant's tier asks."""
    require_checked: tuple[Word, ...] = ()
    """Statements that must not be `not checked`, e.g. revocation."""
    rego: RelativePath | None = None
    """A rule of your own; the trust diff cannot see into it, so any change of it counts as weakened."""
    grace: Grace | None = None


class Licence(Part):
    """Terms under which a bought model may be used."""

    name: Word
    quota: Quantity | None = None
    expires: Expiry | None = None


class GrantSpec(Part):
    """One sentence of trust."""

    resources: Annotated[tuple[ResourcePath, ...], Field(min_length=1)]
    broker: BrokerRef
    to: Annotated[tuple[EnclaveRef, ...], Field(min_length=1)]
    purpose: Literal[
        "inference", "training", "fine-tuning", "retrieval", "evaluation", "signing", "unsealing", "backup"
    ]
    lease: Duration
    not_before: Moment | None = None
    not_after: Expiry | None = None
    appraisal: Appraisal = Appraisal()
    consent: Annotated[tuple[IdentityName, ...], Field(min_length=1)]
    """Owners of the resources who agree."""
    licence: Licence | None = None


class Grant(Document):
    """One sentence of trust."""

    kind: Literal["Grant"]
    spec: GrantSpec


__all__ = ["Appraisal", "Grant", "GrantSpec", "Licence"]
