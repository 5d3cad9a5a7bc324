"""`attest verify` and `attest inspect` at the door: every kind, its outputs, its exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.cli.main import main
from qnsp_policy.kernel.attestation.ear import verify_ear
from qnsp_policy.kernel.crypto.keyfile_edge import write_key_file
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.simulator.fleet import Fleet, mint_fleet

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = datetime(2027, 3, 9, 8, 0, 0, tzinfo=UTC)
MILAN = [
    "attest",
    "verify",
    str(VECTORS / "snp/ms_milan_attestation_report.bin"),
    "--endorsement",
    f"vcek={VECTORS / 'snp/ms_milan_vcek.pem'}",
    "--collateral",
    str(VECTORS / "snp/ms_milan_ask.pem"),
    "--now",
    "2026-09-01T00:00:00Z",
]


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return mint_fleet(NOW, 1)


@pytest.fixture(scope="module")
def folder(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fleet")
    for name, data in {**fleet.files, "list.jsonl": fleet.listing}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def run(capsys: pytest.CaptureFixture[str], *line: str, code: int = 0) -> str:
    capsys.readouterr()
    got = main(list(line))
    said = capsys.readouterr()
    assert got == code, said.out[-1500:] + said.err[-1500:]
    return said.out


def arguments(line: Mapping[str, Any], folder: Path) -> list[str]:
    """The command line that says what a line of a list says."""
    found = [str(folder / line["evidence"]), "--kind", line["kind"]]
    for name, path in line.get("endorsements", {}).items():
        found += ["--endorsement", f"{name}={folder / path}"]
    given = line.get("collateral", [])
    for path in [given] if isinstance(given, str) else given:
        found += ["--collateral", str(folder / path)]
    for anchor in line["anchors"]:
        found += ["--anchor", str(folder / (anchor if isinstance(anchor, str) else anchor["certificate"]))]
    for name in line.get("requireChecked", ()):
        found += ["--require-checked", name]
    if "nonce" in line:
        found += ["--nonce", line["nonce"]]
    if "expectedReportData" in line:
        found += ["--report-data", line["expectedReportData"]]
    return [*found, "--now", line["now"]]


def test_every_kind_from_the_command_line(
    fleet: Fleet, folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each minted kind is accepted with --allow-simulated, and refused with exit code 7 without it."""
    for line in fleet.lines:
        if line["kind"] == "coco-sample":
            continue
        words = ["-C", str(tmp_path), "--format", "json", "attest", "verify", *arguments(line, folder)]
        answer = json.loads(run(capsys, *words, "--allow-simulated"))
        assert (answer["verdict"], answer["kind"], answer["detail"]) == ("accepted", line["kind"], "")
        assert json.loads(run(capsys, *words, code=7))["code"] == "QNSP-ATT-APR-003"


