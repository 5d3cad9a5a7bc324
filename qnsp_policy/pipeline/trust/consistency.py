"""Whether a plan says of itself what follows from its units: digests, authorised objects, trust diff, needs, text.

An author writes all of these and approvers read them, so a plan whose trust diff is not the one of its release policies is
refused by everybody who verifies it: the approver's tool, apply and every broker, each by this one function.
Not checked here: that `trust.base` is what is really applied (apply compares it with recorded state, a broker
with the policies it holds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qnsp_policy.errors import OperatorError, PlanRefused
from qnsp_policy.pipeline.trust.approvals import Need, approvals_needed
from qnsp_policy.pipeline.trust.aws_releases import Policies, following_keys, following_store
from qnsp_policy.pipeline.trust.brokers import Home, alternatives_of, broker_grants, homes_of
from qnsp_policy.pipeline.trust.diff import TrustDiff, trust_diff
from qnsp_policy.pipeline.trust.objects import (
    authorised_objects,
    policies_of,
    unit_digest,
    voice_from_json,
    voices_of,
)
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.rendering import render_trust
from qnsp_policy.pipeline.trust.rollout import (
    BROKERS,
    brokers_replaced,
    enclaves_replaced,
    overlapping_inputs,
    overlapping_policies,
    overlapping_reads,
    overlapping_store,
    overlaps,
)
from qnsp_policy.pipeline.trust.root_changes import root_changes
from qnsp_policy.pipeline.trust.trust_models import rests_on
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.pipeline.trust.values import NOT_RECORDED


@dataclass(frozen=True, slots=True)
class CheckedPlan:
    """What a payload that is true to itself says.

    Attributes:
        diff: recomputed from the release policies; without places.
        needs: recomputed with the judging TrustRoot.
        objects: by broker address, `<kind>/<name>` to digest.
        base: the release policies that the plan says are applied, by (broker, resource).
        proposed: the TrustRoot after the plan, the judge itself when it does not change.
        between: as `objects`, what brokers may take while a rollout is on its way, in place of what comes after it.
    """

    diff: TrustDiff
    needs: tuple[Need, ...]
    objects: Mapping[str, Mapping[str, str]]
    base: Mapping[tuple[str, str], ReleasePolicy]
    proposed: TrustRootValue
    between: Mapping[str, Mapping[str, str]]


def check_payload(payload: Mapping[str, Any], judge: TrustRootValue) -> CheckedPlan:
    """Recompute everything that follows from the units and compare.

    Args:
        payload: the verified payload of a plan.
        judge: the TrustRoot in force.

    Raises:
        PlanRefused: QNSP-PLN-018 with the part that does not follow, QNSP-PLN-019 for a TrustRoot that may not follow.
    """
    try:
        return _check(payload, judge)
    except PlanRefused:
        raise
    except OperatorError as error:
        raise PlanRefused(
            "QNSP-PLN-018",
            f"the plan holds what none may: {error.message}",
            subject=error.subject,
            next_step="do not approve or apply it; plan again and find out who wrote this one",
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanRefused(
            "QNSP-PLN-018",
            f"the plan is not of the form that this version reads: {error}",
            next_step="plan again with this version",
        ) from error


def _check(payload: Mapping[str, Any], judge: TrustRootValue) -> CheckedPlan:
    units, trust = payload["units"], payload["trust"]
    for unit in units:
        computed = unit_digest(unit["program"], unit["inputs"], unit["dependsOn"], unit["references"])
        _same(f"the digest of unit {unit['id']}", unit["digest"], computed)
    _same("the units, two of which have the same id", len({unit["id"] for unit in units}), len(units))
    inputs = [unit["inputs"] for unit in units]
    objects = authorised_objects(inputs)
    _same("`authorises`", payload["authorises"], objects)
    base = {(p.broker, p.resource): p for p in (ReleasePolicy.from_json(item) for item in trust["base"])}
    head = policies_of(inputs)
    homes = _homes_before(trust)
    before, after = broker_grants(homes, _homes_after(payload, homes))
    diff = trust_diff(
        [*(grant for policy in base.values() for grant in policy.grants), *before],
        [*(grant for policy in head.values() for grant in policy.grants), *after],
    )
    _same("the trust diff", _without_places(trust["diff"]), _without_places(diff.to_json()))
    proposed = judge
    if trust["trustRoot"] is not None:
        proposed = TrustRootValue.from_json(trust["trustRoot"]["next"])
        check_succession(judge, proposed)
        _same("the changes of the TrustRoot", trust["trustRoot"]["changes"], root_changes(judge, proposed))
    needs = approvals_needed(
        diff,
        judge=judge,
        proposed=proposed,
        before={voice.tenant: voice for voice in map(voice_from_json, trust["tenantsBefore"])},
        after=voices_of(inputs),
        author=payload["author"],
        destroys=bool(trust["destroys"]),
        changes_anything=any(action["op"] != "no-op" for action in payload["actions"]),
    )
    _same("the approvals needed", payload["approvalsNeeded"], [need.to_json() for need in needs])
    _check_keys(payload, head)
    if "restsOn" in payload:
        _same("what units rest on", payload["restsOn"], rests_on(units))
    between = _rollout(payload, base, head)
    _same("the rendered trust diff", trust["rendered"], render_trust(trust))
    return CheckedPlan(diff, needs, objects, base, proposed, between)


def _homes_before(trust: Mapping[str, Any]) -> tuple[Home, ...]:
    """Where brokers ran before; a plan of before this was told names none."""
    return tuple(Home.from_json(item) for item in trust.get("brokersBefore", ()))


def _homes_after(payload: Mapping[str, Any], before: Sequence[Home]) -> tuple[Home, ...]:
    """Where brokers run after the plan; what one must show is left out only of a fleet that is as an earlier version applied it."""
    touched, known = _touched(payload), {home.broker for home in before if home.enclave != NOT_RECORDED}
    for unit in payload["units"]:
        if unit["program"] == "aws-broker" and "runsIn" not in unit["inputs"]:
            address = unit["inputs"]["broker"]["address"]
            if unit["id"] in touched or address in known:
                raise ValueError(f"it does not say who may become {address}")
    return homes_of(unit["inputs"] for unit in payload["units"])


def _touched(payload: Mapping[str, Any]) -> frozenset[str]:
    """Units that the plan changes; another is as it was applied, and nothing of it is carried out."""
    return frozenset(action["unit"] for action in payload["actions"] if action["op"] != "no-op")


def _check_keys(payload: Mapping[str, Any], head: Policies) -> None:
    """Keys in KMS open for what the release policies say, and a broker's store for whoever may become that broker."""
    touched = _touched(payload)
    workspace = payload["workspace"]["name"]
    for unit in payload["units"]:
        if unit["id"] not in touched or not unit["inputs"].get("keys"):
            continue
        inputs, what = unit["inputs"], f"the key policies of {unit['id']}"
        if unit["program"] == "aws-keys":
            _same(what, inputs["keys"], following_keys(inputs, workspace, head))
        elif unit["program"] == "aws-broker":
            _same(what, inputs["keys"], following_store(inputs, workspace, alternatives_of(inputs)))


