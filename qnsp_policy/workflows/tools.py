"""`tools install|list`: the programs that we run but did not write, where they are, their versions, digests and ends of support.

Go programs are built from pinned source (`pipeline.engine.toolchain`). nv-attestation-sdk is a Python package that pins what we cannot
live with; it gets an environment of its own in the user's cache, installed from a locked list of hashes. `nvattest` is used where it is
found on PATH; it is not ours to install.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.collectors_edge import NVATTEST, SDK, bare_environment
from qnsp_policy.kernel.outside_edge import Said, run_outside
from qnsp_policy.resources_edge import data_path
from qnsp_policy.workflows.progress import Progress, in_tenths

SDK_VERSION: Final = "2.7.3"
SDK_END: Final = "2026-09-15"
"""Last day of NVIDIA's support; deprecated since 2026-03-15."""
SUPPORT_NOTE: Final = f"NVIDIA's support of nv-attestation-sdk ended on {SDK_END}; its successor is nvattest"
_INTERPRETERS: Final = ("python3.12", "python3.11")
"""What the SDK's pins have wheels for."""
_MARKER: Final = "installed.json"
_INSTALL_SECONDS: Final = 900.0
_ASK_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Sdk:
    """The installed SDK: its interpreter, and the program of ours that it runs."""

    python: Path
    judge: Path
    version: str = SDK_VERSION


def _sdk_root(environment: Mapping[str, str]) -> Path:
    from qnsp_policy.pipeline.engine.toolchain import cache_root

    return cache_root(environment) / "tools" / f"{SDK}-{SDK_VERSION}"


def _lock_digest() -> str:
    return "sha256:" + hashlib.sha256(data_path("tools", SDK, "requirements.txt").read_bytes()).hexdigest()


