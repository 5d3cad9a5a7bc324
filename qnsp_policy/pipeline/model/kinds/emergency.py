"""Revocation: what must no longer be trusted; BreakGlass: release in an emergency, approved in advance."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qnsp_policy.pipeline.model.kinds.base import Attester, Document, Floors
from qnsp_policy.pipeline.model.kinds.checks import distinct, needs, reachable
from qnsp_policy.pipeline.model.references import ArtefactRef, BrokerRef
from qnsp_policy.pipeline.model.scalars import (
    Count,
    Digest,
    Expiry,
    Hex,
    IdentityName,
    Moment,
    Part,
    ResourcePath,
    Sentence,
    Word,
)


class RevokedMeasurement(Part):
    """A measurement of an attester."""

    type: Literal["measurement"]
    attester: Attester
    claim: Word
    value: Hex


class RevokedImage(Part):
    """An image, by document or digest."""

    type: Literal["image"]
    image: ArtefactRef | None = None
    digest: Digest | None = None

    @model_validator(mode="after")
    def _names_one(self) -> RevokedImage:
        needs(self.image is not None or self.digest is not None, "digest", "no `image` is named")
        return self


class RevokedChip(Part):
    """One chip."""

    type: Literal["chip"]
    attester: Attester
    chip_id: Hex


class RevokedKey(Part):
    """A key, by RFC 7638 thumbprint or as a resource."""

    type: Literal["key"]
    key_id: Word | None = None
    resource: ResourcePath | None = None

    @model_validator(mode="after")
    def _names_one(self) -> RevokedKey:
        needs(self.key_id is not None or self.resource is not None, "keyId", "no `resource` is named")
        return self


class RevokedTcb(Part):
    """Every TCB below these versions."""

    type: Literal["tcb"]
    attester: Attester
    product_line: Word | None = None
    below: Annotated[Floors, Field(min_length=1)]


class RevokedPublisher(Part):
    """Everything a publisher signed."""

    type: Literal["publisher"]
    publisher: IdentityName


Revoked = Annotated[
    RevokedMeasurement | RevokedImage | RevokedChip | RevokedKey | RevokedTcb | RevokedPublisher,
    Field(discriminator="type"),
]


class RevocationSpec(Part):
    """What must no longer be trusted; it can only tighten."""

    revokes: Revoked
    reason: Sentence
    responder: IdentityName
    since: Moment
    brokers: tuple[BrokerRef, ...] = ()
    """Brokers it goes to; empty means all."""
    advisory: Word | None = None


class Revocation(Document):
    """What must no longer be trusted."""

    kind: Literal["Revocation"]
    spec: RevocationSpec


class BreakGlassSpec(Part):
    """Release in an emergency: approved in advance and sealed."""

    who: Annotated[tuple[IdentityName, ...], Field(min_length=1)]
    resources: Annotated[tuple[ResourcePath, ...], Field(min_length=1)]
    broker: BrokerRef
    threshold: Count
    """How many of `who` must act together."""
    hours: Annotated[Count, Field(le=72)]
    """How long a use lasts."""
    reason: Sentence
    expires: Expiry
    """When the preparation itself ends."""
    notify: tuple[IdentityName, ...] = ()
    """Told at every use, beside the owners."""

    @model_validator(mode="after")
    def _possible(self) -> BreakGlassSpec:
        distinct(self.who, "person")
        reachable(self.threshold, len(self.who), "people")
        return self


class BreakGlass(Document):
    """Release in an emergency."""

    kind: Literal["BreakGlass"]
    spec: BreakGlassSpec


__all__ = ["BreakGlass", "BreakGlassSpec", "Revocation", "RevocationSpec", "Revoked"]
