"""The values of trust: guardrails, origins of measurements, effective grants.

An effective grant is one sentence: this broker may release this resource of this tenant to this enclave on evidence that
satisfies one whole alternative and every guardrail. Grants are alternatives (one suffices); guardrails are conjoined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from qnsp_policy.errors import Place
from qnsp_policy.kernel.attestation.values import Alternative
from qnsp_policy.pipeline.trust.places import NOWHERE, SELF

NOT_RECORDED = ""
"""Where a broker's fleet ran that was applied before this was recorded."""


class GuardrailKind(StrEnum):
    """What a guardrail restricts; `values` and `limit` of `Guardrail` are read by it.

    `assurance` and `device-assurance`: the classes that are admitted (of the CPU attester; of every bound device).
    `max-lease`: the longest lease in seconds. `wrapping`: the algorithms that may wrap a released key.
    `denied-claim`: values of `claim` that are refused. `checked`: statements that must not be `not checked`.
    `floor`: `claim` must be at least `limit`, for evidence of the kind `values[0]` and, if given, the product line
    `values[1]`. `opaque`: a rule of the user's own, by its digest; nothing can be said about it, so it passes only
    where something that can evaluate it says so.
    """

    ASSURANCE = "assurance"
    DEVICE_ASSURANCE = "device-assurance"
    MAX_LEASE = "max-lease"
    WRAPPING = "wrapping"
    DENIED_CLAIM = "denied-claim"
    CHECKED = "checked"
    FLOOR = "floor"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One restriction that holds over every alternative of a grant; deny wins.

    Attributes:
        kind: how to read the rest.
        source: the address that demands it, e.g. `CryptoTier/hip5-tier-2`, `Project/quickstart`, `Revocation/cve`.
        values: sorted; admitted, denied or required names, by kind.
        claim: the claim of a `denied-claim` or `floor`, else "".
        limit: seconds of a `max-lease`, the lowest value of a `floor`, else None.
    """

    kind: GuardrailKind
    source: str
    values: tuple[str, ...] = ()
    claim: str = ""
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one alternative comes from, so that other code can be explained and not merely noticed.

    Attributes:
        document: address of the ReferenceValues document.
        computed_from: the inputs it was computed from (kernel, rootfs, cmdline, imageDigest ...), as text; empty when
            the values were learnt or typed in.
        learnt: True for `trust-on-first-use` values.
    """

    document: str
    computed_from: Mapping[str, str] = field(default_factory=dict)
    learnt: bool = False


@dataclass(frozen=True, slots=True)
class EffectiveGrant:
    """What all documents together allow, for one resource, one enclave and one broker.

    Attributes:
        grant: the Grant document, or the Endpoint document of an implicit grant.
        broker, tenant, enclave: addresses.
        resource: `<tenant>/<type>/<tag>`.
        purpose: what the owner consented to.
        lease_seconds: how long a release lasts at most, guardrails not yet applied.
        not_before: when the grant begins; None means at once.
        not_after: the last moment of the grant; None where the document gives no date.
        alternatives: one of them must hold whole.
        guardrails: all of them must hold.
        implicit: True when it follows from an Endpoint document.
        origins: by alternative name.
        places: where it is written ("") and what it is made of: by field, by alternative name, by guardrail source. Not
            part of the value: two grants that say the same are equal wherever they stand.
    """

    grant: str
    broker: str
    tenant: str
    resource: str
    enclave: str
    purpose: str
    lease_seconds: int
    not_before: datetime | None
    not_after: datetime | None
    alternatives: tuple[Alternative, ...]
    guardrails: tuple[Guardrail, ...]
    implicit: bool = False
    origins: Mapping[str, Origin] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)

    @property
    def of_broker(self) -> bool:
        """Whether it says who may become the broker itself (`brokers`); `grant` is then where that runs."""
        return self.enclave == self.broker

    @property
    def unmeasured(self) -> bool:
        """Whether nothing must be shown at all: the broker is a process that nobody measures."""
        return self.of_broker and self.grant == self.broker

    @property
    def place(self) -> Place:
        """Where the grant is written; `NOWHERE` when it was read back from JSON."""
        return self.places.get(SELF, NOWHERE)

    @property
    def lease_limit(self) -> int:
        """The lease in seconds that remains under every `max-lease` guardrail."""
        limits = [g.limit for g in self.guardrails if g.kind is GuardrailKind.MAX_LEASE and g.limit is not None]
        return min([self.lease_seconds, *limits])

    @property
    def key(self) -> tuple[str, str, str]:
        """(broker, resource, enclave): grants with the same key are alternatives of each other."""
        return (self.broker, self.resource, self.enclave)


@dataclass(frozen=True, slots=True)
class BlockedGrant:
    """A grant that is written but allows nothing, with the guardrail that stands in its way."""

    grant: str
    resource: str
    enclave: str
    reason: str
    place: Place


Json = dict[str, Any]


__all__ = ["NOT_RECORDED", "BlockedGrant", "EffectiveGrant", "Guardrail", "GuardrailKind", "Json", "Origin"]
