"""Verifying an answer offline: is it what it says, by whom, and what stands behind that word.

The steps, in this order; the first that fails is raised, and what could not be looked at is stated as such:

    1. the evidence document is the one that the answer names
    2. evidence: signature and chain under the anchors of the relying party
    3. the evidence binds the endpoint's keys (report data over `runtimeData`)
    4. appraisal: one whole tuple of reference values; simulated hardware only where it is allowed
    5. endpoint and tenant are the expected ones
    6. the answer's key is one that the evidence binds, of an algorithm that the tier admits
    7. the signature, over status, digests, model, evidence and request
    8. the body is the signed one; the request is the one that was sent; the nonce is the one that was asked for
    9. freshness, for a live answer
    10. the model is the expected one; 11. the receipt stands in the gateway's log

Each statement is one of ok, claimed, simulated, not checked. Still owed by the caller of a saved answer: freshness.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qnsp_policy.client.answer import SavedAnswer, SentRequest
from qnsp_policy.client.trust import RelyingPartyTrust
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.registry import pinned_anchors, verify_any
from qnsp_policy.kernel.attestation.values import (
    AppraisalPolicy,
    AssuranceClass,
    AttestationResult,
    Statement,
    Verdict,
)
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object, same, unb64
from qnsp_policy.kernel.crypto.keys import PublicKey, public_keys
from qnsp_policy.kernel.ledger.checkpoint import log_keys
from qnsp_policy.kernel.ledger.proof import parse_proof, verify_proof
from qnsp_policy.kernel.wire import rfc9421
from qnsp_policy.kernel.wire.answers import RequestSummary, verify_answer_signature
from qnsp_policy.kernel.wire.content_digest import digest_header, verify_content_digest
from qnsp_policy.kernel.wire.endpoint import EndpointEvidence
from qnsp_policy.kernel.wire.receipts import verify_receipt

SIMULATED = "QNSP-GWY-050"
"""Code of the refusal of an answer that is good in every respect but its hardware."""


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """An endpoint's evidence that was verified, appraised and binds the keys in `runtime`; only `verify_evidence` makes one."""

    document_digest: str
    runtime: Mapping[str, Any]
    result: AttestationResult
    response_keys: Mapping[str, PublicKey]
    statements: tuple[Statement, ...]

    @property
    def simulated(self) -> bool:
        return self.result.claims.assurance is AssuranceClass.SIMULATED


@dataclass(frozen=True, slots=True)
class VerifiedAnswer:
    """An answer that holds; only `verify_answer` makes one.

    Attributes:
        status, body: of the answer.
        key_id, algorithm: of the key that signed it.
        created: when it was signed.
        nonce: that it carries.
        model_digest: SHA-256 text of the model, as the gateway says.
        evidence: what binds the key.
        statements: what is ok, claimed, simulated or not checked.
    """

    status: int
    body: bytes
    key_id: str
    algorithm: str
    created: datetime
    nonce: str
    model_digest: str
    evidence: VerifiedEvidence
    statements: tuple[Statement, ...]

    @property
    def simulated(self) -> bool:
        return self.evidence.simulated


def _refuse(code: str, message: str, **context: Any) -> PeerError:
    return PeerError(code, message, **context)


def verify_evidence(
    document: Mapping[str, Any],
    trust: RelyingPartyTrust,
    *,
    now: datetime,
    allow_simulated: bool,
    collateral: Collateral | None = None,
) -> VerifiedEvidence:
    """Steps 2 to 5: an endpoint's evidence document.

    Raises:
        PeerError: `QNSP-GWY-050` simulated and not allowed, `-051` no reference values hold, `-052` another endpoint,
            `-053` it does not bind its keys; codes of the evidence's verifier.
    """
    evidence = EndpointEvidence.from_json(document)
    anchors = (*(pinned_anchors() if trust.vendor_roots else ()), *trust.anchors)
    # 2. signature and chain
    claims = verify_any(evidence.evidence, collateral=collateral or Collateral(), anchors=anchors, now=now)
    # 3. binding
    if not same(evidence.expected_report_data, claims.report_data):
        raise _refuse("QNSP-GWY-053", "the evidence does not bind the endpoint's keys", subject="runtimeData")
    # 4. appraisal
    simulated = claims.assurance is AssuranceClass.SIMULATED
    policy = AppraisalPolicy(
        alternatives=trust.alternatives,
        assurance=frozenset(AssuranceClass)
        if allow_simulated
        else frozenset(AssuranceClass) - {AssuranceClass.SIMULATED},
        expected_report_data=evidence.expected_report_data,
    )
    if simulated and not allow_simulated:
        raise _refuse(
            SIMULATED,
            "the evidence is of simulated hardware, which proves nothing",
            subject="assurance",
            expected="hardware",
            got="simulated",
            next_step="use --allow-simulated to look at the rest in a development workspace",
        )
    result = appraise(claims, policy, now)
    if not result.accepted:
        worst = result.mismatches[0] if result.mismatches else None
        raise _refuse(
            "QNSP-GWY-051",
            "the evidence meets none of the reference values",
            subject=worst.claim if worst else None,
            expected=worst.required if worst else None,
            got=worst.seen if worst else None,
        )
    # 5. which endpoint
    runtime = evidence.runtime
    for name, wanted in (("endpoint", trust.endpoint), ("tenant", trust.tenant)):
        if wanted and runtime.get(name) != wanted:
            raise _refuse(
                "QNSP-GWY-052", f"the evidence is of another {name}", expected=wanted, got=str(runtime.get(name))[:80]
            )
    keys = {key.key_id: key for key in public_keys(runtime.get("responseKeys"))}
    good = Verdict.SIMULATED if simulated else Verdict.OK
    detail = f"keys bound in evidence {_short(evidence.digest)} ({claims.kind.value}, {result.matched})"
    if simulated:
        detail += ": SIMULATED HARDWARE PROVES NOTHING"
    statements = (
        Statement("evidence", good, detail),
        *(s for s in result.statements if s.verdict is Verdict.NOT_CHECKED and s.name not in {"freshness", "binding"}),
    )
    return VerifiedEvidence(evidence.digest, runtime, result, keys, statements)


