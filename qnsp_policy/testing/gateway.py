"""A gateway in this process, with evidence of a simulated chip and an upstream that a test writes as a function."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from qnsp_policy.client.answer import SavedAnswer, SentRequest
from qnsp_policy.client.endpoint_edge import Member
from qnsp_policy.client.trust import RelyingPartyTrust, TrustedModel
from qnsp_policy.client.verify import verify_evidence
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, Evidence, EvidenceKind
from qnsp_policy.kernel.crypto.canonical import sha256_digest
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.wire.api_auth import sign_request
from qnsp_policy.kernel.wire.endpoint import (
    EndpointConfiguration,
    evidence_digest,
    evidence_document,
    runtime_data,
    runtime_report_data,
)
from qnsp_policy.services.gateway.configuration import GatewaySettings
from qnsp_policy.services.gateway.process_edge import build
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.services import START, Clock, SimulatedMember

HOST = "http://127.0.0.1:8443"
MODEL = sha256_digest(b"model")


def embeddings(request: httpx.Request) -> httpx.Response:
    """An upstream that answers like an embedding model."""
    value = json.loads(request.content)
    data = [{"object": "embedding", "index": 0, "embedding": [0.25, float(len(str(value.get("input"))))]}]
    return httpx.Response(200, json={"object": "list", "data": data, "model": "tiny", "usage": {"total_tokens": 3}})


class OneMember:
    """A `Way` to a single gateway, over whatever leads to it."""

    def __init__(self, inner: httpx.BaseTransport, document: Mapping[str, Any], trust: RelyingPartyTrust) -> None:
        evidence = verify_evidence(document, trust, now=START, allow_simulated=True)
        self._inner, self._member = inner, Member("", document, evidence, START)

    @contextlib.contextmanager
    def lane(self) -> Iterator[OneMember]:
        """Itself: nobody else uses it meanwhile."""
        yield self

    def send(self, request: httpx.Request, *, afresh: bool = False) -> tuple[httpx.Response, Member]:
        """Every connection leads to the same one."""
        del afresh
        return self._inner.handle_request(request), self._member

    def close(self) -> None:
        self._inner.close()


@dataclass(slots=True)
class GatewayWorld:
    """One gateway and those who talk to it.

    Attributes:
        member: the hardware that its evidence is of.
        changes: members of the endpoint object to replace.
        upstream: answers forwarded requests.
    """

    folder: Path
    member: SimulatedMember
    changes: dict[str, Any] = field(default_factory=dict)
    upstream: Callable[[httpx.Request], httpx.Response] = embeddings
    clock: Clock = field(default_factory=Clock)
    api_key: PrivateKey = field(default_factory=lambda: generate("ML-DSA-65"))
    response_key: PrivateKey = field(default_factory=lambda: generate("ML-DSA-65"))
    tls_key: PrivateKey = field(default_factory=lambda: generate("ECDSA-P256"))
    log_keys: tuple[PrivateKey, ...] = field(default_factory=lambda: (generate("Ed25519"), generate("ML-DSA-44")))

    def settings(self) -> GatewaySettings:
        """What the guest would hand over."""
        endpoint = EndpointConfiguration.from_json(self.endpoint())
        origin = f"qnsp.example/test/gateway/{self.response_key.key_id[:12]}"
        runtime = runtime_data(
            endpoint,
            response_keys=(self.response_key.public.to_jwk(),),
            tls_key=self.tls_key.public.to_jwk(),
            ledger_origin=origin,
            ledger_keys=tuple(key.public.to_jwk() for key in self.log_keys),
            created=START,
        )
        report = self.member.report(runtime_report_data(runtime))
        document = evidence_document(Evidence(EvidenceKind.SEV_SNP, report.data, report.certificates), runtime)
        return GatewaySettings(
            endpoint=endpoint,
            bind="127.0.0.1",
            upstream_socket="",
            upstream_port=0,
            evidence=document,
            evidence_digest=evidence_digest(document),
            response_key=self.response_key,
            tls_key=self.tls_key,
            ledger_dir=str(self.folder / "ledger"),
            ledger_origin=origin,
            ledger_keys=self.log_keys,
        )

    def app(self, settings: GatewaySettings | None = None) -> Any:
        """The ASGI application."""
        upstream = httpx.AsyncClient(transport=httpx.MockTransport(self.upstream), base_url="http://upstream")
        return build(settings or self.settings(), upstream=upstream, clock=self.clock).asgi()

    def client(self) -> httpx.Client:
        """A client straight into the application."""
        return sync_client(self.app(), HOST)

    def endpoint(self) -> dict[str, Any]:
        """The endpoint object."""
        key = {
            "name": "clinic-app",
            "keyId": self.api_key.key_id,
            "key": self.api_key.public.to_jwk(),
            "expires": "2099-01-01T00:00:00Z",
        }
        return {
            "format": "qnsp.endpoint/v1",
            "name": "clinic-embeddings",
            "tenant": "clinic",
            "listen": "127.0.0.1:8443",
            "tls": {"mode": "in-process"},
            "upstream": {"command": ["python", "upstream/app.py"]},
            "api": {"openai": ["embeddings"]},
            "model": {
                "resource": "clinic/model/tiny",
                "name": "tiny",
                "location": "tiny.sealed",
                "digest": "sha256:" + "a" * 64,
                "plaintextDigest": MODEL,
            },
            "responseSignature": {"algorithm": "ML-DSA-65"},
            "receipts": True,
            "streaming": False,
            "quotas": {},
            "tenants": [{"name": "clinic", "quotas": {}, "apiKeys": [key]}],
            "ledger": {"origin": "qnsp.example/test/gateway/clinic-embeddings"},
            **self.changes,
        }

    def trust(self, **changes: Any) -> RelyingPartyTrust:
        """A relying party that trusts this gateway's simulated vendor and its member's code."""
        settings: dict[str, Any] = {
            "endpoint": "clinic-embeddings",
            "tenant": "clinic",
            "anchors": (Anchor("amd", self.member.chip.pki.ark.certificate, AssuranceClass.SIMULATED, "Milan"),),
            "alternatives": (self.member.alternative(),),
            "signature_algorithms": frozenset({"ML-DSA-65", "ML-DSA-87"}),
            "models": (TrustedModel("clinic/model/tiny", "", MODEL, "lab@research.example"),),
        }
        return RelyingPartyTrust(**{**settings, **changes})

    def ask(
        self,
        http: httpx.Client,
        body: bytes = b'{"model":"tiny","input":"chest pain"}',
        *,
        path: str = "/v1/embeddings",
        headers: dict[str, str] | None = None,
    ) -> SavedAnswer:
        """One signed request, and its answer with evidence and receipt as a client would save them."""
        url = HOST + path
        signed = headers if headers is not None else sign_request("POST", url, body, self.api_key, self.clock())
        sent = httpx.Request("POST", url, headers={**signed, "content-type": "application/json"}, content=body)
        answer = http.send(sent)
        receipt = answer.headers.get("qnsp-receipt")
        proof = http.get(f"/.well-known/qnsp/receipt/{receipt}").json() if receipt else None
        return SavedAnswer(
            answer.status_code,
            tuple((name.lower(), value) for name, value in answer.headers.items()),
            answer.content,
            SentRequest("POST", url, tuple((n.lower(), v) for n, v in sent.headers.items()), body),
            http.get("/.well-known/qnsp/evidence").json(),
            proof,
        )


__all__ = ["HOST", "MODEL", "GatewayWorld", "OneMember", "embeddings"]
