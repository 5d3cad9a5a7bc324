"""Reads rule folders and drives the `opa` program: inspect, check, build.

Comes in: a folder of Rego and the path of a pinned `opa`. Goes out: modules, metadata, wasm. The compiler runs with a
list of capabilities that lacks every builtin which reads the network, the environment, chance or the clock, so a
rule that uses one is refused when it is loaded, not when it runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.kernel.outside_edge import run_outside
from qnsp_policy.pipeline.rules.engine import ENTRYPOINT, FORBIDDEN_BUILTINS, RuleSet, digest_of
from qnsp_policy.pipeline.rules.metadata import RuleMetadata, from_inspection
from qnsp_policy.resources_edge import data_path

_TIMEOUT = 120.0
_MOST_BYTES = 64 << 20
_MAX_MODULES = 2_000
_MAX_BYTES = 16 << 20


def sha256_digest(data: bytes) -> str:
    """`sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read_modules(root: Path) -> dict[str, str]:
    """Every `*.rego` below a folder but tests, by path relative to it.

    Raises:
        OperatorError: QNSP-RUL-030, the folder is not there, too large, or holds a file that is no UTF-8.
    """
    if not root.is_dir():
        raise OperatorError("QNSP-RUL-030", f"the rule folder {root} is not there", subject=str(root))
    modules: dict[str, str] = {}
    size = 0
    for name in _rego_files(root):
        path = root / name
        data = path.read_bytes()
        size += len(data)
        if len(modules) >= _MAX_MODULES or size > _MAX_BYTES:
            raise OperatorError(
                "QNSP-RUL-030", f"the rule folder {root} holds more than {_MAX_MODULES} modules or 16 MiB"
            )
        try:
            modules[name] = data.decode()
        except UnicodeDecodeError as problem:
            raise OperatorError("QNSP-RUL-030", f"{path} is not UTF-8", subject=str(path)) from problem
    return modules


def _rego_files(root: Path) -> list[str]:
    """The modules' paths, in the order of their parts; one walk, since this is paid by every `check`."""
    found: list[str] = []
    for folder, _, files in os.walk(root):
        for file in files:
            if file.endswith(".rego") and not file.endswith("_test.rego"):
                path = os.path.join(folder, file)  # noqa: PTH118 -- a Path a file is most of the time of this walk
                if stat.S_ISREG(os.lstat(path).st_mode):
                    found.append(os.path.relpath(path, root).replace(os.sep, "/"))
    return sorted(found, key=lambda path: path.split("/"))


def capabilities(opa: Path) -> bytes:
    """What the pinned compiler knows, less what no rule may use, as the JSON that `opa build --capabilities` reads."""
    known = _json_of(opa, ["capabilities", "--current"], cwd=Path("/"))
    if not isinstance(known, dict) or not isinstance(known.get("builtins"), list):
        raise _no_opa(opa, "`opa capabilities` names no builtins")
    known["builtins"] = [builtin for builtin in known["builtins"] if builtin["name"] not in FORBIDDEN_BUILTINS]
    known["allow_net"] = []
    return json.dumps(known).encode()


def opa_version(opa: Path) -> str:
    """The version that the program itself reports, e.g. `1.22.0`."""
    for line in run_opa(opa, ["version"], cwd=Path("/")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Version":
            return value.strip()
    raise EngineError("QNSP-RUL-031", f"{opa} does not say its version", subject=str(opa))


def compile_modules(
    modules: Mapping[str, str], opa: Path, *, schema: bytes | None = None
) -> tuple[bytes, tuple[RuleMetadata, ...]]:
    """Check (strict, with the input's schema if given) and compile modules to wasm; read their annotations.

    The result depends on the modules and the compiler's version only: they are laid out anew in an empty folder and
    compiled from there, so no path of this machine enters the file.

    Raises:
        OperatorError: QNSP-RUL-032, the compiler refuses them; its own words with file and line are in the message.
    """
    with tempfile.TemporaryDirectory(prefix="qnsp-rules-") as folder:
        root = Path(folder)
        _lay_out(root / "policies", modules)
        (root / "capabilities.json").write_bytes(capabilities(opa))
        checked = ["check", "--strict", "--capabilities", "capabilities.json", "policies"]
        if schema is not None:
            (root / "input.json").write_bytes(schema)
            checked[2:2] = ["--schema", "input.json"]
        run_opa(opa, checked, cwd=root)
        inspected = _json_of(opa, ["inspect", "-a", "--format", "json", "policies"], cwd=root)
        run_opa(
            opa,
            [
                "build",
                "-t",
                "wasm",
                "-e",
                ENTRYPOINT,
                "--capabilities",
                "capabilities.json",
                "-o",
                "bundle.tar.gz",
                "policies",
            ],
            cwd=root,
        )
        try:
            with tarfile.open(root / "bundle.tar.gz", mode="r:gz") as bundle:
                member = next((m for m in bundle.getmembers() if PurePosixPath(m.name).name == "policy.wasm"), None)
                handle = bundle.extractfile(member) if member is not None else None
                if handle is None:
                    raise _no_opa(opa, "`opa build` made a bundle without policy.wasm")
                wasm = handle.read()
        except (OSError, tarfile.TarError, EOFError) as problem:
            raise _no_opa(opa, "`opa build` made no bundle") from problem
        try:
            return wasm, from_inspection(inspected)
        except (TypeError, AttributeError, KeyError, ValueError) as problem:
            raise _no_opa(opa, "`opa inspect` does not answer as opa does") from problem


def user_rules(name: str, folder: Path, opa: Path) -> RuleSet:
    """A user's rule folder, compiled with the pinned `opa` beside the shipped `lib/` and `main.rego`.

    Raises:
        OperatorError: QNSP-RUL-030 (folder), -032 (compiler's refusal), -033 (a module outside `qnsp.rules`).
    """
    own = read_modules(folder)
    shared_root = data_path("policies")
    shared = {
        path: text for path, text in read_modules(shared_root).items() if path == "main.rego" or path.startswith("lib/")
    }
    taken = sorted(set(own) & set(shared))
    if taken:
        raise OperatorError(
            "QNSP-RUL-033", f"{name}/{taken[0]} would replace a module of the shipped library", subject=name
        )
    for path, text in own.items():
        _require_rule_package(name, path, text)
    modules = {**shared, **own}
    schema = (shared_root / "schema" / "input.json").read_bytes()
    wasm, rules = compile_modules(modules, opa, schema=schema)
    return RuleSet(name, rules, wasm, modules, digest_of(modules), reads_documents=True)


def _require_rule_package(name: str, path: str, text: str) -> None:
    package = next((line.strip() for line in text.splitlines() if line.startswith("package ")), "")
    if not package.startswith(("package qnsp.rules.", "package custom.")):
        raise OperatorError(
            "QNSP-RUL-033",
            f"{name}/{path} is in `{package or 'no package'}`; rules live in qnsp.rules.<category>, helpers in custom.*",
            subject=name,
            next_step='Begin the file with `package qnsp.rules.<category>["<name>"]`.',
        )


def run_opa(opa: Path, arguments: Sequence[str], *, cwd: Path, seconds: float = _TIMEOUT) -> str:
    """Run the `opa` program and return what it printed.

    Raises:
        OperatorError: QNSP-RUL-031 (cannot be run, too slow), -032 (it refused).
    """
    done = run_outside(
        [str(opa), *arguments], folder=cwd, environment=dict(os.environ), seconds=seconds, limit=_MOST_BYTES
    )
    if done.failure or (done.code or 0) < 0:
        why = done.failure or f"was ended by signal {-(done.code or 0)}"
        raise _no_opa(opa, f"`opa {arguments[0]}` {why}")
    said = done.output.decode("utf-8", "replace")
    if done.code != 0:
        words = (done.errors.strip() or said.strip())[:2_000]
        raise OperatorError(
            "QNSP-RUL-032",
            f"`opa {arguments[0]}` refused the rules: {words}",
            subject=str(opa),
            next_step="Correct the rule that is named; where none is, `qnsp-policy doctor` says which opa is used.",
        )
    return said


def _json_of(opa: Path, arguments: Sequence[str], *, cwd: Path) -> Any:
    """What it printed, read as JSON."""
    try:
        return json.loads(run_opa(opa, arguments, cwd=cwd))
    except ValueError as problem:
        raise _no_opa(opa, f"`opa {arguments[0]}` did not answer with JSON") from problem


def _no_opa(opa: Path, why: str) -> OperatorError:
    return OperatorError(
        "QNSP-RUL-031",
        f"{why}; see whether {opa} is opa",
        subject=str(opa),
        next_step="Run `qnsp-policy doctor`, which says which one is used.",
    )


def _lay_out(root: Path, modules: Mapping[str, str]) -> None:
    for path, text in modules.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


__all__ = ["capabilities", "compile_modules", "opa_version", "read_modules", "run_opa", "sha256_digest", "user_rules"]
