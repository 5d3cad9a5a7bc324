"""A signer whose private key stays with SSH: an agent, a key file that ssh-keygen asks a passphrase for, a security key.

Comes in: the public key line and, if it is not the agent's, the path of the private key. Goes out: SSHSIG signatures.
Runs `ssh-keygen -Y sign -n qnsp-policy`; no key material enters this process.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto import sshsig
from qnsp_policy.kernel.crypto.algorithms import SSH
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.crypto.signer import KeySignature

_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class SshSigner:
    """One SSH key.

    Attributes:
        name: whom it belongs to.
        key: its public key, of one of the SSH algorithms.
        key_file: path of the private key, or None to ask the agent.
        tool: path or name of ssh-keygen.
    """

    name: str
    key: PublicKey
    key_file: Path | None = None
    tool: str = "ssh-keygen"

    def __post_init__(self) -> None:
        if self.key.algorithm not in SSH:
            raise ValueError(f"{self.key.algorithm} is no SSH key")

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """The one key."""
        return (self.key,)

    def sign(self, data: bytes) -> tuple[KeySignature, ...]:
        """The SSHSIG over `data`, verified before it is returned.

        Raises:
            OperatorError: QNSP-KEY-007, ssh-keygen is missing, timed out or refused.
            PeerError: QNSP-SIG-*, what it returned does not verify.
        """
        return (KeySignature(self.key.key_id, self.sign_with(self.key, data)),)

    def sign_with(self, key: PublicKey, data: bytes) -> bytes:
        """The SSHSIG by the one key, in binary.

        Raises:
            ValueError: another key.
            OperatorError: QNSP-KEY-007.
        """
        if key != self.key:
            raise ValueError(f"{self.name} has no key {key.key_id}")
        program = shutil.which(self.tool)
        if program is None:
            raise _failed(f"{self.tool} is not installed")
        with tempfile.TemporaryDirectory(prefix="qnsp-ssh-") as folder:
            public = Path(folder) / "key.pub"
            public.write_text(sshsig.public_line(self.key) + "\n")
            chosen = str(self.key_file or public)
            command = [program, "-Y", "sign", "-n", sshsig.NAMESPACE, "-f", chosen]
            try:
                done = subprocess.run(command, input=data, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603
            except subprocess.TimeoutExpired:
                raise _failed(f"nobody answered ssh-keygen within {_SECONDS:.0f} s") from None
            except OSError as error:
                raise _failed(str(error.strerror)) from error
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no reason given"]
            raise _failed("".join(c if c.isprintable() else "?" for c in said[0][:200]))
        blob = sshsig.dearmour(done.stdout)
        sshsig.verify(self.key, blob, data, namespace=sshsig.NAMESPACE)
        return blob


def _failed(reason: str) -> OperatorError:
    return OperatorError(
        "QNSP-KEY-007",
        f"ssh-keygen did not sign: {reason}",
        subject="ssh-keygen",
        next_step="Check `ssh-add -l` and SSH_AUTH_SOCK, or give the path of the private key; touch the security key.",
    )


def read_public_key(path: Path) -> PublicKey:
    """Reads an OpenSSH `.pub` file.

    Raises:
        OperatorError: QNSP-KEY-002.
        PeerError: QNSP-SIG-005, QNSP-SIG-008.
    """
    try:
        return sshsig.parse_public_line(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError("QNSP-KEY-002", f"cannot read {path}", subject=str(path)) from error


__all__ = ["SshSigner", "read_public_key"]
