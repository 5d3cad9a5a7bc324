"""Files that the engine keeps for itself, torn or left over: the next run mends them, and state is never among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnsp_policy.pipeline.engine import records, scratch
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.command import Processes
from qnsp_policy.pipeline.engine.events import ignore
from qnsp_policy.pipeline.engine.host import EngineHost
from qnsp_policy.pipeline.engine.previews import PulumiPreviews
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.pipeline.plan.values import Action, Op, PreviewRequest
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.engine_toys import ToyWorkspace

SALT = b"encryptionsalt: v1:HzpTD+23FxA=:v1:qp4xiFvfOU/5ZcDH:shDh4w5XFhi3Dg6zFw0KZxAYNcrKiQ==\n"


def test_a_stack_s_folder_is_made_whole(tmp_path: Path) -> None:
    """The project file broke off anywhere is written anew; settings are kept whole or taken away, never half."""
    whole = (scratch.stack_folder(tmp_path, "a.b", passphrase=True) / "Pulumi.yaml").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "a.b" / "Pulumi.yaml").write_bytes(whole[:length])
        assert (scratch.stack_folder(tmp_path, "a.b", passphrase=True) / "Pulumi.yaml").read_bytes() == whole
    settings = tmp_path / "a.b" / "Pulumi.a.b.yaml"
    for length in range(1, len(SALT)):
        settings.write_bytes(SALT[:length])
        scratch.stack_folder(tmp_path, "a.b", passphrase=True)
        assert not settings.exists(), SALT[:length]
    for kept in (b"", SALT):
        settings.write_bytes(kept)
        scratch.stack_folder(tmp_path, "a.b", passphrase=True)
        assert settings.read_bytes() == kept


def test_settings_with_a_wrapped_key_are_left_alone(tmp_path: Path) -> None:
    """Where no passphrase encrypts, they hold what cannot be made again."""
    (tmp_path / "a").mkdir()
    settings = tmp_path / "a" / "Pulumi.a.yaml"
    settings.write_bytes(b"secretsprovider: awskms://alias/x\nencryptedkey: abc")
    scratch.stack_folder(tmp_path, "a", passphrase=False)
    assert settings.read_bytes().endswith(b"abc")


def test_a_backend_of_another_version_is_not_called_torn(tmp_path: Path) -> None:
    """Only what is a beginning of the one line that the engine writes is mended; where there is none, none is made."""
    scratch.mend_backend(tmp_path, "a.b")
    assert list(tmp_path.iterdir()) == []
    meta = tmp_path / ".pulumi" / "meta.yaml"
    meta.parent.mkdir()
    for data, then in ((b"", b"version: 1\n"), (b"versi", b"version: 1\n"), (b"version: 2\n", b"version: 2\n")):
        meta.write_bytes(data)
        scratch.mend_backend(tmp_path, "a.b")
        assert meta.read_bytes() == then


def test_torn_attributes_are_removed_and_whole_ones_kept(tmp_path: Path) -> None:
    """Beside the version, the stack's own state and its locks; those of other stacks are another run's."""
    names = ("meta.yaml", "stacks/qnsp/a.b.json", "locks/organization/qnsp/a.b/one.json")
    other = tmp_path / ".pulumi/stacks/qnsp/a.c.json.attrs"
    for data, kept in ((b"", False), (b'{"user.cache_control":""', False), (b'{"md5":""}\n', True)):
        for name in names:
            path = tmp_path / ".pulumi" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"version: 1\n")
            path.with_name(f"{path.name}.attrs").write_bytes(data)
        other.write_bytes(data)
        scratch.mend_backend(tmp_path, "a.b")
        assert {(tmp_path / ".pulumi" / f"{name}.attrs").exists() for name in names} == {kept}
        assert other.exists()


def test_only_torn_locks_are_taken_away_unasked(tmp_path: Path) -> None:
    """A whole one may belong to somebody; what the engine itself cannot read belongs to nobody."""
    locks = tmp_path / ".pulumi/locks/organization/qnsp/a.b"
    locks.mkdir(parents=True)
    for name, data in {"whole": b'{"pid": 1}', "empty": b"", "half": b'{"pid": 1', "list": b"[]"}.items():
        (locks / f"{name}.json").write_bytes(data)
    scratch.drop_torn_locks(tmp_path, "a.b")
    assert [path.name for path in locks.iterdir()] == ["whole.json"]
    scratch.drop_torn_locks(tmp_path, "none")


@pytest.mark.engine
@pytest.mark.slow
def test_the_real_engine_goes_on_over_torn_files_and_leaves_no_lock(toy: ToyWorkspace) -> None:
    """Torn project, settings, store and lock files; a stack that a killed destroy took away and whose lock it left."""
    platform, fleet = toys.platform(), toys.enclave("a", toys.process("enclave-a-0-guest"))
    apply(toys.order(toy, [platform, fleet], [toys.create(platform), toys.create(fleet)]), settings=toy.settings)
    work, state = toy.settings.folder / "stacks/enclave.a", toy.folder / ".qnsp/state/pulumi/.pulumi"
    settings = work / "Pulumi.enclave.a.yaml"
    settings.write_bytes(SALT[:42])
    (work / "Pulumi.yaml").write_bytes(b"name: q")
    (state / "meta.yaml").write_bytes(b"")
    for torn in ("meta.yaml.attrs", "stacks/qnsp/enclave.a.json.attrs"):
        (state / torn).write_bytes(b"")
    lock = state / "locks/organization/qnsp/enclave.a/0b0b0b0b-0000-4000-8000-000000000000.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_bytes(b"")
    other = toys.enclave("a", toys.process("enclave-a-0-guest"), toys.process("enclave-a-1-guest"))
    before = records.read_state(toy.settings.backend).units["enclave/a"]
    steps = PulumiPreviews(lambda: toy.settings).preview([PreviewRequest(other, before)])["enclave/a"]
    changed = Action("enclave/a", Op.UPDATE, steps=steps)
    apply(toys.order(toy, [platform, other], [changed], salt="more"), settings=toy.settings)
    assert sorted(toy.running()) == ["enclave-a-0-guest", "enclave-a-1-guest"]
    assert not lock.exists()

    stack = state / "stacks/qnsp/enclave.a.json"
    toy.supervisor().stop("enclave-a-0-guest")
    toy.supervisor().stop("enclave-a-1-guest")
    stack.unlink()
    lock.write_bytes(b'{"pid": 1, "username": "x", "hostname": "y", "timestamp": "2026-11-21T00:00:00Z"}')
    gone = [toys.delete(fleet), toys.delete(platform)]
    apply(toys.order(toy, [], gone, salt="destroy"), settings=toy.settings)
    assert records.read_state(toy.settings.backend).units == {}
    assert not lock.exists()


@pytest.mark.engine
@pytest.mark.slow
def test_runs_that_take_the_engine_s_lock_go_on_over_one_that_was_left(toy: ToyWorkspace) -> None:
    """A `stack init` and a `state unprotect` that were killed, as random kills found: whoever holds the lease frees the lock."""
    lock = toy.folder / ".qnsp/state/pulumi/.pulumi/locks/organization/qnsp/enclave.a/0b0b0b0b.json"
    with EngineHost() as host:
        unit = toys.enclave("a", toys.process("enclave-a-0-guest"))
        driver = StackDriver(toy.settings, unit, Processes(), ignore, host)
        for run in (driver.create, driver.unprotect):
            lock.parent.mkdir(parents=True, exist_ok=True)
            lock.write_bytes(b'{"pid": 1, "username": "x", "hostname": "y", "timestamp": "2026-11-21T00:00:00Z"}')
            run()
            assert not lock.exists()
