"""What the rules know of an algorithm: the kernel's table, joined with the dates of the catalog's time-lines.

Comes in: a name and time-lines. Goes out: `AlgorithmFacts`. A name that neither the table nor a time-line nor the
lattice knows is unknown, and a rule refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from qnsp_policy.kernel.crypto.algorithms import ALGORITHMS, Kind, Status
from qnsp_policy.pipeline.model.kinds import AlgorithmTimeline
from qnsp_policy.pipeline.model.lattice import CATEGORY
from qnsp_policy.pipeline.model.scalars import Moment
from qnsp_policy.pipeline.rules.inputs import NEVER

_STATEFUL: Final = ("LMS", "HSS", "XMSS")
_UNSETTLED: Final = ("Falcon", "FN-DSA", "HQC")
_KINDS: Final[Mapping[str, str]] = {
    "FrodoKEM": "kem",
    "Classic-McEliece": "kem",
    "HQC": "kem",
    "MLKEM": "kem",
    "ML-KEM": "kem",
    "Falcon": "signature",
    "FN-DSA": "signature",
    "LMS": "signature",
    "HSS": "signature",
    "XMSS": "signature",
    "RSA": "signature",
    "AES": "aead",
    "ECDH": "kem",
    "SHA": "hash",
}
_USES: Final[Mapping[str, str]] = {"key-agreement": "kem", "firmware-signature": "signature", "kdf": "hash"}


@dataclass(frozen=True, slots=True)
class AlgorithmFacts:
    """One algorithm.

    Attributes:
        name: as the document spells it.
        known: whether anything here knows it.
        kind: signature, kem, aead, hash, tls, or unknown.
        final: whether its standard is final; an IETF combination of final parts counts as final.
        stateful: whether a key must never sign twice with one index.
        hybrid, post_quantum: which assumptions it rests on.
        deprecated_from, disallowed_from: Unix seconds, NEVER where no time-line says.
    """

    name: str
    known: bool
    kind: str
    final: bool
    stateful: bool
    hybrid: bool
    post_quantum: bool
    deprecated_from: int
    disallowed_from: int

    def serves(self, purpose: str) -> bool:
        """Whether it is for that work; TLS takes groups and KEMs."""
        return self.kind == purpose or (purpose == "tls" and self.kind == "kem")


def facts_of(name: str, timelines: Iterable[AlgorithmTimeline]) -> AlgorithmFacts:
    """What is known of an algorithm; of several time-lines the earliest date counts."""
    row = ALGORITHMS.get(name)
    entries = [entry for timeline in timelines for entry in timeline.spec.entries if str(entry.algorithm) == name]
    deprecated = [_day_after(e.deprecated_after) for e in entries if e.deprecated_after is not None]
    disallowed = [_day_after(e.disallowed_after) for e in entries if e.disallowed_after is not None]
    if row is not None:
        kind = "tls" if row.kind is Kind.GROUP else str(row.kind)
    else:
        kind = next((kind for prefix, kind in _KINDS.items() if name.startswith(prefix)), "unknown")
        if entries and kind == "unknown":
            kind = _USES.get(entries[0].use, entries[0].use)
    unsettled = row.status is Status.EXPERIMENTAL if row is not None else name.startswith(_UNSETTLED)
    return AlgorithmFacts(
        name=name,
        known=row is not None or name in CATEGORY or bool(entries),
        kind=kind,
        final=not unsettled,
        stateful=name.startswith(_STATEFUL),
        hybrid=row.hybrid if row is not None else False,
        post_quantum=row.post_quantum if row is not None else CATEGORY.get(name, 0) > 0,
        deprecated_from=min(deprecated, default=NEVER),
        disallowed_from=min(disallowed, default=NEVER),
    )


def _day_after(moment: Moment) -> int:
    """The first second after a moment; after a date that is the next day's first."""
    return int(moment.at.timestamp()) + (86_400 if len(moment) == len("2030-12-31") else 1)


_CURVES: Final[Mapping[str, str]] = {
    "P-256": "ECDSA-P256",
    "P-384": "ECDSA-P384",
    "Ed25519": "Ed25519",
    "X25519": "X25519",
}


def algorithm_of_jwk(jwk: Mapping[str, Any]) -> str:
    """The algorithm that a public JWK is for, by its curve or its `alg`; its key type where neither says."""
    curve = _CURVES.get(str(jwk.get("crv", "")))
    return curve or str(jwk.get("alg") or jwk.get("kty") or "unknown")


__all__ = ["AlgorithmFacts", "algorithm_of_jwk", "facts_of"]
