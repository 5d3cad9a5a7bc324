"""The rule pages of docs/rules: one Markdown page per rule and an index, from metadata and examples alone.

Comes in: rule metadata and executable examples. Goes out: Markdown by file name. `policy explain` shows the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from qnsp_policy.pipeline.rules.examples import RuleExample
from qnsp_policy.pipeline.rules.metadata import RuleMetadata


def render_pages(rules: Sequence[RuleMetadata], examples: Mapping[str, RuleExample]) -> dict[str, str]:
    """`<category>/<name>.md` for every rule, and README.md."""
    pages = {f"{rule.id}.md": render_page(rule, examples.get(rule.id)) for rule in rules}
    pages["README.md"] = _index(rules)
    return pages


def render_page(rule: RuleMetadata, example: RuleExample | None) -> str:
    """One rule's page."""
    lines = [
        f"# {rule.id}",
        "",
        f"**{rule.title}.** Severity: {rule.severity}. Judges each member of `{rule.population}`.",
        "",
        rule.description,
        "",
        f"Says: {rule.message}",
        "",
        f"Fix: {rule.remediation}",
        "",
    ]
    if example is not None:
        lines += ["## Example", "", example.says, "", "```yaml", *_documents(example), "```", ""]
        found = [f"- `{address}` at `{'.'.join(str(step) for step in path)}`" for address, path in example.finds]
        lines += ["Finds:", "", *found, ""]
    lines += ["## Controls", "", *(f"- {control}" for control in rule.controls), ""]
    if rule.source:
        lines += [f"Source: {rule.source}.", ""]
    lines += ["Generated from the rule's METADATA and example; change those.", ""]
    return "\n".join(lines)


def _documents(example: RuleExample) -> list[str]:
    lines: list[str] = []
    for address, patch in example.change.items():
        lines += [f"# {address}" + (" is removed" if patch is None else "")]
        if patch is not None:
            lines += yaml.safe_dump(patch, sort_keys=False, default_flow_style=False, width=100).rstrip().split("\n")
    lines += [f"# the signature of {address} is missing" for address in example.unsigned]
    lines += [f"# {address} is signed by {', '.join(names)}" for address, names in (example.signed or {}).items()]
    lines += [f"# judged at {example.now}"] if example.now else []
    return lines


_OWN_RULES = """## Rules of your own

Name folders in the Project's `rules:`; every `*.rego` in them but `*_test.rego` is compiled by the pinned `opa`, checked
strictly against the input's schema ([policies/schema/input.json](../../policies/schema/input.json)), and judged beside
the shipped rules. A rule is a package `qnsp.rules.<category>["<name>"]` with a METADATA annotation:

```rego
# METADATA
# title: Tenant without a cost centre
# description: Somebody must pay for it.
# custom:
#   severity: medium
#   population: kinds.Tenant
#   message: "{address} has no label cost-centre."
#   remediation: "Add the label `cost-centre`."
#   controls: ["house rule 7"]
package qnsp.rules.house["cost-centre"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.kinds.Tenant
	lib.text(member.labels["cost-centre"])
}

fail contains lib.refusal(index, ["metadata"], {}) if {
	some index, member in input.kinds.Tenant
	not member.labels["cost-centre"]
}
```

It answers for every member of its population, in `pass` (indexes) or in `fail` (index, field, arguments for the texts);
a member without an answer fails the run. `kinds.<Kind>` holds whole documents with defaults filled in; the other
populations hold what Python resolved (tiers, categories, owners, times as Unix seconds). A path that begins at `spec`
or `metadata` is whole, any other goes on from where the member stands. `http.send`, `net.lookup_ip_addr`, `opa.runtime`,
`rand.intn`, `time.now_ns` and `uuid.rfc4122` are refused when the rule is loaded; the moment is `input.now`.
Test with `opa test` as usual; `qnsp-policy policy test` runs the tests of your folders too.
"""


def _index(rules: Sequence[RuleMetadata]) -> str:
    lines = [
        "# Rules",
        "",
        f"{len(rules)} rules. Each answers for every member of its population; a member without an answer fails the run.",
        "",
        "| rule | severity | finds |",
        "|---|---|---|",
        *(
            f"| [{rule.id}]({rule.id}.md) | {rule.severity} | {rule.title} |"
            for rule in sorted(rules, key=lambda r: r.id)
        ),
        "",
        _OWN_RULES,
    ]
    return "\n".join(lines)


__all__ = ["render_page", "render_pages"]
