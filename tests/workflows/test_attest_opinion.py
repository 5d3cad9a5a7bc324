"""`attest verify --second-opinion` and `attest collect` with named doubles of NVIDIA's tools: each way in which a program fails."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.cli.main import main
from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.batch import Batch, Material
from qnsp_policy.kernel.attestation.batch_edge import DiskFiles
from qnsp_policy.resources_edge import data_path
from qnsp_policy.simulator import nvidia
from qnsp_policy.workflows.attest_opinion import collect_gpus, second_opinions
from qnsp_policy.workflows.tools import find_sdk, install_sdk

NOW = datetime(2027, 3, 9, 8, 0, 0, tzinfo=UTC)
NONCE = bytes(range(32))
ALL_OK = """
import json, sys
request = json.load(sys.stdin)
assert request["op"] == "judge" and request["driverRim"] and request["vbiosRim"]
print(json.dumps({"version": "2.7.3", "steps": [{"step": "signature", "verdict": "ok", "detail": ""}]}))
"""


@pytest.fixture
def double(tmp_path: Path) -> Callable[[str], Path]:
    """A program that stands in for the SDK's interpreter or for `nvattest`."""

    def make(code: str) -> Path:
        script, program = tmp_path / "double.py", tmp_path / "double"
        script.write_text(code, encoding="utf-8")
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{script}" "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        return program

    return make


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """One minted GPU with its RIMs."""
    root = tmp_path_factory.mktemp("gpu")
    pki = nvidia.mint_pki(NOW)
    device = nvidia.make_device(pki)
    (root / "collateral").mkdir()
    for name, data in nvidia.rims_for(device).items():
        (root / "collateral" / name).write_bytes(data)
    (root / "report").write_bytes(device.report(NONCE))
    (root / "chain.pem").write_bytes(device.chain_pem)
    for name, authority in (("device", pki.device_root), ("rim", pki.rim_chain[0])):
        (root / f"{name}.pem").write_bytes(nvidia.pem(authority.certificate))
    request = {
        "evidence": "report",
        "endorsements": {"device-chain": "chain.pem"},
        "collateral": "collateral",
        "anchors": ["device.pem", "rim.pem"],
    }
    return Batch(DiskFiles(root), NOW).material(request)


def test_what_the_sdk_is_given(material: Material, double: Callable[[str], Path]) -> None:
    """Report, chain, both RIMs, the roots that the evidence ends in, nonce and time; its steps come back."""
    (found,) = second_opinions("nvidia-sdk", material, nonce=NONCE.hex(), tool=double(ALL_OK))
    assert [(one.step, one.verdict) for one in found.steps] == [("signature", "ok")]
    assert found.by == "nvidia-sdk 2.7.3"
    assert "2026-09-15" in found.note


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import time; time.sleep(600)", "did not end within 1 s"),
        ("print('x' * 5_000_000)", "wrote more than"),
        ("print('no JSON')", "not JSON"),
        ("print('[' * 100_000)", "not JSON"),
        ("print('[]')", "not of its form"),
        ('print(\'{"steps": [{"step": "rim", "verdict": "fine"}]}\')', "not of its form"),
        ('print(\'{"steps": [{"step": "rim", "verdict": "not judged"}]}\')', "not of its form"),
        ('print(\'{"error": "no such thing"}\')', "no such thing"),
        ("import sys; sys.exit('boom')", "ended with 1: boom"),
        ("", "not JSON"),
    ],
)
def test_what_is_no_opinion(material: Material, double: Callable[[str], Path], code: str, why: str) -> None:
    """A program that hangs, shouts, babbles or breaks gives no opinion, and says why."""
    seconds = 1.0 if "sleep" in code else 240.0
    (found,) = second_opinions("nvidia-sdk", material, nonce=None, tool=double(code), seconds=seconds)
    assert found.steps == ()
    assert why in found.failure


