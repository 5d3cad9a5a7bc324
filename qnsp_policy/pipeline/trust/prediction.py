"""Prediction: given verified claims of an attester, who would be released what before a change and after it.

The same `decide` that a broker runs answers, so a prediction is what the broker will do with this evidence; it says nothing of
evidence that it was not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from qnsp_policy.kernel.attestation.values import VerifiedClaims
from qnsp_policy.pipeline.trust.decide import Decision, decide
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.values import Json

Policies = Mapping[tuple[str, str], ReleasePolicy]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One attester and one resource at one broker.

    Attributes:
        attester: the name that the caller gave to the claims.
        broker, resource: of the policy.
        before: None when there was no policy.
        after: None when there is none any more.
    """

    attester: str
    broker: str
    resource: str
    before: Decision | None
    after: Decision | None

    @property
    def gains(self) -> bool:
        """Whether this attester obtains the resource only after the change."""
        return _allowed(self.after) and not _allowed(self.before)

    @property
    def loses(self) -> bool:
        """Whether this attester obtains the resource only before the change."""
        return _allowed(self.before) and not _allowed(self.after)

    def to_json(self) -> Json:
        return {
            "attester": self.attester,
            "broker": self.broker,
            "resource": self.resource,
            "before": _to_json(self.before),
            "after": _to_json(self.after),
            "gains": self.gains,
            "loses": self.loses,
        }


def _allowed(decision: Decision | None) -> bool:
    return decision is not None and decision.allowed


def _to_json(decision: Decision | None) -> Json | None:
    if decision is None:
        return None
    return {
        "allowed": decision.allowed,
        "code": decision.code,
        "grant": decision.grant,
        "alternative": decision.alternative,
        "leaseSeconds": decision.lease_seconds,
        "mismatches": [
            {"alternative": m.alternative, "claim": m.claim, "seen": m.seen, "required": m.required, "code": m.code}
            for m in decision.mismatches
        ],
    }


def predict(
    before: Policies, after: Policies, attesters: Mapping[str, VerifiedClaims], *, now: datetime
) -> tuple[Prediction, ...]:
    """Decide for every attester and every resource, before and after.

    Args:
        before: policies in force, e.g. `recorded_policies`.
        after: policies proposed.
        attesters: verified claims by a name for them.
        now: the present moment, aware.
    """
    found = []
    for name, claims in sorted(attesters.items()):
        for key in sorted({*before, *after}):
            old, new = before.get(key), after.get(key)
            found.append(
                Prediction(
                    attester=name,
                    broker=key[0],
                    resource=key[1],
                    before=decide(old, claims, now=now) if old is not None else None,
                    after=decide(new, claims, now=now) if new is not None else None,
                )
            )
    return tuple(found)


__all__ = ["Policies", "Prediction", "predict"]
