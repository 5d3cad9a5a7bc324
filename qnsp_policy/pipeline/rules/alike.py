"""Members that are alike are asked about once: ten thousand keys of four kinds are four questions.

Comes in: a rules input. Goes out: the input with repeats left out, and answers for all members again. This holds for rules that judge
each member by itself and by the tables, which every shipped rule does (a test reads their Rego); rules of a user may compare
members with each other, so theirs are asked about all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from qnsp_policy.pipeline.rules.answers import Answer
from qnsp_policy.pipeline.rules.inputs import RulesInput

_SAMPLE = 64
_FEW = 16
"""A population is folded where its first members are of few kinds; else telling them apart costs more than it saves."""


@dataclass(frozen=True, slots=True)
class Folded:
    """An input without repeats.

    Attributes:
        document: the input that is asked about.
        standing: by population that was folded, for each member that is asked about the positions that it stands for.
    """

    document: RulesInput
    standing: Mapping[str, Sequence[Sequence[int]]]

    def answered(self, answers: Sequence[Answer]) -> tuple[Answer, ...]:
        """The answers about all members."""
        return tuple(self._spread(answer) for answer in answers)

    def _spread(self, answer: Answer) -> Answer:
        standing = self.standing.get(answer.rule.population)
        if standing is None:
            return answer
        failures = [replace(failure, index=index) for failure in answer.failures for index in standing[failure.index]]
        return Answer(answer.rule, sum(map(len, standing)), tuple(failures))


def folded(document: RulesInput) -> Folded:
    """The input with the members of each list that are equal to an earlier one left out."""
    asked: dict[str, Any] = dict(document)
    standing: dict[str, Sequence[Sequence[int]]] = {}
    for name, members in document.items():
        if isinstance(members, list) and len(members) > _SAMPLE and len(set(map(repr, members[:_SAMPLE]))) <= _FEW:
            positions: dict[str, list[int]] = {}
            for index, member in enumerate(members):
                positions.setdefault(repr(member), []).append(index)
            asked[name] = [members[where[0]] for where in positions.values()]
            standing[name] = list(positions.values())
    return Folded(cast("RulesInput", asked), standing)


__all__ = ["Folded", "folded"]
