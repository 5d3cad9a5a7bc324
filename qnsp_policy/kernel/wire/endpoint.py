"""What an attested endpoint is told and what it shows: its configuration object and its evidence document.

`qnsp.endpoint/v1` goes from an approved plan through the broker to the attested guest (docs/formats/units.md, "endpoint").
`qnsp.evidence/v1` goes from the guest through the gateway to relying parties (docs/formats/answer.md): evidence of the attester whose
report data is SHA-384 over the RFC 8785 form of `runtimeData`, which names the keys that sign answers, receipts and TLS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64, jcs, sha256_digest, unb64

ENDPOINT_FORMAT = "qnsp.endpoint/v1"
EVIDENCE_FORMAT = "qnsp.evidence/v1"
RUNTIME_FORMAT = "qnsp.endpoint-keys/v1"

API_PATHS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "embeddings": ("POST", "/v1/embeddings"),
        "chat-completions": ("POST", "/v1/chat/completions"),
        "completions": ("POST", "/v1/completions"),
        "responses": ("POST", "/v1/responses"),
        "models": ("GET", "/v1/models"),
    }
)
"""Method and path of each OpenAI-compatible API that a document can name."""

HYBRID_GROUPS = ("X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "MLKEM768", "MLKEM1024")
"""TLS groups that a listener admits where its configuration names none: every other one is classical."""


def _refuse(message: str, subject: str) -> PeerError:
    return PeerError("QNSP-GST-010", f"endpoint object: {subject}: {message}", subject=subject)


def _get(value: Mapping[str, Any], name: str, kind: type, where: str = "") -> Any:
    found = value.get(name)
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise _refuse(f"expected {kind.__name__}", f"{where}{name}")
    return found


def _moment(text: object) -> datetime:
    try:
        return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _refuse("expected YYYY-MM-DDTHH:MM:SSZ", "time") from None


@dataclass(frozen=True, slots=True)
class Quota:
    """What may be used; None is no bound at this level."""

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None

    @classmethod
    def from_json(cls, value: object) -> Quota:
        found = value if isinstance(value, Mapping) else {}
        return cls(
            _count(found.get("requestsPerMinute"), "requestsPerMinute"),
            _count(found.get("tokensPerDay"), "tokensPerDay"),
        )


def _count(value: object, name: str) -> int | None:
    """Whole numbers, or text with the documents' units (`2M`)."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value and value.rstrip("kMG").isdigit():
        return int(value.rstrip("kMG")) * {"k": 10**3, "M": 10**6, "G": 10**9}.get(value[-1], 1)
    raise _refuse("expected a count", name)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who may call: a public key, its end, its id (RFC 7638)."""

    name: str
    key_id: str
    key: Mapping[str, Any]
    expires: datetime


@dataclass(frozen=True, slots=True)
class ApiTenant:
    """A tenant that may call this endpoint."""

    name: str
    quota: Quota
    api_keys: tuple[ApiKey, ...]


@dataclass(frozen=True, slots=True)
class SealedModel:
    """Where the sealed model lies and what it must be; both digests are SHA-256 text."""

    resource: str
    name: str
    location: str
    digest: str
    plaintext_digest: str


@dataclass(frozen=True, slots=True)
class EndpointConfiguration:
    """One endpoint as an approved plan declares it."""

    name: str
    tenant: str
    listen: str
    tls_mode: str
    tls_groups: tuple[str, ...]
    upstream_command: tuple[str, ...]
    upstream_environment: tuple[str, ...]
    apis: tuple[str, ...]
    model: SealedModel
    signature_algorithm: str
    receipts: bool
    streaming: bool
    authentication: str
    quota: Quota
    tenants: tuple[ApiTenant, ...]
    ledger_origin: str
    max_request: int
    timeout_seconds: int
    raw: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 over the RFC 8785 form of the object."""
        return sha256_digest(jcs(dict(self.raw)))

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @classmethod
    def from_json(cls, value: object) -> EndpointConfiguration:
        """Read an endpoint object; raises `PeerError` `QNSP-GST-010` naming the member that is wrong."""
        if not isinstance(value, Mapping) or value.get("format") != ENDPOINT_FORMAT:
            raise _refuse(f"expected {ENDPOINT_FORMAT}", "format")
        tls, upstream, model = _get(value, "tls", dict), _get(value, "upstream", dict), _get(value, "model", dict)
        apis = tuple(_get(_get(value, "api", dict), "openai", list, "api."))
        unknown = [name for name in apis if name not in API_PATHS]
        if unknown:
            raise _refuse(f"unknown {unknown[0]!r}", "api.openai")
        listen = _get(value, "listen", str)
        if not listen.rpartition(":")[2].isdigit():
            raise _refuse("expected host:port", "listen")
        command = tuple(_get(upstream, "command", list, "upstream."))
        if not command or not all(isinstance(word, str) for word in command):
            raise _refuse("expected at least one word", "upstream.command")
        return cls(
            name=_get(value, "name", str),
            tenant=_get(value, "tenant", str),
            listen=listen,
            tls_mode=_get(tls, "mode", str, "tls."),
            tls_groups=tuple(tls.get("groups") or HYBRID_GROUPS),
            upstream_command=command,
            upstream_environment=tuple(upstream.get("environment") or ()),
            apis=apis,
            model=SealedModel(
                *(_get(model, n, str, "model.") for n in ("resource", "name", "location", "digest", "plaintextDigest"))
            ),
            signature_algorithm=_get(_get(value, "responseSignature", dict), "algorithm", str, "responseSignature."),
            receipts=_get(value, "receipts", bool),
            streaming=_get(value, "streaming", bool),
            authentication=value.get("requestAuthentication", "required"),
            quota=Quota.from_json(value.get("quotas")),
            tenants=tuple(_tenant(tenant) for tenant in _get(value, "tenants", list)),
            ledger_origin=_get(_get(value, "ledger", dict), "origin", str, "ledger."),
            max_request=_bytes(value.get("maxRequest", 1 << 20)),
            timeout_seconds=_seconds(value.get("timeoutSeconds", value.get("timeout", 60))),
            raw=value,
        )