def test_it_sees_nothing_of_ours(
    material: Material, double: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of our environment reaches it, and it runs in a folder of its own."""
    monkeypatch.setenv("QNSP_TEST_SECRET", "s3cret")
    code = (
        "import json, os\n"
        "seen = ' '.join(sorted(os.environ)) + ' ' + str(sorted(os.listdir('.')))\n"
        "print(json.dumps({'steps': [{'step': 'env', 'verdict': 'ok', 'detail': seen}]}))"
    )
    (found,) = second_opinions("nvidia-sdk", material, nonce=None, tool=double(code))
    assert "SECRET" not in found.steps[0].detail
    assert found.steps[0].detail.endswith("['.stdin']")


NVATTEST = """
import json, sys
line = sys.argv[1:]
value = lambda name: line[line.index(name) + 1]
entry = json.load(open(value("--gpu-evidence-file")))[0]
assert entry["nonce"] == value("--nonce") and entry["arch"] == "HOPPER" and value("--rim-store") == "dir"
import os
assert len(os.listdir(value("--rim-dir"))) == 4
claims = [{"x-nvidia-gpu-attestation-report-signature-verified": True,
           "x-nvidia-gpu-attestation-report-nonce-match": NONCE_MATCH, "measres": "success",
           "x-nvidia-gpu-attestation-report-cert-chain":
               {"x-nvidia-cert-status": "valid", "x-nvidia-cert-ocsp-status": OCSP}}]
print(json.dumps({"result_code": CODE, "result_message": "as told", "claims": claims, "detached_eat": []}))
"""


def test_nvattest_is_given_a_file_and_its_claims_are_read(material: Material, double: Callable[[str], Path]) -> None:
    """Evidence goes over as its documentation says; each claim stands for our step, the result for the whole."""
    good = double(NVATTEST.replace("NONCE_MATCH", "True").replace("CODE", "0").replace("OCSP", "'good'"))
    (found,) = second_opinions("nvattest", material, nonce=NONCE.hex(), tool=good)
    assert {one.step: one.verdict for one in found.steps} == {
        "signature": "ok",
        "freshness": "ok",
        "chain": "ok",
        "revocation": "ok",
        "measurements": "ok",
        "overall": "ok",
    }
    bad = double(NVATTEST.replace("NONCE_MATCH", "False").replace("CODE", "7").replace("OCSP", "'revoked'"))
    (found,) = second_opinions("nvattest", material, nonce=NONCE.hex(), tool=bad)
    assert {one.step for one in found.steps if one.verdict == "refused"} == {"freshness", "overall", "revocation"}


def test_evidence_without_a_gpu(double: Callable[[str], Path]) -> None:
    """A second opinion of NVIDIA's tools on other evidence is refused, not skipped."""
    root = Path(__file__).parents[1] / "vectors/snp"
    other = Batch(DiskFiles(root), NOW).material({"evidence": "ms_milan_attestation_report.bin"})
    with pytest.raises(OperatorError, match="NVIDIA GPUs") as error:
        second_opinions("nvidia-sdk", other, nonce=None, tool=double(ALL_OK))
    assert error.value.code == "QNSP-OPS-113"


def test_a_tool_that_is_not_there(material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for and is not installed is an error with the command that installs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, next_step in (("nvidia-sdk", "tools install nvidia-sdk"), ("nvattest", "NVIDIA describes")):
        with pytest.raises(OperatorError) as error:
            second_opinions(name, material, nonce=None)
        assert error.value.code == "QNSP-OPS-112"
        assert next_step in str(error.value.next_step)


DEVICE = {"arch": "HOPPER", "evidence": "AAAA", "certificate": "BBBB", "driver_version": "1"}


def test_collecting(double: Callable[[str], Path]) -> None:
    """Both collectors give the additional evidence of the protocol, with the members that it knows."""
    sdk = double(f"import json; print(json.dumps({{'devices': [{DEVICE}]}}))")
    expected = {"device_evidence_list": [{name: DEVICE[name] for name in ("arch", "evidence", "certificate")}]}
    assert collect_gpus("nvidia-sdk", "AB" * 32, tool=sdk)["nvidia"] == expected
    program = double(
        f"import json; print(json.dumps({{'evidences': [{DEVICE}], 'result_code': 0, 'result_message': ''}}))"
    )
    assert collect_gpus("nvattest", "ab" * 32, tool=program)["nvidia"] == expected


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("nvidia-sdk", 'print(\'{"error": "no GPU"}\')', "no GPU"),
        ("nvidia-sdk", "print('{\"devices\": []}')", "not of its form"),
        ("nvidia-sdk", 'print(\'{"devices": [{"arch": 1}]}\')', "not of its form"),
        ("nvattest", 'print(\'{"evidences": [], "result_code": 6, "result_message": "NVML"}\')', "NVML"),
    ],
)
def test_nothing_collected(double: Callable[[str], Path], name: str, code: str, why: str) -> None:
    """No device, or an answer of another form, is no evidence."""
    with pytest.raises(OperatorError, match=why) as error:
        collect_gpus(name, "ab" * 32, tool=double(code))
    assert error.value.code == "QNSP-OPS-114"


