"""`doctor`, `version`: what this installation is made of."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError


def versions() -> dict[str, str]:
    """Versions of the program, Python and what it drives; nothing is started."""
    from qnsp_policy.pipeline.engine.toolchain import TOOLS
    from qnsp_policy.pipeline.rules.wasm_edge import shipped_rules

    found = {"qnsp-policy": _version("qnsp-policy"), "python": platform.python_version()}
    found["rules"] = shipped_rules().digest
    for package in ("pulumi", "cryptography", "opa-py-wasm", "pydantic"):
        found[package] = _version(package)
    return found | {f"{name} (pinned)": tool.version for name, tool in TOOLS.items() if name in {"pulumi", "opa"}}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def examine(root: Path) -> list[dict[str, Any]]:
    """What is found on this machine: each with whether it is there, and what to do where it is not."""
    from qnsp_policy.pipeline.engine.toolchain import TOOLS, find

    found: list[dict[str, Any]] = []

    def add(name: str, ok: bool, detail: str, next_: str | None = None, *, required: bool = False) -> None:
        item: dict[str, Any] = {"name": name, "ok": ok, "required": required, "detail": detail}
        found.append(item | ({"next": next_} if next_ and not ok else {}))

    add("python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer", required=True)
    go = shutil.which("go")
    add(
        "go",
        go is not None,
        go or "builds pulumi and opa from their pinned source",
        "install Go from https://go.dev/dl",
    )
    for name, why in (("pulumi", "plan and apply"), ("opa", "user rules and `policy test`"), ("caddy", "`tls: caddy`")):
        try:
            tool = find(name, environment=os.environ)
            detail = f"{tool.version} at {tool.path}" if tool else f"{TOOLS[name].version} not built; needed by {why}"
            add(name, tool is not None, detail, f"qnsp-policy tools install {name}")
        except OperatorError as error:
            add(name, False, error.message, error.next_step)
    for package, why in (("pulumi", "plan and apply"), ("opa_client", "--engine opa")):
        there = importlib.util.find_spec(package) is not None
        add(
            f"python {package}",
            there,
            "installed" if there else f"needed by {why}",
            "pip install 'qnsp-policy[engine,opa]'",
        )
    add(
        "git", shutil.which("git") is not None, shutil.which("git") or "needed for `trust diff REVISION`", "install git"
    )
    plugin = Path(sys.executable).parent / "pulumi-resource-qnsp"
    add("resource plugin", plugin.exists(), str(plugin), "install the package with its scripts")
    devices = [path for path in ("/dev/sev-guest", "/dev/tdx_guest", "/dev/nsm", "/dev/tpmrm0") if Path(path).exists()]
    add(
        "attester",
        bool(devices),
        ", ".join(devices) or "no confidential hardware here; platforms of type local simulate it",
    )
    add("memory files", hasattr(os, "memfd_create"), "models are opened in memory", "use Linux", required=False)
    if (root / "qnsp.yaml").exists():
        passphrase = root / ".qnsp/passphrase"
        add("workspace", True, str(root))
        add("passphrase", passphrase.exists(), str(passphrase), "qnsp-policy init --adopt DIGEST", required=False)
    return found


__all__ = ["examine", "versions"]
