"""A port for a service that a test starts later."""

from __future__ import annotations

import os

from qnsp_policy.kernel.ports_edge import free_ports
from qnsp_policy.pipeline.engine.toolchain import cache_root


def free_port() -> int:
    """Given to nobody else, tests that run at the same time and workspaces of `init` included."""
    return free_ports(1, note=cache_root(os.environ) / "last-port")[0]


__all__ = ["free_port"]
