"""SSH keys as signers: an agent's key, a key file, a security key (sk-*)."""

from __future__ import annotations

from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.signer import Signer
from qnsp_policy.kernel.crypto.ssh_edge import SshSigner, read_public_key
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue


def ssh_signer(path: Path, judge: TrustRootValue, name: str | None) -> tuple[Signer, str]:
    """A signer of the identity whose SSH key this is.

    Args:
        path: the `.pub` file, or the private key beside which it lies; with the `.pub` alone the agent signs.
        judge: the TrustRoot in force, which says whose key it is.
        name: whose key it should be; None for whoever the TrustRoot names.

    Raises:
        OperatorError: the TrustRoot does not know the key, or knows it as another's.
    """
    private = None if path.suffix == ".pub" else path
    key = read_public_key(path if private is None else path.with_name(f"{path.name}.pub"))
    owners = [
        identity.name
        for identity in judge.identities.values()
        for signer in identity.signers
        if key in signer.public_keys
    ]
    fitting = [owner for owner in owners if name in {None, owner, owner.partition("@")[0]}]
    if not fitting:
        raise OperatorError(
            "QNSP-KEY-015",
            f"the TrustRoot in force does not know this SSH key{f' as one of {name}' if name else ''}",
            subject=str(path),
            got=", ".join(owners) or "nobody's key",
            next_step="add it as a signer of type ssh, and have that change approved with keys that are known",
        )
    return SshSigner(fitting[0], key, private), fitting[0]


__all__ = ["ssh_signer"]
