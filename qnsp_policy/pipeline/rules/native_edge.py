"""Native code of the shipped rules, kept where Python keeps its own compiled modules and trusted as they are.

Comes in: wasm. Goes out: a module of wasmtime that opa-py-wasm can instantiate. Compiling takes a third of a second, loading a
millisecond. The file lies in the `__pycache__` of this folder: whoever can write there is inside the process already, by a
`.pyc` (docs/adr/0032). It is written when and where Python would write one, and anything odd about it means compiling again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path

import wasmtime  # noqa: TID253  (this module is loaded only where rules are judged)
from opapywasm.errors import OpaInvalidPolicyError
from opapywasm.runtime import EpochTicker, WasmtimeRuntimeFactory

_DIGEST = 32
_MAX = 1 << 26
"""Bytes of a kept file: the shipped rules make 1.5 MB."""


class ModuleFactory(WasmtimeRuntimeFactory):
    """What opa-py-wasm's factory does, for a module that may come from a kept file.

    Args:
        wasm: the compiled policy.
        max_memory_pages: bound of an instance's memory, in pages of 64 KiB.
        folder: where native code of it is kept, None to keep none.

    Raises:
        OpaInvalidPolicyError: the bytes are no policy.
    """

    def __init__(self, wasm: bytes, *, max_memory_pages: int, folder: Path | None) -> None:
        self._max_memory_pages = max_memory_pages
        config = wasmtime.Config()
        config.epoch_interruption = True
        self._engine = wasmtime.Engine(config)
        self._epoch = EpochTicker(self._engine)
        try:
            self._module = _module(self._engine, wasm, folder)
        except wasmtime.WasmtimeError as problem:
            raise OpaInvalidPolicyError(f"invalid policy wasm: {problem}") from problem
        self._validate_required_env_imports()


def bytecode_folder() -> Path | None:
    """Where Python keeps what it compiled of this folder's modules; None where it keeps nothing."""
    try:
        return Path(cache_from_source(__file__)).parent
    except NotImplementedError:
        return None


def _module(engine: wasmtime.Engine, wasm: bytes, folder: Path | None) -> wasmtime.Module:
    name = name_of(wasm)
    if folder is not None and (native := _kept(folder / name)) is not None:
        with contextlib.suppress(wasmtime.WasmtimeError):  # of another machine, another build of wasmtime
            return wasmtime.Module.deserialize(engine, native)
    module = wasmtime.Module(engine, wasm)
    if folder is not None and not sys.dont_write_bytecode:
        with contextlib.suppress(OSError):
            _keep(folder / name, bytes(module.serialize()))
    return module


def name_of(wasm: bytes) -> str:
    """Tells the rules and the compiler; wasmtime itself refuses what was made for another processor or configuration."""
    told = hashlib.sha256(b"\0".join((hashlib.sha256(wasm).digest(), version("wasmtime").encode()))).hexdigest()
    return f"rules-{told[:24]}.native"


def _kept(path: Path) -> bytes | None:
    """The native code in a file, None unless it is whole and nobody else could have written it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o022 or found.st_size > _MAX:
            return None
        if found.st_uid not in {os.geteuid(), 0, Path(__file__).stat().st_uid}:
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            told, native = file.read(_DIGEST), file.read(_MAX)
    finally:
        os.close(descriptor)
    return native if hashlib.sha256(native).digest() == told else None


def _keep(path: Path, native: bytes) -> None:
    """Write a file in one step, and remove what earlier rules left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(native).digest() + native)
            os.fchmod(descriptor, 0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    for old in path.parent.glob("rules-*.native"):
        if old != path:
            old.unlink(missing_ok=True)


__all__ = ["ModuleFactory", "bytecode_folder", "name_of"]
