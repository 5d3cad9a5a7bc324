"""`qnsp:broker:*`: objects that a key broker takes only with a verified plan that authorises exactly their digest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from pulumi_qnsp.kinds import Changes, Json, Setting, compare
from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest

# Resource types by the broker's own word for the object; the same object API serves all of them.
TYPES = {
    "tenant": "qnsp:broker:Tenant",
    "resource": "qnsp:broker:SealedKey",
    "release-policy": "qnsp:broker:ReleasePolicy",
    "reference-values": "qnsp:broker:ReferenceValues",
    "endpoint": "qnsp:broker:EndpointConfiguration",
    "trust-root": "qnsp:broker:TrustRoot",
    "revocation": "qnsp:broker:Revocation",
}


class BrokerAdmin(Protocol):
    """The part of a broker's administration that a provider needs; implemented over HTTP by `client/broker_edge.py`."""

    def digest_of(self, kind: str, name: str) -> str | None:
        """The digest of an object as the broker holds it, or None."""

    def put(self, kind: str, name: str, value: Any, plan_digest: str) -> None:
        """Hand over an object that the named plan authorises."""

    def delete(self, kind: str, name: str) -> None:
        """Remove an object, which only tightens; nothing happens if there is none."""

    def present_plan(self, envelope: bytes) -> None:
        """Hand over a signed and approved plan."""


T = TypeVar("T")
_PAUSE_SECONDS = 2.0
_WOKEN_PAUSE = 0.3
_OTHER_PLAN = "QNSP-KBS-032"
_STAYS = frozenset({"revocation", "trust-root"})

BrokerFactory = Callable[[Json, Setting], BrokerAdmin]
Wake = Callable[[Setting], bool]
WOKEN_SECONDS = 60.0
"""How long a broker of this machine may take to answer after its supervisor was found or woken."""


class ObjectKind:
    """One object at one broker; its id is `<broker>/<kind>/<name>`.

    Args:
        kind: the broker's word for it.
        connect: makes a client from a Connection and the run's setting.
        wake: called when the broker does not answer; says whether a supervisor of this machine runs (again), which
            starts what died.
    """

    def __init__(self, kind: str, connect: BrokerFactory, wake: Wake = lambda _: False) -> None:
        self._kind = kind
        self._wake = wake
        self._connect = connect

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        failures = []
        if inputs.get("kind") != self._kind:
            failures.append(("kind", f"is {inputs.get('kind')!r}, but this resource type holds {self._kind!r}"))
        try:
            value = json.loads(inputs["object"])
            if jcs(value).decode() != inputs["object"]:
                failures.append(("object", "is not in RFC 8785 form"))
            elif sha256_digest(inputs["object"].encode()) != inputs.get("digest"):
                failures.append(("digest", "is not the digest of the object"))
            json.loads(inputs["connection"])
        except (KeyError, ValueError, TypeError) as error:
            failures.append(("object", f"is not JSON text: {error}"))
        return failures

    def diff(self, setting: Setting, old: Json, new: Json) -> Changes:
        del setting
        # The object's text follows from its digest; a diff of two canonical texts would only hide it.
        return compare(old, new, frozen=frozenset({"broker", "kind", "name"}), unseen=frozenset({"object"}))

    def identity(self, inputs: Json) -> str:
        return f"{inputs['broker']}/{inputs['kind']}/{inputs['name']}"

    def create(self, setting: Setting, urn: str, inputs: Json) -> tuple[str, Json]:
        """Hand it over. Present with the same digest it is adopted, with another one replaced: the plan authorises which."""
        del urn
        return self.identity(inputs), self._put(setting, inputs)

    def read(self, setting: Setting, urn: str, resource_id: str, state: Json) -> Json | None:
        """Its digest as the broker holds it; as recorded when the broker does not answer.

        A broker that is down has lost nothing: saying "gone" would have everything handed over anew. Plan and drift read
        the world by themselves and say `unknown`.
        """
        del urn, resource_id
        try:
            held = self._client(setting, state).digest_of(state["kind"], state["name"])
        except ConnectionError:
            return dict(state)
        return None if held is None else {**state, "digest": held}

    def update(self, setting: Setting, urn: str, old: Json, new: Json) -> Json:
        del urn, old
        return self._put(setting, new)

    def delete(self, setting: Setting, urn: str, resource_id: str, state: Json) -> None:
        """Remove it; what only a plan may remove (a revocation, the trust root) ends with the broker itself."""
        del urn, resource_id
        if self._kind not in _STAYS:
            client = self._client(setting, state)
            self._patiently(setting, state, lambda: client.delete(state["kind"], state["name"]))

    def _client(self, setting: Setting, inputs: Json) -> BrokerAdmin:
        return self._connect(json.loads(inputs["connection"]), setting)

    def _patiently(self, setting: Setting, inputs: Json, call: Callable[[], T]) -> T:
        """A broker that was just made may take its time (`waitSeconds` of the connection), one that died may come back."""
        deadline = time.monotonic() + float(json.loads(inputs["connection"]).get("waitSeconds", 0))
        pause, asked = _PAUSE_SECONDS, False
        while True:
            try:
                return call()
            except ConnectionError:
                if not asked and self._wake(setting):
                    pause, deadline = _WOKEN_PAUSE, max(deadline, time.monotonic() + WOKEN_SECONDS)
                asked = True
                if setting.cancelled.is_set() or time.monotonic() >= deadline:
                    raise
                setting.cancelled.wait(pause)

    def _put(self, setting: Setting, inputs: Json) -> Json:
        client = self._client(setting, inputs)
        held = self._patiently(setting, inputs, lambda: client.digest_of(inputs["kind"], inputs["name"]))
        if held == inputs["digest"]:
            return dict(inputs)
        if setting.plan is None:
            raise OperatorError(
                "QNSP-APL-012",
                f"{inputs['kind']} {inputs['name']} can only be given to broker {inputs['broker']} with a signed plan",
                next_step="plan and apply instead",
            )
        value = json.loads(inputs["object"])
        try:
            client.put(inputs["kind"], inputs["name"], value, setting.plan_digest)
        except PeerError as error:
            if error.code != _OTHER_PLAN:
                raise
            # The broker does not know this plan yet; it verifies it itself and says no if it must.
            client.present_plan(setting.plan.read_bytes())
            client.put(inputs["kind"], inputs["name"], value, setting.plan_digest)
        return dict(inputs)


def object_inputs(connection: Json, item: Json) -> Json:
    """The resource inputs of an Object of a unit at the broker that `connection` reaches."""
    return {
        "broker": connection["name"],
        "connection": jcs(connection).decode(),
        "kind": item["kind"],
        "name": item["name"],
        "digest": item["digest"],
        "object": jcs(item["object"]).decode(),
    }


__all__ = ["TYPES", "WOKEN_SECONDS", "BrokerAdmin", "BrokerFactory", "ObjectKind", "Wake", "object_inputs"]
