"""What a change of the TrustRoot means, in words: part of what approvers sign, so plain text, the same for everybody.

Each line begins with the direction: `! WEAKENED` where more may be done, or by more people, than before; `^ STRENGTHENED`
for the opposite; `> REPLACED` where the same people sign with other keys. Keys stand with their whole thumbprint (RFC 7638),
to be compared with what their owner reads out. The last lines say who may do what afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.pipeline.trust.changes import length
from qnsp_policy.pipeline.trust.codec import time_to_text
from qnsp_policy.pipeline.trust.trust_root import ApprovalRule, IdentityValue, SignerValue, TrustRootValue

WEAKENED = "! WEAKENED  "
STRENGTHENED = "^ STRENGTHENED  "
REPLACED = "> REPLACED  "

_SEVERITIES = ("info", "low", "medium", "high", "critical")
_ENVIRONMENTS = ("production", "development")


def root_changes(judge: TrustRootValue, proposed: TrustRootValue) -> list[str]:
    """Every difference between two TrustRoots, then who may do what once it is applied."""
    lines: list[str] = []
    for name in sorted({*judge.identities, *proposed.identities}):
        lines += _identity(name, judge.identities.get(name), proposed.identities.get(name))
    lines += _settings(judge, proposed)
    lines += _anchors(judge.anchors, proposed.anchors)
    return [*lines, *_afterwards(proposed), f"TrustRoot version {judge.version} -> {proposed.version}"]


def weakens(lines: Iterable[str]) -> bool:
    """Whether any of these lines widens what may be done or who may do it."""
    return any(line.startswith(WEAKENED) for line in lines)


def _identity(name: str, old: IdentityValue | None, new: IdentityValue | None) -> Iterator[str]:
    if new is None:
        yield f"{STRENGTHENED}{name} may do nothing any more (was {_roles(old)})"
        return
    if old is None:
        yield f"{WEAKENED}{name} is new: {_roles(new)}"
        yield from _signers("signs with", new.signers)
        return
    gained, lost = sorted(new.roles - old.roles), sorted(old.roles - new.roles)
    if gained:
        yield f"{WEAKENED}{name} becomes {', '.join(gained)}"
    if lost:
        yield f"{STRENGTHENED}{name} is no longer {', '.join(lost)}"
    before = [signer for signer in old.signers if signer not in new.signers]
    after = [signer for signer in new.signers if signer not in old.signers]
    if before and after:
        yield f"{_renewal(before, after)}{name} signs with other keys, or for another time"
    elif after:
        yield f"{WEAKENED}{name} may sign with more keys"
    elif before:
        yield f"{STRENGTHENED}{name} may sign with fewer keys"
    yield from _signers("no longer", before)
    yield from _signers("signs with", after)


def _renewal(before: Sequence[SignerValue], after: Sequence[SignerValue]) -> str:
    """The same keys for longer or shorter have a direction; other keys have none."""
    was, now = ({jcs(key): signer.expires for signer in signers for key in signer.keys} for signers in (before, after))
    if was.keys() != now.keys():
        return REPLACED
    longer = any(now[key] > expires for key, expires in was.items())
    return WEAKENED if longer else STRENGTHENED


def _signers(verb: str, signers: Iterable[SignerValue]) -> Iterator[str]:
    for signer in signers:
        yield f"    {verb} a {signer.type} signer, until {time_to_text(signer.expires)}"
        yield from (f"      {key.algorithm}  {key.key_id}" for key in signer.public_keys)


def _settings(judge: TrustRootValue, proposed: TrustRootValue) -> Iterator[str]:
    if judge.threshold != proposed.threshold:
        yield _number("approvals of a change of the TrustRoot", judge.threshold, proposed.threshold)
    for role in sorted({*judge.role_thresholds, *proposed.role_thresholds}):
        old, new = judge.role_thresholds.get(role, 0), proposed.role_thresholds.get(role, 0)
        if old != new:
            yield _number(f"approvals by role {role} of any change", old, new)
    rules = [
        ("any change", judge.approvals.default, proposed.approvals.default),
        ("weakened trust", judge.approvals.weaken, proposed.approvals.weaken),
        ("destruction", judge.approvals.destroy, proposed.approvals.destroy),
    ]
    none = ApprovalRule(0)
    tiers = (judge.approvals.tiers, proposed.approvals.tiers)
    rules += [(tier, tiers[0].get(tier, none), tiers[1].get(tier, none)) for tier in sorted({*tiers[0], *tiers[1]})]
    for what, was, now in rules:
        if was != now:
            yield f"{_rule_direction(was, now)}approvals of {what}: {_rule(was)} -> {_rule(now)}"
    if judge.fail_on != proposed.fail_on:
        wider = _SEVERITIES.index(proposed.fail_on) > _SEVERITIES.index(judge.fail_on)
        yield f"{_way(wider)}findings block a plan from severity: {judge.fail_on} -> {proposed.fail_on}"
    if judge.plan_lifetime_seconds != proposed.plan_lifetime_seconds:
        wider = proposed.plan_lifetime_seconds > judge.plan_lifetime_seconds
        lives = (length(judge.plan_lifetime_seconds), length(proposed.plan_lifetime_seconds))
        yield f"{_way(wider)}a plan may wait for its apply: {lives[0]} -> {lives[1]}"
    if judge.environment != proposed.environment:
        wider = _ENVIRONMENTS.index(proposed.environment) > _ENVIRONMENTS.index(judge.environment)
        yield f"{_way(wider)}environment: {judge.environment} -> {proposed.environment}"


def _way(wider: bool) -> str:
    return WEAKENED if wider else STRENGTHENED


def _number(what: str, old: int, new: int) -> str:
    return f"{_way(new < old)}{what}: {old} -> {new}"


def _rule_direction(was: ApprovalRule, now: ApprovalRule) -> str:
    """Stricter only where neither the number falls nor the role is given up or exchanged."""
    return _way(now.count < was.count or (bool(was.role) and now.role != was.role))


def _rule(rule: ApprovalRule) -> str:
    return f"{rule.count} by {rule.role or 'any approver'}" if rule.count else "none"


def _anchors(old: Sequence[Mapping[str, object]], new: Sequence[Mapping[str, object]]) -> Iterator[str]:
    for way, anchors, others, verb in (
        (WEAKENED, new, old, "is accepted as a vendor's root"),
        (STRENGTHENED, old, new, "is no vendor's root any more"),
    ):
        for anchor in anchors:
            if anchor not in others:
                named = " ".join(str(anchor[part]) for part in ("vendor", "line", "assurance") if anchor[part])
                yield f"{way}{named} {verb}: certificate {sha256_digest(str(anchor['certificate']).encode())}"


def _afterwards(root: TrustRootValue) -> Iterator[str]:
    identities = sorted(root.identities.items())
    authors = [name for name, identity in identities if "author" in identity.roles]
    approvers = [f"{name} ({_roles(identity)})" for name, identity in identities if identity.may_approve]
    yield f"afterwards plans are written by: {', '.join(authors) or 'nobody'}"
    yield f"afterwards plans are approved by: {', '.join(approvers) or 'nobody'}"
    yield f"afterwards a change of the TrustRoot takes {root.threshold} of these beside its author"


def _roles(identity: IdentityValue | None) -> str:
    return ", ".join(sorted(identity.roles)) if identity is not None else ""


__all__ = ["REPLACED", "STRENGTHENED", "WEAKENED", "root_changes", "weakens"]
