"""The kinds of documents, one module a topic; `KINDS` is the list of them all."""

from __future__ import annotations

from types import MappingProxyType

from qnsp_policy.pipeline.model.kinds.artefact import Artefact, Endpoint
from qnsp_policy.pipeline.model.kinds.attestation import Enclave, ReferenceValues
from qnsp_policy.pipeline.model.kinds.base import Document, Metadata
from qnsp_policy.pipeline.model.kinds.compliance import ComplianceMapping, Waiver
from qnsp_policy.pipeline.model.kinds.crypto_tier import CryptoTier
from qnsp_policy.pipeline.model.kinds.emergency import BreakGlass, Revocation
from qnsp_policy.pipeline.model.kinds.grant import Grant
from qnsp_policy.pipeline.model.kinds.keys import KeyBroker, KeyHierarchy
from qnsp_policy.pipeline.model.kinds.platform import Host, Platform
from qnsp_policy.pipeline.model.kinds.project import Project
from qnsp_policy.pipeline.model.kinds.shipped import AlgorithmTimeline, Framework, PlatformCapability
from qnsp_policy.pipeline.model.kinds.tenant import Tenant
from qnsp_policy.pipeline.model.kinds.trust_root import TrustRoot

KINDS: MappingProxyType[str, type[Document]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            Project,
            TrustRoot,
            CryptoTier,
            Tenant,
            Platform,
            Host,
            ReferenceValues,
            Enclave,
            Grant,
            KeyHierarchy,
            KeyBroker,
            Artefact,
            Endpoint,
            ComplianceMapping,
            Waiver,
            Revocation,
            BreakGlass,
            AlgorithmTimeline,
            PlatformCapability,
            Framework,
        )
    }
)
"""Every kind by its name, in the order of the documentation."""

__all__ = [
    "KINDS",
    "AlgorithmTimeline",
    "Artefact",
    "BreakGlass",
    "ComplianceMapping",
    "CryptoTier",
    "Document",
    "Enclave",
    "Endpoint",
    "Framework",
    "Grant",
    "Host",
    "KeyBroker",
    "KeyHierarchy",
    "Metadata",
    "Platform",
    "PlatformCapability",
    "Project",
    "ReferenceValues",
    "Revocation",
    "Tenant",
    "TrustRoot",
    "Waiver",
]
