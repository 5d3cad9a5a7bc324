"""The Nitro Secure Module from inside an enclave: one ioctl on `/dev/nsm`, or a simulator's unix socket of the same messages.

The device takes `struct nsm_raw` (Linux `include/uapi/linux/nsm.h`): address and length of the request, address and capacity of the
answer; it writes back how long the answer is. A socket (SOCK_SEQPACKET) carries one request and one answer a message.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.kernel.wire import nsm
from qnsp_policy.services.guest.attesters.module import Talk, reached, unusable
from qnsp_policy.services.guest.attesters.report import AttesterReport

DEVICE = Path("/dev/nsm")
_RAW = struct.Struct("=QQQQ")
_TIMEOUT = 130.0  # the driver itself waits two minutes for the module
_UNUSABLE = "QNSP-GST-043"
_HINTS = {
    errno.EPERM: "the raw interface needs CAP_SYS_ADMIN: run the agent as root of the enclave",
    errno.EACCES: "run the agent as root of the enclave",
    errno.ENOENT: "run inside a Nitro enclave whose kernel has the nsm driver, or give a simulator's socket",
    errno.EMSGSIZE: "the request is larger than the module takes",
}


def exchange_with(path: Path) -> Talk:
    """What talks to the module at `path`: a character device by ioctl, a unix socket by messages.

    Raises:
        OperatorError: `QNSP-GST-043`: nothing there that could be one.
    """
    return reached(path, _ioctl, _message, _UNUSABLE, _HINTS)


def attestation_document(
    exchange: Talk, *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
) -> bytes:
    """A fresh attestation document, unverified.

    Raises:
        OperatorError: `QNSP-GST-040`, `QNSP-GST-043`.
        PeerError: `QNSP-GST-041`, `QNSP-GST-042`.
    """
    request = nsm.attestation_request(user_data=user_data, nonce=nonce, public_key=public_key)
    return nsm.read_attestation(exchange(request))


def get_report(exchange: Talk, report_data: bytes) -> AttesterReport:
    """A document whose `user_data` is the report data as it is; raises as `attestation_document`."""
    return AttesterReport(EvidenceKind.NITRO_ENCLAVE, attestation_document(exchange, user_data=report_data))


def _ioctl(path: Path, request: bytes) -> bytes:
    if len(request) > nsm.MAX_REQUEST:
        raise OperatorError("QNSP-GST-040", f"a request of {len(request)} bytes; {nsm.MAX_REQUEST} are taken")
    sent = ctypes.create_string_buffer(request, len(request))
    answer = ctypes.create_string_buffer(nsm.MAX_RESPONSE)
    raw = bytearray(_RAW.pack(ctypes.addressof(sent), len(request), ctypes.addressof(answer), nsm.MAX_RESPONSE))
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, nsm.IOCTL_RAW, raw, True)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unusable(path, error, _UNUSABLE, _HINTS) from error
    length = _RAW.unpack(raw)[3]
    if not 0 < length <= nsm.MAX_RESPONSE:
        raise PeerError("QNSP-GST-041", f"Nitro Secure Module: an answer of {length} bytes", subject="answer")
    return answer.raw[:length]


def _message(path: Path, request: bytes) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(str(path))
            connection.sendall(request)
            return connection.recv(nsm.MAX_RESPONSE + 1)
    except OSError as error:
        raise unusable(path, error, _UNUSABLE, _HINTS) from error


__all__ = ["DEVICE", "attestation_document", "exchange_with", "get_report"]
