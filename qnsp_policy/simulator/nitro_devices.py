"""Simulated `/dev/nsm` and NitroTPM: the devices' own messages, answered under a throw-away AWS. Insecure by name.

Comes in: requests of `kernel.wire.nsm`, TPM commands. Goes out: answers, error codes and response codes as the hardware gives them. Written
from the specifications, apart from the guest that speaks to it: a slip of one side shows.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import cbor2

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel import cbor
from qnsp_policy.kernel.wire import nsm
from qnsp_policy.simulator import nitro


@dataclass(slots=True)
class SimulatedNsm:
    """A Nitro Secure Module.

    Attributes:
        pki: under which documents are signed.
        clock: gives documents their time.
        pcrs: registers that are not the simulator's own; all zeros in PCR0 to PCR2 is debug mode.
        tpm: whether documents are NitroTPM's.
    """

    pki: nitro.NitroPki
    clock: Callable[[], datetime]
    pcrs: Mapping[int, bytes] = field(default_factory=dict)
    tpm: bool = False

    def exchange(self, request: bytes) -> bytes:
        """The answer to one request."""
        if len(request) > nsm.MAX_REQUEST:
            return nsm.error("InputTooLarge")
        try:
            name, arguments = nsm.read_request(request)
        except PeerError:
            return nsm.error("InvalidArgument")
        match name:
            case "Attestation":
                return self._attestation(arguments)
            case "DescribePCR":
                index = arguments.get("index")
                if type(index) is not int or not 0 <= index < 32:
                    return nsm.error("InvalidIndex")
                values = nitro.payload(self.pki, self.clock(), pcrs=self.pcrs)["pcrs"]
                return nsm.answer("DescribePCR", {"lock": index < 16, "data": values.get(index, bytes(48))})
            case "GetRandom":
                return nsm.answer("GetRandom", {"random": os.urandom(256)})
        return nsm.error("InvalidOperation")

    def _attestation(self, arguments: Mapping[str, object]) -> bytes:
        fields = {name: arguments.get(name) for name in nsm.LIMITS}
        for name, value in fields.items():
            if value is not None and not isinstance(value, bytes):
                return nsm.error("InvalidArgument")
            if value is not None and len(value) > nsm.LIMITS[name]:
                return nsm.error("InputTooLarge")
        document = nitro.document(self.pki, self.clock(), pcrs=self.pcrs, tpm=self.tpm, **fields)
        return nsm.answer("Attestation", {"document": document})


_FAILURE, _COMMAND_CODE, _BAD_SIZE, _NV_DEFINED, _NV_RANGE, _HANDLE, _BAD_AUTH = (
    0x101,
    0x143,
    0x142,
    0x14C,
    0x146,
    0x18B,
    0x98E,
)


@dataclass(slots=True)
class _Index:
    auth: bytes
    data: bytearray


@dataclass(slots=True)
class SimulatedTpm:
    """As much of a TPM 2.0 as an NV buffer and AWS's command need."""

    module: SimulatedNsm
    piece: int = 1024
    indices: dict[int, _Index] = field(default_factory=dict)

    def transmit(self, command: bytes) -> bytes:
        """The answer to one command."""
        if len(command) < 10:
            return _refused(_BAD_SIZE)
        tag, size, code = struct.unpack_from(">HII", command)
        if size != len(command):
            return _refused(_BAD_SIZE)
        body = command[10:]
        if code == 0x17A and tag == 0x8001:
            return self._capability(body)
        if tag != 0x8002:
            return _refused(_COMMAND_CODE)
        one_handle = code == 0x12A
        handles = struct.unpack_from(">I" if one_handle else ">II", body)
        at = 4 * len(handles)
        (area,) = struct.unpack_from(">I", body, at)
        session, nonce, _, length = struct.unpack_from(">IHBH", body, at + 4)
        auth = body[at + 13 : at + 13 + length]
        parameters = body[at + 4 + area :]
        if session != 0x40000009 or nonce or area != 9 + length:
            return _refused(_BAD_AUTH)
        return self._run(code, handles, auth, parameters)

    def _capability(self, body: bytes) -> bytes:
        kind, first, _ = struct.unpack(">III", body)
        if kind == 1:
            found = sorted(index for index in self.indices if index >= first)
            listed = b"".join(index.to_bytes(4, "big") for index in found)
            return _answered(struct.pack(">BII", 0, 1, len(found)) + listed, sessions=False)
        return _answered(struct.pack(">BIIII", 0, 6, 1, first, self.piece), sessions=False)

    def _run(self, code: int, handles: tuple[int, ...], auth: bytes, parameters: bytes) -> bytes:
        if code == 0x12A:
            return self._define(parameters)
        index = self.indices.get(handles[1])
        if index is None:
            return _refused(_HANDLE)
        if code == 0x122:
            del self.indices[handles[1]]
            return _answered(b"")
        if handles[0] != handles[1] or not secrets.compare_digest(auth, index.auth):
            return _refused(_BAD_AUTH)
        if code == 0x137:
            (length,) = struct.unpack_from(">H", parameters)
            (offset,) = struct.unpack_from(">H", parameters, 2 + length)
            if length > self.piece or offset + length > len(index.data):
                return _refused(_NV_RANGE)
            index.data[offset : offset + length] = parameters[2 : 2 + length]
            return _answered(b"")
        if code == 0x14E:
            length, offset = struct.unpack(">HH", parameters)
            if length > self.piece or offset + length > len(index.data):
                return _refused(_NV_RANGE)
            return _answered(length.to_bytes(2, "big") + bytes(index.data[offset : offset + length]))
        if code == 0x20000001:
            answer = self.module.exchange(_first_item(bytes(index.data)))
            if len(answer) > len(index.data):
                return _refused(_FAILURE)
            index.data[: len(answer)] = answer
            return _answered(b"")
        return _refused(_COMMAND_CODE)

    def _define(self, parameters: bytes) -> bytes:
        (length,) = struct.unpack_from(">H", parameters)
        auth, public = parameters[2 : 2 + length], parameters[4 + length :]
        number, _, attributes, _, size = struct.unpack(">IHIHH", public)
        if number in self.indices:
            return _refused(_NV_DEFINED)
        if attributes != (1 << 2 | 1 << 18):
            return _refused(_NV_RANGE)
        self.indices[number] = _Index(auth, bytearray(b"\xff" * size))
        return _answered(b"")


def _first_item(data: bytes) -> bytes:
    """The request at the beginning of a buffer that is filled with 0xFF behind it."""
    try:
        return cbor2.dumps(cbor.decode_first(data))
    except cbor.CborError:
        return data


def _refused(code: int) -> bytes:
    return struct.pack(">HII", 0x8001, 10, code)


def _answered(parameters: bytes, *, sessions: bool = True) -> bytes:
    if not sessions:
        return struct.pack(">HII", 0x8001, 10 + len(parameters), 0) + parameters
    body = len(parameters).to_bytes(4, "big") + parameters + bytes.fromhex("0000010000")
    return struct.pack(">HII", 0x8002, 10 + len(body), 0) + body


class DeviceSocket:
    """A unix socket that a guest takes for its device: the NSM's by messages, the TPM's by a stream."""

    def __init__(self, path: Path, answer: Callable[[bytes], bytes], *, stream: bool = False) -> None:
        self.path, self._answer = path, answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if stream else socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.path.unlink()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                if request := connection.recv(nsm.MAX_REQUEST + 1):
                    connection.sendall(self._answer(request))


__all__ = ["DeviceSocket", "SimulatedNsm", "SimulatedTpm"]