def verify_answer(
    answer: SavedAnswer,
    trust: RelyingPartyTrust,
    *,
    now: datetime,
    allow_simulated: bool = False,
    live: bool = False,
    expected_nonce: str = "",
    evidence: VerifiedEvidence | None = None,
) -> VerifiedAnswer:
    """Verify an answer; see the steps in the docstring of this module.

    Args:
        answer: as saved or received, with its request and evidence where they are at hand.
        trust: what this relying party relies on.
        now: aware; evidence is judged at this moment.
        allow_simulated: accept simulated hardware, and say so in every statement.
        live: the answer was received just now, so an old one is a replay.
        expected_nonce: what was sent in `Qnsp-Nonce` or as the nonce of the signed request.
        evidence: already verified evidence; then `answer.evidence` is not needed.

    Raises:
        PeerError: the code of the first step that fails.
    """
    # 1. to 5. the evidence
    named = answer.header("qnsp-evidence")
    if not named or not answer.header("signature"):
        raise _refuse("QNSP-GWY-042", "the answer is not signed", expected="Signature, Qnsp-Evidence")
    if evidence is None:
        if answer.evidence is None:
            raise _refuse(
                "QNSP-GWY-043",
                "the endpoint's evidence is missing",
                expected=named,
                next_step="save it from the endpoint's /.well-known/qnsp/evidence and give it with --evidence",
            )
        evidence = verify_evidence(answer.evidence, trust, now=now, allow_simulated=allow_simulated)
    if not same(named, evidence.document_digest):
        raise _refuse(
            "QNSP-GWY-044", "the answer names other evidence", expected=evidence.document_digest, got=named[:80]
        )
    # 6. and 7. key and signature
    request, summary = _request_of(answer)
    response = rfc9421.Response(answer.status, answer.headers, request)
    admitted = {i: key for i, key in evidence.response_keys.items() if key.algorithm in trust.signature_algorithms}
    if evidence.response_keys and not admitted:
        raise _refuse(
            "QNSP-GWY-045",
            "this endpoint signs with an algorithm that the tier does not admit",
            expected=", ".join(sorted(trust.signature_algorithms)),
            got=", ".join(sorted({key.algorithm for key in evidence.response_keys.values()})),
        )
    verified = verify_answer_signature(response, admitted, now=now, max_age=trust.max_age if live else None)
    # 8. body, request, nonce
    verify_content_digest(answer.header("content-digest"), answer.body)
    statements = [
        Statement(
            "signature",
            Verdict.OK,
            f"{verified.key.algorithm} by key {_short(verified.key.key_id)}, over status, content digest, request, model, evidence",
        ),
        _check_request(answer.request, summary),
        *evidence.statements,
    ]
    if expected_nonce and not same(verified.nonce, expected_nonce):
        raise _refuse("QNSP-GWY-046", "the answer is to another request: its nonce is not the one that was sent")
    # 9. freshness
    when = f"signed {verified.created:%Y-%m-%dT%H:%M:%SZ}"
    if expected_nonce:
        statements.append(Statement("freshness", Verdict.OK, f"carries the nonce of this request; {when}"))
    elif live:
        statements.append(Statement("freshness", Verdict.OK, f"{when}, not older than {trust.max_age}"))
    else:
        statements.append(Statement("freshness", Verdict.NOT_CHECKED, f"{when}; a saved answer may be an old one"))
    # 10. and 11.
    model = answer.header("qnsp-model")
    statements += [_check_model(model, trust, evidence), _check_receipt(answer, summary, verified.key, evidence, trust)]
    return VerifiedAnswer(
        status=answer.status,
        body=answer.body,
        key_id=verified.key.key_id,
        algorithm=verified.key.algorithm,
        created=verified.created,
        nonce=verified.nonce,
        model_digest=model,
        evidence=evidence,
        statements=tuple(statements),
    )


