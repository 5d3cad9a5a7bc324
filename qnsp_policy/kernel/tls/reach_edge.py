"""Where a host is reached from here: `QNSP_REACH`, for whoever stands outside its network (a tunnel through a bastion).

`QNSP_REACH="broker.example:8555=127.0.0.1:18555,triage.example:8443=127.0.0.1:18443"` says which address leads to which name. Only where the
TCP connection goes changes: the name in TLS, the pinned key and the evidence that is asked for stay, so an address that leads
elsewhere is found out. TLS only: connections in clear, which stay on loopback, are not led anywhere.
"""

from __future__ import annotations

import os
import re

from qnsp_policy.errors import OperatorError

VARIABLE = "QNSP_REACH"
_FORM = re.compile(r"([^=,\s]+:[0-9]{1,5})=([^=,\s]+):([0-9]{1,5})")


def reached(host: str, port: int) -> tuple[str, int]:
    """The address that leads to a host: its own, or what the environment says.

    Raises:
        OperatorError: `QNSP-OPS-145`: the variable is malformed.
    """
    told = os.environ.get(VARIABLE, "")
    if not told.strip():
        return host, port
    ways = {}
    for word in told.split(","):
        found = _FORM.fullmatch(word.strip())
        if found is None or int(found[3]) > 65535:
            raise OperatorError(
                "QNSP-OPS-145",
                f"{VARIABLE} holds {word.strip()[:80]!r}, which leads nowhere",
                subject=VARIABLE,
                expected="host:port=address:port, several with commas between",
            )
        ways[found[1].lower()] = found[2].strip("[]"), int(found[3])
    name = f"[{host}]" if ":" in host else host
    return ways.get(f"{name}:{port}".lower(), (host, port))


__all__ = ["VARIABLE", "reached"]
