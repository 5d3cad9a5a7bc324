"""TPM 2.0 commands, as far as NitroTPM's attestation document needs them: capabilities, an NV index as buffer, AWS's own command.

Comes in: handles, bytes. Goes out: a command; parameters of an answer. All integers big-endian. Sources: TCG TPM 2.0 Library revision
1.83, part 1 section 18 (structure of commands), part 2 (constants), part 3 sections 30 and 31; AWS, NitroTPM-Tools, nitro-tpm-attest
(vendor command 0x20000001: handles are the buffer's NV index twice, authorised by the index's own value; request and answer stand in
the buffer). Authorisations are passwords: between this guest and its hypervisor's TPM nobody else listens.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from qnsp_policy.errors import PeerError

MAX_MESSAGE: Final = 4096
BUFFER_SIZE: Final = 8192
"""Bytes of the NV index that carries request and answer."""
NV_FIRST: Final = 0x01800000
NV_LAST: Final = 0x01BFFFFF
"""NV indices that are the owner's (TCG, Registry of Reserved TPM 2.0 Handles and Localities, section 2.2)."""
OWNER: Final = 0x40000001
AWS_NSM_REQUEST: Final = 0x20000001
NV_BUFFER_MAX: Final = 0x12C

_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_RS_PASSWORD: Final = 0x40000009
_NV_UNDEFINE, _NV_DEFINE, _NV_WRITE, _NV_READ, _GET_CAPABILITY = 0x122, 0x12A, 0x137, 0x14E, 0x17A
_CAP_HANDLES, _CAP_PROPERTIES = 1, 6
_SHA256: Final = 0x000B
_AUTH_WRITE, _AUTH_READ = 1 << 2, 1 << 18
_HEADER: Final = struct.Struct(">HII")


@dataclass(frozen=True, slots=True)
class Command:
    """A command's bytes and its name for messages; whether its answer carries sessions follows from the command."""

    name: str
    data: bytes

    @property
    def has_sessions(self) -> bool:
        return self.data[:2] == _SESSIONS.to_bytes(2, "big")


def _command(name: str, code: int, handles: tuple[int, ...], auth: bytes | None, parameters: bytes = b"") -> Command:
    body = b"".join(handle.to_bytes(4, "big") for handle in handles)
    if auth is not None:
        area = struct.pack(">IHBH", _RS_PASSWORD, 0, 0, len(auth)) + auth
        body += len(area).to_bytes(4, "big") + area
    body += parameters
    tag = _NO_SESSIONS if auth is None else _SESSIONS
    return Command(name, _HEADER.pack(tag, _HEADER.size + len(body), code) + body)


def get_property(number: int) -> Command:
    """TPM2_GetCapability of one TPM property."""
    return _command("GetCapability", _GET_CAPABILITY, (), None, struct.pack(">III", _CAP_PROPERTIES, number, 1))


def get_nv_handles(first: int = NV_FIRST, count: int = 128) -> Command:
    """TPM2_GetCapability of defined NV indices from `first` on."""
    return _command("GetCapability", _GET_CAPABILITY, (), None, struct.pack(">III", _CAP_HANDLES, first, count))


def nv_define(index: int, auth: bytes, size: int = BUFFER_SIZE) -> Command:
    """TPM2_NV_DefineSpace of an ordinary index that whoever knows `auth` may read and write."""
    public = struct.pack(">IHIHH", index, _SHA256, _AUTH_WRITE | _AUTH_READ, 0, size)
    parameters = len(auth).to_bytes(2, "big") + auth + len(public).to_bytes(2, "big") + public
    return _command("NV_DefineSpace", _NV_DEFINE, (OWNER,), b"", parameters)


def nv_undefine(index: int) -> Command:
    """TPM2_NV_UndefineSpace."""
    return _command("NV_UndefineSpace", _NV_UNDEFINE, (OWNER, index), b"")


def nv_write(index: int, auth: bytes, data: bytes, offset: int) -> Command:
    """TPM2_NV_Write of one piece."""
    parameters = len(data).to_bytes(2, "big") + data + offset.to_bytes(2, "big")
    return _command("NV_Write", _NV_WRITE, (index, index), auth, parameters)


def nv_read(index: int, auth: bytes, size: int, offset: int) -> Command:
    """TPM2_NV_Read of one piece."""
    return _command("NV_Read", _NV_READ, (index, index), auth, struct.pack(">HH", size, offset))


def nsm_request(index: int, auth: bytes) -> Command:
    """AWS's command: the request that stands in the buffer is answered into the buffer."""
    return _command("AWS_NSM_Request", AWS_NSM_REQUEST, (index, index), auth)


def parameters(command: Command, response: bytes) -> bytes:
    """The parameters of an answer.

    Raises:
        PeerError: `QNSP-GST-044` malformed; `QNSP-GST-045` the TPM's response code is not success.
    """
    if not _HEADER.size <= len(response) <= MAX_MESSAGE:
        raise _bad(command, f"an answer of {len(response)} bytes")
    tag, size, code = _HEADER.unpack_from(response)
    if size != len(response):
        raise _bad(command, f"the answer says {size} bytes and has {len(response)}")
    if code:
        raise PeerError(
            "QNSP-GST-045",
            f"the TPM refused {command.name} with response code 0x{code:03x}",
            subject=command.name,
            next_step="0x143: no NitroTPM (the command is unknown); 0x921: locked out; see TPM 2.0 part 2 section 6.6",
        )
    if tag != (_SESSIONS if command.has_sessions else _NO_SESSIONS):
        raise _bad(command, f"tag 0x{tag:04x}")
    body = response[_HEADER.size :]
    if not command.has_sessions:
        return body
    length = int.from_bytes(body[:4], "big")
    if len(body) < 4 or length > len(body) - 4:
        raise _bad(command, "its parameters are longer than the answer")
    return body[4 : 4 + length]


def sized(command: Command, data: bytes) -> bytes:
    """The one TPM2B that the parameters are.

    Raises:
        PeerError: `QNSP-GST-044`.
    """
    if len(data) < 2 or int.from_bytes(data[:2], "big") != len(data) - 2:
        raise _bad(command, "its parameter has another size than it says")
    return data[2:]


def capability(command: Command, data: bytes) -> list[int]:
    """Handles, or the values of properties, of an answer to GetCapability.

    Raises:
        PeerError: `QNSP-GST-044`.
    """
    if len(data) < 9:
        raise _bad(command, "cut short")
    kind, count = struct.unpack_from(">II", data, 1)
    width = {_CAP_HANDLES: 4, _CAP_PROPERTIES: 8}.get(kind)
    if width is None or len(data) != 9 + count * width:
        raise _bad(command, "its list has another size than it says")
    return [int.from_bytes(data[at + width - 4 : at + width], "big") for at in range(9, len(data), width)]


def _bad(command: Command, text: str) -> PeerError:
    return PeerError("QNSP-GST-044", f"TPM, answer to {command.name}: {text}", subject=command.name)


__all__ = [
    "AWS_NSM_REQUEST",
    "BUFFER_SIZE",
    "MAX_MESSAGE",
    "NV_BUFFER_MAX",
    "NV_FIRST",
    "NV_LAST",
    "Command",
    "capability",
    "get_nv_handles",
    "get_property",
    "nsm_request",
    "nv_define",
    "nv_read",
    "nv_undefine",
    "nv_write",
    "parameters",
    "sized",
]
