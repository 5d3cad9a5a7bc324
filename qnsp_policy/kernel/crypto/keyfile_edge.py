"""Files of software private keys, insecure by name: JSON `qnsp.private-keys/v1`, mode 0600, written atomically.

Comes in: a path, a name, private keys. Goes out: a `KeyFile`. A file that others may read is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.canonical import parse_object
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.files_edge import make_folder, scratch_beside, sweep, sync_folder

FORMAT: Final = "qnsp.private-keys/v1"
WARNING: Final = "software keys, throw-away"
_MAX_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a key file holds.

    Attributes:
        name: of the identity or service that owns the keys.
        keys: in the order of the file.
    """

    name: str
    keys: tuple[PrivateKey, ...]

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """Public halves, in the same order."""
        return tuple(key.public for key in self.keys)

    def of(self, algorithm: str) -> PrivateKey:
        """The first key of that algorithm.

        Raises:
            OperatorError: QNSP-KEY-004.
        """
        for key in self.keys:
            if key.algorithm == algorithm:
                return key
        raise OperatorError("QNSP-KEY-004", f"key file {self.name!r} holds no {algorithm} key", subject=self.name)


def write_key_file(path: Path, name: str, keys: tuple[PrivateKey, ...], *, replace: bool = False) -> KeyFile:
    """Writes the keys, 0600, in a folder that is made 0700 if it is not there.

    Raises:
        OperatorError: QNSP-KEY-005 the file exists and `replace` is not given, QNSP-KEY-002 it cannot be written.
    """
    text = json.dumps(
        {"format": FORMAT, "insecure": WARNING, "name": name, "keys": [key.to_jwk_insecure() for key in keys]}, indent=1
    )
    temporary = scratch_beside(path)
    try:
        make_folder(path.parent)
        sweep(path.parent)  # also where the next line refuses: what a killed writer left holds keys
        if path.exists() and not replace:
            raise OperatorError("QNSP-KEY-005", f"{path} exists already; keys are never overwritten", subject=str(path))
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            if replace:
                temporary.replace(path)
            else:
                os.link(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        sync_folder(path.parent)
    except FileExistsError:
        raise OperatorError(
            "QNSP-KEY-005", f"{path} exists already; keys are never overwritten", subject=str(path)
        ) from None
    except OSError as error:
        raise OperatorError(
            "QNSP-KEY-002",
            f"cannot write {path}: {error.strerror}",
            subject=str(path),
            next_step="free space or make the folder writable, then run the command again; no key was changed",
        ) from error
    return KeyFile(name, keys)


def read_key_file(path: Path) -> KeyFile:
    """Reads a key file of this user.

    Raises:
        OperatorError: QNSP-KEY-002 unreadable or readable by others, QNSP-KEY-003 malformed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OperatorError("QNSP-KEY-002", f"{path} is no regular file", subject=str(path))
            if status.st_mode & 0o077:
                raise OperatorError(
                    "QNSP-KEY-002",
                    f"{path} may be read by others (mode {stat.S_IMODE(status.st_mode):04o})",
                    subject=str(path),
                    next_step=f"Run: chmod 600 {path}",
                )
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise OperatorError("QNSP-KEY-002", f"cannot read {path}: {error.strerror}", subject=str(path)) from error
    try:
        value = parse_object(data, max_bytes=_MAX_BYTES)
        name, jwks = value.get("name"), value.get("keys")
        if value.get("format") != FORMAT or not isinstance(name, str) or not isinstance(jwks, list) or not jwks:
            raise OperatorError("QNSP-KEY-003", f"{path} is no key file of format {FORMAT}", subject=str(path))
        return KeyFile(name, tuple(PrivateKey.from_jwk(jwk) for jwk in jwks))
    except PeerError as error:
        raise OperatorError("QNSP-KEY-003", f"{path}: {error.message}", subject=str(path)) from None


__all__ = ["FORMAT", "KeyFile", "read_key_file", "write_key_file"]
