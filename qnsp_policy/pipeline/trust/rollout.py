"""A rollout's overlap: while a fleet is replaced, what its old members show is admitted beside what the new ones show.

Comes in: release policies as applied and as wanted. Goes out: the policy in between. Nothing is admitted there that an approved plan did
not admit before or does not admit after, to the same enclave under the same grant: a verifier computes it again from the plan's
own base and units, so an author cannot slip anything in. A revocation or another guardrail of the wanted grant holds in between too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qnsp_policy.kernel.attestation.values import Alternative
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.pipeline.trust.aws_key_policy import tuples_of
from qnsp_policy.pipeline.trust.aws_releases import following_store
from qnsp_policy.pipeline.trust.brokers import alternatives_of
from qnsp_policy.pipeline.trust.codec import alternative_to_json
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy

Json = dict[str, Any]
Policies = Mapping[tuple[str, str], ReleasePolicy]
UNTIL = " (until replaced)"
FLEETS = frozenset({"enclave", "aws-enclave"})
"""Programs of fleets, whose members are replaced."""
BROKERS = frozenset({"aws-broker"})
"""Programs of brokers with a fleet of their own; the policy of its store's key stands in the same unit."""
OWN_IMAGE, IMAGES = "ReadsItsOwnImage", "Images"
"""Statements of a fleet's role and of the network's endpoint by which images are read."""
OF_MEMBERS = ("fleet", "processes", "enclave.image")
"""What of a fleet's inputs its members are made of. Without a difference there, withdrawn values are withdrawn at once."""


def enclaves_replaced(payload: Mapping[str, Any]) -> frozenset[str]:
    """Addresses of the enclaves whose members a plan's payload replaces."""
    changed = _with_other_members(payload)
    return frozenset(
        unit["inputs"]["enclave"]["address"]
        for unit in payload["units"]
        if unit["program"] in FLEETS and unit["id"] in changed
    )


def brokers_replaced(payload: Mapping[str, Any]) -> frozenset[str]:
    """Units of the brokers whose members a plan's payload replaces."""
    changed = _with_other_members(payload)
    return frozenset(unit["id"] for unit in payload["units"] if unit["program"] in BROKERS and unit["id"] in changed)


def _with_other_members(payload: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        action["unit"]
        for action in payload["actions"]
        if action["op"] in {"update", "replace"} and any(is_of_members(d["path"]) for d in action["differences"])
    )


def is_of_members(path: str) -> bool:
    """Whether a difference of a fleet's inputs makes other members; values that are only judged by make none."""
    return path.startswith(OF_MEMBERS)


def overlapping(base: ReleasePolicy, head: ReleasePolicy, enclaves: Collection[str]) -> ReleasePolicy:
    """`head`, with what `base` admits for these enclaves under the same grants and `head` no longer does."""
    before = {(grant.grant, grant.enclave): grant for grant in base.grants if grant.enclave in enclaves}
    grants = []
    for grant in head.grants:
        old = before.get((grant.grant, grant.enclave))
        renamed = _until_replaced(old.alternatives if old else (), grant.alternatives)
        grants.append(replace(grant, alternatives=(*grant.alternatives, *renamed)) if renamed else grant)
    return replace(head, grants=tuple(grants))


def _until_replaced(old: Iterable[Alternative], new: Iterable[Alternative]) -> tuple[Alternative, ...]:
    """What was admitted and no longer is, under names that say so."""
    kept = {_content(alternative) for alternative in new}
    return tuple(
        replace(alternative, name=alternative.name.removesuffix(UNTIL) + UNTIL)
        for alternative in old
        if _content(alternative) not in kept
    )


def overlapping_store(inputs: Mapping[str, Any], old: Sequence[Alternative], workspace: str) -> Json:
    """A broker unit's inputs whose store opens for members of before too.

    Args:
        inputs: as wanted.
        old: what a member of before shows.
        workspace: its name.
    """
    new = alternatives_of(inputs)
    if not inputs.get("keys"):
        return dict(inputs)
    return {**inputs, "keys": following_store(inputs, workspace, (*new, *_until_replaced(old, new)))}


def overlapping_policies(base: Policies, head: Policies, enclaves: Collection[str]) -> Policies:
    """Every policy of `head`, overlapping with its own of `base`."""
    return {key: overlapping(base[key], held, enclaves) if key in base else held for key, held in head.items()}


def _content(alternative: Any) -> str:
    """What it admits, by whatever name."""
    return sha256_digest(jcs({**alternative_to_json(alternative), "name": ""}))


