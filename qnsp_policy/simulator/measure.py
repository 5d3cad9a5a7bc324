"""What the simulated hardware measures at launch; a pure function, so that reference values can be computed before anything runs.

Real launch digests (AMD 56860 section 8.17) hash the pages that firmware loads; the simulator has no firmware and hashes the image, the
number of vCPUs and the command line instead, each with its length, under a name of its own so that the value is never a real one.
"""

from __future__ import annotations

import hashlib
from typing import Final

_DOMAIN: Final = b"qnsp-policy simulator launch digest v1, insecure"


def measure(image: bytes, vcpus: int, cmdline: str) -> bytes:
    """The launch measurement (48 bytes) of a simulated member.

    Args:
        image: bytes of the guest image.
        vcpus: number of vCPUs, at least 1.
        cmdline: kernel command line.
    """
    if vcpus < 1:
        raise ValueError("a member has at least one vCPU")
    digest = hashlib.sha384(_DOMAIN)
    for part in (hashlib.sha384(image).digest(), vcpus.to_bytes(4, "big"), cmdline.encode()):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def host_data(initdata: bytes) -> bytes:
    """HOST_DATA (32 bytes) of a member whose init data are these bytes: their SHA-256; zeros where there are none."""
    return hashlib.sha256(initdata).digest() if initdata else bytes(32)


__all__ = ["host_data", "measure"]
