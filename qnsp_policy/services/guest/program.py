"""`guest run`: one program of the image, started once what it needs is open: the broker's own place in an enclave.

Sealed files of the image are opened with keys that were released to this attester (by KMS, for a broker) into sealed memory files of mode
0600 at fixed descriptors, so that the program's own configuration can name them: `/proc/self/fd/100`. Nothing of them is on a disk. The
program's end is the guest's end, with its status: what supervises the enclave starts it anew.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.sealed.stream import open_sealed
from qnsp_policy.services.guest.configuration import Program, SealedFile
from qnsp_policy.services.guest.key_source import KeySource
from qnsp_policy.services.guest.workload import Child, command_of, memory_file

log = logging.getLogger("qnsp.guest")


def open_at(sealed: SealedFile, keys: KeySource) -> int:
    """A memory file with the plaintext at its fixed descriptor.

    Raises:
        Denied: its key is not released.
        OperatorError: `QNSP-GST-059`: the sealed file is not there; `QNSP-GST-060`: something else has its descriptor.
        PeerError: it does not open, or is another file.
    """
    data_key = keys.fetch(sealed.resource).data
    try:
        fcntl.fcntl(sealed.descriptor, fcntl.F_GETFD)
    except OSError:
        pass
    else:
        raise OperatorError(
            "QNSP-GST-060", f"descriptor {sealed.descriptor} is taken: give another", subject=sealed.resource
        )
    try:
        with Path(sealed.file).open("rb") as file:
            opened = open_sealed(file, data_key, sealed.digest, resource=sealed.resource)
            descriptor = memory_file("qnsp-sealed", opened, mode=0o600)
    except OSError as error:
        raise OperatorError(
            "QNSP-GST-059", f"the sealed file {sealed.file} cannot be read: {error.strerror}", subject=sealed.resource
        ) from error
    try:
        return os.dup2(descriptor, sealed.descriptor, inheritable=False)
    finally:
        os.close(descriptor)


def run(program: Program, keys: KeySource, stopping: threading.Event) -> int:
    """Open, start, wait; the program's exit status, or 0 where it was stopped.

    Raises:
        QnspError: as `open_at`; `QNSP-GST-030`: the program cannot be started.
    """
    descriptors: list[int] = []
    try:
        descriptors += (open_at(sealed, keys) for sealed in program.sealed)
        child = Child(
            program.command[0],
            command_of(program.command),
            cwd=Path("/"),
            environment={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **program.environment},
            descriptors=descriptors,
        )
    finally:
        _close(descriptors)
    log.info("%s runs (process %d)", program.command[0], child.pid)
    try:
        while (status := child.ended()) is None:
            if stopping.wait(0.1):
                return 0
    finally:
        child.stop()
    log.error("%s ended with status %d", program.command[0], status)
    return status if status >= 0 else 128 - status


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


__all__ = ["open_at", "run"]
