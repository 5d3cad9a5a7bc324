"""Making a plan: everything before it, as values, joined into one payload (docs/formats/plan.md).

What is applied judges what is proposed: approvals, fail-on level and lifetime come from the TrustRoot in force. Everything
that follows from the units (authorised objects, trust diff, needs, rendered text) is derived from the units that will
remain, so a targeted plan shows exactly the trust that it changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from qnsp_policy.errors import OperatorError, PlanRefused
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.plan.actions import Situation, actions, unit_of
from qnsp_policy.pipeline.plan.handover import handed_again
from qnsp_policy.pipeline.plan.lowering.context import Lowering
from qnsp_policy.pipeline.plan.lowering.lower import attachments_needed, lower
from qnsp_policy.pipeline.plan.recoverability import Loss, losses, refuse_unnamed
from qnsp_policy.pipeline.plan.rollout import rollout
from qnsp_policy.pipeline.plan.selection import select, unit_ids
from qnsp_policy.pipeline.plan.values import Action, Json, Op, Outline, Previews, Unit
from qnsp_policy.pipeline.rules.findings import Finding, Severity
from qnsp_policy.pipeline.trust.approvals import Need, approvals_needed
from qnsp_policy.pipeline.trust.brokers import broker_grants, homes_of, homes_of_documents
from qnsp_policy.pipeline.trust.codec import time_to_text
from qnsp_policy.pipeline.trust.consistency import check_succession
from qnsp_policy.pipeline.trust.crossing import cross_tenant
from qnsp_policy.pipeline.trust.diff import TrustDiff, trust_diff
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.trust.objects import authorised_objects, policies_of, voice_to_json, voices_of
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy, release_policies
from qnsp_policy.pipeline.trust.rendering import render_trust
from qnsp_policy.pipeline.trust.rollout import overlaps
from qnsp_policy.pipeline.trust.root_changes import root_changes
from qnsp_policy.pipeline.trust.trust_models import rests_on
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.pipeline.trust.values import EffectiveGrant
from qnsp_policy.pipeline.world.recorded import RecordedState, recorded_policies

FORMAT_VERSION = "1.1"


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the user asked of this plan.

    Attributes:
        targets: unit ids or addresses; empty means everything.
        excludes: unit ids or addresses.
        replace: unit ids or addresses that are made anew.
        destroy: everything that is applied goes.
        destroy_keys: resources whose destruction was asked for by name.
        refreshed: whether the world was read; a plan that was not refreshed says so.
        lifetime: how long the plan lives; None takes the longest that the TrustRoot in force allows.
    """

    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    destroy: bool = False
    destroy_keys: tuple[str, ...] = ()
    refreshed: bool = True
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that nobody has signed yet.

    Attributes:
        payload: what will be signed, plain JSON.
        actions: one a unit.
        units: what remains after the plan, by id.
        diff: the trust diff with places.
        needs: approvals.
        losses: what could not be had back.
    """

    payload: Json
    actions: tuple[Action, ...]
    units: Mapping[str, Unit]
    diff: TrustDiff
    needs: tuple[Need, ...]
    losses: tuple[Loss, ...]

    @property
    def digest(self) -> str:
        return sha256_digest(jcs(self.payload))

    @property
    def changes(self) -> bool:
        """Whether applying it would do anything."""
        return (
            any(action.op is not Op.NO_OP for action in self.actions) or self.payload["trust"]["trustRoot"] is not None
        )


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a plan records of the run that made it.

    Attributes:
        tool_versions: by tool.
        bundle_digest: of the rules that were evaluated, "" if none were.
        waivers: addresses of the waivers that silenced something.
        drifted: by unit id, what differs in the world.
        attachments: bytes of the files of `attachments_needed`.
    """

    tool_versions: Mapping[str, str] = field(default_factory=dict)
    bundle_digest: str = ""
    waivers: tuple[str, ...] = ()
    drifted: Mapping[str, Sequence[str]] = field(default_factory=dict)
    attachments: Mapping[str, bytes] = field(default_factory=dict)


