"""Messages of the Nitro Secure Module, bytes to values and back: what an enclave writes to `/dev/nsm`, what NitroTPM takes in a buffer.

A request is CBOR: the text of its name, or a map of one name to its arguments; an answer is `{name: members}` or `{"Error": code}`.
Sources: AWS, aws-nitro-enclaves-nsm-api, `src/api/mod.rs` (names, members, error codes); Linux `include/uapi/linux/nsm.h` (6.8: sizes,
the ioctl); Nitro Enclaves user guide, "Verifying the root of trust" (sizes of an attestation document's fields).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cbor2

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel import cbor

IOCTL_RAW: Final = 0xC0200A00
"""_IOWR(0x0A, 0, struct nsm_raw): two iovecs of 64-bit address and length, 32 bytes; needs CAP_SYS_ADMIN."""
MAX_REQUEST: Final = 0x1000
MAX_RESPONSE: Final = 0x3000
PCR_COUNT: Final = 32
LIMITS: Final[Mapping[str, int]] = {"user_data": 512, "nonce": 512, "public_key": 1024}
"""Bytes that each field of an attestation document may have."""
ERRORS: Final = frozenset(
    {
        "InvalidArgument",
        "InvalidIndex",
        "InvalidResponse",
        "ReadOnlyIndex",
        "InvalidOperation",
        "BufferTooSmall",
        "InputTooLarge",
        "InternalError",
    }
)
_DIGESTS: Final = frozenset({32, 48, 64})
_MAX_RANDOM: Final = 256


def attestation_request(
    *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
) -> bytes:
    """A request for an attestation document.

    Raises:
        OperatorError: `QNSP-GST-040`: a field is over its limit.
    """
    fields = {"user_data": user_data, "nonce": nonce, "public_key": public_key}
    for name, value in fields.items():
        if value is not None and len(value) > LIMITS[name]:
            raise OperatorError(
                "QNSP-GST-040",
                f"{name} has {len(value)} bytes; an attestation document takes {LIMITS[name]}",
                subject=name,
            )
    return cbor2.dumps({"Attestation": fields})


def describe_pcr_request(index: int) -> bytes:
    """A request for one register's value and lock.

    Raises:
        OperatorError: `QNSP-GST-040`: no such register.
    """
    if not 0 <= index < PCR_COUNT:
        raise OperatorError("QNSP-GST-040", f"there is no PCR{index}; 0 to {PCR_COUNT - 1}", subject="index")
    return cbor2.dumps({"DescribePCR": {"index": index}})


def get_random_request() -> bytes:
    """A request for entropy."""
    return cbor2.dumps("GetRandom")


def _members(response: bytes, name: str, *, buffer: bool) -> Mapping[str, Any]:
    if not 0 < len(response) <= MAX_RESPONSE:
        raise _bad(f"an answer of {len(response)} bytes; 1 to {MAX_RESPONSE} are taken")
    try:
        item = cbor.decode_first(response) if buffer else cbor.decode(response)
    except cbor.CborError as error:
        raise _bad(f"the answer is not CBOR: {error}") from error
    if not isinstance(item, dict) or len(item) != 1:
        raise _bad("the answer is not a map of one name")
    if "Error" in item:
        code = item["Error"]
        known = isinstance(code, str) and code in ERRORS
        raise PeerError(
            "QNSP-GST-042",
            f"the Nitro Secure Module refused {name}: {code if known else 'unknown error code'}",
            subject=name,
        )
    members = item.get(name)
    if not isinstance(members, dict):
        raise _bad(f"the answer is not one to {name}")
    return members


def _bad(text: str) -> PeerError:
    return PeerError("QNSP-GST-041", f"Nitro Secure Module: {text}", subject="answer")


def _octets(members: Mapping[str, Any], name: str, allowed: frozenset[str]) -> bytes:
    value = members.get(name)
    if not isinstance(value, bytes) or members.keys() != allowed:
        raise _bad(f"the answer does not hold exactly {', '.join(sorted(allowed))}")
    return value


def read_attestation(response: bytes, *, buffer: bool = False) -> bytes:
    """The document of an answer to `attestation_request`, unverified.

    Args:
        response: the answer.
        buffer: the answer stands at the beginning of a buffer of fixed size (NitroTPM), whatever follows it.

    Raises:
        PeerError: `QNSP-GST-041` malformed, `QNSP-GST-042` refused by the module.
    """
    document = _octets(_members(response, "Attestation", buffer=buffer), "document", frozenset({"document"}))
    if not document:
        raise _bad("the document is empty")
    return document


def read_pcr(response: bytes) -> tuple[bytes, bool]:
    """Value and lock of a register; raises as `read_attestation`."""
    members = _members(response, "DescribePCR", buffer=False)
    value, lock = _octets(members, "data", frozenset({"lock", "data"})), members.get("lock")
    if not isinstance(lock, bool) or len(value) not in _DIGESTS:
        raise _bad("a register is a digest and whether it is locked")
    return value, lock


def read_random(response: bytes) -> bytes:
    """The bytes of an answer to `get_random_request`; raises as `read_attestation`."""
    value = _octets(_members(response, "GetRandom", buffer=False), "random", frozenset({"random"}))
    if not 0 < len(value) <= _MAX_RANDOM:
        raise _bad(f"{len(value)} bytes of entropy")
    return value


def read_request(data: bytes) -> tuple[str, Mapping[str, Any]]:
    """Name and arguments of a request, for whoever answers it (a simulator).

    Raises:
        PeerError: `QNSP-GST-041`: malformed.
    """
    try:
        item = cbor.decode(data)
    except cbor.CborError as error:
        raise _bad(f"the request is not CBOR: {error}") from error
    if isinstance(item, str):
        return item, {}
    if isinstance(item, dict) and len(item) == 1:
        ((name, arguments),) = item.items()
        if isinstance(name, str) and isinstance(arguments, dict):
            return name, arguments
    raise _bad("the request has another shape")


def answer(name: str, members: Mapping[str, Any]) -> bytes:
    """An answer as the module gives it."""
    return cbor2.dumps({name: dict(members)})


def error(code: str) -> bytes:
    """A refusal as the module gives it."""
    return cbor2.dumps({"Error": code})


__all__ = [
    "ERRORS",
    "IOCTL_RAW",
    "LIMITS",
    "MAX_REQUEST",
    "MAX_RESPONSE",
    "answer",
    "attestation_request",
    "describe_pcr_request",
    "error",
    "get_random_request",
    "read_attestation",
    "read_pcr",
    "read_random",
    "read_request",
]
