"""The broker's objects: what may change them, and in which order with the ledger.

An object is taken only if a plan that this broker verified names its digest for it; what only tightens (removing an object other
than a revocation, adding a revocation) needs the administrator's signature alone. A revocation ends by a later approved plan. Versions only rise: `StateKeeper.check` tells a
restored old store from a crash half-way, finishes the latter and refuses the former.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from qnsp_policy.errors import OperatorError, QnspError
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.wire.broker_admin import KINDS
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.services.broker.problems import AdminRefusal
from qnsp_policy.services.broker.state import (
    BrokerLedger,
    BrokerStore,
    Change,
    StateVersion,
    StoredObject,
    digest_after,
    state_digest,
)

_PLAN = ("plan", "current")


@dataclass(frozen=True, slots=True)
class AcceptedPlan:
    """A plan as this broker verified it.

    Attributes:
        digest: of the plan's payload.
        authorises: `"<kind>/<name>"` -> digest, for this broker.
        base_serial: the serial of recorded state it was planned against; it never falls.
        base: resource -> digest of the release policy that it says is in force here.
        expires: after which it authorises nothing.
        author, approvers: names of identities.
        between: `"<kind>/<name>"` -> digest that stands in place of `authorises` until that is there: a rollout's overlap.
        handed: whether this store ever held everything that its plan authorised at the time (`was_handed_everything`).
    """

    digest: str
    authorises: Mapping[str, str]
    base_serial: int
    base: Mapping[str, str]
    expires: datetime
    author: str
    approvers: tuple[str, ...]
    between: Mapping[str, str] = field(default_factory=dict)
    handed: bool = False


VerifyPlan = Callable[[bytes, datetime], AcceptedPlan]
"""Verifies an envelope against the trust root in force; raises a `QnspError` of its own."""


class StateKeeper:
    """Changes objects so that the ledger always knows the version that the store should have."""

    def __init__(self, store: BrokerStore, ledger: BrokerLedger, broker: str) -> None:
        self._store = store
        self._ledger = ledger
        self._broker = broker
        self._changing = threading.RLock()  # requests are served by several threads

    @property
    def lock(self) -> threading.RLock:
        """For what must look at objects and change them in one go."""
        return self._changing

    def recover(self) -> None:
        """Finish or drop a change that a crash, or a disk that was full, interrupted."""
        found = self._store.staged()
        if found is None:
            return
        _, becomes = found
        if self._ledger.last_state() == becomes:
            self._store.take_over()
        else:
            self._store.drop_staged()

    def check(self) -> None:
        """Compare the store with the ledger.

        Raises:
            OperatorError: `QNSP-KBS-020`: the store is older than the ledger says (restored), or was changed beside it.
        """
        with self._changing:
            stored, recorded = self._versions()
            if stored != recorded:
                self.recover()
                stored, recorded = self._versions()
        if stored == recorded:
            return
        raise OperatorError(
            "QNSP-KBS-020",
            f"the store is at version {stored.version}, the ledger recorded version {recorded.version}: "
            "an old store was restored or objects were changed beside the broker; nothing is released",
            subject=self._broker,
            expected=f"version {recorded.version} {recorded.digest}",
            got=f"version {stored.version} {stored.digest}",
            next_step="restore the store of that version, or start from an empty store and apply an approved plan again",
        )

    def _versions(self) -> tuple[StateVersion, StateVersion]:
        """What the store holds, and what the ledger says that it should."""
        return self._store.version(), self._ledger.last_state() or StateVersion(0, state_digest(()))

    def change(self, change: Change, *, actor: str, now: datetime) -> StateVersion:
        """Make one change durably: stage, record, take over."""
        with self._changing:
            self.check()
            before = self._store.version()
            becomes = StateVersion(before.version + 1, digest_after(self._store.objects(), change))
            self._store.stage(change, becomes)
            stored = change.stored
            self._ledger.record(
                "broker-state",
                actor=actor,
                subject=f"{change.kind}/{change.name}",
                data={
                    "version": becomes.version,
                    "digest": becomes.digest,
                    "object": stored.digest if stored else None,
                    "plan": stored.plan if stored else None,
                },
                now=now,
            )
            self._store.take_over()
            return becomes


class ObjectAdministration:
    """What an authenticated administrator can do with the objects."""

    def __init__(
        self,
        store: BrokerStore,
        keeper: StateKeeper,
        broker: str,
        verify: VerifyPlan,
        *,
        insecure_sample: bool = False,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: holds the objects.
            keeper: changes them.
            broker: address, as plans name it.
            verify: verifies plans.
            insecure_sample: take policies that release to unmeasured sample attesters, as conformance tests need.
        """
        self._insecure_sample = insecure_sample
        self._store = store
        self._keeper = keeper
        self._broker = broker
        self._verify = verify

    def accept_plan(self, envelope: bytes, *, actor: str, now: datetime) -> AcceptedPlan:
        """Take a signed and approved plan; the same plan again changes nothing.

        Raises:
            AdminRefusal: it was superseded, or is older than the one in force (`QNSP-KBS-031`).
            QnspError: what its verification found wrong.
        """
        with self._keeper.lock:
            return self._accept_plan(envelope, actor=actor, now=now)

    def _accept_plan(self, envelope: bytes, *, actor: str, now: datetime) -> AcceptedPlan:
        plan = self._verify(envelope, now)
        current = self.current_plan()
        if current is not None and current.digest == plan.digest:
            return plan
        if plan.digest in self._store.seen_plans():
            raise AdminRefusal(409, "QNSP-KBS-031", "this plan was superseded by a later one", subject=plan.digest)
        if current is not None and plan.base_serial < current.base_serial:
            raise AdminRefusal(
                409,
                "QNSP-KBS-031",
                f"this plan was made against serial {plan.base_serial}, the one in force against {current.base_serial}",
                subject=plan.digest,
            )
        self._check_base(plan, current)
        self._store.remember_plan(plan.digest, envelope, now)
        self._keep(replace(plan, handed=current is not None and current.handed), actor=actor, now=now)
        return plan

    def _keep(self, plan: AcceptedPlan, *, actor: str, now: datetime) -> None:
        value = {
            "digest": plan.digest,
            "authorises": dict(plan.authorises),
            "baseSerial": plan.base_serial,
            "base": dict(plan.base),
            "expires": plan.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "author": plan.author,
            "approvers": list(plan.approvers),
            "between": dict(plan.between),
            "handed": plan.handed,
        }
        stored = StoredObject(*_PLAN, sha256_digest(jcs(value)), value, plan.digest)
        self._keeper.change(Change(*_PLAN, stored), actor=actor, now=now)

    def _note_handed(self, *, actor: str, now: datetime) -> None:
        """Once everything that the plan authorises was there, what is absent afterwards was taken away on purpose."""
        plan = self.current_plan()
        if plan is None or plan.handed:
            return
        held = {f"{one.kind}/{one.name}" for one in self._store.objects()}
        if held >= plan.authorises.keys():
            self._keep(replace(plan, handed=True), actor=actor, now=now)

    def _check_base(self, plan: AcceptedPlan, current: AcceptedPlan | None) -> None:
        """The policies held here must be those the plan was judged against, or progress of the plan in force.

        A policy that is missing here only tightens; one that the plan does not know of, or knows otherwise, would make the
        trust diff that people approved a lie.
        """
        for held in self._store.objects_of("release-policy"):
            subject = f"release-policy/{held.name}"
            progress = {current.authorises.get(subject), current.between.get(subject)} if current else set()
            if held.digest not in {plan.base.get(held.name), *progress}:
                raise AdminRefusal(
                    409,
                    "QNSP-KBS-039",
                    f"the plan was judged against another release policy of {held.name} than the one in force here",
                    subject=held.name,
                )

    def current_plan(self) -> AcceptedPlan | None:
        """The plan accepted last."""
        stored = self._store.object(*_PLAN)
        return None if stored is None else _plan_of(stored.value)

    def put(self, kind: str, name: str, value: object, plan_digest: str, *, actor: str, now: datetime) -> bool:
        """Put an object that the plan in force authorises; returns False if it was already there.

        Raises:
            AdminRefusal: `QNSP-KBS-032` no such plan in force, `-033` not authorised, `-034` expired, `-035` malformed.
        """
        with self._keeper.lock:
            return self._put(kind, name, value, plan_digest, actor=actor, now=now)

    def _put(self, kind: str, name: str, value: object, plan_digest: str, *, actor: str, now: datetime) -> bool:
        _check_kind(kind)
        if not isinstance(value, Mapping):
            raise AdminRefusal(400, "QNSP-KBS-035", "object is not a JSON object", subject=f"{kind}/{name}")
        digest = sha256_digest(jcs(value))
        subject = f"{kind}/{name}"
        if kind != "revocation":
            self._authorised(subject, digest, plan_digest, now)
        _check_object(kind, name, value, self._broker, insecure_sample=self._insecure_sample)
        existing = self._store.object(kind, name)
        if existing is not None and existing.digest == digest and existing.plan == plan_digest:
            return False
        if kind == "revocation" and existing is not None and existing.digest != digest:
            raise AdminRefusal(403, "QNSP-KBS-033", "a revocation is never changed, only added", subject=subject)
        if kind == "revocation" and not plan_digest:
            # Remember which plan was in force: only a later one can undo it.
            current = self.current_plan()
            plan_digest = current.digest if current else ""
        stored = StoredObject(kind, name, digest, value, plan_digest)
        self._keeper.change(Change(kind, name, stored), actor=actor, now=now)
        self._note_handed(actor=actor, now=now)
        return True

    def remove(self, kind: str, name: str, *, actor: str, now: datetime) -> bool:
        """Remove an object: that only tightens, except for revocations and the trust root, which stay."""
        with self._keeper.lock:
            return self._remove(kind, name, actor=actor, now=now)

    def _remove(self, kind: str, name: str, *, actor: str, now: datetime) -> bool:
        _check_kind(kind)
        existing = self._store.object(kind, name)
        if existing is None or kind == "trust-root":
            # Without its object a broker would fall back to its pin, an older TrustRoot: the object stays.
            return False
        if kind == "revocation" and not self._undone(existing):
            raise AdminRefusal(
                403,
                "QNSP-KBS-036",
                "undoing a revocation widens trust: it takes an approved plan, later than the revocation, without it",
                subject=f"{kind}/{name}",
            )
        self._keeper.change(Change(kind, name, None), actor=actor, now=now)
        plan = self.current_plan()
        if plan is not None and not plan.handed:
            # Taken away on purpose: it is denied from now on, not on its way.
            self._keep(replace(plan, handed=True), actor=actor, now=now)
        return True

    def _undone(self, revocation: StoredObject) -> bool:
        """Whether a plan that came after the revocation says that it is over, by holding everything but it."""
        plan = self.current_plan()
        return (
            plan is not None
            and plan.digest != revocation.plan
            and f"revocation/{revocation.name}" not in plan.authorises
        )

    def _authorised(self, subject: str, digest: str, plan_digest: str, now: datetime) -> None:
        plan = self.current_plan()
        if plan is None or plan.digest != plan_digest:
            raise AdminRefusal(
                403,
                "QNSP-KBS-032",
                "this plan is not the one in force here; send its signed and approved envelope first"
                if plan_digest
                else "an administrator's signature alone cannot widen trust: name the approved plan that holds this object",
                subject=subject,
            )
        if now > plan.expires:
            raise AdminRefusal(
                403, "QNSP-KBS-034", f"plan {plan.digest} expired at {plan.expires:%Y-%m-%dT%H:%M:%SZ}", subject=subject
            )
        wanted = plan.authorises.get(subject)
        if plan.between.get(subject) == digest:
            # Old values beside new ones: never again once the old ones were retired, whoever holds the plan.
            kind, _, name = subject.partition("/")
            held = self._store.object(kind, name)
            if held is not None and (held.digest, held.plan) == (wanted, plan_digest):
                raise AdminRefusal(
                    403,
                    "QNSP-KBS-033",
                    f"the values that {subject} had before were retired by plan {plan.digest}",
                    subject=subject,
                )
            return
        if wanted != digest:
            raise AdminRefusal(
                403,
                "QNSP-KBS-033",
                f"plan {plan.digest} authorises {wanted or 'nothing'} for {subject}, got {digest}",
                subject=subject,
            )


