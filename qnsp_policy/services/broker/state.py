"""The broker's values that outlive a request: sessions, objects, the version of all objects together; and their ports.

Objects change in three steps, so that a crash between any two is recognised and finished: the change is staged in the store
with the version it will make, the ledger records version and digest, the store takes it over. A store whose version is behind
the ledger's is an old one that was restored, and the broker refuses to serve from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest


class SessionState(StrEnum):
    """`open` has a nonce that may be used once; any attest ends it, for better or worse."""

    OPEN = "open"
    SPENT = "spent"
    ATTESTED = "attested"


@dataclass(frozen=True, slots=True)
class Session:
    """One RCAR handshake.

    Attributes:
        id: 32 hex digits, the cookie's value.
        nonce: standard base64 of 32 random bytes.
        tee: the protocol's word for the attester (`snp`, ...).
        hash_algorithm: the digest that binds runtime data, chosen at `auth`.
        tee_pubkey: JWK that keys are wrapped to; empty until attested.
        claims: verified claims as JSON (`stored_claims`), empty until attested.
    """

    id: str
    nonce: str
    tee: str
    hash_algorithm: str
    created: datetime
    expires: datetime
    state: SessionState = SessionState.OPEN
    tee_pubkey: Mapping[str, Any] | None = None
    claims: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Something an approved plan put here.

    Attributes:
        kind, name: as in `"<kind>/<name>"` of the plan's `authorises`.
        digest: SHA-256 over the RFC 8785 form of `value`.
        plan: digest of the plan that brought it, "" for what only tightens.
    """

    kind: str
    name: str
    digest: str
    value: Mapping[str, Any]
    plan: str


@dataclass(frozen=True, slots=True)
class HeldObject:
    """An object without its value: what lists and the digest of all objects need, of which there may be thousands."""

    kind: str
    name: str
    digest: str
    plan: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the objects: `stored` is put, or (`kind`, `name`) is removed when it is None."""

    kind: str
    name: str
    stored: StoredObject | None


@dataclass(frozen=True, slots=True)
class StateVersion:
    """The version of all objects together and their common digest."""

    version: int
    digest: str


def state_digest(objects: Iterable[HeldObject | StoredObject]) -> str:
    """One digest over (kind, name, digest) of every object, sorted."""
    return sha256_digest(jcs(sorted([o.kind, o.name, o.digest] for o in objects)))


def digest_after(objects: Iterable[HeldObject], change: Change) -> str:
    """What `state_digest` will be once `change` is made."""
    kept = [o for o in objects if (o.kind, o.name) != (change.kind, change.name)]
    return state_digest([*kept, change.stored] if change.stored else kept)


class BrokerStore(Protocol):
    """What the broker keeps in SQL; every method is one transaction."""

    def add_session(self, session: Session) -> None: ...

    def session(self, session_id: str) -> Session | None: ...

    def spend_session(self, session_id: str) -> bool:
        """Turn an open session into a spent one; False if it was not open (exactly one caller wins)."""
        ...

    def attest_session(
        self, session_id: str, tee_pubkey: Mapping[str, Any], claims: Mapping[str, Any], expires: datetime
    ) -> None: ...

    def drop_expired_sessions(self, now: datetime) -> None: ...

    def objects(self) -> tuple[HeldObject, ...]: ...

    def object(self, kind: str, name: str) -> StoredObject | None: ...

    def objects_of(self, kind: str) -> tuple[StoredObject, ...]: ...

    def version(self) -> StateVersion: ...

    def stage(self, change: Change, becomes: StateVersion) -> None: ...

    def staged(self) -> tuple[Change, StateVersion] | None: ...

    def take_over(self) -> None:
        """Make the staged change, if there is one, and set the version it was staged for."""
        ...

    def drop_staged(self) -> None: ...

    def seen_plans(self) -> tuple[str, ...]:
        """Digests of all plans ever accepted, oldest first."""
        ...

    def remember_plan(self, digest: str, envelope: bytes, now: datetime) -> None: ...


class BrokerLedger(Protocol):
    """The broker's own log."""

    def record(self, kind: str, *, actor: str, subject: str, data: Mapping[str, Any], now: datetime) -> int:
        """Append a record durably; returns its index."""
        ...

    def last_state(self) -> StateVersion | None:
        """The version and digest of the newest record of type `broker-state`."""
        ...

    def checkpoint(self) -> str: ...


__all__ = [
    "BrokerLedger",
    "BrokerStore",
    "Change",
    "HeldObject",
    "Session",
    "SessionState",
    "StateVersion",
    "StoredObject",
    "digest_after",
    "state_digest",
]
