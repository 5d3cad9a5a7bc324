"""CryptoTier: which cryptography a tenant's data must have; a level in a family, extending another tier or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qnsp_policy.pipeline.model.kinds.base import Assurance, Custody, Document, Role
from qnsp_policy.pipeline.model.kinds.checks import distinct
from qnsp_policy.pipeline.model.references import ParentTierRef, TierRef, WeakerTierRef
from qnsp_policy.pipeline.model.scalars import (
    AlgorithmName,
    Bool,
    Digest,
    Duration,
    Expiry,
    Int,
    Moment,
    Name,
    Part,
    Rotation,
    Sentence,
    Word,
)

Confidence = Literal["confirmed", "secondary", "general-knowledge"]
"""How we know: read in the source; from pages about it; from general knowledge, to be checked before it is relied on."""


class Provenance(Part):
    """Where shipped data comes from."""

    title: Word
    url: Word | None = None
    """Where the source is published; nothing where only a title and date can be cited."""
    version: Word
    retrieved: Moment
    licence: Word
    confidence: Confidence
    sha256: Digest | None = None
    """Digest of the source file, for data copied from a file; nothing for data written by us after reading it."""
    note: Sentence | None = None


class AlgorithmSet(Part):
    """The algorithms of one kind that a tier admits, and the one taken when nothing else is said."""

    allowed: Annotated[tuple[AlgorithmName, ...], Field(min_length=1)]
    default: AlgorithmName

    @model_validator(mode="after")
    def _each_once(self) -> AlgorithmSet:
        distinct(self.allowed, "algorithm")
        return self


class TlsRules(Part):
    """What a connection must negotiate."""

    minimum_version: Literal["1.3"] = "1.3"
    groups: Annotated[tuple[AlgorithmName, ...], Field(min_length=1)]


class TierRotation(Part):
    """The longest life of keys."""

    root: Rotation | None = None
    model: Rotation | None = None
    data: Rotation | None = None
    api: Rotation | None = None
    session: Rotation | None = None


class Protections(Part):
    """What is protected, cumulative from tier to tier; nothing said means what the parent says, or no."""

    at_rest: Bool | None = None
    cpu_tee: Bool | None = None
    gpu_cc: Bool | None = None
    tee_io: Bool | None = None
    signed_responses: Bool | None = None
    signed_datasets: Bool | None = None


class AssuranceRules(Part):
    """The classes of attesters that are good enough; an empty list asks for none."""

    cpu: tuple[Assurance, ...] = ()
    gpu: tuple[Assurance, ...] = ()
    io: tuple[Assurance, ...] = ()


class TierApprovers(Part):
    """Who may approve changes for tenants of this tier, and with what signers."""

    roles: tuple[Role, ...] = ()
    signers: tuple[Literal["software", "ssh", "pkcs11", "kms"], ...] = ()
    """Kinds of signers that count; empty means all."""


class Experimental(Part):
    """An algorithm without a final standard, admitted until a date."""

    algorithm: AlgorithmName
    expires: Expiry
    reason: Sentence


class Conflict(Part):
    """A tier that says the contrary of this one, so a workspace must not use both."""

    tier: TierRef
    reason: Sentence


class CryptoTierSpec(Part):
    """Which cryptography; what is not said is taken from `extends`."""

    family: Name
    level: Annotated[Int, Field(le=99)]
    """Place in the family; a higher level never admits something weaker."""
    ordered: Bool = True
    """Whether levels of this family stand for strength; false where they only classify algorithms."""
    extends: ParentTierRef | None = None
    stronger_than: tuple[WeakerTierRef, ...] = ()
    """Tiers of other families that this one is at least as strong as: edges of the lattice, checked like `extends`."""
    source: Sentence
    provenance: Provenance | None = None
    kem: AlgorithmSet | None = None
    signature: AlgorithmSet | None = None
    aead: AlgorithmSet | None = None
    hash: AlgorithmSet | None = None
    tls: TlsRules | None = None
    hybrid: Literal["required", "allowed", "transport-only", "forbidden"] | None = None
    """Classical together with post-quantum; `forbidden` is post-quantum alone."""
    custody: Custody | None = None
    """The weakest place where root keys may live."""
    entropy: Literal["csprng", "qrng-mixin", "hsm-byo"] | None = None
    rotation: TierRotation | None = None
    protections: Protections | None = None
    assurance: AssuranceRules | None = None
    approvers: TierApprovers | None = None
    max_lease: Duration | None = None
    enforcement: Literal["audit", "enforce"] | None = None
    experimental: tuple[Experimental, ...] = ()
    expiry_required: Bool = False
    """Use of this tier must carry an expiry (QNSP v1 TIER0_LEGACY)."""
    acknowledgement_required: Bool = False
    """Use of this tier must be acknowledged in a waiver (QNSP v1 TIER4_EXPERIMENTAL)."""
    stateful_guards: Bool = False
    """Stateful signature keys only in an HSM with a monotonic index."""
    custom_allowed: tuple[AlgorithmName, ...] = ()
    """Algorithms admitted on top (QNSP customAllowed*)."""
    custom_forbidden: tuple[AlgorithmName, ...] = ()
    """Algorithms refused whatever else admits them (QNSP customForbidden*)."""
    unavailable: Sentence | None = None
    """Why no platform can meet this tier today; a tenant of it is refused with this reason."""
    conflicts: tuple[Conflict, ...] = ()
    names: Mapping[Name, Word] = Field(default_factory=dict)
    """What others call this tier."""


class CryptoTier(Document):
    """Which cryptography data of a tenant must have."""

    kind: Literal["CryptoTier"]
    spec: CryptoTierSpec


__all__ = [
    "AlgorithmSet",
    "AssuranceRules",
    "Confidence",
    "Conflict",
    "CryptoTier",
    "CryptoTierSpec",
    "Experimental",
    "Protections",
    "Provenance",
    "TierApprovers",
    "TierRotation",
    "TlsRules",
]
