"""What the verbs share of a workspace on disk: backend, ledger, recorded state, operator's key, engine, a look at the world.

The engine and the world's reader are imported where they are used: most verbs need neither.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from qnsp_policy.errors import OperatorError, PlanRefused
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file, write_key_file
from qnsp_policy.kernel.crypto.keys import PublicKey, generate
from qnsp_policy.kernel.crypto.signer import JointSigner, Signer, SoftwareSigner
from qnsp_policy.kernel.files_edge import sweep
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import AppendedRecord, FileLedger, LedgerReader
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.kinds import KeyBroker, Platform
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform
from qnsp_policy.pipeline.world.backend import Backend, Portable
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedState, RecordedUnit
from qnsp_policy.workflows.keys import KEYS, list_keys
from qnsp_policy.workflows.progress import Progress, in_tenths

if TYPE_CHECKING:
    from qnsp_policy.pipeline.engine.settings import EngineSettings
    from qnsp_policy.pipeline.world.declared import Left, Resource
    from qnsp_policy.pipeline.world.observed import Observation

LEDGER_KEYS = KEYS / "ledger.json"
LEDGER_ALGORITHMS = ("Ed25519", "ML-DSA-44", "ML-DSA-65")


def open_backend(root: Path, workspace: Workspace) -> Portable:
    """Where the state of this workspace lies.

    Raises:
        OperatorError: a backend of a kind that is not there yet.
    """
    url = str(workspace.project.spec.backend.url)
    scheme, _, path = url.partition("://")
    if scheme == "s3":
        from qnsp_policy.pipeline.world.backend_s3_edge import S3Backend

        return S3Backend(url)
    if scheme != "file":
        raise OperatorError(
            "QNSP-OPS-060",
            f"backends of kind {scheme}:// are not there yet",
            subject=url,
            next_step="use file://.qnsp/state or s3://BUCKET/PREFIX",
        )
    return FileBackend(Path(path) if path.startswith("/") else root / path)


@dataclass(frozen=True, slots=True)
class WorkspaceLedger:
    """The workspace's own log."""

    log: FileLedger

    def note(self, type_: str, *, actor: str, subject: str, data: Mapping[str, Any], now: datetime) -> AppendedRecord:
        """Append one record; durable on return."""
        return self.log.append(LedgerRecord(type_, now, actor, subject, data), now)


def open_ledger(root: Path, workspace: Workspace) -> WorkspaceLedger:
    """The log as its writer; its keys are made at the first use, one in a KMS signs beside them.

    Raises:
        OperatorError: QNSP-KEY-020, the Project names no key of a KMS that could sign.
    """
    path = root / LEDGER_KEYS
    sweep(path.parent)
    if not path.exists():
        write_key_file(path, "ledger", tuple(generate(algorithm) for algorithm in LEDGER_ALGORITHMS))
    found = read_key_file(path)
    spec = workspace.project.spec.ledger
    signer: Signer = SoftwareSigner(found.name, found.keys)
    if spec.signer is not None:
        from qnsp_policy.kernel.crypto.kms_edge import KmsSigner

        remote = KmsSigner("the ledger", PublicKey.from_jwk(spec.signer.key), str(spec.signer.uri))
        signer = JointSigner(found.name, (signer, remote))
    return WorkspaceLedger(FileLedger(root / str(spec.path), str(spec.origin), signer))


def ledger_reader(root: Path, workspace: Workspace) -> LedgerReader | None:
    """The log as anybody reads it; None where it was not begun here."""
    path = root / LEDGER_KEYS
    if not path.exists():
        return None
    spec = workspace.project.spec.ledger
    remote = () if spec.signer is None else (PublicKey.from_jwk(spec.signer.key),)
    return LedgerReader(root / str(spec.path), str(spec.origin), (*read_key_file(path).public_keys, *remote))


def write_genesis(backend: Backend, genesis: Genesis) -> None:
    """The record that says who judges the first plan."""
    records.write_genesis(backend, genesis)


def recorded_state(root: Path, workspace: Workspace) -> RecordedState:
    """What was applied; takes no lock, starts nothing."""
    return records.read_state(open_backend(root, workspace))


