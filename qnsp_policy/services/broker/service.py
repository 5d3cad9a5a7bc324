"""The broker without its wires: handshake, decision, release; every step recorded before it takes effect.

`auth` gives a nonce that can be used once; `attest` spends it, verifies evidence and its binding; `resource` asks the release policy
that an approved plan put here, and wraps to the attested key. The order inside `resource` is fixed: credential, store against
ledger, policy, revocations, then only the resource itself, so that an answer tells an outsider nothing about what exists.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from qnsp_policy.errors import PeerError, QnspError
from qnsp_policy.kernel.attestation.values import Evidence, VerifiedClaims
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.wire.kbs import AttestRequest, AuthRequest, Challenge, ResourcePath
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.services.broker.decision import Verdict, judge
from qnsp_policy.services.broker.evidence import check_binding, check_initdata, evidence_of
from qnsp_policy.services.broker.objects import StateKeeper, was_handed_everything
from qnsp_policy.services.broker.problems import KbsRefusal, Variant
from qnsp_policy.services.broker.state import BrokerLedger, BrokerStore, Session, SessionState
from qnsp_policy.services.broker.stored_claims import claims_from_json, claims_to_json

VerifyEvidence = Callable[[Evidence, datetime], VerifiedClaims]
"""Verifies evidence against the broker's anchors and collateral."""


class KeyOperations(Protocol):
    """What the broker's private keys do; nobody else sees them."""

    def open_sealed_key(self, envelope: Mapping[str, Any], resource: str) -> bytes:
        """The data key of a sealed-key object that was sealed for exactly this resource."""
        ...

    def wrap(self, plaintext: bytes, tee_pubkey: Mapping[str, Any]) -> bytes:
        """The body of a release: a flattened JWE."""
        ...

    def check_recipient(self, tee_pubkey: Mapping[str, Any]) -> None:
        """Raises `PeerError` for a key that could not be wrapped to."""
        ...

    def issue_token(self, claims: Mapping[str, Any]) -> str: ...

    def verify_token(self, token: str, now: datetime) -> Mapping[str, Any]:
        """The claims of an unexpired token of this broker; raises `PeerError`."""
        ...


@dataclass(frozen=True, slots=True)
class Credential:
    """What came with a resource request, unverified."""

    session_id: str | None = None
    bearer: str | None = None


@dataclass(frozen=True, slots=True)
class Attested:
    """An attested session in force."""

    session_ref: str
    tee: str
    tee_pubkey: Mapping[str, Any]
    claims: VerifiedClaims


@dataclass(frozen=True, slots=True)
class Release:
    """A wrapped resource.

    Attributes:
        body: flattened JWE, JSON.
        lease_seconds: how long the guest may use it before it has to ask again.
        decision_id: of the ledger's record.
    """

    body: bytes
    lease_seconds: int
    decision_id: str


