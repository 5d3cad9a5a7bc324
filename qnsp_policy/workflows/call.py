"""`call` and `verify-response`: one signed answer, and what stands behind it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from qnsp_policy.client.answer import SavedAnswer, parse_answer
from qnsp_policy.client.trust import RelyingPartyTrust, TrustedModel
from qnsp_policy.client.verify import SIMULATED, VerifiedAnswer, verify_answer
from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, Statement, Verdict
from qnsp_policy.kernel.crypto.canonical import parse_object
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.wire.api_token import issue_api_token
from qnsp_policy.pipeline.documents.problems import did_you_mean
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.kinds import Artefact, Endpoint, Tenant
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.review.answer_text import statements_json
from qnsp_policy.pipeline.review.escape import visible
from qnsp_policy.pipeline.trust.grants import effective_grants, endpoint_resource, endpoint_tenant
from qnsp_policy.workflows.keys import find_keys, list_keys


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What was found of one answer.

    Attributes:
        accepted: whether every step held.
        statements: each with its word; of a refusal one that says where and why.
        body: the answer's body, b"" where it was refused.
        key_id, algorithm: of the key that signed.
        model, endpoint: as the answer says.
    """

    accepted: bool
    statements: tuple[Statement, ...]
    body: bytes = b""
    key_id: str = ""
    algorithm: str = ""
    saved: str = ""

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "accepted": self.accepted,
            "statements": statements_json(self.statements),
            "keyId": self.key_id or None,
            "algorithm": self.algorithm or None,
            "saved": self.saved or None,
        }
        if self.body:
            value["answer"] = json.loads(self.body)
        return value

    def summary_lines(self) -> list[str]:
        """What came back, in one or two lines."""
        lines = []
        if self.body:
            value = json.loads(self.body)
            for item in value.get("data", []):
                vector = item.get("embedding", [])
                head = ", ".join(f"{number:.4f}" for number in vector[:4])
                lines.append(f"embedding {item.get('index')}: {len(vector)} numbers [{head}, ...]")
            lines += (
                f"answer {item.get('index')}: {visible(str(item.get('message', {}).get('content')))}"
                for item in value.get("choices", [])
            )
        if self.saved:
            lines.append(f"wrote {self.saved}; verify it anywhere: qnsp-policy verify-response {self.saved}")
        return lines


def relying_party_trust(workspace: Workspace, name: str) -> RelyingPartyTrust:
    """What a caller of an endpoint relies on, made from the documents.

    Raises:
        OperatorError: there is no such endpoint.
    """
    endpoint = _endpoint(workspace, name)
    resource = endpoint_resource(workspace, endpoint)
    tenant = endpoint_tenant(workspace, endpoint)
    grants = [grant for grant in effective_grants(workspace) if grant.resource == resource]
    model = workspace.find(endpoint.spec.model, Artefact).spec
    tier = workspace.tier_of(tenant)
    return RelyingPartyTrust(
        endpoint=str(endpoint.name),
        tenant=tenant.partition("/")[2],
        anchors=tuple(
            Anchor(
                vendor=str(anchor.vendor),
                certificate=anchor.certificate.der,
                assurance=AssuranceClass.SIMULATED if anchor.simulated else AssuranceClass.HARDWARE_TEE,
                line=str(anchor.line),
            )
            for anchor in workspace.trust_root.spec.anchors
        ),
        alternatives=tuple(alternative for grant in grants for alternative in grant.alternatives),
        signature_algorithms=frozenset(str(algorithm) for algorithm in tier.signature.allowed),
        models=(
            TrustedModel(
                resource=str(model.encryption.key) if model.encryption else "",
                digest=str(model.digest),
                plaintext_digest=str(model.plaintext_digest or ""),
                publisher=str(model.publisher),
            ),
        ),
        receipts=bool(endpoint.spec.receipts),
    )


def _endpoint(workspace: Workspace, name: str) -> Endpoint:
    known = {str(endpoint.name): endpoint for endpoint in workspace.of_kind(Endpoint)}
    wanted = name.removeprefix("Endpoint/")
    if wanted not in known:
        raise OperatorError(
            "QNSP-OPS-066",
            f"there is no endpoint {wanted}",
            subject=wanted,
            next_step=did_you_mean(wanted, known),
        )
    return known[wanted]


