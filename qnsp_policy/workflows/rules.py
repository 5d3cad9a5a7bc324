"""`policy list|explain|test`, and the engines that `check` and `plan` evaluate with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.documents.problems import did_you_mean
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.rules.engine import RulesEngine, RuleSet
from qnsp_policy.pipeline.rules.metadata import RuleMetadata
from qnsp_policy.resources_edge import data_path
from qnsp_policy.workflows.progress import Progress, in_tenths


def rule_sets(root: Path, workspace: Workspace) -> tuple[RuleSet, ...]:
    """The shipped rules, then the user's folders, compiled with the pinned opa."""
    from qnsp_policy.pipeline.rules.wasm_edge import shipped_rules

    found = [shipped_rules()]
    folders = workspace.project.spec.rules
    if folders:
        from qnsp_policy.pipeline.engine.toolchain import require
        from qnsp_policy.pipeline.rules.sources_edge import user_rules

        opa = require("opa", environment=os.environ).path
        found += [user_rules(str(folder), root / str(folder), opa) for folder in folders]
    return tuple(found)


@contextmanager
def rules_engine(
    root: Path, workspace: Workspace, *, name: str = "wasm", opa_url: str | None = None
) -> Iterator[RulesEngine]:
    """The engine that the line asks for, ended afterwards.

    Raises:
        OperatorError: there is no engine of that name.
    """
    sets = rule_sets(root, workspace)
    if opa_url is not None or name == "opa":
        from qnsp_policy.pipeline.engine.toolchain import require
        from qnsp_policy.pipeline.rules.opa_edge import OpaEngine, local_opa

        if opa_url is not None:
            yield OpaEngine(opa_url, sets)
            return
        with local_opa(require("opa", environment=os.environ).path, sets) as url:
            yield OpaEngine(url, sets)
        return
    if name != "wasm":
        raise OperatorError(
            "QNSP-OPS-050",
            f"there is no rules engine {name!r}",
            subject=name,
            next_step="use --engine wasm or --engine opa",
        )
    from qnsp_policy.pipeline.rules.wasm_edge import WasmEngine

    with WasmEngine(sets) as engine:
        yield engine


def _all_rules(root: Path) -> tuple[RuleMetadata, ...]:
    """Rules of the workspace if there is one here, else the shipped ones."""
    from qnsp_policy.pipeline.rules.evaluate import UNUSED_WAIVER
    from qnsp_policy.pipeline.rules.wasm_edge import shipped_rules

    if (root / "qnsp.yaml").exists():
        return (*(rule for rule_set in rule_sets(root, load(root)) for rule in rule_set.rules), UNUSED_WAIVER)
    return (*shipped_rules().rules, UNUSED_WAIVER)


def list_rules(root: Path) -> list[dict[str, Any]]:
    """Every rule, worst first, as JSON."""
    return [rule.to_json() for rule in sorted(_all_rules(root), key=lambda rule: (rule.severity.rank, rule.id))]


def explain_rule(root: Path, rule_id: str) -> dict[str, Any]:
    """One rule with its page.

    Raises:
        OperatorError: there is no such rule; names the nearest.
    """
    rules = {rule.id: rule for rule in _all_rules(root)}
    rule = rules.get(rule_id)
    if rule is None:
        here = load(root).documents if (root / "qnsp.yaml").exists() else ()
        meant = next((address for address in here if address.partition("/")[2] == rule_id), None)
        raise OperatorError(
            "QNSP-OPS-051",
            f"there is no rule {rule_id}",
            subject=rule_id,
            next_step=f"did you mean `qnsp-policy explain {meant}`?"
            if meant
            else did_you_mean(rule_id, rules, "see `qnsp-policy policy list`"),
        )
    try:
        page = data_path("docs", "rules", f"{rule_id}.md").read_text(encoding="utf-8").rstrip()
    except FileNotFoundError:
        from qnsp_policy.pipeline.rules.pages import render_page

        page = render_page(rule, None).rstrip()
    return {**rule.to_json(), "page": page}


def run_rule_tests(root: Path, *, coverage: bool, threshold: float, run: str, progress: Progress) -> dict[str, Any]:
    """Run `opa test` over the shipped rules and the workspace's own."""
    from qnsp_policy.pipeline.engine.toolchain import require

    opa = require("opa", environment=os.environ, progress=in_tenths(progress)).path
    folders = [str(data_path("policies"))]
    if (root / "qnsp.yaml").exists():
        folders += [str(root / str(folder)) for folder in load(root).project.spec.rules]
    line = [str(opa), "test", *folders]
    line += ["--coverage"] if coverage or threshold else []
    line += ["--threshold", str(threshold)] if threshold else []
    line += ["--run", run] if run else []
    done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603 -- the pinned opa
    return {"passed": done.returncode == 0, "output": (done.stdout + done.stderr).strip(), "folders": folders}


__all__ = ["explain_rule", "list_rules", "rule_sets", "rules_engine", "run_rule_tests"]
