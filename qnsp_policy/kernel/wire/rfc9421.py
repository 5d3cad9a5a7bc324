"""HTTP message signatures (RFC 9421) with ML-DSA as C2SP httpsig-pq v1.0.0 defines it, and Ed25519, ECDSA.

Comes in: a request or response as values, components to cover, a key. Goes out: the two headers, or a `VerifiedMessage`.
The signature base goes into the algorithm as it is: no pre-hash, empty context. The algorithm follows from the trusted
key; an `alg` parameter that says otherwise is refused. Components: header fields, `@method`, `@target-uri`,
`@authority`, `@scheme`, `@request-target`, `@path`, `@query`, `@query-param`, `@status`, and `;req`.
Not implemented, and refused: `;sf`, `;key`, `;bs`, `;tr`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto import signatures
from qnsp_policy.kernel.crypto.algorithms import HTTP_SIGNATURE_NAMES
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.wire.structured import (
    Bare,
    InnerList,
    Item,
    parse_dictionary,
    write_dictionary,
    write_item,
    write_member,
)

HTTP_NAME: Final = {name: http for http, name in HTTP_SIGNATURE_NAMES.items()}
"""`alg` value of RFC 9421 by our algorithm name."""

LABEL: Final = "qnsp"
MAX_SKEW: Final = timedelta(seconds=60)
_PORTS: Final = {"http": 80, "https": 443}
_PARAMETERS: Final = frozenset({"created", "expires", "nonce", "alg", "keyid", "tag"})
_DERIVED_RESPONSE: Final = frozenset({"@status"})
_MAX_COMPONENTS: Final = 64


Headers = Sequence[tuple[str, str]]


def header_list(headers: Mapping[str, str] | Headers) -> tuple[tuple[str, str], ...]:
    """Headers as pairs with lower-case names."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return tuple((name.lower(), value) for name, value in pairs)


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: as sent, upper-case.
        url: absolute target URI without fragment.
        headers: (name, value) pairs in order.
    """

    method: str
    url: str
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Response:
    """A response and the request it answers, which `;req` components are taken from."""

    status: int
    headers: Headers
    request: Request


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    """What a verified signature says; only `verify` makes one.

    Attributes:
        label: of the signature.
        key: that made it.
        covered: component identifiers as written, e.g. `"@status"`, `"content-digest";req`.
        created: time of signing.
        nonce: "" where there is none.
        tag: "" where there is none.
    """

    label: str
    key: PublicKey
    covered: tuple[str, ...]
    created: datetime
    nonce: str
    tag: str


def component(text: str) -> Item:
    """A component from its short form: `@method`, `content-digest`, `content-digest;req`, `@query-param;name=q`."""
    name, *rest = text.split(";")
    parameters: dict[str, Bare] = {}
    for part in rest:
        key, given, value = part.partition("=")
        parameters[key] = value.strip('"') if given else True
    return Item(name, parameters)


def _refuse(message: str, subject: str = "") -> PeerError:
    return PeerError("QNSP-SIG-023", f"HTTP signature: {message}", subject=subject or None)


def _derived(name: str, item: Item, message: Request | Response, request: Request) -> str:
    if name == "@status":
        if not isinstance(message, Response) or item.parameters.get("req"):
            raise _refuse("@status is of responses", name)
        return str(message.status)
    if name == "@method":
        return request.method
    parts = urlsplit(request.url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    try:
        port = parts.port
    except ValueError:
        raise _refuse("the URL has no valid port", name) from None
    host = f"[{host}]" if ":" in host else host
    authority = host if port in {None, _PORTS.get(scheme)} else f"{host}:{port}"
    path = parts.path or "/"
    # "?" alone is what an absent query reads as (RFC 9421 section 2.2.7).
    simple = {
        "@scheme": scheme,
        "@authority": authority,
        "@path": path,
        "@query": "?" + parts.query,
        "@request-target": path + ("?" + parts.query if parts.query else ""),
        "@target-uri": request.url.partition("#")[0],
    }
    if name in simple:
        return simple[name]
    if name == "@query-param":
        wanted = item.parameters.get("name")
        found = [value for key, value in parse_qsl(parts.query, keep_blank_values=True) if quote(key) == wanted]
        if not isinstance(wanted, str) or len(found) != 1:
            raise _refuse("a query parameter is missing or stands twice", name)
        return quote(found[0])
    raise _refuse(f"component {name[:60]!r} is not known", name)


def _value(item: Item, message: Request | Response) -> str:
    name = item.value
    if not isinstance(name, str) or name != name.lower():
        raise _refuse("a component name is lower-case text")
    if unknown := set(item.parameters) - {"req", "name"}:
        raise _refuse(f"component parameters {sorted(unknown)} are not implemented", name)
    from_request = item.parameters.get("req") is True
    if from_request and isinstance(message, Request):
        raise _refuse("`req` is for responses", name)
    request = message if isinstance(message, Request) else message.request
    if name.startswith("@"):
        if isinstance(message, Response) and not from_request and name not in _DERIVED_RESPONSE:
            raise _refuse("a response has this component of its request only, with `req`", name)
        return _derived(name, item, message, request)
    source = request if from_request else message
    values = [" ".join(value.strip(" \t").splitlines()) for key, value in source.headers if key.lower() == name]
    if not values:
        raise _refuse("a covered header is missing", name)
    return ", ".join(values)


def signature_base(message: Request | Response, covered: InnerList) -> bytes:
    """The bytes that are signed: one line a component, `@signature-params` last, no line feed at the end.

    Raises:
        PeerError: QNSP-SIG-023, a component is missing, unknown or stands twice.
    """
    lines, seen = [], set()
    for item in covered.items:
        try:
            identifier = write_item(item)
        except ValueError:
            raise _refuse("a component name is not ASCII") from None
        if identifier in seen or item.value == "@signature-params":
            raise _refuse("a component stands twice", identifier)
        seen.add(identifier)
        value = _value(item, message)
        if "\n" in value or "\r" in value:
            raise _refuse("a value holds a line feed", identifier)
        lines.append(f"{identifier}: {value}")
    lines.append(f'"@signature-params": {write_member(covered)}')
    try:
        return "\n".join(lines).encode("ascii")
    except UnicodeEncodeError:
        raise _refuse("a covered value is not ASCII") from None


def sign(
    message: Request | Response,
    components: Sequence[str],
    key: PrivateKey,
    *,
    created: datetime,
    expires: datetime | None = None,
    nonce: str = "",
    tag: str = "",
    label: str = LABEL,
) -> dict[str, str]:
    """The headers `Signature-Input` and `Signature`.

    Args:
        message: with every header that is covered already in place.
        components: short forms, in order.
        key: ML-DSA, Ed25519 or ECDSA.
        created: aware; whole seconds are signed.
        expires: aware, or None.
        nonce: printable ASCII or "".
        tag: what the signature is for, printable ASCII or "".
        label: of this signature; a message may carry several.

    Raises:
        PeerError: QNSP-SIG-023, a component is missing.
        ValueError: the key's algorithm has no name in HTTP signatures.
    """
    if key.algorithm not in HTTP_NAME:
        raise ValueError(f"{key.algorithm} has no name in HTTP signatures")
    parameters: dict[str, Bare] = {"created": int(created.timestamp())}
    if expires is not None:
        parameters["expires"] = int(expires.timestamp())
    if nonce:
        parameters["nonce"] = nonce
    parameters |= {"alg": HTTP_NAME[key.algorithm], "keyid": key.key_id}
    if tag:
        parameters["tag"] = tag
    covered = InnerList(tuple(component(text) for text in components), parameters)
    value = signatures.sign(key, signature_base(message, covered))
    return {
        "Signature-Input": write_dictionary({label: covered}),
        "Signature": write_dictionary({label: Item(value)}),
    }


def _joined(headers: Headers, name: str) -> str:
    return ", ".join(value for key, value in headers if key.lower() == name)


def _number(covered: InnerList, name: str) -> datetime | None:
    value = covered.parameters.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**36:
        raise _refuse(f"`{name}` is no time", name)
    return datetime.fromtimestamp(value, UTC)


def _text(covered: InnerList, name: str) -> str:
    value = covered.parameters.get(name, "")
    if type(value) is not str:
        raise _refuse(f"`{name}` is no text", name)
    return value


def verify(
    message: Request | Response,
    keys: Callable[[str], PublicKey | None] | Mapping[str, PublicKey],
    *,
    required: Sequence[str],
    now: datetime,
    max_age: timedelta | None,
    label: str = LABEL,
    tag: str | None = None,
) -> VerifiedMessage:
    """Verifies the signature with that label.

    Args:
        message: as received.
        keys: trusted key by `keyid`; the algorithm is the key's, never the message's.
        required: short forms of components that must be covered.
        now: aware; `max_age` None accepts any age (evidence that is looked at later), never the future.
        max_age: since `created`.
        label: which signature.
        tag: the tag it must carry; None takes any.

    Raises:
        PeerError: QNSP-SIG-023 malformed or incomplete, -024 no such signature, -025 unknown key, -026 algorithm does
            not belong to the key, -027 too old, expired or from the future, -001 it does not verify.
    """
    # 1 The signature and its input, by label.
    inputs = parse_dictionary(_joined(message.headers, "signature-input"))
    values = parse_dictionary(_joined(message.headers, "signature"))
    covered, value = inputs.get(label), values.get(label)
    if covered is None or value is None:
        raise PeerError("QNSP-SIG-024", f"the message carries no signature {label!r}", subject=label)
    if not isinstance(covered, InnerList) or not isinstance(value, Item) or not isinstance(value.value, bytes):
        raise _refuse("Signature-Input is no list, or Signature no byte sequence", label)
    unknown = set(covered.parameters) - _PARAMETERS
    if len(covered.items) > _MAX_COMPONENTS or unknown:
        raise _refuse(f"more than {_MAX_COMPONENTS} components, or unknown parameters {sorted(unknown)}", label)
    # 2 What must be covered.
    present = {write_item(item) for item in covered.items if isinstance(item.value, str) and item.value.isascii()}
    for text in required:
        if write_item(component(text)) not in present:
            raise _refuse(f"{text} is not covered", text)
    # 3 The key, and that all agree on the algorithm.
    key_id, alg = _text(covered, "keyid"), _text(covered, "alg")
    key = keys.get(key_id) if isinstance(keys, Mapping) else keys(key_id)
    if key is None:
        raise PeerError("QNSP-SIG-025", "the message is signed by an unknown key", subject=key_id[:64])
    if key.algorithm not in HTTP_NAME or (alg and alg != HTTP_NAME[key.algorithm]):
        raise PeerError(
            "QNSP-SIG-026",
            "the signature names another algorithm than its key has",
            subject=key_id[:64],
            expected=HTTP_NAME.get(key.algorithm, "a signature key"),
            got=alg[:40],
        )
    # 4 Times and tag.
    created, expires = _number(covered, "created"), _number(covered, "expires")
    if created is None:
        raise _refuse("no `created` time", label)
    if created > now + MAX_SKEW or (max_age is not None and now - created > max_age + MAX_SKEW):
        raise PeerError("QNSP-SIG-027", "the signature is too old or from the future", got=created.isoformat())
    if expires is not None and now > expires and max_age is not None:
        raise PeerError("QNSP-SIG-027", "the signature has expired", got=expires.isoformat())
    if tag is not None and _text(covered, "tag") != tag:
        raise _refuse(f"the signature was made for another purpose than {tag!r}", "tag")
    # 5 The signature.
    signatures.verify(key, value.value, signature_base(message, covered))
    return VerifiedMessage(
        label,
        key,
        tuple(write_item(item) for item in covered.items),
        created,
        _text(covered, "nonce"),
        _text(covered, "tag"),
    )


__all__ = [
    "HTTP_NAME",
    "LABEL",
    "MAX_SKEW",
    "Headers",
    "Request",
    "Response",
    "VerifiedMessage",
    "component",
    "header_list",
    "sign",
    "signature_base",
    "verify",
]
