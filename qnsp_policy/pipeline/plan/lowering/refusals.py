"""What lowering would refuse of these documents, all of it at once: the planner's own refusals without a plan.

Comes in: a workspace and its grants. Goes out: every refusal, by the same functions that `plan` runs. What needs more than
documents (files that they name, recorded state, a cloud) is left to `plan`.
"""

from __future__ import annotations

from collections.abc import Sequence

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.plan.lowering.context import Lowering
from qnsp_policy.pipeline.plan.lowering.lower import parts
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.trust.release_policy import release_policies
from qnsp_policy.pipeline.trust.values import EffectiveGrant
from qnsp_policy.pipeline.world.recorded import RecordedState

LEFT_TO_PLAN = frozenset({"QNSP-PLN-027", "QNSP-PLN-028", "QNSP-PLN-036"})
"""Refusals about the contents of files, which are not read here, and of platforms that the program cannot apply yet."""


def refusals(workspace: Workspace, grants: Sequence[EffectiveGrant]) -> tuple[OperatorError, ...]:
    """The first refusal of each unit, each once, by file and line.

    Args:
        workspace: the documents.
        grants: `effective_grants(workspace)`.

    Raises:
        DocumentError: the TrustRoot cannot be used.
    """
    root = trust_root_value(workspace)
    context = Lowering(
        workspace=workspace,
        policies=release_policies(grants),
        recorded=RecordedState(genesis=None),
        judge=root,
        proposed=root,
        workspace_id="",
        attachments=None,
    )
    found: dict[tuple[str, str, str], OperatorError] = {}
    for part in parts(context):
        try:
            part()
        except OperatorError as error:
            if error.code not in LEFT_TO_PLAN:
                found.setdefault((str(error.place or ""), error.code, error.message), error)
    return tuple(found[key] for key in sorted(found))


__all__ = ["LEFT_TO_PLAN", "refusals"]
