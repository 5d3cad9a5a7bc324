"""ComplianceMapping: controls to assertions; Waiver: a finding silenced for a time, with a reason and an approver."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from qnsp_policy.pipeline.model.kinds.base import Document, Severity
from qnsp_policy.pipeline.model.references import AnyRef, FrameworkRef, TenantRef
from qnsp_policy.pipeline.model.scalars import (
    Duration,
    Expiry,
    IdentityName,
    Moment,
    Part,
    Sentence,
    TextValue,
    Word,
)


class ControlId(TextValue):
    """A control as its framework numbers it."""

    __slots__ = ()
    SHAPE = "a control id such as A.8.24 or SC-13"
    PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9 ().,:_§/-]*[A-Za-z0-9)])?"
    MAX = 64


class RuleId(TextValue):
    """A rule: category and name."""

    __slots__ = ()
    SHAPE = "a rule such as crypto/signature-below-tier"
    PATTERN = r"[a-z0-9-]+/[a-z0-9-]+"
    MAX = 128


class NotApplicable(Part):
    """A signed decision that a control does not apply."""

    reason: Sentence
    decided_by: IdentityName
    decided: Moment


class MappedControl(Part):
    """One control and the assertions that speak for it."""

    control: ControlId
    assertions: tuple[RuleId, ...] = ()
    coverage: Literal["full", "partial", "evidence-only"] = "partial"
    responsibility: Literal["tool", "customer", "inherited"] = "tool"
    severity: Severity = "medium"
    cadence: Duration | None = None
    effective_from: Moment | None = None
    effective_until: Expiry | None = None
    not_applicable: NotApplicable | None = None


class ComplianceMappingSpec(Part):
    """Controls of one framework, mapped to assertions."""

    framework: FrameworkRef
    edition: Word
    tenants: Annotated[tuple[TenantRef, ...], Field(min_length=1)]
    owner: IdentityName
    cadence: Duration
    controls: Annotated[tuple[MappedControl, ...], Field(min_length=1)]


class ComplianceMapping(Document):
    """Controls of one framework, mapped to assertions."""

    kind: Literal["ComplianceMapping"]
    spec: ComplianceMappingSpec


def _step(value: Any, _next: Any) -> str | int:
    if isinstance(value, str):
        return str(Word.parse(value))
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    raise PydanticCustomError("QNSP-DOC-018", "expected the name of a field or the number of an item")


Step = Annotated[str | int, WrapValidator(_step)]
"""One step of the way to a field."""


class WaivedControl(Part):
    """A control of a framework."""

    framework: FrameworkRef
    control: ControlId


class WaiverSpec(Part):
    """A finding silenced for a time; it never changes what a broker releases."""

    rule: RuleId | None = None
    control: WaivedControl | None = None
    object: AnyRef
    path: tuple[Step, ...] = ()
    """Only the finding at this field; empty means every finding of the rule on the object."""
    reason: Annotated[Sentence, Field(min_length=10)]
    approver: IdentityName
    approved: Moment | None = None
    expires: Expiry

    @model_validator(mode="after")
    def _one_target(self) -> WaiverSpec:
        if (self.rule is None) == (self.control is None):
            raise PydanticCustomError("QNSP-DOC-039", "expected either `rule` or `control`, and not both")
        return self


class Waiver(Document):
    """A finding silenced for a time."""

    kind: Literal["Waiver"]
    spec: WaiverSpec


__all__ = [
    "ComplianceMapping",
    "ComplianceMappingSpec",
    "MappedControl",
    "NotApplicable",
    "WaivedControl",
    "Waiver",
    "WaiverSpec",
]
