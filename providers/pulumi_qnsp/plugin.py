"""`pulumi-resource-qnsp`: the provider as a plugin process that an engine finds on PATH.

The engine of this project tells it by environment where it works (the program's own process environment is not touched,
only that of the engine process it starts): QNSP_WORKSPACE, QNSP_PLAN, QNSP_PLAN_DIGEST, QNSP_OPERATOR_KEY, QNSP_JOURNAL
(what was done), QNSP_HELD (a file: what a new unit may create).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from pulumi_qnsp.kinds import Setting
from qnsp_policy.kernel.processes_edge import when_parent_ends


def setting_of(environment: Mapping[str, str]) -> Setting:
    """The setting that the engine gave."""
    plan, key = environment.get("QNSP_PLAN"), environment.get("QNSP_OPERATOR_KEY")
    journal, held = environment.get("QNSP_JOURNAL"), environment.get("QNSP_HELD")
    return Setting(
        workspace=Path(environment.get("QNSP_WORKSPACE") or Path.cwd()),
        plan=Path(plan) if plan else None,
        plan_digest=environment.get("QNSP_PLAN_DIGEST", ""),
        operator_key=Path(key) if key else None,
        journal=Path(journal) if journal else None,
        held=_held(Path(held)) if held else None,
    )


def _held(file: Path) -> dict[tuple[str, str], dict[str, object]]:
    return {(item["type"], item["name"]): item["security"] for item in json.loads(file.read_bytes())}


async def attach(environment: Mapping[str, str]) -> tuple[int, Callable[[], None], Callable[[], Awaitable[None]]]:
    """Serve a provider within a process that runs the engine, instead of as a plugin (PULUMI_DEBUG_PROVIDERS).

    Args:
        environment: what a plugin process would have been given.

    Returns:
        The port, a function that makes it stop waiting, and one that ends it.
    """
    from pulumi_qnsp.provider import QnspProvider, default_kinds
    from pulumi_qnsp.server import listen

    setting = setting_of(environment)
    provider = QnspProvider(setting, default_kinds())
    server, port = await listen(provider, ours_only=True)

    async def stop() -> None:
        await server.stop(0)
        await provider.end()

    return port, setting.cancelled.set, stop


def main() -> None:
    """Serve the provider until the engine ends."""
    from pulumi_qnsp.provider import QnspProvider, default_kinds
    from pulumi_qnsp.server import serve

    when_parent_ends(lambda: os._exit(1))
    addresses = [word for word in sys.argv[1:] if not word.startswith("-")]
    provider = QnspProvider(setting_of(os.environ), default_kinds())

    def started(port: int) -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(provider, started=started, engine=addresses[0] if addresses else ""))


__all__ = ["attach", "main", "setting_of"]
