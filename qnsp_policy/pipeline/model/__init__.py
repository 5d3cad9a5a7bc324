"""From located documents to one typed `Workspace` with its references resolved.

Comes in: bytes by file name (`build`) or a folder (`workspace_edge.load`). Goes out: `Workspace`, or `DocumentErrors`
with every problem of every file. Kinds stand in `kinds/`; the rules that are policy stand elsewhere, in Rego.
"""

from qnsp_policy.pipeline.model.build import build
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.signers import VerifiedSigner
from qnsp_policy.pipeline.model.tiers import Admitted, ResolvedTier
from qnsp_policy.pipeline.model.workspace import Workspace

__all__ = ["Address", "Admitted", "ResolvedTier", "VerifiedSigner", "Workspace", "build"]
