"""What every backend of state promises, held against a folder and against a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnsp_policy.pipeline.world.backend import ABSENT, Backend, Conflict, Portable
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
from qnsp_policy.pipeline.world.backend_s3_edge import S3Backend


@pytest.fixture(params=["file", "s3"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Portable:
    if request.param == "file":
        return FileBackend(tmp_path / "state")
    return S3Backend(request.getfixturevalue("url"))


def test_what_is_put_is_got(backend: Backend) -> None:
    """Content and etag; listing is sorted and by prefix; deleting twice is no error."""
    assert backend.get("units/a/b.json") is None
    etag = backend.put("units/a/b.json", b"1")
    assert backend.get("units/a/b.json") == (b"1", etag)
    backend.put("units/a/a.json", b"2")
    backend.put("run.json", b"3")
    assert backend.list("units/") == ["units/a/a.json", "units/a/b.json"]
    backend.delete("units/a/b.json")
    backend.delete("units/a/b.json")
    assert backend.list("") == ["run.json", "units/a/a.json"]


def test_a_condition_that_does_not_hold_writes_nothing(backend: Backend) -> None:
    """ABSENT, an etag and no condition; each refused or taken as it says."""
    first = backend.put("k", b"1", if_match=ABSENT)
    other = backend.put("other", b"another etag")
    with pytest.raises(Conflict, match="QNSP-LCK-010"):
        backend.put("k", b"2", if_match=ABSENT)
    with pytest.raises(Conflict):
        backend.put("k", b"2", if_match=other)
    with pytest.raises(Conflict):
        backend.delete("k", if_match=other)
    assert backend.get("k") == (b"1", first)
    backend.put("k", b"2", if_match=first)
    with pytest.raises(Conflict):
        backend.put("gone", b"2", if_match=first)


def test_a_folder_of_files_is_dropped(backend: Backend) -> None:
    """What lies in it and nothing beside it; one that is not there is no error."""
    backend.put("locks/a/one.json", b"1")
    backend.put("locks/ab/two.json", b"2")
    backend.drop_files("qnsp/locks/a")
    backend.drop_files("qnsp/locks/none")
    assert backend.list("") == ["locks/ab/two.json"]


def test_what_killed_engines_left_half_written_goes(backend: Portable) -> None:
    """Scratch files of the engine's own store go, whatever they were to become; what is whole stays."""
    left = "pulumi/.pulumi/stacks/qnsp/tenant.clinic.json"
    backend.put_files({left: b"{}", f"{left}.bak.18ea3222fa429776.tmp": b"{", "qnsp/units/a.tmp": b"{}"})
    backend.drop_scratch()
    kept = {left, "qnsp/units/a.tmp"}
    assert kept <= set(backend.files())
    if isinstance(backend, FileBackend):
        assert set(backend.files()) == kept
