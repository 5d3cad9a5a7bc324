"""What every document has: apiVersion, kind, metadata, spec."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from qnsp_policy.pipeline.model.scalars import Address, Key, Name, Part, Sentence, Word


class Metadata(Part):
    """What a document is called and labelled."""

    name: Name
    """Unique among documents of its kind."""
    labels: Mapping[Key, Word] = Field(default_factory=dict)
    """Free words for selection; they decide nothing."""
    description: Sentence | None = None
    """What it is for, for a reader."""


class Document(Part):
    """Base of all kinds.

    A kind narrows `kind` to its own name and `spec` to its own model.
    """

    api_version: Literal["qnsp.policy/v1"]
    kind: str
    metadata: Metadata
    spec: Any

    @cached_property
    def address(self) -> Address:
        """`Kind/name`."""
        return Address(f"{self.kind}/{self.metadata.name}")

    @property
    def name(self) -> str:
        """The name without the kind."""
        return str(self.metadata.name)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON with camelCase members, references as full addresses and defaults filled in."""
        return self.model_dump(mode="json", by_alias=True)


Attester = Literal["nitro-enclave", "nitro-tpm", "sev-snp", "tdx", "sgx"]
"""The environment that must prove itself; the same words on every platform."""

Assurance = Literal["hardware-tee", "provider-isolation", "measured-boot", "simulated"]
"""What stands behind an attester, strongest first; never silently equated."""

Role = Literal["author", "operator", "tenant-owner", "publisher", "security", "auditor", "responder"]

Severity = Literal["critical", "high", "medium", "low", "info"]

Custody = Literal["software", "tpm", "enclave", "kms", "hsm"]
"""Where a key lives, weakest first."""

Floors = Mapping[Key, Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]]
"""Lowest accepted version by component."""

__all__ = ["Assurance", "Attester", "Custody", "Document", "Floors", "Metadata", "Role", "Severity"]
