"""A broker's administration over HTTP: every request signed, TLS pinned to the declared key. Used by providers and world readers.

    admin = connect(connection, read_key_file(path).keys)
    admin.present_plan(envelope); admin.put(kind, name, value, plan_digest); admin.objects()

`connection` is the Connection of docs/formats/units.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote

import httpx

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.tls.certificate import spki_pin
from qnsp_policy.kernel.tls.client_edge import PinnedTransport
from qnsp_policy.kernel.tls.identity import PeerIdentity
from qnsp_policy.kernel.wire.api_auth import sign_request

_ADMIN = "/qnsp/v1/admin"
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One line of a broker's list of objects."""

    kind: str
    name: str
    digest: str
    plan: str | None


class BrokerUnreachable(PeerError):
    """The broker did not answer, or not as itself: its state is unknown, which is not the same as empty."""


class BrokerAdmin:
    """Administers one broker."""

    def __init__(self, http: httpx.Client, key: PrivateKey, *, clock: Callable[[], datetime] | None = None) -> None:
        self._http = http
        self._key = key
        self._clock = clock or (lambda: datetime.now(UTC))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def present_plan(self, envelope: bytes) -> str:
        """Hand over a signed and approved plan; returns its digest. The same plan again changes nothing."""
        return str(self._send("POST", "/plans", envelope)["plan"])

    def put(self, kind: str, name: str, value: Any, plan_digest: str) -> bool:
        """Hand over an object that the plan authorises; False if it was there already."""
        answer = self._send("PUT", _path(kind, name), jcs({"object": value, "plan": plan_digest}))
        return bool(answer["changed"])

    def delete(self, kind: str, name: str) -> bool:
        """Remove an object, which only tightens; False if there was none."""
        return bool(self._send("DELETE", _path(kind, name))["removed"])

    def digest_of(self, kind: str, name: str) -> str | None:
        """The digest of an object as the broker holds it, or None."""
        found = self._send("GET", _path(kind, name), absent_is_none=True)
        return None if found is None else str(found["digest"])

    def object(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object itself, or None."""
        found = self._send("GET", _path(kind, name), absent_is_none=True)
        return None if found is None else dict(found["object"])

    def objects(self) -> tuple[ObjectEntry, ...]:
        """All objects that the broker holds, sorted by kind and name."""
        entries = self._send("GET", "/objects")
        return tuple(ObjectEntry(e["kind"], e["name"], e["digest"], e["plan"]) for e in entries)

    def state(self) -> dict[str, Any]:
        """Version and digest of all objects, plan in force, checkpoint of the broker's log."""
        return dict(self._send("GET", "/state"))

    def _send(self, method: str, path: str, body: bytes = b"", *, absent_is_none: bool = False) -> Any:
        url = str(self._http.base_url).rstrip("/") + _ADMIN + path
        headers = sign_request(method, url, body, self._key, self._clock())
        try:
            answer = self._http.request(method, url, content=body, headers=headers)
        except httpx.TransportError as error:
            raise BrokerUnreachable(
                "QNSP-KBS-050", f"the broker at {self._http.base_url} does not answer: {error}", subject=str(self._http.base_url)
            ) from error
        if answer.status_code == 404 and absent_is_none:
            return None
        try:
            value = json.loads(answer.content)
        except ValueError:
            raise BrokerUnreachable("QNSP-KBS-051", f"the broker answered {answer.status_code} without JSON") from None
        if answer.status_code != 200:
            raise PeerError(
                str(value.get("code", "QNSP-KBS-052")),
                f"the broker refused: {value.get('message') or value.get('detail') or answer.status_code}",
                subject=value.get("subject"),
                expected=value.get("expected"),
                got=value.get("got"),
                next_step=value.get("next"),
            )
        return value


def _path(kind: str, name: str) -> str:
    return f"/objects/{quote(kind, safe='')}/{quote(name, safe='/')}"


def broker_http(connection: Mapping[str, Any]) -> httpx.Client:
    """A client that talks to exactly this broker.

    Raises:
        OperatorError: `QNSP-KBS-053`: URL and TLS mode do not go together.
    """
    url, tls = str(connection["url"]), connection["tls"]
    plain = tls["mode"] == "insecure-plaintext"
    if plain != url.startswith("http://"):
        raise OperatorError("QNSP-KBS-053", f"{url} does not go with tls.mode {tls['mode']}")
    if plain:
        return httpx.Client(base_url=url, timeout=_TIMEOUT, trust_env=False)
    identity = PeerIdentity(pins=(spki_pin(PublicKey.from_jwk(tls["key"])),))
    return httpx.Client(base_url=url, transport=PinnedTransport(identity), timeout=_TIMEOUT, trust_env=False)


def connect(connection: Mapping[str, Any], keys: Sequence[PrivateKey]) -> BrokerAdmin:
    """A client that signs with the first of `keys` that the broker's document names as an administrator's.

    Raises:
        OperatorError: `QNSP-KBS-054`: none of the keys is one.
    """
    wanted = set(connection.get("adminKeyIds") or ())
    for key in keys:
        if not wanted or key.key_id in wanted:
            return BrokerAdmin(broker_http(connection), key)
    raise OperatorError(
        "QNSP-KBS-054",
        f"none of the {len(keys)} keys given administers broker {connection.get('name')}",
        subject=str(connection.get("address")),
        expected=", ".join(sorted(wanted)),
        next_step="give the key file of an administrator that the KeyBroker document names",
    )


__all__ = ["BrokerAdmin", "BrokerUnreachable", "ObjectEntry", "broker_http", "connect"]
