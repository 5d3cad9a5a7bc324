"""Bridges: bytes both ways, ends handed on, far sides that are not there; over TCP, and over vsock where the kernel loops it back."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.services.guest.bridges import Bridge, StreamAddress
from qnsp_policy.testing.listening import answering
from qnsp_policy.testing.ports import free_port


@pytest.mark.parametrize(
    "text", ["tcp://127.0.0.1:8555", "tcp://[::1]:1", "vsock://parent:8000", "vsock://16:4294967294", "vsock://any:1"]
)
def test_an_address_is_read_and_written(text: str) -> None:
    """What is read is what is written."""
    assert str(StreamAddress.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp://x",
        "tcp://x:0",
        "tcp://x:65536",
        "vsock://x:1",
        "vsock://3:4294967295",
        "vsock://4294967296:1",
        "unix:/x",
    ],
)
def test_another_form_is_refused(text: str) -> None:
    """A mistyped address is said at the start, not at the first stream."""
    with pytest.raises(OperatorError, match="QNSP-GST-047"):
        StreamAddress.parse(text)


def local() -> StreamAddress:
    return StreamAddress("tcp", "127.0.0.1", free_port())


@pytest.fixture
def echo() -> Iterator[StreamAddress]:
    """A server that says everything back, then its end."""
    listener = socket.create_server(("127.0.0.1", 0))

    def say_back(stream: socket.socket) -> None:
        data = b""
        while piece := stream.recv(65536):
            data += piece
        stream.sendall(data)

    address = StreamAddress("tcp", "127.0.0.1", listener.getsockname()[1])
    with answering(listener, say_back):
        yield address


def said_back(address: StreamAddress, data: bytes) -> bytes:
    with address.connect() as stream:

        def say() -> None:
            with contextlib.suppress(OSError):  # a bridge without a far side has closed meanwhile
                stream.sendall(data)
                stream.shutdown(socket.SHUT_WR)

        threading.Thread(target=say, daemon=True).start()
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := stream.recv(65536):
                found += piece
        return found


def test_bytes_go_both_ways_and_ends_are_handed_on(echo: StreamAddress) -> None:
    """A megabyte, through two bridges, answered only after its end came through."""
    first, second = local(), local()
    bridges = [Bridge(first, second), Bridge(second, echo)]
    try:
        data = bytes(range(256)) * 4096
        assert said_back(first, data) == data
        assert said_back(first, b"") == b""
    finally:
        for bridge in bridges:
            bridge.close()


def test_a_far_side_that_is_not_there_ends_the_stream(echo: StreamAddress) -> None:
    """And the bridge goes on for the next."""
    near, nobody = local(), local()
    bridge = Bridge(near, nobody)
    try:
        assert said_back(near, b"") == b""
        late = Bridge(nobody, echo)
        try:
            assert said_back(near, b"again") == b"again"
        finally:
            late.close()
    finally:
        bridge.close()


class Short(socket.socket):
    """A listener whose process has no descriptor left for the first stream."""

    first: int | None = errno.EMFILE

    def accept(self) -> tuple[socket.socket, object]:
        if self.first is not None:
            code, self.first = self.first, None
            raise OSError(code, os.strerror(code))
        return super().accept()


class ShortAddress(StreamAddress):
    """Listens with `Short`."""

    def listen(self) -> socket.socket:
        return Short(fileno=super().listen().detach())


def test_a_bridge_outlives_what_passes(echo: StreamAddress) -> None:
    """Out of descriptors is no end: the stream that waited is carried when there are some again."""
    address = ShortAddress("tcp", "127.0.0.1", free_port())
    bridge = Bridge(address, echo)
    try:
        assert said_back(StreamAddress("tcp", "127.0.0.1", address.port), b"x") == b"x"
    finally:
        bridge.close()


def test_a_closed_bridge_listens_no_more(echo: StreamAddress) -> None:
    """Its open streams are cut."""
    near = local()
    bridge = Bridge(near, echo)
    with near.connect() as stream:
        stream.sendall(b"x")
        bridge.close()
        stream.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert stream.recv(10) in {b"", b"x"}
    with pytest.raises(OSError, match="refused"):
        near.connect()


def test_a_place_that_is_taken_is_said(echo: StreamAddress) -> None:
    """The agent does not start half."""
    with pytest.raises(OperatorError, match="QNSP-GST-048"):
        Bridge(echo, local())


def vsock_loops() -> str:
    """Why vsock cannot be tried here, or ""."""
    try:
        with StreamAddress("vsock", "any", 29123).listen() as listener:
            listener.settimeout(1)
            with StreamAddress("vsock", "loopback", 29123).connect(1.0):
                return ""
    except OSError as error:
        return f"this kernel does not loop vsock back: {error}"


def test_over_vsock(echo: StreamAddress) -> None:
    """In from the parent and out to it, as in an enclave, with cid 1 for both."""
    if why := vsock_loops():
        pytest.skip(why)
    inside, near = StreamAddress("vsock", "any", 29124), local()
    bridges = [Bridge(inside, echo), Bridge(near, StreamAddress("vsock", "loopback", 29124))]
    try:
        assert said_back(near, b"through a vsock") == b"through a vsock"
    finally:
        for bridge in bridges:
            bridge.close()
