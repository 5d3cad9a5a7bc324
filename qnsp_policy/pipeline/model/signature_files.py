"""Which document a signature file speaks of: `signatures/<Kind>.<name>[.<part>].dsse.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qnsp_policy.errors import DocumentError, Place
from qnsp_policy.pipeline.documents.problems import Problem, nearest, shown
from qnsp_policy.pipeline.documents.source import SourceDocument
from qnsp_policy.pipeline.model.scalars import Address

MAX_ENVELOPE = 8 * 1024 * 1024
_NAME = re.compile(
    r"signatures/([A-Z][A-Za-z]{1,40})\.([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[A-Za-z0-9@_-]{1,64})?\.dsse\.json"
)


def sort_signatures(
    files: Mapping[str, bytes], known: Mapping[Address, SourceDocument], problems: list[DocumentError]
) -> dict[Address, tuple[bytes, ...]]:
    """Envelopes by the document they speak of; a file that speaks of none is a problem."""
    found: dict[Address, list[bytes]] = {}
    for file in sorted(files):
        match = _NAME.fullmatch(file)
        if match is None:
            problems.append(
                Problem(
                    "QNSP-MOD-010",
                    f"{shown(file)} is not named as a signature",
                    place=Place(file),
                    next_step="name it signatures/<Kind>.<name>.dsse.json",
                )
            )
            continue
        address = Address(f"{match.group(1)}/{match.group(2)}")
        if address not in known:
            guess = nearest(address, known)
            problems.append(
                Problem(
                    "QNSP-MOD-011",
                    f"{shown(file)} signs {address}, but no such document exists",
                    place=Place(file),
                    next_step=f"nearest: {guess}; delete the file if the document is gone"
                    if guess
                    else "delete the file",
                )
            )
        elif len(files[file]) > MAX_ENVELOPE:
            problems.append(
                Problem(
                    "QNSP-MOD-012",
                    f"{shown(file)} has {len(files[file])} bytes; an envelope has at most {MAX_ENVELOPE}",
                    place=Place(file),
                    next_step="sign the document again",
                )
            )
        else:
            found.setdefault(address, []).append(files[file])
    return {address: tuple(envelopes) for address, envelopes in found.items()}


__all__ = ["sort_signatures"]
