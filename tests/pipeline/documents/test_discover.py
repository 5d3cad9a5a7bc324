"""Reading a folder: which files belong to a workspace, and what is refused instead of waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qnsp_policy.errors import DocumentErrors, OperatorError
from qnsp_policy.pipeline.documents.discover_edge import Limits, read_folder, read_signatures


def codes(root: Path) -> list[str]:
    with pytest.raises(DocumentErrors) as raised:
        read_folder(root)
    return [problem.code for problem in raised.value.problems]


def test_yaml_files_are_found_at_every_level(tmp_path: Path) -> None:
    """Every .yaml and .yml is read, by its path with forward slashes, in order."""
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("z.yaml", "a.yml", "b/c/d.yaml", "b/readme.md"):
        (tmp_path / name).write_bytes(name.encode())
    assert read_folder(tmp_path) == {"a.yml": b"a.yml", "b/c/d.yaml": b"b/c/d.yaml", "z.yaml": b"z.yaml"}


def test_hidden_files_and_folders_are_not_read(tmp_path: Path) -> None:
    """`.qnsp`, `.git` and hidden files are none of the documents."""
    for name in (".qnsp/state.yaml", ".git/x.yaml", ".hidden.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert read_folder(tmp_path) == {}


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """A FIFO named as a document blocks nobody."""
    os.mkfifo(tmp_path / "a.yaml")
    assert codes(tmp_path) == ["QNSP-DOC-032"]


def test_a_link_that_loops_is_refused(tmp_path: Path) -> None:
    """A folder that holds itself is named."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "again").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "self.yaml").symlink_to(tmp_path / "self.yaml")
    assert sorted(codes(tmp_path)) == ["QNSP-DOC-031", "QNSP-DOC-033"]


def test_a_link_out_of_the_workspace_is_refused(tmp_path: Path) -> None:
    """Neither a file nor a folder outside of the workspace is read through a link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.yaml").write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "file.yaml").symlink_to(outside / "secret.yaml")
    (root / "folder").symlink_to(outside)
    assert codes(root) == ["QNSP-DOC-031", "QNSP-DOC-031"]


def test_links_inside_of_the_workspace_are_followed(tmp_path: Path) -> None:
    """A link to a file of the same workspace is read like the file."""
    (tmp_path / "a.yaml").write_bytes(b"x")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    assert read_folder(tmp_path) == {"a.yaml": b"x", "b.yaml": b"x"}


def test_a_folder_named_as_a_document_is_walked(tmp_path: Path) -> None:
    """A folder whose name ends in .yaml is a folder."""
    (tmp_path / "odd.yaml").mkdir()
    (tmp_path / "odd.yaml" / "a.yaml").write_bytes(b"x")
    assert list(read_folder(tmp_path)) == ["odd.yaml/a.yaml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    """A file without read permission is a problem with its name."""
    (tmp_path / "a.yaml").write_bytes(b"x")
    (tmp_path / "a.yaml").chmod(0)
    assert codes(tmp_path) == ["QNSP-DOC-033"]


def test_a_name_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    """File names that no other machine could spell are refused, printable."""
    (tmp_path / os.fsdecode(b"a\xff.yaml")).write_bytes(b"x")
    with pytest.raises(DocumentErrors) as raised:
        read_folder(tmp_path)
    assert raised.value.problems[0].code == "QNSP-DOC-037"
    raised.value.problems[0].message.encode("utf-8")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Two wrong files are two problems of one error."""
    os.mkfifo(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "nowhere.yaml")
    assert codes(tmp_path) == ["QNSP-DOC-032", "QNSP-DOC-033"]


def test_a_missing_folder_is_the_operators_to_mend(tmp_path: Path) -> None:
    """No folder, no workspace: an operator's error, not a document's."""
    with pytest.raises(OperatorError) as raised:
        read_folder(tmp_path / "none")
    assert raised.value.code == "QNSP-OPS-020"


def test_signatures_are_read_beside_the_documents(tmp_path: Path) -> None:
    """Envelopes lie in signatures/ and are no documents."""
    (tmp_path / "signatures").mkdir()
    (tmp_path / "signatures" / "Tenant.a.dsse.json").write_bytes(b"{}")
    assert read_folder(tmp_path) == {}
    assert read_signatures(tmp_path) == {"signatures/Tenant.a.dsse.json": b"{}"}
    assert read_signatures(tmp_path / "signatures") == {}


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(files=2), "QNSP-DOC-035"),
        (Limits(folders=1), "QNSP-DOC-035"),
        (Limits(file=10), "QNSP-DOC-030"),
        (Limits(total=25), "QNSP-DOC-036"),
    ],
)
def test_caps_hold(tmp_path: Path, limits: Limits, code: str) -> None:
    """More files, folders or bytes than the caps allow are refused, by code."""
    (tmp_path / "sub").mkdir()
    for name in ("a.yaml", "b.yaml", "sub/c.yaml"):
        (tmp_path / name).write_bytes(b"x" * 12)
    with pytest.raises(DocumentErrors) as raised:
        read_folder(tmp_path, limits=limits)
    assert code in {problem.code for problem in raised.value.problems}


def test_signatures_are_not_read_from_elsewhere(tmp_path: Path) -> None:
    """A link named signatures that leaves the workspace is refused."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "signatures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DocumentErrors) as raised:
        read_signatures(tmp_path / "root")
    assert [problem.code for problem in raised.value.problems] == ["QNSP-DOC-031"]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """A folder that vanishes behind its link is a problem with its name, not an exception."""
    (tmp_path / "a.yaml").symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(DocumentErrors) as raised:
        read_folder(tmp_path)
    assert raised.value.problems[0].subject == "a.yaml"
