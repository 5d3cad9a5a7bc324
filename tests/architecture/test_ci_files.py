"""The action, the workflows and the GitLab component: they parse, their shell parses, and nothing of a pull request becomes code."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from qnsp_policy.cli.table import ENTRIES
from qnsp_policy.testing.clinic import Clinic

ROOT = Path(__file__).parents[2]
GITHUB = ("action.yml", "examples/ci/github-pull-request.yml", "examples/ci/github-comment.yml")
GITLAB = "examples/ci/gitlab/templates/qnsp-policy.yml"


def _documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((ROOT / name).read_text(encoding="utf-8")))


def _scripts(value: Any) -> Iterator[str]:
    """Every shell text: `run` of GitHub, `script` and `before_script` of GitLab."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "run":
                yield str(member)
            elif key in {"script", "before_script"}:
                yield "\n".join(member)
            else:
                yield from _scripts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _scripts(member)


@pytest.mark.parametrize("name", [*GITHUB, GITLAB])
def test_its_shell_is_shell(name: str) -> None:
    """Each script parses, and takes what others wrote from the environment only."""
    scripts = [script for document in _documents(name) for script in _scripts(document)]
    for script in scripts:
        assert "${{" not in script, "an expression in a script is code from whoever wrote the value"
        assert "$[[" not in script, "an input in a script is code from whoever wrote the value"
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", GITHUB[1:])
def test_workflows_are_safe_for_forks(name: str) -> None:
    """Never `pull_request_target`; no write permission where the pull request's documents are read."""
    (workflow,) = _documents(name)
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "pull_request_target" not in text
    assert "{{ secrets" not in text
    assert set(workflow["permissions"].values()) <= {"read"} if workflow["permissions"] else True
    for job in workflow["jobs"].values():
        writes = {scope for scope, level in job["permissions"].items() if level == "write"}
        checks_out = any("checkout" in step.get("uses", "") for step in job["steps"])
        assert writes == ({"security-events"} if checks_out else {"pull-requests"})


@pytest.mark.parametrize("name", ["action.yml", GITLAB])
def test_it_calls_commands_and_options_that_exist(name: str) -> None:
    """A renamed option would break every user's job."""
    scripts = "\n".join(script for document in _documents(name) for script in _scripts(document)).replace("\\\n", " ")
    lines = re.findall(r"qnsp-policy -C [^|;]*", scripts)
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line)[3:]
        command = words[:2] if words[0] == "trust" else words[:1]
        assert words[0] in ENTRIES
        shown = subprocess.run(
            [sys.executable, "-m", "qnsp_policy.cli.main", *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for option in (word for word in words if word.startswith("--")):
            assert option in shown, f"{option} is no option of {' '.join(command)}"
        for kind in re.findall(r"--out \"?([a-z-]+)=", line):
            assert kind in shown


def test_the_action_reviews_a_change(tmp_path: Path) -> None:
    """Its own script over two commits: a comment that begins with its mark, SARIF, and a job that fails for weakened trust."""
    work, temp = tmp_path / "work", tmp_path / "temp"
    work.mkdir()
    text = Clinic().text().replace("@h-clinic@", "0" * 64).replace("@h-research@", "1" * 64)

    def commit() -> str:
        name = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        for line in (["init", "-q"], ["add", "."], [*name, "commit", "-q", "-m", "x"], ["rev-parse", "HEAD"]):
            done = subprocess.run(["git", "-C", str(work), *line], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    (work / "qnsp.yaml").write_text(text, encoding="utf-8")
    base = commit()
    (work / "qnsp.yaml").write_text(text.replace("microcode: 209", "microcode: 115"), encoding="utf-8")
    commit()
    (action,) = _documents("action.yml")
    script = next(step["run"] for step in action["runs"]["steps"] if step["name"] == "review")
    files = {"GITHUB_OUTPUT": tmp_path / "output", "GITHUB_STEP_SUMMARY": tmp_path / "summary", "OUT": temp}
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "DIRECTORY": str(work),
        "BASE": base,
        "FAIL_ON": "critical",
        "ALLOW_WEAKENING": "false",
        **{name: str(path) for name, path in files.items()},
    }
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert (temp / "comment.md").read_text(encoding="utf-8").startswith("<!-- qnsp-policy -->")
    assert '"runs"' in (temp / "findings.sarif").read_text(encoding="utf-8")
    assert "WEAKENED" in done.stdout


@pytest.mark.parametrize("name", GITHUB)
def test_what_others_wrote_is_pinned(name: str) -> None:
    """Other people's actions by commit, packages by digest, and no module out of the folder that was checked out."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for used in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"OWNER/qnsp-policy@REVISION|[\w.-]+/[\w./-]+@[0-9a-f]{40}", used), used
    for line in re.findall(r"^.*\bpip install.*$", text, re.MULTILINE):
        assert "python -I -m pip" in line
        assert "--require-hashes" in line or "--no-index" in line


def test_no_comment_of_a_pull_request_that_may_have_written_it() -> None:
    """A change below .github may have changed the workflow whose text would be posted."""
    (workflow,) = _documents("examples/ci/github-comment.yml")
    (script,) = _scripts(workflow)
    assert script.index("grep -q '^\\.github/'") < script.index("--method PATCH")
