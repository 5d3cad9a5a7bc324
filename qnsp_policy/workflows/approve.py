"""`show` and `approve`: what a plan file is worth now, and one more signature on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import PlanRefused, QnspError
from qnsp_policy.kernel.crypto.signer import Signer
from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.envelope import approve_plan, changes_anything, check_fresh, verify_plan
from qnsp_policy.pipeline.trust.approvals import unmet
from qnsp_policy.pipeline.trust.authorisation import describe_missing, read_plan_file, verify_approvals, verify_author
from qnsp_policy.pipeline.world.recorded import RecordedState
from qnsp_policy.workflows.people import pick
from qnsp_policy.workflows.runtime import open_ledger, read_plan, recorded_state

_APPROVALS_MISSING = "QNSP-PLN-015"


@dataclass(frozen=True, slots=True)
class ShownPlan:
    """A plan file and what its signatures are worth now.

    Attributes:
        payload: as written; verified only where `author_verified`.
        digest: of the payload.
        author_verified: whether the author's signatures hold.
        approvers: verified approvals.
        missing: approvals that are still needed.
        refusal: why apply would refuse it now, None if it would not.
        changes: whether applying it would do anything.
    """

    payload: Mapping[str, Any]
    digest: str
    author_verified: bool
    approvers: tuple[str, ...]
    missing: tuple[str, ...]
    refusal: QnspError | None
    changes: bool = True

    @property
    def waits(self) -> bool:
        """Whether nothing but approvals stands between it and its apply."""
        return self.refusal is not None and self.refusal.code == _APPROVALS_MISSING

    @property
    def good(self) -> bool:
        """Whether it is what it claims to be and could still be applied."""
        return self.refusal is None or self.waits

    def to_json(self) -> dict[str, Any]:
        return {
            "formatVersion": self.payload["formatVersion"],
            "digest": self.digest,
            "authorVerified": self.author_verified,
            "approvers": list(self.approvers),
            "missing": list(self.missing),
            "refusal": self.refusal.to_json() if self.refusal else None,
            "waits": self.waits,
            "plan": dict(self.payload),
        }

    def signature_lines(self, path: Path) -> list[str]:
        """What the signatures are worth, and what to do next with the file at `path`."""
        author = self.payload.get("author", "")
        lines = [f"{'ok       ' if self.author_verified else 'NOT OK   '} signed by its author {author}"]
        lines += [f"ok        approved by {name}" for name in self.approvers]
        lines += [f"missing   {need}" for need in self.missing]
        if not self.good:
            lines.append(f"apply would refuse it: {self.refusal}")
        elif not self.changes:
            lines.append("Nothing to do: it changes nothing.")
        else:
            lines.append(f"Next: qnsp-policy {'approve' if self.waits else 'apply'} {path}")
        return lines


def show_plan(root: Path, path: Path, *, now: datetime) -> ShownPlan:
    """Read a plan file and verify what can be verified of it.

    Raises:
        PlanRefused: it is no plan file.
    """
    return _shown(read_plan(path), recorded_state(root, load(root)), now=now)


def _shown(data: bytes, recorded: RecordedState, *, now: datetime) -> ShownPlan:
    file = read_plan_file(data)
    genesis, judge = recorded.judge()
    approvers: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    refusal: QnspError | None = None
    verified = False
    try:
        checked = verify_author(file, judge=judge, workspace_id=genesis.workspace_id, now=now)
        verified = True
        in_force, proposed = verify_approvals(file, checked, judge=judge, now=now)
        approvers = tuple(sorted({*in_force, *proposed}))
        lacking = unmet(checked.needs, in_force=in_force, proposed=proposed)
        missing = tuple(describe_missing(need, count) for need, count in lacking)
        if file.digest != recorded.unfinished:
            check_fresh(file.payload, recorded, judge)
        verify_plan(data, recorded, now=now)
    except PlanRefused as error:
        refusal = error
    changes = changes_anything(file.payload)
    return ShownPlan(file.payload, file.digest, verified, approvers, missing, refusal, changes)


@dataclass(frozen=True, slots=True)
class Approved:
    """An approval that was added."""

    approver: str
    digest: str
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"approver": self.approver, "plan": self.digest, "missing": list(self.missing)}


def approve(root: Path, path: Path, *, approver: str | None, ssh_key: Path | None, now: datetime) -> Approved:
    """Add an approval to a plan file, in place.

    Raises:
        PlanRefused: the plan would be refused anyway, or this identity may not approve it.
        OperatorError: no keys of the approver are here.
    """
    data = read_plan(path)
    workspace = load(root)
    recorded = recorded_state(root, workspace)
    genesis, judge = recorded.judge()
    payload = read_plan_file(data).payload
    author = str(payload.get("author", ""))
    signer: Signer
    if ssh_key is not None:
        from qnsp_policy.workflows.ssh import ssh_signer

        signer, name = ssh_signer(ssh_key, judge, approver)
    else:
        signer = pick(root, judge, approver, unlike=author, workspace=workspace)
        name = signer.name
    wanted = {str(who) for need in payload["approvalsNeeded"] for who in need["who"]}
    if name != author and name not in wanted:
        raise PlanRefused(
            "QNSP-PLN-040",
            f"an approval by {name} would count for nothing that this plan needs",
            subject=name,
            expected=", ".join(sorted(wanted)) or "nobody's approval",
            next_step="ask one of the identities named",
        )
    approved = approve_plan(data, signer, approver=name, judge=judge, workspace_id=genesis.workspace_id, now=now)
    shown = _shown(approved, recorded, now=now)
    ledger = open_ledger(root, workspace)
    noted = {"missing": len(shown.missing)}
    # First the record, then the file: no approval counts that the ledger does not know.
    write_whole(
        path,
        approved,
        mode=0o644,
        before=lambda: ledger.note("approval", actor=name, subject=shown.digest, data=noted, now=now),
    )
    return Approved(name, shown.digest, shown.missing)


__all__ = ["Approved", "ShownPlan", "approve", "show_plan"]
