"""From what an engine returned to findings; anything but a complete answer is an engine error, never a pass.

Comes in: the raw decision of one evaluation, the input it was made from, the metadata of the rules. Goes out: one
`Answer` per rule. The contract (design.md section 5): a rule names its population and answers for every member, in
`pass` (a set of indexes) or in `fail` (objects with index, path and args); no member in both, none in neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.rules.metadata import RuleMetadata


@dataclass(frozen=True, slots=True)
class Failure:
    """One refused member: its index in the population, the field below where it stands, arguments for the text."""

    index: int
    path: tuple[str | int, ...]
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A rule's complete answer for its population."""

    rule: RuleMetadata
    population: int
    failures: tuple[Failure, ...]


def read(decision: object, document: Mapping[str, Any], rules: Sequence[RuleMetadata]) -> tuple[Answer, ...]:
    """Check a decision against the populations.

    Args:
        decision: `data.qnsp.main.results` as JSON: rule id -> {"pass": [index], "fail": [failure]}.
        document: the rules input that was evaluated.
        rules: the rules that must have answered, no more and no fewer.

    Raises:
        EngineError: QNSP-RUL-010 (no decision), -011 (a rule is missing or unknown), -012 (wrong shape),
            -013 (a member without an answer), -014 (a member with two answers), -015 (unknown population).
    """
    if not isinstance(decision, dict):
        raise EngineError(
            "QNSP-RUL-010",
            f"the rules engine gave no decision (got {type(decision).__name__})",
            next_step="This is a failure of the engine, not a pass; run `qnsp-policy doctor`.",
        )
    expected = {rule.id for rule in rules}
    if set(decision) != expected:
        missing, unknown = sorted(expected - set(decision)), sorted(set(decision) - expected)
        raise EngineError(
            "QNSP-RUL-011",
            f"the rules engine answered for other rules than were loaded: missing {missing or 'none'}, unknown {unknown or 'none'}",
        )
    return tuple(_answer(rule, decision[rule.id], document) for rule in rules)


def members_of(document: Mapping[str, Any], rule: RuleMetadata) -> list[Mapping[str, Any]]:
    """The population of a rule; a dot goes one level down, as in `kinds.Enclave`.

    Raises:
        EngineError: QNSP-RUL-015.
    """
    members: Any = document
    for step in rule.population.split("."):
        members = members.get(step) if isinstance(members, dict) else None
    if not isinstance(members, list):
        raise EngineError(
            "QNSP-RUL-015", f"rule {rule.id} names an unknown population {rule.population!r}", subject=rule.id
        )
    return members


def _answer(rule: RuleMetadata, raw: object, document: Mapping[str, Any]) -> Answer:
    members = members_of(document, rule)
    if not isinstance(raw, dict) or set(raw) != {"pass", "fail"}:
        raise _shape(rule, "an object with `pass` and `fail`")
    passed = raw["pass"]
    if not isinstance(passed, list):
        raise _shape(rule, "a set of indexes in `pass`")
    failures = tuple(_failure(rule, item) for item in _list(rule, raw["fail"]))
    passing = _indexes(rule, passed, len(members))
    failing = _indexes(rule, [failure.index for failure in failures], len(members))
    both = sorted(passing & failing)
    if both:
        raise _unanswered("QNSP-RUL-014", rule, members, both[0], "answered both pass and fail")
    if len(passing) + len(failing) < len(members):
        neither = min(set(range(len(members))) - passing - failing)
        raise _unanswered("QNSP-RUL-013", rule, members, neither, "gave no answer")
    return Answer(rule, len(members), failures)


def _unanswered(code: str, rule: RuleMetadata, members: Sequence[object], index: int, what: str) -> EngineError:
    return EngineError(
        code,
        f"rule {rule.id} {what} for member {index} of the {len(members)} {rule.population}",
        subject=rule.id,
        next_step="A rule must answer once for each member; mend the rule, this run cannot count as a pass.",
    )


def _failure(rule: RuleMetadata, item: object) -> Failure:
    if not isinstance(item, dict) or set(item) != {"index", "path", "args"}:
        raise _shape(rule, "failures with index, path and args")
    path, arguments = item["path"], item["args"]
    if not isinstance(path, list) or not all(isinstance(step, str | int) for step in path):
        raise _shape(rule, "a path of names and positions")
    if not isinstance(arguments, dict):
        raise _shape(rule, "args as an object")
    return Failure(item["index"], tuple(path), arguments)


def _indexes(rule: RuleMetadata, values: Sequence[object], size: int) -> set[int]:
    """The values as a set; each must be an integer that is a position of the population."""
    indexes = [value for value in values if type(value) is int]
    if len(indexes) < len(values) or (indexes and not 0 <= min(indexes) <= max(indexes) < size):
        odd = next(value for value in values if type(value) is not int or not 0 <= value < size)
        raise _shape(rule, f"indexes of its population (0 to {size - 1}), got {odd!r}")
    return set(indexes)


def _list(rule: RuleMetadata, value: object) -> list[object]:
    if not isinstance(value, list):
        raise _shape(rule, "a set of failures in `fail`")
    return value


def _shape(rule: RuleMetadata, expected: str) -> EngineError:
    return EngineError("QNSP-RUL-012", f"rule {rule.id} must answer with {expected}", subject=rule.id)


__all__ = ["Answer", "Failure", "members_of", "read"]
