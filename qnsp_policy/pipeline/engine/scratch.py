"""Files that the engine keeps for itself and that a killed run or a power cut may leave torn: mended before they are read.

All of them can be made again: a stack's project file is ours, its settings file holds nothing but the salt of secrets that no
stack of ours has, a backend's `meta.yaml` one number, a `.attrs` beside any of its files the type and digest that nobody
reads, and a lock says who is at work, which the lease says better. The engine writes each `.attrs` in place and reads nothing
beside a torn one ("failed to load checkpoint: EOF"); told to write none (`?metadata=skip`), it puts half a state in place where
the disk is full, so it writes them and we mend them.
Only the holder of the lease may call `drop_torn_locks`.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

from qnsp_policy.kernel.files_edge import sweep, write_whole
from qnsp_policy.pipeline.engine.settings import PROJECT

_META = b"version: 1\n"
_PROJECT_FILE = f"name: {PROJECT}\nruntime: python\n".encode()
_SETTINGS = re.compile(rb"encryptionsalt: v1:[A-Za-z0-9+/=]+:v1:[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+\n")


def stack_folder(folder: Path, stack: str, *, passphrase: bool) -> Path:
    """The folder that a stack's runs work in, whole.

    Args:
        folder: of every stack of the workspace.
        stack: its name.
        passphrase: whether its secrets are encrypted by one; otherwise its settings hold a wrapped key and are left alone.
    """
    work = folder / stack
    project, settings = work / "Pulumi.yaml", work / f"Pulumi.{stack}.yaml"
    if _bytes(project) != _PROJECT_FILE:
        work.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(project, _PROJECT_FILE)
    found = _bytes(settings) if passphrase else None
    if found and not _SETTINGS.fullmatch(found):
        settings.unlink()
    sweep(work)
    return work


def mend_backend(state: Path, stack: str) -> None:
    """Make a backend in a folder readable for a run of one stack.

    Its `meta.yaml` is made whole, where there are stacks and it says nothing; a torn `.attrs` beside it, the stack's state or
    locks is removed.

    Args:
        state: the engine's state.
        stack: its name.
    """
    meta = state / ".pulumi" / "meta.yaml"
    found = _bytes(meta)
    if found is not None and _META.startswith(found) and found != _META:
        write_whole(meta, _META)
    stacks = state / ".pulumi" / "stacks" / PROJECT
    for path in (meta, stacks / f"{stack}.json", stacks / f"{stack}.pulumi-tags", *_locks(state, stack)):
        beside = path.with_name(f"{path.name}.attrs")
        if not _whole(beside):
            beside.unlink(missing_ok=True)


def drop_torn_locks(state: Path, stack: str) -> None:
    """Remove the engine's locks of a stack that cannot be read, over which the engine itself stumbles.

    Args:
        state: the engine's state.
        stack: its name.
    """
    for path in _locks(state, stack):
        if not _whole(path):
            path.unlink(missing_ok=True)


def _locks(state: Path, stack: str) -> list[Path]:
    return list((state / ".pulumi" / "locks" / "organization" / PROJECT / stack).glob("*.json"))


def _whole(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except FileNotFoundError:
        return True
    except ValueError:
        return False


def _bytes(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return path.read_bytes()
    return None


__all__ = ["drop_torn_locks", "mend_backend", "stack_folder"]
