"""docs/howto/aws-without-aws.md does what it says: its commands, typed into a shell beside the lab.

The lab is a test double (tests/plugins/aws/lab): an AWS-shaped server, and every instance of a fleet as real processes of this machine. The
example with an endpoint is applied, rolled out to an image that cannot attest, and, mended, to its end; QNSP_WHOLE_PAGE=1 types the rest as well.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from qnsp_policy.testing.needed import built_pulumi

pytestmark = [pytest.mark.engine, pytest.mark.functional, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/howto/aws-without-aws.md").read_text(encoding="utf-8")
BEGIN, *BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
APPLY, ROLLOUT, BROKER, SPOILED, MENDED, EDIT, END = BLOCKS
WHOLE = "QNSP_WHOLE_PAGE" in os.environ
SECONDS = 1500
"""For one shell of commands; on a quiet machine it takes a minute."""
_EXITS = re.compile(r"(?m)^(qnsp-policy [^#\n]*?) *# exit ([0-9]+)\b.*$")


def typed(text: str, folder: Path) -> str:
    """Commands of the page for a folder of the test's; an exit code that the page names is the one that must come."""
    text = _EXITS.sub(r"code=0; \1 || code=$?; [ $code = \2 ]", text)
    return text.replace("/tmp/prod", str(folder / "prod")).replace("/tmp/plugins", str(folder / "plugins"))


class Shell:
    """A shell beside a lab; each text in one of its own, all output together."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self._environment = folder, environment

    def __call__(self, text: str) -> str:
        script = f"set -euo pipefail\ncd '{self.folder}/prod'\n{typed(text, self.folder)}"
        done = subprocess.run(
            ["bash", "-c", script], env=dict(self._environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout[-6000:]}\n{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        """What instances wrote."""
        where = re.search(r"# what instances wrote: (\S+)", (self.folder / "lab.out").read_text())
        found = sorted(Path(where[1]).rglob("*.log")) if where else []
        return "\n".join(f"== {path.parent.name}/{path.name}\n{path.read_text()[-1500:]}" for path in found)


@contextmanager
def lab(folder: Path, template: str) -> Iterator[Shell]:
    """The page's first block, its last command left running."""
    built_pulumi()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "QNSP_"))}
    environment = {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    lines = typed(BEGIN.replace("aws-nitro", template), folder).strip().splitlines()
    assert lines[0].startswith("export PATH=")
    assert "tests.plugins.aws.lab" in lines[2]
    subprocess.run(["bash", "-c", lines[1]], env=environment, check=True, capture_output=True, timeout=SECONDS)
    out = folder / "lab.out"
    with out.open("wb") as sink:
        # Its own port: another lab may run on this machine.
        running = subprocess.Popen(
            ["bash", "-c", f"exec {lines[2]} --port 0"], cwd=ROOT, env=environment, stdout=sink, stderr=sink
        )
    try:
        deadline = time.monotonic() + SECONDS
        while "# what instances wrote" not in out.read_text():
            assert running.poll() is None, out.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        told = dict(re.findall(r'(?m)^export (\w+)="(.*)"$', out.read_text()))
        told["PATH"] = told["PATH"].replace("$PATH", environment["PATH"])
        yield Shell(folder, {**environment, **told})
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=SECONDS)


def in_turn(said: str, *patterns: str) -> bool:
    """Whether every pattern is found, each behind the one before."""
    return re.search("(?s:.*?)".join(patterns), said) is not None


def test_the_page_is_true_of_aws_nitro(tmp_path: Path) -> None:
    """Applied, with an answer that verifies; a broker replaced without a word to callers; an image that never attests changes nothing for callers; mended, the same plan rolls it out."""
    with lab(tmp_path, "aws-nitro") as shell:
        said = shell(APPLY)
        for unit in ("platform/cloud", "aws-keys/clinic", "broker/main", "tenant/clinic", "enclave/triage"):
            assert re.search(rf"{unit} +created", said), said
        assert "routine: chest pain" in said
        assert "simulated    evidence" in said
        assert "Nothing to do" in said
        assert "no drift in 6 units" in said
        planned = json.loads(shell("qnsp-policy --format json plan"))["plan"]["units"]
        (store,) = next(unit["inputs"]["keys"] for unit in planned if unit["id"] == "broker/main")
        opened_by = {
            one["Principal"]["AWS"] for one in store["policy"]["Statement"] if one["Sid"].startswith("Release")
        }
        assert opened_by == {"arn:aws:iam::012345678901:role/qnsp/aws-nitro/qnsp-aws-nitro-main"}
        answering = "routine"
        if WHOLE:
            answering = "urgent"
            assert "urgent: chest pain" in shell(ROLLOUT)

        # The broker's new member begins with nothing, and no guest stops what it serves meanwhile.
        said = shell(BROKER)
        handed = (rf"{unit} +updated" for unit in ("broker/main", "tenant/clinic", "endpoint/triage", "broker/main"))
        assert in_turn(
            said, "who may become broker main", "EMPTIES KeyBroker/main", *handed, f"{answering}: chest pain"
        ), said
        assert "the broker denied it" not in shell.logs()

        # The new image's bytes are not those that were signed: no instance starts it.
        said = shell(SPOILED)
        assert in_turn(said, "wave 1  admit ", "wave 2  replace ", "wave 3  retire ")
        gone_back = r"enclave/triage +failed .* did not attest: .*; it went back to what was applied before"
        not_begun = r"endpoint/triage +not begun +it depends on enclave/triage, whose members did not attest"
        assert in_turn(said, gone_back, not_begun, "stay admitted", f"{answering}: chest pain"), said
        said = shell(MENDED)
        steps = (rf"{unit} +updated" for unit in ("enclave/triage", "endpoint/triage", "aws-keys/clinic"))
        assert in_turn(said, *steps, "calm: chest pain"), said
        if WHOLE:
            assert "does not record" in shell(EDIT)
            assert "no drift" in shell("qnsp-policy drift")
            assert re.search(r"platform/cloud +deleted", shell(END))


@pytest.mark.parametrize("template", ["aws-nitrotpm-gpu", "aws-snp"])
def test_the_other_examples_go_the_same_way(template: str, tmp_path: Path) -> None:
    """Every unit is applied and every member in service; a second plan does nothing, and nothing has drifted."""
    with lab(tmp_path, template) as shell:
        said = shell("\n".join(line for line in APPLY.splitlines() if "triage" not in line and "answer" not in line))
        assert re.search(r"enclave/(trainer|batch) +created", said), said
        assert "Nothing to do" in said
        assert "no drift" in said
