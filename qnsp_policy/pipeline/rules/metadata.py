"""What a rule says of itself: the METADATA annotation of its Rego package, read once at build into metadata.json.

Comes in: the JSON of `opa inspect -a` (at build) or the bytes of metadata.json (at run time). Goes out: `RuleMetadata`.
Titles, severities, remediations and control ids have this one source; neither Rego bodies nor Python repeat them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.rules.findings import Severity

FORMAT = "qnsp.rules-metadata/v1"
_RULE_ID = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*/[a-z][a-z0-9]*(-[a-z0-9]+)*$")
_ARGUMENT = re.compile(r"\{([a-z][A-Za-z0-9]*)\}")
_REQUIRED = ("severity", "population", "message", "remediation", "controls")


@dataclass(frozen=True, slots=True)
class RuleMetadata:
    """A rule's own words.

    Attributes:
        id: `<category>/<name>`, equal to its folder and the end of its package.
        title: one line, stating the fault.
        description: why it is a fault.
        severity: of every finding of this rule.
        population: the member list of the rules input that it answers for.
        message: text of a finding; `{name}` stands for an argument, `{address}` for the document.
        remediation: what to change, with the same arguments.
        controls: control ids, e.g. "ISO 27001 A.8.24".
        source: the published statement that the rule rests on, or "".
    """

    id: str
    title: str
    description: str
    severity: Severity
    population: str
    message: str
    remediation: str
    controls: tuple[str, ...]
    source: str = ""

    @property
    def category(self) -> str:
        """The part of the id before the slash."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """The part of the id after the slash."""
        return self.id.partition("/")[2]

    def to_json(self) -> dict[str, object]:
        """The entry of metadata.json."""
        return {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "severity": str(self.severity),
            "population": self.population,
            "message": self.message,
            "remediation": self.remediation,
            "controls": list(self.controls),
            "source": self.source,
        }


def from_inspection(inspection: Mapping[str, Any]) -> tuple[RuleMetadata, ...]:
    """The rules of a folder, from the output of `opa inspect -a --format json`.

    Every package below `data.qnsp.rules` must carry a complete annotation: a rule that says nothing of itself is
    refused (QNSP-RUL-002), so no finding is ever without a severity or a way out.

    Raises:
        EngineError: QNSP-RUL-002, a rule without annotation or with an incomplete one.
    """
    annotated: dict[str, Mapping[str, Any]] = {}
    for entry in inspection.get("annotations", ()):
        steps = [str(step["value"]) for step in entry.get("path", ())]
        if entry["annotations"].get("scope") == "package" and steps[:3] == ["data", "qnsp", "rules"]:
            annotated["/".join(steps[3:])] = entry["annotations"]
    packages = {rule for name in inspection.get("namespaces", {}) if (rule := _rule_of_namespace(name)) is not None}
    missing = sorted(packages - set(annotated))
    if missing:
        raise EngineError(
            "QNSP-RUL-002",
            f"rules without a METADATA annotation: {', '.join(missing)}",
            next_step="write one above `package`, as a shipped rule has it (docs/howto/write-your-own-rules.md)",
        )
    return tuple(_from_annotation(rule, annotated[rule]) for rule in sorted(annotated))


def _rule_of_namespace(namespace: str) -> str | None:
    """`data.qnsp.rules.crypto["a-b"]` -> `crypto/a-b`; None for packages that are no rules."""
    prefix = "data.qnsp.rules"
    if not namespace.startswith(prefix):
        return None
    steps = re.findall(r'\["([^"]+)"\]|\.([A-Za-z0-9_]+)', namespace[len(prefix) :])
    return "/".join(quoted or plain for quoted, plain in steps)


def _from_annotation(rule: str, annotation: Mapping[str, Any]) -> RuleMetadata:
    custom = annotation.get("custom", {})
    absent = [name for name in _REQUIRED if not custom.get(name)]
    absent += [name for name in ("title", "description") if not annotation.get(name)]
    if absent or not _RULE_ID.match(rule):
        what = f"lacks {', '.join(absent)}" if absent else "is no <category>/<name> in kebab case"
        raise EngineError("QNSP-RUL-002", f"rule {rule}: its METADATA {what}", subject=rule)
    try:
        severity = Severity(custom["severity"])
    except ValueError:
        levels = ", ".join(Severity)
        message = f"rule {rule}: severity {custom['severity']!r} is none of {levels}"
        raise EngineError("QNSP-RUL-002", message, subject=rule) from None
    return RuleMetadata(
        id=rule,
        title=str(annotation["title"]),
        description=str(annotation["description"]).strip(),
        severity=severity,
        population=str(custom["population"]),
        message=str(custom["message"]).strip(),
        remediation=str(custom["remediation"]).strip(),
        controls=tuple(str(control) for control in custom["controls"]),
        source=str(custom.get("source", "")),
    )


def dump(rules: Iterable[RuleMetadata], *, opa: str, wasm_digest: str) -> bytes:
    """The bytes of metadata.json: sorted by id, two-space indented, one trailing newline."""
    document = {
        "format": FORMAT,
        "opa": opa,
        "wasm": wasm_digest,
        "rules": [rule.to_json() for rule in sorted(rules, key=lambda r: r.id)],
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """The content of metadata.json: the rules, the OPA version that compiled them, the digest of the wasm."""

    rules: tuple[RuleMetadata, ...]
    opa: str
    wasm_digest: str


def load(data: bytes) -> MetadataFile:
    """Read metadata.json.

    Raises:
        EngineError: QNSP-RUL-001, the file is not what `dump` writes.
    """
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise EngineError("QNSP-RUL-001", f"metadata.json has format {document['format']!r}, expected {FORMAT!r}")
        rules = tuple(
            RuleMetadata(**{**entry, "severity": Severity(entry["severity"]), "controls": tuple(entry["controls"])})
            for entry in document["rules"]
        )
        return MetadataFile(rules, document["opa"], document["wasm"])
    except (ValueError, KeyError, TypeError) as problem:
        raise EngineError("QNSP-RUL-001", "metadata.json of the rule bundle cannot be read") from problem


def fill(template: str, arguments: Mapping[str, object], *, rule: str) -> str:
    """Put arguments into a message or remediation; lists are joined with commas.

    Raises:
        EngineError: QNSP-RUL-003, the template names an argument that the rule did not give.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in arguments:
            raise EngineError("QNSP-RUL-003", f"rule {rule} gave no argument {name!r} for its text", subject=rule)
        return _text(arguments[name])

    return _ARGUMENT.sub(value, template)


def arguments_of(*templates: str) -> frozenset[str]:
    """The names that templates use."""
    return frozenset(name for template in templates for name in _ARGUMENT.findall(template))


def _text(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(item) for item in value) or "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


__all__ = ["MetadataFile", "RuleMetadata", "arguments_of", "dump", "fill", "from_inspection", "load"]
