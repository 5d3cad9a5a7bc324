"""An attestation document from NitroTPM: AWS's own TPM command answers a request that stands in an NV index, into the same index.

1. find an NV index that is free          2. define it with a random authorisation      3. write the request, in pieces the TPM takes
4. AWS's command                          5. read the answer                            6. undefine the index, whatever happened
Source: AWS, NitroTPM-Tools, `nitro-tpm-attest`. The document's `user_data` carries the report data. Nothing is left in the TPM.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
from pathlib import Path

from qnsp_policy.errors import PeerError, QnspError
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.kernel.wire import nsm, tpm2
from qnsp_policy.services.guest.attesters.module import Talk, reached, unusable
from qnsp_policy.services.guest.attesters.report import AttesterReport

DEVICE = Path("/dev/tpmrm0")
_TIMEOUT = 60.0
_SMALLEST_PIECE, _LARGEST_PIECE = 64, 2048
_ATTEMPTS = 4
_UNUSABLE = "QNSP-GST-046"
_HINTS = {
    errno.ENOENT: "run on an instance whose image was registered with TPM support v2.0, or give a simulator's socket",
    errno.EACCES: "run the agent as root, or as a member of the group that owns the device",
}


def transmit_with(path: Path) -> Talk:
    """What talks to the TPM at `path`: the kernel's device, or a unix socket that takes the same bytes (a simulator, swtpm).

    Raises:
        OperatorError: `QNSP-GST-046`: nothing there that could be one.
    """
    return reached(path, _device, _socket, _UNUSABLE, _HINTS)


def attestation_document(
    transmit: Talk, *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
) -> bytes:
    """A fresh NitroTPM attestation document, unverified.

    Raises:
        OperatorError: `QNSP-GST-040`, `QNSP-GST-046`.
        PeerError: `QNSP-GST-041` to `QNSP-GST-045`.
    """
    request = nsm.attestation_request(user_data=user_data, nonce=nonce, public_key=public_key)
    piece = _piece(transmit)
    index, auth = _defined(transmit)
    try:
        for offset in range(0, len(request), piece):
            _send(transmit, tpm2.nv_write(index, auth, request[offset : offset + piece], offset))
        _send(transmit, tpm2.nsm_request(index, auth))
        answer = b"".join(
            _read(transmit, index, auth, min(piece, tpm2.BUFFER_SIZE - offset), offset)
            for offset in range(0, tpm2.BUFFER_SIZE, piece)
        )
    finally:
        with contextlib.suppress(QnspError):
            _send(transmit, tpm2.nv_undefine(index))
    return nsm.read_attestation(answer, buffer=True)


def get_report(transmit: Talk, report_data: bytes) -> AttesterReport:
    """A document whose `user_data` is the report data as it is; raises as `attestation_document`."""
    return AttesterReport(EvidenceKind.NITRO_TPM, attestation_document(transmit, user_data=report_data))


def _send(transmit: Talk, command: tpm2.Command) -> bytes:
    return tpm2.parameters(command, transmit(command.data))


def _read(transmit: Talk, index: int, auth: bytes, size: int, offset: int) -> bytes:
    command = tpm2.nv_read(index, auth, size, offset)
    data = tpm2.sized(command, _send(transmit, command))
    if len(data) != size:
        raise PeerError("QNSP-GST-044", f"TPM: {len(data)} bytes of the buffer where {size} were asked for")
    return data


def _piece(transmit: Talk) -> int:
    """How many bytes the TPM takes at once."""
    command = tpm2.get_property(tpm2.NV_BUFFER_MAX)
    found = tpm2.capability(command, _send(transmit, command))
    if len(found) != 1 or found[0] < _SMALLEST_PIECE:
        raise PeerError(
            "QNSP-GST-044", "TPM: it does not say how large a piece of NV it takes", subject="NV_BUFFER_MAX"
        )
    return min(found[0], _LARGEST_PIECE)


def _defined(transmit: Talk) -> tuple[int, bytes]:
    """A new index and its authorisation; another program may take the same index in between, so a few are tried."""
    command = tpm2.get_nv_handles()
    taken = set(tpm2.capability(command, _send(transmit, command)))
    auth = secrets.token_bytes(32)
    for attempt in range(_ATTEMPTS):
        index = tpm2.NV_FIRST + secrets.randbelow(tpm2.NV_LAST - tpm2.NV_FIRST)
        if index in taken:
            continue
        try:
            _send(transmit, tpm2.nv_define(index, auth))
        except PeerError as error:
            if error.code != "QNSP-GST-045" or attempt == _ATTEMPTS - 1:
                raise
            continue
        return index, auth
    raise PeerError("QNSP-GST-045", "the TPM has no free NV index", subject="NV_DefineSpace")


def _device(path: Path, command: bytes) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.write(descriptor, command) != len(command):
                raise PeerError("QNSP-GST-044", "TPM: it did not take the whole command")
            return os.read(descriptor, tpm2.MAX_MESSAGE + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unusable(path, error, _UNUSABLE, _HINTS) from error


def _socket(path: Path, command: bytes) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(str(path))
            connection.sendall(command)
            answer = b""
            while len(answer) < 6 or len(answer) < min(int.from_bytes(answer[2:6], "big"), tpm2.MAX_MESSAGE + 1):
                data = connection.recv(tpm2.MAX_MESSAGE + 1 - len(answer))
                if not data:
                    break
                answer += data
            return answer
    except OSError as error:
        raise unusable(path, error, _UNUSABLE, _HINTS) from error


__all__ = ["DEVICE", "attestation_document", "get_report", "transmit_with"]
