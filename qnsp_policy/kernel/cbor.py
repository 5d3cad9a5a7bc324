"""One CBOR item (RFC 8949) from bytes that somebody else chose: no tags, no duplicate keys, bounded nesting.

Comes in: bytes. Goes out: plain values. Deterministic encoding is the caller's to demand, by encoding again and comparing.
"""

from __future__ import annotations

import io
from typing import Any, Final

import cbor2

MAX_DEPTH: Final = 8
_BUILT_IN_TAGS: Final = (*range(6), 21, 22, 23, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799)
"""Tags that the CBOR library would turn into dates, numbers or patterns; what is read here holds none."""


class CborError(ValueError):
    """The bytes are not one such item; callers turn it into their own code."""


def _no_tag(*_: Any) -> Any:
    raise ValueError("a tag stands inside the document")


_DECODERS: Final = dict.fromkeys(_BUILT_IN_TAGS, _no_tag)


def decode(data: bytes) -> Any:
    """The one item that `data` is, all of it.

    Raises:
        CborError: not one item, a tag, a duplicate key, nested deeper than 8, bytes behind it.
    """
    item, end = _decode(data)
    if end != len(data):
        raise CborError("bytes follow the item")
    return item


def decode_first(data: bytes) -> Any:
    """The first item of a buffer that may be longer than what was written into it.

    Raises:
        CborError: as `decode`, but for what follows.
    """
    return _decode(data)[0]


def _decode(data: bytes) -> tuple[Any, int]:
    stream = io.BytesIO(data)
    try:
        item = cbor2.load(
            stream, max_depth=MAX_DEPTH, allow_duplicate_keys=False, tag_hook=_no_tag, semantic_decoders=_DECODERS
        )
    except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise CborError(str(error).splitlines()[0][:120] if str(error) else "") from error
    return item, stream.tell()


__all__ = ["MAX_DEPTH", "CborError", "decode", "decode_first"]