class Broker:
    """One broker: its store, its log, its keys, its verifier."""

    def __init__(
        self,
        *,
        name: str,
        store: BrokerStore,
        ledger: BrokerLedger,
        keeper: StateKeeper,
        keys: KeyOperations,
        verify_evidence: VerifyEvidence,
        session_seconds: int = 300,
        token_seconds: int = 300,
    ) -> None:
        self._name = name
        self._store = store
        self._ledger = ledger
        self._keeper = keeper
        self._keys = keys
        self._verify_evidence = verify_evidence
        self._session_seconds = session_seconds
        self._token_seconds = token_seconds
        self._released = _Released()

    def auth(self, body: bytes, now: datetime) -> tuple[Session, Challenge]:
        """A new session with a nonce of its own, whatever cookie came along."""
        try:
            request = AuthRequest.from_bytes(body)
        except PeerError as error:
            raise KbsRefusal(Variant.ATTESTATION, error.code, error.message) from None
        algorithm = (
            "sha384"
            if "sha384" in request.hash_algorithms
            else "sha512"
            if "sha512" in request.hash_algorithms
            else None
        )
        if algorithm is None:
            raise KbsRefusal(Variant.ATTESTATION, "QNSP-KBS-113", "offer sha384 or sha512")
        self._store.drop_expired_sessions(now)
        session = Session(
            id=secrets.token_hex(16),
            nonce=base64.b64encode(secrets.token_bytes(32)).decode(),
            tee=request.tee,
            hash_algorithm=algorithm,
            created=now,
            expires=now + timedelta(seconds=self._session_seconds),
        )
        self._store.add_session(session)
        return session, Challenge(session.nonce, algorithm)

    def attest(self, session_id: str | None, body: bytes, now: datetime) -> tuple[Session, str]:
        """Spend the session's nonce on one piece of evidence; the token, if everything holds."""
        session = self._open_session(session_id, now)
        try:
            request = AttestRequest.from_bytes(body)
            if not hmac.compare_digest(request.nonce.encode(), session.nonce.encode()):
                raise PeerError("QNSP-KBS-114", "the nonce is not the one of this session")
            self._keys.check_recipient(request.tee_pubkey)
            claims = self._verify_evidence(evidence_of(session.tee, request), now)
            check_binding(claims, request, session.hash_algorithm)
            check_initdata(claims, request.init_data)
        except QnspError as error:
            decision_id = self._record("denial", session, "attest", {"code": error.code, "reason": error.message}, now)
            raise KbsRefusal(Variant.ATTESTATION, error.code, "attestation refused", decision_id=decision_id) from None
        expires = min(now + timedelta(seconds=self._token_seconds), claims.not_after)
        self._record(
            "attest",
            session,
            "attest",
            {"kind": claims.kind.value, "assurance": claims.assurance.value, "claims": _identifying(claims)},
            now,
        )
        self._store.attest_session(session.id, request.tee_pubkey, claims_to_json(claims), expires)
        token = self._keys.issue_token(
            {
                "eat_profile": "tag:github.com,2024:confidential-containers/Trustee",
                "iss": self._name,
                "iat": int(now.timestamp()),
                "nbf": int(now.timestamp()),
                "exp": int(expires.timestamp()),
                "jti": _reference(session.id),
                "ear.verifier-id": {"developer": "qnsp-policy", "build": "qnsp-policy"},
                "submods": {
                    "cpu0": {
                        # Verified, not yet appraised: appraisal belongs to each resource's release policy.
                        "ear.status": "none",
                        "ear.appraisal-policy-id": "none",
                        "ear.veraison.annotated-evidence": {
                            "tee": session.tee,
                            "qnsp.verified-claims": claims_to_json(claims),
                            "runtime_data_claims": {"nonce": session.nonce, "tee-pubkey": dict(request.tee_pubkey)},
                        },
                    }
                },
            }
        )
        return session, token

    def resource(self, path_text: str, credential: Credential, now: datetime) -> Release:
        """Release one resource to an attested guest, or refuse and say in the ledger why."""
        attested = self._attested(credential, now)
        try:
            path = ResourcePath.parse(path_text)
        except PeerError as error:
            raise KbsRefusal(Variant.INVALID_PATH, error.code, error.message) from None
        self._keeper.check()
        if self._store.object("release-policy", str(path)) is None:
            self._refuse_while_empty()
        verdict = self._judge(path, attested, now)
        if not verdict.allowed:
            decision_id = self._record_denial(path, attested, verdict, now)
            raise KbsRefusal(Variant.POLICY_DENY, verdict.code, "denied", decision_id=decision_id)
        plaintext, digest = self._plaintext(path, attested, now)
        body = self._keys.wrap(plaintext, attested.tee_pubkey)
        recorded = self._released.known((attested.session_ref, str(path), digest, verdict.plan), now)
        if recorded:
            return Release(body, verdict.lease_seconds, recorded)
        decision_id = secrets.token_hex(8)
        self._ledger.record(
            "release",
            actor=attested.session_ref,
            subject=str(path),
            data={
                "decision": decision_id,
                "grant": verdict.grant,
                "enclave": verdict.enclave,
                "matched": verdict.matched,
                "purpose": verdict.purpose,
                "plan": verdict.plan,
                "leaseSeconds": verdict.lease_seconds,
                "wrapping": str(attested.tee_pubkey.get("alg")),
                "kind": attested.claims.kind.value,
                "assurance": attested.claims.assurance.value,
                "claims": _identifying(attested.claims),
            },
            now=now,
        )
        until = now + timedelta(seconds=self._token_seconds)
        self._released.remember((attested.session_ref, str(path), digest, verdict.plan), decision_id, until)
        return Release(body, verdict.lease_seconds, decision_id)

    def _judge(self, path: ResourcePath, attested: Attested, now: datetime) -> Verdict:
        stored = self._store.object("release-policy", str(path))
        policy = ReleasePolicy.from_json(dict(stored.value)) if stored else None
        return judge(
            policy,
            plan=stored.plan if stored else "",
            tenant=self._store.object("tenant", path.repository),
            revocations=self._store.objects_of("revocation"),
            claims=attested.claims,
            wrapping=str(attested.tee_pubkey.get("alg")),
            now=now,
        )

    def _plaintext(self, path: ResourcePath, attested: Attested, now: datetime) -> tuple[bytes, str]:
        """What is released, and the digest of the object that holds it."""
        endpoint = self._store.object("endpoint", str(path)) if path.type == "endpoint" else None
        if endpoint is not None:
            return jcs(dict(endpoint.value)), endpoint.digest
        sealed = self._store.object("resource", str(path))
        if sealed is None:
            self._refuse_while_empty()
            raise KbsRefusal(Variant.PLUGIN_INTERNAL, "QNSP-REL-404", "there is no such resource", strict_status=404)
        try:
            return self._keys.open_sealed_key(sealed.value, str(path)), sealed.digest
        except QnspError as error:
            decision_id = secrets.token_hex(8)
            self._ledger.record(
                "failure",
                actor=attested.session_ref,
                subject=str(path),
                data={"decision": decision_id, "code": error.code, "reason": error.message},
                now=now,
            )
            raise KbsRefusal(
                Variant.PLUGIN_INTERNAL,
                error.code,
                "the sealed key cannot be opened",
                decision_id=decision_id,
                strict_status=503,
            ) from error

    def _refuse_while_empty(self) -> None:
        """Say of what is absent that it is not there yet, until this broker was once handed everything: no verdict on the guest."""
        if not was_handed_everything(self._store):
            raise KbsRefusal(
                Variant.PLUGIN_INTERNAL,
                "QNSP-KBS-120",
                "this broker was not handed everything yet",
                strict_status=503,
            )

    def _open_session(self, session_id: str | None, now: datetime) -> Session:
        session = self._store.session(session_id) if session_id else None
        if session is None or now > session.expires:
            raise KbsRefusal(Variant.ATTESTATION, "QNSP-KBS-115", "no such session; begin with auth")
        if session.state is not SessionState.OPEN or not self._store.spend_session(session.id):
            raise KbsRefusal(Variant.ATTESTATION, "QNSP-KBS-116", "this session's nonce was used; begin with auth")
        return session

    def _attested(self, credential: Credential, now: datetime) -> Attested:
        """An attested cookie counts first; a bearer token is looked at only without one."""
        session = self._store.session(credential.session_id) if credential.session_id else None
        if session is not None and session.state is SessionState.ATTESTED and now <= session.expires:
            assert session.claims is not None
            assert session.tee_pubkey is not None
            return Attested(_reference(session.id), session.tee, session.tee_pubkey, claims_from_json(session.claims))
        if not credential.bearer:
            raise KbsRefusal(Variant.TOKEN_NOT_FOUND, "QNSP-KBS-117", "attest first")
        try:
            token = self._keys.verify_token(credential.bearer, now)
            evidence = token["submods"]["cpu0"]["ear.veraison.annotated-evidence"]
            return Attested(
                str(token["jti"]),
                str(evidence["tee"]),
                evidence["runtime_data_claims"]["tee-pubkey"],
                claims_from_json(evidence["qnsp.verified-claims"]),
            )
        except (PeerError, KeyError, TypeError, ValueError):
            raise KbsRefusal(Variant.TOKEN_VERIFIER, "QNSP-KBS-118", "not a token of this broker in force") from None

    def _record(self, kind: str, session: Session, subject: str, data: Mapping[str, Any], now: datetime) -> str:
        decision_id = secrets.token_hex(8)
        self._ledger.record(
            kind,
            actor=_reference(session.id),
            subject=subject,
            data={"decision": decision_id, "tee": session.tee, **data},
            now=now,
        )
        return decision_id

    def _record_denial(self, path: ResourcePath, attested: Attested, verdict: Verdict, now: datetime) -> str:
        decision_id = secrets.token_hex(8)
        self._ledger.record(
            "denial",
            actor=attested.session_ref,
            subject=str(path),
            data={
                "decision": decision_id,
                "code": verdict.code,
                "mismatches": [
                    {"claim": m.claim, "seen": m.seen, "required": m.required, "setBy": m.set_by, "code": m.code}
                    for m in verdict.mismatches
                ],
                "plan": verdict.plan,
                "nearestGrant": verdict.grant,
                "kind": attested.claims.kind.value,
                "assurance": attested.claims.assurance.value,
                "claims": _identifying(attested.claims),
            },
            now=now,
        )
        return decision_id


