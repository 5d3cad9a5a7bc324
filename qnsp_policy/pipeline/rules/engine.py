"""The port to a rules engine, and the set of rules that it is given.

Comes in: rule sets (Rego modules, their compiled form, their metadata). Goes out: raw decisions. Both engines answer
alike: `wasm_edge` evaluates the compiled form in process, `opa_edge` asks an OPA server that holds the modules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.rules.metadata import RuleMetadata

ENTRYPOINT = "qnsp/main/results"
FORBIDDEN_BUILTINS = frozenset(
    {
        "http.send",
        "net.lookup_ip_addr",
        "opa.runtime",
        "rand.intn",
        "time.now_ns",
        "trace",
        "uuid.rfc4122",
    }
)
"""Builtins that no rule may use: the network, the environment (credentials included), chance and the wall clock."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules that are loaded together: the shipped bundle, or one folder of a user.

    Attributes:
        name: "shipped" or the folder as the Project names it.
        rules: their metadata, by id.
        wasm: the compiled form.
        modules: the Rego sources by path, without tests; lib and main included.
        digest: sha256 over the sources, `sha256:<hex>`.
        reads_documents: whether the input must hold whole documents (`kinds`) for it; the shipped rules need none.
        one_by_one: whether each rule judges a member by itself and the tables alone, so that members that are alike need one answer.
    """

    name: str
    rules: tuple[RuleMetadata, ...]
    wasm: bytes = field(repr=False)
    modules: Mapping[str, str] = field(repr=False)
    digest: str
    reads_documents: bool = False
    one_by_one: bool = False


class RulesEngine(Protocol):
    """What evaluates rule sets; every failure is an `EngineError`, no answer ever reads as "no findings"."""

    @property
    def name(self) -> str:
        """`wasm` or `opa`."""

    @property
    def version(self) -> str:
        """The version of what evaluates."""

    @property
    def rule_sets(self) -> tuple[RuleSet, ...]:
        """What is loaded."""

    def decide(self, document: bytes) -> Mapping[str, object]:
        """The merged decision of all rule sets about one input (JSON bytes)."""


def digest_of(modules: Mapping[str, str]) -> str:
    """sha256 over the sorted (path, text) pairs, each part NUL-terminated."""
    state = hashlib.sha256()
    for path in sorted(modules):
        state.update(path.encode() + b"\0" + modules[path].encode() + b"\0")
    return "sha256:" + state.hexdigest()


def bundle_digest(rule_sets: Sequence[RuleSet]) -> str:
    """One digest for all rule sets of a run: the shipped one alone keeps its own."""
    if len(rule_sets) == 1:
        return rule_sets[0].digest
    joined = "\0".join(rule_set.digest for rule_set in rule_sets)
    return "sha256:" + hashlib.sha256(joined.encode()).hexdigest()


def require_distinct(rule_sets: Sequence[RuleSet]) -> None:
    """Two rule sets never answer to one id: a user's rule can't replace a shipped one.

    Raises:
        EngineError: QNSP-RUL-004.
    """
    seen: dict[str, str] = {}
    for rule_set in rule_sets:
        for rule in rule_set.rules:
            if rule.id in seen:
                message = f"rule {rule.id} of {rule_set.name} has the id of a rule of {seen[rule.id]}"
                raise EngineError("QNSP-RUL-004", message, subject=rule.id, next_step="Give the rule another name.")
            seen[rule.id] = rule_set.name


__all__ = [
    "ENTRYPOINT",
    "FORBIDDEN_BUILTINS",
    "RuleSet",
    "RulesEngine",
    "bundle_digest",
    "digest_of",
    "require_distinct",
]
