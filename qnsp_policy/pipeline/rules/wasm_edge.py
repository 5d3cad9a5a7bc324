"""The embedded engine: rule sets compiled by the real OPA to wasm, evaluated in process by opa-py-wasm on wasmtime.

Comes in: rule sets and a JSON input. Goes out: the decision. Limits are raised above the library's defaults (1 MB of
input would refuse a fleet) and still bounded: memory by pages, time by wasmtime's epoch interruption, so that a rule
of a user that loops ends with QNSP-RUL-022.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Self

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.kernel.aside_edge import aside
from qnsp_policy.pipeline.rules.engine import ENTRYPOINT, RuleSet, digest_of, require_distinct
from qnsp_policy.pipeline.rules.metadata import load
from qnsp_policy.pipeline.rules.sources_edge import read_modules, sha256_digest
from qnsp_policy.resources_edge import data_path

if TYPE_CHECKING:
    from opapywasm.instance import OpaPolicyInstance

HOST_BUILTINS = frozenset({"sprintf"})
"""Host functions that the embedded engine offers, each shown equal to OPA's own by a differential test."""

_MAX_BYTES = 1 << 28
_MEMORY_PAGES = 16_384  # of 64 KiB: 1 GiB
_FIRST_PAGES = 64
_BEAT = 0.05
"""Seconds between two attempts to end an evaluation that nobody waits for any more."""

SHIPPED = "shipped"
"""The name of the rule set that comes with the program."""

TIMEOUT = 60.0
"""Seconds that one rule set may take for one input."""


def shipped_rules() -> RuleSet:
    """The rule set that ships with the program: policy.wasm, metadata.json and their sources.

    Raises:
        EngineError: QNSP-RUL-001, the files are not there, or the wasm is not the one that metadata.json speaks of.
    """
    try:
        root = data_path("policies")
        wasm = (root / "policy.wasm").read_bytes()
        described = load((root / "metadata.json").read_bytes())
    except OSError as problem:
        raise EngineError("QNSP-RUL-001", "the shipped rule bundle is not part of this installation") from problem
    if sha256_digest(wasm) != described.wasm_digest:
        raise EngineError(
            "QNSP-RUL-001",
            "policy.wasm is not the file that metadata.json describes",
            expected=described.wasm_digest,
            got=sha256_digest(wasm),
            next_step="Run `make rules` in a checkout, or install the package again.",
        )
    modules = read_modules(root)
    return RuleSet(SHIPPED, described.rules, wasm, modules, digest_of(modules), one_by_one=True)


class WasmEngine:
    """Evaluates rule sets in process.

    Args:
        rule_sets: the shipped set first, then the user's.
        timeout: seconds that one rule set may take for one input.
    """

    def __init__(self, rule_sets: Sequence[RuleSet], *, timeout: float = TIMEOUT) -> None:
        require_distinct(rule_sets)
        self._rule_sets = tuple(rule_sets)
        self._timeout = timeout
        self._policies: dict[str, _Policy] = {}

    @property
    def name(self) -> str:
        """`wasm`."""
        return "wasm"

    @property
    def version(self) -> str:
        """The version of opa-py-wasm."""
        return version("opa-py-wasm")

    @property
    def rule_sets(self) -> tuple[RuleSet, ...]:
        """What is loaded."""
        return self._rule_sets

    def decide(self, document: bytes) -> Mapping[str, object]:
        """Evaluate every rule set.

        Raises:
            EngineError: QNSP-RUL-020 (cannot be loaded), -021 (undefined decision), -022 (trap, abort, limit, time).
            OperatorError: QNSP-RUL-023, a rule set needs functions that only OPA itself has.
        """
        merged: dict[str, object] = {}
        for rule_set in self._rule_sets:
            merged.update(self._decide_one(rule_set, document))
        return merged

    def close(self) -> None:
        """Stop the engine's timer threads."""
        for policy in self._policies.values():
            policy.close()
        self._policies.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decide_one(self, rule_set: RuleSet, document: bytes) -> Mapping[str, object]:
        import opapywasm  # noqa: PLC0415  (wasmtime is loaded by the commands that need it)

        policy = self._policy(rule_set)
        try:
            decided = policy.evaluate(document)
        except opapywasm.OpaWasmError as problem:
            raise EngineError(
                "QNSP-RUL-022",
                f"the rules of {rule_set.name} could not be evaluated: {_first_line(problem)}",
                subject=rule_set.name,
                next_step="Nothing was judged. If the rules are your own, look for loops and conflicting values.",
            ) from problem
        match decided:
            case [{"result": dict(decision)}]:
                return decision
            case _:
                raise EngineError(
                    "QNSP-RUL-021", f"the rules of {rule_set.name} are undefined for this input", subject=rule_set.name
                )

    def _policy(self, rule_set: RuleSet) -> _Policy:
        import opapywasm  # noqa: PLC0415

        if rule_set.name in self._policies:
            return self._policies[rule_set.name]
        ahead = _AHEAD.pop((sha256_digest(rule_set.wasm), self._timeout), None)
        try:
            keep = rule_set.name == SHIPPED
            policy = ahead.result() if ahead is not None else _Policy(rule_set.wasm, self._timeout, keep=keep)
        except opapywasm.OpaWasmError as problem:
            message = f"the compiled rules of {rule_set.name} cannot be loaded: {_first_line(problem)}"
            step = "they ask for 5 GB of address space, not of memory: raise `ulimit -v`" if "mmap" in message else None
            raise EngineError("QNSP-RUL-020", message, subject=rule_set.name, next_step=step) from problem
        needed = sorted(policy.builtins - HOST_BUILTINS)
        if needed or policy.entrypoint is None:
            policy.close()
            if not needed:
                raise EngineError("QNSP-RUL-020", f"the compiled rules of {rule_set.name} have no {ENTRYPOINT}")
            raise OperatorError(
                "QNSP-RUL-023",
                f"the rules of {rule_set.name} use {', '.join(needed)}, which the embedded engine does not have",
                subject=rule_set.name,
                next_step="Run with `--engine opa`, which starts OPA itself.",
            )
        self._policies[rule_set.name] = policy
        return policy


