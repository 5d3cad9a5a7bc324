"""Batches and inspection: order kept, one bad line never stops the rest, evidence shown without being believed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.batch import Batch
from qnsp_policy.kernel.attestation.batch_edge import judge_file
from qnsp_policy.kernel.attestation.encodings import decode
from qnsp_policy.kernel.attestation.inspection import inspect, recognise
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import EvidenceKind

VECTORS = Path(__file__).parents[2] / "vectors"
NOW = datetime(2026, 9, 1, tzinfo=UTC)


@dataclass
class Memory:
    """Files in memory that count how often they are read."""

    files: Mapping[str, bytes]
    reads: list[str] = field(default_factory=list)

    def read(self, name: str) -> bytes:
        self.reads.append(name)
        if name not in self.files:
            raise FileNotFoundError(2, "No such file")
        return self.files[name]

    def folder(self, name: str) -> Mapping[str, bytes]:
        self.reads.append(name)
        return {key.removeprefix(name + "/"): data for key, data in self.files.items() if key.startswith(name + "/")}

    def is_folder(self, name: str) -> bool:
        return any(key.startswith(name + "/") for key in self.files)


@pytest.fixture
def memory(vector: Callable[[str], bytes]) -> Memory:
    files = {
        "milan.bin": vector("snp/ms_milan_attestation_report.bin"),
        "milan.pem": vector("snp/ms_milan_vcek.pem"),
        "debug.bin": vector("snp/gsg_attestation.bin"),
        "debug.der": vector("snp/gsg_vcek.testcer"),
        "amd/ask.pem": vector("snp/ms_milan_ask.pem"),
        "quote": vector("tdx/phala_tdx_quote"),
        "bad/chain.pem": b"-----BEGIN CERTIFICATE-----\n=A=\n-----END CERTIFICATE-----\n",
        "intel/bundle.json": vector("tdx/phala_tdx_quote_collateral.json"),
    }
    return Memory(files)


def judge(memory: Memory, *lines: Any) -> list[dict[str, Any]]:
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return list(Batch(memory, NOW).judge(encoded))


MILAN = {"kind": "sev-snp", "evidence": "milan.bin", "endorsements": {"vcek": "milan.pem"}, "collateral": "amd"}
TDX = {"kind": "tdx", "evidence": "quote", "collateral": ["intel/bundle.json"], "now": "2025-07-01T00:00:00Z"}


def test_mixed_batch_keeps_order_and_survives_bad_lines(memory: Memory) -> None:
    """Good, debug, malformed, unknown and missing lines each get their own answer, in order."""
    debug = {**MILAN, "evidence": "debug.bin", "endorsements": {"vcek": "debug.der"}, "id": "d"}
    answers = judge(
        memory,
        MILAN,
        b"{",
        debug,
        {**MILAN, "evidence": "none"},
        {**TDX, "id": 7},
        {**MILAN, "kind": "tdx"},
        {**MILAN, "colour": 1, "id": "odd"},
        MILAN,
    )
    assert [(a["verdict"], a["code"], a["step"]) for a in answers] == [
        ("accepted", "", 0),
        ("refused", "QNSP-ATT-BAT-001", 0),
        ("refused", "QNSP-ATT-SNP-080", 9),
        ("refused", "QNSP-ATT-BAT-003", 0),
        ("accepted", "", 0),
        ("refused", "QNSP-ATT-TDX-004", 1),
        ("refused", "QNSP-ATT-BAT-002", 0),
        ("accepted", "", 0),
    ]
    assert (answers[2]["id"], answers[4]["id"], answers[4]["results"]["tcb"]) == ("d", 7, "ok")
    assert answers[6]["id"] == "odd"
    assert answers[2]["results"]["signature"] == "ok"
    assert memory.reads.count("amd") == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"expectedReportData": "11" * 64}, "QNSP-ATT-APR-011"),
        ({"expectedReportData": "00" * 48}, "QNSP-ATT-APR-010"),
        ({"expectedReportData": "xy"}, "QNSP-ATT-BAT-002"),
        ({"equals": {"measurement": "00" * 48}}, "QNSP-ATT-APR-031"),
        ({"equals": {"vmpl": 1}}, "QNSP-ATT-APR-033"),
        ({"floors": {"tcb.reported.snp": 255}}, "QNSP-ATT-APR-040"),
        ({"floors": {"tcb.reported.snp": "1"}}, "QNSP-ATT-BAT-002"),
        ({"requireChecked": ["revocation"]}, "QNSP-ATT-APR-005"),
        ({"now": "2026-09-01"}, "QNSP-ATT-BAT-002"),
        ({"now": "0001-01-01T00:00:00+14:00"}, "QNSP-ATT-BAT-002"),
        ({"now": "2040-01-01T00:00:00Z"}, "QNSP-ATT-SNP-041"),
        ({"anchors": []}, "QNSP-ATT-SNP-022"),
        ({"anchors": ["milan.bin"]}, "QNSP-ATT-BAT-004"),
        ({"anchors": [{"certificate": "milan.pem", "line": "Milan"}]}, "QNSP-ATT-SNP-037"),
        ({"anchors": [{"colour": 1}]}, "QNSP-ATT-BAT-002"),
        ({"kind": "abacus"}, "QNSP-ATT-BAT-002"),
        ({"devices": [5]}, "QNSP-ATT-BAT-002"),
        ({"collateral": "bad"}, "QNSP-ATT-CMP-008"),
        ({"collateral": ["bad/chain.pem"]}, "QNSP-ATT-CMP-008"),
        ({"collateral": 5}, "QNSP-ATT-BAT-002"),
    ],
)
def test_what_a_line_demands_is_held(memory: Memory, change: dict[str, Any], code: str) -> None:
    """Report data, claims, floors, required checks, time and anchors of a line refuse with their own codes."""
    (answer,) = judge(memory, {**MILAN, **change})
    assert (answer["verdict"], answer["code"]) == ("refused", code)


def test_kind_is_told_from_the_bytes(memory: Memory, vector: Callable[[str], bytes]) -> None:
    """Without a kind the framing tells it."""
    accepted, unknown = judge(
        memory, {key: value for key, value in MILAN.items() if key != "kind"}, {"evidence": "milan.pem"}
    )
    assert (accepted["kind"], unknown["code"]) == ("sev-snp", "QNSP-ATT-BAT-006")
    for name, kind in (
        ("sgx/phala_sgx_quote", EvidenceKind.SGX),
        ("tdx/trustee_tdx_quote_5.dat", EvidenceKind.TDX),
        ("snp/trustee_azsnp_hcl-report.bin", EvidenceKind.SEV_SNP),
    ):
        assert recognise(vector(name)) is kind


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.dictionaries(
                st.sampled_from(["kind", "evidence", "now", "anchors", "equals"]),
                st.none() | st.text(max_size=5) | st.integers() | st.lists(st.integers()),
            ).map(lambda v: json.dumps(v).encode()),
        ),
        max_size=5,
    )
)
def test_any_line_gets_an_answer(lines: list[bytes]) -> None:
    """Whatever a line holds, it gets one answer and nothing is raised."""
    wanted = [line for line in lines if line.strip()]
    answers = list(Batch(Memory({}), NOW).judge(lines))
    assert len(answers) == len(wanted)
    assert all(answer["verdict"] == "refused" for answer in answers)


def test_list_file_over_several_processes(tmp_path: Path) -> None:
    """A list on disk is judged in order, over several processes like over one."""
    line = {
        "kind": "sev-snp",
        "evidence": str(VECTORS / "snp/ms_milan_attestation_report.bin"),
        "endorsements": {"vcek": str(VECTORS / "snp/ms_milan_vcek.pem")},
        "collateral": [str(VECTORS / "snp/ms_milan_ask.pem")],
    }
    texts = [json.dumps({**line, "id": number} if number % 50 else {"id": number}) for number in range(300)]
    (tmp_path / "list.jsonl").write_text("\n".join(texts) + "\n\n", encoding="utf-8")
    several = list(judge_file(tmp_path / "list.jsonl", NOW, processes=2))
    assert several == list(judge_file(tmp_path / "list.jsonl", NOW, processes=1))
    answers = [json.loads(text) for text in several]
    assert [answer.get("id") for answer in answers] == list(range(300))
    assert sum(answer["verdict"] == "accepted" for answer in answers) == 294


def test_what_is_no_file_is_refused_by_line(tmp_path: Path) -> None:
    """Pipes, folders, devices, links to nowhere, folders that hold such: each line is refused (step 0), none waits, the next is judged."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes/x.crl")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "circles").mkdir()
    (tmp_path / "circles/circle").symlink_to("circle")
    milan = str(VECTORS / "snp/ms_milan_attestation_report.bin")
    good = {"evidence": milan, "endorsements": {"vcek": str(VECTORS / "snp/ms_milan_vcek.pem")}}
    bad = [{**good, "evidence": name} for name in ("pipe", ".", "circle", "gone", "/dev/zero", "", "a\0b", "x" * 5000)]
    bad += [{**good, "collateral": name} for name in ("pipes", "circles", "gone", "pipe")]
    bad += [{**good, "endorsements": {"vcek": "pipe"}}, {**good, "policy": "pipe"}, {**good, "anchors": ["pipe"]}]
    (tmp_path / "list.jsonl").write_text("\n".join(json.dumps(line) for line in (*bad, good)), encoding="utf-8")
    answers = [json.loads(text) for text in judge_file(tmp_path / "list.jsonl", NOW)]
    assert {(answer["verdict"], answer["code"], answer["step"]) for answer in answers[:-1]} == {
        ("refused", "QNSP-ATT-BAT-003", 0)
    }
    assert (len(answers), answers[-1]["code"]) == (len(bad) + 1, "QNSP-ATT-SNP-030")


