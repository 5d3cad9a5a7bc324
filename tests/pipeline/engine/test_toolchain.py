"""Finding and building the programs we run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.engine import toolchain
from qnsp_policy.pipeline.engine.toolchain import TOOLS


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": f"{tmp_path / 'path'}:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache"), **more}


def cached(tmp_path: Path, name: str) -> Path:
    return tmp_path / "cache/qnsp-policy/tools" / f"{name}-{TOOLS[name].version}" / "bin" / name


@pytest.mark.parametrize(
    ("name", "version", "accepted"),
    [
        ("pulumi", "3.250.0", True),
        ("pulumi", "3.251.0", False),
        ("pulumi", "3.249.0", False),
        ("opa", "1.22.0", True),
        ("opa", "1.23.4", True),
        ("opa", "1.9.0", False),
        ("opa", "2.0.0", False),
    ],
)
def test_which_versions_will_do(name: str, version: str, accepted: bool) -> None:
    """The engine is a pair with its SDK; the others may be newer within their major version."""
    assert toolchain.accepts(TOOLS[name], version) is accepted


def test_from_path_if_it_will_do_else_from_the_cache(tmp_path: Path) -> None:
    """PATH first; a wrong one there is passed over, not an error."""
    assert toolchain.find("pulumi", environment=environment(tmp_path)) is None
    script(tmp_path / "path/pulumi", "echo v3.100.0")
    assert toolchain.find("pulumi", environment=environment(tmp_path)) is None
    script(cached(tmp_path, "pulumi"), "echo v3.250.0")
    found = toolchain.find("pulumi", environment=environment(tmp_path))
    assert found is not None
    assert (found.origin, found.version) == ("cache", "3.250.0")
    script(tmp_path / "path/pulumi", "echo v3.250.0")
    found = toolchain.find("pulumi", environment=environment(tmp_path))
    assert found is not None
    assert found.origin == "PATH"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("echo v3.272.0", "QNSP-ENG-020", "is pulumi 3.272.0, but this program works with exactly 3.250.0"),
        ("echo hello", "QNSP-ENG-021", "does not say its version"),
        ("exit 3", "QNSP-ENG-021", "exit code 3"),
        ("kill -9 $$", "QNSP-ENG-021", "does not say its version"),
    ],
)
def test_a_replaced_engine_is_refused(tmp_path: Path, text: str, code: str, words: str) -> None:
    """Of the wrong version, something else, or not for this machine: each said, with the way out."""
    script(cached(tmp_path, "pulumi"), text)
    with pytest.raises(OperatorError, match=words) as error:
        toolchain.find("pulumi", environment=environment(tmp_path))
    assert error.value.code == code
    assert error.value.next_step is not None
    assert "tools install pulumi" in error.value.next_step


def test_a_program_that_cannot_be_executed(tmp_path: Path) -> None:
    """No permission, or bytes that are no program."""
    path = cached(tmp_path, "opa")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x7fELF not for this machine")
    path.chmod(0o755)
    with pytest.raises(OperatorError, match="cannot be run"):
        toolchain.find("opa", environment=environment(tmp_path))


def test_no_compiler(tmp_path: Path) -> None:
    """Said with where to get it."""
    with pytest.raises(OperatorError, match=r"QNSP-ENG-023.*no Go compiler on PATH"):
        toolchain.install("opa", environment={"PATH": "/nowhere", "XDG_CACHE_HOME": str(tmp_path)})


def test_a_failed_build_shows_its_last_words_and_leaves_nothing(tmp_path: Path) -> None:
    """The compiler's own error; no half-made program in the cache."""
    script(tmp_path / "path/go", "echo 'go: downloading x' >&2; echo 'proxy: no route to host' >&2; exit 1")
    with pytest.raises(OperatorError, match="proxy: no route to host") as error:
        toolchain.install("opa", environment=environment(tmp_path))
    assert error.value.code == "QNSP-ENG-024"
    assert list(cached(tmp_path, "opa").parent.iterdir()) == []


GO = """
while [ $# -gt 0 ]; do case "$1" in -o) out="$2"; shift;; esac; shift; done
echo "$out" >> "$COUNT"
sleep 0.5
printf '#!/bin/sh\\necho Version: 1.22.0\\n' > "$out"
chmod 755 "$out"
"""


def test_two_builds_at_once_build_once(tmp_path: Path) -> None:
    """The second waits for the first and uses what it built; progress ends at 1."""
    script(tmp_path / "path/go", GO)
    count = tmp_path / "count"
    code = (
        "import os,sys\nfrom qnsp_policy.pipeline.engine import toolchain\n"
        "print(toolchain.install('opa', environment=os.environ, progress=lambda n, f, w: print(f)).origin)"
    )
    env = {**os.environ, **environment(tmp_path, COUNT=str(count))}
    running = [subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert count.read_text().count("\n") == 1
    assert sorted(text.splitlines()[-1] for text in said) == ["built now", "cache"]
    assert any("1.0" in text.splitlines() for text in said)


def test_the_pins_are_those_of_the_modules() -> None:
    """What we ask for is what go.mod pins: nothing else is ever built."""
    for name, tool in TOOLS.items():
        module = (Path(__file__).parents[3] / "tools" / name / "go.mod").read_text()
        assert f"tool {tool.package}" in module
        assert f"v{tool.version}" in module
