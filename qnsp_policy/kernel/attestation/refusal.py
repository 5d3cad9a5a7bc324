"""How a verifier refuses: one stable code per failing step, and the error that carries it.

Comes in: the code of a step, what was expected and what was got. Goes out: `EvidenceError`. Each kind lists its codes in its own
`codes.py`; `attestation/codes.py` collects them all for the documentation and for callers that look a code up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qnsp_policy.errors import PeerError


@dataclass(frozen=True, slots=True)
class Code:
    """One cause of refusal.

    Attributes:
        code: stable text such as `QNSP-ATT-SNP-007`; never re-used for another cause.
        step: number of the verification step (the order of docs/attestation-codes.md) that fails.
        step_name: the step in a word: format, endorsement, line, chain, validity, signature, identity, revocation, ...
        meaning: one sentence, the standard's spelling.
    """

    code: str
    step: int
    step_name: str
    meaning: str


class EvidenceError(PeerError):
    """Evidence or its collateral is refused by verification.

    Attributes:
        step: number of the failing step.
        step_name: its name.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        subject: str | None = None,
        expected: str | None = None,
        got: str | None = None,
    ) -> None:
        message = code.meaning if not detail else f"{code.meaning}: {detail}"
        if expected is not None and got is not None:
            message += f" (expected {expected}, got {got})"
        super().__init__(code.code, message, subject=subject, expected=expected, got=got)
        self.step = code.step
        self.step_name = code.step_name


def collect(module: Mapping[str, object]) -> tuple[Code, ...]:
    """All codes that a module defines, by code; refuses two of the same text (misuse by our own code)."""
    found = sorted((value for value in module.values() if isinstance(value, Code)), key=lambda code: code.code)
    if len({code.code for code in found}) != len(found):
        raise ValueError("two codes share one text")
    return tuple(found)


__all__ = ["Code", "EvidenceError", "collect"]
