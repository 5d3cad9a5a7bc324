"""Canonical JSON (RFC 8785, JCS) and the strict reader that goes with it, digests as text, base64 helpers.

Comes in: plain JSON values or bytes of a peer. Goes out: the one byte string that is hashed and signed, or a value.
Integers beyond 2**53-1, NaN, infinities, lone surrogates and duplicate member names are refused in both directions:
two implementations would not agree on their bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from qnsp_policy.errors import PeerError

MAX_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 64
_DIGEST = re.compile(r"sha(?:256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})\Z")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", re.ASCII)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")
_FIRST_UNSORTABLE: Final = "\ud7ff"
"""Up to here UTF-16 code unit order and code point order are the same."""


class CanonicalJsonError(PeerError, ValueError):
    """A value has no canonical JSON form, or bytes are not the strict JSON that this project reads."""


def _refuse(message: str) -> CanonicalJsonError:
    return CanonicalJsonError("QNSP-SIG-011", message)


def _number(value: float) -> str:
    """A double as ECMAScript's Number::toString writes it (ECMA-262 6.1.6.1.20), which RFC 8785 3.2.2.3 demands."""
    if not math.isfinite(value):
        raise _refuse("NaN and infinities have no JSON form")
    if value == 0:
        return "0"
    sign, text = ("-", repr(-value)) if value < 0 else ("", repr(value))
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    # `point` is n of the standard: the value is 0.digits * 10**point.
    if count <= point <= 21:
        body = digits + "0" * (point - count)
    elif 0 < point <= 21:
        body = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        body = "0." + "0" * -point + digits
    else:
        shown = point - 1
        body = f"{digits[0]}{'.' if count > 1 else ''}{digits[1:]}e{'+' if shown >= 0 else '-'}{abs(shown)}"
    return sign + body


def _plain(value: Any, depth: int) -> bool:
    """True if the C encoder of `json` writes this value canonically; refuses what has no canonical form."""
    if value is None or value is True or value is False or isinstance(value, str):
        return True
    kind = type(value)
    if kind is not dict and kind is not list and isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise _refuse("an integer beyond 2**53-1 is not exact in JSON: write it as text")
        return type(value) is int
    if depth >= MAX_DEPTH:
        raise _refuse(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        plain = type(value) is dict
        for name, member in value.items():
            if not isinstance(name, str):
                raise _refuse(f"a member name is {type(name).__name__}, not text")
            # The order of names is by UTF-16 code units, which differs from code points only above U+D7FF.
            if not name.isascii() and max(name) > _FIRST_UNSORTABLE:
                plain = False
            if type(member) is not str:  # most members are text: a call for each would be most of the time
                plain = _plain(member, depth + 1) and plain
        return plain
    if isinstance(value, (list, tuple)):
        plain = True
        for member in value:
            if type(member) is not str:
                plain = _plain(member, depth + 1) and plain
        return plain
    if isinstance(value, float):
        return False
    raise _refuse(f"{type(value).__name__} is not a JSON value")


_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _write(value: Any) -> str:
    if value is None or value is True or value is False or isinstance(value, str):
        return _ENCODER.encode(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_ENCODER.encode(name)}:{_write(value[name])}" for name in names) + "}"
    return "[" + ",".join(_write(member) for member in value) + "]"


