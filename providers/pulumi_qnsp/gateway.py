"""`qnsp:gateway:Endpoint`: nothing is made here; it is there when the attested gateway answers, which is waited for.

Whatever else holds the declared port is not the endpoint: its evidence must hold (`pipeline/world/gateway.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pulumi_qnsp.kinds import Changes, Json, Setting, compare
from qnsp_policy.errors import EngineError, QnspError

EvidenceReader = Callable[[Json], Json]
"""Asks the gateway of an endpoint (its unit's member `endpoint`) and verifies what it shows; `QnspError` or `OSError` otherwise."""

_PAUSE_SECONDS = 0.3


class EndpointKind:
    """A served endpoint.

    Args:
        read_evidence: asks the gateway once.
    """

    def __init__(self, read_evidence: EvidenceReader) -> None:
        self._read_evidence = read_evidence

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        url = inputs.get("url")
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            return [("url", "is not a URL")]
        return []

    def diff(self, setting: Setting, old: Json, new: Json) -> Changes:
        del setting
        return compare(old, new, frozen=frozenset({"name"}), unseen=frozenset({"readinessTimeoutSeconds"}))

    def create(self, setting: Setting, inputs: Json) -> tuple[str, Json]:
        deadline = time.monotonic() + float(inputs.get("readinessTimeoutSeconds", 120))
        while True:
            try:
                return inputs["name"], {**inputs, **self._ask(inputs)}
            except (QnspError, OSError) as error:
                reason = str(error)
            if setting.cancelled.is_set() or time.monotonic() >= deadline:
                break
            setting.cancelled.wait(_PAUSE_SECONDS)
        raise EngineError(
            "QNSP-APL-013",
            f"endpoint {inputs['name']} does not answer at {inputs['url']}: {reason}",
            next_step="the guest's log says which step of its attestation it waits for or was refused",
        )

    def read(self, setting: Setting, resource_id: str, state: Json) -> Json | None:
        del setting, resource_id
        try:
            return {**state, **self._ask(state)}
        except (QnspError, OSError):
            return None

    def update(self, setting: Setting, resource_id: str, old: Json, new: Json) -> Json:
        del resource_id, old
        return self.create(setting, new)[1]

    def delete(self, setting: Setting, resource_id: str, state: Json) -> None:
        """Nothing to remove: the gateway ends with its enclave's processes, its configuration with the broker's object."""

    def _ask(self, inputs: Json) -> dict[str, Any]:
        endpoint = {**inputs, "tls": {"mode": inputs.get("tlsMode", "in-process")}}
        statement = self._read_evidence(endpoint)
        return {"keyId": str(statement.get("keyId", "")), "assurance": str(statement.get("assurance", ""))}


__all__ = ["EndpointKind", "EvidenceReader"]
