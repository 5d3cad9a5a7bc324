"""The waves of a rollout within one plan: old and new values admitted, fleets replaced, old values retired (docs/adr/0022).

Comes in: units desired and recorded, and what is done to each. Goes out: the payload's member `rollout`: the units in between, and the
fleets as they were applied last, to which a fleet goes back whose new members do not attest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.plan.values import Action, Json, Op, Unit
from qnsp_policy.pipeline.trust.aws_key_policy import MAX_POLICY_BYTES
from qnsp_policy.pipeline.trust.aws_releases import Policies, following_keys
from qnsp_policy.pipeline.trust.brokers import homes_of
from qnsp_policy.pipeline.trust.objects import authorised_objects, policies_of
from qnsp_policy.pipeline.trust.rollout import (
    BROKERS,
    FLEETS,
    is_of_members,
    overlapping_inputs,
    overlapping_policies,
    overlapping_reads,
    overlapping_store,
)
from qnsp_policy.pipeline.world.recorded import RecordedState


def rollout(
    units: Mapping[str, Unit],
    recorded: RecordedState,
    actions: Sequence[Action],
    base: Policies,
    workspace: str,
) -> Json | None:
    """The member `rollout` of a plan's payload; None where no fleet is replaced.

    Args:
        units: what remains after the plan.
        recorded: what was applied.
        actions: of the plan.
        base: release policies as applied.
        workspace: its name.
    """
    updated = {action.unit: action for action in actions if action.op in {Op.UPDATE, Op.REPLACE}}
    changed = set(updated)
    fleets = [
        units[name]
        for name, action in sorted(updated.items())
        if name in units
        and units[name].program in FLEETS | BROKERS
        and any(is_of_members(difference.path) for difference in action.differences)
    ]
    if not fleets:
        return None
    enclaves = {str(unit.inputs["enclave"]["address"]) for unit in fleets if unit.program in FLEETS}
    roles = {str(unit.inputs["fleet"]["roleArn"]) for unit in fleets if "fleet" in unit.inputs}
    both = overlapping_policies(base, policies_of(unit.inputs for unit in units.values()), enclaves)
    before = {
        unit.id: {
            "program": recorded.units[unit.id].program,
            "digest": recorded.units[unit.id].digest,
            "inputs": dict(recorded.units[unit.id].inputs),
            "dependsOn": list(recorded.units[unit.id].depends_on),
        }
        for unit in fleets
        if "fleet" in unit.inputs
    }
    between = []
    for name in sorted(changed & set(units)):
        unit = units[name]
        inputs = overlapping_inputs(unit.inputs, base, enclaves) if unit.program == "tenant" else None
        if unit.program == "aws-keys":
            inputs = _overlapping_keys(unit.inputs, workspace, both)
        if unit.program == "aws-platform":
            inputs = overlapping_reads(unit.inputs, before)
        if unit.program in BROKERS and name in before:
            inputs = _overlapping_store(unit, recorded, workspace)
        if inputs is not None:
            between.append(replace(unit, inputs=inputs))
    if not between and not roles:
        return None
    return {
        "units": [unit.to_json() for unit in between],
        "authorises": authorised_objects(unit.inputs for unit in between if unit.program == "tenant"),
        "fleets": before,
    }


def _overlapping_store(unit: Unit, recorded: RecordedState, workspace: str) -> Json:
    """A broker whose store opens for members of before too."""
    ran = {home.broker: home.alternatives for home in homes_of([recorded.units[unit.id].inputs])}
    inputs = overlapping_store(unit.inputs, ran.get(unit.inputs["broker"]["address"], ()), workspace)
    _refuse_too_large(inputs.get("keys", ()))
    return inputs


def _overlapping_keys(inputs: Mapping[str, Any], workspace: str, policies: Policies) -> Json | None:
    """Keys with the statements of old tuples beside those of new ones; None where no policy overlaps."""
    keys = following_keys(inputs, workspace, policies)
    _refuse_too_large(keys)
    return {**inputs, "keys": keys} if keys != inputs["keys"] else None


def _refuse_too_large(keys: Sequence[Mapping[str, Any]]) -> None:
    for key in keys:
        if len(jcs(key["policy"])) > MAX_POLICY_BYTES:
            raise OperatorError(
                "QNSP-PLN-227",
                f"while its fleet is replaced, the policy of {key['resource']} would be larger than the {MAX_POLICY_BYTES} bytes "
                "that KMS takes",
                subject=str(key["resource"]),
                next_step="roll out fewer fleets of this key at once (`plan --target`)",
            )


def waves(payload: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """What a rollout does, in order, for readers: (word, unit ids)."""
    told = payload.get("rollout")
    if not told:
        return []
    between = [unit["id"] for unit in told["units"]]
    programs = {unit["id"]: unit["program"] for unit in payload["units"]}
    changed = [
        a["unit"] for a in payload["actions"]
        if a["op"] not in {"no-op", "delete"} and (a["unit"] not in between or programs[a["unit"]] in BROKERS)
    ]  # fmt: skip
    fleets = [name for name in changed if programs[name] in FLEETS | BROKERS]
    answers = [name for name in changed if programs[name].endswith("endpoint")]
    found = [("admit", between), ("replace", [*fleets, *answers]), ("retire", between)]
    return [(word, names) for word, names in found if names]


__all__ = ["rollout", "waves"]
