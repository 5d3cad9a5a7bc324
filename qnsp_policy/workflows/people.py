"""Whose keys are on this machine: the author of a plan, its approver, the operator of an apply."""

from __future__ import annotations

from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.workflows.keys import KeyEntry, list_keys, signer_of


def pick(root: Path, judge: TrustRootValue, name: str | None, *, role: str = "", unlike: str = "") -> SoftwareSigner:
    """The signer of an identity whose keys are here.

    Args:
        root: the workspace.
        judge: the TrustRoot whose identities count.
        name: full name or the part before the at-sign; None for the only one that fits.
        role: the role it must hold; any approver role if "".
        unlike: an identity that it must not be (the author of what is approved).

    Raises:
        OperatorError: nobody fits, or several do.
    """
    here = {entry.name: entry for entry in list_keys(root)}
    if name is not None:
        full = _full_name(name, here, judge)
        return signer_of(root, full)
    fitting = [
        identity.name
        for identity in judge.identities.values()
        if identity.name in here
        and identity.name != unlike
        and (role in identity.roles if role else identity.may_approve)
    ]
    if len(fitting) == 1:
        return signer_of(root, fitting[0])
    what = f"role {role}" if role else "a role that approves"
    raise OperatorError(
        "QNSP-KEY-012",
        f"{'several identities' if fitting else 'no identity'} with {what} and keys here",
        got=", ".join(fitting) or ", ".join(sorted(here)) or "no key files",
        next_step="name one with --as" if fitting else "run it where the keys are, or name one with --as",
    )


def _full_name(name: str, here: dict[str, KeyEntry], judge: TrustRootValue) -> str:
    if name in here:
        return name
    matching = [full for full in judge.identities if full.partition("@")[0] == name and full in here]
    return matching[0] if len(matching) == 1 else name


__all__ = ["pick"]
