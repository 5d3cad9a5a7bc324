"""The executable example of a rule: a change to a good workspace that the rule must refuse, and where.

Comes in: bytes of policies/<category>/<rule>/example.yaml. Goes out: `RuleExample`. The same file makes the rule's
page and a test: the change is applied to tests' one good workspace, and the rule must find exactly what is said here.

    says: One sentence on what is wrong.
    change:                       # merge patches (RFC 7396) by document address; null removes a document or a field;
                                  # a mapping in place of a list changes its items by name or position
      Enclave/clinic-enclave: {spec: {debug: true}}
    finds:
      - {address: Enclave/clinic-enclave, path: [spec, debug]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from qnsp_policy.errors import EngineError


@dataclass(frozen=True, slots=True)
class RuleExample:
    """One example.

    Attributes:
        rule: the rule's id.
        says: one sentence on what is wrong.
        change: merge patches by address; `None` removes the document.
        finds: (address, path) of each finding that this rule must make, and no other.
        now: RFC 3339 moment to judge at, or "" for the good workspace's own.
        unsigned: addresses whose signatures are taken away.
        signed: identities by address that sign in place of the usual ones.
    """

    rule: str
    says: str
    change: Mapping[str, Any]
    finds: tuple[tuple[str, tuple[str | int, ...]], ...]
    now: str = ""
    unsigned: tuple[str, ...] = ()
    signed: Mapping[str, tuple[str, ...]] | None = None


def read_examples(texts: Mapping[str, bytes]) -> dict[str, RuleExample]:
    """Read examples by rule id.

    Raises:
        EngineError: QNSP-RUL-042, an example is not of the form above.
    """
    return {rule: _read(rule, data) for rule, data in texts.items()}


def _read(rule: str, data: bytes) -> RuleExample:
    try:
        value = yaml.safe_load(data)
        return RuleExample(
            rule=rule,
            says=str(value["says"]).strip(),
            change=dict(value.get("change") or {}),
            finds=tuple((str(item["address"]), tuple(item["path"])) for item in value["finds"]),
            now=str(value.get("now", "")),
            unsigned=tuple(value.get("unsigned", ())),
            signed={address: tuple(names) for address, names in value.get("signed", {}).items()},
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as problem:
        raise EngineError(
            "QNSP-RUL-042", f"the example of rule {rule} cannot be read: {problem}", subject=rule
        ) from problem


__all__ = ["RuleExample", "read_examples"]
