"""The engine's pure parts: waves, references, deviations, interrupted inputs, exported state."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.pipeline.engine import programs, records
from qnsp_policy.pipeline.engine.deployment import deployment_of, merge_replacements, with_found
from qnsp_policy.pipeline.engine.deviations import deviations
from qnsp_policy.pipeline.engine.previews import PulumiPreviews
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.engine.waves import levels, resolve
from qnsp_policy.pipeline.plan.values import Op, PlannedStep, Reference, Step, Unit
from qnsp_policy.pipeline.world.backend_file_edge import FileBackend
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedUnit
from qnsp_policy.testing import engine_toys as toys


def test_waves_follow_dependencies() -> None:
    """Each after everything it depends on; what is not in the run counts as done."""
    depends = {"c": ["a", "b"], "a": ["elsewhere"], "b": ["a"], "d": []}
    assert levels(depends) == [["a", "d"], ["b"], ["c"]]
    with pytest.raises(EngineError, match="QNSP-ENG-036"):
        levels({"a": ["b"], "b": ["a"]})


def test_references_are_filled_from_outputs() -> None:
    """The member at the pointer is replaced; the unit's own inputs stay untouched."""
    unit = Unit(
        "x/a", "x", {"brokers": [{"url": ""}], "a/b": {"~": 1}}, (), (Reference("b/main", "url", "/brokers/0/url"),)
    )
    recorded = {"b/main": RecordedUnit("b/main", "b", "", {}, outputs={"url": "https://x"})}
    assert resolve(unit, recorded).inputs["brokers"] == [{"url": "https://x"}]
    assert unit.inputs["brokers"] == [{"url": ""}]
    for reference in (
        Reference("b/main", "none", "/brokers/0/url"),
        Reference("b/main", "url", "/brokers/1/url"),
        Reference("b/gone", "url", "/brokers/0/url"),
        Reference("b/main", "url", "/nowhere"),
    ):
        with pytest.raises(EngineError, match="QNSP-ENG-037"):
            resolve(Unit("x/a", "x", {"brokers": [{"url": ""}]}, (), (reference,)), recorded)


def step(op: Op, name: str = "a", *, parent: str | None = None, **security: Any) -> PlannedStep:
    return PlannedStep(op, Step("qnsp:broker:ReleasePolicy", name, parent, security))


@pytest.mark.parametrize(
    ("previewed", "text"),
    [
        (
            [step(Op.CREATE, digest="1"), step(Op.CREATE, "b")],
            "create of qnsp:broker:ReleasePolicy b is not in the plan",
        ),
        ([step(Op.REPLACE, digest="1")], "would be replaced; the plan holds create"),
        ([step(Op.DELETE, digest="1")], "would be deleted; the plan holds create"),
        ([step(Op.CREATE, digest="2")], "digest is another than in the plan"),
        ([step(Op.CREATE)], "digest is another than in the plan"),
        ([step(Op.CREATE, digest="1", parent="x")], "has another parent"),
        ([], "is in the plan, but not needed any more"),
    ],
)
def test_every_deviation_is_named(previewed: list[PlannedStep], text: str) -> None:
    """One mutation of what was planned, one sentence."""
    planned = [step(Op.CREATE, digest="1")]
    assert deviations(planned, planned, whole=True) == []
    found = deviations(planned, previewed, whole=True)
    assert len(found) == 1
    assert text in found[0]


def test_a_resumed_unit_may_have_less_to_do() -> None:
    """Steps that were done are gone; an update may be left of a create."""
    planned = [step(Op.CREATE, digest="1"), step(Op.CREATE, "b", digest="2")]
    assert deviations(planned, [], whole=False) == []
    assert deviations(planned, [step(Op.UPDATE, "b", digest="2")], whole=False) == []


def test_more_inputs_than_security_names_are_no_deviation() -> None:
    """A preview shows every input; the plan names those that matter."""
    assert deviations([step(Op.UPDATE, digest="1")], [step(Op.UPDATE, digest="1", other="x")], whole=True) == []


def test_a_replacement_is_one_step() -> None:
    """The engine tells it as create-replacement, replace and delete-replaced."""
    steps = [step(Op.REPLACE), PlannedStep(Op.REPLACE, step(Op.REPLACE).step, ("name",)), step(Op.CREATE, "b")]
    assert [(item.op, item.step.name, item.properties) for item in merge_replacements(steps)] == [
        (Op.REPLACE, "a", ("name",)),
        (Op.CREATE, "b", ()),
    ]


