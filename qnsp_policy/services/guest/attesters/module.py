"""How the guest reaches a module of its machine: a character device of the kernel, or the unix socket of a simulator."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from qnsp_policy.errors import OperatorError

Talk = Callable[[bytes], bytes]
"""Sends one message to the module and gives its answer."""


def unusable(path: Path, error: OSError, code: str, hints: dict[int, str]) -> OperatorError:
    """The refusal of a module that is not there or not ours to use, with what helps by `errno`."""
    return OperatorError(
        code,
        f"{path} cannot be used: {error.strerror or error}",
        subject=str(path),
        next_step=hints.get(error.errno or 0, ""),
    )


def reached(
    path: Path,
    device: Callable[[Path, bytes], bytes],
    simulated: Callable[[Path, bytes], bytes],
    code: str,
    hints: dict[int, str],
) -> Talk:
    """What talks to the module at `path`.

    Raises:
        OperatorError: `code`: nothing there that could be one.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise unusable(path, error, code, hints) from error
    if stat.S_ISCHR(mode):
        return lambda message: device(path, message)
    if stat.S_ISSOCK(mode):
        return lambda message: simulated(path, message)
    raise OperatorError(code, f"{path} is neither a device nor a socket", subject=str(path))


__all__ = ["Talk", "reached", "unusable"]
