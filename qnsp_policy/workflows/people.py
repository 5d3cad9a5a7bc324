"""Whose keys are at hand: the author of a plan, its approver, the operator of an apply; in files here, or in a cloud's KMS."""

from __future__ import annotations

from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.crypto.signer import Signer
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.workflows.keys import KeyEntry, list_keys, signer_of


def pick(
    root: Path,
    judge: TrustRootValue,
    name: str | None,
    *,
    role: str = "",
    unlike: str = "",
    workspace: Workspace | None = None,
) -> Signer:
    """The signer of an identity whose keys are here; who is named and has none here may have one in a KMS.

    Args:
        root: the workspace.
        judge: the TrustRoot whose identities count.
        name: full name or the part before the at-sign; None for the only one that fits.
        role: the role it must hold; any approver role if "".
        unlike: an identity that it must not be (the author of what is approved).
        workspace: whose TrustRoot says where keys in a KMS are.

    Raises:
        OperatorError: nobody fits, or several do.
    """
    here = {entry.name: entry for entry in list_keys(root)}
    if name is not None:
        full = _full_name(name, here, judge)
        if full not in here and workspace is not None and (remote := _in_kms(workspace, judge, name)) is not None:
            return remote
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


def _in_kms(workspace: Workspace, judge: TrustRootValue, name: str) -> Signer | None:
    """A KMS signer of an identity that the TrustRoot in force knows by the same key."""
    from qnsp_policy.kernel.crypto.kms_edge import KmsSigner

    for identity in workspace.trust_root.spec.identities:
        full = str(identity.name)
        if full not in judge.identities or name not in {full, full.partition("@")[0]}:
            continue
        known = {key for signer in judge.identities[full].signers for key in signer.public_keys}
        for signer in identity.signers:
            if signer.type == "kms" and len(signer.keys) == 1:
                key = PublicKey.from_jwk(signer.keys[0])
                if key in known:
                    return KmsSigner(full, key, str(signer.uri))
    return None


def _full_name(name: str, here: dict[str, KeyEntry], judge: TrustRootValue) -> str:
    if name in here:
        return name
    matching = [full for full in judge.identities if full.partition("@")[0] == name and full in here]
    return matching[0] if len(matching) == 1 else name


__all__ = ["pick"]
