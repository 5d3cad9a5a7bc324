"""Probes liboqs without trusting it: first that its files exist, then in a child process that may die.

Comes in: nothing. Goes out: a `CryptoProvider`, or None with the reason. Importing `oqs` where its shared library is
missing counts down, clones a repository and exits the process, and a stray older build offers round-3 names: so the
child is given no network by us to use, a short time, and must answer with FIPS 204 names and pass a known answer.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qnsp_policy.kernel.crypto.algorithms import ALGORITHMS
from qnsp_policy.kernel.crypto.providers import CryptoProvider

_SECONDS: Final = 20.0
_PROBE: Final = """
import json, sys
import oqs
names = list(oqs.get_enabled_sig_mechanisms()) + list(oqs.get_enabled_kem_mechanisms())
signer = oqs.Signature("ML-DSA-65")
public = signer.generate_keypair()
value = signer.sign(b"probe")
good = oqs.Signature("ML-DSA-65").verify(b"probe", value, public)
bad = oqs.Signature("ML-DSA-65").verify(b"probE", value, public)
json.dump({"version": oqs.oqs_version(), "names": names, "works": bool(good and not bad and len(value) == 3309)}, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found.

    Attributes:
        provider: None if it cannot be used.
        reason: why not; "" if it can.
    """

    provider: CryptoProvider | None
    reason: str = ""


def _library() -> bool:
    home = Path(os.environ.get("OQS_INSTALL_PATH", Path.home() / "_oqs"))
    names = ("liboqs.so", "liboqs.dylib")
    return any((home / folder / name).exists() for folder in ("lib", "lib64") for name in names) or bool(
        ctypes.util.find_library("oqs")
    )


def probe(python: str = sys.executable) -> Probe:
    """Looks for liboqs; takes milliseconds where it is not installed."""
    if importlib.util.find_spec("oqs") is None:
        return Probe(None, "the Python package `liboqs-python` is not installed")
    if not _library():
        return Probe(
            None, "the shared library of liboqs is not installed (importing its package would end the process)"
        )
    try:
        done = subprocess.run(  # noqa: S603
            [python, "-I", "-c", _PROBE], capture_output=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("works") is not True:
        return Probe(None, "the child process that tried liboqs failed or gave wrong answers")
    names = frozenset(name for name in found.get("names", ()) if name in ALGORITHMS)
    if "ML-DSA-65" not in names:
        return Probe(None, "this liboqs has no ML-DSA-65: it is older than FIPS 204")
    version = str(found.get("version", "unknown"))[:40]
    return Probe(CryptoProvider("liboqs", version, "not validated; its authors advise it for prototyping", names))


__all__ = ["Probe", "probe"]
