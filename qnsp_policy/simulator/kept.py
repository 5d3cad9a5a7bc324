"""Throw-away vendors that outlive a process: authorities kept in a folder, made once, so that members share them. Insecure by name."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.simulator import dcap, mint, nvidia

_MADE = "made"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: members of a fleet start together."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def put(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old bytes or the new ones, never a part; members that start together write the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)


def _write(folder: Path, authorities: Mapping[str, mint.Authority], made: datetime) -> None:
    for name, authority in authorities.items():
        private = authority.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = folder / f"{name}.insecure-key.pem"
        path.touch(mode=0o600)
        path.write_bytes(private)
        (folder / f"{name}.pem").write_bytes(nvidia.pem(authority.certificate))
    put(folder / _MADE, made.isoformat().encode())


def _read(folder: Path, name: str) -> mint.Authority:
    from qnsp_policy.kernel.attestation.x509 import load_certificate, split_pem  # noqa: PLC0415  reading only

    key = serialization.load_pem_private_key((folder / f"{name}.insecure-key.pem").read_bytes(), None)
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise ValueError(f"{name}.insecure-key.pem is of another algorithm")  # noqa: TRY004  the file is wrong, not the caller
    (encoded,) = split_pem((folder / f"{name}.pem").read_bytes())
    return mint.Authority(key, encoded, load_certificate(encoded).subject)


def _made(folder: Path) -> datetime | None:
    try:
        return datetime.fromisoformat((folder / _MADE).read_text(encoding="ascii")).astimezone(UTC)
    except FileNotFoundError:
        return None


_INTEL = ("root", "platform_ca", "processor_ca", "tcb_signing")


def intel(folder: Path, now: datetime) -> dcap.IntelPki:
    """The simulated Intel of a folder; its anchor is `root.pem`."""
    with _alone(folder):
        if _made(folder) is None:
            pki = dcap.mint_intel(now)
            _write(folder, {name: getattr(pki, name) for name in _INTEL}, now)
            return pki
        root, platform_ca, processor_ca, tcb_signing = (_read(folder, name) for name in _INTEL)
        begin, end = dcap.validity(_made(folder) or now)
        return dcap.IntelPki(root, platform_ca, processor_ca, tcb_signing, begin, end)


_NVIDIA = ("device_root", "identity", "rim0", "rim1", "rim2", "rim3")


def nvidia_of(folder: Path, now: datetime) -> nvidia.NvidiaPki:
    """The simulated NVIDIA of a folder; its anchors are `device_root.pem` and `rim0.pem`."""
    with _alone(folder):
        made = _made(folder)
        if made is None:
            pki = nvidia.mint_pki(now)
            found = dict(zip(_NVIDIA, (pki.device_root, pki.identity, *pki.rim_chain), strict=True))
            _write(folder, found, now)
            return pki
        device_root, identity, *rims = (_read(folder, name) for name in _NVIDIA)
        return nvidia.NvidiaPki(now, device_root, identity, tuple(rims))


__all__ = ["intel", "nvidia_of", "put"]
