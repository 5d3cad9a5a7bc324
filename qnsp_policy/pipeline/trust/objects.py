"""What the inputs of units hand to brokers: the objects, and the release policies among them.

Shared by plan (which writes units), by recorded state (which holds applied ones) and by the broker's own check of a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy


def unit_objects(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(broker address, "<kind>/<name>", object entry) for everything the inputs of one unit hand to brokers."""
    holders: list[Mapping[str, Any]] = [holder for holder in inputs.get("brokers", ()) if "objects" in holder]
    if "broker" in inputs and "objects" in inputs:
        holders.append(inputs)
    for holder in holders:
        for entry in holder["objects"]:
            yield holder["broker"]["address"], f"{entry['kind']}/{entry['name']}", entry


def policies_of(units: Iterable[Mapping[str, Any]]) -> Mapping[tuple[str, str], ReleasePolicy]:
    """The release policies in the inputs of `units`, by (broker, resource), sorted."""
    found: dict[tuple[str, str], ReleasePolicy] = {}
    for inputs in units:
        for broker, _, entry in unit_objects(inputs):
            if entry["kind"] == "release-policy":
                found[broker, entry["name"]] = ReleasePolicy.from_json(entry["object"])
    return dict(sorted(found.items()))


__all__ = ["policies_of", "unit_objects"]
