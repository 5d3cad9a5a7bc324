"""A file is replaced whole or not at all, and what a killed writer left goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qnsp_policy.kernel import files_edge
from qnsp_policy.kernel.files_edge import write_whole


def test_a_failure_before_it_shows_leaves_the_old_one(tmp_path: Path) -> None:
    """What must come first did not: no new content, no scratch file."""
    path = tmp_path / "a"
    write_whole(path, b"old")

    def fails() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new", before=fails)
    assert path.read_bytes() == b"old"
    assert [left.name for left in tmp_path.iterdir()] == ["a"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_scratch_of_the_dead_is_swept_and_of_the_living_kept(tmp_path: Path) -> None:
    """A writer that lives may be about to use its own."""
    (tmp_path / ".a.999999999-1.part").touch()
    (tmp_path / f".a.{os.getppid()}-1.part").touch()
    files_edge._swept.clear()
    write_whole(tmp_path / "b", b"")
    assert sorted(left.name for left in tmp_path.iterdir()) == [f".a.{os.getppid()}-1.part", "b"]


def test_links_are_followed_and_devices_written(tmp_path: Path) -> None:
    """`--save link` changes what the link names; `/dev/null` stays a device."""
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"x"
    write_whole(Path("/dev/null"), b"x")
    assert Path("/dev/null").is_char_device()


def test_a_scratch_folder_of_the_dead_is_removed_and_of_the_living_kept() -> None:
    """Known by its lock: a process that was killed holds none, whatever ids are in use."""
    script = "import sys, time; from qnsp_policy.kernel.files_edge import own_folder\n"
    script += (
        "with own_folder(sys.argv[1]) as folder: print(folder, flush=True); (folder / 'x').touch(); time.sleep(600)"
    )
    prefix = f"qnsp-test-{os.getpid()}-"
    started = [
        subprocess.Popen([sys.executable, "-c", script, prefix], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        dead, living = (Path((process.stdout or sys.stdin).readline().strip()) for process in started)
        started[0].kill()
        started[0].wait()
        with files_edge.own_folder(prefix) as mine:
            assert (dead.exists(), living.exists(), mine.stat().st_mode & 0o777) == (False, True, 0o700)
            with files_edge.own_folder(prefix) as other:
                assert mine.exists()
                assert other != mine
        assert not mine.exists()
    finally:
        for process in started:
            process.kill()
            process.communicate()
    with files_edge.own_folder(prefix):
        assert not living.exists()
