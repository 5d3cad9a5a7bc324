"""A new workspace appears whole, whenever the `init` before it died."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.workflows.init_folder import new_folder


def make(directory: Path) -> None:
    with new_folder(directory) as making:
        assert making is not None
        (making / ".qnsp").mkdir()
        (making / ".qnsp/key").write_text("k")
        (making / "qnsp.yaml").write_text("project")


def test_everything_stands_in_its_place(tmp_path: Path) -> None:
    """And nothing of the making is left."""
    make(tmp_path / "lab")
    assert sorted(path.name for path in (tmp_path / "lab").iterdir()) == [".qnsp", "qnsp.yaml"]
    assert (tmp_path / "lab/.qnsp/key").read_text() == "k"


def test_one_that_was_killed_at_work_is_begun_anew(tmp_path: Path) -> None:
    """What it had made is gone, also its keys."""
    left = tmp_path / "lab/.init.making"
    left.mkdir(parents=True)
    (left / "key").write_text("old")
    make(tmp_path / "lab")
    assert sorted(path.name for path in (tmp_path / "lab").iterdir()) == [".qnsp", "qnsp.yaml"]


def test_one_that_was_killed_while_moving_out_is_ended(tmp_path: Path) -> None:
    """Nothing is made twice: what is left is moved."""
    made = tmp_path / "lab/.init.made"
    made.mkdir(parents=True)
    (tmp_path / "lab/.qnsp").mkdir()
    (made / "qnsp.yaml").write_text("project")
    with new_folder(tmp_path / "lab") as making:
        assert making is None
    assert sorted(path.name for path in (tmp_path / "lab").iterdir()) == [".qnsp", "qnsp.yaml"]


def _fails(directory: Path) -> None:
    with new_folder(directory) as making:
        assert making is not None
        (making / "half").write_text("x")
        making.write_text("a folder")


@pytest.mark.parametrize("new", [True, False])
def test_one_that_fails_leaves_what_it_found(tmp_path: Path, new: bool) -> None:
    """A folder that was not there is not there; an empty one is empty."""
    lab = tmp_path / "lab"
    if not new:
        lab.mkdir()
    with pytest.raises(IsADirectoryError):
        _fails(lab)
    assert lab.exists() is not new
    assert new or list(lab.iterdir()) == []


def test_what_is_not_empty_or_at_work_is_refused(tmp_path: Path) -> None:
    """A file of somebody's, a file in the folder's place, another init."""
    (tmp_path / "file").write_text("x")
    busy = tmp_path / "busy"
    busy.mkdir()
    descriptor = os.open(busy, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        for directory in (tmp_path, tmp_path / "file", busy):
            with pytest.raises(OperatorError, match="QNSP-OPS-011"), new_folder(directory):
                pass
    finally:
        os.close(descriptor)
