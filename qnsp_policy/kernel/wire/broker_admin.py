"""Messages of a broker's administration, for both sides: what is asked, and what is answered.

Comes in: plan envelopes and objects as JSON, or bodies of a broker. Goes out: `AdminRequest` values (to be signed by
`api_auth` and sent by an edge), or typed answers. Paths under `/qnsp/v1/admin`: `POST plans`, `GET state`,
`GET objects`, `GET|PUT|DELETE objects/<kind>/<name...>`. An object is taken only if a plan that the broker verified
names the digest of its RFC 8785 form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import jcs, parse_json, sha256_digest

PREFIX: Final = "/qnsp/v1/admin"
KINDS: Final = frozenset(
    {"endpoint", "reference-values", "release-policy", "resource", "revocation", "tenant", "trust-root"}
)
JSON_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A request to be signed and sent.

    Attributes:
        method: GET, PUT, POST or DELETE.
        path: absolute, percent-encoded.
        body: empty where there is none.
    """

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One object as a broker lists it.

    Attributes:
        kind, name: which one.
        digest: `sha256:` of its RFC 8785 form.
        plan: digest of the plan that authorised it; None for what needs none.
    """

    kind: str
    name: str
    digest: str
    plan: str | None

    @property
    def key(self) -> str:
        """`<kind>/<name>`."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object with its value; the digest was recomputed from the value."""

    entry: ObjectEntry
    value: Any


@dataclass(frozen=True, slots=True)
class PlanAccepted:
    """What a broker says of a plan it took."""

    plan: str
    authorises: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BrokerState:
    """Version and digest of a broker's objects, the plan in force, the checkpoint of its ledger."""

    version: int
    digest: str
    plan: str | None
    checkpoint: Any


def _path(kind: str, name: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"no object kind {kind!r}")
    segments = name.split("/")
    if not all(segments) or any(segment in {".", ".."} for segment in segments):
        raise ValueError(f"{name!r} is no object name")
    return f"{PREFIX}/objects/{kind}/" + "/".join(quote(segment, safe="") for segment in segments)


def submit_plan(envelope: bytes) -> AdminRequest:
    """Hands a signed and approved plan to the broker, which verifies it itself."""
    return AdminRequest("POST", f"{PREFIX}/plans", envelope)


def get_state() -> AdminRequest:
    """Asks for version, plan and checkpoint."""
    return AdminRequest("GET", f"{PREFIX}/state")


def list_objects() -> AdminRequest:
    """Asks for all objects, without values."""
    return AdminRequest("GET", f"{PREFIX}/objects")


def get_object(kind: str, name: str) -> AdminRequest:
    """Asks for one object."""
    return AdminRequest("GET", _path(kind, name))


def put_object(kind: str, name: str, value: Any, plan: str) -> AdminRequest:
    """Sets one object under a plan; `plan` is the digest of the plan's payload, "" for what only tightens."""
    body: dict[str, Any] = {"object": value}
    if plan:
        body["plan"] = plan
    return AdminRequest("PUT", _path(kind, name), jcs(body))


def delete_object(kind: str, name: str) -> AdminRequest:
    """Removes one object, which only ever tightens."""
    return AdminRequest("DELETE", _path(kind, name))


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-KBS-301", f"malformed answer of a broker: {message}")


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _malformed("an object is wanted")
    return value


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise _malformed(f"`{name}` is no text")
    return found


def _optional(value: Mapping[str, Any], name: str) -> str | None:
    return None if value.get(name) is None else _text(value, name)


def _entry(value: Any) -> ObjectEntry:
    found = _object(value)
    return ObjectEntry(_text(found, "kind"), _text(found, "name"), _text(found, "digest"), _optional(found, "plan"))


def read_objects(body: bytes) -> tuple[ObjectEntry, ...]:
    """The answer to `list_objects`.

    Raises:
        PeerError: QNSP-KBS-301, QNSP-SIG-011.
    """
    value = parse_json(body)
    if not isinstance(value, list):
        raise _malformed("a list is wanted")
    return tuple(_entry(entry) for entry in value)


def read_object(body: bytes) -> StoredObject:
    """The answer to `get_object`; a digest that does not belong to the value is refused.

    Raises:
        PeerError: QNSP-KBS-301, QNSP-SIG-011.
    """
    found = _object(parse_json(body))
    entry = _entry(found)
    if "object" not in found or sha256_digest(jcs(found["object"])) != entry.digest:
        raise _malformed(f"the digest of {entry.key} does not belong to its value")
    return StoredObject(entry, found["object"])


def read_changed(body: bytes) -> ObjectEntry:
    """The answer to `put_object`.

    Raises:
        PeerError: QNSP-KBS-301, QNSP-SIG-011.
    """
    return _entry(parse_json(body))


def read_plan(body: bytes) -> PlanAccepted:
    """The answer to `submit_plan`.

    Raises:
        PeerError: QNSP-KBS-301, QNSP-SIG-011.
    """
    found = _object(parse_json(body))
    authorises = _object(found.get("authorises"))
    return PlanAccepted(_text(found, "plan"), {name: _text(authorises, name) for name in authorises})


def read_state(body: bytes) -> BrokerState:
    """The answer to `get_state`.

    Raises:
        PeerError: QNSP-KBS-301, QNSP-SIG-011.
    """
    found = _object(parse_json(body))
    version = found.get("version")
    if type(version) is not int:
        raise _malformed("`version` is no integer")
    return BrokerState(version, _text(found, "digest"), _optional(found, "plan"), found.get("checkpoint"))


def read_problem(status: int, body: bytes) -> PeerError:
    """The error that a refusal of the broker stands for; its code and text are the broker's, cut to a sane length."""
    try:
        found = _object(parse_json(body, max_bytes=64 * 1024))
        code, message = _text(found, "code"), _text(found, "message")
    except PeerError:
        return PeerError("QNSP-KBS-302", f"the broker answered {status}", got=str(status))
    clean = "".join(character if character.isprintable() else "?" for character in message[:1000])
    known = code if code.startswith("QNSP-") and len(code) <= 24 and code.isascii() and code.isprintable() else ""
    return PeerError(known or "QNSP-KBS-302", clean, got=str(status))


__all__ = [
    "JSON_TYPE",
    "KINDS",
    "PREFIX",
    "AdminRequest",
    "BrokerState",
    "ObjectEntry",
    "PlanAccepted",
    "StoredObject",
    "delete_object",
    "get_object",
    "get_state",
    "list_objects",
    "put_object",
    "read_changed",
    "read_object",
    "read_objects",
    "read_plan",
    "read_problem",
    "read_state",
    "submit_plan",
]
