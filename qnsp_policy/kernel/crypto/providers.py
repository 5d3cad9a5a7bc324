"""Which library stands behind an algorithm: the seam for wider or faster providers.

Comes in: the providers that were probed. Goes out: the provider of an algorithm, with version and validation state,
which a plan records. No provider means an error, never a substitute. liboqs is probed by `liboqs_edge.py` only on
demand, in a child process: importing its Python package without its library ends the importing process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cryptography

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.algorithms import ALGORITHMS, KEMS, SIGNING, Kind, algorithm


@dataclass(frozen=True, slots=True)
class CryptoProvider:
    """A library that was found to work.

    Attributes:
        name: "cryptography", "liboqs".
        version: of the library.
        validation: what stands behind it, in words; "not validated" where no module certificate covers it.
        algorithms: names of the algorithm table that it offers.
    """

    name: str
    version: str
    validation: str
    algorithms: frozenset[str]


_AROUND: Final = frozenset(
    {"AES-128-GCM", "AES-256-GCM", "AES-256-GCM-SIV", "ChaCha20-Poly1305", "X25519"}
    | {name for name, row in ALGORITHMS.items() if row.kind is Kind.HASH}
    | {"X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "secp256r1", "secp384r1"}
)


def builtin() -> CryptoProvider:
    """The default: `cryptography` with its own OpenSSL."""
    offered = frozenset((*SIGNING, *KEMS)) | _AROUND
    return CryptoProvider(
        "cryptography", cryptography.__version__, "not validated (no FIPS 140-3 certificate)", offered
    )


def provider_of(name: str, providers: Sequence[CryptoProvider] = ()) -> CryptoProvider:
    """The first provider that offers an algorithm; the built-in one is asked first.

    Raises:
        PeerError: QNSP-SIG-005, no such algorithm.
        OperatorError: QNSP-KEY-008, nobody offers it.
    """
    row = algorithm(name)
    for provider in (builtin(), *providers):
        if name in provider.algorithms:
            return provider
    raise OperatorError(
        "QNSP-KEY-008",
        f"no provider here offers {name} ({row.standard})",
        subject=name,
        next_step="Install liboqs and liboqs-python, or choose an algorithm of the tier that `doctor` lists.",
    )


__all__ = ["CryptoProvider", "builtin", "provider_of"]
