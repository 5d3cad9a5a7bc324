"""What the local platform's units mean on this machine: a Process of a unit (docs/formats/units.md) as a specification.

Used by the provider to start it and by the bulk reader to say whether what runs is what was declared, so that the two
can never disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.wire.supervisor import ProcessSpec, Readiness, Restart

PYTHON = "{python}"
"""First word of an argv that stands for the interpreter that runs the engine."""


def file_bytes(entry: Mapping[str, Any]) -> bytes:
    """The content of one member of a Process's `files`: RFC 8785 for `json`, UTF-8 for `text`."""
    return jcs(entry["json"]) if "json" in entry else str(entry["text"]).encode()


def files_digest(contents: Mapping[str, tuple[str, bytes]]) -> str:
    """One digest over files: path -> (mode, content)."""
    listed = [[path, mode, sha256_digest(data)] for path, (mode, data) in sorted(contents.items())]
    return sha256_digest(jcs(listed))


def declared_files(files: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, bytes]]:
    """Path -> (mode, content) of a Process's `files`."""
    return {str(entry["path"]): (str(entry.get("mode", "0600")), file_bytes(entry)) for entry in files}


def process_inputs(process: Mapping[str, Any]) -> dict[str, Any]:
    """The resource inputs of a Process: what must keep its bytes is text, nothing is null."""
    readiness = process.get("readiness")
    return {
        "name": process["name"],
        "argv": list(process["argv"]),
        "env": dict(process.get("env") or {}),
        "cwd": process.get("cwd", "."),
        "restart": process.get("restart", "always"),
        "readiness": "" if readiness is None else jcs(readiness).decode(),
        "files": {str(entry["path"]): jcs(entry).decode() for entry in process.get("files", [])},
        "filesDigest": files_digest(declared_files(process.get("files", []))),
    }


def process_spec(inputs: Mapping[str, Any], *, workspace: Path, python: str) -> ProcessSpec:
    """What the supervisor is asked to run for these resource inputs.

    Args:
        inputs: as `process_inputs` makes them.
        workspace: absolute folder that every path is relative to.
        python: interpreter for `{python}`.
    """
    argv = [str(word) for word in inputs["argv"]]
    if argv[0] == PYTHON:
        argv[0] = python
    readiness: dict[str, Any] | None = json.loads(inputs["readiness"]) if inputs["readiness"] else None
    if readiness is not None and readiness.get("file") is not None:
        readiness = readiness | {"file": str(workspace / readiness["file"])}
    return ProcessSpec(
        name=str(inputs["name"]),
        argv=tuple(argv),
        cwd=str(workspace / str(inputs["cwd"])),
        env={str(name): str(value) for name, value in inputs["env"].items()},
        restart=Restart(inputs["restart"]),
        readiness=None if readiness is None else Readiness.from_json(readiness),
        config_digest=str(inputs["filesDigest"]),
    )


__all__ = ["PYTHON", "declared_files", "file_bytes", "files_digest", "process_inputs", "process_spec"]