def find_sdk(environment: Mapping[str, str]) -> Sdk | None:
    """The SDK as this version of ours locks it; None where it is not installed, half installed, or from another lock."""
    root = _sdk_root(environment)
    try:
        installed = json.loads((root / _MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    python = root / "venv/bin/python"
    if not isinstance(installed, dict) or installed.get("lock") != _lock_digest() or not python.exists():
        return None
    return Sdk(python, data_path("tools", SDK, "judge.py"))


def install_sdk(environment: Mapping[str, str], *, progress: Progress) -> dict[str, Any]:
    """Installs the SDK with the hashes of our lock into an environment of its own; does nothing where it is there.

    Raises:
        OperatorError: QNSP-OPS-110 no fitting Python, -111 the packages cannot be had or are not those of the lock.
    """
    root = _sdk_root(environment)
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f".{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find_sdk(environment) is None:
            shutil.rmtree(root, ignore_errors=True)
            _install(root, environment, progress)
    return _sdk_line(environment)


def _interpreter(environment: Mapping[str, str]) -> str:
    own = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if own in _INTERPRETERS:
        return sys.executable
    for name in _INTERPRETERS:
        if found := shutil.which(name, path=environment.get("PATH", os.defpath)):
            return found
    raise OperatorError(
        "QNSP-OPS-110",
        f"nv-attestation-sdk {SDK_VERSION} runs on Python 3.11 and 3.12; this is {own[6:]}, and neither is on PATH",
        subject=SDK,
        next_step="install Python 3.12 beside this one",
    )


def _install(root: Path, environment: Mapping[str, str], progress: Progress) -> None:
    python = _interpreter(environment)
    progress(f"installing nv-attestation-sdk {SDK_VERSION} into {root} (about 125 MB, half a minute)")
    root.mkdir(parents=True)
    lock = data_path("tools", SDK, "requirements.txt")
    pip = [str(root / "venv/bin/python"), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    pip += ["--quiet", "--no-cache-dir", "--require-hashes", "--only-binary=:all:", "--no-deps", "-r", str(lock)]
    with tempfile.TemporaryDirectory() as name:
        for argv in ([python, "-I", "-m", "venv", str(root / "venv")], pip):
            # pip finds its index where the user's own pip does: in pip's files and variables, and the proxies beside them.
            said = run_outside(
                argv, folder=Path(name), environment=_for_pip(environment), seconds=_INSTALL_SECONDS, limit=1 << 20
            )
            if said.failure or said.code != 0:
                shutil.rmtree(root, ignore_errors=True)
                raise _not_had(said)
    marker = {"name": "nv-attestation-sdk", "version": SDK_VERSION, "lock": _lock_digest(), "supportEnded": SDK_END}
    (root / _MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="ascii")


def _for_pip(environment: Mapping[str, str]) -> dict[str, str]:
    wanted = {
        "PATH",
        "HOME",
        "LANG",
        "TMPDIR",
        "XDG_CONFIG_HOME",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
    }
    proxies = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    return {
        name: value
        for name, value in environment.items()
        if name in wanted or name.upper() in proxies or name.startswith("PIP_")
    }


def _not_had(said: Said) -> OperatorError:
    last = (said.failure or said.errors.strip().split("\n")[-1])[:300]
    return OperatorError(
        "QNSP-OPS-111",
        f"nv-attestation-sdk {SDK_VERSION} cannot be installed: {last}",
        subject=SDK,
        next_step="see that pip reaches a package index (pip config list), then run it again",
    )


def find_nvattest(environment: Mapping[str, str]) -> tuple[Path, str] | None:
    """`nvattest` on PATH and the version that it says; None where there is none that answers."""
    found = shutil.which(NVATTEST, path=environment.get("PATH", os.defpath))
    if found is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = run_outside(
            [found, "version"], folder=folder, environment=bare_environment(folder), seconds=_ASK_SECONDS, limit=65536
        )
    try:
        version = json.loads(said.output)[NVATTEST]
    except (ValueError, KeyError, TypeError):
        version = None
    return (Path(found), version) if isinstance(version, str) else (Path(found), "unknown")


def list_tools() -> list[dict[str, Any]]:
    """Each program with version, place, digest of what is there, and end of support where its maker named one."""
    from qnsp_policy.pipeline.engine.toolchain import TOOLS, find

    listed: list[dict[str, Any]] = []
    for name, tool in TOOLS.items():
        found = find(name, environment=os.environ)
        listed.append(
            {
                "name": name,
                "version": found.version if found else tool.version,
                "path": str(found.path) if found else None,
                "origin": found.origin if found else None,
                "digest": _digest(found.path) if found else None,
                "supportEnded": None,
            }
        )
    listed.append(_sdk_line(os.environ))
    nvattest = find_nvattest(os.environ)
    listed.append(
        {
            "name": NVATTEST,
            "version": nvattest[1] if nvattest else None,
            "path": str(nvattest[0]) if nvattest else None,
            "origin": "PATH" if nvattest else None,
            "digest": _digest(nvattest[0]) if nvattest else None,
            "supportEnded": None,
        }
    )
    return listed


def _sdk_line(environment: Mapping[str, str]) -> dict[str, Any]:
    found = find_sdk(environment)
    return {
        "name": SDK,
        "version": SDK_VERSION,
        "path": str(found.python.parent.parent) if found else None,
        "origin": "cache" if found else None,
        "digest": _lock_digest() if found else None,
        "supportEnded": SDK_END,
    }


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def install_tools(names: tuple[str, ...], *, progress: Progress) -> list[dict[str, Any]]:
    """Puts the named programs into the cache.

    Raises:
        OperatorError: a name is not one of ours, or it could not be built or installed.
    """
    from qnsp_policy.pipeline.engine.toolchain import TOOLS, install

    unknown = [name for name in names if name not in TOOLS and name != SDK]
    if unknown:
        text = f"there is no pinned program {unknown[0]!r}"
        if unknown[0] == NVATTEST:
            text = "nvattest is not installed here: it is used where it is found on PATH"
        raise OperatorError("QNSP-OPS-056", text, next_step=f"use one of: {', '.join((*TOOLS, SDK))}")
    listed: list[dict[str, Any]] = []
    for name in names:
        if name == SDK:
            listed.append(install_sdk(os.environ, progress=progress))
            continue
        found = install(name, environment=os.environ, progress=in_tenths(progress))
        listed.append({"name": name, "version": found.version, "path": str(found.path), "origin": found.origin})
    return listed


__all__ = [
    "SDK_END",
    "SDK_VERSION",
    "SUPPORT_NOTE",
    "Sdk",
    "find_nvattest",
    "find_sdk",
    "install_sdk",
    "install_tools",
    "list_tools",
]
