"""`attest inspect|verify|ask`: evidence by itself, and a request for a key as a member of an enclave makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.registry import pinned_anchors, verify_any
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, Evidence, EvidenceKind, Statement, Verdict
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.review.answer_text import statements_json
from qnsp_policy.pipeline.review.ledger_text import denial_lines
from qnsp_policy.pipeline.trust.decide import REASONS
from qnsp_policy.workflows.ledger import ledger_list

_SECONDS = 60
_SNP_REPORT = 1184


@dataclass(frozen=True, slots=True)
class EvidenceVerdict:
    """What is known of evidence after verification."""

    accepted: bool
    statements: tuple[Statement, ...]
    claims: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"accepted": self.accepted, "statements": statements_json(self.statements), "claims": self.claims}


def _evidence(path: Path, endorsements: Path | None) -> Evidence:
    data = path.read_bytes()
    if len(data) != _SNP_REPORT:
        raise OperatorError(
            "QNSP-OPS-069",
            f"{path} holds {len(data)} bytes; this command reads SEV-SNP reports of {_SNP_REPORT} bytes",
            subject=str(path),
            next_step="other kinds of evidence follow",
        )
    given = {"auxblob": endorsements.read_bytes()} if endorsements else {}
    return Evidence(EvidenceKind.SEV_SNP, data, given)


def inspect_evidence(path: Path) -> dict[str, Any]:
    """What a report says, unverified."""
    from qnsp_policy.kernel.attestation.inspection import inspect

    kind, fields = inspect(path.read_bytes())
    return {"kind": kind.value, "verified": False, **{field.name: field.value for field in fields}}


def verify_evidence(
    root: Path, path: Path, endorsements: Path | None, *, allow_simulated: bool, now: datetime
) -> EvidenceVerdict:
    """Verify a report under the vendors' roots, and the workspace's simulated ones where that is allowed."""
    anchors = list(pinned_anchors())
    if allow_simulated:
        anchors += [
            Anchor(str(a.vendor), a.certificate.der, AssuranceClass.SIMULATED, str(a.line))
            for a in load(root).trust_root.spec.anchors
        ]
    try:
        claims = verify_any(_evidence(path, endorsements), collateral=Collateral(), anchors=anchors, now=now)
    except PeerError as error:
        return EvidenceVerdict(False, (Statement("evidence", Verdict.REFUSED, error.message, error.code),), {})
    return EvidenceVerdict(True, claims.statements, {"assurance": claims.assurance.value, **claims.claims})


def ask_broker(root: Path, resource: str, enclave: str, *, now: datetime) -> dict[str, Any]:
    """Ask for a key with the evidence of a running member; the guest's own code does it, the key is thrown away.

    Raises:
        OperatorError: no member of that enclave runs here.
    """
    del now
    name = enclave.removeprefix("Enclave/")
    configuration = root / f".qnsp/run/cfg/enclave-{name}-0-guest.json"
    if not configuration.exists():
        raise OperatorError(
            "QNSP-OPS-070",
            f"no member of {name} runs here",
            subject=name,
            next_step="apply a plan that makes it; see `qnsp-policy state list`",
        )
    line = [
        sys.executable,
        "-m",
        "qnsp_policy.services.guest",
        "--config",
        str(configuration.resolve()),
        "fetch",
        resource,
    ]
    done = subprocess.run(  # noqa: S603 -- our own guest with the member's own configuration
        line, cwd=root, capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    if done.returncode not in {0, 3}:
        said = (done.stderr.strip().split("\n") or [""])[-1]
        raise OperatorError("QNSP-OPS-071", f"the guest could not ask: {said[-300:]}", subject=name)
    outcome: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    if outcome["released"]:
        lines = [
            f"released  {resource} to {name}: {outcome['bytes']} bytes, lease {outcome['leaseSeconds']} s (thrown away)"
        ]
    else:
        reason = str(outcome["reason"])
        lines = [f"denied    {resource} to {name}   {reason}  {REASONS.get(reason, '')}".rstrip()]
        lines += _why(root, str(outcome["decision"]))
        lines.append("  the wire carried the code and a correlation id only; the rest stands in the broker's ledger")
    return {**outcome, "enclave": name, "lines": lines}


def _why(root: Path, decision: str) -> list[str]:
    """What the broker's ledger says of a denial; only who holds the workspace can read it."""
    for record in reversed(ledger_list(root, type_="denial", limit=1000)):
        if decision and decision in json.dumps(record["data"]):
            return denial_lines(record["data"])
    return []


__all__ = ["EvidenceVerdict", "ask_broker", "inspect_evidence", "verify_evidence"]
