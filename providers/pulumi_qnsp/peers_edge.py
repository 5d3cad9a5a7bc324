"""Who calls a provider over loopback: only processes of our own user are answered.

A TCP port of the loopback interface is open to every user of the machine, and the protocol between engine and provider
has no secret. The kernel knows whose socket is at the other end of a connection: it is asked for exactly that socket
(sock_diag(7)), or, where it does not answer, its table is read (`/proc/net/tcp`, proc(5)). A process of the same user
could read the keys that the provider uses, so it gains nothing by calling it.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import urllib.parse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = 1
_ESTABLISHED = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_QUESTION = struct.Struct("=BBBxI")  # struct inet_diag_req_v2 before its sockid
_SOCKID = struct.Struct("!HH4s12x4s12xI8s")  # struct inet_diag_sockid: ports, addresses, interface, cookie
_UID_OFFSET = _HEADER.size + 4 + _SOCKID.size + 12  # in struct inet_diag_msg
_LOOPBACK = bytes((127, 0, 0, 1))
_NOT_KNOWN = "whose process calls cannot be known: the kernel names none, or no file descriptors are left (`ulimit -n`)"


def owner_of(peer: str, port: int) -> int | None:
    """The user at the other end of a connection over IPv4 loopback, None if the kernel names none.

    Args:
        peer: as gRPC writes it, `ipv4:127.0.0.1:40000`.
        port: our end's.
    """
    kind, _, address = urllib.parse.unquote(peer).partition(":")
    host, _, theirs = address.rpartition(":")
    if kind != "ipv4" or host != "127.0.0.1" or not theirs.isdigit():
        return None
    try:
        return _asked(int(theirs), port)
    except OSError:
        return _read(int(theirs), port)


def _asked(theirs: int, ours: int) -> int | None:
    sockid = _SOCKID.pack(theirs, ours, _LOOPBACK, _LOOPBACK, 0, b"\xff" * 8)
    question = _QUESTION.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 1 << _ESTABLISHED) + sockid
    header = _HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(1)
        kernel.send(header + question)
        answer = kernel.recv(4096)
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY:
        raise OSError("the kernel does not say")
    if answer[_HEADER.size + 1] != _ESTABLISHED:
        return None
    return int(struct.unpack_from("=I", answer, _UID_OFFSET)[0])


def _read(theirs: int, ours: int) -> int | None:
    ends = (b"0100007F:%04X" % theirs, b"0100007F:%04X" % ours)
    try:
        rows = Path("/proc/net/tcp").read_bytes().splitlines()[1:]
    except OSError:
        return None
    for row in rows:
        fields = row.split()
        if (fields[1], fields[2]) == ends and int(fields[3], 16) == _ESTABLISHED:
            return int(fields[7])
    return None


class OwnUser(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Refuses every call of another user. Not checked: which process of our user it is.

    Attributes:
        port: where the server listens.
    """

    port = 0

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None or sys.platform != "linux":
            return handler
        inner = handler.unary_unary

        async def guarded(request: Any, context: Any) -> Any:
            owner = owner_of(context.peer(), self.port)
            if owner is None:
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, _NOT_KNOWN)
            if owner != os.geteuid():
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not a process of this provider's user")
            return await inner(request, context)

        return grpc.unary_unary_rpc_method_handler(
            guarded, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


__all__ = ["OwnUser", "owner_of"]
