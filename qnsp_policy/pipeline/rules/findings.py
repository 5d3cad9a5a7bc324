"""What the rules say: severities, findings and the report of one run.

Comes in: nothing. Goes out: frozen values that every renderer (terminal, SARIF, JUnit, GitLab) and the plan file read.
A finding's fingerprint is rule + address + field path, never the line, so that a baseline survives a reformatting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from qnsp_policy.errors import Place


class Severity(StrEnum):
    """How bad a finding is; compare by `rank`, where 0 is the worst."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for critical up to 4 for info."""
        return list(Severity).index(self)

    def at_least(self, other: Severity) -> bool:
        """Whether this is as bad as `other`, or worse."""
        return self.rank <= other.rank


@dataclass(frozen=True, slots=True)
class Finding:
    """One member of a rule's population that the rule refuses.

    Attributes:
        rule: id of the rule, `<category>/<name>`.
        severity: from the rule's METADATA.
        address: the document it is about.
        path: the field inside the document, as written in YAML (camelCase), starting at `spec` or `metadata`.
        place: where that field stands, or the nearest field above it that stands in the file.
        message: one or two sentences: what, where, why.
        remediation: what to change; never a weaker tier.
        controls: control ids of the frameworks that this rule serves.
        waived_by: address of the waiver that silences it, or None.
        waived_until: the last day of that waiver (UTC, YYYY-MM-DD), or "".
        note: why a waiver that names it does not silence it, or "".
        fingerprint: sha256 over rule, address and path: stable when lines move.
    """

    rule: str
    severity: Severity
    address: str
    path: tuple[str | int, ...]
    place: Place
    message: str
    remediation: str
    controls: tuple[str, ...] = ()
    waived_by: str | None = None
    waived_until: str = ""
    note: str = ""
    fingerprint: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON object with stable names, as in the plan file and in `--format json`."""
        members: dict[str, object] = {
            "rule": self.rule,
            "severity": str(self.severity),
            "address": self.address,
            "path": list(self.path),
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "message": self.message,
            "remediation": self.remediation,
            "controls": list(self.controls),
            "fingerprint": self.fingerprint,
        }
        if self.waived_by is not None:
            members["waivedBy"] = self.waived_by
            members["waivedUntil"] = self.waived_until
        if self.note:
            members["note"] = self.note
        return members


@dataclass(frozen=True, slots=True)
class RuleTally:
    """How many members a rule was asked about and how many of them it passed; JUnit shows the passes too."""

    population: int
    passed: int


@dataclass(frozen=True, slots=True)
class RulesReport:
    """One run of all rules over one workspace.

    Attributes:
        findings: worst first, then by file, line, rule; waived ones included (`waived_by` is set).
        rules_evaluated: number of rules that answered.
        documents: number of documents of the user that were judged.
        engine: "wasm" (in process) or "opa" (a server).
        engine_version: version of the runtime that evaluated.
        bundle_digest: sha256 over the digests of all rule sets that were evaluated.
        tallies: by rule id.
        unused_waivers: addresses of waivers that silenced nothing.
    """

    findings: tuple[Finding, ...]
    rules_evaluated: int
    documents: int
    engine: str
    engine_version: str
    bundle_digest: str
    tallies: Mapping[str, RuleTally] = field(default_factory=dict)
    unused_waivers: tuple[str, ...] = ()

    def blocking(self, fail_on: Severity) -> tuple[Finding, ...]:
        """The findings that are not waived and at least as bad as `fail_on`."""
        return tuple(f for f in self.findings if f.waived_by is None and f.severity.at_least(fail_on))


def fingerprint(rule: str, address: str, path: tuple[str | int, ...]) -> str:
    """The identity of a finding across runs: `sha256:<hex>` over rule, address and path, NUL-separated."""
    text = "\0".join((rule, address, *(str(step) for step in path)))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


__all__ = ["Finding", "RuleTally", "RulesReport", "Severity", "fingerprint"]
