"""Everything an engine run is given; nothing is read from or written to this process's own environment."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.tls.reach_edge import VARIABLE as REACH
from qnsp_policy.pipeline.engine.toolchain import TOOLS
from qnsp_policy.pipeline.world.backend import Backend
from qnsp_policy.pipeline.world.declared import Left, Resource
from qnsp_policy.pipeline.world.recorded import RecordedUnit

PARALLEL_UNITS = 8
_KEPT_LOGS = 40
PROJECT = "qnsp"


def check_sdk() -> None:
    """Make sure that the Pulumi SDK is there and of the version that belongs to the pinned CLI.

    Raises:
        OperatorError: QNSP-ENG-038.
    """
    need = TOOLS["pulumi"].version
    try:
        have = version("pulumi")
    except PackageNotFoundError:
        have = "not installed"
    if have != need:
        raise OperatorError(
            "QNSP-ENG-038",
            f"the Pulumi SDK is {have}, but the engine is driven by exactly {need}",
            subject="pulumi",
            expected=need,
            got=have,
            next_step="pip install 'qnsp-policy[engine]'",
        )


Settled = Callable[[Mapping[str, Any], Event, Callable[[str], None], bool], None]
"""Given a unit's inputs with everything resolved, an event that ends the wait, whom to tell how it stands, and whether the fleet goes back."""


LeftBehind = Callable[[RecordedUnit, Sequence[Resource], Mapping[tuple[str, str], str]], Left]
"""Given a unit with everything resolved, what it declares, and the ids of what its stack holds, by type and name."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One workspace's engine.

    Attributes:
        workspace: absolute folder of the workspace.
        backend: where state lies.
        pulumi: the CLI, of exactly the SDK's version (`toolchain.require`).
        passphrase_file: secret of the stacks' encryption, mode 0600.
        environment: what engine processes inherit; variables of an ambient Pulumi are dropped.
        operator_key: file of the private key that signs requests to brokers, None when the run has none.
        secrets_provider: Pulumi's, "" for the passphrase.
        parallel: units at work at once.
        settled: waits until every member of a fleet attested (`QnspError` where one does not); None where nothing is to be waited for.
        left: tells what an earlier run made without hearing so; None where every create takes on what is there.
    """

    workspace: Path
    backend: Backend
    pulumi: Path
    passphrase_file: Path
    environment: Mapping[str, str]
    operator_key: Path | None = None
    secrets_provider: str = ""
    parallel: int = PARALLEL_UNITS
    settled: Settled | None = None
    left: LeftBehind | None = None

    @property
    def folder(self) -> Path:
        """Where engine runs keep their files."""
        return self.workspace / ".qnsp" / "engine"

    def prune_logs(self) -> None:
        """Keep the newest engine logs; the engine itself keeps them all."""
        found = []
        for path in (self.folder / "home" / "logs").glob("*"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(found, reverse=True)[_KEPT_LOGS:]:
            with contextlib.suppress(OSError):
                path.unlink()

    def process_environment(self, *, plan: Path | None, plan_digest: str) -> dict[str, str]:
        """The whole environment of one engine process.

        Raises:
            OperatorError: QNSP-ENG-031, the passphrase file is missing.
        """
        if not self.passphrase_file.is_file():
            raise OperatorError(
                "QNSP-ENG-031",
                f"the passphrase file {self.passphrase_file} of this workspace's state is missing",
                next_step="restore it from where you keep it; `init` makes it for a new workspace",
            )
        inherited = {k: v for k, v in self.environment.items() if not k.startswith(("PULUMI_", "QNSP_"))}
        plugins = str(Path(sys.executable).parent)
        ours = {
            "PATH": os.pathsep.join([plugins, inherited.get("PATH", os.defpath)]),
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_BACKEND_URL": self.backend.url,
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase_file),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DIY_BACKEND_NO_LEGACY_WARNING": "true",
            "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
            "QNSP_WORKSPACE": str(self.workspace),
            "QNSP_PLAN": str(plan) if plan else "",
            "QNSP_PLAN_DIGEST": plan_digest,
            "QNSP_OPERATOR_KEY": str(self.operator_key) if self.operator_key else "",
        }
        if REACH in self.environment:
            ours[REACH] = self.environment[REACH]
        return inherited | ours


__all__ = ["PARALLEL_UNITS", "PROJECT", "EngineSettings", "check_sdk"]
