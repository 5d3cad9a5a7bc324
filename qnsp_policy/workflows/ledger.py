"""`ledger list|verify|prove`: the logs of the workspace, its brokers and gateways."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.canonical import timestamp
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import LedgerReader
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.kinds import KeyBroker
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.workflows.keys import list_keys
from qnsp_policy.workflows.runtime import ledger_reader

WORKSPACE = "workspace"
"""Who writes the workspace's own log."""


def logs(root: Path, workspace: Workspace) -> Iterator[tuple[str, LedgerReader]]:
    """Each log that is on this machine, by who writes it."""
    own = ledger_reader(root, workspace)
    if own is not None:
        yield WORKSPACE, own
    for broker in workspace.of_kind(KeyBroker):
        folder = root / ".qnsp/broker" / broker.name
        if (folder / "ledger").is_dir() and (folder / "ledger-keys.json").exists():
            public = read_key_file(folder / "ledger-keys.json").public_keys
            origin = f"{workspace.project.spec.ledger.origin}/broker/{broker.name}"
            yield f"broker {broker.name}", LedgerReader(folder / "ledger", origin, public)


def names_of_keys(root: Path, workspace: Workspace) -> dict[str, str]:
    """Whose each key is, by key id: identities of the TrustRoot, and the key files that lie here."""
    found = {
        key.key_id: identity.name
        for identity in trust_root_value(workspace).identities.values()
        for signer in identity.signers
        for key in signer.public_keys
    }
    return {key_id: entry.name for entry in list_keys(root) for key_id in entry.key_ids} | found


def ledger_list(root: Path, *, type_: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """The newest records of all logs, merged by time."""
    found: list[dict[str, Any]] = []
    workspace = load(root)
    names = names_of_keys(root, workspace)
    for writer, log in logs(root, workspace):
        for index in range(log.size):
            record = LedgerRecord.from_bytes(log.entry(index))
            if type_ is None or record.type == type_:
                found.append(
                    {
                        "log": writer,
                        "index": index,
                        "type": record.type,
                        "time": timestamp(record.time),
                        "actor": record.actor,
                        "actorName": names.get(record.actor, record.actor),
                        "subject": record.subject,
                        "data": dict(record.data),
                    }
                )
    found.sort(key=lambda entry: (entry["time"], entry["log"], entry["index"]))
    return found[-limit:]


def denials_since(root: Path, workspace: Workspace, since: datetime) -> list[dict[str, Any]]:
    """The newest denial of each resource that the brokers here recorded since then."""
    newest: dict[str, dict[str, Any]] = {}
    for writer, log in logs(root, workspace):
        for index in range(log.size - 1, -1, -1) if writer != WORKSPACE else ():
            record = LedgerRecord.from_bytes(log.entry(index))
            if record.time < since:
                break
            if record.type == "denial":
                newest.setdefault(record.subject, dict(record.data))
    return [{"subject": subject, "data": data} for subject, data in sorted(newest.items())]


def ledger_verify(root: Path) -> list[dict[str, Any]]:
    """Recompute every log from its entries; `stated` counts those that the log's stronger keys signed as well.

    Raises:
        PeerError: a log is not what its checkpoint signs.
    """
    verified = []
    for writer, log in logs(root, load(root)):
        stated = log.stated()
        head = log.check()
        verified.append(
            {
                "log": writer,
                "origin": log.origin,
                "size": head.size if head else 0,
                "root": head.root.hex() if head else None,
                "stated": stated.size if stated else None,
            }
        )
    return verified


def ledger_keys(root: Path) -> list[dict[str, Any]]:
    """What somebody who verifies the logs elsewhere must know: each log's origin and its public keys."""
    found = []
    for writer, log in logs(root, load(root)):
        notes = {note.key.key_id: note.to_vkey() for note in log.keys}
        keys = [{"keyId": key.key_id, "vkey": notes.get(key.key_id), "jwk": key.to_jwk()} for key in log.public_keys]
        found.append({"log": writer, "origin": log.origin, "keys": keys})
    return found


def ledger_prove(root: Path, index: int) -> dict[str, Any]:
    """The inclusion proof of one entry of the workspace's log.

    Raises:
        OperatorError: there is no log here, or no such entry.
    """
    log = next((log for writer, log in logs(root, load(root)) if writer == WORKSPACE), None)
    if log is None:
        raise OperatorError(
            "QNSP-OPS-061", "this workspace has no ledger here", next_step="run it where it was initialised"
        )
    proof = log.prove(index)
    return {"origin": log.origin, "index": index, "proof": proof.to_bytes().decode()}


__all__ = ["denials_since", "ledger_keys", "ledger_list", "ledger_prove", "ledger_verify", "logs"]