def jcs(value: Any) -> bytes:
    """The RFC 8785 bytes of a plain JSON value (mappings, lists or tuples, text, numbers, booleans, None).

    Raises:
        CanonicalJsonError: QNSP-SIG-011, the value has no canonical form.
    """
    text = _ENCODER.encode(value) if _plain(value, 0) else _write(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _refuse("text holds a lone surrogate") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _refuse("a member name stands twice in one object")
    return members


def _integer(text: str) -> int:
    if len(text) > 17 or not -MAX_INTEGER <= (value := int(text)) <= MAX_INTEGER:
        raise _refuse("an integer is beyond 2**53-1")
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _refuse("a number is too large for a double")
    return value


def _constant(text: str) -> Any:
    raise _refuse(f"{text} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _check_depth(text: str) -> None:
    """Caps nesting before the recursive decoder sees it; the exact look is taken only where brackets are many."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth, inside, escaped = 0, False, False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _refuse(f"nested deeper than {MAX_DEPTH} levels")
        elif character in "]}":
            depth -= 1


def parse_json(data: bytes | str, *, max_bytes: int = 16 * 1024 * 1024) -> Any:
    """Reads strict JSON of a peer: UTF-8 without BOM, no duplicate names, no NaN, integers within 2**53-1, capped.

    Args:
        data: bytes or text as received.
        max_bytes: refuse more than this, in bytes (characters for text).

    Raises:
        CanonicalJsonError: QNSP-SIG-011, on anything else.
    """
    if len(data) > max_bytes:
        raise _refuse(f"JSON of {len(data)} bytes; at most {max_bytes} are read")
    try:
        text = data if isinstance(data, str) else data.decode()
        _check_depth(text)
        value = _DECODER.decode(text)
        if not text.isascii() or "\\u" in text:
            _refuse_surrogates(value)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        what = "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"{error.msg} at character {error.pos}"
        raise _refuse(f"not JSON: {what}") from None
    return value


def parse_object(data: bytes | str, *, max_bytes: int = 16 * 1024 * 1024) -> dict[str, Any]:
    """Like `parse_json`, and refuses anything but an object."""
    value = parse_json(data, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise _refuse("not a JSON object")
    return value


def _refuse_surrogates(value: Any) -> None:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise _refuse("text holds a lone surrogate")
    elif isinstance(value, dict):
        for name, member in value.items():
            _refuse_surrogates(name)
            _refuse_surrogates(member)
    elif isinstance(value, list):
        for member in value:
            _refuse_surrogates(member)


def sha256_digest(data: bytes) -> str:
    """`sha256:<64 hex digits>` of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_like(wanted: str, data: bytes) -> str:
    """The digest of the bytes by the algorithm (sha256, sha384, sha512) that another digest names."""
    algorithm = wanted.partition(":")[0]
    if algorithm not in {"sha256", "sha384", "sha512"}:
        raise ValueError(f"{wanted[:16]!r} names no digest algorithm")
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def sha384_digest(data: bytes) -> str:
    """`sha384:<96 hex digits>` of the bytes."""
    return "sha384:" + hashlib.sha384(data).hexdigest()


def is_digest(text: object) -> bool:
    """True for `sha256:`, `sha384:` or `sha512:` with lower-case hex of the right length."""
    return isinstance(text, str) and _DIGEST.match(text) is not None


def same(left: bytes | str, right: bytes | str) -> bool:
    """Compares two byte strings or texts in a time that depends on their lengths only."""
    a = left.encode("utf-8", "surrogatepass") if isinstance(left, str) else left
    b = right.encode("utf-8", "surrogatepass") if isinstance(right, str) else right
    return hmac.compare_digest(a, b)


def b64(data: bytes) -> str:
    """Standard base64, padded (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: object, what: str = "base64 value") -> bytes:
    """Reads standard padded base64 strictly: no whitespace, no stray bits.

    Raises:
        CanonicalJsonError: QNSP-SIG-011.
    """
    if not isinstance(text, str):
        raise _refuse(f"{what} is not text")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise _refuse(f"{what} is not base64") from None
    if b64(data) != text:
        raise _refuse(f"{what} is not canonical base64")
    return data


def b64url(data: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64url(text: object, what: str = "base64url value") -> bytes:
    """Reads base64url without padding strictly.

    Raises:
        CanonicalJsonError: QNSP-SIG-011.
    """
    if not isinstance(text, str) or _BASE64URL.match(text) is None or len(text) % 4 == 1:
        raise _refuse(f"{what} is not base64url without padding")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url(data) != text:
        raise _refuse(f"{what} is not canonical base64url")
    return data


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with seconds and Z; fractions are cut.

    Raises:
        ValueError: the time has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone means nothing")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: object) -> datetime:
    """Reads exactly the form that `timestamp` writes.

    Raises:
        CanonicalJsonError: QNSP-SIG-011.
    """
    if not isinstance(text, str) or _TIMESTAMP.match(text) is None:
        raise _refuse("a time is written like 2026-11-21T10:00:00Z")
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _refuse(f"{text} is no date") from None


__all__ = [
    "MAX_DEPTH",
    "MAX_INTEGER",
    "CanonicalJsonError",
    "b64",
    "b64url",
    "digest_like",
    "is_digest",
    "jcs",
    "parse_json",
    "parse_object",
    "parse_timestamp",
    "same",
    "sha256_digest",
    "sha384_digest",
    "timestamp",
    "unb64",
    "unb64url",
]