def make_plan(
    workspace: Workspace,
    grants: Sequence[EffectiveGrant],
    recorded: RecordedState,
    previews: Previews,
    outlines: Mapping[str, Outline],
    findings: Sequence[Finding],
    *,
    now: datetime,
    author: str,
    options: PlanOptions | None = None,
    circumstances: Circumstances | None = None,
) -> Plan:
    """Join everything into one plan.

    Args:
        workspace: the documents.
        grants: `effective_grants(workspace)`.
        recorded: what was applied, with the genesis record.
        previews: the engine's port, asked only about units that changed or drifted.
        outlines: by program; what a unit that is not there yet will consist of.
        findings: of the rules; whether they block is judged by the fail-on level in force.
        now: the present moment, aware.
        author: identity that will sign it, "" for a plan that is only looked at.
        options: what the user asked for.
        circumstances: what is known of the run.

    Raises:
        OperatorError: QNSP-PLN-001 no genesis record, -021 unknown target, -022 a protected key would be destroyed,
            -027 to -030 from lowering, -032 a TrustRoot change under `--target`, -033 a unit to replace that is left out.
        PlanRefused: QNSP-PLN-019, the TrustRoot changed without a new version.
    """
    options, circumstances = options or PlanOptions(), circumstances or Circumstances()
    genesis, judge = recorded.judge()
    proposed = judge if options.destroy else trust_root_value(workspace)
    if proposed.digest != judge.digest:
        check_succession(judge, proposed)
    lowering = Lowering(
        workspace=workspace,
        policies=release_policies(grants),
        recorded=recorded,
        judge=judge,
        proposed=proposed,
        workspace_id=genesis.workspace_id,
        attachments=circumstances.attachments,
    )
    desired: Mapping[str, Unit] = {} if options.destroy else lower(lowering)
    depends = {unit.id: unit.depends_on for unit in recorded.units.values()}
    depends |= {unit.id: unit.depends_on for unit in desired.values()}
    selected = select(_together(depends), targets=options.targets, excludes=options.excludes)
    if proposed.digest != judge.digest and not selected >= set(depends):
        raise OperatorError(
            "QNSP-PLN-032",
            "the TrustRoot changes, which is never done in part",
            subject=f"TrustRoot/{proposed.name}",
            next_step="plan without --target and --exclude, or take the change of the TrustRoot out",
        )
    anew = unit_ids(options.replace, desired)
    if not anew <= selected:
        raise OperatorError(
            "QNSP-PLN-033",
            f"{min(anew - selected)} is to be made anew, but --target or --exclude leaves it out",
            subject=min(anew - selected),
            next_step="name it in --target too, or take --replace away",
        )
    done = actions(Situation(desired, recorded, selected, circumstances.drifted, outlines, previews, anew))
    remaining = _remaining(desired, recorded, selected)
    done = handed_again(done, remaining, outlines)
    lost = losses(
        [unit.inputs for unit in recorded.units.values()],
        [unit.inputs for unit in remaining.values()],
        named=attachments_needed(workspace),
    )
    refuse_unnamed(lost, options.destroy_keys)
    base = recorded_policies(recorded.units)
    told = rollout(remaining, recorded, done, base, workspace.project.name)
    trust, diff, needs = _trust(workspace, grants, recorded, base, remaining, done, judge, proposed, lost, author, told)
    lifetime = min(options.lifetime or timedelta.max, timedelta(seconds=judge.plan_lifetime_seconds))
    payload: Json = {
        "formatVersion": FORMAT_VERSION,
        "workspace": {"name": workspace.project.name, "id": genesis.workspace_id},
        "environment": proposed.environment,
        "author": author,
        "createdAt": time_to_text(now),
        "expiresAt": time_to_text(now + lifetime),
        "toolVersions": dict(circumstances.tool_versions),
        "documentsDigest": workspace.digest(),
        "bundleDigest": circumstances.bundle_digest,
        "catalogDigest": workspace.catalog_digest(),
        "base": base_of(recorded, judge),
        "options": {
            "targets": sorted(options.targets),
            "excludes": sorted(options.excludes),
            "replace": sorted(anew),
            "destroy": options.destroy,
            "destroyKeys": sorted(options.destroy_keys),
            "refreshed": options.refreshed,
        },
        "units": [unit.to_json() for unit in remaining.values()],
        "actions": [action.to_json() for action in done],
        "trust": trust,
        "authorises": authorised_objects(unit.inputs for unit in remaining.values()),
        "findings": [finding.to_json() for finding in findings],
        "blocking": sum(1 for finding in findings if blocks(finding.to_json(), judge)),
        "waivers": sorted(circumstances.waivers),
        "recoverability": [loss.to_json() for loss in lost],
        "approvalsNeeded": [need.to_json() for need in needs],
        "restsOn": rests_on(unit.to_json() for unit in remaining.values()),
        **({"rollout": told} if told is not None else {}),
    }
    return Plan(payload, done, remaining, diff, needs, lost)


def base_of(recorded: RecordedState, judge: TrustRootValue) -> Json:
    """What a plan was made against: staleness is any difference of this."""
    return {
        "serial": recorded.serial,
        "trustRootDigest": judge.digest,
        "documentsDigest": recorded.documents_digest,
        "units": {
            unit.id: {"digest": unit.digest, "deploymentDigest": unit.deployment_digest}
            for unit in sorted(recorded.units.values(), key=lambda unit: unit.id)
        },
    }


