"""The table of codes: unique, documented, and what the code can raise."""

from __future__ import annotations

import re
from pathlib import Path

from qnsp_policy.kernel.attestation import codes

ROOT = Path(__file__).parents[3]


def test_documented_table_is_the_generated_one() -> None:
    """docs/attestation-codes.md is what the generator writes today."""
    assert (ROOT / "docs/attestation-codes.md").read_text(encoding="utf-8") == codes.markdown()


def test_codes_are_well_formed_and_unique() -> None:
    """Every code has the house's form and one meaning; meanings within a kind differ."""
    for kind, listed in codes.table().items():
        assert listed, kind
        assert all(re.fullmatch(r"QNSP-ATT-[A-Z0-9]{2,4}-\d{3}", code.code) for code in listed)
        assert len({code.meaning for code in listed}) == len(listed), kind


def test_lookup() -> None:
    """A code is found by its text, an unknown one is not."""
    found = codes.lookup("QNSP-ATT-SNP-061")
    assert found is not None
    assert found.step == 7
    assert codes.lookup("QNSP-ATT-SNP-999") is None
