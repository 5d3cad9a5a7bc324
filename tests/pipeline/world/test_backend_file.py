"""The folder backend: conditional, atomic, durable, and honest about what goes wrong."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.world.backend import ABSENT, Conflict
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    return FileBackend(tmp_path / "state")


def test_of_many_conditional_writers_one_wins(backend: FileBackend) -> None:
    """Twenty threads, one winner."""

    def attempt(number: int) -> bool:
        try:
            backend.put("lease", str(number).encode(), if_match=ABSENT)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(attempt, range(20))) == 1


def test_of_many_processes_each_increment_counts(backend: FileBackend, tmp_path: Path) -> None:
    """Four processes increment one number under a condition; none is lost."""
    backend.put("n", b"0")
    code = (
        "import sys; from pathlib import Path\n"
        "from qnsp_policy.pipeline.world.backend_file_edge import FileBackend\n"
        "from qnsp_policy.pipeline.world.backend import Conflict\n"
        "b = FileBackend(Path(sys.argv[1]))\n"
        "for _ in range(25):\n"
        "    while True:\n"
        "        data, etag = b.get('n')\n"
        "        try: b.put('n', str(int(data) + 1).encode(), if_match=etag); break\n"
        "        except Conflict: pass\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "state")]) for _ in range(4)]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    found = backend.get("n")
    assert found is not None
    assert found[0] == b"100"


@pytest.mark.parametrize("key", ["", "/a", "../a", "a/../b", ".hidden", "a//b", "a b", "a\nb", "a" * 600])
def test_a_key_that_could_leave_the_store_is_misuse(backend: FileBackend, key: str) -> None:
    """Keys are names, never paths out."""
    with pytest.raises(ValueError, match="not a key"):
        backend.get(key)


def test_everything_is_private(backend: FileBackend, tmp_path: Path) -> None:
    """0700 and 0600."""
    backend.put("units/a/b.json", b"1")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "state").rglob("*")}
    assert modes <= {0o700, 0o600}
    assert backend.url.startswith("file://")


def test_a_full_disk_leaves_the_old_content(backend: FileBackend) -> None:
    """A write that cannot be finished says so and changes nothing (a file size limit stands in for the full disk)."""
    etag = backend.put("k", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(OperatorError, match="QNSP-ENG-01"):
            backend.put("k", b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert backend.get("k") == (b"old", etag)
    assert backend.list("") == ["k"]


def test_a_folder_that_cannot_be_written_is_the_operators(tmp_path: Path) -> None:
    """A file where the folder should be; the error names the place."""
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(OperatorError, match="state") as error:
        FileBackend(tmp_path / "state").put("k", b"1")
    assert error.value.code.startswith("QNSP-ENG-01")


def test_no_file_descriptors_left(backend: FileBackend) -> None:
    """Said as such."""
    backend.put("k", b"1")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        with pytest.raises(OperatorError, match="no file descriptors are left"):
            backend.put("k", b"2")
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert backend.get("k") is not None