def test_inspection_of_every_kind(fleet: Fleet, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind is shown as a table, with offsets on request, and its JSON twin says that nothing was verified."""
    for line in fleet.lines:
        path = str(folder / line["evidence"])
        text = run(capsys, "attest", "inspect", path, "--offsets")
        assert "NOT VERIFIED" in text
        assert "offset" in text
        assert max(map(len, text.splitlines())) <= 100
        shown = json.loads(run(capsys, "attest", "inspect", path, "--format", "json"))
        assert (shown["kind"], shown["verified"]) == (line["kind"], False)
        assert all(0 <= field["offset"] <= shown["bytes"] for field in shown["fields"])


def test_text_says_what_was_and_was_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """The words of the verdict, one a line; what nobody asked stays claimed or not checked."""
    text = run(capsys, *MILAN)
    assert text.startswith("accepted     sev-snp, hardware-tee, holds until ")
    assert "not checked  revocation: no CRL of this ARK is given" in text
    assert "claimed      measurements:" in text
    refused = run(capsys, *MILAN, "--nonce", "11" * 64, code=7)
    assert "refused      QNSP-ATT-APR-011   step 3 freshness" in refused


def test_policy_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A policy of the batch format and a ReferenceValues document both judge; a wrong one is an error, not a verdict."""
    claims = json.loads(run(capsys, *MILAN, "--format", "json"))["claims"]
    (tmp_path / "good.json").write_text(json.dumps({"equals": {"measurement": claims["measurement"]}}))
    (tmp_path / "bad.json").write_text(json.dumps({"colour": 1}))
    answer = json.loads(run(capsys, *MILAN, "--policy", str(tmp_path / "good.json"), "--format", "json"))
    assert answer["results"]["measurements"] == "ok"
    assert "QNSP-OPS-091" in run(capsys, *MILAN, "--policy", str(tmp_path / "bad.json"), "--format", "json", code=1)
    values = f"""apiVersion: qnsp.policy/v1
kind: ReferenceValues
metadata: {{name: milan}}
spec:
  attester: sev-snp
  state: active
  expires: 2027-01-01
  covers: {{firmware: measurement}}
  alternatives:
    - measurements: {{measurement: {claims["measurement"]}}}
      floors: {{snp: 1}}
"""
    document = tmp_path / "values.yaml"
    document.write_text(values)
    answer = json.loads(run(capsys, *MILAN, "--policy", str(document), "--format", "json"))
    assert (answer["verdict"], answer["results"]["tcb"]) == ("accepted", "ok")
    document.write_text(values.replace("snp: 1", "snp: 255"))
    assert "QNSP-ATT-APR-040" in run(capsys, *MILAN, "--policy", str(document), code=7)
    document.write_text(values.replace("active", "candidate"))
    assert "QNSP-OPS-092" in run(capsys, *MILAN, "--policy", str(document), "--format", "json", code=1)


@pytest.mark.parametrize("algorithm", ["ML-DSA-65", "ECDSA-P256"])
def test_result_as_ear(capsys: pytest.CaptureFixture[str], tmp_path: Path, algorithm: str) -> None:
    """--ear signs the result, accepted or refused, under the key that was given."""
    key = generate(algorithm)
    write_key_file(tmp_path / "ear.json", "verifier", (key,))
    token = tmp_path / "result.jwt"
    for more, code, status in (((), 0, "affirming"), (("--nonce", "11"), 7, "contraindicated")):
        run(capsys, *MILAN, "--ear", str(tmp_path / "ear.json"), "--out", str(token), *more, code=code)
        now = datetime(2026, 9, 1, 0, 1, tzinfo=UTC)
        assert verify_ear(token.read_text().strip(), [key.public], now=now)["ear_status"] == status
    write_key_file(tmp_path / "other.json", "verifier", (generate("ML-KEM-768"),))
    said = run(capsys, *MILAN, "--ear", str(tmp_path / "other.json"), "--format", "json", code=1)
    assert "QNSP-OPS-090" in said


def test_batch_ends_with_seven_if_any_line_was_refused(
    fleet: Fleet, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers are JSON lines in order; exit code 0 only if every line was accepted."""
    answers = [
        json.loads(text) for text in run(capsys, "attest", "verify", "--batch", str(folder / "list.jsonl")).splitlines()
    ]
    assert [answer["id"] for answer in answers] == [line["id"] for line in fleet.lines]
    (folder / "bad.jsonl").write_bytes(fleet.listing + b"{\n")
    refused = run(capsys, "attest", "verify", "--batch", str(folder / "bad.jsonl"), "--format", "json", code=7)
    assert [answer["verdict"] for answer in json.loads(refused)][-2:] == ["accepted", "refused"]


@pytest.mark.parametrize(
    "line",
    [
        (),
        ("x", "--batch", "y"),
        ("--batch", "y", "--nonce", "00"),
        ("x", "--nonce", "00", "--report-data", "00"),
        ("x", "--kind", "abacus"),
        ("x", "--endorsement", "vcek"),
        ("x", "--out", "y"),
    ],
)
def test_usage(capsys: pytest.CaptureFixture[str], line: tuple[str, ...]) -> None:
    """Options that contradict each other are a fault of usage."""
    run(capsys, "attest", "verify", *line, code=64)


@pytest.mark.parametrize("name", ["tdx/phala_tdx_quote_collateral.json", "snp/ms_milan_vcek.pem"])
def test_what_is_no_evidence_is_not_shown(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Bytes of no kind, and a file that is not there, are errors that say what to do."""
    assert "QNSP-OPS-094" in run(capsys, "attest", "inspect", str(VECTORS / name), "--format", "json", code=1)
    assert "QNSP-OPS-001" in run(capsys, "attest", "verify", str(VECTORS / "nowhere"), "--format", "json", code=1)


def test_a_certificate_is_told_from_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    """`inspect` of collateral says what it is and where it belongs."""
    capsys.readouterr()
    for name, what in (("snp/ms_milan_vcek.pem", "certificates"), ("snp/kds_milan_20260819.crl.der", "CRL")):
        assert main(["attest", "inspect", str(VECTORS / name)]) == 1
        said = capsys.readouterr().err
        assert f"no evidence but collateral ({what})" in said
        assert "attest collateral status" in said


def test_where_a_refusal_stands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal before appraisal names the steps before it and those not reached, within the terminal's width."""
    monkeypatch.setenv("COLUMNS", "80")
    said = run(capsys, "attest", "verify", str(VECTORS / "snp/ms_milan_attestation_report.bin"), code=7)
    assert "QNSP-ATT-SNP-011   step 2 endorsement" in said
    assert "not refused before it: 1 format" in said
    assert "not reached: 3 line, 4 chain" in said
    assert "attest collateral fetch" in said
    said = run(capsys, "attest", "inspect", str(VECTORS / "tdx/phala_tdx_quote"), "--offsets")
    assert max(map(len, said.splitlines())) <= 80


def test_a_misspelt_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """The kind that was meant is named."""
    capsys.readouterr()
    assert main(["attest", "inspect", "x", "--kind", "sev-smp"]) == 64
    assert "did you mean sev-snp?" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/dev/zero", "pipe"])
@pytest.mark.parametrize(
    "line",
    [
        ["inspect", "{}"],
        ["verify", "{}"],
        ["verify", "--batch", "{}"],
        ["verify", str(VECTORS / "snp/ms_milan_attestation_report.bin"), "--policy", "{}"],
        ["verify", str(VECTORS / "snp/ms_milan_attestation_report.bin"), "--collateral", "{}"],
        ["reference-values", "{}"],
        ["collateral", "fetch", "{}"],
    ],
    ids=lambda line: " ".join(word for word in line if "/" not in word),
)
def test_what_never_ends_is_not_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: list[str], path: str
) -> None:
    """A device or a pipe in place of a file is refused at once."""
    if path == "pipe":
        path = str(tmp_path / "pipe")
        os.mkfifo(path)
    capsys.readouterr()
    code = main(["attest", *(word.format(path) for word in line)])
    said = capsys.readouterr()
    assert code in {1, 7}
    assert "not a regular file" in " ".join((said.out + said.err).split())


def test_nothing_to_judge(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An empty list proves nothing; an empty folder is no bundle; evidence of no kind is told so."""
    (tmp_path / "empty").touch()
    run(capsys, "attest", "verify", "--batch", str(tmp_path / "empty"), code=7)
    assert "QNSP-ATT-BAT-006" in run(capsys, "attest", "verify", str(tmp_path / "empty"), code=7)
    (tmp_path / "folder").mkdir()
    line = ["attest", "collateral", "bundle", str(tmp_path / "folder"), "--out", str(tmp_path / "b.tar")]
    run(capsys, *line, code=1)
    assert not (tmp_path / "b.tar").exists()
