"""Recorded state as values: what the last apply left behind, as plan needs it. No I/O; the engine's edge fills them.

The truth about what was applied is kept once, per unit: its inputs, which hold every object a broker was given. The base
of a trust diff is read back from them (`recorded_policies`), so a partial apply is told exactly as far as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.trust.codec import members, time_from_text, time_to_text
from qnsp_policy.pipeline.trust.objects import policies_of
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue


@dataclass(frozen=True, slots=True)
class Genesis:
    """The record that `init` writes before anything else: who judges the first plan, and for which workspace.

    Attributes:
        workspace_id: a random name of the workspace, fixed for its life.
        trust_root: the first TrustRoot, whose digest is pinned outside the repository.
        created: when.
    """

    workspace_id: str
    trust_root: TrustRootValue
    created: datetime

    def to_json(self) -> dict[str, Any]:
        return {
            "format": "qnsp.genesis/v1",
            "workspaceId": self.workspace_id,
            "serial": 0,
            "trustRootDigest": self.trust_root.digest,
            "trustRoot": self.trust_root.to_json(),
            "created": time_to_text(self.created),
        }

    @classmethod
    def from_json(cls, value: object) -> Genesis:
        """Read what `to_json` wrote; `ValueError` when the digest is not the one of the TrustRoot it holds."""
        shape = {
            "format": str,
            "workspaceId": str,
            "serial": int,
            "trustRootDigest": str,
            "trustRoot": dict,
            "created": str,
        }
        found = members(value, shape, "genesis record")
        root = TrustRootValue.from_json(found["trustRoot"])
        if found["format"] != "qnsp.genesis/v1" or found["serial"] != 0 or root.digest != found["trustRootDigest"]:
            raise ValueError("the genesis record is not of this format, or its digest is not that of its TrustRoot")
        return cls(found["workspaceId"], root, time_from_text(found["created"]))


@dataclass(frozen=True, slots=True)
class RecordedUnit:
    """One unit as it was last applied.

    Attributes:
        id, program: as in the plan.
        digest: the unit's own digest at that time.
        inputs: its inputs at that time.
        depends_on: unit ids, for destroying in the right order.
        outputs: what the stack returned.
        deployment_digest: SHA-256 of the canonical exported deployment.
        plan_digest: the plan that did it.
        applied_at: when.
    """

    id: str
    program: str
    digest: str
    inputs: Mapping[str, Any]
    depends_on: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    deployment_digest: str = ""
    plan_digest: str = ""
    applied_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordedState:
    """Everything a plan is judged by and held against.

    Attributes:
        genesis: None means there is no genesis record, which is an error for every plan.
        serial: rises with every apply; 0 under a fresh genesis record.
        trust_root: the one in force: of the last apply, else of genesis.
        units: by id.
        documents_digest: of the documents of the last apply, "" if there was none.
        unfinished: digest of a plan whose apply did not come to its end, which may go on; "" otherwise.
    """

    genesis: Genesis | None
    serial: int = 0
    trust_root: TrustRootValue | None = None
    units: Mapping[str, RecordedUnit] = field(default_factory=dict)
    documents_digest: str = ""
    unfinished: str = ""

    def judge(self) -> tuple[Genesis, TrustRootValue]:
        """The genesis record and the TrustRoot that judges the next change.

        Raises:
            OperatorError: QNSP-PLN-001 when there is no genesis record; never read as "first apply".
        """
        if self.genesis is None:
            raise OperatorError(
                "QNSP-PLN-001",
                "this workspace has no genesis record in its backend, so nobody can say who judges a change",
                next_step="a workspace that was cloned: `qnsp-policy init --adopt` with the TrustRoot digest you hold outside the "
                "repository; one whose state was lost: `qnsp-policy state import` of its backup",
            )
        return self.genesis, self.trust_root or self.genesis.trust_root


def recorded_policies(units: Mapping[str, RecordedUnit]) -> Mapping[tuple[str, str], ReleasePolicy]:
    """The release policies that were applied, by (broker, resource)."""
    return policies_of(unit.inputs for unit in units.values())


__all__ = ["Genesis", "RecordedState", "RecordedUnit", "recorded_policies"]
