"""The script of a Nitro parent: shell that parses, carriers for what its enclave needs, nothing that a name could break out of."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from qnsp_policy.pipeline.plan.lowering.aws_user_data import CREDENTIALS_PORT, KMS_PORT, enclave_parent


def script(
    broker: tuple[str, int] | None = ("broker.clinic.example", 8555), location: str = "s3://b/triage.eif"
) -> str:
    return enclave_parent(
        location=location,
        digest="sha256:" + "0" * 64,
        vcpus=4,
        mebibytes=8192,
        ports=[8443],
        broker=broker,
        region="eu-west-1",
        suffix="amazonaws.com",
        group="qnsp-triage",
        hook="attested-triage",
        log="/qnsp/clinic/triage",
    )


@pytest.mark.parametrize("broker", [("broker.clinic.example", 8555), None])
def test_it_is_a_script(broker: tuple[str, int] | None) -> None:
    """bash reads it without a complaint."""
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n"], input=script(broker).encode(), check=True)


def test_carriers_stand_before_the_enclave_starts() -> None:
    """KMS, credentials and the broker are there when the guest first asks for them; its ports after it runs."""
    text = script()
    started = text.index("nitro-cli run-enclave")
    for carrier in (f"vsock-proxy {KMS_PORT} kms.eu-west-1", f"VSOCK-LISTEN:{CREDENTIALS_PORT}", "VSOCK-LISTEN:8555"):
        assert text.index(carrier) < started
    assert text.index("VSOCK-CONNECT:16:8443") > started
    assert "--debug-mode" not in text


def test_a_broker_s_own_parent_leads_to_no_broker() -> None:
    """Its enclave asks none."""
    assert "8555" not in script(None)


def test_a_name_stays_a_word() -> None:
    """What a document says cannot become a command."""
    text = script(("b; reboot", 1), "s3://b/$(reboot)")
    assert "'b; reboot'" in text
    assert "'s3://b/$(reboot)'" in text


def test_credentials_are_the_metadata_service_s() -> None:
    """The helper writes what the service answers, and fails where the service does."""
    text = script()
    helper = text[text.index("#!/bin/bash\ntoken") : text.index("\nEND\n")]
    bash = shutil.which("bash")
    assert bash is not None
    fake = 'curl() { case "$*" in *api/token*) echo t;; */qnsp-role) echo "{\\"AccessKeyId\\":1}";; *security-credentials/) echo qnsp-role;; esac; }\n'
    said = subprocess.run(
        [bash, "-c", fake + helper.replace("exec curl", "curl")], capture_output=True, check=True, text=True
    )
    assert said.stdout == '{"AccessKeyId":1}\n'
    failed = subprocess.run([bash, "-c", "curl() { return 7; }\n" + helper], capture_output=True, check=False)
    assert (failed.returncode, failed.stdout) == (1, b"")


@pytest.mark.parametrize("fails", [False, True])
def test_an_instance_says_how_it_ended(tmp_path: Path, *, fails: bool) -> None:
    """In service once its enclave answers; where a step fails it says that, so that nobody waits for its time to pass."""
    said = tmp_path / "said"
    for name in ("cat", "tail", "tr"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    for name in ("dnf", "install", "systemctl", "systemd-run", "nitro-cli", "sleep", "chmod"):
        broken = "echo 'no \"memory\" left, $5' >&2; exit 1" if fails and name == "nitro-cli" else "exit 0"
        (tmp_path / name).write_text(f"#!/bin/sh\n{broken}\n")
    # As the real one it reads what is piped to it: else the shell's `echo` finds a closed pipe now and then.
    (tmp_path / "sha256sum").write_text("#!/bin/sh\ncat > /dev/null\n")
    (tmp_path / "date").write_text("#!/bin/sh\necho 1\n")
    (tmp_path / "curl").write_text("#!/bin/sh\necho told\n")
    (tmp_path / "aws").write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    for path in tmp_path.iterdir():
        if not path.is_symlink():
            path.chmod(0o755)
    said.touch()
    text = script().replace("/run/qnsp-boot", f"{tmp_path}/boot").replace("> /etc/nitro_enclaves/allocator.yaml", "")
    text = text.replace("> /run/qnsp/", f"> {tmp_path}/")
    bash = shutil.which("bash")
    assert bash is not None
    (tmp_path / "script").write_text(text)
    line = [bash, str(tmp_path / "script")]
    done = subprocess.run(line, env={"PATH": f"{tmp_path}"}, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) is fails, (tmp_path / "boot").read_text()
    word = "ABANDON" if fails else "CONTINUE"
    told = f"--lifecycle-action-result {word} --instance-id told --auto-scaling-group-name qnsp-triage"
    lines = said.read_text().splitlines()
    assert told in lines[-1]
    assert len(lines) == (4 if fails else 2)
    if fails:
        event = json.loads(lines[2].partition("--log-events ")[2])
        assert event == [{"timestamp": 1000, "message": "no  memory  left   5 "}]
        assert "--log-group-name /qnsp/clinic/triage --log-stream-name boot-told" in lines[2]
