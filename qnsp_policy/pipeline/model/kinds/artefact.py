"""Artefact: a model, dataset, index or image with its digest and publisher; Endpoint: answers that are signed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qnsp_policy.pipeline.model.kinds.base import Document
from qnsp_policy.pipeline.model.kinds.tenant import Quotas
from qnsp_policy.pipeline.model.references import ArtefactRef, EnclaveRef, LineageRef, TenantRef
from qnsp_policy.pipeline.model.scalars import (
    AlgorithmName,
    Bool,
    Count,
    Digest,
    Duration,
    HostPort,
    IdentityName,
    Int,
    Location,
    Name,
    Part,
    RelativePath,
    ResourcePath,
    Size,
    Word,
)


class Encryption(Part):
    """Which key of the tenant opens it."""

    key: ResourcePath
    version: Count
    wrapped_key: Location
    cipher: AlgorithmName = AlgorithmName("AES-256-GCM")


class Lineage(Part):
    """What it was made of."""

    artefact: LineageRef
    relation: Literal["trained-on", "fine-tuned-from", "derived-from", "built-from", "quantised-from", "indexed-from"]
    digest: Digest | None = None


class ArtefactSpec(Part):
    """A file whose bytes matter."""

    type: Literal["model", "dataset", "vector-index", "image"]
    tenant: TenantRef | None = None
    location: Location
    digest: Digest
    """Of the file at `location`, sealed or not."""
    size: Int | None = None
    """Bytes of that file."""
    plaintext_digest: Digest | None = None
    encryption: Encryption | None = None
    public: Bool = False
    """Marked public: may be stored in clear, is still signed."""
    publisher: IdentityName
    signature: RelativePath | None = None
    licence: Word | None = None
    source: Word | None = None
    lineage: tuple[Lineage, ...] = ()


class Artefact(Document):
    """A model, dataset, vector index or image."""

    kind: Literal["Artefact"]
    spec: ArtefactSpec


class Api(Part):
    """What the endpoint speaks."""

    openai: Annotated[
        tuple[Literal["embeddings", "chat-completions", "completions", "responses", "models"], ...], Field(min_length=1)
    ]


class Upstream(Part):
    """The program behind the gateway, inside the enclave."""

    command: Annotated[tuple[Word, ...], Field(min_length=1)]
    listen: HostPort | None = None
    readiness: Word | None = None
    """Path that answers 200 when it is ready."""
    environment: tuple[Word, ...] = ()
    """NAME=value, no secrets."""


class ResponseSignature(Part):
    """How answers are signed."""

    algorithm: AlgorithmName | None = None
    """Nothing means the tier's default."""


class EndpointAudit(Part):
    """What is recorded of a request; payloads never are."""

    level: Literal["none", "metadata"] = "metadata"
    retention: Duration | None = None


class EndpointTls(Part):
    """Where TLS ends: inside the attester."""

    mode: Literal["embedded", "caddy", "insecure-plaintext"] = "embedded"
    groups: tuple[AlgorithmName, ...] = ()


class EndpointSpec(Part):
    """Answers that are signed."""

    enclave: EnclaveRef
    model: ArtefactRef
    api: Api
    tenants: Annotated[tuple[TenantRef, ...], Field(min_length=1)]
    upstream: Upstream | None = None
    listen: HostPort | None = None
    response_signature: ResponseSignature = ResponseSignature()
    request_authentication: Literal["required", "off-insecure"] = "required"
    receipts: Bool = True
    streaming: Bool = False
    quotas: Quotas = Quotas()
    audit: EndpointAudit = EndpointAudit()
    tls: EndpointTls = EndpointTls()
    data_classes: tuple[Name, ...] = ()
    max_request: Size = Size("1Mi")
    timeout: Duration = Duration("60s")


class Endpoint(Document):
    """Answers that are signed."""

    kind: Literal["Endpoint"]
    spec: EndpointSpec


__all__ = [
    "Api",
    "Artefact",
    "ArtefactSpec",
    "Encryption",
    "Endpoint",
    "EndpointAudit",
    "EndpointSpec",
    "EndpointTls",
    "Lineage",
    "ResponseSignature",
    "Upstream",
]