def _bytes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
    if isinstance(value, str) and value[-2:] in units and value[:-2].isdigit():
        return int(value[:-2]) * units[value[-2:]]
    raise _refuse("expected a size in bytes", "maxRequest")


def _seconds(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    units = {"s": 1, "m": 60, "h": 3600}
    if isinstance(value, str) and value[-1:] in units and value[:-1].isdigit():
        return int(value[:-1]) * units[value[-1]]
    raise _refuse("expected seconds", "timeout")


def _tenant(value: object) -> ApiTenant:
    if not isinstance(value, Mapping):
        raise _refuse("expected an object", "tenants")
    keys = tuple(
        ApiKey(
            _get(key, "name", str, "apiKeys."),
            _get(key, "keyId", str, "apiKeys."),
            _get(key, "key", dict, "apiKeys."),
            _moment(key.get("expires")),
        )
        for key in _get(value, "apiKeys", list, "tenants.")
    )
    return ApiTenant(_get(value, "name", str, "tenants."), Quota.from_json(value.get("quotas")), keys)


def runtime_data(
    endpoint: EndpointConfiguration,
    *,
    response_keys: tuple[Mapping[str, Any], ...],
    tls_key: Mapping[str, Any] | None,
    ledger_origin: str,
    ledger_keys: tuple[Mapping[str, Any], ...],
    created: datetime,
) -> dict[str, Any]:
    """What the evidence of an endpoint binds: who it is and which public keys are its own."""
    return {
        "format": RUNTIME_FORMAT,
        "endpoint": endpoint.name,
        "tenant": endpoint.tenant,
        "configurationDigest": endpoint.digest,
        "model": {
            "resource": endpoint.model.resource,
            "digest": endpoint.model.digest,
            "plaintextDigest": endpoint.model.plaintext_digest,
        },
        "responseKeys": [dict(key) for key in response_keys],
        "tlsKey": None if tls_key is None else dict(tls_key),
        "ledger": {"origin": ledger_origin, "keys": [dict(key) for key in ledger_keys]},
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def runtime_report_data(runtime: Mapping[str, Any]) -> bytes:
    """The report data (64 bytes) that binds `runtime`: SHA-384 of its RFC 8785 form, zero-padded right."""
    return hashlib.sha384(jcs(dict(runtime))).digest().ljust(64, b"\0")


@dataclass(frozen=True, slots=True)
class EndpointEvidence:
    """An evidence document: unverified.

    Attributes:
        evidence: what the attester made.
        runtime: what it claims to bind.
        digest: SHA-256 over the RFC 8785 form of the document, as answers name it.
    """

    evidence: Evidence
    runtime: Mapping[str, Any]
    digest: str

    @property
    def expected_report_data(self) -> bytes:
        return runtime_report_data(self.runtime)

    @classmethod
    def from_json(cls, value: object) -> EndpointEvidence:
        """Read an evidence document; raises `PeerError` `QNSP-GWY-020`."""
        if not isinstance(value, Mapping) or value.get("format") != EVIDENCE_FORMAT:
            raise PeerError("QNSP-GWY-020", f"not an evidence document of format {EVIDENCE_FORMAT}")
        runtime = value.get("runtimeData")
        if not isinstance(runtime, Mapping) or runtime.get("format") != RUNTIME_FORMAT:
            raise PeerError("QNSP-GWY-020", f"runtimeData is not of format {RUNTIME_FORMAT}", subject="runtimeData")
        endorsements = value.get("endorsements")
        if not isinstance(endorsements, Mapping):
            raise PeerError("QNSP-GWY-020", "endorsements is not an object", subject="endorsements")
        try:
            evidence = Evidence(
                EvidenceKind(str(value.get("kind"))),
                unb64(value.get("evidence"), "`evidence`"),
                {str(name): unb64(data, f"`{name}`") for name, data in endorsements.items()},
            )
            return cls(evidence, runtime, evidence_digest(value))
        except (CanonicalJsonError, ValueError) as error:
            raise PeerError("QNSP-GWY-020", f"malformed evidence document: {error}") from None


def evidence_document(evidence: Evidence, runtime: Mapping[str, Any]) -> dict[str, Any]:
    """The document that a gateway shows under `/.well-known/qnsp/evidence`; bytes are standard base64."""
    return {
        "format": EVIDENCE_FORMAT,
        "kind": evidence.kind.value,
        "evidence": b64(evidence.data),
        "endorsements": {name: b64(data) for name, data in sorted(evidence.endorsements.items())},
        "runtimeData": dict(runtime),
    }


def evidence_digest(document: Mapping[str, Any]) -> str:
    """The digest by which answers name an evidence document."""
    return sha256_digest(jcs(dict(document)))


__all__ = [
    "API_PATHS",
    "ENDPOINT_FORMAT",
    "EVIDENCE_FORMAT",
    "HYBRID_GROUPS",
    "RUNTIME_FORMAT",
    "ApiKey",
    "ApiTenant",
    "EndpointConfiguration",
    "EndpointEvidence",
    "Quota",
    "SealedModel",
    "evidence_digest",
    "evidence_document",
    "runtime_data",
    "runtime_report_data",
]