def endpoint_url(workspace: Workspace, name: str) -> str:
    """Where an endpoint listens."""
    endpoint = _endpoint(workspace, name)
    scheme = "http" if endpoint.spec.tls.mode == "insecure-plaintext" else "https"
    return f"{scheme}://{endpoint.spec.listen}"


def api_key(root: Path, workspace: Workspace, endpoint: str, name: str | None) -> PrivateKey:
    """The private half of an API key that the endpoint's tenants declare.

    Raises:
        OperatorError: none of them is here.
    """
    declared = {
        PublicKey.from_jwk(key.key).key_id
        for tenant in _endpoint(workspace, endpoint).spec.tenants
        for key in workspace.find(tenant, Tenant).spec.api_keys
    }
    for entry in list_keys(root):
        if (name is None or name == entry.name) and declared & set(entry.key_ids):
            return next(key for key in find_keys(root, entry.name).keys if key.key_id in declared)
    raise OperatorError(
        "QNSP-KEY-014",
        f"no API key of {endpoint}'s tenants is here" + (f" under the name {name}" if name else ""),
        subject=endpoint,
        next_step="see spec.apiKeys of the Tenant; make a key with `qnsp-policy key new NAME --algorithm ML-DSA-65`",
    )


def call(
    root: Path, name: str, texts: list[str], *, key: str | None, save: Path | None, allow_simulated: bool, now: datetime
) -> Verdicts:
    """Ask an endpoint and verify what comes back: embeddings where it offers them, else a chat completion.

    Raises:
        OperatorError: nobody answers there.
    """
    del now  # a live answer is judged by the machine's clock
    from httpx import TransportError  # a saved answer is verified without any of it

    from qnsp_policy.client.transport_edge import open_endpoint

    workspace = load(root)
    trust = relying_party_trust(workspace, name)
    private = api_key(root, workspace, name, key)
    url = endpoint_url(workspace, name)
    try:
        # The receipt comes after the answer, so it is demanded of the whole, below.
        live = replace(trust, receipts=False)
        endpoint = open_endpoint(url, live, api_key=private, allow_simulated=allow_simulated)
        kept: list[tuple[SavedAnswer, VerifiedAnswer]] = []
        with endpoint.client(lambda answer, verified: kept.append((answer, verified))) as http:
            path, question = _question(_endpoint(workspace, name), texts)
            response = http.post(path, json=question)
            answer = endpoint.fetch_receipt(kept[0][0])
        verified = verify_answer(
            answer,
            trust,
            now=_now(),
            allow_simulated=allow_simulated,
            live=True,
            evidence=kept[0][1].evidence,
        )
    except PeerError as error:
        return Verdicts(False, (_refusal(error),))
    except (OSError, TransportError) as error:
        raise OperatorError(
            "QNSP-OPS-067",
            f"{url} does not answer: {error}",
            subject=name,
            next_step="see `qnsp-policy drift`; was the plan applied?",
        ) from error
    if response.status_code != 200:
        raise OperatorError(
            "QNSP-OPS-068", f"{name} answered {response.status_code}: {response.text[:200]}", subject=name
        )
    if save is not None:
        save.write_bytes(answer.to_bytes())
    return Verdicts(True, verified.statements, verified.body, verified.key_id, verified.algorithm, str(save or ""))


def _question(endpoint: Endpoint, texts: list[str]) -> tuple[str, dict[str, Any]]:
    """Path and body of what an endpoint is asked."""
    model = endpoint.spec.model.partition("/")[2]
    offered = endpoint.spec.api.openai
    if "chat-completions" in offered and "embeddings" not in offered:
        return "/v1/chat/completions", {
            "model": model,
            "messages": [{"role": "user", "content": text} for text in texts],
        }
    return "/v1/embeddings", {"model": model, "input": texts}