def was_handed_everything(store: BrokerStore) -> bool:
    """Whether this store ever held all that its plan authorised: before that, what is absent may be on its way.

    A broker whose members were replaced begins with nothing. Were it to deny what it was not handed yet, guests would stop what runs.
    """
    stored = store.object(*_PLAN)
    if stored is None:
        return bool(store.objects_of("release-policy"))
    return _plan_of(stored.value).handed


def _plan_of(value: Mapping[str, Any]) -> AcceptedPlan:
    return AcceptedPlan(
        digest=value["digest"],
        authorises=dict(value["authorises"]),
        base_serial=value["baseSerial"],
        base=dict(value["base"]),
        expires=datetime.strptime(value["expires"], "%Y-%m-%dT%H:%M:%S%z"),
        author=value["author"],
        approvers=tuple(value["approvers"]),
        between=dict(value.get("between", {})),
        handed=value.get("handed", True),  # a store of before this was told is in use
    )


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise AdminRefusal(404, "QNSP-KBS-030", f"unknown kind of object {kind!r}; known: {', '.join(sorted(KINDS))}")


def _check_object(kind: str, name: str, value: Mapping[str, Any], broker: str, *, insecure_sample: bool) -> None:
    """Refuse what could never be meant, even if a plan holds it: the broker is the last to look."""
    subject = f"{kind}/{name}"
    if kind == "release-policy":
        try:
            policy = ReleasePolicy.from_json(dict(value))
        except (ValueError, QnspError) as error:
            raise AdminRefusal(400, "QNSP-KBS-035", f"not a release policy: {error}", subject=subject) from None
        if policy.resource != name or policy.broker != broker:
            raise AdminRefusal(
                403, "QNSP-KBS-037", f"this policy speaks of {policy.resource} at {policy.broker}", subject=subject
            )
        for grant in policy.grants:
            for alternative in grant.alternatives:
                if insecure_sample and alternative.kind is EvidenceKind.COCO_SAMPLE:
                    continue
                if not any(isinstance(v, str) and len(v) >= 64 for v in alternative.equals.values()):
                    raise AdminRefusal(
                        403,
                        "QNSP-KBS-038",
                        f"{alternative.name} names no measurement: it would release {name} to any guest",
                        subject=subject,
                    )
    elif kind == "revocation":
        values = value.get("values")
        if (
            value.get("format") != "qnsp.revocation/v1"
            or not value.get("claim")
            or not isinstance(values, list)
            or not values
        ):
            raise AdminRefusal(
                400, "QNSP-KBS-035", "a revocation names a claim and at least one value", subject=subject
            )
    elif kind == "endpoint":
        if not name.startswith(f"{value.get('tenant')}/"):
            raise AdminRefusal(
                403, "QNSP-KBS-037", f"this endpoint belongs to tenant {value.get('tenant')!r}", subject=subject
            )
    elif kind == "tenant" and value.get("name") != name:
        raise AdminRefusal(403, "QNSP-KBS-037", f"this tenant is {value.get('name')!r}", subject=subject)


__all__ = ["AcceptedPlan", "ObjectAdministration", "StateKeeper", "VerifyPlan", "was_handed_everything"]
