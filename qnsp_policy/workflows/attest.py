"""`attest ask`: a request for a key as a member of an enclave makes it; the key is thrown away."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.documents.problems import did_you_mean
from qnsp_policy.pipeline.review.ledger_text import denial_lines
from qnsp_policy.pipeline.trust.decide import REASONS
from qnsp_policy.workflows.ledger import ledger_list

_SECONDS = 60


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
            next_step=did_you_mean(name, _running(root), "apply a plan that makes it; see `qnsp-policy state list`"),
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


def _running(root: Path) -> list[str]:
    """Enclaves whose first member has been told how to start."""
    found = (root / ".qnsp/run/cfg").glob("enclave-*-0-guest.json")
    return [path.name.removeprefix("enclave-").removesuffix("-0-guest.json") for path in found]


def _why(root: Path, decision: str) -> list[str]:
    """What the broker's ledger says of a denial; only who holds the workspace can read it."""
    for record in reversed(ledger_list(root, type_="denial", limit=1000)):
        if decision and decision in json.dumps(record["data"]):
            return denial_lines(record["data"])
    return []


__all__ = ["ask_broker"]