def test_exported_state_is_read_once() -> None:
    """Outputs, resources, what brokers were given, open operations, and one digest of it all."""
    exported: dict[str, Any] = {
        "version": 3,
        "deployment": {
            "resources": [
                {
                    "type": "pulumi:pulumi:Stack",
                    "urn": "urn:pulumi:s::qnsp::pulumi:pulumi:Stack::qnsp-s",
                    "outputs": {"url": "u"},
                },
                {"type": "pulumi:providers:qnsp", "urn": "urn:pulumi:s::qnsp::pulumi:providers:qnsp::default"},
                {
                    "type": "qnsp:broker:Tenant",
                    "urn": "urn:pulumi:s::qnsp::qnsp:broker:Tenant::main/tenant/clinic",
                    "outputs": {"digest": "sha256:1"},
                },
            ],
            "pending_operations": [{}],
        },
    }
    found = deployment_of(exported)
    assert found.outputs == {"url": "u"}
    assert found.resources == (("qnsp:broker:Tenant", "main/tenant/clinic"),)
    assert found.held == {"main/tenant/clinic": "sha256:1"}
    assert found.pending == 1
    assert found.digest != deployment_of({"version": 3, "deployment": {"resources": []}}).digest
    assert deployment_of({"version": 3}).resources == ()


def an_object(name: str, digest: str) -> dict[str, Any]:
    return {"kind": "release-policy", "name": name, "digest": digest, "object": {}}


def test_inputs_of_an_interrupted_unit_hold_what_was_handed_over() -> None:
    """New objects that a broker got, old ones that it still has, nothing that it was not given."""
    desired: dict[str, Any] = {
        "brokers": [
            {"broker": {"name": "main"}, "objects": [an_object("a", "2"), an_object("b", "1"), an_object("c", "1")]}
        ]
    }
    recorded = {"brokers": [{"broker": {"name": "main"}, "objects": [an_object("a", "1"), an_object("d", "1")]}]}
    held = {
        "main/release-policy/a": "1",
        "main/release-policy/b": "1",
        "main/release-policy/d": "1",
    }
    far = records.as_far_as(desired, recorded, held)
    assert [(item["name"], item["digest"]) for item in far["brokers"][0]["objects"]] == [
        ("a", "1"),
        ("b", "1"),
        ("d", "1"),
    ]
    assert records.as_far_as(desired, None, {})["brokers"][0]["objects"] == []
    assert desired["brokers"][0]["objects"][0]["digest"] == "2"


def test_a_program_that_is_not_installed_is_named() -> None:
    """No guess, no silence."""
    with pytest.raises(OperatorError, match="QNSP-ENG-030"):
        programs.program(Unit("moon/a", "moon", {}, ()))


def test_the_environment_of_an_engine_process_is_ours(tmp_path: Path) -> None:
    """An ambient Pulumi has no say, credentials of clouds pass, and this process's own environment stays as it is."""
    backend = FileBackend(tmp_path / "state")
    ambient = {
        "PATH": "/bin",
        "PULUMI_BACKEND_URL": "s3://elsewhere",
        "PULUMI_STACK": "x",
        "AWS_PROFILE": "p",
        "QNSP_PLAN": "y",
    }
    (tmp_path / "passphrase").touch()
    settings = EngineSettings(tmp_path, backend, Path("/pulumi"), tmp_path / "passphrase", ambient)
    before = dict(os.environ)
    made = settings.process_environment(plan=None, plan_digest="")
    assert made["PULUMI_BACKEND_URL"] == backend.url
    assert "PULUMI_STACK" not in made
    assert (made["AWS_PROFILE"], made["QNSP_PLAN"]) == ("p", "")
    assert made["PATH"].startswith(str(Path(sys.executable).parent))
    assert dict(os.environ) == before
    (tmp_path / "passphrase").unlink()
    with pytest.raises(OperatorError, match="QNSP-ENG-031"):
        settings.process_environment(plan=None, plan_digest="")


def test_old_engine_logs_are_pruned(tmp_path: Path) -> None:
    """The newest stay."""
    settings = EngineSettings(tmp_path, FileBackend(tmp_path / "state"), Path("/pulumi"), tmp_path / "p", {})
    logs = settings.folder / "home/logs"
    logs.mkdir(parents=True)
    for number in range(60):
        (logs / f"{number}.log").touch()
        os.utime(logs / f"{number}.log", (number, number))
    settings.prune_logs()
    assert len(list(logs.iterdir())) == 40
    assert (logs / "59.log").exists()