def _request_of(answer: SavedAnswer) -> tuple[rfc9421.Request, RequestSummary]:
    """The request that the signature speaks of; one that was not kept is rebuilt from what the answer repeats of it."""
    summary = RequestSummary.from_header(answer.header("qnsp-request"))
    if answer.request is not None:
        sent = answer.request
        return rfc9421.Request(sent.method, sent.url, sent.headers), summary
    nonce = ""
    for part in answer.header("signature-input").split(";"):
        if part.startswith('nonce="'):
            nonce = part[7:].rstrip('"')
    headers = (("content-digest", digest_header(summary.digest)), ("qnsp-nonce", nonce))
    return rfc9421.Request(summary.method, f"http://endpoint{summary.path}", headers), summary


def _check_request(sent: SentRequest | None, summary: RequestSummary) -> Statement:
    if sent is None:
        text = f"{summary.method} {summary.path}, body {summary.digest.hex()[:12]}...: the request was not kept"
        return Statement("request", Verdict.CLAIMED, text)
    path = "/" + sent.url.partition("://")[2].partition("/")[2].partition("?")[0]
    if (sent.method, path) != (summary.method, summary.path) or not same(
        hashlib.sha256(sent.body).digest(), summary.digest
    ):
        raise _refuse(
            "QNSP-GWY-047",
            "the answer is to another request than the one that was sent",
            expected=f"{sent.method} {path}",
            got=f"{summary.method} {summary.path}",
        )
    return Statement("request", Verdict.OK, f"answers {sent.method} {path} with exactly this body")


def _check_model(digest: str, trust: RelyingPartyTrust, evidence: VerifiedEvidence) -> Statement:
    measurement = str(evidence.result.claims.claims.get("measurement", ""))[:12]
    said = f"said by gateway code measured as {measurement}..."
    if not trust.models:
        return Statement("model", Verdict.CLAIMED, f"model {_short(digest)}, {said}; no model was expected by name")
    for model in trust.models:
        if model.plaintext_digest == digest:
            by = f", published by {model.publisher}" if model.publisher else ""
            return Statement("model", Verdict.CLAIMED, f"model {model.resource} {_short(digest)}{by}: {said}")
    raise _refuse(
        "QNSP-GWY-048",
        "the answer is of another model than the expected ones",
        expected=" or ".join(model.plaintext_digest for model in trust.models),
        got=digest[:80],
    )


def _check_receipt(
    answer: SavedAnswer,
    summary: RequestSummary,
    key: PublicKey,
    evidence: VerifiedEvidence,
    trust: RelyingPartyTrust,
) -> Statement:
    named = answer.header("qnsp-receipt")
    if not named or answer.receipt is None:
        if trust.receipts:
            raise _refuse(
                "QNSP-GWY-049", "a receipt is demanded and there is none", expected="Qnsp-Receipt and its proof"
            )
        reason = "the answer names none" if not named else "its proof was not fetched"
        return Statement("receipt", Verdict.NOT_CHECKED, reason)
    try:
        log = evidence.runtime["ledger"]
        keys: Sequence[PublicKey] = public_keys(log["keys"])
        entry = str(answer.receipt["entry"]).encode()
        included = verify_proof(
            parse_proof(str(answer.receipt["proof"]).encode()), entry, log["origin"], log_keys(log["origin"], keys)
        )
        data = parse_object(entry)["data"]
        cose = verify_receipt(
            unb64(data["cose"], "`cose`"),
            key,
            request_digest=summary.digest,
            response_digest=hashlib.sha256(answer.body).digest(),
        )
    except (CanonicalJsonError, KeyError, TypeError) as error:
        raise _refuse("QNSP-GWY-049", f"the receipt is malformed: {error}", subject=named) from None
    if cose.receipt.id.hex() != named or data.get("receipt") != named:
        raise _refuse("QNSP-GWY-049", "the receipt is another answer's", expected=named, got=cose.receipt.id.hex())
    head = included.checkpoint.checkpoint
    text = f"entry {included.index} of {log['origin']}, inclusion proof against checkpoint {head.root.hex()[:12]}..."
    return Statement("receipt", Verdict.OK, text)


def _short(digest: str) -> str:
    """A digest or key id cut for reading."""
    prefix, colon, rest = digest.rpartition(":")
    return f"{prefix}{colon}{rest[:12]}..." if len(rest) > 16 else digest


__all__ = ["SIMULATED", "VerifiedAnswer", "VerifiedEvidence", "verify_answer", "verify_evidence"]
