"""Native code of the rules is kept beside Python's own: used when whole and ours, compiled again when anything is odd."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from opapywasm.errors import OpaInvalidPolicyError

from qnsp_policy.pipeline.rules.native_edge import ModuleFactory, bytecode_folder, name_of
from qnsp_policy.pipeline.rules.wasm_edge import SHIPPED, shipped_rules

WASM = shipped_rules().wasm


@pytest.fixture(autouse=True)
def writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python may keep what it compiles, whatever the environment of this run says."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def made(folder: Path | None, wasm: bytes = WASM) -> ModuleFactory:
    """A factory of the shipped rules."""
    return ModuleFactory(wasm, max_memory_pages=16_384, folder=folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a start keeps of the shipped rules, compiled once for all tests."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", False)
        made(folder)
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o644
    return file.read_bytes()


def kept(folder: Path, whole: bytes, wasm: bytes = WASM) -> Path:
    """The kept file in a folder, as a start would have left it for a wasm."""
    file = folder / name_of(wasm)
    file.write_bytes(whole)
    file.chmod(0o644)
    return file


NOTHING = b"\0asm nothing"
"""No wasm: it cannot be compiled, so whoever gets a module for it has taken the kept file."""


def test_what_is_no_wasm_is_refused() -> None:
    """The bytes that the tests below plant files for."""
    with pytest.raises(OpaInvalidPolicyError):
        made(None, NOTHING)


def test_a_second_start_compiles_nothing(tmp_path: Path, whole: bytes) -> None:
    """What was kept is what runs: a wasm that could not be compiled is loaded from its file."""
    kept(tmp_path, whole, NOTHING)
    assert "eval" in {export.name for export in made(tmp_path, NOTHING).module.exports}


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _open_to_all(file: Path) -> None:
    file.chmod(0o666)


def _link(file: Path) -> None:
    file.symlink_to(file.rename(file.with_name("elsewhere")))


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("spoil", [_cut, _flip, _empty, _open_to_all, _link, _pipe, _folder])
def test_an_odd_file_is_not_run(tmp_path: Path, whole: bytes, spoil: Callable[[Path], None]) -> None:
    """Torn, changed, writable by others, no plain file: the rules are compiled instead, here in vain."""
    spoil(kept(tmp_path, whole, NOTHING))
    with pytest.raises(OpaInvalidPolicyError):
        made(tmp_path, NOTHING)


@pytest.mark.parametrize("spoil", [_cut, _open_to_all, _link])
def test_what_is_odd_is_replaced(tmp_path: Path, whole: bytes, spoil: Callable[[Path], None]) -> None:
    """After one compilation the next start loads again."""
    file = kept(tmp_path, whole)
    spoil(file)
    made(tmp_path)
    assert file.is_file()
    assert not file.is_symlink()
    assert file.read_bytes() == whole
    assert file.stat().st_mode & 0o777 == 0o644


def test_native_code_of_another_build_is_compiled_again(tmp_path: Path, whole: bytes) -> None:
    """wasmtime refuses what it did not make; that is no error."""
    file = kept(tmp_path, whole)
    major = version("wasmtime").partition(".")[0].encode()
    strange = whole[32:].replace(bytes([len(major)]) + major, bytes([len(major)]) + b"9" * len(major), 1)
    assert strange != whole[32:]
    file.write_bytes(hashlib.sha256(strange).digest() + strange)
    made(tmp_path)
    assert file.read_bytes() == whole


def test_earlier_rules_leave_nothing(tmp_path: Path) -> None:
    """A new version's file takes the place of the old one's."""
    (tmp_path / "rules-000000000000000000000000.native").write_bytes(b"old")
    (tmp_path / "other.pyc").write_bytes(b"not ours")
    made(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name_of(WASM), "other.pyc"])


def test_nothing_is_kept_where_python_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHONDONTWRITEBYTECODE holds for rules too."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """An installation may be read-only; then rules are compiled at every start."""
    (tmp_path / "file").write_bytes(b"")
    assert made(tmp_path / "file" / "folder").module is not None


def test_the_folder_is_that_of_the_bytecode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Beside the source, or wherever PYTHONPYCACHEPREFIX leads."""
    folder = bytecode_folder()
    assert folder is not None
    assert folder.name == "__pycache__"
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    moved = bytecode_folder()
    assert moved is not None
    assert moved.is_relative_to(tmp_path)


def test_only_the_shipped_rules_are_kept() -> None:
    """The name that tells them is that of the rule set that comes with the program."""
    assert shipped_rules().name == SHIPPED