def overlapping_inputs(inputs: Mapping[str, Any], base: Policies, enclaves: Collection[str]) -> Json | None:
    """A tenant unit's inputs with overlapping policies; None where nothing overlaps."""
    changed = False
    brokers = []
    for holder in inputs.get("brokers", ()):
        objects = []
        for entry in holder.get("objects", ()):
            key = (holder["broker"]["address"], entry["name"])
            if entry["kind"] == "release-policy" and key in base:
                head = ReleasePolicy.from_json(entry["object"])
                both = overlapping(base[key], head, enclaves)
                if both != head:
                    value = both.to_json()
                    entry, changed = {**entry, "object": value, "digest": sha256_digest(jcs(value))}, True  # noqa: PLW2901
            objects.append(entry)
        brokers.append({**holder, "objects": objects} if "objects" in holder else holder)
    return {**inputs, "brokers": brokers} if changed else None


def overlapping_reads(inputs: Mapping[str, Any], fleets: Mapping[str, Mapping[str, Any]]) -> Json | None:
    """A platform unit's inputs on AWS with which members of before can still be started; None where nothing overlaps.

    Their image stays readable for their fleet's role, and through the network's endpoint, until no fleet can go back to it.

    Args:
        inputs: as wanted.
        fleets: the fleets of the rollout as they were applied, by unit.
    """
    foundation, partition = inputs["foundation"], inputs["foundation"]["partition"]
    before = {
        enclave: f"arn:{partition}:s3:::{location.removeprefix('s3://')}"
        for one in fleets.values()
        for enclave, location in _images(one["inputs"])
        if location.startswith("s3://")
    }
    roles = [
        {**role, "policy": _reading(role["policy"], OWN_IMAGE, [before[role["enclave"]]])}
        if role["enclave"] in before
        else role
        for role in foundation["roles"]
    ]
    if roles == foundation["roles"]:
        return None
    network, trail, more = foundation["network"], foundation["trail"], sorted(before.values())
    if storage := network.get("storage"):
        network = {**network, "storage": {**storage, "policy": _reading(storage["policy"], IMAGES, more)}}
    trail = {**trail, "objects": sorted({*trail["objects"], *more})}
    return {**inputs, "foundation": {**foundation, "roles": roles, "network": network, "trail": trail}}


def _images(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The enclave of a fleet and where its image lies; nothing of a broker that was applied before this was recorded."""
    if "enclave" in inputs:
        yield str(inputs["enclave"]["address"]), str(inputs["enclave"]["image"]["location"])
    elif "runsIn" in inputs:
        yield str(inputs["runsIn"]["enclave"]), str(inputs["runsIn"]["image"]["location"])


def _reading(policy: Mapping[str, Any], sid: str, more: Collection[str]) -> Json:
    statements = [
        {**one, "Resource": sorted({*one["Resource"], *more})}
        if one.get("Sid") == sid and not set(more) <= set(one["Resource"])
        else one
        for one in policy["Statement"]
    ]
    return {**policy, "Statement": statements}


def overlaps(units: Collection[Mapping[str, Any]]) -> list[Json]:
    """Who obtains what under old values too, for approvers; from the inputs of a rollout's units."""
    return [
        dict(one) for one in sorted(_overlaps(units), key=lambda one: (one["enclave"], one["resource"], one["broker"]))
    ]


def _store_keys(inputs: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The keys of a broker's own store."""
    return inputs.get("keys", ()) if "runsIn" in inputs else ()


def _overlaps(units: Collection[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for inputs in units:
        if any(len(tuples_of(key["policy"])) > len(inputs["runsIn"]["alternatives"]) for key in _store_keys(inputs)):
            store = f"broker/{inputs['broker']['name']}/store"
            yield {"enclave": inputs["runsIn"]["enclave"], "resource": store, "broker": inputs["broker"]["address"]}
        for holder in inputs.get("brokers", ()):
            for entry in holder.get("objects", ()):
                if entry["kind"] == "release-policy":
                    for grant in ReleasePolicy.from_json(entry["object"]).grants:
                        if any(alternative.name.endswith(UNTIL) for alternative in grant.alternatives):
                            yield {"enclave": grant.enclave, "resource": grant.resource, "broker": grant.broker}


__all__ = ["BROKERS", "FLEETS", "UNTIL", "brokers_replaced", "enclaves_replaced", "is_of_members", "overlapping", "overlapping_inputs",
           "overlapping_policies", "overlapping_reads", "overlapping_store", "overlaps"]  # fmt: skip