def connect(
    root: Path,
    name: str,
    *,
    listen: str,
    key: str | None,
    allow_simulated: bool,
    listening: Callable[[str], None],
) -> None:
    """Serve an endpoint on loopback for plain clients: signed on the way in, verified on the way out, until interrupted.

    `listening` is told the address once it answers there.

    Raises:
        OperatorError: QNSP-OPS-079 not a loopback address or one that is taken, QNSP-OPS-067 nobody answers.
        PeerError: the endpoint's evidence does not hold.
    """
    from qnsp_policy.client.local_edge import serve_locally
    from qnsp_policy.client.transport_edge import open_endpoint

    host, _, port = listen.rpartition(":")
    if host not in {"127.0.0.1", "[::1]"} or not port.isdigit() or int(port) > 65535:
        raise OperatorError(
            "QNSP-OPS-079",
            f"{listen} is no loopback address with a port: whoever reaches it would call in your name",
            next_step="give --listen 127.0.0.1:8080",
        )
    workspace = load(root)
    trust = replace(relying_party_trust(workspace, name), receipts=False)
    private = api_key(root, workspace, name, key)
    url = endpoint_url(workspace, name)
    try:
        endpoint = open_endpoint(url, trust, api_key=private, allow_simulated=allow_simulated)
    except OSError as error:
        raise OperatorError("QNSP-OPS-067", f"{url} does not answer: {error}", subject=name) from error
    try:
        serve_locally(endpoint, host.strip("[]"), int(port), listening)
    except OSError as error:
        raise OperatorError(
            "QNSP-OPS-079",
            f"{listen} cannot be listened on: {os.strerror(error.errno or 0)}",
            subject=listen,
            next_step="end what listens there, or give another --listen",
        ) from error


def _now() -> datetime:
    """The machine's clock: a live answer is fresh or it is not."""
    return datetime.now(UTC)


def _refusal(error: PeerError) -> Statement:
    verdict = Verdict.SIMULATED if error.code == SIMULATED else Verdict.REFUSED
    detail = error.message
    if error.expected or error.got:
        detail += f" (expected {error.expected or 'nothing'}, got {error.got or 'nothing'})"
    if error.next_step:
        detail += f"; {error.next_step}"
    return Statement(error.subject or "answer", verdict, detail, error.code)


def verify_response(
    root: Path,
    path: Path,
    *,
    trust: Path | None,
    allow_simulated: bool,
    now: datetime,
    evidence: Path | None = None,
) -> Verdicts:
    """Verify a saved answer, offline; `evidence` is the endpoint's document where the answer was kept without it.

    Raises:
        OperatorError: the file or the trust file cannot be read.
    """
    answer = parse_answer(path.read_bytes())
    if evidence is not None:
        answer = replace(answer, evidence=parse_object(evidence.read_bytes()))
    if trust is not None:
        relied = RelyingPartyTrust.from_json(trust.read_bytes())
    else:
        runtime = (answer.evidence or {}).get("runtimeData", {})
        workspace = _workspace_or_trust(root)
        named = runtime.get("endpoint") if isinstance(runtime, dict) else None
        endpoints = [str(endpoint.name) for endpoint in workspace.of_kind(Endpoint)]
        relied = relying_party_trust(workspace, named if named in endpoints else endpoints[0])
        # The documents say that receipts are kept, not that whoever saved an answer fetched its proof: that is then stated.
        relied = replace(relied, receipts=relied.receipts and not answer.header("qnsp-receipt"))
    try:
        verified = verify_answer(answer, relied, now=now, allow_simulated=allow_simulated)
    except PeerError as error:
        return Verdicts(False, (_refusal(error),))
    return Verdicts(True, verified.statements, b"", verified.key_id, verified.algorithm)


def _workspace_or_trust(root: Path) -> Workspace:
    """The workspace, whose absence here only means that somebody else must say what is trusted."""
    if not any(root.glob("*.yaml")):
        raise OperatorError(
            "QNSP-OPS-069",
            "there is no workspace here to say whom this answer should be from",
            subject=str(root),
            next_step="name what you trust with --trust FILE (`qnsp-policy trust export ENDPOINT` writes it), "
            "or the workspace with -C DIR",
        )
    return load(root)


def export_trust(root: Path, name: str) -> dict[str, Any]:
    """`trust.json` for relying parties that do not have the workspace."""
    return relying_party_trust(load(root), name).to_json()


def api_token(root: Path, name: str, endpoint: str, *, minutes: int, now: datetime) -> str:
    """A token that one of the endpoint's API keys signs."""
    workspace = load(root)
    private = api_key(root, workspace, endpoint, name)
    return issue_api_token(
        private, str(_endpoint(workspace, endpoint).name), now=now, lifetime=timedelta(minutes=minutes)
    )


__all__ = [
    "Verdicts",
    "api_key",
    "api_token",
    "call",
    "connect",
    "endpoint_url",
    "export_trust",
    "relying_party_trust",
    "verify_response",
]
