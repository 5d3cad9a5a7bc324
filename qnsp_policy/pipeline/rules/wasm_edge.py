"""The embedded engine: rule sets compiled by the real OPA to wasm, evaluated in process by opa-py-wasm on wasmtime.

Comes in: rule sets and a JSON input. Goes out: the decision. Limits are raised above the library's defaults (1 MB of
input would refuse a fleet) and still bounded: memory by pages, time by wasmtime's epoch interruption, so that a rule
of a user that loops ends with QNSP-RUL-022.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from typing import TYPE_CHECKING, Self

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.pipeline.rules.engine import ENTRYPOINT, RuleSet, digest_of, require_distinct
from qnsp_policy.pipeline.rules.metadata import load
from qnsp_policy.pipeline.rules.sources_edge import read_modules, sha256_digest
from qnsp_policy.resources_edge import data_path

if TYPE_CHECKING:
    import opapywasm

HOST_BUILTINS = frozenset({"sprintf"})
"""Host functions that the embedded engine offers, each shown equal to OPA's own by a differential test."""

_MAX_BYTES = 1 << 28
_MEMORY_PAGES = 16_384  # of 64 KiB: 1 GiB
_FIRST_PAGES = 64
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
    return RuleSet("shipped", described.rules, wasm, modules, digest_of(modules))


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
        self._policies: dict[str, opapywasm.OpaWasmPolicy] = {}

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
        """Stop the engine's timer thread."""
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
            decision = policy.evaluate(document, ENTRYPOINT)
        except opapywasm.OpaWasmError as problem:
            raise EngineError(
                "QNSP-RUL-022",
                f"the rules of {rule_set.name} could not be evaluated: {_first_line(problem)}",
                subject=rule_set.name,
                next_step="Nothing was judged. If the rules are your own, look for loops and conflicting values.",
            ) from problem
        if not isinstance(decision, dict):
            raise EngineError(
                "QNSP-RUL-021", f"the rules of {rule_set.name} are undefined for this input", subject=rule_set.name
            )
        return decision

    def _policy(self, rule_set: RuleSet) -> opapywasm.OpaWasmPolicy:
        import opapywasm  # noqa: PLC0415

        if rule_set.name in self._policies:
            return self._policies[rule_set.name]
        ahead = _AHEAD.pop((sha256_digest(rule_set.wasm), self._timeout), None)
        try:
            policy = ahead.result() if ahead is not None else _compile(rule_set.wasm, self._timeout)
        except opapywasm.OpaWasmError as problem:
            message = f"the compiled rules of {rule_set.name} cannot be loaded: {_first_line(problem)}"
            raise EngineError("QNSP-RUL-020", message, subject=rule_set.name) from problem
        needed = sorted(set(policy.builtins) - HOST_BUILTINS)
        if needed or ENTRYPOINT not in policy.entrypoints:
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


_AHEAD: dict[tuple[str, float], Future[opapywasm.OpaWasmPolicy]] = {}
"""Policies on their way, by the digest of their wasm and their deadline; each is taken once."""


def compile_ahead() -> None:
    """Begin to compile the shipped rules in a thread, for a command that reads documents first.

    Compiling takes a third of a second without the interpreter's lock; what fails here fails again where it is used.
    """
    with contextlib.suppress(EngineError, OSError):
        wasm = (data_path("policies") / "policy.wasm").read_bytes()
        pool = ThreadPoolExecutor(1, thread_name_prefix="rules")
        _AHEAD[sha256_digest(wasm), TIMEOUT] = pool.submit(_compile, wasm, TIMEOUT)
        pool.shutdown(wait=False)


def _compile(wasm: bytes, timeout: float) -> opapywasm.OpaWasmPolicy:
    import opapywasm  # noqa: PLC0415

    _prepare_library()
    limits = opapywasm.PolicyConfig(
        pool_size=1,
        max_input_bytes=_MAX_BYTES,
        max_result_bytes=_MAX_BYTES,
        max_cstring_scan_bytes=_MAX_BYTES,
        max_memory_pages=_MEMORY_PAGES,
        parse_raw_json_input=False,
        eval_timeout_seconds=timeout,
    )
    return opapywasm.OpaWasmPolicy.from_wasm_bytes(wasm, limits)


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