def _rollout(payload: Mapping[str, Any], base: Policies, head: Policies) -> Mapping[str, Mapping[str, str]]:
    """What the waves of a rollout admit in between, computed again from the base and the units."""
    told = payload.get("rollout")
    units = told["units"] if told is not None else ()
    after, enclaves = {unit["id"]: unit for unit in payload["units"]}, enclaves_replaced(payload)
    ran = {home.broker: home.alternatives for home in _homes_before(payload["trust"])}
    tenants, brokers = [], []
    for unit in units:
        wanted, inputs = after[unit["id"]], unit["inputs"]
        what = f"unit {unit['id']} of the rollout"
        computed = unit_digest(unit["program"], inputs, unit["dependsOn"], unit["references"])
        _same(f"the digest of {what}", unit["digest"], computed)
        for member in ("program", "dependsOn", "references"):
            _same(f"{member} of {what}", unit[member], wanted[member])
        if unit["program"] == "tenant":
            _same(f"the inputs of {what}", inputs, overlapping_inputs(wanted["inputs"], base, enclaves))
            tenants.append(inputs)
        elif unit["program"] == "aws-platform":
            _same(f"the inputs of {what}", inputs, overlapping_reads(wanted["inputs"], told["fleets"] if told else {}))
        elif unit["program"] in BROKERS:
            _same(what, unit["id"] in brokers_replaced(payload), True)
            old = ran.get(wanted["inputs"]["broker"]["address"], ())
            follows = overlapping_store(wanted["inputs"], old, payload["workspace"]["name"])
            _same(f"the inputs of {what}", inputs, follows)
            brokers.append(inputs)
        else:
            _same(f"the program of {what}", unit["program"], "aws-keys")
            both = overlapping_policies(base, head, enclaves)
            follows = {**wanted["inputs"], "keys": following_keys(wanted["inputs"], payload["workspace"]["name"], both)}
            _same(f"the inputs of {what}", inputs, follows)
    objects = authorised_objects(tenants)
    _same("what the rollout authorises", told["authorises"] if told is not None else {}, objects)
    _same("what overlaps", payload["trust"].get("overlap", []), overlaps([*tenants, *brokers]))
    return objects


def check_succession(judge: TrustRootValue, proposed: TrustRootValue) -> None:
    """Refuse a TrustRoot that cannot follow the one in force: versions rise, and the name stays.

    Raises:
        PlanRefused: QNSP-PLN-019.
    """
    if proposed.version <= judge.version or proposed.name != judge.name:
        raise PlanRefused(
            "QNSP-PLN-019",
            f"TrustRoot/{proposed.name} or the Project's settings changed without a new version of the TrustRoot",
            subject=f"TrustRoot/{proposed.name}",
            expected=f"TrustRoot/{judge.name} of version {judge.version + 1} or higher",
            got=f"version {proposed.version}",
            next_step="raise spec.version of the TrustRoot",
        )


def _without_places(diff: Mapping[str, Any]) -> Any:
    def strip(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: strip(member) for name, member in value.items() if name != "place"}
        return [strip(member) for member in value] if isinstance(value, list | tuple) else value

    return strip(diff)


def _same(what: str, said: object, computed: object) -> None:
    if said != computed:
        raise PlanRefused(
            "QNSP-PLN-018",
            f"{what} in the plan does not follow from its units",
            expected=_short(computed),
            got=_short(said),
            next_step="do not approve or apply it; plan again and find out who wrote this one",
        )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


__all__ = ["CheckedPlan", "check_payload", "check_succession"]
