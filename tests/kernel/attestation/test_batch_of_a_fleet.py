"""A list as a stranger feeds it: machines of every kind on disk, mixed with lines that are wrong in every way."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from qnsp_policy.kernel.attestation import composite
from qnsp_policy.kernel.attestation.batch import MAX_LINE, Batch
from qnsp_policy.kernel.attestation.batch_edge import DiskFiles, judge_file
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.simulator import nvidia, snp
from qnsp_policy.simulator.fleet import KINDS, Fleet, mint_fleet

NOW = datetime(2027, 3, 9, 8, 0, 0, tzinfo=UTC)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return mint_fleet(NOW)


@pytest.fixture(scope="module")
def folder(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fleet")
    write(root, fleet.files)
    return root


def judge(folder: Path, *lines: Any) -> list[dict[str, Any]]:
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (folder / "list.jsonl").write_bytes(b"\n".join(encoded) + b"\n")
    return [json.loads(text) for text in judge_file(folder / "list.jsonl", NOW, processes=1)]


def test_every_kind_is_accepted_as_minted(fleet: Fleet, folder: Path) -> None:
    """Machines of every kind and generation pass with their own collateral and roots, and are said to be simulated."""
    answers = judge(folder, *fleet.lines)
    assert [(a["id"], a["code"], a["detail"]) for a in answers if a["verdict"] != "accepted"] == []
    assert {a["kind"] for a in answers} == set(KINDS)
    assert {a["assurance"] for a in answers} == {"simulated"}
    assert all(a["results"].get("freshness", "simulated") == "simulated" for a in answers)


def test_pinned_roots_refuse_the_whole_fleet(fleet: Fleet, folder: Path) -> None:
    """Without the declared roots nothing simulated passes."""
    answers = judge(folder, *({k: v for k, v in line.items() if k != "anchors"} for line in fleet.lines))
    assert {a["verdict"] for a in answers} == {"refused"}


@pytest.mark.parametrize("form", ["hex", "0x", "base64", "base64url", "lines"])
def test_text_forms_of_evidence(fleet: Fleet, folder: Path, form: str) -> None:
    """Hex and base64 text of binary evidence give the verdict of the bytes."""
    for line in fleet.lines:
        if line["kind"] in {"nras", "coco-sample", "nvidia-gpu", "nvswitch"}:
            continue
        raw = fleet.files[line["evidence"]]
        text = {
            "hex": raw.hex().upper().encode(),
            "0x": b"0x" + raw.hex().encode() + b"\n",
            "base64": base64.b64encode(raw),
            "base64url": base64.urlsafe_b64encode(raw).rstrip(b"="),
            "lines": base64.encodebytes(raw),
        }[form]
        (folder / "as-text").write_bytes(text)
        for kind in (line["kind"], "auto"):
            (answer,) = judge(folder, {**line, "evidence": "as-text", "kind": kind})
            assert answer["verdict"] == "accepted", (line["kind"], kind, answer["detail"])


def test_json_form_of_evidence(fleet: Fleet, folder: Path) -> None:
    """A JSON document may hold the evidence with its endorsements."""
    line = fleet.lines[0]
    value = {
        "kind": "sev-snp",
        "evidence": base64.b64encode(fleet.files[line["evidence"]]).decode(),
        "endorsements": {"auxblob": base64.b64encode(fleet.files[line["endorsements"]["auxblob"]]).decode()},
    }
    (folder / "evidence.json").write_text(json.dumps(value))
    bare = {key: item for key, item in line.items() if key not in {"endorsements", "kind"}}
    (answer,) = judge(folder, {**bare, "evidence": "evidence.json"})
    assert answer["verdict"] == "accepted", answer["detail"]


def test_mixed_list_keeps_order(fleet: Fleet, folder: Path) -> None:
    """Bad lines of every sort between good ones: each its own answer, all others undisturbed."""
    good = fleet.lines[0]
    os.mkfifo(folder / "pipe")
    (folder / "empty").write_bytes(b"")
    wrong: list[tuple[Any, str]] = [
        (b"{", "QNSP-ATT-BAT-001"),
        (b"[]", "QNSP-ATT-BAT-001"),
        (b'{"evidence":"a","evidence":"b"}', "QNSP-ATT-BAT-001"),
        (b'{"id":NaN}', "QNSP-ATT-BAT-001"),
        (b"\xff\xfe", "QNSP-ATT-BAT-001"),
        (b"[" * 100_000, "QNSP-ATT-BAT-001"),
        (b'{"evidence":"' + b"x" * MAX_LINE + b'"}', "QNSP-ATT-BAT-001"),
        (b'{"evidence":"' + b"x" * (3 * MAX_LINE) + b'"}', "QNSP-ATT-BAT-001"),
        ({"id": 1}, "QNSP-ATT-BAT-002"),
        ({**good, "evidence": "nowhere"}, "QNSP-ATT-BAT-003"),
        ({**good, "evidence": "snp"}, "QNSP-ATT-BAT-003"),
        ({**good, "evidence": "pipe"}, "QNSP-ATT-BAT-003"),
        ({**good, "evidence": "a\0b"}, "QNSP-ATT-BAT-003"),
        ({**good, "evidence": "empty"}, "QNSP-ATT-SNP-001"),
        ({**good, "evidence": "empty", "kind": "auto"}, "QNSP-ATT-BAT-006"),
        ({**good, "collateral": "nowhere"}, "QNSP-ATT-BAT-003"),
        ({**good, "endorsements": {"auxblob": "nowhere"}}, "QNSP-ATT-BAT-003"),
        ({**good, "kind": "sev_snp"}, "QNSP-ATT-BAT-002"),
        ({**good, "kind": None}, "QNSP-ATT-BAT-002"),
        ({**good, "kind": "tdx"}, "QNSP-ATT-TDX-004"),
        ({**good, "nonce": "00"}, "QNSP-ATT-BAT-002"),
        ({**good, "assurance": ["hardware-tee"]}, "QNSP-ATT-APR-003"),
        ({**good, "assurance": ["gold"]}, "QNSP-ATT-BAT-002"),
        ({**good, "policy": "nowhere"}, "QNSP-ATT-BAT-003"),
        ({**good, "policy": "snp/Milan/ark.pem"}, "QNSP-ATT-BAT-001"),
        ({**good, "machine": {"gpus": "8"}}, "QNSP-ATT-BAT-002"),
        ({**good, "machine": {"gpus": 1}}, "QNSP-ATT-NV-060"),
        ({**good, "alternatives": []}, "QNSP-ATT-APR-001"),
        ({**good, "alternatives": [{"equals": {"measurement": "11" * 48}}]}, "QNSP-ATT-APR-031"),
        ({**good, "alternatives": [{"kind": "tdx"}]}, "QNSP-ATT-APR-001"),
        ({**good, "alternatives": [{"notAfter": "2027-03-09T07:59:59Z"}]}, "QNSP-ATT-APR-002"),
        ({**good, "requireChecked": ["event-log"]}, "QNSP-ATT-APR-005"),
        ({**good, "devices": [{"evidence": good["evidence"], "devices": []}]}, "QNSP-ATT-BAT-002"),
        ({**good, "anchors": [{"vendor": 5}]}, "QNSP-ATT-BAT-002"),
    ]
    lines = [part for one, _ in wrong for part in (one, {**good, "id": "good"})]
    answers = judge(folder, *lines)
    assert [a["line"] for a in answers] == list(range(1, len(lines) + 1))
    assert {a["verdict"] for a in answers[1::2]} == {"accepted"}
    assert [a["code"] for a in answers[::2]] == [code for _, code in wrong]
    assert {a["verdict"] for a in answers[::2]} == {"refused"}


def test_duplicates_are_judged_each(fleet: Fleet, folder: Path) -> None:
    """The same line twice gets the same verdict twice."""
    first, second = judge(folder, fleet.lines[3], fleet.lines[3])
    assert {**first, "line": 0} == {**second, "line": 0}


def test_policy_file_beneath_a_line(fleet: Fleet, folder: Path) -> None:
    """A line may name a policy; its own members win."""
    line = fleet.lines[0]
    (folder / "policy.json").write_text(json.dumps({"floors": {"tcb.reported.snp": 200}}))
    (refused,) = judge(folder, {**line, "policy": "policy.json"})
    assert (refused["code"], refused["step"]) == ("QNSP-ATT-APR-040", 6)
    (accepted,) = judge(folder, {**line, "policy": "policy.json", "floors": {"tcb.reported.snp": 1}})
    assert accepted["results"]["tcb"] == "simulated"


def test_nothing_demanded_is_nothing_settled(fleet: Fleet, folder: Path) -> None:
    """A measurement that no policy names stays claimed, and a RIM that is missing stays not checked."""
    (plain,) = judge(folder, fleet.lines[0])
    assert plain["results"]["measurements"] == "claimed"
    gpu = next(line for line in fleet.lines if line["kind"] == "nvidia-gpu")
    (bare,) = judge(folder, {**gpu, "collateral": [], "requireChecked": []})
    assert (bare["verdict"], bare["results"]["measurements"]) == ("accepted", "not checked")


@pytest.mark.parametrize(("floor", "code"), [("580.10", ""), ("580.9.99", ""), ("580.10.01", "QNSP-ATT-APR-040")])
def test_driver_floor_orders_as_versions_do(fleet: Fleet, folder: Path, floor: str, code: str) -> None:
    """Driver and VBIOS floors are versions, not text."""
    gpu = next(line for line in fleet.lines if line["kind"] == "nvidia-gpu")
    (answer,) = judge(folder, {**gpu, "floors": {"driver": floor, "vbios": "96.00.5E.00.01"}})
    assert answer["code"] == code


class Node:
    """A CPU with two GPUs behind it, and a session that binds them."""

    NONCE = "c2Vzc2lvbg=="
    KEY: ClassVar = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.amd = snp.mint_pki("Genoa", NOW, key_size=2048)
        self.nvidia = nvidia.mint_pki(NOW)
        self.gpus = [nvidia.make_device(self.nvidia) for _ in range(2)]
        self.chip = snp.make_chip(self.amd, NOW)
        roots = {"dev.pem": self.nvidia.device_root.certificate, "rim.pem": self.nvidia.rim_chain[0].certificate}
        write(folder, {"ark.pem": self.amd.ark_pem.encode(), **{k: nvidia.pem(v) for k, v in roots.items()}})
        write(folder / "certs", {"ask.der": self.amd.ask.certificate, **nvidia.rims_for(self.gpus[0])})
        write(folder, {"vcek.der": self.chip.certificate})

    def line(
        self,
        *,
        cpu_nonce: str = NONCE,
        gpu_nonce: str = NONCE,
        gpus: int = 2,
        swap: bool = False,
        **members: Any,
    ) -> dict[str, Any]:
        nonce = composite.device_report_data(gpu_nonce, self.KEY, kind=EvidenceKind.NVIDIA_GPU)
        listed = [
            {
                "arch": "HOPPER",
                "uuid": f"GPU-{index}",
                "evidence": base64.b64encode(gpu.report(nonce)).decode(),
                "certificate": base64.b64encode(gpu.chain_pem).decode(),
            }
            for index, gpu in enumerate(self.gpus[:gpus])
        ]
        additional = json.dumps({"nvidia": {"device_evidence_list": listed}})
        bound = composite.primary_report_data(cpu_nonce, self.KEY, additional, kind=EvidenceKind.SEV_SNP)
        sent = additional.replace("GPU-0", "GPU-9") if swap else additional
        write(self.folder, {"cpu.bin": self.chip.report(bound), "additional.json": sent.encode()})
        binding = {"nonce": self.NONCE, "teePubkey": self.KEY, "additionalEvidence": "additional.json"}
        return {
            "kind": "sev-snp",
            "evidence": "cpu.bin",
            "endorsements": {"vcek": "vcek.der"},
            "collateral": "certs",
            "anchors": [{"certificate": "ark.pem", "line": "Genoa"}, "dev.pem", "rim.pem"],
            "binding": binding,
            "requireChecked": ["freshness"],
            **members,
        }


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return Node(tmp_path_factory.mktemp("node"))


def test_composite_machine_with_its_session(node: Node) -> None:
    """One verdict for the CPU and one for each GPU, all bound to one session."""
    (answer,) = judge(node.folder, node.line(machine={"gpus": 2, "mode": "spt"}))
    assert (answer["verdict"], answer["detail"]) == ("accepted", "")
    assert answer["results"]["session"] == "simulated"
    assert answer["results"]["machine"] == "simulated"
    assert [device["kind"] for device in answer["devices"]] == ["nvidia-gpu", "nvidia-gpu"]
    assert {device["results"]["measurements"] for device in answer["devices"]} == {"simulated"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cpu_nonce": "b3RoZXI="}, "QNSP-ATT-CMP-003"),
        ({"gpu_nonce": "b3RoZXI="}, "QNSP-ATT-CMP-004"),
        ({"swap": True}, "QNSP-ATT-CMP-003"),
        ({"gpus": 1, "machine": {"gpus": 2}}, "QNSP-ATT-NV-060"),
        ({"machine": {"gpus": 2, "mode": "mpt"}}, "QNSP-ATT-NV-063"),
        ({"machine": {"gpus": 2, "devtools": True}}, "QNSP-ATT-NV-064"),
        ({"machine": {"gpus": 2, "switches": 4}}, "QNSP-ATT-NV-060"),
        ({"alternatives": [{"devices": []}]}, "QNSP-ATT-APR-050"),
        ({"alternatives": [{"devices": [{"floors": {"driver": "590.1"}}, {}]}]}, "QNSP-ATT-APR-050"),
        ({"devices": [{"evidence": "cpu.bin"}]}, "QNSP-ATT-BAT-002"),
        ({"binding": {"nonce": "x", "teePubkey": "y"}}, "QNSP-ATT-BAT-002"),
        ({"binding": {"nonce": "x", "teePubkey": {}, "additionalEvidence": "vcek.der"}}, "QNSP-ATT-CMP-009"),
    ],
)
def test_composite_machine_refused(node: Node, change: dict[str, Any], code: str) -> None:
    """Another session, other devices than were bound, or rules of the machine that do not hold."""
    (answer,) = judge(node.folder, node.line(**change))
    assert (answer["verdict"], answer["code"]) == ("refused", code), answer["detail"]


def test_devices_without_a_cpu_say_that_nothing_binds_them(node: Node) -> None:
    """A set of GPUs alone can be judged by the rules of a machine; the binding stays not checked."""
    nonce = bytes(range(32))
    for index, gpu in enumerate(node.gpus):
        write(node.folder, {f"gpu{index}.bin": gpu.report(nonce), f"gpu{index}.pem": gpu.chain_pem})
    first, second = (
        {"kind": "nvidia-gpu", "evidence": f"gpu{index}.bin", "endorsements": {"device-chain": f"gpu{index}.pem"}}
        for index in range(2)
    )
    common = {"anchors": ["dev.pem", "rim.pem"], "machine": {"gpus": 2}, "nonce": nonce.hex()}
    good, twice, demanded = judge(
        node.folder,
        {**first, **common, "devices": [second]},
        {**first, **common, "devices": [first]},
        {**first, **common, "devices": [second], "requireChecked": ["binding"]},
    )
    assert (good["verdict"], good["results"]["binding"]) == ("accepted", "not checked")
    assert twice["code"] == "QNSP-ATT-NV-062"
    assert demanded["code"] == "QNSP-ATT-APR-005"


def test_failure_of_ours_is_a_refusal(tmp_path: Path) -> None:
    """Should a part of ours fail on a line, that line is refused and the next is judged."""

    class Broken(DiskFiles):
        def read(self, name: str) -> bytes:
            raise RuntimeError(name)

    answer = Batch(Broken(tmp_path), NOW).answer({"evidence": "x"})
    assert (answer["verdict"], answer["code"]) == ("refused", "QNSP-ATT-BAT-005")


def test_clock_of_a_line(fleet: Fleet, folder: Path) -> None:
    """The time of a line counts, not that of the run."""
    later = (NOW + timedelta(days=20 * 365)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answers = judge(folder, *({**line, "now": later} for line in fleet.lines if line["kind"] != "coco-sample"))
    assert {a["verdict"] for a in answers} == {"refused"}