def read_plan(path: Path) -> bytes:
    """The bytes of a plan file.

    Raises:
        PlanRefused: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PlanRefused(
            "QNSP-PLN-002", f"{path} cannot be read: {error.strerror}", subject=str(path), next_step="name a saved plan"
        ) from error


def operator_key(root: Path, workspace: Workspace, operator: str | None = None) -> Path | None:
    """The key file whose key the brokers admit for administration; None where none is here and none was named.

    Raises:
        OperatorError: the operator named has none here.
    """
    admitted = {
        PublicKey.from_jwk(key).key_id for broker in workspace.of_kind(KeyBroker) for key in broker.spec.identity.admin
    }
    for entry in list_keys(root):
        named = operator in {None, entry.name, entry.name.partition("@")[0]}
        if named and admitted & set(entry.key_ids):
            return (root / entry.file).resolve()
    if operator is not None:
        raise OperatorError(
            "QNSP-KEY-013",
            f"{operator} has no key here that a broker admits",
            subject=operator,
            next_step=f"see spec.identity.admin of the KeyBroker and {KEYS.as_posix()}",
        )
    return None


def engine_settings(
    root: Path,
    workspace: Workspace,
    *,
    operator: str | None = None,
    parallel: int = 4,
    progress: Progress | None = None,
) -> EngineSettings:
    """The engine of this workspace; the pinned pulumi is built if it is not there, which `progress` is told.

    Raises:
        OperatorError: no Go to build it with, or no keys of an operator that a broker knows.
    """
    from qnsp_policy.pipeline.engine.settings import EngineSettings
    from qnsp_policy.pipeline.engine.toolchain import require

    refuse_plain_endpoints(workspace)
    return EngineSettings(
        workspace=root.resolve(),
        backend=open_backend(root.resolve(), workspace),
        pulumi=require("pulumi", environment=os.environ, progress=in_tenths(progress)).path,
        passphrase_file=(root / ".qnsp/passphrase").resolve(),
        environment=dict(os.environ),
        operator_key=operator_key(root, workspace, operator),
        parallel=parallel,
        settled=_await_members,
        left=_left_behind,
    )


def asked_elsewhere(workspace: Workspace) -> str:
    """Who answers in the place of AWS, in words; empty where AWS itself does or nothing is on it."""
    urls = ", ".join(dict.fromkeys(_aws_endpoints().values()))
    on_aws = any(isinstance(platform.spec, AwsPlatform) for platform in workspace.of_kind(Platform))
    return f"AWS is asked at {urls}: whoever answers there is trusted as AWS is" if urls and on_aws else ""


def _aws_endpoints() -> dict[str, str]:
    """Variables of the environment that say where AWS is asked; none where AWS itself is."""
    return {name: url for name, url in sorted(os.environ.items()) if name.startswith("AWS_ENDPOINT_URL")}


def refuse_plain_endpoints(workspace: Workspace) -> None:
    """In production nobody reads what is said to AWS, nor answers in its place.

    Raises:
        OperatorError: QNSP-OPS-140, an AWS_ENDPOINT_URL of the environment is plain HTTP.
    """
    if workspace.project.spec.environment != "production":
        return
    for name, url in _aws_endpoints().items():
        if not url.startswith("https://"):
            raise OperatorError(
                "QNSP-OPS-140",
                f"{name} is {url}: in production AWS is asked over TLS only",
                subject=name,
                next_step=f"unset {name}, or name an https:// endpoint",
            )


def _left_behind(unit: RecordedUnit, resources: Sequence[Resource], held: Mapping[tuple[str, str], str]) -> Left:
    """What an earlier run made on AWS; elsewhere every create takes on what is there."""
    from qnsp_policy.pipeline.world.aws_left_edge import left_behind

    return left_behind(unit, resources, held)


def _await_members(inputs: Mapping[str, Any], interrupted: Event, tell: Callable[[str], None], back: bool) -> None:
    """Every member of a fleet attested; fleets are on AWS only, members elsewhere are waited for by their endpoint."""
    from qnsp_policy.pipeline.world.aws_members_edge import await_members

    await_members(inputs, interrupted, tell, back)


def observe(root: Path, workspace: Workspace, recorded: RecordedState) -> Observation:
    """One look at everything that was applied; changes nothing."""
    from qnsp_policy.pipeline.world.local_edge import LocalReader

    seen = LocalReader(root.resolve(), operator_key=operator_key(root, workspace)).observe(recorded.units)
    on_aws = [unit.id for unit in recorded.units.values() if unit.program.startswith("aws-")]
    if not on_aws:
        return seen
    refuse_plain_endpoints(workspace)
    try:
        from qnsp_policy.pipeline.engine.programs import resources
        from qnsp_policy.pipeline.world.aws_edge import AwsReader
    except ImportError:
        why = "boto3 is not installed: pip install 'qnsp-policy[aws]'"
        return seen.joined(type(seen)(unknown=dict.fromkeys(on_aws, why)))
    return seen.joined(AwsReader(resources).observe(recorded.units))


__all__ = [
    "WorkspaceLedger",
    "asked_elsewhere",
    "engine_settings",
    "ledger_reader",
    "observe",
    "open_backend",
    "open_ledger",
    "operator_key",
    "read_plan",
    "recorded_state",
    "write_genesis",
]
