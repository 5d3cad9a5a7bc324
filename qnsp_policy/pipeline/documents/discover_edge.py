"""Reads the YAML files of a workspace folder, and the signatures beside them, into memory.

Not read: hidden files and folders, `.qnsp/`. Refused, all at once: links that leave the workspace or loop, files that
are no plain files (a FIFO would block for ever), unreadable ones, and more than the caps allow.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qnsp_policy.errors import DocumentError, DocumentErrors, OperatorError, Place
from qnsp_policy.pipeline.documents.problems import Problem, shown
from qnsp_policy.pipeline.documents.reader import MAX_FILE


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read at most: files, folders, bytes of one file, bytes of all files."""

    files: int = 20_000
    folders: int = 50_000
    file: int = MAX_FILE
    total: int = 512 * 1024 * 1024


_SUFFIXES = (".yaml", ".yml")


def read_folder(root: Path, *, limits: Limits | None = None) -> Mapping[str, bytes]:
    """The bytes of every `*.yaml` and `*.yml` under `root`, by path relative to it with forward slashes.

    Raises:
        DocumentErrors: some could not be read; every cause is named.
        OperatorError: `root` is no folder.
    """
    return _read(root, _SUFFIXES, limits or Limits())


def read_signatures(root: Path) -> Mapping[str, bytes]:
    """The bytes of every `signatures/*.dsse.json` of a workspace, by path relative to it.

    Raises:
        DocumentErrors: some could not be read.
    """
    folder = root / "signatures"
    if not folder.is_dir():
        return {}
    if not _inside(os.path.realpath(folder), os.path.realpath(root)):
        raise DocumentErrors(
            [_refuse("QNSP-DOC-031", "signatures", "is a link that leaves the workspace", "copy what it points to")]
        )
    return {f"signatures/{name}": data for name, data in _read(folder, (".dsse.json",), Limits()).items()}


def _read(root: Path, suffixes: tuple[str, ...], limits: Limits) -> dict[str, bytes]:
    if not root.is_dir():
        raise OperatorError(
            "QNSP-OPS-020",
            f"{shown(str(root))} is not a folder",
            subject=str(root),
            next_step="name the folder that holds qnsp.yaml",
        )
    problems: list[DocumentError] = []
    files: dict[str, bytes] = {}
    total = 0
    found = itertools.islice(_walk(root, suffixes, limits, problems), limits.files + 1)
    for name, path in sorted(found):
        if len(files) >= limits.files:
            problems.append(
                _refuse("QNSP-DOC-035", name, f"there are more than {limits.files} files", "split the workspace")
            )
            break
        data = _bytes(path, name, limits.file, problems)
        if data is None:
            continue
        total += len(data)
        if total > limits.total:
            problems.append(
                _refuse("QNSP-DOC-036", name, f"the files together exceed {limits.total} bytes", "split the workspace")
            )
            break
        files[name] = data
    if problems:
        raise DocumentErrors(problems)
    return files


def _walk(
    root: Path, suffixes: tuple[str, ...], limits: Limits, problems: list[DocumentError]
) -> Iterator[tuple[str, Path]]:
    top = os.path.realpath(root)
    seen = {top}
    folders = [(str(root), "")]
    visited = 0
    while folders:
        folder, prefix = folders.pop()
        visited += 1
        if visited > limits.folders:
            problems.append(
                _refuse("QNSP-DOC-035", prefix, f"there are more than {limits.folders} folders", "split the workspace")
            )
            return
        try:
            with os.scandir(folder) as listed:
                ours = (entry for entry in listed if entry.name.endswith(suffixes) or _is_folder(entry))
                # No more than lets the refusal be told: a folder may hold millions.
                entries = sorted(
                    itertools.islice(ours, limits.files + limits.folders + 1), key=lambda entry: entry.name
                )
        except OSError as error:
            problems.append(
                _refuse("QNSP-DOC-033", prefix or ".", f"cannot be listed: {error.strerror}", "mend its rights")
            )
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = prefix + entry.name
            if _is_folder(entry):
                real = os.path.realpath(entry.path)
                if entry.is_symlink():
                    if not _inside(real, top):
                        problems.append(
                            _refuse(
                                "QNSP-DOC-031", name, "is a link that leaves the workspace", "copy what it points to"
                            )
                        )
                        continue
                    if real in seen or _inside(top, real) or _inside(os.path.realpath(folder), real):
                        problems.append(_refuse("QNSP-DOC-031", name, "is a link that loops", "remove the link"))
                        continue
                seen.add(real)
                folders.append((entry.path, name + "/"))
            elif entry.name.endswith(suffixes):
                if entry.is_symlink() and not _inside(os.path.realpath(entry.path), top):
                    problems.append(
                        _refuse("QNSP-DOC-031", name, "is a link that leaves the workspace", "copy what it points to")
                    )
                    continue
                yield name, Path(entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _inside(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip(os.sep) + os.sep)


def _bytes(path: Path, name: str, limit: int, problems: list[DocumentError]) -> bytes | None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        problems.append(_refuse("QNSP-DOC-037", shown(name), "has a name that is not UTF-8", "rename the file"))
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        problems.append(
            _refuse("QNSP-DOC-033", name, f"cannot be read: {error.strerror}", "mend its rights or remove it")
        )
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            problems.append(
                _refuse("QNSP-DOC-032", name, "is not a plain file", "remove it, or give it another suffix")
            )
            return None
        if found.st_size > limit:
            problems.append(
                _refuse("QNSP-DOC-030", name, f"has {found.st_size} bytes; at most {limit} are read", "split the file")
            )
            return None
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            return stream.read(limit + 1)
    except OSError as error:
        problems.append(
            _refuse("QNSP-DOC-033", name, f"cannot be read: {error.strerror}", "mend its rights or remove it")
        )
        return None
    finally:
        os.close(descriptor)


def _refuse(code: str, name: str, why: str, next_step: str) -> Problem:
    return Problem(code, f"{shown(name)} {why}", place=Place(name), subject=name, next_step=next_step)


__all__ = ["Limits", "read_folder", "read_signatures"]
