"""`qnsp:gateway:Endpoint`: nothing is made here; it is there when the attested gateway answers, which is waited for.

Whatever else holds the declared port is not the endpoint: its evidence must hold (`pipeline/world/gateway.py`). The wait
ends early when every guest that tried since it began says that the broker denied it, or twice that it cannot start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pulumi_qnsp.kinds import Changes, Json, Setting, compare
from qnsp_policy.errors import EngineError, QnspError
from qnsp_policy.kernel.wire.guest_status import GuestState, GuestStatus

EvidenceReader = Callable[[Json], Json]
"""Asks the gateway of an endpoint (its unit's member `endpoint`) and verifies what it shows; `QnspError` or `OSError` otherwise."""

GuestReader = Callable[[Setting, str], Sequence[GuestStatus]]
"""What the guests of this workspace say of an endpoint; empty where none says anything."""

_PAUSE_SECONDS = 0.3
_FAILURES = 2
"""So often in a row a start must fail before it counts: a busy machine may be late once."""


class EndpointKind:
    """A served endpoint.

    Args:
        read_evidence: asks the gateway once.
        read_guests: what the guests say while no gateway answers.
    """

    def __init__(self, read_evidence: EvidenceReader, read_guests: GuestReader = lambda _setting, _name: ()) -> None:
        self._read_evidence = read_evidence
        self._read_guests = read_guests

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        url = inputs.get("url")
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            return [("url", "is not a URL")]
        return []

    def diff(self, setting: Setting, old: Json, new: Json) -> Changes:
        del setting
        return compare(old, new, frozen=frozenset({"name"}), unseen=frozenset({"readinessTimeoutSeconds"}))

    def identity(self, inputs: Json) -> str:
        return str(inputs["name"])

    def create(self, setting: Setting, urn: str, inputs: Json) -> tuple[str, Json]:
        del urn
        deadline = time.monotonic() + float(inputs.get("readinessTimeoutSeconds", 120))
        began = datetime.now(UTC)
        while True:
            try:
                return inputs["name"], {**inputs, **self._ask(inputs)}
            except (QnspError, OSError) as error:
                reason = str(error)
            said = self._read_guests(setting, str(inputs["name"]))
            final = _final(said, began)
            if final is not None:
                raise _told(inputs, final)
            if setting.cancelled.is_set() or time.monotonic() >= deadline:
                break
            setting.cancelled.wait(_PAUSE_SECONDS)
        raise EngineError(
            "QNSP-APL-013",
            f"endpoint {inputs['name']} does not answer at {inputs['url']}: {reason}"
            + "".join(f"; its guest says: {status.text}" for status in said[:1] if status.text),
            next_step="the guest's log says which step of its attestation it waits for or was refused",
        )

    def read(self, setting: Setting, urn: str, resource_id: str, state: Json) -> Json | None:
        del setting, urn, resource_id
        try:
            return {**state, **self._ask(state)}
        except (QnspError, OSError):
            return None

    def update(self, setting: Setting, urn: str, old: Json, new: Json) -> Json:
        del old
        return self.create(setting, urn, new)[1]

    def delete(self, setting: Setting, urn: str, resource_id: str, state: Json) -> None:
        """Nothing to remove: the gateway ends with its enclave's processes, its configuration with the broker's object."""

    def _ask(self, inputs: Json) -> dict[str, Any]:
        endpoint = {**inputs, "tls": {"mode": inputs.get("tlsMode", "in-process")}}
        statement = self._read_evidence(endpoint)
        return {"keyId": str(statement.get("keyId", "")), "assurance": str(statement.get("assurance", ""))}


def _final(said: Sequence[GuestStatus], began: datetime) -> GuestStatus | None:
    """The word of a guest, if nothing that any guest says leaves something to wait for."""
    for status in said:
        denied = status.state is GuestState.DENIED
        failed = status.state is GuestState.FAILED and status.times >= _FAILURES
        if status.asked < began or not (denied or failed):
            return None
    return said[0] if said else None


def _told(inputs: Json, status: GuestStatus) -> EngineError:
    if status.state is GuestState.DENIED:
        named = status.decision in status.text  # always so where there is no decision
        return EngineError(
            "QNSP-APL-014",
            f"the broker {status.text}" + ("" if named else f" (decision {status.decision})"),
            subject=str(inputs["name"]),
            next_step="`qnsp-policy ledger list --type denial` says which claim, what was seen and what is required",
        )
    return EngineError(
        "QNSP-APL-015",
        f"endpoint {inputs['name']} was released to its enclave, which cannot start it: {status.text}",
        subject=str(inputs["name"]),
        next_step="mend the upstream or the artefact that it names, then run the same apply again",
    )


__all__ = ["EndpointKind", "EvidenceReader", "GuestReader"]
