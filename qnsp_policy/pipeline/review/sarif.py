"""Findings as SARIF 2.1.0, in two profiles.

`full` keeps waived findings with their justification; `github` drops them (GitHub ignores suppressions) and stays
within its caps: one run, 25,000 results, 10 tags a rule. Lines are at least 1.
"""

from __future__ import annotations

import json
from typing import Any, Literal
from urllib.parse import quote

from qnsp_policy.pipeline.review.escape import visible_keep_lines
from qnsp_policy.pipeline.rules.findings import Finding, RulesReport

MAX_RESULTS = 25_000
_LEVEL = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}
_SCORE = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "info": "0.0"}


def render_sarif(report: RulesReport, *, version: str, profile: Literal["full", "github"] = "full") -> str:
    """One SARIF log with one run."""
    findings = [f for f in report.findings if profile == "full" or f.waived_by is None][:MAX_RESULTS]
    rules: dict[str, Finding] = {}
    for finding in findings:
        rules.setdefault(finding.rule, finding)
    indexes = {rule: index for index, rule in enumerate(rules)}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "qnsp-policy",
                        "version": version,
                        "rules": [_rule(finding) for finding in rules.values()],
                        "properties": {"bundleDigest": report.bundle_digest, "engine": report.engine},
                    }
                },
                "automationDetails": {"id": "qnsp-policy/"},
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, indexes[finding.rule], profile) for finding in findings],
            }
        ],
    }
    return json.dumps(log, ensure_ascii=False, indent=2)


def _rule(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.rule,
        "shortDescription": {"text": finding.rule},
        "help": {"text": visible_keep_lines(finding.remediation) or finding.rule},
        "defaultConfiguration": {"level": _LEVEL[str(finding.severity)]},
        "properties": {"tags": list(finding.controls[:10]), "security-severity": _SCORE[str(finding.severity)]},
    }


def _result(finding: Finding, index: int, profile: str) -> dict[str, Any]:
    region: dict[str, int] = {"startLine": max(1, finding.place.line), "startColumn": max(1, finding.place.column)}
    if finding.place.end_column:
        region["endColumn"] = finding.place.end_column
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVEL[str(finding.severity)],
        "message": {"text": visible_keep_lines(f"{finding.address}: {finding.message} Fix: {finding.remediation}")},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _uri(finding.place.file)}, "region": region},
                "logicalLocations": [{"fullyQualifiedName": finding.address}],
            }
        ],
        "partialFingerprints": {
            "qnspFinding/v1": finding.fingerprint,
            "primaryLocationLineHash": finding.fingerprint.removeprefix("sha256:")[:32],
        },
    }
    if finding.waived_by is not None and profile == "full":
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.waived_by}]
    return result


def _uri(path: str) -> str:

    return quote(path)


__all__ = ["render_sarif"]
