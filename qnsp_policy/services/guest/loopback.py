"""An enclave's loopback interface, which its kernel leaves down: brought up before anything listens on it."""

from __future__ import annotations

import fcntl
import socket
import struct

from qnsp_policy.errors import OperatorError

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP: linux/sockios.h, linux/if.h
_REQUEST = struct.Struct("16sh14x")


def bring_up(name: bytes = b"lo") -> bool:
    """Bring the interface up; False where it was up already.

    Raises:
        OperatorError: `QNSP-GST-049`: it cannot be brought up.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            _, flags = _REQUEST.unpack(fcntl.ioctl(control, _GET_FLAGS, _REQUEST.pack(name, 0)))
            if flags & _UP:
                return False
            fcntl.ioctl(control, _SET_FLAGS, _REQUEST.pack(name, flags | _UP))
    except OSError as error:
        raise OperatorError(
            "QNSP-GST-049",
            f"the interface {name.decode()} cannot be brought up: {error.strerror}",
            subject=name.decode(),
        ) from error
    return True


__all__ = ["bring_up"]
