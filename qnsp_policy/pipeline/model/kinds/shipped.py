"""Kinds of the catalog: what algorithms, platforms and frameworks are like; users may write their own of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from qnsp_policy.pipeline.model.kinds.base import Assurance, Attester, Document
from qnsp_policy.pipeline.model.kinds.compliance import ControlId, RuleId
from qnsp_policy.pipeline.model.kinds.crypto_tier import Confidence, Provenance
from qnsp_policy.pipeline.model.scalars import AlgorithmName, Bool, Int, Key, Moment, Part, Sentence, Word


class TimelineEntry(Part):
    """When a regime deprecates and disallows an algorithm."""

    algorithm: AlgorithmName
    use: Literal["kem", "signature", "aead", "hash", "key-agreement", "firmware-signature", "kdf"]
    status: Literal["approved", "deprecated", "disallowed", "experimental", "legacy"]
    """On the day the data was written."""
    approved_from: Moment | None = None
    deprecated_after: Moment | None = None
    disallowed_after: Moment | None = None
    category: Annotated[Int, Field(le=5)] | None = None
    """NIST security category 1 to 5; 0 is none against a quantum computer."""
    standard: Word | None = None
    confidence: Confidence
    note: Sentence | None = None


class AlgorithmTimelineSpec(Part):
    """One regime's dates."""

    regime: Word
    provenance: Provenance
    entries: Annotated[tuple[TimelineEntry, ...], Field(min_length=1)]


class AlgorithmTimeline(Document):
    """One regime's dates for algorithms."""

    kind: Literal["AlgorithmTimeline"]
    spec: AlgorithmTimelineSpec


class AttesterCapability(Part):
    """What one attester can do on a platform."""

    attester: Attester
    assurance: Assurance
    machines: tuple[Word, ...] = ()
    """Machine families that carry it, as the platform names them; empty means not bound to a family."""
    regions: tuple[Word, ...] = ()
    gpus: tuple[Word, ...] = ()
    """GPU models with confidential mode beside it; empty means none."""
    gpu_modes: tuple[Literal["on", "ppcie"], ...] = ()
    max_gpus: Int | None = None
    requires: Mapping[Key, Word] = Field(default_factory=dict)
    """Fields of the enclave's `launch` that must have this value."""
    confidence: Confidence = "confirmed"
    note: Sentence | None = None


class RefusedCombination(Part):
    """A combination that cannot work, and what to take instead."""

    id: Word
    when: Mapping[Key, Word]
    """Field -> value (`*` any, `!x` other than x, `>n`, `a|b` one of); all must hold."""
    reason: Sentence
    nearest: Sentence
    confidence: Confidence = "confirmed"


class PlatformCapabilitySpec(Part):
    """What a platform type can and cannot do."""

    platform: Literal["local", "aws", "kubernetes", "bare-metal", "gcp", "azure"]
    provenance: Provenance
    attesters: tuple[AttesterCapability, ...]
    custody: tuple[Literal["software", "tpm", "enclave", "kms", "hsm"], ...]
    kms_signatures: tuple[AlgorithmName, ...] = ()
    """Signature algorithms of its KMS."""
    refused: tuple[RefusedCombination, ...] = ()
    trust_statement: Sentence


class PlatformCapability(Document):
    """What a platform type can and cannot do."""

    kind: Literal["PlatformCapability"]
    spec: PlatformCapabilitySpec


class FrameworkControl(Part):
    """One control: id and a line of our own, never the standard's text."""

    control: ControlId
    summary: Sentence
    """What our assertions look at; written by us."""
    assertions: tuple[RuleId, ...] = ()
    confidence: Confidence
    applies_from: Moment | None = None


class FrameworkSpec(Part):
    """The controls of one edition of a framework."""

    title: Word
    edition: Word
    provenance: Provenance
    text_copyrighted: Bool
    controls: Annotated[tuple[FrameworkControl, ...], Field(min_length=1)]
    refused_ids: Mapping[Key, Word] = Field(default_factory=dict)
    """Ids of other editions that are often written by mistake, with what they are."""


class Framework(Document):
    """The controls of one edition of a framework."""

    kind: Literal["Framework"]
    spec: FrameworkSpec


__all__ = [
    "AlgorithmTimeline",
    "AlgorithmTimelineSpec",
    "AttesterCapability",
    "Framework",
    "FrameworkControl",
    "FrameworkSpec",
    "PlatformCapability",
    "PlatformCapabilitySpec",
    "RefusedCombination",
    "TimelineEntry",
]
