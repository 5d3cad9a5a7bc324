"""Who must approve what: from the trust diff and the judging TrustRoot to needs, and from approvers to what is unmet.

A need names how many approvals, by whom, and why. It is judged by the TrustRoot in force, never by the proposed one; only
the change of the TrustRoot itself is judged by both. The author's signature never counts as an approval. That the
author owns a tenant says that the tenant wants the change, so that tenant's own need is met by authorship; every
other need, the second pair of eyes among them, is left to others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from qnsp_policy.pipeline.trust.diff import TrustDiff
from qnsp_policy.pipeline.trust.trust_root import ApprovalRule, TrustRootValue
from qnsp_policy.pipeline.trust.values import Json

PROPOSED = "proposed"
IN_FORCE = "in force"


@dataclass(frozen=True, slots=True)
class TenantVoice:
    """Who speaks for a tenant, read from its unit: of the applied state and of the proposed one.

    Attributes:
        tenant: address.
        owners: identity names.
        tier: address of its tier.
        approver_roles: roles of which that tier demands one from an approver, empty for any.
        approver_signers: kinds of signers that count for that tier, empty for any.
    """

    tenant: str
    owners: tuple[str, ...]
    tier: str
    approver_roles: tuple[str, ...] = ()
    approver_signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """So many approvals of these identities.

    Attributes:
        reason: why, in one line; also its identity.
        count: how many different identities.
        who: names of those who may; the author is never among them.
        root: which TrustRoot their keys are looked up in: `in force` or `proposed`.
        signers: kinds of signers that count, empty for any.
    """

    reason: str
    count: int
    who: tuple[str, ...]
    root: str = IN_FORCE
    signers: tuple[str, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether enough identities exist at all."""
        return len(self.who) >= self.count

    def to_json(self) -> Json:
        return {
            "reason": self.reason,
            "count": self.count,
            "who": list(self.who),
            "root": self.root,
            "signers": list(self.signers),
        }


def approvals_needed(
    diff: TrustDiff,
    *,
    judge: TrustRootValue,
    proposed: TrustRootValue,
    before: Mapping[str, TenantVoice],
    after: Mapping[str, TenantVoice],
    author: str,
    destroys: bool = False,
    changes_anything: bool = True,
) -> tuple[Need, ...]:
    """Every approval that a plan needs.

    Args:
        diff: the trust diff from what is applied to what is proposed.
        judge: the TrustRoot in force.
        proposed: the TrustRoot of the documents; equal to `judge` when nothing about it changes.
        before: tenants by address as applied.
        after: tenants by address as proposed.
        author: identity name of whoever wrote the plan.
        destroys: whether a key or store is destroyed.
        changes_anything: False for a plan without any action, which needs nobody.
    """
    needs: list[Need] = []

    def add(reason: str, rule: ApprovalRule, roles: Iterable[str] = (), signers: tuple[str, ...] = ()) -> None:
        wanted = frozenset({rule.role} if rule.role else roles)
        if rule.count > 0:
            needs.append(Need(reason, rule.count, _able(judge, wanted, author), signers=signers))

    if changes_anything or diff or judge.digest != proposed.digest:
        add("any change", judge.approvals.default)
        for role, count in sorted(judge.role_thresholds.items()):
            add(f"any change, role {role}", ApprovalRule(count, role))
    if destroys:
        add("destruction", judge.approvals.destroy)
    if diff.weakening:
        add("weakened trust", judge.approvals.weaken)
    voices = _voices_that_speak(diff, before, after)
    for voice in voices:
        if author not in voice.owners:
            owners = tuple(name for name in voice.owners if name in _able(judge, frozenset({"tenant-owner"}), author))
            needs.append(Need(f"an owner of {voice.tenant}", 1, owners))
    for tier, roles, signers in sorted({(v.tier, v.approver_roles, v.approver_signers) for v in voices}):
        if roles or signers:
            asked = " by ".join(part for part in (" or ".join(roles), " or ".join(signers)) if part)
            add(f"{tier} asks for {asked}", ApprovalRule(1), roles, signers)
        if tier in judge.approvals.tiers:
            add(f"approvals of {tier}", judge.approvals.tiers[tier])
    if judge.digest != proposed.digest:
        add(f"TrustRoot {judge.name} or its settings change", ApprovalRule(judge.threshold))
        needs.append(
            Need(
                f"TrustRoot {proposed.name} as proposed",
                proposed.threshold,
                _able(proposed, frozenset(), author),
                PROPOSED,
            )
        )
    return tuple(dict.fromkeys(needs))


def _voices_that_speak(
    diff: TrustDiff, before: Mapping[str, TenantVoice], after: Mapping[str, TenantVoice]
) -> Sequence[TenantVoice]:
    """Tenants whose grants or whose own governance change: their voice in force, and the proposed one if it differs."""
    changed = {*diff.tenants}
    changed |= {tenant for tenant in {*before, *after} if before.get(tenant) != after.get(tenant)}
    voices: list[TenantVoice] = []
    for tenant in sorted(changed):
        old, new = before.get(tenant), after.get(tenant)
        voices.extend(voice for voice in dict.fromkeys((old, new)) if voice is not None)
    return voices


def _able(root: TrustRootValue, roles: AbstractSet[str], author: str) -> tuple[str, ...]:
    """Identities of `root` that may approve and hold one of `roles` (any if empty), without the author."""
    return tuple(
        name
        for name, identity in sorted(root.identities.items())
        if name != author and identity.may_approve and (not roles or identity.roles & roles)
    )


def unmet(
    needs: Iterable[Need],
    *,
    in_force: Mapping[str, AbstractSet[str]],
    proposed: Mapping[str, AbstractSet[str]],
) -> tuple[tuple[Need, int], ...]:
    """The needs that are not met, each with how many approvals it still lacks.

    Args:
        needs: of `approvals_needed`.
        in_force: by identity whose approval was verified with keys of the TrustRoot in force, the kinds of signers
            it used.
        proposed: the same for keys of the proposed TrustRoot.
    """
    missing = []
    for need in needs:
        given = proposed if need.root == PROPOSED else in_force
        count = sum(
            1 for name in need.who if name in given and (not need.signers or given[name] & frozenset(need.signers))
        )
        if count < need.count:
            missing.append((need, need.count - count))
    return tuple(missing)


__all__ = ["IN_FORCE", "PROPOSED", "Need", "TenantVoice", "approvals_needed", "unmet"]
