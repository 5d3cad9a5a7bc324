"""`fmt` over a folder: whole files or nothing, and no file of another kind is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnsp_policy.errors import DocumentErrors
from qnsp_policy.workflows.fmt import format_folder

UGLY = b"a:\n    b: 1   \n\n\n    c:\n    - 2\n"
NEAT = b"a:\n  b: 1\n\n  c:\n    - 2\n"


def test_files_are_laid_out_once(tmp_path: Path) -> None:
    """The first run changes the file and keeps its mode, the second finds nothing."""
    file = tmp_path / "x.yaml"
    file.write_bytes(UGLY)
    file.chmod(0o664)
    (change,) = format_folder(tmp_path, write=True)
    assert change.file == "x.yaml"
    assert "+  b: 1" in change.diff
    assert file.read_bytes() == NEAT
    assert file.stat().st_mode & 0o777 == 0o664
    assert format_folder(tmp_path, write=True) == ()
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]


def test_checking_writes_nothing(tmp_path: Path) -> None:
    """Without `write` the differences are told and the files stay."""
    (tmp_path / "x.yaml").write_bytes(UGLY)
    assert len(format_folder(tmp_path, write=False)) == 1
    assert (tmp_path / "x.yaml").read_bytes() == UGLY


def test_one_broken_file_keeps_all_from_being_written(tmp_path: Path) -> None:
    """All problems are told, and no other file is changed meanwhile."""
    (tmp_path / "x.yaml").write_bytes(UGLY)
    (tmp_path / "y.yaml").write_bytes(b"a: 1\na: 2\n")
    (tmp_path / "z.yaml").write_bytes(b"\xff")
    with pytest.raises(DocumentErrors) as raised:
        format_folder(tmp_path, write=True)
    assert [problem.code for problem in raised.value.problems] == ["QNSP-DOC-006", "QNSP-DOC-001"]
    assert (tmp_path / "x.yaml").read_bytes() == UGLY


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    """The file behind a link is laid out, the link is not replaced."""
    (tmp_path / "x.yaml").write_bytes(UGLY)
    (tmp_path / "y.yaml").symlink_to(tmp_path / "x.yaml")
    format_folder(tmp_path, write=True)
    assert (tmp_path / "y.yaml").is_symlink()
    assert (tmp_path / "x.yaml").read_bytes() == NEAT
