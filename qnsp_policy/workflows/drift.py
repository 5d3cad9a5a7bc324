"""`drift`: what runs against what was applied; reads only, holds no lock."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.pipeline.documents.problems import did_you_mean
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.review.drift_places import place_of
from qnsp_policy.pipeline.world.observed import Concern
from qnsp_policy.workflows.runtime import observe, recorded_state


def drift(root: Path, *, ignore: tuple[str, ...] = (), now: datetime) -> dict[str, Any]:
    """What differs between the running world and what was applied.

    Raises:
        OperatorError: an ignored unit that is none.
    """
    workspace = load(root)
    recorded = recorded_state(root, workspace)
    recorded.judge()
    for unit in ignore:
        if unit not in recorded.units:
            raise OperatorError(
                "QNSP-OPS-065",
                f"{unit} is no unit of this workspace",
                subject=unit,
                next_step=did_you_mean(unit, recorded.units, "see `qnsp-policy state list`"),
            )
    seen = observe(root, workspace, recorded)
    found = [
        {
            "class": deviation.concern.value,
            "unit": deviation.unit,
            "resource": deviation.resource,
            "text": deviation.text,
            "expected": deviation.expected,
            "got": deviation.got,
            "place": _text(place_of(workspace, deviation.unit, deviation.resource)),
        }
        for deviation in seen.deviations
        if deviation.unit not in ignore
    ]
    found += [
        {
            "class": "unknown",
            "unit": unit,
            "resource": "",
            "text": f"could not be read ({why})",
            "expected": "",
            "got": "",
            "place": _text(place_of(workspace, unit, "")),
        }
        for unit, why in sorted(seen.unknown.items())
        if unit not in ignore
    ]
    return {
        "formatVersion": "1.0",
        "drift": found,
        "drifted": any(item["class"] not in {"unknown", Concern.REFRESHED.value} for item in found),
        "unknown": sorted(seen.unknown),
        "units": len(recorded.units),
        "ignored": list(ignore),
        "at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
    }


def _text(place: Place | None) -> str:
    return "" if place is None else str(place)


__all__ = ["drift"]