def test_inspection_shows_offsets(vector: Callable[[str], bytes]) -> None:
    """Every field stands at its offset in the bytes."""
    for name in (
        "snp/ms_milan_attestation_report.bin",
        "tdx/phala_tdx_quote",
        "sgx/phala_sgx_quote",
        "tdx/trustee_tdx_quote_5.dat",
    ):
        data = vector(name)
        kind, fields = inspect(data)
        assert fields, kind
        for shown in fields:
            if shown.value == data[shown.offset : shown.offset + shown.size].hex():
                continue
            assert shown.offset + shown.size <= len(data)
    fields = inspect(vector("snp/trustee_azsnp_hcl-report.bin"))[1]
    assert any(shown.name == "HCL runtime data" and "HCLAkPub" in shown.value for shown in fields)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=1500))
def test_inspection_raises_only_our_errors(data: bytes) -> None:
    """On any bytes inspection refuses or shows."""
    for kind in (None, EvidenceKind.SEV_SNP, EvidenceKind.TDX, EvidenceKind.SGX):
        try:
            inspect(data, kind)
        except EvidenceError:
            continue


@pytest.mark.parametrize("name", ["report", "attestation_report", "hcl_report", "evidence"])
def test_certificates_beside_a_report(vector: Callable[[str], bytes], name: str) -> None:
    """A JSON document with a report and its VCEK beside it is both evidence and endorsement."""
    report, vcek = vector("snp/ms_milan_attestation_report.bin"), vector("snp/ms_milan_vcek.pem")
    found = decode(json.dumps({name: list(report), "vcek": vcek.decode()}).encode())
    assert (found.data, found.endorsements) == (report, {"vcek": vcek})
