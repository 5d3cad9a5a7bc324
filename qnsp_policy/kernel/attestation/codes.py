"""Every code of the attestation kernel: which kind, which step, what it means; docs/attestation-codes.md is made from it.

A kind is added by one line in `_MODULES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Final

from qnsp_policy.kernel.attestation.refusal import Code

_HERE: Final = "qnsp_policy.kernel.attestation"
_MODULES: Final[Mapping[str, str]] = {
    "sev-snp": f"{_HERE}.sev_snp.codes",
    "nitro-enclave": f"{_HERE}.nitro_enclave.codes",
    "nitro-tpm": f"{_HERE}.nitro_tpm.codes",
    "nvidia-gpu, nvswitch": f"{_HERE}.nvidia_gpu.codes",
    "nras": f"{_HERE}.nras.codes",
    "tdx": f"{_HERE}.tdx.codes",
    "sgx": f"{_HERE}.sgx.codes",
    "coco-sample": f"{_HERE}.coco_sample.codes",
    "appraisal": f"{_HERE}.appraisal_codes",
    "batch": f"{_HERE}.batch",
    "second opinion": f"{_HERE}.second_opinion",
}


@cache
def table() -> Mapping[str, tuple[Code, ...]]:
    """All codes by kind, each list ordered by code; no code stands twice.

    Raises:
        ValueError: two kinds share a code (misuse by our own code).
    """
    found: dict[str, tuple[Code, ...]] = {kind: import_module(module).CODES for kind, module in _MODULES.items()}
    texts = [code.code for codes in found.values() for code in codes]
    if len(set(texts)) != len(texts):
        raise ValueError("two kinds share a code")
    return found


def lookup(code: str) -> Code | None:
    """What a code means, None if it is none of ours."""
    return next((found for codes in table().values() for found in codes if found.code == code), None)


def markdown() -> str:
    """The table as docs/attestation-codes.md holds it."""
    lines = [
        "# Codes of the attestation kernel",
        "",
        "Made by `python -m qnsp_policy.kernel.attestation.codes`; a test holds this file against the code. The first failing step,",
        "in the order of the numbers, is the one that is reported.",
    ]
    for kind, codes in table().items():
        lines += ["", f"## {kind}", "", "| code | step | meaning |", "|---|---|---|"]
        lines += [
            f"| {code.code} | {code.step} {code.step_name} | {code.meaning} |"
            for code in sorted(codes, key=lambda code: (code.step, code.code))
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201  the generator's output

__all__ = ["lookup", "markdown", "table"]