def test_state_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    """Torn or of an unknown version: an error, never "nothing was applied"."""
    backend = FileBackend(tmp_path)
    for key in ("run.json", "units/tenant/clinic.json", "genesis.json"):
        for data in (b"", b"{", b"{}", b"[]", b'{"format": "qnsp.future/v9"}'):
            backend.put(key, data)
            with pytest.raises(EngineError, match="QNSP-ENG-041"):
                records.read_state(backend)
        backend.delete(key)


def test_genesis_is_written_once(tmp_path: Path) -> None:
    """The same again is nothing; another is refused."""
    backend, root = FileBackend(tmp_path), toys.trust_root()
    first = Genesis("w", root, datetime(2026, 11, 21, tzinfo=UTC))
    records.write_genesis(backend, first)
    records.write_genesis(backend, first)
    with pytest.raises(OperatorError, match="QNSP-ENG-040"):
        records.write_genesis(backend, Genesis("other", root, datetime(2026, 11, 21, tzinfo=UTC)))
    assert records.read_genesis(backend) == first
    with pytest.raises(OperatorError, match="QNSP-PLN-001"):
        records.read_state(FileBackend(tmp_path / "none")).judge()


def test_a_plan_without_changes_needs_no_engine() -> None:
    """No request, no settings, no toolchain; and finding the outlines imports no Pulumi."""

    def never() -> EngineSettings:
        raise AssertionError("the engine was asked for")

    assert PulumiPreviews(never).preview([]) == {}
    code = (
        "import sys; from qnsp_policy.pipeline.engine.programs import outlines; outlines();"
        "from qnsp_policy.pipeline.engine import apply, previews, refresh;"
        "from qnsp_policy.pipeline.world import local_edge;"
        "sys.exit('pulumi' in sys.modules or 'grpc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_creation_that_an_interrupted_replace_left_is_in_the_plan() -> None:
    """Deleted by the run that was interrupted, it is made by the one that goes on."""
    assert deviations([step(Op.REPLACE)], [step(Op.CREATE)], whole=False) == []


def _held(*names: str) -> dict[str, Any]:
    stack = "urn:pulumi:broker.main::qnsp::"
    made = [
        {"urn": f"{stack}pulumi:providers:aws::{name}", "type": "pulumi:providers:aws", "id": name} for name in names
    ]
    root = {"urn": f"{stack}pulumi:pulumi:Stack::qnsp-broker.main", "type": "pulumi:pulumi:Stack"}
    part = {"urn": f"{stack}qnsp:aws:Keys::keys", "type": "qnsp:aws:Keys"}
    return {"resources": [root, *made, part]}


ALIAS, LOG = ("aws:kms/alias:Alias", "alias/a"), ("aws:cloudwatch/logGroup:LogGroup", "log")


@pytest.mark.parametrize("order", [("aws", "aws-key-admin"), ("aws-key-admin", "aws")])
def test_what_is_taken_on_stands_under_the_provider_that_declares_it(order: tuple[str, str]) -> None:
    """In whatever order the two came into the stack: another provider would make the engine replace it."""
    outline = [Step(ALIAS[0], ALIAS[1], "keys"), Step(*LOG)]
    made_by = {ALIAS: "aws-key-admin", LOG: "aws"}
    whole = with_found(_held(*order), {ALIAS: "alias/a", LOG: "log"}, outline, made_by)
    under = {item["type"]: item["provider"].rsplit("::", 1)[-1] for item in whole["resources"] if "provider" in item}
    assert under == {ALIAS[0]: "aws-key-admin", LOG[0]: "aws"}
    alias = next(item for item in whole["resources"] if item["type"] == ALIAS[0])
    assert alias["urn"] == "urn:pulumi:broker.main::qnsp::qnsp:aws:Keys$aws:kms/alias:Alias::alias/a"


def test_what_no_declaration_places_is_taken_on_under_the_only_provider() -> None:
    """Of two, none is guessed."""
    outline = [Step(*LOG)]
    whole = with_found(_held("mine"), {LOG: "log"}, outline, {})
    assert whole["resources"][-1]["provider"].endswith("::mine::mine")
    with pytest.raises(ValueError, match="no place for log"):
        with_found(_held("aws", "aws-key-admin"), {LOG: "log"}, outline, {})
