"""SNP evidence in the shape of CoCo attesters, over real reports of three processor generations."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.wire.coco_snp import evidence_from_json, evidence_to_json, report_from_json, report_to_json
from qnsp_policy.simulator.snp import make_chip, mint_pki
from qnsp_policy.testing.services import START

REPORTS = sorted((Path(__file__).parents[2] / "vectors" / "snp").glob("*attestation*.bin"))


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_a_real_report_comes_back_byte_for_byte(path: Path) -> None:
    """Typed JSON loses nothing that was signed."""
    raw = path.read_bytes()[:1184]
    assert report_from_json(report_to_json(raw)) == raw


@pytest.mark.parametrize("product", ["Milan", "Turin"])
@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_every_version_and_tcb_layout_comes_back(product: str, version: int) -> None:
    """Turin orders its TCB otherwise; version 5 has mitigation vectors."""
    if (product, version) == ("Turin", 2):
        pytest.skip("Turin has no report of version 2")
    chip = make_chip(mint_pki(product, START, key_size=2048), START)
    overrides = {0x1F8: b"\x01" * 8, 0x200: b"\x02" * 8} if version >= 5 else {}
    raw = chip.report(b"\x05" * 64, version=version, overrides=overrides)
    assert report_from_json(report_to_json(raw)) == raw


def good() -> dict[str, object]:
    raw = bytearray(1184)
    raw[0] = 2
    return evidence_to_json(bytes(raw), {"vcek": b"der"})


def test_the_older_spelling_is_read() -> None:
    """Attesters before 2025 write `_author_key_en` and single firmware numbers."""
    typed = report_to_json(bytes([2]) + bytes(1183))
    old = {k: v for k, v in typed.items() if k not in {"key_info", "current", "committed"}}
    old |= {"_author_key_en": 0}
    old |= {f"{which}_{part}": 0 for which in ("current", "committed") for part in ("build", "minor", "major")}
    assert report_from_json(old) == bytes([2]) + bytes(1183)


@pytest.mark.parametrize(
    "bend",
    [
        {"attestation_report": None},
        {"attestation_report": "AAAA"},
        {"cert_chain": [{"cert_type": "VCEK", "data": [256]}]},
        {"cert_chain": [{"cert_type": "VCEK", "data": []}, {"cert_type": "VCEK", "data": []}]},
        {"cert_chain": "VCEK"},
        {"cert_chain": [7]},
    ],
    ids=["no-report", "short-report", "byte-256", "twice", "chain-text", "chain-number"],
)
def test_another_shape_is_refused(bend: dict[str, object]) -> None:
    """One good object, one mutation, one code."""
    assert evidence_from_json(good())[1] == {"vcek": b"der"}
    with pytest.raises(PeerError, match="QNSP-ATT-SNP-101"):
        evidence_from_json({**good(), **bend})


@given(st.recursive(st.none() | st.integers() | st.text() | st.lists(st.integers()), lambda v: st.dictionaries(
    st.sampled_from(["attestation_report", "cert_chain", "version", "policy", "signature", "cert_type", "data"]), v)))  # fmt: skip
def test_whatever_comes_only_our_error_goes_out(value: object) -> None:
    """A parser raises our errors on any JSON."""
    try:
        evidence_from_json(value)
    except PeerError as error:
        assert error.code == "QNSP-ATT-SNP-101"  # noqa: PT017 - an error is allowed, not demanded