def blocks(finding: Mapping[str, Any], judge: TrustRootValue) -> bool:
    """Whether a finding keeps a plan from being applied, by the fail-on level in force."""
    return not finding.get("waivedBy") and Severity(finding["severity"]).at_least(Severity(judge.fail_on))


def _together(depends: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """A tenant's unit and its keys in KMS are planned together, so that the trust diff speaks for both."""
    found = dict(depends)
    for unit, needs in depends.items():
        if unit.startswith("aws-keys/"):
            for tenant in (need for need in needs if need.startswith("tenant/") and need in depends):
                found[tenant] = (*found[tenant], unit)
    return found


def _remaining(desired: Mapping[str, Unit], recorded: RecordedState, selected: frozenset[str]) -> Mapping[str, Unit]:
    """What there will be: selected units as desired, the others as they are."""
    found = {}
    for unit in desired.values():
        if unit.id in selected:
            found[unit.id] = unit
        elif unit.id in recorded.units:
            found[unit.id] = unit_of(recorded.units[unit.id])
    for old in recorded.units.values():
        if old.id not in desired and old.id not in selected:
            found[old.id] = unit_of(old)
    return found


def _trust(
    workspace: Workspace,
    grants: Sequence[EffectiveGrant],
    recorded: RecordedState,
    base: Mapping[tuple[str, str], ReleasePolicy],
    remaining: Mapping[str, Unit],
    done: Sequence[Action],
    judge: TrustRootValue,
    proposed: TrustRootValue,
    lost: Sequence[Loss],
    author: str,
    told: Json | None,
) -> tuple[Json, TrustDiff, tuple[Need, ...]]:
    inputs = [unit.inputs for unit in remaining.values()]
    homes = homes_of(unit.inputs for unit in recorded.units.values())
    brokers_before, brokers_after = broker_grants(homes, homes_of(inputs))
    written = (grant for home in homes_of_documents(workspace) for grant in home.grants())
    placed = {(g.broker, g.resource, g.enclave, g.grant): g for g in (*grants, *written)}
    head = [
        replace(g, places=placed[key].places) if (key := (g.broker, g.resource, g.enclave, g.grant)) in placed else g
        for g in (*(one for policy in policies_of(inputs).values() for one in policy.grants), *brokers_after)
    ]
    before, after = voices_of(unit.inputs for unit in recorded.units.values()), voices_of(inputs)
    diff = trust_diff([*(grant for policy in base.values() for grant in policy.grants), *brokers_before], head)
    destroys = [loss for loss in lost if loss.effect == "destroys"]
    needs = approvals_needed(
        diff,
        judge=judge,
        proposed=proposed,
        before=before,
        after=after,
        author=author,
        destroys=bool(destroys),
        changes_anything=any(action.op is not Op.NO_OP for action in done),
    )
    changed = proposed.digest != judge.digest
    changes = {(change.broker, change.resource, change.enclave) for change in diff.changes}
    trust: Json = {
        "base": [policy.to_json() for policy in base.values()],
        "tenantsBefore": [voice_to_json(voice) for voice in before.values()],
        "brokersBefore": [home.to_json() for home in homes],
        "diff": diff.to_json(),
        "crossTenant": cross_tenant(workspace, grants).to_json(),
        "destroys": [loss.to_json() for loss in destroys],
        "trustRoot": {"next": proposed.to_json(), "changes": root_changes(judge, proposed)} if changed else None,
        "places": {
            f"{g.grant} {g.resource} {g.enclave}": str(g.place) for g in head if g.key in changes and g.place.file
        },
    }
    if told is not None and (both := overlaps([unit["inputs"] for unit in told["units"]])):
        trust["overlap"] = both
    trust["rendered"] = render_trust(trust)
    return trust, diff, needs


def check_unblocked(payload: Mapping[str, Any], judge: TrustRootValue) -> None:
    """Refuse a plan with findings that block; one after which nothing is left is blocked by none.

    Raises:
        PlanRefused: QNSP-PLN-023.
    """
    if not payload["units"] and payload["trust"]["trustRoot"] is None:
        return
    found = [finding for finding in payload["findings"] if blocks(finding, judge)]
    if found:
        first = found[0]
        raise PlanRefused(
            "QNSP-PLN-023",
            f"{len(found)} findings of {judge.fail_on} or worse block this plan; the first: {first['message']}",
            subject=str(first["address"]),
            next_step="fix them, or have them waived, and plan again",
        )


__all__ = [
    "FORMAT_VERSION",
    "Circumstances",
    "Plan",
    "PlanOptions",
    "base_of",
    "blocks",
    "check_unblocked",
    "make_plan",
]
