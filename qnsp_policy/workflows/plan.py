"""`plan`: documents, rules, grants, what was applied and what runs, joined into one signed file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan import make as making
from qnsp_policy.pipeline.plan.envelope import sign_plan
from qnsp_policy.pipeline.plan.lowering.lower import attachments_needed
from qnsp_policy.pipeline.rules.wasm_edge import compile_ahead
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.pipeline.trust.root_changes import weakens
from qnsp_policy.pipeline.world.recorded import RecordedState
from qnsp_policy.workflows.check import WEAKEN, judge, severity_of
from qnsp_policy.workflows.people import pick
from qnsp_policy.workflows.progress import Progress, by_fraction, nobody
from qnsp_policy.workflows.runtime import engine_settings, observe, open_ledger, recorded_state


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the line asks of a plan; see the command's flags."""

    author: str | None = None
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    refresh: bool = True
    destroy: bool = False
    destroy_keys: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    fail_on: str | None = None
    engine: str = "wasm"
    opa_url: str | None = None
    save: Path | None = None


@dataclass(frozen=True, slots=True)
class MadePlan:
    """A plan that was made.

    Attributes:
        payload: the plan file's payload.
        digest: of the payload.
        author: who signed it, or would.
        changes: whether applying it would do anything.
        blocked: whether findings, or a weakening under `--fail-on weaken`, block it.
        saved: the file, "" if none was written.
        seconds: how long reading the world and planning took.
    """

    payload: Mapping[str, Any]
    digest: str
    author: str
    changes: bool
    blocked: bool
    saved: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON; `format_version` rises with what readers must know."""
        return {
            "formatVersion": self.payload["formatVersion"],
            "digest": self.digest,
            "saved": self.saved or None,
            "changes": self.changes,
            "blocked": self.blocked,
            "plan": dict(self.payload),
        }


def make(
    root: Path, options: PlanOptions, *, now: datetime, progress: Progress, passing: Progress = nobody
) -> MadePlan:
    """Make a plan; with `save`, sign it and write it.

    Args:
        root: the workspace.
        options: what the line asks for.
        now: the present moment.
        progress: hears each step.
        passing: hears how far a step is, which is of interest only while it lasts.

    Raises:
        DocumentErrors, EngineError: the documents or the rules failed.
        OperatorError: no genesis record, an unknown target, no author's keys.
    """
    started = time.perf_counter()
    if options.engine == "wasm" and options.opa_url is None:
        compile_ahead()
    workspace = load(root, by_fraction(passing, "reading the documents"))
    recorded = recorded_state(root, workspace)
    _, in_force = recorded.judge()
    named = bool(options.save or options.author)
    signer = pick(root, in_force, options.author, role="author", workspace=workspace) if named else None
    author = signer.name if signer else _likely_author(root, recorded)
    progress("checking the documents")
    level = severity_of(options.fail_on, workspace)
    report, broken = judge(root, workspace, now=now, engine=options.engine, opa_url=options.opa_url)
    if broken:
        raise OperatorError(
            "QNSP-SIG-080",
            f"{len(broken)} signatures do not verify; the first: {broken[0]}",
            next_step="sign what changed: `qnsp-policy sign FILE --as IDENTITY`",
        )
    drifted = _drift(root, workspace, recorded, refresh=options.refresh, progress=progress)
    progress("planning")
    made = making.make_plan(
        workspace,
        effective_grants(workspace, attachments=_read(root, workspace, needed=False)),
        recorded,
        _previews(root, workspace, progress),
        _outlines(),
        report.findings,
        now=now,
        author=author,
        options=making.PlanOptions(
            targets=options.targets,
            excludes=options.excludes,
            destroy=options.destroy,
            destroy_keys=options.destroy_keys,
            replace=options.replace,
            refreshed=options.refresh,
        ),
        circumstances=making.Circumstances(
            tool_versions=_tool_versions(report.engine, report.engine_version),
            bundle_digest=report.bundle_digest,
            waivers=tuple(sorted({f.waived_by for f in report.findings if f.waived_by})),
            drifted=drifted,
            attachments=_read(root, workspace, needed=not options.destroy),
        ),
    )
    proposed = made.payload["trust"]["trustRoot"]
    weakened = options.fail_on == WEAKEN and (
        bool(made.diff.weakening) or (proposed is not None and weakens(proposed["changes"]))
    )
    blocked = weakened or bool(report.blocking(level)) or bool(made.payload["blocking"])
    saved = ""
    if options.save is not None and signer is not None:
        data = sign_plan(made, signer)
        options.save.parent.mkdir(parents=True, exist_ok=True)
        ledger = open_ledger(root, workspace)
        noted = {
            "documentsDigest": made.payload["documentsDigest"],
            "changes": made.changes,
            "destroy": options.destroy,
        }
        # First the record, then the file: no plan is ever about that the ledger does not know.
        write_whole(
            options.save,
            data,
            mode=0o644,
            before=lambda: ledger.note("plan", actor=signer.name, subject=made.digest, data=noted, now=now),
        )
        saved = str(options.save)
    return MadePlan(made.payload, made.digest, author, made.changes, blocked, saved, time.perf_counter() - started)


def _likely_author(root: Path, recorded: RecordedState) -> str:
    """The author whose keys are here, so that a plan that is only looked at names the approvals it would need."""
    _, in_force = recorded.judge()
    try:
        return pick(root, in_force, None, role="author").name
    except OperatorError:
        return ""


def _read(root: Path, workspace: Workspace, *, needed: bool) -> dict[str, bytes]:
    """The files that documents name; a missing one is told by the planner, at the line that names it."""
    found: dict[str, bytes] = {}
    for name in attachments_needed(workspace):
        path = root / name
        if path.is_file():
            found[name] = path.read_bytes()
    return found if needed or found else {}


def _drift(
    root: Path, workspace: Workspace, recorded: RecordedState, *, refresh: bool, progress: Progress
) -> Mapping[str, Sequence[str]]:
    """What differs in the world, by unit."""
    if not refresh:
        progress("not reading the world (--no-refresh): the plan says so")
        return {}
    if not recorded.units:
        return {}
    started = time.perf_counter()
    seen = observe(root, workspace, recorded)
    progress(f"Reading the world ... {len(recorded.units)} units, {time.perf_counter() - started:.1f} s")
    return seen.drifted


def _previews(root: Path, workspace: Workspace, progress: Progress) -> Any:
    from qnsp_policy.pipeline.engine.previews import PulumiPreviews

    return PulumiPreviews(lambda: engine_settings(root, workspace, progress=progress))


def _outlines() -> Any:
    from qnsp_policy.pipeline.engine.programs import outlines

    return outlines()


def _tool_versions(engine: str, version: str) -> dict[str, str]:
    from qnsp_policy import __version__
    from qnsp_policy.pipeline.engine.toolchain import TOOLS

    return {"qnspPolicy": __version__, "pulumi": TOOLS["pulumi"].version, f"rules-{engine}": version}


__all__ = ["MadePlan", "PlanOptions", "make"]