def run(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(list(line))
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_nonce_of_another_length(capsys: pytest.CaptureFixture[str]) -> None:
    """A GPU takes 32 bytes."""
    code, said = run(capsys, "attest", "collect", "--nonce", "00ff")
    assert (code, "QNSP-OPS-115" in said) == (1, True)


def test_a_misspelt_verifier(capsys: pytest.CaptureFixture[str]) -> None:
    """The word that was meant is named."""
    code, said = run(capsys, "attest", "verify", "report.bin", "--second-opinion", "nvidia-skd")
    assert (code, "did you mean nvidia-sdk?" in said) == (64, True)


def test_list_of_tools(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK stands in the list with its end of support, and `nvattest` where it is on PATH."""
    program = tmp_path / "nvattest"
    program.write_text('#!/bin/sh\necho \'{"nvattest": "1.2"}\'\n', encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, said = run(capsys, "tools", "list", "--format", "json")
    value: Any = json.loads(said)
    listed = {one["name"]: one for one in value}
    assert code == 0
    assert (listed["nvidia-sdk"]["path"], listed["nvidia-sdk"]["supportEnded"]) == (None, "2026-09-15")
    assert (listed["nvattest"]["version"], listed["nvattest"]["path"]) == ("1.2", str(program))
    assert listed["nvattest"]["digest"].startswith("sha256:")
    code, said = run(capsys, "tools", "install", "nvattest")
    assert (code, "QNSP-OPS-056" in said) == (1, True)


def test_an_installation_that_is_not_whole(tmp_path: Path) -> None:
    """Half an installation, one of another lock, and one whose interpreter went away are none."""
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    root = tmp_path / "qnsp-policy/tools/nvidia-sdk-2.7.3"
    python = root / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    assert find_sdk(environment) is None
    for text in ("{", "[]", '{"lock": "sha256:00"}'):
        (root / "installed.json").write_text(text)
        assert find_sdk(environment) is None
    digest = hashlib.sha256(data_path("tools", "nvidia-sdk", "requirements.txt").read_bytes()).hexdigest()
    (root / "installed.json").write_text(json.dumps({"lock": f"sha256:{digest}"}))
    found = find_sdk(environment)
    assert found is not None
    assert found.python == python
    python.unlink()
    assert find_sdk(environment) is None


@pytest.mark.slow
def test_packages_that_cannot_be_had(tmp_path: Path) -> None:
    """Without an index nothing is installed, nothing is left behind, and the reason is said."""
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_RETRIES": "0"}
    said: list[str] = []
    with pytest.raises(OperatorError, match="cannot be installed") as error:
        install_sdk(environment, progress=said.append)
    assert error.value.code == "QNSP-OPS-111"
    assert said
    assert not (tmp_path / "qnsp-policy/tools/nvidia-sdk-2.7.3").exists()


def test_the_lock_names_hashes_and_no_index() -> None:
    """Every requirement is pinned with hashes; no address stands in the list."""
    text = data_path("tools", "nvidia-sdk", "requirements.txt").read_text()
    entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert all("==" in line for line in entries)
    assert text.count("--hash=sha256:") >= len(entries)
    assert "://" not in text
    assert "--index" not in text