class _Released:
    """Releases that are recorded: the same object to the same attested key under the same plan is one fact, not one a poll."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, str], tuple[str, datetime]] = {}
        self._lock = threading.Lock()

    def known(self, release: tuple[str, str, str, str], now: datetime) -> str:
        """The decision id under which it stands in the ledger, or ""."""
        with self._lock:
            decision_id, until = self._known.get(release, ("", now))
            return decision_id if now < until else ""

    def remember(self, release: tuple[str, str, str, str], decision_id: str, until: datetime) -> None:
        with self._lock:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            self._known[release] = (decision_id, until)


_REMEMBERED = 10_000
_IDENTIFYING = ("measurement", "hostData", "chipId", "productLine", "vmpl", "guestSvn", "mrTd", "launchDigest")


def _identifying(claims: VerifiedClaims) -> dict[str, Any]:
    """The few claims that say which guest it was; never report data, which is the session's business."""
    return {name: claims.claims[name] for name in _IDENTIFYING if name in claims.claims}


def _reference(session_id: str) -> str:
    """A name for a session in records and tokens: the id itself is a credential."""
    return "session-" + hashlib.sha256(session_id.encode()).hexdigest()[:16]


__all__ = ["Attested", "Broker", "Credential", "KeyOperations", "Release", "VerifyEvidence"]