class _Policy:
    """One compiled rule set, ready to be asked by one thread.

    Args:
        wasm: the rule set.
        timeout: seconds that an evaluation may take.
        keep: whether its native code is kept for the next start.

    Raises:
        OpaWasmError: it is no policy, or cannot be loaded.
    """

    def __init__(self, wasm: bytes, timeout: float, *, keep: bool) -> None:
        from opapywasm import PolicyConfig  # noqa: PLC0415

        from qnsp_policy.pipeline.rules.native_edge import ModuleFactory, bytecode_folder  # noqa: PLC0415

        _prepare_library()
        self._timeout = timeout
        self._limits = PolicyConfig(
            max_input_bytes=_MAX_BYTES,
            max_result_bytes=_MAX_BYTES,
            max_cstring_scan_bytes=_MAX_BYTES,
            max_memory_pages=_MEMORY_PAGES,
            parse_raw_json_input=False,
            eval_timeout_seconds=timeout,
        )
        self._factory = ModuleFactory(wasm, max_memory_pages=_MEMORY_PAGES, folder=bytecode_folder() if keep else None)
        self._instance = self._made()
        self.builtins: frozenset[str] = frozenset(self._instance.builtins())
        self.entrypoint: int | None = self._instance.entrypoints().get(ENTRYPOINT)

    def evaluate(self, document: bytes) -> object:
        """The result set for an input; an instance that failed inside is not asked again.

        It is evaluated in a thread, so that Ctrl-C is answered meanwhile; whoever gives up waiting ends it first.

        Raises:
            OpaWasmError: trap, abort, limit, time.
        """
        if self._instance.poisoned:
            self._instance.close()
            self._instance = self._made()
        if self.entrypoint is None:
            raise ValueError(f"this policy has no {ENTRYPOINT}")
        asked = aside(partial(self._instance.evaluate, document, self.entrypoint))
        try:
            return asked.result()
        finally:
            while not asked.done():
                for _ in range(self._factory.epoch.deadline_ticks(self._timeout) + 1):
                    self._factory.engine.increment_epoch()
                wait([asked], timeout=_BEAT)

    def close(self) -> None:
        """Stop the timer and give the memory back."""
        self._instance.close()
        self._factory.close()

    def _made(self) -> OpaPolicyInstance:
        from opapywasm.abi import OpaAbiSpec  # noqa: PLC0415
        from opapywasm.builtins import BuiltinRegistry, default_builtins  # noqa: PLC0415
        from opapywasm.instance import OpaPolicyInstance  # noqa: PLC0415

        builtins = BuiltinRegistry(default_builtins())
        return OpaPolicyInstance(
            self._factory, self._limits, OpaAbiSpec(), builtins=builtins, epoch=self._factory.epoch
        )


_AHEAD: dict[tuple[str, float], Future[_Policy]] = {}
"""Policies on their way, by the digest of their wasm and their deadline; each is taken once."""


def compile_ahead() -> None:
    """Begin to load the shipped rules in a thread, for a command that reads documents first.

    The first time they are compiled, a third of a second without the interpreter's lock; what fails here fails again where
    it is used.
    """
    with contextlib.suppress(EngineError, OSError):
        wasm = (data_path("policies") / "policy.wasm").read_bytes()
        _AHEAD[sha256_digest(wasm), TIMEOUT] = aside(partial(_Policy, wasm, TIMEOUT, keep=True))


def _prepare_library() -> None:
    """Let opa-py-wasm 1.2.1 load modules with more than 128 KiB of literals.

    It offers 2 pages at first and tries more only after a trap, but a module that states a larger minimum is refused
    before any trap; the constant has no public setting. It also warns on the log when it grows that memory.
    """
    from opapywasm import runtime  # noqa: PLC0415

    logging.getLogger("opapywasm").addHandler(logging.NullHandler())
    setattr(runtime, "_DEFAULT_MEMORY_PAGES", max(runtime._DEFAULT_MEMORY_PAGES, _FIRST_PAGES))  # noqa: B010, SLF001


def _first_line(problem: BaseException) -> str:
    return str(problem).strip().split("\n", 1)[0]


__all__ = ["HOST_BUILTINS", "TIMEOUT", "WasmEngine", "compile_ahead", "shipped_rules"]
